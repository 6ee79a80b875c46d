"""Running a search's trials with Ray Tune: side by side where there are processors, and stopped early by ASHA.

A round of a trial is a whole training by :func:`slm.training.loop.train`, with a schedule of its own, so that what is
compared at its end has come as far down in its learning rate. When a round has ended the trial reports, and ASHA either
lets it go on to the next or gives its place to another.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from agents.cluster import first_line, room_for
from agents.curves import read_curves
from agents.journal import Journal
from agents.trials import Record, Round, Trial, lengths, proposed, trial_spec
from slm.errors import AutonError, ClusterError
from slm.machine import training_environment
from slm.progress import Progress, Reporter, silent
from slm.spec import BuildSpec
from slm.training.guards import Diagnosis, diagnose
from slm.training.memory import Device
from slm.training.outcome import TrainingPaths

#: How a training fails of its values: such a trial has lost. Anything else is the machine's fault, or the data's.
_OF_VALUES: tuple[Diagnosis, ...] = ("diverged", "exploded", "stalled", "out_of_memory")
#: What a trial reports: its score, and the length of its last round, the first round's being 1.
_SCORE, _LENGTH = "bits_per_byte", "length"
#: Ray Tune otherwise writes logs of every trial, and moves each into a folder of its own.
_QUIET = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_AIR_NEW_OUTPUT": "0"}


def run_search(spec: BuildSpec, corpus: Path, folder: Path) -> list[Round]:
    """Run those of a search's trials that its record lacks, and return every round that has ended.

    :param folder: the build's, which takes the record.
    :raises AutonError: a trial's own, when what failed were not its values.
    :raises ClusterError: when the cluster lacks what a trial needs, or trials are lost again and again.
    """
    import ray

    assert spec.search is not None
    room = room_for(spec, spec.search.trials)
    # In a task of its own, whose environment the trials' processes inherit: Ray Tune has no word for theirs.
    environment = {**training_environment(), **_QUIET, "OMP_NUM_THREADS": str(room.cores)}
    work = ray.remote(_run).options(num_cpus=0, max_retries=3, runtime_env={"env_vars": environment})
    settings = {
        "spec": spec.model_dump_json(),
        "corpus": str(corpus),
        "folder": str(folder),
        "device": room.device,
        "threads": room.cores,
    }
    try:
        ray.get(work.remote(settings, room.resources))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AutonError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"The search's trials were lost, again and again: {first_line(error)}",
            "Run the same command again; it continues where it was.",
        ) from error
    shutil.rmtree(_workshop(folder), ignore_errors=True)
    return Record(folder).rounds()


def _workshop(folder: Path) -> Path:
    """Return where trials train; of no use once they are written down."""
    return folder / "search"


def _run(settings: dict[str, Any], resources: dict[str, float]) -> None:
    """What the task of :func:`run_search` runs."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    spec = BuildSpec.model_validate_json(settings["spec"])
    assert spec.search is not None
    reduction = spec.search.reduction
    tuner = tune.Tuner(
        tune.with_resources(_trial, resources),
        param_space={
            **settings,
            "trial": tune.grid_search([trial.model_dump_json() for trial in proposed(spec)]),
        },
        tune_config=tune.TuneConfig(
            metric=_SCORE,
            mode="min",
            scheduler=ASHAScheduler(
                time_attr=_LENGTH,
                max_t=reduction ** (len(lengths(spec)) - 1),
                grace_period=1,
                reduction_factor=reduction,
            ),
            reuse_actors=True,  # a process takes longer to start than a trial of a small model
        ),
        run_config=tune.RunConfig(
            name=f"search-{time.time_ns()}",
            storage_path=str(_workshop(Path(settings["folder"])) / "ray"),
            failure_config=tune.FailureConfig(max_failures=3),
            verbose=0,
        ),
    )
    record = Record(Path(settings["folder"]))
    for result in tuner.fit():
        if (error := result.error) is None:
            continue
        trial = Trial.model_validate_json(result.config["trial"])
        if isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in str(error):
            # Ray's own watch over a machine's memory killed it each time, so its process could not write that down.
            ended = sum(each.trial == trial.number for each in record.rounds())
            lost = Round(
                trial=trial.number,
                round=ended + 1,
                values=trial.values,
                tokens=lengths(spec)[ended],
                seconds=0.0,
                ended="out_of_memory",
            )
            record.add(lost)
            continue
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, AutonError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is not None:
            raise cause
        raise ClusterError(
            f"A trial of the search failed, again and again: {first_line(error)}",
            "Run the same command again; it continues where it was.",
        )


def _trial(config: dict[str, Any]) -> None:
    """What every trial runs: its rounds, until ASHA ends it where it reports. Those written down are only reported."""
    import torch
    from ray import tune

    torch.set_num_threads(config["threads"])
    spec, trial = BuildSpec.model_validate_json(config["spec"]), Trial.model_validate_json(config["trial"])
    search, folder = spec.search, Path(config["folder"])
    assert search is not None
    record, journal = Record(folder), Journal(folder, "training")
    before = {ended.round: ended for ended in record.rounds() if ended.trial == trial.number}
    for number, tokens in enumerate(lengths(spec), 1):
        if (ended := before.get(number)) is None:
            place = _workshop(folder) / f"{trial.number}-{number}"
            begun = len({each.trial for each in record.rounds()} - {trial.number})

            def report(step: Progress, begun: int = begun) -> None:
                text = f"trial {trial.number}: {step.text}"
                journal.progress(Progress("search", begun, search.trials, "trials", text))

            ended = train_round(spec, trial, number, tokens, Path(config["corpus"]), place, config["device"], report)
            record.add(ended)
            journal.say(ended.words())
            shutil.rmtree(place, ignore_errors=True)
        if ended.bits_per_byte is None:
            return
        tune.report({_SCORE: ended.bits_per_byte, _LENGTH: search.reduction ** (number - 1)})


def train_round(
    spec: BuildSpec,
    trial: Trial,
    number: int,
    tokens: int,
    corpus: Path,
    place: Path,
    device: Device,
    report: Reporter = silent,
) -> Round:
    """Train one round of a trial in this process.

    :param place: a folder for the training's files; one that was cut off there goes on.
    :raises Exception: the training's own, when what failed were not its values.
    """
    from slm.training.loop import train

    ended: Diagnosis | None = None
    small = trial_spec(spec, trial.values, tokens)
    began = time.perf_counter()
    try:
        train(small, corpus, place, device=device, report=report, samples=False)
    except Exception as error:  # a device that runs out of memory has an exception of its own
        ended = diagnose(error)
        if ended not in _OF_VALUES:
            raise
    measured = [] if ended else read_curves(TrainingPaths(place).log).validation
    if not measured and not ended:
        ended = "diverged"  # to a score that is no finite number
    return Round(
        trial=trial.number,
        round=number,
        values=trial.values,
        tokens=small.steps * small.batch_tokens,
        seconds=round(time.perf_counter() - began, 3),
        bits_per_byte=measured[-1][2] if measured else None,
        ended=ended,
    )
