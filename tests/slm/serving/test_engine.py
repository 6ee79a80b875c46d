from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.errors import ServingError
from slm.export.gguf import export_gguf
from slm.prompts import EOS, driver_question, prompt
from slm.serving.completion import AbandonedError
from slm.serving.engine import Engine

QUESTION = prompt(driver_question("pci", 0x8086, 0x1000, 0x0200))
SHORT = prompt("Which driver?")


@pytest.fixture(scope="session")
def served_gguf(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_gguf(small_checkpoint, tmp_path_factory.mktemp("gguf") / "small.gguf", "f16")


@pytest.fixture(scope="module")
def served(served_gguf: Path) -> Iterator[Engine]:
    engine = Engine(served_gguf, threads=1)
    yield engine
    engine.close()


def reference(checkpoint: Path, text: str, tokens: int) -> tuple[int, list[int], list[float]]:
    """Greedy decoding by transformers: prompt length, new ids, their log-probabilities."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    start, logprobs = len(ids), []
    for _ in range(tokens):
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        ids.append(int(scores.argmax()))
        logprobs.append(float(scores.max()))
        if ids[-1] == tokenizer.convert_tokens_to_ids(EOS):
            break
    return start, ids[start:], logprobs


@pytest.mark.parametrize("text", [QUESTION, SHORT, prompt("def main(): é")])
def test_agrees_with_transformers(served: Engine, small_checkpoint: Path, text: str) -> None:
    length, _, logprobs = reference(small_checkpoint, text, 8)
    completion = served.complete(text, 8)
    assert completion.prompt_tokens == length  # special tokens read as such, and no second start token
    assert completion.logprobs == pytest.approx(logprobs, abs=2e-2)
    assert completion.probability == pytest.approx(math.exp(sum(logprobs)), rel=0.1)
    assert 0 < completion.probability <= completion.mean_probability <= 1


def test_the_same_question_has_the_same_answer(served: Engine) -> None:
    first = served.complete(QUESTION, 8)
    assert served.complete(QUESTION, 0).logprobs == ()
    served.complete(SHORT, 4)
    again = served.complete(QUESTION, 8)
    assert again.text == first.text
    assert again.logprobs == pytest.approx(first.logprobs, abs=1e-3)


def probabilities(checkpoint: Path, text: str, answers: Sequence[str]) -> dict[str, float]:
    """By transformers: how probable each answer is, with its end, among all texts."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    model = LlamaForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    found = {}
    for answer in answers:
        asked, said = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in (text, answer + EOS))
        with torch.no_grad():
            logs = model(torch.tensor([asked + said])).logits[0].log_softmax(-1)
        found[answer] = math.exp(sum(float(logs[len(asked) + at - 1, token]) for at, token in enumerate(said)))
    return found


def test_a_ranking_is_exact(served: Engine, small_checkpoint: Path) -> None:
    names = ["e1000", "e1000e", "ahci", "nvme", "nouveau", "i915", "virtio_net", "virtio_blk", "xhci_pci", "e1000"]
    expected = probabilities(small_checkpoint, QUESTION, sorted(set(names)))
    best = sorted(expected.items(), key=lambda pair: -pair[1])
    for count in (1, 3, 20):
        found = served.ranked(QUESTION, names, count)
        assert [each.text for each in found] == [name for name, _ in best[:count]]
        assert [each.probability for each in found] == pytest.approx([p for _, p in best[:count]], rel=0.1)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=10), min_size=1, max_size=6
    )
)
def test_only_the_choices_can_come_out(served: Engine, choices: list[str]) -> None:
    ranked = served.ranked(SHORT, choices, len(choices))
    assert {each.text for each in ranked} == set(choices)
    assert [each.probability for each in ranked] == sorted((each.probability for each in ranked), reverse=True)


def test_a_choice_cannot_hold_the_end(served: Engine) -> None:
    (found,) = served.ranked(SHORT, [f"e1000{EOS}"], 1)  # as plain text, which nobody would write
    assert found.probability < served.ranked(SHORT, ["e1000"], 1)[0].probability


def test_thousands_of_choices(served: Engine) -> None:
    choices = [f"drv_{index:x}" for index in range(3000)]
    assert len({each.text for each in served.ranked(SHORT, choices, 3)} & set(choices)) == 3
    with pytest.raises(ValueError, match="at least one"):
        served.ranked(SHORT, [], 3)


def test_a_ranking_needs_room(served: Engine) -> None:
    with pytest.raises(ServingError, match="context"):
        served.ranked(SHORT, ["x" * 5000], 1)


def test_abandons_and_goes_on(served: Engine) -> None:
    with pytest.raises(AbandonedError):
        served.complete(QUESTION, 40, seconds=0.0)
    with pytest.raises(AbandonedError):
        served.ranked(QUESTION, ["e1000"], 1, seconds=0.0)
    assert served.complete(QUESTION, 4).logprobs


def test_many_threads(served: Engine) -> None:
    expected = served.complete(QUESTION, 6).text
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(served.complete(QUESTION, 6).text)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_a_prompt_beyond_the_context_is_refused(served: Engine) -> None:
    with pytest.raises(ServingError, match="context"):
        served.complete(prompt("word " * 500), 4)


def test_broken_surrogates_do_no_harm(served: Engine) -> None:
    assert served.complete(prompt("\ud800"), 2).prompt_tokens > 3


def test_what_was_asked_before_changes_nothing(served: Engine, served_gguf: Path) -> None:
    """The tokens that two prompts begin with are computed once; the answers are those of a fresh model."""
    questions = [QUESTION, SHORT, QUESTION + "e1", QUESTION, prompt("def"), prompt("def main(): é")]
    for question in questions:
        fresh = Engine(served_gguf, threads=1)
        expected, found = fresh.complete(question, 12), served.complete(question, 12)
        assert (found.text, found.finished) == (expected.text, expected.finished)
        assert found.logprobs == pytest.approx(expected.logprobs, abs=2e-3)
        fresh.close()


def test_the_context_ends_a_text(served: Engine) -> None:
    said = served.complete(SHORT, 100_000)
    assert said.finished or said.prompt_tokens + len(said.logprobs) == served._llama.window + 1


def test_missing_and_broken_files(served_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="no model at"):
        Engine(tmp_path / "none.gguf")
    with pytest.raises(ServingError, match="no model at"):
        Engine(tmp_path)
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ServingError, match="no GGUF"):
        Engine(tmp_path / "text.gguf")
    whole = served_gguf.read_bytes()
    for size in (4, 64, len(whole) // 2, len(whole) - 1000):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        with pytest.raises(ServingError, match="cannot load"):
            Engine(tmp_path / "cut.gguf")


def test_loading_leaves_the_environment_alone(served_gguf: Path) -> None:
    before = dict(os.environ)
    Engine(served_gguf, threads=1).close()
    assert dict(os.environ) == before
