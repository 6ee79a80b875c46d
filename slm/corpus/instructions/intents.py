"""Exchanges for each of the kernel's six intents and all their sub-commands, in a person's words and the kernel's."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from slm.corpus.documents import text_key
from slm.corpus.instructions.exchange import INTENT_OF, Exchange, Provenance, make_exchange
from slm.corpus.instructions.recipes import RECIPES, Recipe
from slm.corpus.instructions.values import VALUES

#: How a deed is asked for. The bare deed, first and twice, is what is typed at a prompt.
FRAMES = (
    "{}", "{}", "How do I {}?", "Please {}.", "I want to {}.", "Can you {}?", "What is the command to {}?",
    "I need to {}.", "How can I {}?", "Tell me how to {}.", "Help me to {}.", "What do I run to {}?",
)  # fmt: skip

#: How often a wish comes in the ``key=value`` form of the kernel, where it has one.
_ARGS = 0.2

#: After so many draws in a row that gave nothing new, a sub-command is exhausted.
_PATIENCE = 200


def intent_exchanges(count: int, seed: int) -> Iterator[Exchange]:
    """Yield at most ``count`` different exchanges, spread evenly over all sub-commands.

    All wordings of one phrase share a key, so that phrases of the test split were never seen in training.
    """
    recipes: dict[str, list[Recipe]] = {}
    for recipe in RECIPES:
        recipes.setdefault(recipe.sub_command, []).append(recipe)
    sources = [_draw(sub, found, random.Random(f"{seed}:{sub}")) for sub, found in recipes.items()]
    made = 0
    while sources:
        for source in list(sources):
            if made >= count:
                return
            exchange = next(source, None)
            if exchange is None:
                sources.remove(source)
            else:
                made += 1
                yield exchange


def _draw(sub_command: str, recipes: list[Recipe], rng: random.Random) -> Iterator[Exchange]:
    origin = Provenance(source="made:intents", licence="MIT", path=f"intent:{sub_command}")
    seen: set[str] = set()
    misses = 0
    while misses < _PATIENCE:
        recipe = rng.choice(recipes)
        phrase, question = _worded(recipe, rng)
        values = values_for(question + recipe.answer, rng)
        turns = [text.format_map(values) for text in (question, recipe.answer)]
        exchange = make_exchange(
            turns, sub_command, INTENT_OF[sub_command], origin, text_key(f"{sub_command}:{phrase}")
        )
        if exchange is None or exchange.text in seen:
            misses += 1
            continue
        seen.add(exchange.text)
        misses = 0
        yield exchange


def _worded(recipe: Recipe, rng: random.Random) -> tuple[str, str]:
    """Choose a phrase, and word it; its fields are still to be filled."""
    if recipe.args and rng.random() < _ARGS:
        return recipe.args, recipe.args
    deeds, says = ([phrase for phrase in phrases.split("|") if phrase] for phrases in (recipe.deeds, recipe.says))
    phrase = rng.choice(deeds + says)
    return phrase, phrase if phrase in says else rng.choice(FRAMES).replace("{}", phrase)


def values_for(text: str, rng: random.Random) -> dict[str, str]:
    """Choose a value for every field in braces in ``text``; fields that belong together come from one row."""
    wanted = set(re.findall(r"\{(\w+)\}", text))
    return {
        field: value
        for fields, rows in VALUES.items()
        if wanted.intersection(fields)
        for field, value in zip(fields, rng.choice(rows), strict=True)
    }
