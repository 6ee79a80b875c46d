from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.evaluation.benchmark.model import WRITTEN, CheckpointModel
from slm.evaluation.benchmark.ranking import Answers
from slm.evaluation.coherence import load_tokenizer
from slm.model.llama import build_model
from slm.prompts import EOS, SPECIAL_TOKENS, prompt
from tests.small import SMALL

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    built = build_model(SMALL, 0).eval()
    with torch.no_grad():
        for weight in built.parameters():
            weight.mul_(4)  # so that probabilities differ by more than rounding does
    return built


def probability(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, question: list[int], answer: str) -> float:
    wanted = [*tokenizer.encode(answer, add_special_tokens=False), SPECIAL_TOKENS.index(EOS)]
    with torch.inference_mode():
        logs = model(torch.tensor([question + wanted])).logits[0].log_softmax(-1)
    return float(sum(logs[len(question) - 1 + place, token] for place, token in enumerate(wanted)).exp())


@given(
    answers=st.lists(st.text("abcdefg_0123", min_size=1, max_size=9), min_size=1, max_size=60, unique=True),
    asked=st.text("abcdefg 0123:", max_size=30),
)
@settings(max_examples=30, deadline=None)
def test_the_ranking_is_that_of_every_answer_by_itself(
    model: LlamaForCausalLM, small_corpus: Path, answers: list[str], asked: str
) -> None:
    tokenizer = load_tokenizer(small_corpus)
    question = tokenizer.encode(prompt(asked), add_special_tokens=False)
    alone = {answer: probability(model, tokenizer, question, answer) for answer in answers}
    found = Answers(tokenizer, answers).ranked(model, question, 3)
    assert len(found) == min(3, len(answers))
    assert [chance for _, chance in found] == pytest.approx(sorted(alone.values(), reverse=True)[:3], rel=1e-3)
    assert [alone[answer] for answer, _ in found] == pytest.approx([chance for _, chance in found], rel=1e-3)


def test_what_is_written_is_what_reading_everything_again_writes() -> None:
    nano = CheckpointModel(Path("checkpoints/released/nano"), {})
    question = "Identify PCI 8086:fffe class 0200."
    ids = nano._encoded(question, WRITTEN)
    tokens: list[int] = []
    while len(tokens) < WRITTEN:
        with torch.inference_mode():
            tokens.append(int(nano._model(torch.tensor([ids + tokens])).logits[0, -1].argmax()))
        if tokens[-1] == SPECIAL_TOKENS.index(EOS):
            break
    expected = nano._tokenizer.decode([t for t in tokens if t != SPECIAL_TOKENS.index(EOS)], skip_special_tokens=True)
    assert nano.written(question)[0] == expected
