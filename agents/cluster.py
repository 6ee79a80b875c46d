"""All that touches Ray but for searches: connecting, actors, and launching training workers.

Ray reads its authentication settings when it is first imported, so it is imported here only after they are set.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from agents import warden
from slm.errors import AutonError, ClusterError, TrainingError
from slm.layout import Layout
from slm.machine import processors, training_environment
from slm.spec import BuildSpec
from slm.training.aside import set_beginning_aside
from slm.training.guards import Diagnosis, diagnose
from slm.training.memory import Device
from slm.training.outcome import Adjustments, TrainingPaths, TrainingResult, finished

NAMESPACE = "auton"
#: How Ray names the kinds of accelerators among a machine's resources.
_ACCELERATOR = "accelerator_type:"
#: What each machine of a cluster has, by Ray's names.
Nodes = Sequence[Mapping[str, float]]
#: Ray's object store carries small messages only; corpora and weights are files.
_OBJECT_STORE_BYTES = 256 * 1024 * 1024

#: Kept here, since a pipe that nobody holds is closed.
_wardens: list[subprocess.Popen[bytes]] = []

Agent = TypeVar("Agent")
Item = TypeVar("Item")
Result = TypeVar("Result")


def connect(address: str | None, layout: Layout) -> str:
    """Connect to Ray and say where.

    :param address: ``local`` starts a private Ray on this machine, bound to loopback and closed with this process;
        ``auto`` or a host joins a running cluster; nothing means ``RAY_ADDRESS`` when set (as in a Ray job), else
        ``local``.
    :raises ClusterError: when no cluster is reachable, or Ray does not start.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or "local"
    _settings(wanted, layout)
    import ray

    quiet: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "error"}
    try:
        if wanted == "local":
            ray.init(
                address="local",
                num_cpus=processors(),
                object_store_memory=_OBJECT_STORE_BYTES,
                # Ray Train asks the dashboard's state service where its workers are.
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                # Ray resolves 127.0.0.1 to an outside address; this one is loopback too, and it stays.
                _node_ip_address="127.0.0.2",
                **quiet,
            )
            _wardens.append(warden.post())
            return "a local Ray"
        ray.init(address=wanted, **quiet)
        return f"the Ray cluster at {ray.get_runtime_context().gcs_address}"
    except Exception as error:  # no less will do: what Ray raises when a node is slow to start is a bare Exception
        if wanted == "local":
            raise ClusterError(
                f"A local Ray did not start: {first_line(error)}",
                "Nothing was lost: run the same command again, once the machine is less busy if that is what kept it. "
                f"Its logs are in {tempfile.gettempdir()}/ray/session_latest/logs.",
            ) from error
        raise ClusterError(
            f"No Ray cluster answers at {wanted}: {first_line(error)}",
            "Start one with `ray start --head`, set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH as it has them, "
            "or use --address local.",
        ) from error


def _settings(wanted: str, layout: Layout) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # A machine that is busy with something else starts a worker in minutes rather than the one that Ray grants.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")
    if wanted != "local":
        return
    # A task that needs more memory than there is would be tried again for ever.
    os.environ.setdefault("RAY_task_oom_retries", "3")
    # These two metrics servers would listen on every address, without a token; a port that cannot be keeps them shut.
    os.environ.setdefault("AUTOSCALER_METRIC_PORT", "-1")
    os.environ.setdefault("DASHBOARD_METRIC_PORT", "-1")
    # Ray's own default token file would silently turn authentication on for clusters started later by hand.
    token = layout.runs / ".ray-token"
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
        if not token.exists():
            token.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_hex(32))


def disconnect() -> None:
    """Leave the cluster; a local Ray ends with it."""
    import ray

    ray.shutdown()
    while _wardens:
        if pipe := _wardens.pop().stdin:
            pipe.close()


