"""Made exchanges: right by the tables, of every intent, without the devices held out, the same for a seed."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel_interface.devices import parse_device
from kernel_interface.intents import Intent as KernelIntent
from kernel_interface.intents import SubCommand
from slm.corpus.clean import clean_text
from slm.corpus.devices import held_out, read_kernel, write_database
from slm.corpus.documents import MADE, write_shard
from slm.corpus.fetch import Fetched
from slm.corpus.heldout import HeldOut
from slm.corpus.idlist import parse_ids
from slm.corpus.instructions import (
    SUB_COMMANDS,
    Exchange,
    Message,
    Provenance,
    intent_exchanges,
    read_exchanges,
    table_exchanges,
    write_exchanges,
)
from slm.corpus.instructions.exchange import MAX_WORDS
from slm.corpus.instructions.intents import FRAMES
from slm.corpus.instructions.recipes import RECIPES
from slm.corpus.instructions.values import VALUES
from slm.errors import CorpusError
from slm.progress import silent
from slm.prompts import ASSISTANT, SPECIAL_TOKENS, USER
from tests.data.corpus.make import write_corpus

ORIGIN = Provenance(source="test", licence="MIT", path="x")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Device tables of some hundred devices, with class rules and ids that two drivers claim."""
    folder = tmp_path_factory.mktemp("tables")
    write_corpus(folder, 0)
    devices = folder / "devices"
    aliases = (devices / "modules.alias").read_text()
    more = re.sub(r"(?m)^(alias pci:v0000\w+d0000\w+[02468]sv\S+) .*\n|.*\n", r"\1 second\n", aliases)
    (devices / "modules.alias").write_text(aliases + re.sub(r"(?m)^ second\n", "", more))
    kernel = read_kernel(Fetched(kind="folder", name="x", sha256="0", path=devices), silent)
    kernel.descriptions["tsata"] = "Driver for storage of Tessera"
    lists = {bus: parse_ids((devices / f"{bus}.ids").read_text()) for bus in ("pci", "usb")}
    write_database(folder / "tables.sqlite", lists, kernel, {"kernel": "folder:x", "kernel_version": "1"})
    return folder / "tables.sqlite"


@pytest.fixture(scope="module")
def made(tables: Path) -> list[Exchange]:
    return list(table_exchanges(tables, 2000, 0))


def answers(exchange: Exchange) -> list[str]:
    return [message.content for message in exchange.messages if message.role == "assistant"]


def test_the_intents_are_the_kernels() -> None:
    kernels = {intent.name: tuple(sub.name for sub in SubCommand if sub.intent == intent) for intent in KernelIntent}
    assert kernels == SUB_COMMANDS


