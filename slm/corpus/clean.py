"""Cleaning: what a text loses before a model reads it, and which texts are not kept at all."""

from __future__ import annotations

import re

from slm.prompts import SPECIAL_TOKENS
from slm.spec import CorpusSpec

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd\ud800-\udfff]"
)
_MAIL = re.compile(r"<?\b[\w.+-]+(?:@|\s?\(at\)\s?|\s?\[at\]\s?)(?:[\w-]+\.)+[A-Za-z]{2,}\b>?")
#: Lines that say who wrote something; a person's name is no knowledge about computers.
_CREDIT = re.compile(
    r"(?im)^[^\w\n]*(?:(?:original |main )?authors?|maintainers?|maintained by|written by|contributed by|contacts?|"
    r"copyright|(?:signed-off|reviewed|acked|tested|reported|suggested|co-developed)-by|cc)\s*(?::|by\b)?.*<email>.*\n?"
    r"|^[^\w\n]*(?:author|maintainer|contact|copyright)s?\s*:.*\n?"
)
#: A line of marks only, which rules off what stands above it.
_RULE = re.compile(r"(?m)^[ \t]*([-=~*_#+.^\"'`])(?:[ \t]*\1){3,}[ \t]*\n")
_SPECIAL = re.compile("|".join(re.escape(token) for token in SPECIAL_TOKENS))

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
    """Mend a text: control characters, white space, mail addresses, credits, ruled lines, special tokens.

    Cleaning a clean text changes nothing.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROL.sub("", text).replace("\u00a0", " ").expandtabs(8)
    if "@" in text or "at)" in text or "at]" in text:
        text = _MAIL.sub("<email>", text)
    text = _CREDIT.sub("", text)
    text = _RULE.sub("", text + "\n")
    text = neutral(text)
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"([-=_*.~#])\1{7,}", r"\1\1\1\1", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def neutral(text: str) -> str:
    """Write special tokens so that they are plain text: ``<eos>`` becomes ``< eos >``."""
    return _SPECIAL.sub(lambda match: f"< {match[0][1:-1]} >", text)


def reject_reason(text: str, spec: CorpusSpec) -> str | None:
    """Say why a cleaned text is not kept; None when it is."""
    if len(text) < spec.min_characters:
        return "too short"
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