class Remote(Generic[Agent]):
    """An agent in an actor of its own: restarted when its process dies, its call then made again.

    Agents go on where they were (see :mod:`agents.graphs`), so a call made again repeats nothing.
    """

    def __init__(self, agent: type[Agent], name: str, *arguments: Any, **named: Any) -> None:
        """Start ``agent(*arguments, **named)`` as the actor ``name`` on the machine of the caller."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options: dict[str, Any] = {
            "name": name,
            "num_cpus": 0,
            "max_restarts": 5,
            "max_task_retries": 5,
            "scheduling_strategy": here,
            "runtime_env": {
                "env_vars": {
                    # Agents work one at a time; without a word Ray gives an actor that reserves no CPU a single thread.
                    "OMP_NUM_THREADS": str(processors()),
                    # What Ray Train leaves to tidy up after a killed agent looks its cluster up; without this it finds
                    # the one that was started last on this machine, and the next attempt waits for its processors.
                    "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
                }
            },
        }
        self._actor = ray.remote(agent).options(**options).remote(*arguments, **named)
        self._name = name

    def start(self, method: str, *arguments: Any) -> Any:
        """Begin a call and return its reference for :meth:`result`."""
        return getattr(self._actor, method).remote(*arguments)

    def result(self, reference: Any, timeout: float | None = None) -> Any:
        """Return a call's result.

        :raises TimeoutError: when it is not there within ``timeout`` seconds.
        :raises AutonError: the agent's own.
        """
        import ray

        try:
            return ray.get(reference, timeout=timeout)
        except ray.exceptions.GetTimeoutError as error:
            raise TimeoutError from error
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AutonError):
                raise error.cause from None
            raise
        except ray.exceptions.RayActorError as error:
            raise ClusterError(
                f"The agent {self._name} died and could not be restarted: {first_line(error)}",
                "Run the same command again; it continues where it was.",
            ) from error

    def call(self, method: str, *arguments: Any) -> Any:
        """Call and wait."""
        return self.result(self.start(method, *arguments))


class Tasks:
    """Maps functions over items as Ray tasks, wherever there are processors (:class:`slm.corpus.executor.Executor`)."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield results in order, two tasks a processor ahead of the reader."""
        import ray

        task = ray.remote(lambda item: function(item))  # Ray takes functions only, and this may be a partial one
        ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: deque[Any] = deque()
        for item in items:
            # A lost machine's tasks run again elsewhere; a task's own error is the caller's to see.
            running.append(task.options(num_cpus=1, max_retries=3, scheduling_strategy="SPREAD").remote(item))
            while len(running) > ahead:
                yield self._result(running.popleft())
        while running:
            yield self._result(running.popleft())

    @staticmethod
    def _result(reference: Any) -> Any:
        import ray

        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, AutonError):
                raise error.cause from None
            raise


def spread() -> Tasks | None:
    """Return what spreads work over the cluster, or nothing where it has one machine, whose processes do as well."""
    import ray

    return Tasks() if sum(node["Alive"] for node in ray.nodes()) > 1 else None


class AttemptFailed(Exception):
    """Training workers ended before the last step."""

    def __init__(self, diagnosis: Diagnosis, detail: str) -> None:
        super().__init__(diagnosis, detail)
        self.diagnosis: Diagnosis = diagnosis
        self.detail = detail


def device_for(spec: BuildSpec) -> Device:
    """Return what the training's workers run on: ``auto`` takes GPUs where the cluster has one for each."""
    if spec.train.device != "auto":
        return spec.train.device
    return "gpu" if _gpus(_suited(spec, _nodes())) >= spec.train.workers else "cpu"


