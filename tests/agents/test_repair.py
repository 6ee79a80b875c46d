from __future__ import annotations

import errno
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.cluster import AttemptFailed, cores_per_worker, lacking, name_failure
from agents.training_agent import TrainingAgent, repair
from slm.lineage import MANIFEST, write_manifest
from slm.spec import BuildSpec
from slm.training.guards import Diagnosis, GuardTripped
from slm.training.outcome import Adjustments, Failure, TrainingPaths, TrainingResult
from tests.builds import miniature


def test_processors_are_shared_out_so_that_every_worker_fits_on_a_machine() -> None:
    assert cores_per_worker([2], 1) == 2
    assert cores_per_worker([2, 2], 1) == 2
    assert cores_per_worker([2, 2], 2) == 2
    assert cores_per_worker([8, 2], 3) == 2
    assert cores_per_worker([2], 4) == 0
    assert cores_per_worker([], 1) == 0


def test_what_a_cluster_lacks_is_told_before_ray_waits_for_it() -> None:
    plain = miniature(Path("nowhere"), train={"workers": 2})
    particular = miniature(Path("nowhere"), train={"workers": 2, "accelerator": "GeForce-RTX-3090-Ti"})
    assert particular.build_id == plain.build_id
    card = {"CPU": 8.0, "GPU": 1.0, "accelerator_type:GeForce-RTX-3090-Ti": 1.0}
    other = {"CPU": 8.0, "GPU": 4.0, "accelerator_type:H100": 1.0}
    assert lacking(plain, True, [card, card]) is None
    assert lacking(plain, True, [other]) is None
    assert lacking(particular, True, [card, card]) is None
    assert lacking(particular, True, [other, card, card]) is None
    for spec, nodes, told in (
        (plain, [card], "has 1 GPU"),
        (particular, [other], "has H100"),
        (particular, [{"CPU": 8.0, "GPU": 2.0}], "has none"),
        (particular, [card, other], "has 1 GeForce-RTX-3090-Ti GPU"),
        (plain, [{"CPU": 1.0, "GPU": 2.0}], "have 1 processor"),
        (particular, [other, {**card, "CPU": 1.0, "GPU": 2.0}], "have 1 processor"),
    ):
        missing = lacking(spec, True, nodes)
        assert missing and told in missing[0]


RESET = RuntimeError("[gloo] Read error: Connection reset by peer")


#: What Ray says, by name: it is imported where a test uses it, for it reads once whether it wants a token.
CASES: list[tuple[Diagnosis | None, list[str], Diagnosis, str]] = [
    ("unknown", ["reset", "vanished: died"], "lost_worker", "The actor died"),
    ("unknown", ["vanished: died", "reset"], "lost_worker", "The actor died"),
    ("unknown", ["reset", "crashed"], "lost_worker", "The worker died"),
    ("unknown", ["reset", "vanished: memory"], "out_of_memory", "all used"),
    ("unknown", ["reset", "memory"], "out_of_memory", "all used"),
    ("unknown", ["reset", "guard"], "exploded", "norm 1e9"),
    ("unknown", ["reset"], "unknown", "the note"),
    ("stalled", ["reset", "vanished: died"], "stalled", "the note"),
    (None, ["vanished: died"], "lost_worker", "The actor died"),
    (None, ["reset"], "unknown", "Connection reset"),
    (None, [], "lost_worker", "vanished"),
    (None, ["leader: died"], "lost_worker", "The actor died"),
    (None, ["leader: full"], "disk_full", "No space"),
    (None, ["full"], "disk_full", "No space"),
]


def failure_called(name: str) -> Exception:
    from ray import exceptions
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
    from ray.train.v2.api.exceptions import ControllerError

    if name.startswith("leader: "):
        return ControllerError(failure_called(name.removeprefix("leader: ")))  # type: ignore[no-any-return]
    if name.startswith("vanished: "):
        cause = failure_called(name.removeprefix("vanished: "))
        return WorkerHealthCheckFailedError("A worker health check failed.", cause)  # type: ignore[no-any-return]
    failures: dict[str, Exception] = {
        "reset": RESET,
        "guard": GuardTripped("exploded", "norm 1e9"),
        "died": exceptions.ActorDiedError(),
        "crashed": exceptions.WorkerCrashedError(),
        "full": OSError(errno.ENOSPC, "No space left on device"),
        "memory": exceptions.OutOfMemoryError("all used"),
    }
    return failures[name]


