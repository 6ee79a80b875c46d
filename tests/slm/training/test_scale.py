from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.errors import SpecError
from slm.spec import BuildSpec
from slm.spec_file import load_spec
from slm.training.scale import Cluster, critical_batch, main, ring_seconds, scale, sent_bytes, where_it_stops

#: Eight of these make a machine; the links are slow enough to be seen.
CLUSTER = Cluster(flops=1e12, utilisation=0.5, inside=1e9, between=1e8, inside_latency=1e-6, between_latency=1e-3)


@cache  # reading the shared corpus file takes a while
def tier(name: str, *overrides: str) -> BuildSpec:
    return load_spec(Path(f"specs/builds/{name}.yaml"), overrides)


def test_a_ring_by_hand() -> None:
    # Four GPUs, 800 bytes of gradients: three rounds there and three back of 200 bytes each.
    link = Cluster(inside=100.0, inside_latency=1.0)
    assert ring_seconds(2 * 3 * 200, 2, 4, link) == pytest.approx(6 * (200 / 100 + 1))


def test_the_slowest_link_of_the_ring_counts() -> None:
    assert CLUSTER.link(8) == (1e9, 1e-6)
    assert CLUSTER.link(9) == (1e8, 1e-3)
    assert Cluster(inside=1.0, between=2.0).link(16)[0] == 1.0


def test_bytes_by_hand() -> None:
    small = tier("small")
    gradients = 4 * small.model.parameters
    assert sent_bytes(small, 1, 0, 4) == 0
    assert sent_bytes(small, 2, 0, 4) == gradients
    assert sent_bytes(small, 4, 0, 1) == pytest.approx(1.5 * gradients)
    # All-reduce of the gradients, all-gather of the weights; at stage 2 an all-reduce for each micro-batch.
    assert sent_bytes(small, 4, 1, 3) == pytest.approx(3 * 0.75 * gradients)
    assert sent_bytes(small, 4, 2, 3) == pytest.approx(7 * 0.75 * gradients)
    fast = tier("small", "train.recipe=fast")
    matrices = fast.model.parameters - fast.model.vocab_size * fast.model.dim - 17 * fast.model.dim
    assert sent_bytes(fast, 2, 2, 1) - sent_bytes(small, 2, 2, 1) == matrices
    assert sent_bytes(fast, 2, 0, 1) == sent_bytes(small, 2, 0, 1)


def test_a_step_by_hand() -> None:
    small = tier("small")
    found = scale(small, 4, CLUSTER)
    model = small.model
    assert (found.micro_batch * found.accumulation, found.batch_tokens, found.steps) == (16, 131_072, 10_000)
    flops = (6 * model.parameters + 12 * model.layers * model.dim * model.context) * 16 * model.context
    assert found.flops == flops
    assert found.compute_seconds == pytest.approx(flops / 5e11)
    sent = 1.5 * 4 * model.parameters
    assert found.communication_seconds == pytest.approx(sent / 1e9 + 6e-6)
    assert found.efficiency == pytest.approx(
        found.compute_seconds / (found.compute_seconds + found.communication_seconds)
    )
    step = found.compute_seconds + found.communication_seconds
    assert found.hours == pytest.approx(10_000 * step / 3600)
    assert found.checkpoint_bytes == 12 * model.parameters
    assert found.checkpoint_bytes_per_hour == pytest.approx(12 * model.parameters / 5000 / step * 3600)
    assert found.data_bytes_per_second == pytest.approx(131_072 * 2 / step)
    assert found.epochs == pytest.approx(1_310_720_000 / 100_000_000)


def test_each_stage_is_reckoned_with_its_own_accumulation() -> None:
    # 16 GB hold 16 sequences of `large` where its state is spread over eight GPUs, and fewer where it is not.
    by_stage = {z: scale(tier("large", f"train.zero={z}", "train.device_memory_gb=16"), 8, CLUSTER) for z in (0, 1, 2)}
    assert by_stage[0].accumulation > by_stage[2].accumulation
    for stage, found in by_stage.items():
        assert found.sent == by_stage[0].sent
        assert found.sent[stage] == sent_bytes(tier("large"), 8, stage, found.accumulation)