def run_training(
    spec: BuildSpec, corpus: Path, folder: Path, journal: Path, adjustments: Adjustments, attempt: int
) -> TrainingResult:
    """Run one training attempt on the cluster's workers and wait for it.

    :raises AttemptFailed: with the diagnosis of what ended it early.
    :raises ClusterError: when the cluster lacks what the spec asks for.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError

    workers, use_gpu = spec.train.workers, device_for(spec) == "gpu"
    nodes = _nodes()
    # Ray would wait for ever for what will not come.
    if missing := lacking(spec, use_gpu, nodes):
        raise ClusterError(*missing)
    cores = cores_per_worker(_cores(_suited(spec, nodes)), workers)
    paths = TrainingPaths(folder)
    paths.failure.unlink(missing_ok=True)
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "spec": spec.model_dump(mode="json"),
            "corpus": str(corpus),
            "folder": str(folder),
            "journal": str(journal),
            "adjustments": adjustments.model_dump(mode="json"),
            "threads": cores,
            "device": "gpu" if use_gpu else "cpu",
        },
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=use_gpu,
            accelerator_type=spec.train.accelerator,
            resources_per_worker={"CPU": 1, "GPU": 1} if use_gpu else {"CPU": cores},
        ),
        torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
        # Retries are the TrainingAgent's, which looks at the reason first.
        run_config=RunConfig(
            name=f"attempt-{attempt}-{time.time_ns()}",
            storage_path=str(folder / "ray"),
            failure_config=FailureConfig(max_failures=0, controller_failure_limit=3),
            worker_runtime_env={"env_vars": training_environment()},
        ),
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise name_failure(paths, list(error.worker_failures.values())) from error
    except (TrainingFailedError, OSError) as error:  # not of the workers, but of what leads them
        raise name_failure(paths, [error]) from error
    result = finished(folder, corpus)
    if result is None:
        raise AttemptFailed("corrupt_checkpoint", "The workers ended well, but the checkpoint they left is damaged.")
    return result


def run_teaching(
    spec: BuildSpec, checkpoint: Path, benchmark: Path, corpus: Path, out: Path, journal: Path
) -> dict[str, float]:
    """Teach ``checkpoint`` in one worker, a GPU's where the training has them, and return what came of it.

    :raises AutonError: the worker's own, when the training diverges or something is damaged.
    :raises ClusterError: when no worker carries it to its end.
    """
    import ray

    room = room_for(spec, 1)
    work = ray.remote(_teach).options(
        num_cpus=room.resources["CPU"],
        num_gpus=room.resources.get("GPU", 0),
        accelerator_type=spec.train.accelerator,
        max_retries=3,
        runtime_env={"env_vars": {**training_environment(), "OMP_NUM_THREADS": str(room.cores)}},
    )
    paths = [str(path) for path in (checkpoint, benchmark, corpus, out, journal)]
    try:
        figures: dict[str, float] = ray.get(work.remote(spec.model_dump(mode="json"), room.device, *paths))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, AutonError):
            raise error.cause from None
        raise TrainingError(
            f"Teaching the model failed: {diagnose(error.cause)} ({first_line(error.cause)})",
            "Lower teach.batch if memory was short; the same command tries again.",
        ) from error
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"The worker that teaches the model was lost, again and again: {first_line(error)}",
            "Run the same command again; it continues where it was.",
        ) from error
    return figures


def _teach(spec: dict[str, Any], device: Device, *paths: str) -> dict[str, float]:
    """What the worker of :func:`run_teaching` runs."""
    from agents.journal import Journal
    from slm.adapt.sft import fine_tune
    from slm.lineage import read_manifest

    checkpoint, benchmark, corpus, out, journal = map(Path, paths)
    settings = BuildSpec.model_validate(spec).teach
    assert settings is not None
    report = Journal(journal, "training").progress
    if not out.exists():  # else an earlier try of the same task got that far, and only its word was lost
        fine_tune(checkpoint, benchmark, corpus, out, settings, report, device)
    return {name: value for name, value in read_manifest(out).info.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class Room:
    """What a worker that works for itself gets: a GPU where the training's workers have them, else processors."""

    device: Device
    #: How many threads it may use.
    cores: int
    #: By Ray's names; its kind of accelerator among them.
    resources: dict[str, float]


def room_for(spec: BuildSpec, most: int) -> Room:
    """Return what each worker gets where ``most`` of them, or as many as fit, work side by side.

    :raises ClusterError: when the cluster lacks what one of them needs, for which Ray would wait for ever.
    """
    use_gpu, nodes = device_for(spec) == "gpu", _nodes()
    one = spec.model_copy(update={"train": spec.train.model_copy(update={"workers": 1})})
    if missing := lacking(one, use_gpu, nodes):
        raise ClusterError(*missing)
    cores = max(1, cores_per_worker(_cores(_suited(spec, nodes)), most))
    resources = {"CPU": 1.0, "GPU": 1.0} if use_gpu else {"CPU": float(cores)}
    if kind := spec.train.accelerator:
        resources[f"{_ACCELERATOR}{kind}"] = 0.001
    return Room("gpu" if use_gpu else "cpu", cores, resources)


