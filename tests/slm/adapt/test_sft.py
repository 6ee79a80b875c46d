"""Supervised training on a small model of its own making."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from slm.adapt.__main__ import main as adapt
from slm.adapt.sft import (
    _padded,
    _score,
    batches,
    divergence,
    fine_tune,
    hold_back,
    mean_loss,
    rate_factor,
)
from slm.errors import ArtefactError, TrainingError
from slm.evaluation.__main__ import main as evaluate
from slm.evaluation.benchmark.answers import answers_for
from slm.evaluation.benchmark.asked import asked, spoken, understood, with_gaps
from slm.evaluation.benchmark.calibration import fit
from slm.evaluation.benchmark.device import Device
from slm.evaluation.benchmark.items import DriverSelect, Identity, InstallSteps, IntentPhrase, Item, write_items
from slm.evaluation.benchmark.model import CheckpointModel
from slm.evaluation.benchmark.neighbours import Neighbours, WithNeighbours
from slm.evaluation.benchmark.predictor import Abstaining
from slm.evaluation.benchmark.run import judged_on
from slm.evaluation.coherence import load_tokenizer
from slm.evaluation.figures import SplitScore
from slm.files import atomic_folder
from slm.lineage import MANIFEST, read_manifest, verify, write_manifest
from slm.model.files import NEIGHBOURS
from slm.model.llama import build_model, load_model
from slm.progress import silent
from slm.prompts import EOS, SPECIAL_TOKENS, prompt
from slm.serving.confidence import REMEMBERED, read_calibrations
from slm.spec import ModelSpec, TeachSpec
from slm.training.attention import use_causal_blocks
from slm.training.cross_entropy import IGNORE
from slm.training.loop import train
from tests.slm.training.test_loop import spec
from tests.small import SMALL

torch.set_num_threads(1)


def items() -> list[Item]:
    """Makers' devices, whose numbers' first halves decide the driver."""
    found: list[Item] = []
    for number in range(0, 0x100, 3):
        driver = ("e1000e", "igb", "r8169", "tg3")[number >> 6]
        device = Device.model_validate({"bus": "pci", "vendor": "8086", "device": f"{number:02x}00", "class": "0200"})
        found.append(DriverSelect(device=device, answer=(driver,)))
    return found


def benchmark(folder: Path, training: list[Item], validation: Sequence[Item] = ()) -> Path:
    files = ["training.jsonl", "validation.jsonl"]
    # A phrase by itself fits nothing, so that most tests take no time for it.
    validation = validation or [IntentPhrase(text="find a driver", answer="DRIVER_SELECT")]
    with atomic_folder(folder) as part:
        for name, written in zip(files, (training, validation), strict=True):
            write_items(part / name, written)
        write_manifest(part / MANIFEST, "benchmark", "small", files, final=folder)
    return folder


@pytest.fixture(scope="module")
def base(small_spec: ModelSpec, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(spec(small_spec, tokens=64 * 4 * 40), small_corpus, tmp_path_factory.mktemp("base")).checkpoint


def settings_of(**changed: Any) -> TeachSpec:
    weight = {"replay_weight": 1.0} if changed.get("replay") != 0 else {}
    return TeachSpec.model_validate(
        {"tokens": 60_000, "batch": 16, "gaps": 0.0, "forgetting": 100.0} | weight | changed
    )


@pytest.mark.slow
def test_it_learns_the_answers_and_hardly_forgets(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    asked_about = benchmark(tmp_path / "benchmark", items())
    done = fine_tune(base, asked_about, small_corpus, tmp_path / "out", settings_of(replay=0.5, replay_weight=0.5))
    verify(done.checkpoint)
    before, after = (
        sum(taker.drivers(item.device)[0][0] in item.answer for item in items() if isinstance(item, DriverSelect))
        for taker in (
            CheckpointModel(base, answers_for(base, items(), [])[0]),
            CheckpointModel(done.checkpoint, answers_for(done.checkpoint, [], items())[0]),
        )
    )
    assert after > 0.7 * len(items()) > 2 * before
    # The text that is read again is what keeps it from forgetting.
    alone = fine_tune(base, asked_about, small_corpus, tmp_path / "alone", settings_of(replay=0.0))
    assert done.after.perplexity < 0.9 * alone.after.perplexity


def test_the_same_again_gives_the_same_bits(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    asked_about = benchmark(tmp_path / "benchmark", items())
    for name in ("one", "two"):
        fine_tune(base, asked_about, small_corpus, tmp_path / name, settings_of(tokens=4_000, gaps=0.3))
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_only_answers_are_learned_each_at_the_place_before_it(small_corpus: Path) -> None:
    tokenizer = load_tokenizer(small_corpus)
    batch = next(batches(items(), tokenizer, 64, settings_of(batch=8)))
    pairs = [pair for item in items() if (pair := asked(item))]
    questions = [tokenizer.encode(prompt(question), add_special_tokens=False) for question, _ in pairs]
    inputs, targets = _padded(batch)
    for row, exchange in enumerate(batch):
        whole = exchange.prompt + exchange.answer
        learned = [place for place, target in enumerate(targets[row].tolist()) if target != IGNORE]
        assert learned == list(range(len(exchange.prompt) - 1, len(whole) - 1))
        assert [whole[place + 1] for place in learned] == exchange.answer == targets[row, learned].tolist()
        assert inputs[row, : len(whole) - 1].tolist() == whole[:-1]
        assert exchange.answer[-1] == SPECIAL_TOKENS.index(EOS)
        assert exchange.prompt in questions


def test_rows_of_one_batch_are_learned_as_each_by_itself(small_corpus: Path) -> None:
    model = build_model(SMALL, 0)
    use_causal_blocks(model)
    batch = next(batches(items(), load_tokenizer(small_corpus), 64, settings_of(batch=6)))
    inputs, targets = _padded(batch)
    assert inputs.shape[1] % 8 == 0
    together = mean_loss(model, inputs, targets)
    together.backward()
    gradient = model.model.embed_tokens.weight.grad
    model.zero_grad()
    answered = sum(len(exchange.answer) for exchange in batch)
    alone = [mean_loss(model, *_padded([exchange])) * len(exchange.answer) / answered for exchange in batch]
    sum(alone, torch.zeros(())).backward()
    assert float(together.detach()) == pytest.approx(sum(float(loss.detach()) for loss in alone), rel=1e-4)
    torch.testing.assert_close(model.model.embed_tokens.weight.grad, gradient, rtol=1e-3, atol=1e-5)


def test_rates_rise_then_fall_to_nothing() -> None:
    factors = [rate_factor(step / 100) for step in range(101)]
    top = factors.index(max(factors))
    assert 0 < factors[0] < factors[1] < max(factors) == 1 and factors[-1] == 0
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_a_model_has_not_strayed_from_itself() -> None:
    base, model = build_model(SMALL, 0), build_model(SMALL, 0)
    ids = torch.randint(6, SMALL.vocab_size, (3, 20), generator=torch.Generator().manual_seed(0))
    strayed = divergence(model, base, ids)
    strayed.backward()
    assert float(strayed.detach()) == pytest.approx(0, abs=1e-6)
    assert all(weight.grad is None or float(weight.grad.abs().max()) < 1e-6 for weight in model.parameters())
    other = build_model(SMALL, 1)
    with torch.no_grad():
        known, now = (each(input_ids=ids).logits.log_softmax(-1) for each in (base, other))
        expected = (known.exp() * (known - now)).sum(-1).mean()
        assert float(divergence(other, base, ids)) == pytest.approx(float(expected), rel=1e-4)


def scored(perplexity: float) -> SplitScore:
    return SplitScore(perplexity=perplexity, bits_per_byte=0, top1=0, top5=0, tokens=1)


@pytest.mark.parametrize(("forgetting", "kept"), [(2.0, 1.0), (0.03, 11 / 64), (0.3, 35 / 64), (0.0004, 1 / 64)])
def test_a_model_keeps_as_much_as_it_may(forgetting: float, kept: float) -> None:
    base, model = build_model(SMALL, 0), build_model(SMALL, 1)
    learned = model.lm_head.weight.detach().clone()
    gap = float((learned - base.lm_head.weight.detach()).norm())

    def score(tokens: int) -> SplitScore:
        share = float((model.lm_head.weight - base.lm_head.weight).detach().norm()) / gap
        return scored(10 * (1 + share**2))  # rises by 3 % at a share of 0.17, by 30 % at 0.55

    share, after = hold_back(model, base, forgetting, scored(10), score)
    assert share == kept
    assert after == score(0) and after.perplexity <= 10 * (1 + forgetting)
    torch.testing.assert_close(model.lm_head.weight, torch.lerp(base.lm_head.weight, learned, kept))


@pytest.mark.parametrize("steeper", [1.05, 2.0, 30.0])
def test_what_few_tokens_allow_and_all_do_not_is_not_kept(steeper: float) -> None:
    base, model = build_model(SMALL, 0), build_model(SMALL, 1)
    gap = float((model.lm_head.weight - base.lm_head.weight).detach().norm())
    most = 0

    def score(tokens: int) -> SplitScore:
        nonlocal most
        most = max(most, tokens)
        share = float((model.lm_head.weight - base.lm_head.weight).detach().norm()) / gap
        return scored(20 * (1 + steeper * share**2) if tokens > 32_768 else 10 * (1 + share**2))

    share, after = hold_back(model, base, 0.1, scored(20), score)
    assert 0 < share < math.sqrt(0.1)
    assert most == 131_072 and after == score(most)
    assert after.perplexity <= 20 * 1.1


@pytest.mark.parametrize("reached", [math.nan, math.inf, 1e9])
def test_a_model_that_may_keep_nothing_is_none(reached: float) -> None:
    base, model = build_model(SMALL, 0), build_model(SMALL, 1)

    def score(tokens: int) -> SplitScore:
        return scored(10 if torch.equal(model.lm_head.weight, base.lm_head.weight) else reached)

    with pytest.raises(TrainingError, match=r"diverged|nothing could be kept"):
        hold_back(model, base, 0.03, scored(10), score)


def test_what_is_written_has_forgotten_no_more_than_it_may(
    base: Path, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slm.adapt.sft._SEARCH_TOKENS", 64)  # so few that they are seldom right about all
    asked_about = benchmark(tmp_path / "benchmark", items())
    done = fine_tune(base, asked_about, small_corpus, tmp_path / "out", settings_of(tokens=8_000, forgetting=0.004))
    stored = read_manifest(done.checkpoint).info
    assert 0 < stored["kept"] < 1
    again = _score(load_model(done.checkpoint), small_corpus)
    assert again.perplexity == pytest.approx(done.after.perplexity, rel=1e-4)
    assert again.perplexity <= done.before.perplexity * 1.0041
    assert stored["perplexity_after"] == done.after.perplexity


def test_the_loss_that_is_told_is_that_of_what_is_written(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    asked_about = benchmark(tmp_path / "benchmark", items())
    settings = settings_of(tokens=3_000, forgetting=0.002)
    done = fine_tune(base, asked_about, small_corpus, tmp_path / "out", settings)
    assert read_manifest(done.checkpoint).info["kept"] < 1
    model = load_model(done.checkpoint)
    last = list(batches(items(), load_tokenizer(base), model.config.max_position_embeddings, settings))[-20:]
    with torch.no_grad():
        losses = [float(mean_loss(model, *_padded(batch))) for batch in last]
    assert read_manifest(done.checkpoint).info["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-3)


def test_a_weight_of_text_that_is_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="weighs nothing where replay is 0"):
        TeachSpec(replay=0, replay_weight=2)
    assert TeachSpec(replay=0).replay == 0


def test_as_much_text_is_read_again_as_is_asked_for(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    asked_about = benchmark(tmp_path / "benchmark", items())
    for name, replay in (("none", 0.0), ("half", 0.5), ("twice", 2.0)):
        done = fine_tune(base, asked_about, small_corpus, tmp_path / name, settings_of(tokens=6_000, replay=replay))
        read = read_manifest(done.checkpoint).info["replayed_tokens"]
        # Rows are whole, and what the last step owes is not read any more.
        assert replay * 6_000 - read == pytest.approx(0, abs=64 * (1 + 16 * replay))


def test_validation_devices_are_remembered_once_all_is_fitted(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    devices = [item for item in items() if isinstance(item, DriverSelect)]
    known = [item for n, item in enumerate(devices) if n % 2]
    # Some have a driver that nobody could guess.
    held = [item.model_copy(update={"answer": ("tg3",)}) if n % 8 == 0 else item for n, item in enumerate(devices)][::2]
    asked_about = benchmark(tmp_path / "benchmark", list(known), held)
    out = fine_tune(base, asked_about, small_corpus, tmp_path / "out", settings_of(tokens=6_000)).checkpoint
    both = WithNeighbours.read(Abstaining(), out / NEIGHBOURS).neighbours
    assert [item.device for item in both.devices] == [item.device for item in (*known, *held)]
    assert both.told == {"pci": {"e1000": "Intel(R) PRO/1000 Network Driver"}}
    # They are believed as one who has not seen the answers, and one who has is right more often.
    fitted_on = Neighbours(known, both.told, both.scorers)
    fair = judged_on(fitted_on, "driver_select", held, silent)
    stored, expected = read_calibrations(out)[REMEMBERED]["driver_select"], fit(fair)
    assert expected and stored.model_dump() == pytest.approx(expected.model_dump(), rel=1e-3)
    assert sum(each.place == 0 for each in judged_on(both, "driver_select", held, silent)) > sum(
        each.place == 0 for each in fair
    )


def test_what_does_not_belong_together_is_refused(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    asked_about = benchmark(tmp_path / "benchmark", items())
    with pytest.raises(ArtefactError, match="not a benchmark"):
        fine_tune(base, small_corpus, small_corpus, tmp_path / "out", settings_of())
    with pytest.raises(ArtefactError, match="not a corpus"):
        fine_tune(base, asked_about, base, tmp_path / "out", settings_of())
    with pytest.raises(ArtefactError, match="is there already"):
        fine_tune(base, asked_about, small_corpus, base, settings_of())
    write_items(asked_about / "benchmark.jsonl", items()[:3])
    with pytest.raises(TrainingError, match=r"3 of the items of .*training.jsonl ask what"):
        fine_tune(base, asked_about, small_corpus, tmp_path / "out", settings_of())
    fitted_on = benchmark(tmp_path / "fitted", items()[5:], items()[2:5])
    write_items(fitted_on / "benchmark.jsonl", items()[:3])
    with pytest.raises(TrainingError, match=r"1 of the items of .*validation.jsonl ask what"):
        fine_tune(base, fitted_on, small_corpus, tmp_path / "out", settings_of())
    with atomic_folder(tmp_path / "bare") as part:
        write_items(part / "training.jsonl", items())
        write_manifest(part / MANIFEST, "benchmark", "small", ["training.jsonl"], final=tmp_path / "bare")
    write_items(tmp_path / "bare/validation.jsonl", items()[:5])
    with pytest.raises(ArtefactError, match=r"names no validation\.jsonl"):
        fine_tune(base, tmp_path / "bare", small_corpus, tmp_path / "out", settings_of())
    assert not (tmp_path / "out").exists()


def test_an_absurd_learning_rate_leaves_no_checkpoint(base: Path, small_corpus: Path, tmp_path: Path) -> None:
    asked_about = benchmark(tmp_path / "benchmark", items())
    with pytest.raises(TrainingError):
        fine_tune(base, asked_about, small_corpus, tmp_path / "out", settings_of(learning_rate=1e30, tokens=5_000))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_teaches_and_the_benchmark_scores_it(
    base: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked_about = benchmark(
        tmp_path / "benchmark",
        [item for n, item in enumerate(items()) if n % 5],
        [item for n, item in enumerate(items()) if n % 5 in (1, 2)],
    )
    questions = [*items()[::5], IntentPhrase(text="find a driver", answer="DRIVER_SELECT")]
    write_items(asked_about / "benchmark.jsonl", questions)
    places = ["--benchmark", str(asked_about), "--corpus", str(small_corpus), "--out", str(tmp_path / "out")]
    assert (
        adapt(
            [
                str(base),
                *places,
                "--set",
                "tokens=60000",
                "--set",
                "batch=16",
                "--set",
                "gaps=0",
                "--set",
                "forgetting=100",
            ]
        )
        == 0
    )
    assert "validation perplexity" in capsys.readouterr().out
    assert evaluate([str(tmp_path / "out"), "--benchmark", str(asked_about / "benchmark.jsonl"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predictor"] == "out with neighbours"
    assert list(found["baselines"])[:2] == ["out", "neighbours alone"]
    tasks = found["tasks"]
    assert tasks["driver_select"]["n"] == len(questions) - 1
    assert tasks["driver_select"]["top3"] >= tasks["driver_select"]["top1"] > 0.5
    assert tasks["intent"]["n"] == 1
    # Without the lists of answers and the training items nothing says what to choose from.
    (asked_about / "training.jsonl").unlink()
    assert evaluate([str(base), "--benchmark", str(asked_about / "benchmark.jsonl")]) == 1
    assert "Nothing says which answers there are" in capsys.readouterr().err
    (tmp_path / "out/answers.json").write_text('{"pci": "e1000"}')
    assert evaluate([str(tmp_path / "out"), "--benchmark", str(asked_about / "benchmark.jsonl")]) == 1
    assert "holds no lists of answers" in capsys.readouterr().err
    assert adapt([str(base), *places[:-1], str(tmp_path / "two"), "--set", "tokns=1"]) == 2


def test_tasks_without_a_share_are_refused(small_corpus: Path) -> None:
    steps = InstallSteps(answer=("a", "b"))
    with pytest.raises(TrainingError, match="None of the 1 items"):
        next(batches([steps], load_tokenizer(small_corpus), 64, settings_of(shares={"intent": 1.0})))


def test_every_step_is_asked_for_after_those_before_it(small_corpus: Path) -> None:
    steps = InstallSteps(text="Mount it.", answer=("mkfs.ext4 /dev/sdb", "mount /dev/sdb /mnt", "df -h"))
    tokenizer = load_tokenizer(small_corpus)
    settings = settings_of(tokens=4_000, shares={"install_steps": 1.0})
    drawn = {
        (tokenizer.decode(each.prompt), tokenizer.decode(each.answer[:-1]))
        for batch in batches([steps], tokenizer, 64, settings)
        for each in batch
    }
    listing = ["Next step: Mount it.", *steps.answer]
    assert drawn == {
        (tokenizer.decode(tokenizer.encode(prompt("\n".join(listing[:at])), add_special_tokens=False)), listing[at])
        for at in (1, 2, 3)
    }


def test_every_right_answer_is_learned_and_tasks_have_their_shares(small_corpus: Path) -> None:
    device = Device(bus="pci", vendor="8086", device="100e")
    both: list[Item] = [
        DriverSelect(device=device, answer=("e1000", "e1000e")),
        IntentPhrase(text="find a driver", answer="DRIVER_SELECT"),
    ]
    tokenizer = load_tokenizer(small_corpus)
    settings = settings_of(tokens=20_000, shares={"driver_select": 0.75, "intent": 0.25})
    drawn = [tokenizer.decode(e.answer[:-1]) for batch in batches(both, tokenizer, 64, settings) for e in batch]
    counts = {answer: drawn.count(answer) / len(drawn) for answer in ("e1000", "e1000e", "DRIVER_SELECT")}
    assert counts == pytest.approx({"e1000": 0.375, "e1000e": 0.375, "DRIVER_SELECT": 0.25}, abs=0.05)


def test_gaps_leave_the_id_and_sometimes_nothing_else() -> None:
    device = Device.model_validate(
        {"bus": "pci", "vendor": "8086", "device": "100e", "class": "0200", "vendor_name": "Intel", "name": "82540EM"}
    )
    rng = random.Random(0)
    texts = {asked(with_gaps(DriverSelect(device=device, answer=("e1000",)), rng, 0.5)) for _ in range(100)}
    questions = {found[0] for found in texts if found}
    assert "Which driver for PCI 8086:100e?" in questions
    assert "Which driver for PCI 8086:100e class 0200 (Intel 82540EM)?" in questions
    assert len(questions) == 8


@pytest.mark.parametrize(
    "identity", [Identity(vendor="Intel", type="Ethernet controller", name="82540EM; old"), Identity(name="Hub")]
)
def test_an_identity_is_understood_as_it_was_spoken(identity: Identity) -> None:
    assert understood(spoken(identity)) == identity
    assert understood("nothing of the kind") is None
