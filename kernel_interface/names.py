"""Which names a verb governs: ``install vim, git and frobnicate`` has three, ``install my favourite editor`` none.

A name is believed where it is known, or where it stands as the object of its verb and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from kernel_interface.intents import is_word

_TOKEN = re.compile(r",|[^\s,;!?\"'`()\[\]{}<>|&=]+")
#: What may stand between a verb and its object, and behind the last object.
_BEFORE = frozenset(
    """
    the a an my our your package packages service services daemon unit for of up on down off all
    """.split()  # noqa: SIM905
)
_BEHIND = frozenset(
    """
    on from to with for please now again at in via using package packages service daemon unit too instead if
    when so and then up down off only is are has have anymore any thx thanks pls here there going running right
    today
    """.split()  # noqa: SIM905
)
#: No names, whatever they stand behind.
_NO_NAMES = frozenset(
    """
    it its them they this that these those one ones something anything everything all me us you him her some any
    what which more my the and or as not no be been stuff things thing favourite favorite best good
    back every each both other others another either neither no many few several most whole entire unused old new
    """.split()  # noqa: SIM905
)


def is_no_name(word: str) -> bool:
    """Whether a word is nobody's name, whatever it stands behind."""
    return word.lower() in _NO_NAMES or word.lower() in _BEFORE or word.lower() in _BEHIND


def words_of(text: str) -> list[str]:
    """Cut a text into its words as they are written, and commas."""
    return [word for found in _TOKEN.findall(text) if (word := found if found == "," else found.strip(".:"))]


def objects(text: str, verbs: Iterable[str], known: AbstractSet[str]) -> tuple[str, ...]:
    """Find the names that a verb governs, or the known ones where the sentence is more than that."""
    tokens = words_of(text)
    lower = [token.lower() for token in tokens]
    heads = [at for at, token in enumerate(lower) if token in verbs]
    for start in [at + 1 for at in heads] if heads else [0]:
        if found := _list_from(tokens, lower, start, known):
            return found
    return tuple(dict.fromkeys(token for token in lower if token in known and token not in verbs))


def _list_from(tokens: list[str], lower: list[str], start: int, known: AbstractSet[str]) -> tuple[str, ...]:
    """Read ``a, b and c`` from a token on; nothing where it is not names up to its end."""
    at = start
    while at < len(tokens) and lower[at] in _BEFORE:
        at += 1
    found: list[str] = []
    while at < len(tokens):
        name = lower[at]
        if name not in known and (name in _NO_NAMES or name in _BEHIND or is_word(name)):
            return ()
        found.append(tokens[at])
        at += 1
        if at + 1 < len(tokens) and lower[at] in (",", "and"):
            following = at + 1 + (lower[at + 1] == "and")
            if following < len(tokens) and (lower[following] in known or not is_word(lower[following])):
                at = following
                continue
        break
    return tuple(dict.fromkeys(found)) if at >= len(tokens) or lower[at] in _BEHIND or lower[at] == "," else ()
