"""The build spec: everything that says what to build, as types that check themselves.

:mod:`slm.spec_file` reads one from YAML and says what is wrong with it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from slm.export.flat_limits import MAX_VOCAB, Shape, shape_breaches

Bucket = Literal["os_code", "hardware", "sysadmin", "instructions"]
BUCKETS: tuple[Bucket, ...] = get_args(Bucket)

#: What the hardware benchmark asks (``specs/evaluation.md``).
Task = Literal[
    "driver_select", "identify", "device_tree", "intent", "sub_command", "command_completion", "install_steps"
]
TASKS: tuple[Task, ...] = get_args(Task)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a spec: immutable, and no key beyond its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(Section):
    """The shape of a plain Llama: pre-norm RMSNorm, RoPE, grouped-query attention, SwiGLU, tied embeddings."""

    layers: Positive
    heads: Positive
    kv_heads: Positive
    dim: Positive
    hidden: Positive
    vocab_size: Annotated[int, Field(ge=512, le=262_144)]
    context: Annotated[int, Field(ge=16)]

    @property
    def head_dim(self) -> int:
        """The width of one attention head."""
        return self.dim // self.heads

    @property
    def parameters(self) -> int:
        """How many weights the model has; the output head shares the embedding's."""
        kv_dim = self.head_dim * self.kv_heads
        attention = 2 * self.dim * self.dim + 2 * self.dim * kv_dim
        return (
            self.vocab_size * self.dim
            + self.layers * (attention + 3 * self.dim * self.hidden + 2 * self.dim)
            + self.dim
        )

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.dim % self.heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} must divide into {self.heads} heads of an even width")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self


class PackageOrigin(Section):
    """A Debian package, fetched with ``apt-get download`` and unpacked, never installed.

    ``package`` is a name or a glob; of several matches the newest version is taken. ``a | b`` tries ``b`` when
    nothing matches ``a``. ``archive`` is a glob for tar archives inside the package (``usr/src/*.tar.xz``): their
    files are read in place of the package's own.
    """

    package: str
    archive: str | None = None


class FolderOrigin(Section):
    """A local folder; a relative path is relative to the working directory.

    JSON Lines files in it are read record by record; ``column`` is the key that holds the text.
    """

    folder: Path
    column: str = "text"


class UrlOrigin(Section):
    """A file at an HTTPS address, checked against its SHA-256; a ``.tar.*`` archive is unpacked.

    JSON Lines are read record by record; ``column`` is the key that holds the text.
    """

    url: Annotated[str, Field(pattern=r"^https://")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    column: str = "text"


class HubOrigin(Section):
    """A dataset for Hugging Face ``datasets``: a hub name or a local folder; ``column`` holds the text."""

    dataset: str
    split: str = "train"
    column: str = "text"


Origin = PackageOrigin | FolderOrigin | UrlOrigin | HubOrigin

Extractor = Literal[
    "text", "man", "rst", "html", "docbook", "info",
    "c_comments", "log_messages", "kconfig", "device_tree", "kernel_modules", "ids", "hwdb",
    "osinfo", "symbols",
]  # fmt: skip

Arch = Literal["x86_64", "aarch64", "riscv64"]


class SourceSpec(Section):
    """Where text comes from, which files of it are taken, how text is drawn from them, and where it belongs."""

    bucket: Bucket
    origin: Origin
    extract: Extractor
    #: Globs over paths inside the source, ``**`` included; a file that matches none is passed over.
    include: Annotated[list[str], Field(min_length=1)] = ["**"]
    exclude: list[str] = []
    licence: str = "unknown"
    #: Only a corpus for one of these reads the source; without any, every corpus does.
    arch: list[Arch] = []
    #: A required source that cannot be had ends the build; another one is left out, and the report says so.
    required: bool = True


class DevicesSpec(Section):
    """Where the device tables come from: two id lists and the modules of a kernel."""

    pci_ids: Origin = PackageOrigin(package="pci.ids")
    usb_ids: Origin = PackageOrigin(package="usb.ids")
    #: A folder with ``modules.alias`` files, or with kernel modules (``*.ko``), whose ``.modinfo`` is read.
    kernel: Origin
    #: The number of question/answer documents made from the tables; 0 makes none.
    exchanges: Annotated[int, Field(ge=0)] = 20_000


class SplitSpec(Section):
    """Shares of documents for training, validation and test."""

    train: Fraction = 0.90
    val: Fraction = 0.05
    test: Fraction = 0.05

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.val + self.test - 1) > 1e-9 or min(self.train, self.val, self.test) <= 0:
            raise ValueError("train, val and test must be above 0 and add up to 1")
        return self


