"""Which words have a row: canonical ones, over which a model is trained, and spellings, which the flat file adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tokenizers import Tokenizer, models, pre_tokenizers

from slm.edition.facts import maker_words, name_words
from slm.edition.lines import Knowledge
from slm.edition.words import canonical, spellings
from slm.errors import CorpusError
from slm.prompts import SPECIAL_TOKENS, UNK

#: How many of the makers and of the words in names, the commonest, can be typed.
_MAKERS, _NAME_WORDS = 60, 60

#: How a row begins that nothing needs; they are a vocabulary's last.
_SPARE = "<spare"


def fit(known: Knowledge, size: int) -> tuple[Knowledge, list[str]]:
    """Choose a vocabulary of ``size`` tokens, and leave out the least common devices that find no room in it.

    :returns: what is known with it, and the tokens by id: special ones, words of lines, answers, ids of devices. Rows
        that nothing needs are called ``<spare0>`` and so on.
    :raises CorpusError: when not even one device has room.
    """
    # A device takes an id and at most one name, so this many are surely too few to leave out.
    fewest, most = 0, len(known.devices)
    while fewest < most:
        middle = (fewest + most + 1) // 2
        if len(_tokens(_first(known, middle))) <= size:
            fewest = middle
        else:
            most = middle - 1
    if fewest == 0:
        raise CorpusError(
            f"A vocabulary of {size} has no room for a single device.",
            f"Words and answers take {len(_tokens(_first(known, 0)))}: enlarge model.vocab_size.",
        )
    fitted = _first(known, fewest)
    tokens = _tokens(fitted)
    return fitted, [*tokens, *(f"{_SPARE}{number}>" for number in range(size - len(tokens)))]


def _first(known: Knowledge, count: int) -> Knowledge:
    return replace(known, devices=known.devices[:count])


def _tokens(known: Knowledge) -> list[str]:
    made: dict[str, int] = {}
    named: dict[str, int] = {}
    for device in known.devices:
        for word in maker_words(device.maker or ""):
            made[word] = made.get(word, 0) + 1
        for word in name_words(device.name or ""):
            if word.isalpha():
                named[word] = named.get(word, 0) + 1
    words = [*known.plain_words(), *_commonest(made, _MAKERS), *_commonest(named, _NAME_WORDS)]
    answers = known.answers()
    drivers = [canonical(token) for token in answers if " " not in token]
    ids = [device.id for device in known.devices]
    telling = [word for word in known.telling]
    return list(dict.fromkeys([*SPECIAL_TOKENS, *words, *known.class_words(), *telling, *drivers, *answers, *ids]))


def _commonest(counts: dict[str, int], most: int) -> list[str]:
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]


def word_tokenizer(tokens: Sequence[str]) -> Tokenizer:
    """Return a tokenizer that reads a line as the kernel does: words between spaces, each as it stands."""
    tokenizer = Tokenizer(models.WordLevel({text: index for index, text in enumerate(tokens)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def with_spellings(tokens: Sequence[str], size: int) -> tuple[list[str], list[int]]:
    """Add spellings to a canonical vocabulary, the likeliest first, until it has ``size`` tokens or no more are known.

    :returns: the tokens, the canonical ones first and at their ids, without the spare ones at their end; and for each
        the id of the canonical one whose row it has.
    """
    tokens = [token for token in tokens if not token.startswith(_SPARE)]
    taken = set(tokens)
    found: list[tuple[int, int, str]] = []
    for index, token in enumerate(tokens):
        if index < len(SPECIAL_TOKENS) or " " in token or canonical(token) != token:
            continue  # nobody types a phrase, and what has capitals of its own is an answer alone
        found += ((rank, index, form) for rank, form in spellings(token))
    texts, rows = list(tokens), list(range(len(tokens)))
    for _, index, form in sorted(found):
        if len(texts) >= size:
            break
        if form not in taken:
            taken.add(form)
            texts.append(form)
            rows.append(index)
    return texts, rows