def test_every_exchange_is_whole(made: list[Exchange]) -> None:
    assert len({exchange.text for exchange in made}) == len(made) > 500
    for exchange in (*made, *intent_exchanges(2000, 0)):
        assert [message.role for message in exchange.messages] == ["user", "assistant"] * (len(exchange.messages) // 2)
        assert all(0 < len(answer.split()) <= MAX_WORDS for answer in answers(exchange))
        assert exchange.sub_command in SUB_COMMANDS[exchange.intent]
        assert exchange.provenance.source and exchange.provenance.path and exchange.provenance.licence
        assert exchange.text.count(USER) == exchange.text.count(ASSISTANT) == len(exchange.messages) // 2


def test_no_exchange_names_a_device_that_is_held_out(tables: Path, made: list[Exchange]) -> None:
    finder = HeldOut(tables)
    for exchange in made:
        assert not finder.named(exchange.text)
        bus, *numbers = exchange.provenance.path.split(":")
        if len(numbers) == 2 and numbers[0] not in ("vendor", "class"):
            assert not held_out(bus, *(int(number, 16) for number in numbers))


def test_a_third_each_and_the_prompts_forms_are_the_most_frequent(tables: Path) -> None:
    made = [exchange.text for exchange in table_exchanges(tables, 600, 3)]
    assert sum(f"{USER}What is PCI" in text or f"{USER}What is USB" in text for text in made) == 200
    assert sum(f"{USER}Which driver for" in text for text in made) == 200
    assert len(made) >= 500


def test_all_about_one_device_is_in_one_split(made: list[Exchange]) -> None:
    keys: dict[str, set[str]] = {}
    for exchange in made:
        keys.setdefault(exchange.provenance.path, set()).add(exchange.key)
    assert all(len(found) == 1 for found in keys.values())


def test_drivers_are_what_the_tables_say(tables: Path, made: list[Exchange]) -> None:
    base = sqlite3.connect(tables)
    claims: dict[tuple[str, int, int], set[str]] = {}
    for bus, vendor, device, driver in base.execute("SELECT bus, vendor, device, driver FROM alias"):
        claims.setdefault((bus, vendor, device), set()).add(driver)
    known = set(base.execute("SELECT bus, vendor, device FROM device")) | set(claims)
    base.close()
    seen: Counter[str] = Counter()
    for exchange in made:
        device = parse_device(exchange.messages[0].content)
        if device is None:
            continue
        key = (device.bus, device.vendor, device.device)
        last = answers(exchange)[-1]
        if last.startswith("Unknown device"):
            assert key not in known and f"[{device.id}]" in last
            seen["unknown"] += 1
        elif exchange.sub_command == "DRV_SELECT":
            assert last in claims.get(key, claims["pci", -1, -1])
            seen["known" if key in claims else "by class"] += 1
        elif exchange.sub_command == "DRV_FALLBACK" and " " not in last:
            first = answers(exchange)[-2] if len(exchange.messages) > 2 else ""
            assert last in claims[key] and last != first
            seen["other"] += 1
        elif exchange.sub_command == "DRV_FALLBACK" and last.startswith("No other"):
            assert len(claims[key]) == 1
            seen["no other"] += 1
    assert set(seen) == {"unknown", "known", "by class", "other", "no other"}


def test_the_discovery_dialogue_is_there(made: list[Exchange]) -> None:
    lines = Counter(len(exchange.messages) for exchange in made if "MMIO=" in exchange.messages[0].content)
    assert set(lines) == {2, 4, 6}


def test_equal_seeds_give_equal_exchanges(tables: Path) -> None:
    assert list(table_exchanges(tables, 300, 1)) == list(table_exchanges(tables, 300, 1))
    assert list(table_exchanges(tables, 300, 1)) != list(table_exchanges(tables, 300, 2))
    assert list(intent_exchanges(300, 1)) == list(intent_exchanges(300, 1)) == list(intent_exchanges(900, 1))[:300]
    assert list(intent_exchanges(300, 1)) != list(intent_exchanges(300, 2))


def test_every_sub_command_is_covered_evenly() -> None:
    made = list(intent_exchanges(2300, 0))
    assert len({exchange.text for exchange in made}) == len(made) == 2300
    counts = Counter((exchange.intent, exchange.sub_command) for exchange in made)
    assert set(counts) == {(intent, sub) for intent, subs in SUB_COMMANDS.items() for sub in subs}
    assert max(counts.values()) <= 2 * min(counts.values())


def test_a_sub_command_that_has_said_all_leaves_the_rest_to_others() -> None:
    made = list(intent_exchanges(12_000, 0))
    assert len({exchange.text for exchange in made}) == len(made) == 12_000
    counts = Counter(exchange.sub_command for exchange in made)
    assert min(counts.values()) < len(made) // len(counts) < max(counts.values())
    assert not any(re.search(r"\{\w*\}", exchange.text) for exchange in made)


def test_every_recipe_can_be_filled() -> None:
    fields = {field for row in VALUES for field in row}
    assert all(len(row) == len(names) for names, rows in VALUES.items() for row in rows)
    for recipe in RECIPES:
        assert recipe.deeds or recipe.says
        for text in recipe[1:]:
            assert set(re.findall(r"\{(\w*)\}", text)) <= fields
        # What the answer speaks of must be in every question, or nobody could know it.
        for phrase in filter(None, (*recipe.deeds.split("|"), *recipe.says.split("|"), recipe.args)):
            assert set(re.findall(r"\{(\w+)\}", recipe.answer)) <= _told(phrase), (phrase, recipe.answer)
        assert clean_text(recipe.answer) == recipe.answer
    assert all(frame.count("{}") == 1 for frame in FRAMES)


def _told(phrase: str) -> set[str]:
    """Return the fields of a phrase, and those that follow from them."""
    named = set(re.findall(r"\{(\w+)\}", phrase))
    return named | {field for fields in VALUES if named.intersection(fields) for field in fields}


def test_wordings_of_one_phrase_share_a_split() -> None:
    keys: dict[str, set[str]] = {}
    for exchange in intent_exchanges(3000, 0):
        match = re.search(r"(?:un)?mount /\S+|stop (?:the )?\S+ service", exchange.messages[0].content)
        if match:
            keys.setdefault(re.sub(r"/\S+|\S+ service", "", match[0]), set()).add(exchange.key)
    assert keys and all(len(found) <= 3 for found in keys.values())


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
@settings(deadline=None)
def test_roles_must_alternate(texts: list[str]) -> None:
    turns = tuple(
        Message(role="assistant" if number % 2 else "user", content=text) for number, text in enumerate(texts)
    )
    if len(texts) % 2:
        with pytest.raises(ValidationError):
            Exchange(messages=turns, intent="TROUBLESHOOT", provenance=ORIGIN, key="k")
    else:
        document = Exchange(messages=turns, intent="TROUBLESHOOT", provenance=ORIGIN, key="k").document()
        assert document.source == MADE and document.key == "k" and document.licence == "MIT"


def test_a_sub_command_belongs_to_its_intent() -> None:
    turns = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    with pytest.raises(ValidationError, match="no sub-command"):
        Exchange(messages=turns, intent="APP_INSTALL", sub_command="MOUNT_FS", provenance=ORIGIN, key="k")


def test_special_tokens_in_texts_stay_text(tables: Path) -> None:
    for exchange in table_exchanges(tables, 100, 0):
        plain = exchange.text.replace(USER, "").replace(ASSISTANT, "")
        assert not any(token in plain for token in SPECIAL_TOKENS)


def test_a_file_of_exchanges_is_read_back(tmp_path: Path) -> None:
    made = list(intent_exchanges(50, 0))
    assert write_exchanges(tmp_path / "one", made) == write_exchanges(tmp_path / "two", made) == 50
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert list(read_exchanges(tmp_path / "one")) == made


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "other", [ORIGIN])
    with pytest.raises(CorpusError, match="Line 1"):
        list(read_exchanges(tmp_path / "other"))