def test_one_gpu_says_nothing_to_anybody() -> None:
    alone = scale(tier("small"), 1, CLUSTER)
    assert (alone.communication_seconds, alone.exposed_seconds, alone.efficiency) == (0, 0, 1)
    assert set(alone.sent.values()) == {0}


def test_the_batch_grows_only_when_every_gpu_has_one_sequence() -> None:
    small = tier("small")
    assert [scale(small, gpus, CLUSTER).batch_tokens // 2048 for gpus in (1, 2, 32, 64, 128, 256)] == (
        [64, 64, 64, 64, 128, 256]
    )
    assert scale(small, 256, CLUSTER).steps == 2500


def test_the_critical_batch_is_kaplans() -> None:
    assert critical_batch(1.0) == 2.1e8
    # Of the paper's figure 10: about a million tokens near a loss of 3.
    assert critical_batch(3.0) == pytest.approx(1.1e6, rel=0.05)


def test_at_the_critical_batch_a_small_ones_tokens_are_needed_twice() -> None:
    small = tier("small", "train.accumulation=1", "train.micro_batch=1")
    own = small.batch_tokens
    at = scale(small, 512, CLUSTER, critical=float(512 * 2048))
    assert at.hours_to_same_loss / at.hours == pytest.approx(2 / (1 + own / (512 * 2048)), rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["nano", "tiny", "small", "medium", "large"]),
    gpus=st.integers(1, 2000),
    zero=st.sampled_from([0, 1, 2]),
    gigabits=st.floats(0.1, 1000),
)
def test_what_holds_of_every_cluster(name: str, gpus: int, zero: int, gigabits: float) -> None:
    spec = tier(name, f"train.zero={zero}")
    slow, fast = (Cluster(between=rate * 1e9 / 8) for rate in (gigabits, 2 * gigabits))
    found, faster, more = scale(spec, gpus, slow), scale(spec, gpus, fast), scale(spec, gpus + 1, slow)
    assert 0 < found.efficiency <= found.efficiency_overlapped <= 1
    assert faster.efficiency >= found.efficiency
    assert 0 <= found.exposed_seconds <= found.communication_seconds
    assert more.compute_seconds <= found.compute_seconds
    assert more.batch_tokens * more.steps <= max(spec.train.tokens, more.batch_tokens)
    assert more.sent[0] >= found.sent[0]
    assert found.sent[0] <= found.sent[1] <= found.sent[2]
    assert found.batch_tokens >= spec.batch_tokens
    assert found.hours_to_same_loss > 0


@pytest.mark.parametrize("name", ["nano", "tiny", "small", "medium", "large"])
def test_every_tier_stops_somewhere_and_says_why(name: str) -> None:
    said = where_it_stops(tier(name), Cluster())
    assert said.startswith(f"{name} scales to ")
    assert "because each GPU" in said or "communication" in said


def test_a_faster_network_and_a_larger_model_scale_further() -> None:
    def most(name: str, gigabits: float) -> int:
        return int(where_it_stops(tier(name), Cluster(between=gigabits * 1e9 / 8)).split()[3])

    assert most("small", 10) < most("small", 400)
    assert most("small", 25) < most("large", 25)


def test_nonsense_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SpecError, match="0 GPUs"):
        scale(tier("nano"), 0, CLUSTER)
    with pytest.raises(SpecError, match="critical batch of -1"):
        scale(tier("nano"), 8, CLUSTER, critical=-1.0)
    with pytest.raises(SpecError, match=r"inside is 0, not above 0; utilisation is 1\.5, above 1"):
        Cluster(inside=0.0, utilisation=1.5)
    with pytest.raises(SpecError, match="between is nan"):
        Cluster(between=math.nan)
    assert main(["gigantic"]) == 2
    assert "There is no tier gigantic" in capsys.readouterr().err
    assert main(["nano", "--gpus", "-8"]) == 2
    assert main(["nano", "--mfu", "0"]) == 2


def test_the_command_prints_tables_and_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["medium", "--gpus", "8", "512"]) == 0
    text = capsys.readouterr().out
    assert "medium scales to" in text
    assert main(["specs/builds/medium.yaml", "--gpus", "8", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["gpus"] for one in found["scales"]] == [8, 512]
    assert found["scales"][0]["memory"].keys() == {"0", "1", "2"}