def lacking(spec: BuildSpec, use_gpu: bool, nodes: Nodes) -> tuple[str, str] | None:
    """Return what a cluster lacks for a spec's training, and what to do about it; nothing when it lacks nothing.

    Where the spec names a kind of accelerator, machines without it do not count.
    """
    workers, kind, suited = spec.train.workers, spec.train.accelerator, _suited(spec, nodes)
    if kind and not suited:
        names = {name for node in nodes for name in node if name.startswith(_ACCELERATOR)}
        there = ", ".join(sorted(name.removeprefix(_ACCELERATOR) for name in names))
        return (
            f"The spec asks for accelerators {kind}; this cluster has {there or 'none'}.",
            "Correct train.accelerator, or leave it out to take any.",
        )
    of_kind = f" {kind}" if kind else ""
    if use_gpu and _gpus(suited) < workers:
        return (
            f"The spec asks for {workers} GPU worker(s); this cluster has {_gpus(suited):g}{of_kind} GPU(s).",
            "Start more workers, lower train.workers, or set train.device=cpu.",
        )
    if cores_per_worker(_cores(suited), workers) == 0:
        return (
            f"The spec asks for {workers}{of_kind} worker(s); its machines have {sum(_cores(suited))} processor(s).",
            "Lower train.workers, or start more machines.",
        )
    return None


def _nodes() -> Nodes:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _suited(spec: BuildSpec, nodes: Nodes) -> Nodes:
    """Return the machines that have the kind of accelerator that the spec asks for: all, where it asks for none."""
    kind = spec.train.accelerator
    return [node for node in nodes if kind is None or f"{_ACCELERATOR}{kind}" in node]


def _gpus(nodes: Nodes) -> float:
    return sum(node.get("GPU", 0.0) for node in nodes)


def _cores(nodes: Nodes) -> list[int]:
    return [int(node.get("CPU", 0)) for node in nodes]


def cores_per_worker(nodes: list[int], workers: int) -> int:
    """Return the most processors that each of ``workers`` can have, whole workers on each node; 0 if they do not fit.

    :param nodes: the number of processors of each machine.
    """
    for cores in range(max(nodes, default=0), 0, -1):
        if sum(node // cores for node in nodes) >= workers:
            return cores
    return 0


def name_failure(paths: TrainingPaths, failures: list[Exception]) -> AttemptFailed:
    """Name a failure when its workers are gone: by the note that one left, or by what their launcher saw.

    A worker that lost another met a broken connection, which it could not name: the launcher knows better then. A
    checkpoint that led straight to the failure is set aside.

    :param failures: what Ray Train says of each worker that failed; empty when it vanished without a word.
    """
    import ray
    from ray.train.v2._internal.exceptions import RayTrainError

    note = paths.noted()
    if note is not None and note.diagnosis != "unknown":
        return AttemptFailed(note.diagnosis, set_beginning_aside(paths, note).detail)
    causes = [_cause(failure) for failure in failures]
    for cause in causes:
        if isinstance(cause, ray.exceptions.OutOfMemoryError) or "low on memory" in str(cause):
            return AttemptFailed("out_of_memory", first_line(cause))  # Ray's own watch over a machine's memory
        if (diagnosis := diagnose(cause)) != "unknown":
            return AttemptFailed(diagnosis, str(cause))
    # Whoever dies without a word was killed: by a person, by the kernel, or with its machine.
    for cause in causes:
        if isinstance(cause, (ray.exceptions.RayError, RayTrainError)):
            return AttemptFailed("lost_worker", first_line(cause))
    if note is not None:
        return AttemptFailed("unknown", note.detail)
    if causes:
        return AttemptFailed("unknown", first_line(causes[0]))
    return AttemptFailed("lost_worker", "a training worker vanished")


def _cause(failure: Exception) -> BaseException:
    """Return what is behind what Ray Train says of a worker."""
    for name in ("health_check_failure", "cause", "controller_failure"):
        if isinstance(behind := getattr(failure, name, None), Exception):
            return behind
    return failure


def _work(config: dict[str, Any]) -> None:
    """What every training worker runs; Ray Train has set rank, world size and rendezvous address."""
    import torch

    from agents.journal import Journal
    from slm.training.loop import train

    torch.set_num_threads(config["threads"])
    journal = Journal(Path(config["journal"]), "training")
    train(
        BuildSpec.model_validate(config["spec"]),
        Path(config["corpus"]),
        Path(config["folder"]),
        Adjustments.model_validate(config["adjustments"]),
        device=config["device"],
        report=journal.progress,
    )


class Interrupts:
    """Notes Ctrl-C and SIGTERM instead of dying of them; a second one is not only noted.

    An exception raised from a handler while something is imported, or while Ray waits, may come out as something else
    or not at all.
    """

    def __init__(self) -> None:
        """Watch from now on."""
        self.came = False
        self.watch()

    def watch(self) -> None:
        """Watch again: Ray installs handlers of its own when it starts."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
