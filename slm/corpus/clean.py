"""Cleaning: what a text loses before a model reads it, and which texts are not kept at all.

Persons become ``<name>`` and ``<email>``, secrets ``<secret>``: a model should know neither.
"""

from __future__ import annotations

import re

from slm.prompts import SPECIAL_TOKENS
from slm.spec import CorpusSpec

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd\ud800-\udfff]"
)
#: Quantifiers are bounded and runs of blanks are shortened first, so that no text takes more than linear time.
_MAIL = re.compile(
    r"<?(?<![\w.+-])[\w.+-]{1,64}(?:@|\s?[(\[](?i:at)[)\]]\s?)(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b>?"
    r"|(?<![\w.+-])[\w.+-]{1,64} (?:at|AT) [\w-]{1,63}(?: (?:dot|DOT) [\w-]{2,24}){1,4}"
)
_DOUBLED = re.compile(r"(?<!<)<+<email>>+|<[\w.+-]{1,64} (?:at|AT) (?:[\w-]{1,63}\.){1,4}[A-Za-z]{2,24}>")
_MAIL_SIGNS = ("@", "at)", "at]", "AT)", "AT]", " dot ", " DOT ")
#: Short lines that say who wrote something; a person's name is no knowledge about computers.
_CREDIT = re.compile(
    r"(?im)^[^\w\n]{0,20}(?:(?:original |main )?authors?|maintainers?|contacts?|copyright|cc|"
    r"(?:signed-off|reviewed|acked|tested|reported|suggested|co-developed)-by)[ \t]{0,8}:.{0,200}$\n?"
)
#: A person right before a mail address, or behind the words of a copyright: two or three capitalised names.
_NAMES = r"(?:[A-ZÀ-Þ][\w.'-]{1,30}[ \t]{1,3}|[A-ZÀ-Þ]\.[ \t]{1,3}){1,2}[A-ZÀ-Þ][\w'-]{1,30}"
_PERSON = re.compile(rf"(?<![\w.'-]){_NAMES}(?=[ \t]{{0,3}},?[ \t]{{0,3}}\(?<email>)")
_OWNER = re.compile(
    rf"(?i:(copyright[ \t]{{0,3}}(?:\(c\)|©)?[ \t]{{0,3}}[\d–, \t-]{{0,40}}(?:by[ \t]{{1,3}})?))({_NAMES})"
)
#: Behind the words of who made it; companies and projects are no persons.
_MAKER = re.compile(
    rf"((?i:\b(?:written|authored|contributed|developed|maintained|ported)[ \t]{{1,3}}by)[ \t]{{1,3}}"
    rf"|\bAuthors?[ \t]{{0,8}}:?[ \t]{{1,3}}|\bMaintainers?[ \t]{{0,8}}:[ \t]{{1,3}})({_NAMES})"
)
#: The capitalised words right behind a name.
_MORE = re.compile(r"(?:[ \t]{1,3}[A-Z][\w-]{0,30}){0,3}")
_FIRM = re.compile(
    r"(?i)\b(?:corp|inc|ltd|llc|gmbh|co|foundation|project|team|group|university|institute|labs?|laborator\w+|systems?|"
    r"technolog\w+|semiconductor\w*|electronics|communications?|networks?|software|computers?|consortium|community|"
    r"agency|list|source|compiler|driver|controller|tools?|generator|profile|guide|"
    r"hat|linux|bsd|kernel|unix|debian|gnu|microsystems|devices?|instruments|microelectronics|the)\b"
)
#: No table is wider.
_WIDEST = 60
_WIDE = re.compile(rf"(?<! ) {{{_WIDEST},}}")
#: What is given as somebody's password or key: a name that says so, and a value that is no word, path, call or
#: variable.
_GIVEN = re.compile(
    r"((?i:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|\bpsk)[\"']?"
    r"[ \t]{0,8}[:=][ \t]{0,4}[\"']?)(?!/|0x|(?i:sha|md5|wpa|hmac|aes|scram))"
    r"(?=[^\s\"',;:<>()\[\]{}$]{0,60}[0-9])(?=[^\s\"',;:<>()\[\]{}$]{0,60}[A-Za-z])"
    r"[^\s\"',;:<>()\[\]{}$]{8,200}+(?![(\[:])"
)
_GIVEN_SIGNS = ("pass", "secret", "key", "token", "psk")
#: Not at the beginning of a line, where a difference has what was added.
_PHONE = re.compile(r"(?<=[^\n\w+])\+[1-9]\d{0,2}[ .-]\(?\d{2,4}\)?[ .-]\d{3,4}[ .-]?\d{3,4}(?![\w-])")
#: What programs take for keys: private keys, hashed passwords, and the tokens of well-known services.
_SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
    r"|\$(?:1|2[aby]|5|6|y)\$[./A-Za-z0-9$=,]{20,}"
    r"|(?<![\w-])eyJ[\w-]{10,4000}\.[\w-]{10,4000}(?:\.[\w-]{10,4000})?"
    r"|(?<![\w-])sk-(?=[\w-]{0,60}[0-9])(?=[\w-]{0,60}[A-Z])[\w-]{20,200}"
    r"|\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|xox[baprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{35})\b",
    re.DOTALL,
)
#: A line of a dump: an offset with hexadecimal numbers, or sixty and more characters of base64 with what follows of it;
#: and what frames it.
_DUMP = re.compile(
    r"(?m)^[ \t>*#/]{0,60}(?:"
    r"(?:0x)?[0-9A-Fa-f]{4,16}[:| \t]+(?:[0-9A-Fa-f]{2,8}[ \t,]+){7,}.*"
    r"|(?:(?:0x)?[0-9A-Fa-f]{2}[ \t,;]+){11,}(?:0x)?[0-9A-Fa-f]{2}.*"
    r"|(?=[A-Za-z+/]{0,60}[0-9+/])(?=[a-z0-9+/]{0,60}[A-Z])[A-Za-z0-9+/]{60,}={0,2}"
    r"(?:[ \t]*\n[ \t>*#/]{0,60}(?:[A-Za-z0-9+/]{2,60}={1,2}"
    r"|(?=[a-z0-9+/]{0,60}[A-Z])(?=[A-Za-z+/]{0,60}[0-9])[A-Za-z0-9+/]{16,60})(?=[ \t]*\n))?"
    r"|-----(?:BEGIN|END) (?![A-Z ]{0,30}PRIVATE KEY)[A-Z0-9 ]{3,40}-----"
    r")[ \t]*\n"
)
#: Paragraphs about who may copy what: the same in thousands of files, and no knowledge of systems.
_LICENCE = re.compile(
    r"(?i)^(?:[^\w\n]*(?:"
    r"this (?:program|file|software|library|driver|code|manual|documentation|document|package) is free software"
    r"|permission is (?:hereby )?granted"
    r"|redistribution and use in source and binary forms"
    r"|you should have received a copy of the"
    r"|(?:this|the) (?:program|file|software|library) is distributed in the hope"
    r"|this (?:software|program|file) is provided"
    r"|the above copyright notice"
    r"|licensed under the (?:apache|gnu|gpl|mit|bsd)"
    r"|this is free documentation; you can redistribute"
    r"|this (?:program|file|software|source code|code) is (?:licensed|released|subject|made available|dual)"
    r"))"
)
#: Mojibake: UTF-8 that was once read as Windows-1252.
_MISREAD = re.compile("(?:[\u00c2\u00c3][\u0080-\u00bf\u2018-\u203a\u20ac\u2122\u0152-\u0178]|\u00e2\u20ac.)+")

