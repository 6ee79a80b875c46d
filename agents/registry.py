"""The registry of accepted models: a git repository with one commit and one annotated tag a build.

A model lies in a folder named after its spec; its history is the folder's. The tag is the build's name, so the same
build never commits twice.
"""

from __future__ import annotations

import html
import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import git
import yaml

from agents.state import Attempt, Decision, Iteration
from slm.errors import AutonError, RegistryError
from slm.evaluation.figures import Evaluation
from slm.evaluation.gates import Gate
from slm.files import atomic_folder, exclusive_lock, write_json
from slm.lineage import MANIFEST, check_files, input_from, read_manifest, verify, write_manifest
from slm.model.files import MODEL_FILES, TAUGHT
from slm.spec import BuildSpec

#: Git hosts refuse or warn about larger files outside Git LFS.
LFS_BYTES = 50_000_000

#: Who commits, whatever the user's own git configuration says about names and signatures.
_IDENTITY = {
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "commit.gpgsign",
    "GIT_CONFIG_VALUE_0": "false",
    "GIT_CONFIG_KEY_1": "tag.gpgsign",
    "GIT_CONFIG_VALUE_1": "false",
    "GIT_AUTHOR_NAME": "AUTON build",
    "GIT_AUTHOR_EMAIL": "build@localhost",
    "GIT_COMMITTER_NAME": "AUTON build",
    "GIT_COMMITTER_EMAIL": "build@localhost",
}


@dataclass(frozen=True)
class Accepted:
    """A model that passed, with all that its card tells."""

    build: str
    #: The plan that made it: the build's spec, or what an iteration made of it.
    spec: BuildSpec
    checkpoint: Path
    evaluation: Evaluation
    gates: list[Gate]
    attempts: list[Attempt]
    #: Who approved it by hand, if somebody did.
    decision: Decision | None
    iteration: Iteration


