"""Does the model write text, rather than nothing, noise or the same words for ever?

A model is loaded afresh from its checkpoint's files alone and continues some fixed beginnings, seeded, so that the
same checkpoint always gives the same samples. The measures are pure functions of text.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.errors import ArtefactError
from slm.evaluation.figures import Coherence, Sample
from slm.model.llama import load_model
from slm.progress import Progress, Reporter, silent
from slm.prompts import BOS, driver_question, identify_question, prompt

NEW_TOKENS = 64
#: Sampling that is neither greedy, which makes any small model loop, nor the raw distribution, whose tail is noise.
TEMPERATURE = 0.8
TOP_K = 40

#: A text loops when a block of words stands so often in a row, or when so few of its word 3-grams are distinct.
LOOP_TURNS = 6
LOOP_TRIGRAMS = 0.5

#: The longest block of words that :func:`longest_repetition` looks for.
MAX_PERIOD = 8

#: One or two beginnings for each of the four corpus buckets; the questions are asked as the kernel asks them.
BEGINNINGS = (
    f"{BOS}The function returns 0 on success and",
    f"{BOS}/* This driver supports",
    f"{BOS}The device is connected to the PCI bus and",
    f"{BOS}The controller has two interrupt lines,",
    f"{BOS}To mount a file system, use the command",
    f"{BOS}The configuration file is read by",
    prompt(identify_question("pci", 0x8086, 0x100E, 0x0200)),
    prompt(driver_question("pci", 0x1AF4, 0x1000, 0x0200)),
)


def distinct_trigrams(texts: Sequence[str]) -> float:
    """Return the share of word 3-grams that are distinct within their text, over all texts; 1 when there are none."""
    distinct, total = 0, 0
    for text in texts:
        words = text.split()
        trigrams = list(zip(words, words[1:], words[2:], strict=False))
        distinct += len(set(trigrams))
        total += len(trigrams)
    return distinct / total if total else 1.0


def longest_repetition(text: str) -> int:
    """Return how many times in a row some block of at most ``MAX_PERIOD`` words stands; 0 for a text without words."""
    words = text.split()
    longest = min(1, len(words))
    for period in range(1, min(MAX_PERIOD, len(words) // 2) + 1):
        equal = 0  # words in a row that equal the word one period before
        for here, before in zip(words[period:], words, strict=False):
            equal = equal + 1 if here == before else 0
            longest = max(longest, 1 + equal // period)
    return longest


def loops(text: str) -> bool:
    """Say whether a text goes round in circles: in blocks of words, in phrases, or within one word without end."""
    data = text.encode()
    # Prose of this length packs to about half its size; a fifth is nothing but repetition.
    packed = len(data) >= 100 and len(zlib.compress(data, 9)) < 0.2 * len(data)
    return packed or longest_repetition(text) >= LOOP_TURNS or distinct_trigrams([text]) < LOOP_TRIGRAMS


def measure(samples: Sequence[Sample]) -> Coherence:
    """Measure samples; U+FFFD in one stands for bytes that are not UTF-8."""
    texts = [sample.text for sample in samples]
    return Coherence(
        samples=list(samples),
        empty=sum(not text.split() for text in texts),
        invalid=sum("\N{REPLACEMENT CHARACTER}" in text for text in texts),
        distinct_trigrams=distinct_trigrams(texts),
        looping=sum(map(loops, texts)),
    )


def coherence(
    checkpoint: Path, beginnings: Sequence[str] = BEGINNINGS, seed: int = 0, report: Reporter = silent
) -> Coherence:
    """Load the model in the folder ``checkpoint`` from its files alone, let it write, and measure what it wrote.

    :raises ArtefactError: when model or tokenizer do not load.
    """
    model, tokenizer = load_model(checkpoint), load_tokenizer(checkpoint)
    samples = []
    for number, beginning in enumerate(beginnings):
        samples.append(Sample(prompt=beginning, text=continued(model, tokenizer, beginning, seed + number)))
        report(Progress("sample", number + 1, len(beginnings), "samples"))
    return measure(samples)


def load_tokenizer(checkpoint: Path) -> PreTrainedTokenizerFast:
    """Load a checkpoint's tokenizer from its files alone.

    :raises ArtefactError: when it does not load.
    """
    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            checkpoint, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(f"The tokenizer in {checkpoint} does not load: {error}", "Build it again.") from error
    return tokenizer


def tokens_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return a text's token ids, no marker added.

    transformers' own ``encode`` makes a batch of the one text, for which the library starts a thread for every
    processor and panics where there is no room for their stacks.
    """
    ids: list[int] = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def continued(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    beginning: str,
    seed: int,
    tokens: int = NEW_TOKENS,
    cached: bool = True,
) -> str:
    """Sample a continuation; a character that the last token left unfinished is dropped.

    :param cached: without it, every token goes through the model anew: for an attention that knows no cache.
    :raises ArtefactError: when the beginning fills the model's context.
    """
    ids = torch.tensor([tokens_of(tokenizer, beginning)], device=model.device)
    room = min(tokens, model.config.max_position_embeddings - ids.shape[1])
    if room < 1:
        raise ArtefactError(
            f"The beginning {beginning!r} leaves no room in a context of {model.config.max_position_embeddings}."
        )
    generator = torch.Generator().manual_seed(seed)
    written: list[int] = []
    given, cache = ids, None
    with torch.inference_mode():
        while len(written) < room and model.config.eos_token_id not in written[-1:]:
            out = model(input_ids=given, past_key_values=cache, use_cache=cached)
            cache = out.past_key_values
            scores, choices = (out.logits[0, -1].float().cpu() / TEMPERATURE).topk(min(TOP_K, model.config.vocab_size))
            chosen = choices[torch.multinomial(scores.softmax(-1), 1, generator=generator)][None].to(ids.device)
            given = chosen if cached else torch.cat((given, chosen), dim=1)
            written.append(int(chosen))
    text = str(tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return text if written[-1] == model.config.eos_token_id else text.rstrip("\N{REPLACEMENT CHARACTER}")
