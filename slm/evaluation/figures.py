"""The figures of an evaluation, as they are stored and judged; nothing here measures, so reading them is quick."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SplitScore(BaseModel):
    """What a model scored on a split. A diverged model's figures are NaN, which no threshold accepts."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
    #: exp of the mean negative log-likelihood (nats) of the counted tokens.
    perplexity: float
    #: Total nats of the counted tokens / ln 2 / bytes of their text.
    bits_per_byte: float
    #: Shares of counted tokens that were the model's first guess, or among its first five.
    top1: float
    top5: float
    #: Counted tokens.
    tokens: int


class Sample(BaseModel):
    """A beginning and how the model went on."""

    model_config = ConfigDict(frozen=True)
    prompt: str
    text: str


class Coherence(BaseModel):
    """Samples and what was measured on them."""

    model_config = ConfigDict(frozen=True)
    samples: list[Sample]
    #: Samples without a single word.
    empty: int
    #: Samples that are not valid UTF-8.
    invalid: int
    #: Distinct word 3-grams as a share of all, counted within each sample.
    distinct_trigrams: float
    #: Samples that loop (see :func:`slm.evaluation.coherence.loops`).
    looping: int


class Miss(BaseModel):
    """A line that got a wrong answer."""

    model_config = ConfigDict(frozen=True)
    line: str
    answer: str
    #: Any of these would have been right.
    right: list[str]


class EditionScore(BaseModel):
    """What an edition knows (:mod:`slm.edition.evaluation`): how many were asked, and the shares answered right."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
    ids: int
    known_ids: float
    lines: int
    phrasings: float
    #: The first that were wrong, of either kind.
    misses: list[Miss]


class Evaluation(BaseModel):
    """What was measured on a checkpoint; ``test`` and ``coherence`` are missing when it does not load.

    An edition has ``edition`` in place of ``coherence``.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")
    checkpoint: str
    #: Of the checkpoint's and the corpus's manifests: which model this is about, and which test split.
    checkpoint_sha256: str
    corpus_sha256: str
    #: Weights in the file, the bytes of one, and the bytes of the file.
    parameters: int
    parameter_bytes: int
    weight_bytes: int
    #: Whether no weight is NaN or infinite.
    finite_weights: bool
    #: The training's own last loss (nats a token), NaN when the checkpoint does not say.
    training_loss: float
    #: Why the checkpoint does not load from its files alone; empty when it does.
    load_problem: str
    test: SplitScore | None
    coherence: Coherence | None
    #: Of the hardware benchmark, by task, set and figure (``driver_select/pci random/top1``), where it was asked.
    benchmark: dict[str, float] = {}
    edition: EditionScore | None = Field(default=None, exclude_if=lambda score: score is None)