class MeasuredSpec(Section):
    """What validation and test are made of where training's own mix is another: so two mixes are measured alike."""

    shares: dict[Bucket, Fraction]
    #: Training tokens of the corpus that they are as large for.
    tokens: Positive


class EditionSpec(Section):
    """A model shaped for one consumer: its corpus is exchanges with it, and not text (:mod:`slm.edition`)."""

    #: ``kernel``: the AUTON kernel, which runs the model itself.
    kind: Literal["kernel"]
    #: Tokens of a row of exchanges; the model's context must be as many.
    row: Annotated[int, Field(ge=32)] = 128
    #: How many words of device names a driver can be asked for by.
    names: Annotated[int, Field(ge=0)] = 400
    #: Rows of the flat file, spellings included.
    spellings: Annotated[int, Field(gt=0, le=MAX_VOCAB)] = MAX_VOCAB


class CorpusSpec(Section):
    """The text a model reads."""

    name: Name
    shares: dict[Bucket, Fraction] = {"os_code": 0.4, "hardware": 0.3, "sysadmin": 0.2, "instructions": 0.1}
    #: The size wished for, in training tokens; a bucket too small for its share bounds it (see ``max_repetition``).
    tokens: Positive
    #: Which machines the text is about: sources that name other architectures are left out.
    arch: Arch = "x86_64"
    #: Documents under these licences are left out: globs over the licence as reports write it, in any case.
    exclude_licences: list[str] = []
    #: How far, as a part of the whole, a bucket's share may be moved when another bucket is short.
    share_slack: Fraction = 0.05
    #: How many times a document may stand in the training text, to fill its bucket's share.
    max_repetition: Annotated[int, Field(ge=1, le=16)] = 4
    min_characters: Positive = 50
    max_characters: Positive = 100_000
    #: The share of each bucket's documents, the lowest by quality, that is left out.
    drop_lowest: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: Two documents whose word 3-grams have at least this Jaccard index are one; the first stays.
    near_duplicate: Annotated[float, Field(gt=0.5, le=1)] = 0.8
    #: The number of question/answer documents made from manual pages and handbooks.
    manual_exchanges: Annotated[int, Field(ge=0)] = 5_000
    #: The number of those made for the kernel's intents: installing, managing and mending a system.
    intent_exchanges: Annotated[int, Field(ge=0)] = 3_000
    split: SplitSpec = SplitSpec()
    #: Set where an iteration changed the mix; without, validation and test have training's.
    measured: MeasuredSpec | None = None
    seed: int = 0
    sources: list[SourceSpec] = []
    devices: DevicesSpec
    #: With one, ``sources`` are none, and exchanges made from ``devices`` are all there is to read.
    edition: EditionSpec | None = Field(default=None, exclude_if=lambda edition: edition is None)

    @field_validator("shares")
    @classmethod
    def _in_one_order(cls, shares: dict[Bucket, float]) -> dict[Bucket, float]:
        # Equal specs are one corpus, however their keys are ordered, and the mix goes through the buckets in turn.
        return {bucket: shares[bucket] for bucket in BUCKETS if bucket in shares}

    @model_serializer(mode="wrap")
    def _unsaid_is_left_out(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Corpora from before there was such a key keep their hash.
        content: dict[str, Any] = dump(self)
        return {key: value for key, value in content.items() if key != "measured" or value is not None}

    @property
    def drawn(self) -> list[SourceSpec]:
        """The sources for this corpus' architecture."""
        return [source for source in self.sources if not source.arch or self.arch in source.arch]

    @model_validator(mode="after")
    def _has_text(self) -> Self:
        if self.edition is None and not self.sources:
            raise ValueError("sources: at least one is needed")
        if self.edition is not None and (self.sources or self.shares != {"instructions": 1}):
            raise ValueError("an edition reads no sources: leave them out, and set shares to {instructions: 1}")
        return self

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"shares add up to {sum(self.shares.values()):g}, not 1")
        sourced = {source.bucket for source in self.drawn} | ({"instructions"} if self.devices.exchanges else set())
        if empty := [bucket for bucket, share in self.shares.items() if share > 0 and bucket not in sourced]:
            raise ValueError(f"no source feeds {', '.join(empty)}; give it one, or a share of 0")
        if unsaid := [bucket for bucket in BUCKETS if bucket in sourced and bucket not in self.shares]:
            raise ValueError(f"shares leave out {', '.join(unsaid)}, which has sources; give it a share, if only of 0")
        if self.measured and self.measured.shares.keys() != self.shares.keys():
            raise ValueError(f"measured.shares must name the buckets of shares: {', '.join(self.shares)}")
        return self