#: A line of marks only, which rules off what stands above it.
_RULE = re.compile(r"(?m)^[ \t]*([-=~*_#+.^\"'`])(?:[ \t]*\1){3,}[ \t]*\n")
_SPECIAL = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))

#: No word of any language is longer.
_LONGEST_WORD = 1000

_NO_LETTER = re.compile(r"[\W\d_]+")
_NO_ASCII_LETTER = re.compile(r"[^A-Za-z]+")

_ENGLISH = {
    "the", "of", "to", "and", "is", "in", "a", "for", "be", "this", "that", "it", "with", "are", "as", "on", "by",
    "not", "if", "can", "from", "or", "an", "which", "will", "when", "has",
}  # fmt: skip
_FOREIGN = {
    "der", "die", "das", "und", "ist", "nicht", "mit", "ein", "eine", "für", "von", "zu", "den", "auf", "le", "la",
    "les", "des", "est", "et", "une", "pour", "dans", "que", "qui", "sur", "pas", "du", "el", "los", "las", "es",
    "en", "por", "para", "con", "una", "del", "se", "il", "di", "che", "non", "per", "sono", "della", "um", "uma",
    "não", "com", "os", "dos", "het", "een", "van", "niet", "voor",
}  # fmt: skip


def clean_text(text: str) -> str:
    """Mend a text: encoding, control characters, white space, people, secrets, dumps, licences, special tokens.

    Cleaning a clean text changes nothing.
    """
    while (cleaner := _clean_once(text)) != text:
        text = cleaner
    return text