@pytest.mark.parametrize(("said", "failures", "diagnosis", "told"), CASES)
def test_a_note_that_names_nothing_yields_to_what_the_launcher_saw(
    said: Diagnosis | None, failures: list[str], diagnosis: Diagnosis, told: str, tmp_path: Path
) -> None:
    if said is not None:
        TrainingPaths(tmp_path).note(Failure(diagnosis=said, detail="the note"))
    failure = name_failure(TrainingPaths(tmp_path), [failure_called(name) for name in failures])
    assert failure.diagnosis == diagnosis
    assert told in failure.detail


diagnoses = st.sampled_from(get_args(Diagnosis))


@pytest.mark.parametrize("diagnosis", ["diverged", "exploded"])
def test_a_diverging_attempt_goes_slower(diagnosis: Diagnosis) -> None:
    change = repair(diagnosis, Adjustments(), 8)
    assert change is not None
    assert change[0].learning_rate_scale < 1
    assert change[0].warmup_scale > 1


@pytest.mark.parametrize(("micro_batch", "divisors"), [(8, [2, 4, 8]), (6, [2, 6]), (9, [3, 9]), (7, [7]), (1, [])])
def test_out_of_memory_cuts_the_micro_batch_until_it_cannot(micro_batch: int, divisors: list[int]) -> None:
    adjustments = Adjustments()
    for divisor in divisors:
        change = repair("out_of_memory", adjustments, micro_batch)
        assert change is not None
        adjustments = change[0]
        assert adjustments.micro_batch_divisor == divisor
    assert repair("out_of_memory", adjustments, micro_batch) is None


@pytest.mark.parametrize("diagnosis", ["bad_data", "disk_full"])
def test_what_another_attempt_cannot_mend_is_not_tried_again(diagnosis: Diagnosis) -> None:
    assert repair(diagnosis, Adjustments(), 8) is None


@given(st.lists(diagnoses, max_size=6), st.sampled_from([1, 2, 6, 8, 32]))
def test_no_history_of_failures_leads_out_of_bounds(history: list[Diagnosis], micro_batch: int) -> None:
    adjustments = Adjustments()
    for diagnosis in history:
        change = repair(diagnosis, adjustments, micro_batch)
        if change is None:
            return
        adjustments, words = change
        assert words
        assert 0 < adjustments.learning_rate_scale <= 1
        assert micro_batch % adjustments.micro_batch_divisor == 0


def test_machines_that_fail_while_a_training_advances_do_not_end_it(tmp_path: Path) -> None:
    build = miniature(tmp_path, {"device": "cpu", "max_attempts": 3})
    losses = 5

    def launch(
        spec: BuildSpec, corpus: Path, folder: Path, journal: Path, adjustments: Adjustments, attempt: int
    ) -> TrainingResult:
        checkpoint = TrainingPaths(folder).checkpoints / f"step-{attempt:08d}"
        if attempt <= losses:
            checkpoint.mkdir(parents=True)
            write_manifest(checkpoint / MANIFEST, "checkpoint", f"{spec.build_id}@{attempt}", [])
            raise AttemptFailed("lost_worker", "the machine is gone")
        if adjustments.learning_rate_scale < 1 or attempt > losses + 3:
            raise AttemptFailed("lost_worker", "and went again at once")
        raise AttemptFailed("diverged", "not finite")

    state = TrainingAgent(str(tmp_path), build.model_dump(mode="json"), launch).train("corpus")
    assert state.gave_up
    assert [attempt.advanced for attempt in state.attempts] == [True] * losses + [False] * 3
    assert [attempt.diagnosis for attempt in state.attempts[losses:]] == ["diverged", "lost_worker", "lost_worker"]
