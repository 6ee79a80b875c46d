"""What a message asks for: a question's payload is read here, and the :class:`Service` is asked."""

from __future__ import annotations

from kernel_interface.devices import Device, parse_device
from kernel_interface.goals import Progress
from kernel_interface.intents import SubCommand
from kernel_interface.service import Answer, Service
from kernel_interface.wire import Command, ErrorCode, Message, MessageType, WireError, decode_text

#: What the service answers, in its turn.
QUESTIONS = (MessageType.SLM_COMMAND, MessageType.SLM_QUERY, MessageType.DEV_DISCOVERED)
#: Answers to these would be answered again, for ever.
ANSWERS = (MessageType.ACK, MessageType.ERROR, MessageType.SLM_RESULT)


def answers(service: Service, message: Message, about: Device | None, plan: Progress | None = None) -> list[Answer]:
    """Answer a message of one of the types in :data:`QUESTIONS`.

    :param about: the device that its sender spoke of last.
    :param plan: how far the sender's plan has come, if it has one.
    :raises WireError: when its payload is not what its type asks for.
    """
    if message.type == MessageType.SLM_COMMAND:
        command = Command.decode(message.payload)
        return [service.command(known_command(command), command.args, about)]
    text = decode_text(message.payload, message.type.name)
    if not text.strip():
        raise WireError(ErrorCode.INVALID, f"The text of {message.type.name} is empty.")
    if message.type == MessageType.SLM_QUERY:
        return [service.query(text, about, plan)]
    return list(service.discovered(announced(message)))


def announced(message: Message) -> Device:
    """Return the device that a DEV_DISCOVERED or DEV_REMOVED is about.

    :raises WireError: when it names none.
    """
    device = parse_device(decode_text(message.payload, message.type.name))
    if device is None:
        reason = f"{message.type.name} names no device; 'PCI 8086:100E class=02:00' is how one is written."
        raise WireError(ErrorCode.INVALID, reason)
    return device


def named(message: Message) -> Device | None:
    """Return the device that a question names by its id; None also for a payload that cannot be read."""
    try:
        if message.type == MessageType.SLM_COMMAND:
            return parse_device(Command.decode(message.payload).args)
        return parse_device(decode_text(message.payload, message.type.name))
    except WireError:
        return None


def known_command(command: Command) -> SubCommand:
    """Return the sub-command that ``command`` asks for.

    :raises WireError: INVALID when there is no such sub-command, or it belongs to another intent.
    """
    try:
        sub_command = SubCommand(command.sub_command)
    except ValueError as error:
        raise WireError(ErrorCode.INVALID, f"0x{command.sub_command:04x} is no sub-command.") from error
    if sub_command.intent != command.intent:
        reason = f"{sub_command.name} belongs to intent {sub_command.intent:d}, not to {command.intent}."
        raise WireError(ErrorCode.INVALID, reason)
    return sub_command
