"""One spelling for each licence: SPDX's current one, whoever wrote it down.

Files carry SPDX expressions, old and new; specs carry Debian's short names. Both become SPDX expressions with the ids
of the SPDX licence list 3.x (https://spdx.org/licenses/), so that one licence is one word in every report and for
``corpus.exclude_licences``.
"""

from __future__ import annotations

import re
from collections import deque

#: The GNU licences and their versions; a bare version means that one only, a ``+`` or ``-or-later`` any later one too.
_GNU = {
    "GPL": ("1.0", "2.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "AGPL": ("1.0", "3.0"),
    "GFDL": ("1.1", "1.2", "1.3"),
}

#: Other names: what SPDX has withdrawn, and Debian's short names
#: (https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name).
_OTHERS = {
    "apache-2": "Apache-2.0",
    "artistic-1": "Artistic-1.0",
    "artistic-2": "Artistic-2.0",
    "bsd-2": "BSD-2-Clause",
    "bsd-2-clause-freebsd": "BSD-2-Clause",
    "bsd-2-clause-netbsd": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-4": "BSD-4-Clause",
    "cc0": "CC0-1.0",
    "expat": "MIT",
    "ibm-pl-1.0": "IPL-1.0",
    "mpl-2": "MPL-2.0",
    "psf-2": "PSF-2.0",
}

#: Ids that are often written in another case, which SPDX says means the same.
_IDS = ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "CC0-1.0", "ISC", "MIT", "MPL-1.1", "MPL-2.0")

_SUFFIXES = {"": "-only", "-only": "-only", "+": "-or-later", "-or-later": "-or-later"}


def _spellings() -> dict[str, str]:
    found = {name.lower(): name for name in _IDS} | _OTHERS
    for family, versions in _GNU.items():
        for version in versions:
            for written in {version, version.removesuffix(".0")}:
                for suffix, current in _SUFFIXES.items():
                    found[f"{family}-{written}{suffix}".lower()] = f"{family}-{version}{current}"
    return found


_SPELLINGS = _spellings()
_WORD = re.compile(r"[()]|[^\s()]+")
#: How prose says what an id's ``+`` says, after a version.
_OR_LATER = re.compile(
    r"(?<=[0-9])(?:-only|-or-later|\+)?,?\s+or\s+(?:any\s+)?(?:later|newer)(?:\s+versions?)?(?=\s|\)|$)", re.IGNORECASE
)
#: Ids, and globs over them, have digits or wildcards, but for these and a text's own (LicenseRef-, DocumentRef-).
_PLAUSIBLE = re.compile(r".*[0-9*?].*|(?:licenseref|documentref)-.+", re.IGNORECASE | re.DOTALL)
_WITHOUT_DIGITS = {
    "afl", "beerware", "bsd", "curl", "expat", "gfdl", "gpl", "hpnd", "icu", "isc", "lgpl", "libtiff", "mit", "mpl",
    "ncsa", "ntp", "ofl", "openssl", "perl", "php", "postgresql", "psf", "public-domain", "purdue", "python", "ruby",
    "sleepycat", "unlicense", "vim", "wtfpl", "zlib", "zpl", "zsh",
}  # fmt: skip


def normalised(licence: str) -> str:
    """Write a licence as SPDX does today: current ids, operators in upper case, no parentheses without a use.

    A name that is not known stays as it is, and so does, but for its white space, what is no expression: also prose in
    which "or" joins words that are no licences.
    """
    words = deque(_WORD.findall(_OR_LATER.sub("+", licence)))
    try:
        operands = _expression(words)
    except _NoExpression:
        return " ".join(licence.split())
    return " ".join(licence.split() if words else operands)


class _NoExpression(Exception):
    """The words are no SPDX expression (https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/)."""


def _expression(words: deque[str]) -> list[str]:
    """Take an expression off the front of ``words``; return its operands and operators in turn.

    :raises _NoExpression: when none stands there.
    """
    operand = _operand(words)
    if not words or words[0].upper() not in ("AND", "OR"):
        return operand
    parts = [_bracketed(operand)]
    while words and words[0].upper() in ("AND", "OR"):
        parts += [words.popleft().upper(), _bracketed(_operand(words))]
    return parts


def _operand(words: deque[str]) -> list[str]:
    if not words or words[0] == ")" or words[0].upper() in ("AND", "OR", "WITH"):
        raise _NoExpression
    word = words.popleft()
    if word == "(":
        inside = _expression(words)
        if not words or words.popleft() != ")":
            raise _NoExpression
        return inside
    if not (_PLAUSIBLE.fullmatch(word) or word.lower() in _WITHOUT_DIGITS):
        raise _NoExpression
    name = _SPELLINGS.get(word.lower(), word)
    if len(words) > 1 and words[0].upper() == "WITH" and words[1] not in ("(", ")"):
        words.popleft()
        return [f"{name} WITH {words.popleft()}"]
    return [name]


def _bracketed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({' '.join(parts)})"