class GuardSpec(Section):
    """When an attempt stops itself, before the optimizer step."""

    max_gradient_norm: Annotated[float, Field(gt=0)] = 1000.0
    #: Steps without a new lowest (smoothed) training loss after which an attempt counts as stalled.
    patience_steps: Positive = 1000


class TrainSpec(Section):
    """How a model is trained.

    A step covers ``micro_batch`` × ``accumulation`` × ``workers`` sequences of the model's context.
    """

    #: ``adamw``: AdamW on everything. ``fast``: Muon on the matrices, AdamW on the embedding and the norms.
    recipe: Literal["adamw", "fast"] = "fast"
    tokens: Positive
    micro_batch: Positive
    accumulation: Positive = 1
    #: AdamW's learning rate at the top of the schedule.
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    #: Muon's learning rate (recipe ``fast``).
    matrix_learning_rate: Annotated[float, Field(gt=0)] = 0.02
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    #: The share of the steps, the first, in which every sequence is cut in two: half the context, as many tokens.
    context_warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    schedule: Literal["cosine", "wsd"] = "cosine"
    #: The share of steps over which ``wsd`` falls.
    decay_fraction: Annotated[float, Field(gt=0, le=1)] = 0.6
    #: The learning rate at the end, as a share of the top.
    final_fraction: Fraction = 0.1
    #: ``auto``: bf16 autocast where the processor or GPU multiplies bf16 natively, else fp32.
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "gpu"] = "auto"
    workers: Positive = 1
    #: The kind of accelerator that every worker must have, as Ray names it (``GeForce-RTX-3090-Ti``); without, any.
    accelerator: str | None = None
    #: What is spread over the workers (ZeRO): 0 nothing, 1 the optimizer's state, 2 also the gradients.
    zero: Literal[0, 1, 2] = 0
    #: What a training may take of each GPU, in GB (10^9 bytes): the largest micro-batch that stays below it is taken.
    #: 22 of a 24 GB card (RTX 3090 Ti) leave CUDA's context, NCCL and gaps between blocks their room.
    device_memory_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 22
    gradient_checkpointing: bool = False
    #: Compile the layers, where a C++ compiler and Python's headers are: faster steps after half a minute's start.
    compile: bool = False
    log_every: Positive = 10
    evaluate_every: Positive = 500
    evaluate_tokens: Positive = 65_536
    checkpoint_every: Positive = 500
    keep_checkpoints: Positive = 5
    max_attempts: Positive = 3
    seed: int = 0
    guards: GuardSpec = GuardSpec()

    @property
    def device_memory(self) -> float:
        """``device_memory_gb`` in bytes."""
        return self.device_memory_gb * 1e9


