"""How good a text is to learn from, as one number; the lowest of a bucket are left out.

Four signs, each from 0 to 1, of equal weight: letters rather than marks and digits, the small words that hold
sentences together, variety (text that compresses too well repeats itself), and words of a natural length. The number
orders the texts of one bucket among themselves; it says nothing across buckets.
"""

from __future__ import annotations

import re

import zstandard  # of a pinned version, unlike the system's zlib: which texts stay depends on it

#: The commonest English words, which lists and dumps lack.
SMALL_WORDS = {
    "the", "of", "to", "and", "is", "in", "a", "for", "be", "this", "that", "it", "with", "are", "as", "on", "by",
    "not", "if", "can", "from", "or", "an", "which", "will", "when", "has", "all", "any", "at", "but", "do", "each",
    "have", "into", "may", "more", "must", "no", "one", "only", "other", "set", "should", "than", "then", "there",
    "these", "they", "use", "used", "using", "was", "you", "your",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+")
#: So many characters tell enough.
_SAMPLE = 20_000


def quality(text: str) -> float:
    """Return the quality of a cleaned text, from 0 to 1."""
    sample = text[:_SAMPLE]
    words = _WORD.findall(sample)
    if not words:
        return 0.0
    letters = sum(map(len, words))
    visible = len(sample) - sum(map(sample.count, " \n\t"))
    small = sum(word.lower() in SMALL_WORDS for word in words)
    raw = sample.encode("utf-8", "surrogatepass")
    # There is little to be found in short texts, whatever they say.
    compressed = len(zstandard.ZstdCompressor(level=1).compress(raw)) / len(raw) if len(raw) > 400 else 0.5
    mean = letters / len(words)
    signs = (
        _ramp(letters / max(visible, 1), 0.4, 0.8),
        _ramp(small / len(words), 0.0, 0.3),
        _ramp(compressed, 0.08, 0.3),
        min(_ramp(mean, 1.5, 3.5), 1 - _ramp(mean, 8.0, 14.0)),
    )
    return sum(signs) / len(signs)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
