"""Does an exported file compute what its checkpoint computes? Measured on real text, by llama.cpp itself.

Both read the same windows of validation tokens. Compared are the log-probabilities of the whole vocabulary after
every token, and the perplexity of the tokens that really follow.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from slm.errors import ArtefactError
from slm.evaluation.perplexity import read_ids
from slm.export.llama_cpp import LlamaCpp
from slm.lineage import read_manifest
from slm.model.llama import load_model
from slm.progress import Progress, Reporter, silent
from slm.spec import Quant

#: How many validation tokens are compared.
TOKENS = 4096
#: The most that log-probabilities of the F16 file may differ, as a root mean square over all tokens and positions
#: (nats). The single largest of some ten million differences is reported, not bounded: half precision alone moves an
#: unlikely token by more. A coarser format's difference is reported only.
MAX_RMS = {"f16": 1e-2}
#: The most that perplexity may rise, in any format.
MAX_RATIO = 1.02


class Parity(BaseModel):
    """How far an exported file is from its checkpoint."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
    quant: str
    tokens: int
    #: Of any token's log-probability (nats) anywhere: the largest difference, and the root of the mean square.
    max_difference: float
    rms_difference: float
    #: Share of positions where both put the same token first.
    same_first: float
    perplexity: float
    reference_perplexity: float

    @property
    def ratio(self) -> float:
        """The file's perplexity over the checkpoint's."""
        return self.perplexity / self.reference_perplexity


def compare(gguf: Path, quant: Quant, checkpoint: Path, corpus: Path, report: Reporter = silent) -> Parity:
    """Compare the file ``gguf`` with its checkpoint on validation tokens of ``corpus``.

    :raises ArtefactError: when the file does not load, or is further from its checkpoint than allowed.
    """
    model = load_model(checkpoint)
    dtype = str(read_manifest(corpus).info["dtype"])
    ids = torch.from_numpy(read_ids(corpus / "val.bin", dtype, model.config.vocab_size)[: TOKENS + 1].astype("int64"))
    targets = len(ids) - 1
    worst, squares, same, nats, reference_nats = 0.0, 0.0, 0, 0.0, 0.0
    with LlamaCpp(gguf) as exported, torch.inference_mode():
        if exported.vocab_size != model.config.vocab_size:
            raise ArtefactError(f"{gguf} has {exported.vocab_size} tokens, its checkpoint {model.config.vocab_size}.")
        for start in range(0, targets, exported.window):
            inputs = ids[start : min(start + exported.window, targets)]
            following = ids[start + 1 : start + 1 + len(inputs), None]
            expected = model(input_ids=inputs[None]).logits[0].log_softmax(-1)
            found = torch.from_numpy(exported.logits(inputs.tolist())).log_softmax(-1)
            difference = found - expected
            worst = max(worst, float(difference.abs().max()))
            squares += float(difference.double().square().mean(-1).sum())
            same += int((found.argmax(-1) == expected.argmax(-1)).sum())
            nats -= float(found.gather(1, following).double().sum())
            reference_nats -= float(expected.gather(1, following).double().sum())
            report(Progress(f"parity {quant}", start + len(inputs), targets, "tokens"))
    parity = Parity(
        quant=quant,
        tokens=targets,
        max_difference=worst,
        rms_difference=math.sqrt(squares / targets),
        same_first=same / targets,
        perplexity=math.exp(nats / targets),
        reference_perplexity=math.exp(reference_nats / targets),
    )
    _require(parity, gguf)
    return parity


def _require(parity: Parity, gguf: Path) -> None:
    """Raise unless the differences are within bounds; NaN is not."""
    to_do = "Nothing was published; the checkpoint is untouched."
    allowed = MAX_RMS.get(parity.quant, math.inf)
    if not parity.rms_difference <= allowed:
        raise ArtefactError(
            f"{gguf.name} differs from its checkpoint by {parity.rms_difference:.4f} nats (root mean square); "
            f"{allowed} are allowed.",
            to_do,
        )
    if not parity.ratio < MAX_RATIO:
        raise ArtefactError(
            f"{gguf.name} has perplexity {parity.perplexity:.3f} where its checkpoint has "
            f"{parity.reference_perplexity:.3f}; a rise of 2 % is not allowed.",
            to_do,
        )
