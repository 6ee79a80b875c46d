"""How sure a model may be of an answer: what its probability has meant on questions whose answers were known.

A ranking's confidences are made sharper or flatter by one temperature (Guo et al., 2017); then the best answer's is
mapped to the chance that it is right (Platt, "Probabilistic Outputs for Support Vector Machines", 1999).
:mod:`slm.evaluation.benchmark.calibration` fits the figures; to apply them takes next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from slm.errors import ArtefactError
from slm.files import read_json, write_json
from slm.model.files import CALIBRATION

Floats = npt.NDArray[np.float64]

#: Who answers: the model with all that it ranked, its first answer by itself, the model with its neighbours, or these.
ALONE, FIRST, HELPED, REMEMBERED = "model", "first answer", "with neighbours", "neighbours alone"

#: No confidence is nearer to 0 or 1 than this; a certainty that proves wrong would cost without end.
EDGE = 1e-6
#: For the sigmoid, all that is nearer is as sure: a few certainties that prove wrong would else bend it for all.
_CERTAIN = 1e-3


class Calibration(BaseModel):
    """What was fitted: confidence = sigmoid(slope · logit(confidence at ``temperature``) + intercept)."""

    model_config = ConfigDict(frozen=True)
    temperature: float
    slope: float
    intercept: float
    #: Validation items that it was fitted on.
    n: int

    def confidence(self, confidences: Sequence[float]) -> float:
        """Return the chance that the best of a ranking's answers is right; 0 for a ranking without answers."""
        if not confidences:
            return 0.0
        at = logit(np.array([tempered(confidences, self.temperature)[0]]))[0]
        return float(1 / (1 + math.exp(-max(min(self.slope * at + self.intercept, 700.0), -700.0))))


Calibrations = Mapping[str, Mapping[str, Calibration]]
_FILE: TypeAdapter[dict[str, dict[str, Calibration]]] = TypeAdapter(dict[str, dict[str, Calibration]])


def read_calibrations(model: Path) -> Calibrations:
    """Return the calibrations beside a model, a folder or a file; none where there is no such file.

    :raises ArtefactError: when the file holds something else.
    """
    file = (model if model.is_dir() else model.parent) / CALIBRATION
    if not file.is_file():
        return {}
    try:
        return _FILE.validate_python(read_json(file))
    except ValidationError as error:
        raise ArtefactError(f"{file} holds no calibrations.", "Train the model on questions again.") from error


def write_calibrations(file: Path, calibrations: Calibrations) -> None:
    """Write calibrations as :func:`read_calibrations` reads them."""
    write_json(
        file, {who: {task: one.model_dump() for task, one in each.items()} for who, each in calibrations.items()}
    )


def tempered(confidences: Sequence[float], temperature: float) -> Floats:
    """Return confidences at a temperature; what was missing to 1 is an answer of its own, and left out again.

    :param confidences: one ranking's, at least one.
    """
    values = np.asarray(confidences, dtype=np.float64)
    rest = max(0.0, 1.0 - float(values.sum()))
    logs = np.log(np.maximum(np.append(values, rest), EDGE * 1e-6)) / temperature
    if rest <= EDGE:
        logs[-1] = -np.inf
    powers = np.exp(logs - logs.max())
    found: Floats = (powers / powers.sum())[:-1]
    return found


def logit(confidence: Floats) -> Floats:
    """Return the logits of confidences, none of them certain."""
    clipped = np.clip(confidence, _CERTAIN, 1 - _CERTAIN)
    found: Floats = np.log(clipped / (1 - clipped))
    return found
