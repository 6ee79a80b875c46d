"""The language below the macros of a man page (groff(7)): definitions, conditions, strings, escapes, arguments."""

from __future__ import annotations

import re
from collections import deque

CHARACTERS = {
    "-": "-", "hy": "-", "em": "—", "en": "–", "mi": "-", "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘",
    "cq": "’", "ga": "`", "ha": "^", "ti": "~", "at": "@", "sh": "#", "rs": "\\", "sl": "/", "bv": "|", "ba": "|",
    "bu": "•", "co": "(c)", "rg": "(R)", "tm": "(TM)", "de": "°", "mc": "µ", "*m": "μ", "+-": "±", "mu": "×", "di": "÷",
    "<=": "≤", ">=": "≥", "!=": "≠", "==": "≡", "~~": "≈", "->": "→", "<-": "←", "<>": "↔", "if": "∞", "Do": "$",
    "ul": "_", "lC": "{", "rC": "}", "lB": "[", "rB": "]", "la": "<", "ra": ">", "Fo": "«", "Fc": "»", "ss": "ß",
    ":a": "ä", ":o": "ö", ":u": "ü", ":A": "Ä", ":O": "Ö", ":U": "Ü", "'e": "é", "`e": "è", "'a": "á", "`a": "à",
    "'o": "ó", "'i": "í", "'u": "ú", "~n": "ñ", ",c": "ç", "oA": "Å", "oa": "å", "/o": "ø", "/O": "Ø", "ae": "æ",
    "14": "¼", "12": "½", "34": "¾", "S2": "²", "S3": "³", "*a": "α", "*b": "β", "*p": "π", "*S": "Σ", "ci": "○",
    "fm": "′", "ct": "¢", "Po": "£", "Eu": "€", "Ye": "¥", "sc": "§", "ps": "¶", "dg": "†", "dd": "‡", "no": "¬",
    "pl": "+", "eq": "=", "lh": "☜", "OK": "✓", "sq": "□", "ho": "˛", "eu": "€", "u2014": "—", "f/": "⁄", "tf": "∴",
}  # fmt: skip

_STRINGS = {
    "lq": "“", "rq": "”", "R": "(R)", "Tm": "(TM)", "S": "", "Lq": "“", "Rq": "”", "q": '"', "Le": "<=", "Ge": ">=",
    "Lt": "<", "Gt": ">", "Ne": "!=", "Pm": "+-", "Ba": "|", "Px": "POSIX", "Ai": "ANSI", "Am": "&",
}  # fmt: skip

#: What brackets hold has a length, or for each that never closes the line would be read to its end.
_ESCAPE = re.compile(
    r"""\\(?:
      (?P<comment>["\#].*)
    | [fFmMkYg](?:\[[^\]]{0,99}\]|\(..|.) | s(?:[-+]?\d{1,2}|[-+]?\(..|[-+]?\[[^\]]{0,99}\]|'[^']*')
    | [hvwlLDoSHXbARBZ]'[^']*' | [hvwlLDoSHXbAZ](?P<quote>[^\w\s']).{0,99}?(?P=quote)
    | N'(?P<code>\d{1,7})' | n[-+]?(?:\[[^\]]{0,99}\]|\(..|.)
    | \*\[(?P<string>[^\]]{0,99})\] | \*\((?P<string2>..) | \*(?P<string1>.)
    | \[(?P<name>[^\]]{0,99})\] | \((?P<name2>..) | C'(?P<name3>[^']*)'
    | (?P<char>.) | $
    )""",
    re.VERBOSE,
)
#: What stands for itself or for nothing after a backslash.
_SINGLE = {
    "-": "-", "e": "\\", "E": "\\", "\\": "\\", " ": "\u00a0", "~": "\u00a0", "0": "\u00a0", "'": "'", "`": "`",
    ".": ".", "t": "\t", "_": "_",
}  # fmt: skip


_DEFINITIONS = {"de", "de1", "dei", "am", "am1", "ami", "ig"}
_STANDARD = {
    "TH", "SH", "SS", "TP", "TQ", "IP", "PP", "P", "LP", "HP", "RS", "RE", "B", "I", "R", "SM", "SB", "BI", "IB",
    "BR", "RB", "IR", "RI", "UR", "UE", "MT", "ME", "EX", "EE", "OP", "SY", "YS", "PD", "DT", "TS", "TE", "EQ", "EN",
    "Dd", "Dt", "Os", "Sh", "Ss", "Pp", "Bl", "El", "It", "Bd", "Ed", "Nm", "Nd", "Fl", "Ar", "Op", "Xr", "nf", "fi",
    "br", "sp",
}  # fmt: skip
#: Characters that a page's own macros may bring, and as many its strings, and the least that a call of a macro counts
#: for; a macro that calls itself, or doubles its arguments, ends here.
_MAX_EXPANDED = 2_000_000
_CALL = 100


