"""Whether a text asks for a deed here and now: "how do I restart nginx?" does not, nor does "do not stop ssh"."""

from __future__ import annotations

import re

from kernel_interface.intents import SubCommand, kinds_of, without_politeness

#: A question about a deed, which does not ask for it.
_WONDERS = re.compile(
    r"\W*(?:(?:please|and|so|ok|hey|hi)\b\W*)*(?:how (?:do|can|could|should|would) (?:i|you|we|one)\b|how to\b|"
    r"what happens|what(?: is|'s|s)? the (?:\w+ )?(?:command|way)\b|what (?:do|should|must|can) (?:i|we)\b|"
    r"which command\b|(?:tell|show) me how\b|"
    r"(?:should|shall|may|can|could|must|do|did) (?:i|we)\b|is it (?:\w+ )?to\b|is there (?:a|any) way\b|why\b|"
    r"help me (?:to )?understand|explain\b|when (?:should|do|did)\b|what if\b|what(?: is|'s|s) an? \w+\W*$)",
    re.IGNORECASE,
)
#: A deed for another time, or for a case that nobody here can tell: ``restart it if it hangs``; not ``see if it runs``.
_ANOTHER_TIME = re.compile(
    r"\b(?:(?<!check )(?<!see )(?<!know )(?<!test )(?<!tell me )if|unless|until|in case|as soon as|"
    r"tomorrow|tonight|later|next (?:week|month|night)|in \d+ (?:seconds?|minutes?|mins?|hours?|days?)|"
    r"at \d{1,2}(?::\d\d|\s?[ap]m))\b",
    re.IGNORECASE,
)
#: The same, where something is to be changed: more words may be one, since a log is read "after boot" now.
_CONDITION = re.compile(
    rf"(?:{_ANOTHER_TIME.pattern})|\b(?:when(?:ever)?|once|after|before|while|i mean|at (?:noon|midnight))\b",
    re.IGNORECASE,
)
#: What may stand before a wish that is meant: less than what evidence passes over ("how do I").
_COURTESY = re.compile(
    r"\W*(?:(?:please|pls|plz|kindly|hey|hi|hello|ok|okay|so|now|then|and|also|just|well|thanks|sudo|go ahead and|"
    r"(?:can|could|would|will) (?:you|u)|(?:i|we)(?: want| need| would like|'d like) (?:you )?to|you (?:should|must))"
    r"\b\W*)*",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    r"\W*(?:(?:please|hey|hi|hello|ok|and|so)\b\W*)*(?:can|could|would|will) (?:you|u)\b", re.IGNORECASE
)
#: What may stand behind one.
_ENDS = (
    " please",
    " pls",
    " now",
    " right now",
    " for me",
    " for now",
    " right away",
    " immediately",
    " thanks",
    " thx",
)
#: A longer text is a story, and no plain wish.
_LONGEST = 300
#: What negates a deed, or what is named; "no" and "without" negate things.
_NEGATED = frozenset({"not", "n't", "never", "cannot", "cant", "dont", "wont", "except", "excluding", "but", "instead"})
#: Sub-commands that change something, for which a text must plainly ask.
CHANGES = frozenset(
    {
        SubCommand.DRV_CONFIGURE,
        SubCommand.PARTITION_DISK,
        SubCommand.FORMAT_FS,
        SubCommand.MOUNT_FS,
        SubCommand.NETWORK_CONFIG,
        SubCommand.HOSTNAME_SET,
        SubCommand.PKG_INSTALL,
        SubCommand.PKG_REMOVE,
        SubCommand.PKG_UPDATE,
        SubCommand.SVC_START,
        SubCommand.SVC_STOP,
    }
)


def wonders(text: str) -> bool:
    """Whether a text asks about a deed, and not for it, or not for it now."""
    return _WONDERS.match(text) is not None or _ANOTHER_TIME.search(text) is not None


def wants(text: str) -> bool:
    """Whether a text may be a wish for a change, here and now: it asks no question and names no condition."""
    asks = "?" in text and not _REQUEST.match(text)
    return not asks and not _WONDERS.match(text) and not _CONDITION.search(text)


def refused(sub_command: SubCommand, text: str) -> bool:
    """Whether a text says not to do what its other words ask for, or names an exception."""
    return sub_command in CHANGES and bool(kinds_of(text) & _NEGATED)


def wish_in(text: str) -> str | None:
    """Return the wish that a text is, without what is polite around it; None where it is not plainly one."""
    if len(text) > _LONGEST or not wants(text):
        return None
    return _without_end(text[_end_of(_COURTESY, text) :])


def wish_behind(text: str) -> str | None:
    """Return what a text perhaps wishes, or asks about: its first clause, without the question around it."""
    if len(text) > _LONGEST:
        return None
    text = without_politeness(text)
    text = text[_end_of(_WONDERS, text) :].lstrip()
    if condition := _CONDITION.search(text):
        text = text[: condition.start()]
    return _without_end(re.split(r"[,;?!]", text, maxsplit=1)[0])


def _end_of(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.match(text)
    return found.end() if found else 0


def _without_end(text: str) -> str:
    while True:
        text = text.strip(" \t\r\n.,!?")
        ending = next((ending for ending in _ENDS if text.lower().endswith(ending)), None)
        if ending is None:
            return " ".join(text.split())
        text = text.removesuffix(text[-len(ending) :])
