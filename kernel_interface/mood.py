"""Whether a text asks for a deed here and now: "how do I restart nginx?" does not, nor does "do not stop ssh"."""

from __future__ import annotations

import re

from kernel_interface.intents import Intent, SubCommand, kinds_of

#: A question about a deed, which does not ask for it.
_WONDERS = re.compile(
    r"\W*(?:(?:please|and|so|ok|hey|hi)\b\W*)*(?:how (?:do|can|could|should|would) (?:i|you|we|one)\b|how to\b|"
    r"what happens|what(?: is|'s|s)? the (?:\w+ )?(?:command|way)\b|what (?:do|should|must|can) (?:i|we)\b|"
    r"which command\b|(?:tell|show) me how\b|"
    r"(?:should|shall|may|can|could|must|do|did) (?:i|we)\b|is it (?:\w+ )?to\b|why\b|"
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
#: What a text can ask for by a negation: ``don't start avahi``, ``I do not need vlc``.
_BY_NEGATION = {
    SubCommand.SVC_STOP: frozenset({"START", "run"}),
    SubCommand.PKG_REMOVE: frozenset({"WANT", "use", "stay", "unused"}),
    SubCommand.DRV_CONFIGURE: frozenset({"LOAD", "PARAMETER"}),
    SubCommand.SVC_START: frozenset({"should", "run"}),
}
#: What negates a deed, or what is named; "no" and "without" negate things.
_NEGATED = frozenset({"not", "n't", "never", "cannot", "cant", "dont", "wont", "except", "excluding", "but", "instead"})
#: Sub-commands that change nothing, so that a "not" is about what is seen.
_LOOKS = (SubCommand.SVC_STATUS, SubCommand.RESOURCE_QUERY, SubCommand.LOG_QUERY, SubCommand.PKG_SEARCH)


def wonders(text: str) -> bool:
    """Whether a text asks about a deed, and not for it, or not for it now."""
    return _WONDERS.match(text) is not None or _ANOTHER_TIME.search(text) is not None


def refused(sub_command: SubCommand, text: str) -> bool:
    """Whether a text says not to do what its other words ask for."""
    kinds = kinds_of(text)
    if sub_command.intent == Intent.TROUBLESHOOT or sub_command in _LOOKS or not kinds & _NEGATED:
        return False
    return not kinds & _BY_NEGATION.get(sub_command, frozenset())
