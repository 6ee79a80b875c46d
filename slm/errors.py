"""The errors that a user can cause or mend. Each says what was found, where, and what to do.

Command lines catch :class:`AutonError`, print it without a traceback, and exit with its ``exit_code``; anything else
that escapes is a defect of ours and keeps its traceback.
"""

from __future__ import annotations


class AutonError(Exception):
    """Something a person can mend: ``what`` was found, and what ``to_do`` about it."""

    exit_code = 1

    def __init__(self, what: str, to_do: str = "") -> None:
        super().__init__(what, to_do)
        self.what = what
        self.to_do = to_do

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.to_do}" if self.to_do else self.what


class SpecError(AutonError):
    """A build spec that cannot be read, or that says something not allowed."""

    exit_code = 2


class SourceError(AutonError):
    """A corpus source that is missing, unreachable or not what it should be."""


class CorpusError(AutonError):
    """A corpus that cannot be made or used: too little text, a broken shard, a mix out of reach."""


class ArtefactError(AutonError):
    """An artefact (corpus, checkpoint, export) that is missing, incomplete or does not match its manifest."""


class BenchmarkError(AutonError):
    """A benchmark file that cannot be read, or that holds something else than items."""

    exit_code = 2


class DiskFullError(AutonError):
    """No space left where a file had to be written; what was there before is untouched."""


class TrainingError(AutonError):
    """Training that stopped before its end."""


class RegistryError(AutonError):
    """The registry of accepted models cannot be written or read."""


class ClusterError(AutonError):
    """Ray cannot be reached, started or used."""


class StateError(AutonError):
    """Where graphs keep their state cannot be reached or used, or is not where a build began to keep it."""


class BuildError(AutonError):
    """A build that cannot start or continue."""


class UsageError(BuildError):
    """A command on builds that makes no sense as it was given: it names none, or says too little or too much."""

    exit_code = 2


class Interrupted(AutonError):
    """A person stopped the command; nothing is wrong."""

    exit_code = 130


class ServingError(AutonError):
    """A model that cannot be loaded or served, or a server that cannot be reached."""


class GuestError(AutonError):
    """A guest machine that does not boot, or that stops answering."""

    exit_code = 3
