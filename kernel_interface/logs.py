"""The server's log: lines for people, or one JSON object a line, which tells of every request too.

What users wrote is not in it unless that is asked for: of an action with names from a text, only its operation is.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from kernel_interface.actions import SCHEMAS, ActionError, Driver, read_action
from kernel_interface.service import Answer
from kernel_interface.wire import Command, ErrorCode, Message, MessageType, WireError

#: Who is told of every single request; silent in the log for people.
requests = logging.getLogger("kernel_interface.requests")


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: ``time``, ``level``, ``logger``, ``event``, and the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, without a line end in it."""
        content: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)


def configure(as_json: bool) -> None:
    """Send the log to standard error, for people or as JSON."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    requests.setLevel(logging.INFO if as_json else logging.WARNING)


class RequestLog:
    """Tells of requests.

    :param texts: whether what peers wrote is told too.
    """

    def __init__(self, texts: bool) -> None:
        self._texts = texts

    def answered(self, peer: str, message: Message, answers: list[Answer], seconds: float) -> None:
        """Tell of a request's answers."""
        if requests.isEnabledFor(logging.INFO):
            for answer in answers:
                said = {
                    "intent": answer.intent.name,
                    "sub_command": answer.sub_command.name,
                    "source": answer.source,
                    "confidence": round(answer.confidence, 4),
                    "action": answer.action_data if self._texts else _without_names(answer),
                    "ms": round(1000 * seconds, 3),
                }
                requests.info("answered", extra={"fields": {**self._asked(peer, message), **said}})

    def refused(self, peer: str, message: Message, code: ErrorCode) -> None:
        """Tell of a message that was answered ERROR; its reason may quote the peer, and is left out."""
        if requests.isEnabledFor(logging.INFO):
            requests.info("refused", extra={"fields": {**self._asked(peer, message), "code": code.name}})

    def told(self, peer: str, message: Message) -> None:
        """Tell of a message that wants no answer."""
        if requests.isEnabledFor(logging.INFO):
            requests.info("told", extra={"fields": self._asked(peer, message)})

    def _asked(self, peer: str, message: Message) -> dict[str, object]:
        asked: dict[str, object] = {
            "peer": peer,
            "sender": message.sender,
            "sequence": message.sequence,
            "type": message.type.name,
            "bytes": len(message.payload),
        }
        return {**asked, "text": _text(message)} if self._texts else asked


def _without_names(answer: Answer) -> str:
    """Return an answer's action, where it is a driver's name; of any other its operation, if it has one."""
    if SCHEMAS[answer.sub_command] is Driver:
        return answer.action_data
    try:
        action = read_action(answer.sub_command, answer.action_data)
    except ActionError:
        return ""
    return str(getattr(action, "operation", ""))


def _text(message: Message) -> str:
    if message.type == MessageType.SLM_COMMAND:
        try:
            return Command.decode(message.payload).args
        except WireError:
            pass
    return message.payload.rstrip(b"\0").decode(errors="backslashreplace")
