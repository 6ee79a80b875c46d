from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from slm.corpus.devices import DATABASE, Kernel, held_out, write_database
from slm.corpus.documents import MADE, text_key
from slm.corpus.instructions.intents import FRAMES
from slm.corpus.instructions.recipes import RECIPES
from slm.corpus.mix import split_of
from slm.errors import ArtefactError, BenchmarkError, SourceError
from slm.evaluation.benchmark.__main__ import main
from slm.evaluation.benchmark.devices import Facts, drivers_told
from slm.evaluation.benchmark.documents import steps_item
from slm.evaluation.benchmark.generate import FILES, build_benchmark, check, corpus_spec, silent_about
from slm.evaluation.benchmark.items import (
    CommandCompletion,
    DeviceTree,
    DriverSelect,
    Identify,
    InstallSteps,
    IntentPhrase,
    Item,
    read_items,
)
from slm.evaluation.benchmark.leaks import LeakFinder, Text
from slm.evaluation.benchmark.phrases import templates
from slm.lineage import read_manifest, verify
from slm.progress import silent
from tests.slm.evaluation.conftest import document, write_finished

ALIASES = """
alias pci:v00008000d00002FFFsv*sd*bc*sc*i* nwe
alias pci:v00008000d00002FFEsv*sd*bc*sc*i* brand-new
alias of:N*T*Chalden,wifi1 hwifi
alias of:N*T*Chalden,wifi1C* hwifi
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newer kernel: two ids more, one of them with a driver that is new, and some compatible strings."""
    folder = tmp_path_factory.mktemp("kernel")
    more = "".join(f"alias of:N*T*Chalden,wifi{number} hwifi\n" for number in range(2, 60))
    (folder / "modules.alias").write_text(ALIASES + more)
    return folder