class BenchmarkSpec(Section):
    """What the hardware benchmark asks about besides the corpus' own device tables.

    A kernel is a Debian package's name or glob (``name:arm64`` for another machine's), or a folder with
    ``modules.alias`` or modules.
    """

    #: A kernel newer than the corpus' own: devices that only it knows are asked about.
    newer: str | None = None
    #: A kernel whose modules name ``compatible`` strings of device trees.
    device_tree: str | None = None
    #: How phrases are filled and steps mixed.
    seed: int = 0
    #: Of each set a build asks at most so many questions, always the same; without it, all.
    most: Positive | None = None


class TeachSpec(Section):
    """How a trained model is taught questions with their answers (:mod:`slm.adapt.sft`)."""

    #: Tokens of questions and answers that go through the model.
    tokens: Positive = 800_000
    #: Questions a step.
    batch: Positive = 64
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    matrix_learning_rate: Annotated[float, Field(gt=0)] = 0.008
    #: The chance that a field of a device is left out.
    gaps: Annotated[float, Field(ge=0, lt=1)] = 0.1
    #: Tokens of training text for each token of questions.
    replay: Annotated[float, Field(ge=0, le=4)] = 0.4
    #: What straying from the base model on that text weighs beside the answers' mean loss.
    replay_weight: Annotated[float, Field(gt=0)] = 3.0
    #: How much of the questions each task has, where the items have it.
    shares: dict[Task, Fraction] = {
        "driver_select": 0.58,
        "device_tree": 0.05,
        "identify": 0.03,
        "intent": 0.17,
        "sub_command": 0.10,
        "command_completion": 0.05,
        "install_steps": 0.02,
    }
    #: By how much the validation perplexity may rise (:func:`slm.adapt.sft.hold_back`).
    forgetting: Annotated[float, Field(gt=0)] = 0.03
    seed: int = 0

    @model_validator(mode="after")
    def _says_nothing_in_vain(self) -> Self:
        # By its value, not by who set it: a spec travels with all of its defaults.
        if not self.replay and self.replay_weight != type(self).model_fields["replay_weight"].default:
            raise ValueError("replay_weight weighs nothing where replay is 0; leave it out, or raise replay")
        return self


#: What is measured of the tasks that are not answered with a ranking.
_MEASURED: dict[str, tuple[str, ...]] = {
    "identify": ("top1", "vendor", "type", "name_f1"),
    "install_steps": ("tau", "exact"),
}


def _benchmark_figure(figure: str) -> str:
    """Check the name of a figure of the benchmark: its task, a set in between where it is of one, what is measured."""
    known = ["os_average", *(f"{task}/{each}" for task in TASKS for each in _MEASURED.get(task, ("top1", "top3")))]
    parts = figure.split("/")
    sets, without = parts[1:-1], "/".join((*parts[:1], *parts[-1:])) if len(parts) > 1 else figure
    if without in known and len(sets) < 2:
        return figure
    near = [each.split("/") for each in difflib.get_close_matches(without, known, n=1, cutoff=0.5)]
    hint = f"did you mean {'/'.join((near[0][0], *sets, *near[0][1:]))}?" if near else f"known are {', '.join(known)}"
    raise ValueError(f"no figure of the benchmark; {hint}")


#: A gate on the benchmark: task, set (all of the task's items without one) and figure; or ``os_average``.
BenchmarkFigure = Annotated[str, AfterValidator(_benchmark_figure)]


