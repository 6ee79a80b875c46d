"""Items from documents: the next word of a manual page's example, and the order of a procedure's commands."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from slm.corpus.documents import MADE, Document
from slm.corpus.instructions.manuals import manual_questions
from slm.corpus.instructions.wording import is_prose
from slm.evaluation.benchmark.items import CommandCompletion, InstallSteps, Item

#: A word that the command's maker chose, not its user: an option or a sub-command, no file, number or address.
_CHOSEN = re.compile(r"--?[A-Za-z][A-Za-z-]*|[a-z][a-z-]{2,}")

#: A line of a session: a prompt, then a command, which begins with a small letter or a path.
_PROMPTED = re.compile(r"\s*(?:[\w~:/@.-]*[#$]) +((?:sudo )?[a-z./][\w./+-]*(?: .*)?)")
_NO_COMMANDS = re.compile(r"^(?:define|include|if|ifdef|ifndef|endif|else|undef|pragma)\b")
#: Words before a listing that say that its commands are no procedure.
_ALTERNATIVES = re.compile(r"\b(?:one of|either|any of|alternativ\w*|respectively|examples)\b", re.IGNORECASE)
_FEWEST, _MOST = 3, 8
_LONGEST = 120


def command_item(said: str, command: str, label: str | None, seed: int) -> CommandCompletion | None:
    """Ask for one word of a command, chosen by ``seed`` among those that can be known; None when there is none."""
    words = command.split()
    if "\n" in command or len(words) < 3:
        return None
    places = [place for place, word in enumerate(words) if place > 0 and _CHOSEN.fullmatch(word)]
    if not places:
        return None
    place = random.Random(f"{seed}:{command}").choice(places)
    return CommandCompletion(label=label, text=said, command=" ".join(words[:place]), answer=(words[place],))


def steps_item(said: str, listing: str, label: str | None, seed: int) -> InstallSteps | None:
    """Ask for the order of a listing's commands; None when it is no procedure of three to eight of them."""
    steps = _session(listing)
    if (
        not _FEWEST <= len(steps) <= _MOST
        or len(set(steps)) < len(steps)
        or len({step.split()[0] for step in steps}) < 2
        or _ALTERNATIVES.search(said)
    ):
        return None
    shown = random.Random(f"{seed}:{steps}").sample(steps, len(steps))
    return InstallSteps(label=label, text=said, steps=tuple(shown), answer=tuple(steps))


def _session(listing: str) -> list[str]:
    """Return the commands of a listing of a session without their prompts; nothing when it is something else."""
    lines = [line for line in listing.split("\n") if line.strip()]
    commands = [match[1].strip() for line in lines if (match := _PROMPTED.fullmatch(line))]
    broken = any(len(command) > _LONGEST or command.endswith("\\") for command in commands)
    return [] if broken or len(commands) < 0.6 * len(lines) or any(map(_is_comment, commands)) else commands


def _is_comment(command: str) -> bool:
    """Say whether what stands behind ``#`` is a directive or a sentence."""
    words = command.split()
    return bool(_NO_COMMANDS.match(command)) or (len(words) > 3 and all(word.strip(",.;:").isalpha() for word in words))


def document_items(document: Document, label: str | None, seed: int) -> Iterator[Item]:
    """Yield what a document of the corpus, none that was made, gives: completions and procedures."""
    if document.source == MADE or document.bucket not in ("instructions", "sysadmin"):
        return
    for question in manual_questions(document):
        if question.kind == "manual example" and (item := command_item(*question.pairs[0], label, seed)):
            yield item
    blocks = document.text.split("\n\n")
    for before, block in zip(["", *blocks], blocks, strict=False):
        said = re.split(r"(?<=[.!?]) ", " ".join(before.split()))[-1][-300:]
        if steps := steps_item(said, block, label, seed):
            yield steps
        # What stands above may be a command too, which would show more of the answer than it says what is wanted.
        commands = _session(block) if is_prose(said) else []
        if commands and (item := command_item(said, commands[0], label, seed)):
            yield item