@pytest.fixture(scope="module")
def benchmark(finished_corpus: Path, kernel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("benchmarks") / "test"
    build_benchmark(finished_corpus, out, out, silent, newer=str(kernel), device_tree=str(kernel))
    return out


@pytest.fixture(scope="module")
def items(benchmark: Path) -> list[Item]:
    return read_items(benchmark / "benchmark.jsonl")


def test_random_devices_are_exactly_those_held_out(benchmark: Path, items: list[Item], finished_corpus: Path) -> None:
    training = [*read_items(benchmark / "training.jsonl"), *read_items(benchmark / "validation.jsonl")]
    asked = {item.device.key for item in items if isinstance(item, DriverSelect) and item.label == "random"}
    shown = {item.device.key for item in training if isinstance(item, DriverSelect)}
    assert asked and all(held_out(*key) for key in asked)
    assert shown and not any(held_out(*key) for key in shown)
    spec, known = corpus_spec(finished_corpus), Facts(finished_corpus / "devices" / DATABASE).drivers.keys()
    assert known - asked == shown
    # No model is trained on those whose exchanges are in the corpus' test split, where perplexity is measured.
    subjects = {key: text_key(f"{key[0]}:{key[1]:04x}:{key[2]:04x}") for key in known if not held_out(*key)}
    trained = {item.device.key for item in read_items(benchmark / "training.jsonl") if isinstance(item, DriverSelect)}
    assert trained == {key for key, subject in subjects.items() if split_of(subject, spec.seed, spec.split) == "train"}


def test_newer_devices_are_told_apart_by_whether_their_driver_is_known(items: list[Item]) -> None:
    found = {item.device.device: item.label for item in items if isinstance(item, DriverSelect)}
    assert found["2fff"] == "newer" and found["2ffe"] == "newer-driver"


def test_what_a_device_is_is_asked_without_its_makers_name(items: list[Item]) -> None:
    asked = [item for item in items if isinstance(item, Identify)]
    assert asked and all(item.device.vendor_name is None and item.device.name is None for item in asked)
    assert all(item.answer.vendor and item.answer.name for item in asked)
    kinds = {item.answer.type for item in asked if item.device.class_code == "0200"}
    assert kinds <= {"Ethernet controller"}


def test_no_template_is_one_of_the_corpus() -> None:
    ours = {re.sub(r"\W+", " ", template.casefold()).strip() for _, template in templates()}
    theirs = {
        re.sub(r"\W+", " ", frame.replace("{}", phrase).casefold()).strip()
        for recipe in RECIPES
        for phrase in (*recipe.deeds.split("|"), *recipe.says.split("|"), recipe.args)
        if phrase
        for frame in {*FRAMES, "{}"}
    }
    assert len(ours) == len(list(templates())) >= 24 * 6
    assert not ours & theirs


def test_phrases_of_both_sets_are_there_and_no_benchmark_phrase_is_in_training(
    benchmark: Path, items: list[Item]
) -> None:
    phrases = {item.text: item.label for item in items if isinstance(item, IntentPhrase)}
    assert set(phrases.values()) == {"template", "phrasing"}
    for name in ("training.jsonl", "validation.jsonl"):
        shown = {item.text for item in read_items(benchmark / name) if isinstance(item, IntentPhrase)}
        assert shown and not shown & set(phrases)


def test_documents_of_the_test_split_are_asked_about(benchmark: Path, items: list[Item]) -> None:
    steps = [item for item in items if isinstance(item, InstallSteps) and item.label == "test"]
    assert [step.split()[0] for step in steps[0].answer] == ["dd", "losetup", "mkfs.ext4", "mount"]
    commands = [item.command for item in items if item.task == "command_completion"]
    assert commands and all(command.startswith("losetup") for command in commands)
    shown = {item.command for item in read_items(benchmark / "training.jsonl") if item.task == "command_completion"}
    assert shown and all(command.startswith("lowsetup") for command in shown)


def test_alternatives_are_no_procedure() -> None:
    listing = "# apt-get update\n# apt-get install vim\n# vim notes"
    assert steps_item("Do this:", listing, None, 0)
    assert steps_item("Use one of the following commands:", listing, None, 0) is None
    assert steps_item("Do this:", "# ls a\n# ls b\n# ls c", None, 0) is None
    assert steps_item("Do this:", "# The first\n# The second\n# The third", None, 0) is None


def test_equal_inputs_give_equal_bytes_and_the_manifest_names_them(
    benchmark: Path, finished_corpus: Path, kernel: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    build_benchmark(finished_corpus, again, again, silent, newer=str(kernel), device_tree=str(kernel))
    assert all((again / name).read_bytes() == (benchmark / name).read_bytes() for name in FILES)
    manifest = read_manifest(benchmark)
    assert manifest.kind == "benchmark" and [item.kind for item in manifest.inputs] == ["corpus", "folder", "folder"]
    assert manifest.info["items"]["driver_select"]["pci newer"] == 1
    assert verify(benchmark)[-1].kind == "benchmark"
    build_benchmark(finished_corpus, again, again, silent, seed=1)
    assert (again / "benchmark.jsonl").read_bytes() != (benchmark / "benchmark.jsonl").read_bytes()


def test_compatible_strings_are_read_and_parted(benchmark: Path, items: list[Item]) -> None:
    tree = {item.compatible[0] for item in items if isinstance(item, DeviceTree)}
    shown = {item.compatible[0] for item in read_items(benchmark / "training.jsonl") if isinstance(item, DeviceTree)}
    assert tree and shown and not tree & shown and len(tree | shown) > 45


def test_a_training_item_that_gives_a_question_away_is_left_out(items: list[Item]) -> None:
    phrase = next(item for item in items if isinstance(item, IntentPhrase) and len(item.text.split()) > 4)
    device = next(item for item in items if isinstance(item, DriverSelect) and item.label == "random")
    other = device.device.model_copy(
        update={"device": "fffe", "name": f"beside {device.device.vendor}:{device.device.device}"}
    )
    telling: list[Item] = [
        IntentPhrase(text=f"Please: {phrase.text}", answer=phrase.answer),
        DriverSelect(device=other, answer=("x",)),
    ]
    harmless: list[Item] = [IntentPhrase(text="How warm is it in here today?", answer="SYSTEM_MANAGE")]
    assert silent_about(LeakFinder([phrase, device]), [*telling, *harmless]) == harmless


def test_a_corpus_without_leaks_has_none(items: list[Item], finished_corpus: Path) -> None:
    assert check(items, finished_corpus, silent) == []


def test_planted_leaks_are_found_and_left_out(
    benchmark: Path, items: list[Item], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def first(kind: type[Item], label: str | None = None) -> int:
        return next(n for n, item in enumerate(items) if isinstance(item, kind) and label in (None, item.label))

    device, newer, phrase, steps = (
        first(Identify),
        first(DriverSelect, "newer"),
        first(IntentPhrase),
        first(InstallSteps),
    )
    asked, fresh, said, done = items[device], items[newer], items[phrase], items[steps]
    assert isinstance(asked, Identify) and isinstance(fresh, DriverSelect)
    assert isinstance(said, IntentPhrase) and isinstance(done, InstallSteps)
    texts = {
        device: f"It is 0x{asked.device.vendor.upper()}, 0x{asked.device.device} that fails.",
        newer: f"{fresh.device.vendor}:{fresh.device.device} is served by {fresh.answer[0].replace('_', '-')}.",
        phrase: f"Somebody asked: {said.text.upper()} and nobody knew.",
        steps: f"Then:\n\n# {done.answer[1]}\n# {done.answer[2]}",
    }
    for number, text in texts.items():
        found = {leak.item for leak in LeakFinder(items).search([Text(text, "planted", False)])}
        assert number in found, text
    harmless = [f"{fresh.device.vendor}:{fresh.device.device} is a card.", said.text[: len(said.text) // 2]]
    assert not list(LeakFinder(items).search([Text(text, "harmless", False) for text in harmless]))

    sources = tmp_path / "sources"
    clean = write_finished(tmp_path / "clean", sources, [])
    leaky = write_finished(
        tmp_path / "leaky",
        sources,
        [document(text, "train", corpus_spec(clean), f"leak-{number}") for number, text in texts.items()],
    )
    leaks = check(items, leaky, silent)
    assert {*texts} <= {leak.item for leak in leaks}
    assert all("leak-" in leak.path for leak in leaks)
    assert main(["check", str(benchmark / "benchmark.jsonl"), str(leaky)]) == 1
    assert "folder:docs: leak-" in capsys.readouterr().out
    assert main(["check", str(benchmark / "benchmark.jsonl"), str(clean)]) == 0
    build_benchmark(leaky, tmp_path / "rest", tmp_path, silent)
    rest = read_items(tmp_path / "rest" / "benchmark.jsonl")
    assert asked not in rest and said not in rest and done not in rest
    assert read_manifest(tmp_path / "rest").info["left_out_for_leaks"]["identify"]


def test_a_command_leaks_with_the_word_asked_for() -> None:
    item = CommandCompletion(command="mount -o", answer=("loop",))
    for text, found in (("Try mount -o loop disk.img", 1), ("Try mount -o ro,loop disk.img", 0), ("mount -o, loop", 1)):
        assert len(list(LeakFinder([item]).search([Text(text, "x", False)]))) == found


def test_a_short_phrase_leaks_through_exchanges_alone() -> None:
    item = IntentPhrase(text="Patch this server.", answer="APP_INSTALL")
    for source, found in (("package:x", 0), (MADE, 1)):
        texts = [Text("<|user|>Patch this server.<|assistant|>apt-get upgrade", "x", source == MADE)]
        assert len(list(LeakFinder([item]).search(texts))) == found


def test_what_cannot_be_built_is_said(finished_corpus: Path, tmp_path: Path, kernel: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    with pytest.raises(BenchmarkError, match="something else"):
        build_benchmark(finished_corpus, tmp_path / "notes", tmp_path, silent)
    with pytest.raises(ArtefactError, match="not there"):
        build_benchmark(tmp_path / "none", tmp_path / "out", tmp_path, silent)
    plain = tmp_path / "plain"
    shutil.copytree(kernel, plain)
    (plain / "modules.alias").write_text("alias pci:v00008000d00002FFFsv*sd*bc*sc*i* nwe\n")
    with pytest.raises(SourceError, match="no compatible string"):
        build_benchmark(finished_corpus, tmp_path / "out", tmp_path, silent, device_tree=str(plain))
    assert not (tmp_path / "out").exists()


def test_drivers_say_what_their_modules_say_and_not_which_devices_they_have(tmp_path: Path) -> None:
    kernel = Kernel(
        aliases={
            ("pci:v00008086d0000100Esv*sd*bc*sc*i*", "e1000"),
            ("usb:v0BDAp8153d*dc*dsc*dp*ic*isc*ip*in*", "r8152"),
        },
        descriptions={"e1000": "Intel(R) PRO/1000 Network Driver", "r8152": "", "ext4": "Fourth Extended Filesystem"},
    )
    write_database(tmp_path / "devices.sqlite", {}, kernel, {})
    told = drivers_told(tmp_path / "devices.sqlite")
    assert told == {"pci": {"e1000": "Intel(R) PRO/1000 Network Driver"}, "usb": {"r8152": ""}}
    with pytest.raises(ArtefactError, match="does not hold device tables"):
        drivers_told(tmp_path / "nothing.sqlite")
