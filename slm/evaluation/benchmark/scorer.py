"""A small network that scores an answer by figures that speak for it: a linear part and one hidden layer.

It sees one answer at a time, so it does not matter how many there are, nor which. What it was fitted with is torch;
what remains are four arrays, so that a server needs no more than numpy for one question.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

Floats = npt.NDArray[np.float64]

#: Hidden units; passes over the questions, and steps at least; questions a step.
_HIDDEN, _PASSES, _STEPS, _BATCH = 16, 8, 400, 32
#: The first learning rate, which falls to 0, and AdamW's decay.
_RATE, _DECAY = 3e-3, 0.1
#: A figure that varies by less is always the same.
_STILL = 1e-3
#: What every figure's weight in the linear part begins with: all speak for an answer.
_FIRST = 0.1


class Scorer(BaseModel):
    """The fitted network: ``linear`` · x + ``out`` · max(``hidden`` x + ``bias``, 0) for the figures x of an answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    linear: list[float]
    #: ``[units, figures]``.
    hidden: list[list[float]]
    bias: list[float]
    out: list[float]

    @model_validator(mode="after")
    def _fits(self) -> Scorer:
        if len(self.hidden) != len(self.bias) or len(self.bias) != len(self.out):
            raise ValueError("hidden, bias and out must be of as many units")
        if any(len(unit) != len(self.linear) for unit in self.hidden):
            raise ValueError("every hidden unit must weigh as many figures as linear does")
        return self

    @property
    def figures(self) -> int:
        """How many figures it weighs."""
        return len(self.linear)

    def scores(self, figures: Floats) -> Floats:
        """Return the score of every answer ``[answers]`` by its figures ``[answers, figures]``."""
        units = np.maximum(figures @ np.array(self.hidden).T + np.array(self.bias), 0)
        found: Floats = figures @ np.array(self.linear) + units @ np.array(self.out)
        return found

    @classmethod
    def fitted(
        cls, figures: Sequence[npt.NDArray[np.float32]], right: Sequence[npt.NDArray[np.bool_]], seed: int = 0
    ) -> Scorer:
        """Fit one under which the right answers are likeliest; any of several right ones will do.

        :param figures: of every question, one at least, ``[answers, figures]``, as many answers of each.
        :param right: which answers are right ``[answers]``; questions without one are passed over.
        """
        import torch  # here: a server that only scores has no use for it

        answerable = [place for place, these in enumerate(right) if these.any()]
        rows = torch.from_numpy(np.stack([figures[place] for place in answerable] or figures[:1]))
        wrong = torch.from_numpy(~np.stack([right[place] for place in answerable] or right[:1]))
        mean, spread = rows.mean((0, 1)), rows.std((0, 1), correction=0)
        # Nothing can be learned of a figure that is always the same; one that moves later must not count then.
        moves = (spread > _STILL).float()
        spread += _STILL
        rows.sub_(mean).div_(spread).mul_(moves)
        made = torch.Generator().manual_seed(seed)
        width = rows.shape[-1]
        linear = torch.full((width,), _FIRST)
        hidden = (torch.rand((_HIDDEN, width), generator=made) * 2 - 1) / width**0.5
        bias = (torch.rand(_HIDDEN, generator=made) * 2 - 1) / width**0.5
        out = (torch.rand(_HIDDEN, generator=made) * 2 - 1) / _HIDDEN**0.5
        weights = [each.requires_grad_() for each in (linear, hidden, bias, out)]
        optimizer = torch.optim.AdamW(weights, lr=_RATE, weight_decay=_DECAY)
        batches = -(-len(answerable) // _BATCH)
        passes = max(_PASSES, -(-_STEPS // max(batches, 1)))
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=passes * batches)
        for _ in range(passes):
            for batch in torch.randperm(len(answerable), generator=made).split(_BATCH):
                x = rows[batch]
                logs = (x @ linear + torch.relu(x @ hidden.T + bias) @ out).log_softmax(-1)
                loss = -logs.masked_fill(wrong[batch], -torch.inf).logsumexp(-1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        with torch.no_grad():
            unscaled = hidden * moves / spread
            return cls(
                linear=(linear * moves / spread).tolist(),
                hidden=unscaled.tolist(),
                bias=(bias - unscaled @ mean).tolist(),
                out=out.tolist(),
            )