def _clean_once(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\u00e2" in text or "\u00c3" in text or "\u00c2" in text:
        text = _MISREAD.sub(_read_again, text)
    text = _CONTROL.sub("", text).replace("\u00a0", " ").expandtabs(8)
    text = _WIDE.sub(" " * _WIDEST, text)
    text = _DUMP.sub("", text + "\n")
    if any(sign in text for sign in _MAIL_SIGNS):
        text = _MAIL.sub("<email>", text)
    text = _DOUBLED.sub("<email>", text)
    text = _SECRET.sub("<secret>", text)
    lower = text.lower()
    if any(sign in lower for sign in _GIVEN_SIGNS):
        text = _GIVEN.sub(r"\1<secret>", text)
    if "+" in text:
        text = _PHONE.sub("<phone>", text)
    text = _CREDIT.sub("", text)
    if "<email>" in text:
        text = _PERSON.sub("<name>", text)
    text = _MAKER.sub(_unnamed, text)
    if "opyright" in text or "OPYRIGHT" in text:
        text = _OWNER.sub(r"\1<name>", text)
    text = _RULE.sub("", text + "\n")
    text = "\n\n".join(part for part in text.split("\n\n") if not _LICENCE.match(part))
    text = neutral(text)
    text = re.sub(r"(?<![ \t])[ \t]+\n", "\n", text)
    text = re.sub(r"([-=_*.~#])\1{7,}", r"\1\1\1\1", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _unnamed(match: re.Match[str]) -> str:
    more = _MORE.match(match.string, match.end())
    return match[0] if _FIRM.search(match[2] + (more[0] if more else "")) else f"{match[1]}<name>"


def _read_again(match: re.Match[str]) -> str:
    """Read a stretch of mojibake as what it was; leave it where it was none."""
    try:
        return b"".join(map(_byte, match[0])).decode("utf-8")
    except UnicodeError:
        return match[0]


def _byte(char: str) -> bytes:
    """Return the byte that Windows-1252 shows as ``char``; the five that it does not use stand for themselves."""
    try:
        return char.encode("cp1252")
    except UnicodeEncodeError:
        return char.encode("latin-1")


def neutral(text: str) -> str:
    """Write special tokens so that they are plain text: ``<eos>`` becomes ``< eos >``."""
    return _SPECIAL.sub(lambda match: f"< {match[0][1:-1]} >", text)


def reject_reason(text: str, spec: CorpusSpec, table: bool = False) -> str | None:
    """Say why a cleaned text is not kept; None when it is.

    :param table: it was written from a table, and may hold more numbers and names than words.
    """
    if len(text) < spec.min_characters:
        return "too short"
    if table:
        return None
    letters = len(_NO_LETTER.sub("", text))
    visible = len("".join(text.split()))
    if letters < 0.4 * visible:
        return "mostly symbols"
    if not text.isascii() and letters - len(_NO_ASCII_LETTER.sub("", text)) > 0.1 * letters:
        return "not English"
    words = _NO_LETTER.split(text.lower())
    foreign = sum(map(_FOREIGN.__contains__, words))
    if len(words) >= 40 and foreign > 0.08 * len(words) and foreign > sum(map(_ENGLISH.__contains__, words)):
        return "not English"
    if max(map(len, words)) > _LONGEST_WORD or (len(words) > 500 and len(set(words)) < 0.02 * len(words)):
        return "repetitive"
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) >= 20 and len(set(lines)) < 0.4 * len(lines):
        return "repetitive"
    return None


def cut(text: str, longest: int) -> list[str]:
    """Cut a text into parts of at most ``longest`` characters.

    The place is between paragraphs, else between lines, else between words, else anywhere.
    """
    parts: list[str] = []
    while len(text) > longest:
        end = -1
        for mark in ("\n\n", "\n", " "):
            end = text.rfind(mark, longest // 4, longest + 1)
            if end > 0:
                break
        end = end if end > 0 else longest
        parts.append(text[:end].strip())
        text = text[end:].strip()
    return [part for part in (*parts, text) if part]


def normal_form(text: str) -> str:
    """Return what two copies of a text share, whatever their case and white space."""
    return " ".join(text.casefold().split())