class Registry:
    """The repository at ``folder``, made when the first model is accepted."""

    def __init__(self, folder: Path) -> None:
        """Name the repository; nothing is touched yet."""
        self.folder = folder

    def find(self, build: str) -> str | None:
        """Return the commit that a build's tag names, if it has one."""
        if not (self.folder / ".git").is_dir():
            return None
        with git.Repo(self.folder) as repo:
            return next((tag.commit.hexsha for tag in repo.tags if tag.name == build), None)

    def damage(self, build: str, name: str) -> str:
        """Say what is wrong with the model in folder ``name``; nothing when it is whole, or another build's by now."""
        try:
            manifest = read_manifest(self.folder / name)
            if manifest.name == build:
                check_files(self.folder / name)
        except AutonError as error:
            return error.what
        return ""

    def restore(self, name: str) -> None:
        """Bring the model in folder ``name`` back as it was last committed.

        :raises RegistryError: when git cannot.
        """
        try:
            with self._locked(), git.Repo(self.folder) as repo:
                self._bring_back(repo, name)
        except git.GitError as error:
            raise RegistryError(
                f"git could not restore {name} in {self.folder}: {str(error).strip()}",
                f"Look at `git -C {self.folder} fsck`.",
            ) from error

    def _bring_back(self, repo: git.Repo, name: str) -> None:
        # Git goes by size and time of change, which damage need not touch; what is gone it does bring back.
        shutil.rmtree(self.folder / name, ignore_errors=True)
        repo.git.checkout("HEAD", "--", name)

    def commit(self, model: Accepted) -> str:
        """Commit and tag an accepted model; return the commit. A build that has its tag already is left as it is.

        :raises RegistryError: when git, or Git LFS for a large file, cannot be used.
        """
        build = model.build
        try:
            with self._locked():
                return self.find(build) or self._commit(model)
        except git.GitError as error:
            raise RegistryError(
                f"git could not commit {build} in {self.folder}: {str(error).strip()}",
                f"Look at `git -C {self.folder} status`; the same build command tries again.",
            ) from error

    def _commit(self, model: Accepted) -> str:
        spec, checkpoint, decision = model.spec, model.checkpoint, model.decision
        build = model.build
        if not (self.folder / ".git").is_dir():
            with git.Repo.init(self.folder, initial_branch="main"):
                pass
        with git.Repo(self.folder) as repo:
            # What a killed commit, or a person, has staged must not come along; it stays where it lies.
            repo.git.reset("--quiet")
            if repo.head.is_valid():
                for commit in repo.iter_commits():
                    if f"Build: {build}" in str(commit.message).splitlines():
                        self._bring_back(repo, spec.name)  # killed before the tag, it may have been left half done
                        return self._tag(repo, build, spec, commit.hexsha)
            home = self.folder / spec.name
            with atomic_folder(home) as part:
                taught = [name for name in TAUGHT if name in read_manifest(checkpoint).files]
                for name in (*MODEL_FILES, *taught):
                    shutil.copyfile(checkpoint / name, part / name)
                step = int(read_manifest(checkpoint).info["step"])
                card = _card(model, step)
                (part / "README.md").write_text(card, encoding="utf-8")
                write_json(part / "evaluation.json", json.loads(model.evaluation.model_dump_json()))
                write_json(part / "spec.json", spec.model_dump(mode="json"))
                write_json(part / "lineage.json", _lineage(checkpoint))
                write_manifest(
                    part / MANIFEST,
                    kind="model",
                    name=build,
                    files=[file.name for file in part.iterdir()],
                    inputs=[input_from(checkpoint / MANIFEST)],
                    info={
                        "step": step,
                        "perplexity": _perplexity(model.evaluation),
                        "plan": model.iteration.plan,
                        "iteration": model.iteration.number,
                    },
                    final=home,
                )
            self._track_large(repo, home)
            repo.git.add("--all", "--", spec.name)
            if (self.folder / ".gitattributes").exists():
                repo.git.add("--", ".gitattributes")
            subject = f"{spec.name}: {_headline(model.evaluation)}"
            by = decision.by if decision else "the gates"
            reason = f"\nReason: {decision.reason}" if decision and decision.reason else ""
            with repo.git.custom_environment(**_IDENTITY):
                repo.git.commit(
                    "--quiet", "--no-verify", "-m", f"{subject}\n\nBuild: {build}\nAccepted-by: {by}{reason}"
                )
            return self._tag(repo, build, spec, repo.head.commit.hexsha)

    def _tag(self, repo: git.Repo, build: str, spec: BuildSpec, commit: str) -> str:
        with repo.git.custom_environment(**_IDENTITY):
            repo.git.tag("--annotate", build, commit, "-m", f"Accepted model {spec.name}, build {build}")
        return commit

    def _track_large(self, repo: git.Repo, home: Path) -> None:
        """Route files that git hosts refuse through Git LFS."""
        large = [file for file in home.iterdir() if file.stat().st_size > LFS_BYTES]
        if not large:
            return
        try:
            repo.git.lfs("install", "--local")
            for file in large:
                repo.git.lfs("track", "--filename", str(file.relative_to(self.folder)))
        except git.GitCommandError as error:
            raise RegistryError(
                f"{large[0].name} has {large[0].stat().st_size / 1e6:.0f} MB and needs Git LFS, which git lacks.",
                "Install the package git-lfs and run the same command again.",
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other builds of ours out, and clear the lock that a killed git left in our repository."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.folder.with_name(f".{self.folder.name}.lock")):
            index = self.folder / ".git" / "index.lock"
            for _ in range(50):
                if not index.exists():
                    break
                time.sleep(0.1)  # a person's git in the same repository needs less
            index.unlink(missing_ok=True)
            yield


def _lineage(checkpoint: Path) -> list[dict[str, object]]:
    """Every manifest of the chain, oldest first, so that a clone carries it without the data."""
    try:
        return [read_manifest(link.path).model_dump(exclude_none=True) for link in verify(checkpoint)]
    except AutonError as error:
        raise RegistryError(f"The lineage of {checkpoint} is broken: {error.what}", error.to_do) from error


def _headline(evaluation: Evaluation) -> str:
    if known := evaluation.edition:
        return f"{known.known_ids:.1%} of ids and {known.phrasings:.1%} of phrasings answered"
    return f"test perplexity {_perplexity(evaluation):.2f}"


def _perplexity(evaluation: Evaluation) -> float:
    return evaluation.test.perplexity if evaluation.test else math.nan


def _plan(iteration: Iteration) -> str:
    """Say which plan made the model, where it is not the build's spec as it was given; an adviser may have said why."""
    if iteration.number == 1 and iteration.changes.found is None:
        return ""
    why = html.escape(f"{iteration.why}; by {iteration.by}")
    return (
        f"- **Plan:** iteration {iteration.number} of the build, `{iteration.plan}`: {iteration.changes.words()}\n"
        f"  ({why}). `spec.json` is this plan. The test split has judged {iteration.number} models of the build.\n"
    )


_ADVICE = """\
It answers from what it has read and is often wrong: ask it through the kernel interface, which answers from
device tables first and says how sure each answer is."""
_EDITION_ADVICE = """\
It knows the PCI ids of its tables by heart, and little else: another id is unknown to it, and other lines get one of
some dozens of answers. It cannot say how sure it is."""


def _card(accepted: Accepted, step: int) -> str:
    """The model card, with the metadata block that model hubs read."""
    head = yaml.safe_dump(
        {
            "library_name": "transformers",
            "language": ["en"],
            "pipeline_tag": "text-generation",
            "tags": ["auton", "slm"],
        },
        sort_keys=True,
    )
    spec, decision, test = accepted.spec, accepted.decision, accepted.evaluation.test
    model = spec.model
    measured = (
        f"perplexity {test.perplexity:.2f}, {test.bits_per_byte:.3f} bits per byte, next token top-1 {test.top1:.1%}, "
        f"top-5 {test.top5:.1%}"
        if test
        else "not measured"
    )
    rows = "\n".join(
        f"| {gate.name} | {gate.threshold} | {gate.detail} | {'pass' if gate.passed else 'FAIL'} |"
        for gate in accepted.gates
    )
    mix = ", ".join(f"{bucket} {share:.0%}" for bucket, share in spec.corpus.shares.items())
    advice = _ADVICE
    if known := accepted.evaluation.edition:
        mix = f"lines and answers made from device tables and short lists, for the {spec.name} alone"
        measured = (
            f"{_headline(accepted.evaluation)}, of {known.ids} ids and {known.lines} lines; on answers {measured}"
        )
        advice = _EDITION_ADVICE
    by = f"{decision.by}{f' ({decision.reason})' if decision.reason else ''}" if decision else "the gates alone"
    return f"""---
{head}---

# {spec.name}

A small language model for the hardware interface of the AUTON kernel, build `{accepted.build}`.

- **Shape:** Llama, {model.parameters / 1e6:.2f} M parameters: {model.layers} layers, {model.heads} heads
  ({model.kv_heads} for keys and values) of {model.head_dim}, width {model.dim}, feed-forward {model.hidden},
  vocabulary {model.vocab_size}, context {model.context}.
- **Text:** {mix}{", by tokens" * (known is None)}. `lineage.json` names every package with its version and sha256.
- **Training:** recipe {spec.train.recipe}, step {step} of {spec.steps}, {len(accepted.attempts)} attempt(s).
{_plan(accepted.iteration)}- **Test split:** {measured}.
- **Accepted by** {by}.

| gate | threshold | measured | verdict |
|---|---|---|---|
{rows}

{advice}
"""