class GateSpec(Section):
    """What a model must reach to be accepted. Test perplexity is the tier's own, and only an edition goes without."""

    perplexity: Annotated[float, Field(gt=1)] | None = None
    #: The least that figures of the hardware benchmark must be, such as ``driver_select/pci random/top3: 0.9``.
    benchmark: dict[BenchmarkFigure, Fraction] = {}
    #: How far the saved weights' size may be from the expected, as a share.
    size_tolerance: Annotated[float, Field(gt=0, le=1)] = 0.10
    #: Distinct word 3-grams in generated text, as a share of all; looping text has few.
    distinct_trigrams: Fraction = 0.5
    #: Of an edition: shares of the ids sampled from its tables, and of the lines in people's own words, that get a
    #: right answer.
    known_ids: Fraction | None = Field(default=None, exclude_if=lambda share: share is None)
    phrasings: Fraction | None = Field(default=None, exclude_if=lambda share: share is None)


#: How a GGUF file stores weights.
Quant = Literal["f16", "q8_0"]


class ExportSpec(Section):
    """Which files an accepted model is published as."""

    gguf: list[Quant] = ["f16", "q8_0"]
    #: A flat file that the AUTON kernel runs; only of an edition.
    flat: bool = Field(default=False, exclude_if=lambda wanted: not wanted)


class BoundsSpec(Section):
    """How far an iteration's plan may be from the spec."""

    #: ``train.tokens``, at most this many times the spec's.
    tokens: Annotated[float, Field(ge=1)] = 4.0
    #: ``corpus.tokens``, likewise; the sources must bear it.
    text: Annotated[float, Field(ge=1)] = 2.0
    #: Both learning rates, as factors of the spec's: the least and the most.
    learning_rate: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1)]] = (0.1, 3.0)
    #: How far a bucket's share may be moved, as a part of the whole.
    share: Fraction = 0.1
    #: The weights, at most this many times the spec's; layers are added.
    size: Annotated[float, Field(ge=1)] = 1.0


class BudgetSpec(Section):
    """What all iterations of a build may take together; without a figure, as much as they need."""

    #: Hours at work. Time during which nothing of the build ran does not count.
    hours: Annotated[float, Field(gt=0)] | None = None
    #: Training tokens.
    tokens: Positive | None = None
    #: US dollars that hosted advisers may cost.
    usd: Annotated[float, Field(ge=0)] = 25.0


class PriceSpec(Section):
    """US dollars a million tokens."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]


class AdviserSpec(Section):
    """Who proposes an iteration's change; what is proposed must lie inside ``iterate.bounds``, whoever proposes."""

    #: ``rules``: those of the program. ``anthropic``, ``openai``: a model, through that vendor's protocol.
    by: Literal["rules", "anthropic", "openai"] = "rules"
    model: str = ""
    #: A server other than the vendor's: https, or http on this machine.
    base_url: str | None = None
    #: Needed but for a server on this machine.
    price: PriceSpec | None = None
    #: For one question, everything included.
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 60.0

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return self.base_url is not None and urlsplit(self.base_url).hostname in ("127.0.0.1", "localhost", "::1")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.by == "rules":
            if self.model or self.base_url or self.price:
                raise ValueError("rules have no model, base_url or price; set by to anthropic or openai")
            return self
        if not self.model:
            raise ValueError(f"by {self.by} needs the name of a model")
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            if not parts.hostname or parts.scheme not in ("https", "http") or parts.username or parts.password:
                raise ValueError("base_url must be https://HOST/… without a name or password in it")
            if parts.scheme == "http" and not self.local:
                raise ValueError("base_url must be https://, since a key travels; http:// is for this machine alone")
        if self.price is None and not self.local:
            raise ValueError(f"the price of {self.model} must be given: price: {{input: …, output: …}}, USD a million")
        return self