class Preprocessor:
    """What roff does before macros: comments, continued lines, definitions, conditions, strings, escapes."""

    def __init__(self) -> None:
        self.strings = dict(_STRINGS)
        self.macros: dict[str, list[str]] = {}
        self.last_was_false = False  # the condition that the next .el turns on
        self.room = _MAX_EXPANDED  # for strings

    def run(self, source: str) -> list[str]:
        """Return text lines and macro lines, with the page's own macros and strings put in their places."""
        source = source.replace("\r\n", "\n").replace("\\\n", "")
        waiting = deque(re.sub(r"^([.'])\s+", r"\1", line) for line in source.split("\n"))
        result: list[str] = []
        room = _MAX_EXPANDED
        while waiting:
            line = self._chosen(waiting.popleft(), waiting)
            request, _, rest = line[1:].partition(" ") if line[:1] in (".", "'") else ("", "", "")
            name = request.strip()
            if not line.startswith((".", "'")):
                result.append(self.strung(line))
            elif re.match(r"\\[\"#]|$", name) or line.startswith(("'''", "..")) or name in ("so", "als", "mso"):
                continue
            elif name in _DEFINITIONS:
                self._define(name, re.sub(r"\\[\"#].*", "", rest).split(), waiting)
            elif name in ("ds", "ds1"):
                key, _, value = rest.strip().partition(" ")
                self.strings[key] = value.lstrip().removeprefix('"')
            elif name in self.macros and room > 0:
                given = arguments(self.strung(rest))
                size = sum(map(len, given))
                room -= _CALL + sum(len(text) + text.count(r"\$") * size for text in self.macros[name])
                if room > 0:
                    waiting.extendleft(reversed(self._expanded(name, given)))
            else:
                result.append(self.strung(line))
        return result

    def _chosen(self, line: str, waiting: deque[str]) -> str:
        """Resolve ``.if``, ``.ie`` and ``.el``: return what is left of the line.

        A block that is not to be read is taken from ``waiting``.
        """
        for _ in range(8):  # a condition may stand before another
            match = re.match(r"[.'](if|ie|el)\b\s*(.*)", line)
            if not match:
                break
            if match[1] == "el":
                true, body = self.last_was_false, match[2]
            else:
                true, body = condition(match[2])
                if match[1] == "ie":
                    self.last_was_false = not true
            if not true:
                depth = body.count(r"\{") - body.count(r"\}")
                while depth > 0 and waiting:
                    skipped = waiting.popleft()
                    depth += skipped.count(r"\{") - skipped.count(r"\}")
                return '.\\"'
            line = re.sub(r"^([.'])\s+", r"\1", re.sub(r"^\\\{\s*", "", body)) or '.\\"'
        return line.replace(r"\{", "").replace(r"\}", "") or ("" if not line else '.\\"')

    def _define(self, name: str, words: list[str], waiting: deque[str]) -> None:
        """Take a definition's body from ``waiting``; a page's own version of a standard macro is not used."""
        macro, end = ("", words[:1]) if name == "ig" else (words[0] if words else "", words[1:2])
        until = end[0] if end else "."
        body = []
        while waiting:
            line = waiting.popleft()
            if line.rstrip() in (f".{until}", f"'{until}"):
                break
            body.append(line)
        if name in ("de", "de1") and macro not in _STANDARD:
            self.macros[macro] = body

    def _expanded(self, name: str, given: list[str]) -> list[str]:
        def value(match: re.Match[str]) -> str:
            number = int(match[1])
            return given[number - 1] if 0 < number <= len(given) else ""

        body = (line.replace("\\\\", "\\").replace(r"\$*", " ".join(given)) for line in self.macros[name])
        return [re.sub(r"\\\$(\d)", value, line) for line in body]

    def strung(self, line: str, depth: int = 0) -> str:
        r"""Replace strings (``\*x``) and remove comments."""
        if "\\" not in line:
            return line
        line = re.sub(r'(?<!\\)((?:\\\\)*+)\\["#].*', r"\1", line)

        def value(match: re.Match[str]) -> str:
            text = self.strings.get(match[1] or match[2] or match[3], "")
            self.room -= len(text)
            return text if self.room >= 0 else ""

        expanded = re.sub(r"\\\*(?:\[([^\]]{0,99})\]|\((..)|(.))", value, line)
        return expanded if expanded == line or depth > 4 or len(expanded) > 10_000 else self.strung(expanded, depth + 1)


def condition(text: str) -> tuple[bool, str]:
    """Evaluate what follows ``.if`` the way nroff would; return whether it holds, and the rest of the line."""
    negated = text.startswith("!")
    text = text[negated:]
    if match := re.match(r"([^\w\s\\(])(.*?)\1(.*?)\1\s*(.*)", text):
        true, rest = match[2] == match[3], match[4]
    elif match := re.match(r"(?:[rdcFS]\s*\S+|\S+)\s*(.*)", text):
        word = text[: match.start(1)].strip()
        if word.startswith(r"\n") and len(word) > 3 and r"\{" not in word:
            true = word == r"\n(.g" or word.startswith(r"\n[.g]")
        else:
            true = word.startswith("n")
        rest = match[1]
    else:
        true, rest = False, ""
    return true != negated, rest


def plain(text: str) -> str:
    """Replace roff's escapes by the characters that they print."""
    if "\\" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name = match["name"] or match["name2"] or match["name3"]
        if name is not None:
            if code := re.fullmatch(r"u([0-9A-F]{4,6})(?:_.*)?", name):
                return chr(int(code[1], 16)) if int(code[1], 16) < 0x110000 else ""
            return CHARACTERS.get(name, "")
        if match["code"]:
            return chr(int(match["code"])) if int(match["code"]) < 0x110000 else ""
        return _SINGLE.get(match["char"] or "", "")

    return _ESCAPE.sub(value, text)


def arguments(rest: str) -> list[str]:
    """Split a macro's arguments: separated by blanks, ``"…"`` holds blanks, ``""`` inside quotes is a quote."""
    found: list[str] = []
    for match in re.finditer(r'"((?:[^"]|"")*+)"?|((?:\\.|[^\s\\])++|\\)', rest):
        found.append(match[1].replace('""', '"') if match[1] is not None else match[2])
    return found
