"""What an exchange is: a dialogue that says what it was asked for and where its answer comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slm import prompts
from slm.corpus.clean import clean_text
from slm.corpus.documents import MADE, Document
from slm.corpus.mix import Split, split_of
from slm.spec import Bucket, CorpusSpec

Intent = Literal[
    "HARDWARE_IDENTIFY", "DRIVER_SELECT", "INSTALL_CONFIGURE", "APP_INSTALL", "SYSTEM_MANAGE", "TROUBLESHOOT"
]

#: The six intents of the AUTON kernel with their sub-commands, by the names of its public specification.
SUB_COMMANDS: dict[Intent, tuple[str, ...]] = {
    "HARDWARE_IDENTIFY": ("IDENTIFY_PCI", "IDENTIFY_PLATFORM", "IDENTIFY_USB"),
    "DRIVER_SELECT": ("DRV_SELECT", "DRV_CONFIGURE", "DRV_FALLBACK"),
    "INSTALL_CONFIGURE": ("PARTITION_DISK", "FORMAT_FS", "MOUNT_FS", "NETWORK_CONFIG", "HOSTNAME_SET"),
    "APP_INSTALL": ("PKG_SEARCH", "PKG_INSTALL", "PKG_REMOVE", "PKG_UPDATE"),
    "SYSTEM_MANAGE": ("SVC_START", "SVC_STOP", "SVC_STATUS", "RESOURCE_QUERY", "LOG_QUERY"),
    "TROUBLESHOOT": ("DIAG_NETWORK", "DIAG_STORAGE", "DIAG_MEMORY", "DIAG_GENERAL"),
}

#: The intent of each sub-command.
INTENT_OF: dict[str, Intent] = {sub: intent for intent, subs in SUB_COMMANDS.items() for sub in subs}

#: No answer is longer, in words; a small model would not finish it.
MAX_WORDS = 60


class Message(BaseModel):
    """One turn of a dialogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    role: Literal["user", "assistant"]
    content: str = Field(min_length=1)


class Provenance(BaseModel):
    """Where an answer comes from: a document's own source, version, licence and path, or a table's and its row."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str
    version: str | None = None
    licence: str
    path: str


class Exchange(BaseModel):
    """Questions and answers in turn. ``key`` decides the split, as that of a :class:`Document` does.

    An exchange drawn from a document has the document's key, so that a test question is never answered by a training
    document. ``sub_command`` is empty where only the intent is known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    messages: tuple[Message, ...]
    bucket: Bucket = "instructions"
    intent: Intent
    sub_command: str = ""
    provenance: Provenance
    key: str
    #: Where it stands in a corpus; nothing before it is in one.
    split: Split | None = None

    @model_validator(mode="after")
    def _alternates(self) -> Self:
        roles = [message.role for message in self.messages]
        if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
            raise ValueError(f"the roles {roles} do not alternate from user to assistant")
        if self.sub_command and self.sub_command not in SUB_COMMANDS[self.intent]:
            raise ValueError(f"{self.sub_command} is no sub-command of {self.intent}")
        return self

    @property
    def text(self) -> str:
        """The dialogue as training text, role tags included."""
        turns = zip(self.messages[::2], self.messages[1::2], strict=True)
        return "".join(prompts.exchange(question.content, answer.content) for question, answer in turns)

    def in_split(self, spec: CorpusSpec) -> Self:
        """Return the exchange with the split that its key puts it in."""
        return self.model_copy(update={"split": split_of(self.key, spec.seed, spec.split)})

    def document(self) -> Document:
        """Render the exchange as a document of our own making, whose role tags become single ids."""
        return Document(
            text=self.text,
            bucket=self.bucket,
            source=MADE,
            version=self.provenance.version,
            licence=self.provenance.licence,
            path=self.provenance.path,
            key=self.key,
        )


def make_exchange(
    turns: Sequence[str], sub_command: str, intent: Intent, origin: Provenance, key: str
) -> Exchange | None:
    """Make an exchange from turns, the user's first; this is the gate that every exchange passes.

    :return: None when cleaning leaves nothing of a turn, or an answer has more than :data:`MAX_WORDS`.
    """
    cleaned = [clean_text(turn) for turn in turns]
    if not all(cleaned) or any(len(answer.split()) > MAX_WORDS for answer in cleaned[1::2]):
        return None
    messages = tuple(
        Message(role="assistant" if number % 2 else "user", content=turn) for number, turn in enumerate(cleaned)
    )
    return Exchange(messages=messages, intent=intent, sub_command=sub_command, provenance=origin, key=key)