class IterateSpec(Section):
    """Whether a rejected build is tried again with a changed plan, and within what."""

    #: Trainings in all, the first included.
    max_iterations: Annotated[int, Field(ge=1, le=20)] = 1
    #: The share by which an iteration must lower validation bits per byte to count as better; else it is the last.
    least_gain: Annotated[float, Field(ge=0, lt=1)] = 0.005
    budget: BudgetSpec = BudgetSpec()
    bounds: BoundsSpec = BoundsSpec()
    adviser: AdviserSpec = AdviserSpec()


class SearchSpec(Section):
    """Short trials before the training, of which the best says its learning rates and its batch.

    Successive halving as it comes (ASHA, arXiv:1810.05934): every trial trains for a short first round; the best
    ``1 / reduction`` of those that have reached a round's end go on to one ``reduction`` times as long.
    """

    #: How many are drawn, the spec's own values among them.
    trials: Annotated[int, Field(ge=2, le=64)] = 9
    #: Training tokens of a trial's last round; without, a hundredth of ``train.tokens``.
    tokens: Positive | None = None
    reduction: Annotated[int, Field(ge=2, le=8)] = 3
    #: Both learning rates, as factors of the spec's: the least and the most. Drawn evenly over their logarithm.
    learning_rate: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(ge=1, allow_inf_nan=False)]] = (
        0.05,
        20.0,
    )
    #: Sequences a step, each as likely as another; without, the spec's.
    batch: list[Positive] = []

    @model_validator(mode="before")
    @classmethod
    def _has_no_mix(cls, given: Any) -> Any:
        if isinstance(given, dict) and (named := [key for key in ("mix", "shares") if key in given]):
            raise ValueError(
                f"{named[0]}: a mix is not searched for, since each would need a corpus of its own; "
                "leave it out (iterate changes the mix of a rejected build)"
            )
        return given


#: A search's round of fewer optimizer steps tells rates apart by their noise.
LEAST_TRIAL_STEPS = 5


