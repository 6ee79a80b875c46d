"""How well texts are sorted into intents and sub-commands, and how far the confidence can be believed:

    python -m benchmarks.intents [--mistakes]

Sets are what people type (``tests/data/phrases/typed.tsv``), the benchmark's templates and the corpus' recipes, each
in the half that the evidence was corrected with and in the half that was only measured ("last" was written after the
evidence); and the corpus' exchanges, in which recipes of both halves stand in frames ("How do I …?"). A template or
recipe is in one half with all its fillings. The reference is the commonest intent of each set.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kernel_interface.intents import ACTION_THRESHOLD, Classification, SubCommand, classify
from slm.corpus.instructions import intent_exchanges
from slm.corpus.instructions.intents import values_for
from slm.corpus.instructions.recipes import RECIPES
from slm.evaluation.benchmark.phrases import templates

TYPED = Path(__file__).parents[1] / "tests" / "data" / "phrases" / "typed.tsv"
#: Fillings of a template, and exchanges.
_FILLINGS, _EXCHANGES, _SEED = 3, 3000, 7

Phrase = tuple[SubCommand, str]


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intents", description="How well intents are told.")
    parser.add_argument("--mistakes", action="store_true", help="print what is sorted wrongly of the halves looked at")
    arguments = parser.parse_args(argv)
    print(
        f"{'set':<16} {'n':>5} {'intent':>7} {'sub-command':>11} {'commonest':>9} {'sure':>6} {'right if sure':>13} ms"
    )
    for name, phrases in sets().items():
        begun = time.perf_counter()
        found = [classify(text) for _, text in phrases]
        print(f"{name:<16} {_line(phrases, found)} {1000 * (time.perf_counter() - begun) / len(phrases):.2f}")
        if arguments.mistakes and name.endswith("tuned"):
            for (sub, text), kind in zip(phrases, found, strict=True):
                if kind.sub_command != sub:
                    print(f"    {sub.name} taken for {kind.sub_command.name} ({kind.confidence:.2f}): {text}")
    return 0


def sets() -> dict[str, list[Phrase]]:
    """Return the phrases of every set with the sub-commands that are meant."""
    return {
        **typed(),
        **_halves("templates", templates()),
        **_halves("recipes", _recipes()),
        "exchanges": [
            (SubCommand[one.sub_command], one.messages[0].content) for one in intent_exchanges(_EXCHANGES, _SEED)
        ],
    }


def typed() -> dict[str, list[Phrase]]:
    """Return the parts of what people type."""
    found: dict[str, list[Phrase]] = defaultdict(list)
    for line in TYPED.read_text().splitlines():
        if line and not line.startswith("#"):
            half, sub, text = line.split("\t")
            found[f"typed, {half}"].append((SubCommand[sub], text))
    return found


def _recipes() -> Iterator[tuple[str, str]]:
    for recipe in RECIPES:
        for phrase in "|".join((recipe.deeds, recipe.says, recipe.args)).split("|"):
            if phrase:
                yield recipe.sub_command, phrase


def _halves(name: str, phrases: Iterable[tuple[str, str]]) -> dict[str, list[Phrase]]:
    """Fill templates; of each sub-command's, every other one is held out."""
    found: dict[str, list[Phrase]] = {f"{name}, tuned": [], f"{name}, held": []}
    seen: Counter[str] = Counter()
    for sub, template in dict.fromkeys(phrases):
        half = ("tuned", "held")[seen[sub] % 2]
        seen[sub] += 1
        rng = random.Random(template)
        filled = dict.fromkeys(template.format_map(values_for(template, rng)) for _ in range(_FILLINGS))
        found[f"{name}, {half}"] += [(SubCommand[sub], text) for text in filled]
    return found


def _line(phrases: list[Phrase], found: list[Classification]) -> str:
    number = len(phrases)
    intents = sum(kind.intent == sub.intent for (sub, _), kind in zip(phrases, found, strict=True))
    right = [kind.sub_command == sub for (sub, _), kind in zip(phrases, found, strict=True)]
    sure = [is_right for is_right, kind in zip(right, found, strict=True) if kind.confidence >= ACTION_THRESHOLD]
    commonest = Counter(sub.intent for sub, _ in phrases).most_common(1)[0][1]
    return (
        f"{number:>5} {intents / number:>7.3f} {sum(right) / number:>11.3f} {commonest / number:>9.3f} "
        f"{len(sure) / number:>6.3f} {sum(sure) / len(sure):>13.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