class BuildSpec(Section):
    """Everything that defines a build. Two equal specs are the same build."""

    name: Name
    model: ModelSpec
    corpus: CorpusSpec
    train: TrainSpec
    #: What is tried before the training; without it, the spec's values are trained with.
    search: SearchSpec | None = None
    #: What the finished model is asked about hardware; without it nothing is.
    benchmark: BenchmarkSpec | None = None
    #: What it is taught before; without it, nothing.
    teach: TeachSpec | None = None
    gates: GateSpec
    #: ``auto``: the gates decide. ``manual``: the build waits for ``python -m agents.review``.
    review: Literal["auto", "manual"] = "auto"
    export: ExportSpec = ExportSpec()
    iterate: IterateSpec = IterateSpec()
    #: Asked of the served model when the build ends.
    questions: list[str] = []

    @model_validator(mode="after")
    def _enough_text(self) -> Self:
        if self.model.context * self.train.micro_batch > self.corpus.tokens:
            raise ValueError(f"corpus.tokens {self.corpus.tokens} is less than one micro-batch")
        if self.train.context_warmup and self.model.context % 2:
            raise ValueError(f"train.context_warmup halves the context, and {self.model.context} is odd")
        return self

    @model_validator(mode="after")
    def _searches_within_the_training(self) -> Self:
        if self.search is None:
            return self
        if not self.search.learning_rate[0] < self.search.learning_rate[1] and not self.search.batch:
            raise ValueError("search: learning_rate has one value and batch none, so there is nothing to search for")
        if uneven := [size for size in self.search.batch if size % self.train.workers]:
            raise ValueError(f"search.batch {uneven[0]} does not divide among train.workers={self.train.workers}")
        if self.trial_tokens > self.train.tokens:
            raise ValueError(f"search.tokens {self.trial_tokens:,} is more than train.tokens {self.train.tokens:,}")
        if self.trial_tokens < self._least_trial:
            raise ValueError(
                f"search.tokens {self.trial_tokens:,} is less than {LEAST_TRIAL_STEPS} steps, which are "
                f"{self._least_trial:,}"
            )
        return self

    @model_validator(mode="after")
    def _asked_what_it_is_taught(self) -> Self:
        wants = [name for name, wanted in (("teach", self.teach), ("gates.benchmark", self.gates.benchmark)) if wanted]
        if wants and self.benchmark is None:
            raise ValueError(f"{' and '.join(wants)} need a benchmark; add one, if only `benchmark: {{}}`")
        if self.benchmark and self.corpus.edition:
            raise ValueError("benchmark asks a model of text; an edition has gates of its own")
        return self

    @model_validator(mode="after")
    def _fits_the_kernel(self) -> Self:
        edition, gates, model = self.corpus.edition, self.gates, self.model
        if edition is None:
            if gates.perplexity is None:
                raise ValueError("gates.perplexity: missing")
            if gates.known_ids is not None or gates.phrasings is not None or self.export.flat:
                raise ValueError("gates.known_ids, gates.phrasings and export.flat are for a corpus with an edition")
            return self
        if edition.row != model.context:
            raise ValueError(f"corpus.edition.row {edition.row} must be model.context {model.context}")
        if self.export.gguf or not self.export.flat:
            raise ValueError("export: an edition is published as {gguf: [], flat: true}")
        if self.train.context_warmup:
            raise ValueError("train.context_warmup would cut an edition's lines in two; leave it out")
        size = max(model.vocab_size, edition.spellings)
        shape = Shape(model.dim, model.hidden, model.layers, model.heads, model.kv_heads, size, model.context)
        if breaches := shape_breaches(shape):
            raise ValueError("the kernel would refuse the flat file: " + "; ".join(breaches))
        return self

    @property
    def batch_tokens(self) -> int:
        """Tokens per optimizer step."""
        return self.train.micro_batch * self.train.accumulation * self.train.workers * self.model.context

    @property
    def steps(self) -> int:
        """Optimizer steps of a whole training."""
        return max(1, self.train.tokens // self.batch_tokens)

    @property
    def trial_tokens(self) -> int:
        """Training tokens of a search's longest round; 0 without a search."""
        if self.search is None:
            return 0
        return self.search.tokens or max(self.train.tokens // 100, self._least_trial)

    @property
    def _least_trial(self) -> int:
        largest = max([self.batch_tokens // self.model.context, *(self.search.batch if self.search else [])])
        return LEAST_TRIAL_STEPS * largest * self.model.context

    @property
    def build_id(self) -> str:
        """The build's name in ``runs/`` and its tag in the registry: the spec's name and a hash of its content.

        How a model is reviewed does not change what it is, so ``review`` does not count; nor do ``train.zero``,
        ``train.accelerator``, ``train.device_memory_gb`` and ``train.compile``, which say where and by what means a
        training runs, not what comes of it. Of ``iterate`` what is not said does not count.
        """
        return self._named(set())

    @property
    def training_id(self) -> str:
        """What a training is bound to: the build without what comes before and after it, which may change around it."""
        return self._named({"search", "benchmark", "teach", "iterate"})

    def _named(self, without: set[str]) -> str:
        placed = {"zero", "accelerator", "device_memory_gb", "compile"}
        # Builds from before there were such settings keep their names.
        if not self.train.context_warmup:
            placed.add("context_warmup")
        later = (without - {"iterate"}) | {
            name for name in ("search", "benchmark", "teach") if getattr(self, name) is None
        }
        gates = {"benchmark"} if without or not self.gates.benchmark else set()
        excluded: dict[str, Any] = {"review": True, "iterate": True, "train": placed, "gates": gates}
        content = self.model_dump(mode="json", exclude=excluded | dict.fromkeys(later, True))
        if "iterate" not in without and (said := self.iterate.model_dump(mode="json", exclude_defaults=True)):
            content["iterate"] = said
        return f"{self.name}-{digest(content)[:8]}"


def digest(content: Any) -> str:
    """Hash JSON-like content: equal content, equal hash."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
