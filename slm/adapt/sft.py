"""Supervised training of a finished model on questions with their answers.

Only the answer's tokens are learned; of a device's maker, name and class each is left out now and then, since a kernel
does not always know them. Between the questions the model reads the corpus' training text, and is held to what the base
model says of it, so that it does not forget. Nothing that a benchmark asks may be among the items.
"""

from __future__ import annotations

import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from slm.adapt.confidence import write_confidence
from slm.corpus.devices import DATABASE
from slm.errors import ArtefactError, TrainingError
from slm.evaluation.benchmark.answers import known_answers
from slm.evaluation.benchmark.asked import asked, with_gaps
from slm.evaluation.benchmark.devices import drivers_told
from slm.evaluation.benchmark.generate import BENCHMARK, TRAINING, VALIDATION
from slm.evaluation.benchmark.items import Item, read_items
from slm.evaluation.benchmark.run import without
from slm.evaluation.coherence import load_tokenizer
from slm.evaluation.figures import SplitScore
from slm.evaluation.perplexity import evaluate_split
from slm.files import atomic_folder, sha256_file, write_json
from slm.lineage import MANIFEST, check_files, input_from, manifest_path, read_manifest, write_manifest
from slm.model.files import ANSWERS
from slm.model.llama import load_model, save_model
from slm.progress import Progress, Reporter, silent
from slm.prompts import EOS, PAD, SPECIAL_TOKENS, prompt
from slm.spec import Task, TeachSpec, TrainSpec
from slm.training.attention import use_causal_blocks
from slm.training.cross_entropy import IGNORE, head_loss
from slm.training.data import PackedTokens
from slm.training.engine import place
from slm.training.guards import Guards
from slm.training.optimizer import build_optimizer

_PAD_ID, _EOS_ID = SPECIAL_TOKENS.index(PAD), SPECIAL_TOKENS.index(EOS)
#: Rows are padded to a multiple of this, and so many batches are sorted by length together.
_MULTIPLE, _SORTED_TOGETHER = 8, 16
#: Tokens of the validation split that say whether the model has forgotten what it read.
_VALIDATION_TOKENS = 131_072
#: So few say it while it is found out how much of what was learned can be kept, in so many halvings.
_SEARCH_TOKENS, _HALVINGS = 32_768, 6
#: The share of the tokens over which the rates rise; after it they fall linearly to 0.
_WARMUP = 0.04
#: The questions of so many last steps say how well the answers are known in the end.
_LAST = 20
#: The first step is taken as if so much were done already; at 0 nothing would be learned in it.
_FIRST = 0.002


class Sft(NamedTuple):
    """What came of it: the new checkpoint, and its validation score beside that of the model that it began as."""

    checkpoint: Path
    before: SplitScore
    after: SplitScore


class _Exchange(NamedTuple):
    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer) - 1


def fine_tune(
    base: Path,
    benchmark: Path,
    corpus: Path,
    out: Path,
    settings: TeachSpec,
    report: Reporter = silent,
    device: Literal["cpu", "gpu"] | None = None,
) -> Sft:
    """Train the checkpoint ``base`` on a benchmark's training items and write the new checkpoint to ``out``.

    :param benchmark: a folder with ``training.jsonl`` (:mod:`slm.evaluation.benchmark.generate`).
    :param corpus: the corpus that ``base`` was trained on, whose device tables tell what drivers there are.
    :param device: where a launcher has placed this process; without it, a GPU where there is one.
    :raises ArtefactError: when one of them is damaged or something else, or ``out`` is there already.
    :raises TrainingError: when there is nothing to train on, base and corpus do not belong together, an item to train
        or to fit on is asked by the benchmark, or the training diverges.
    """
    if out.exists():
        raise ArtefactError(f"{out} is there already.", "Delete it, or name another folder.")
    items, validation = _items(base, benchmark, corpus)
    told = drivers_told(corpus / "devices" / DATABASE)
    tokenizer, model = load_tokenizer(base), load_model(base)
    before = _score(model, corpus)
    recipe = TrainSpec(
        tokens=settings.tokens,
        micro_batch=settings.batch,
        learning_rate=settings.learning_rate,
        matrix_learning_rate=settings.matrix_learning_rate,
    )
    placement = place(recipe, device)
    before_it = load_model(base).to(placement.device).eval().requires_grad_(False)
    model.to(placement.device).train()
    if placement.device.type == "cpu":
        use_causal_blocks(model)
        use_causal_blocks(before_it)
    context, vocabulary = model.config.max_position_embeddings, model.config.vocab_size
    data = PackedTokens(corpus, "train", context, vocabulary, settings.seed + 1)
    optimizer = build_optimizer(model, recipe)
    torch.manual_seed(settings.seed)
    guards = Guards(recipe.guards)
    done = read = step = 0
    last = deque[tuple[Tensor, Tensor]](maxlen=_LAST)
    for exchanges in batches(items, tokenizer, context, settings):
        inputs, targets = _padded(exchanges)
        factor = rate_factor(done / settings.tokens)
        for group in optimizer.param_groups:
            group["lr"] = group["top_lr"] * factor
        with torch.autocast(placement.device.type, torch.bfloat16, enabled=placement.precision == "bf16"):
            loss = mean_loss(model, inputs.to(placement.device), targets.to(placement.device))
        loss.backward()
        last.append((inputs, targets))
        if rows := int(settings.replay * done - read) // context:
            text, _ = data.rows(read // context, rows)
            read += rows * context
            with torch.autocast(placement.device.type, torch.bfloat16, enabled=placement.precision == "bf16"):
                strayed = divergence(model, before_it, text.to(placement.device))
            (strayed * settings.replay_weight).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        guards.check(step, float(loss.detach()), float(norm))
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        done = min(settings.tokens, done + sum(map(len, exchanges)))
        if step % 10 == 0 or done == settings.tokens:
            report(Progress("sft", done, settings.tokens, "tokens", f"loss {float(loss.detach()):.3f}"))
    kept, after = hold_back(model, before_it, settings.forgetting, before, lambda tokens: _score(model, corpus, tokens))
    figures = {
        "loss": _loss_on(model, last),
        "taught_steps": step,
        "replayed_tokens": read,
        "kept": kept,
        "perplexity_before": before.perplexity,
        "perplexity_after": after.perplexity,
    }
    checkpoint = _write(
        model, items, validation, told, (base, benchmark, corpus), out, settings, recipe, figures, report
    )
    return Sft(checkpoint, before, after)


def mean_loss(model: LlamaForCausalLM, ids: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy (nats, fp32 scalar) of what is learned among ``targets`` ``[rows, length]``."""
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)
    wanted = targets.flatten()
    learned = wanted != IGNORE
    # The head only where something is learned: most of a question's positions ask.
    return head_loss(hidden[learned], model.lm_head.weight, wanted[learned]) / learned.sum()


def _loss_on(model: LlamaForCausalLM, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Return the mean loss (nats) of the model as it is, in fp32."""
    device = next(model.parameters()).device
    with torch.no_grad():
        return statistics.fmean(float(mean_loss(model, ids.to(device), wanted.to(device))) for ids, wanted in batches)


def divergence(model: LlamaForCausalLM, base: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Return how far ``model`` has strayed from ``base`` on text ``[rows, length]``.

    That is the mean Kullback-Leibler divergence of its next token's distribution from the base's (nats, fp32 scalar).
    The base's whole distribution says more of what is to be kept than the token that happened to come.
    """
    with torch.no_grad():
        known = base(input_ids=ids, use_cache=False).logits.flatten(0, 1).float().log_softmax(-1)
    now = model(input_ids=ids, use_cache=False).logits.flatten(0, 1).float().log_softmax(-1)
    return torch.nn.functional.kl_div(now, known, reduction="batchmean", log_target=True)


def hold_back(
    model: LlamaForCausalLM,
    base: LlamaForCausalLM,
    forgetting: float,
    before: SplitScore,
    score: Callable[[int], SplitScore],
) -> tuple[float, SplitScore]:
    """Move ``model`` back towards ``base`` until it may stay; return the share that it keeps, and its score there.

    Between a model and what it was tuned to, weights can be mixed, and most of what was learned outlives more mixing
    than what was forgotten does (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022). The share is
    searched for on few tokens, to 1/64; then less is kept, in steps that double, until all tokens agree. So the limit
    holds for the score that is returned; where both agree at once less than 1/64 more could be kept, else less than
    twice as much.

    :param forgetting: by how much the perplexity may rise above that of ``before``, the base's score.
    :param score: scores ``model``, as it is when called, on so many tokens.
    :raises TrainingError: when the training diverged, or next to nothing of it could be kept.
    """
    learned = [weight.detach().clone() for weight in model.parameters()]

    def mixed(share: float, tokens: int) -> SplitScore:
        with torch.no_grad():
            for weight, own, other in zip(model.parameters(), learned, base.parameters(), strict=True):
                weight.copy_(torch.lerp(other, own, share))
        return score(tokens)

    limit = before.perplexity * (1 + forgetting)
    roughly = mixed(0.0, _SEARCH_TOKENS).perplexity * (1 + forgetting)
    reached = mixed(1.0, _SEARCH_TOKENS).perplexity
    if not math.isfinite(reached):
        raise TrainingError("The training diverged: the validation perplexity is not a number.", "Lower learning_rate.")
    least = step = 0.5**_HALVINGS
    low, high = (1.0, 1.0) if reached <= roughly else (0.0, 1.0)
    while high - low > least:
        middle = (low + high) / 2
        low, high = (middle, high) if mixed(middle, _SEARCH_TOKENS).perplexity <= roughly else (low, middle)
    while low >= least:
        after = mixed(low, _VALIDATION_TOKENS)
        if after.perplexity <= limit:
            return low, after
        low, step = max(low - step, low / 2), 2 * step
    raise TrainingError(
        f"The perplexity rose to {reached:.2f}; of what was learned nothing could be kept below {limit:.2f}.",
        "Lower the learning rates, raise replay or replay_weight, or allow more with forgetting.",
    )


def rate_factor(share: float) -> float:
    """Return what the rates are multiplied by once ``share`` of the tokens is done: up from near 0, then down to 0."""
    return min((share + _FIRST) / _WARMUP, (1 - share) / (1 - _WARMUP), 1.0)


def _items(base: Path, benchmark: Path, corpus: Path) -> tuple[list[Item], list[Item]]:
    """Check what a training is made from, and return the items to train and to fit on."""
    for folder, kind in ((base, None), (benchmark, "benchmark"), (corpus, "corpus")):
        manifest = check_files(folder)
        if kind and manifest.kind != kind:
            raise ArtefactError(f"{folder} is a {manifest.kind}, not a {kind}.", f"Name a {kind}'s folder.")
    for name in (TRAINING, VALIDATION):
        if name not in read_manifest(benchmark).files:
            raise ArtefactError(
                f"{benchmark}: its manifest names no {name}.", "Build it: python -m slm.evaluation.benchmark build"
            )
    if sha256_file(base / "tokenizer.json") != sha256_file(corpus / "tokenizer.json"):
        raise TrainingError(f"{base} and {corpus} have different tokenizers.", "Name the corpus it was trained on.")
    questions = read_items(benchmark / BENCHMARK) if (benchmark / BENCHMARK).is_file() else []
    training, validation = (_not_asked(benchmark / name, questions) for name in (TRAINING, VALIDATION))
    return training, validation


def _not_asked(file: Path, questions: Sequence[Item]) -> list[Item]:
    """Read the items of a benchmark's file, none of which may ask what the benchmark itself does."""
    items = read_items(file)
    if shared := len(items) - len(without(items, questions)[0]):
        raise TrainingError(
            f"{shared:,} of the items of {file} ask what {file.with_name(BENCHMARK)} asks.",
            "Build the benchmark again.",
        )
    return items


def batches(
    items: Sequence[Item], tokenizer: PreTrainedTokenizerFast, context: int, settings: TeachSpec
) -> Iterator[list[_Exchange]]:
    """Yield batches of about equal lengths until they hold ``settings.tokens``; tasks are drawn by their shares.

    Of an item with several right answers one is drawn each time. What does not fit the context is left out.

    :raises TrainingError: when no item is of a task that is trained.
    """
    by_task: dict[Task, list[Item]] = {}
    for item in items:
        if settings.shares.get(item.task, 0) > 0 and _fits(*asked(item), tokenizer, context):
            by_task.setdefault(item.task, []).append(item)
    if not by_task:
        raise TrainingError(
            f"None of the {len(items):,} items is of a task that is trained, and fits a context of {context}.",
            f"Tasks with a share: {', '.join(sorted(task for task, share in settings.shares.items() if share > 0))}.",
        )
    rng = random.Random(settings.seed)
    tasks = sorted(by_task)
    weights = [settings.shares[task] for task in tasks]
    draws = {task: _in_turn(by_task[task], rng) for task in tasks}
    done = 0
    while done < settings.tokens:
        wanted = settings.batch * _SORTED_TOGETHER
        drawn = (with_gaps(next(draws[task]), rng, settings.gaps) for task in rng.choices(tasks, weights, k=wanted))
        pool = sorted((_exchange(item, tokenizer, rng) for item in drawn), key=len)
        cut = [pool[first : first + settings.batch] for first in range(0, len(pool), settings.batch)]
        rng.shuffle(cut)
        for batch in cut:
            yield batch
            done += sum(map(len, batch))
            if done >= settings.tokens:
                return


def _fits(question: str, answers: Sequence[str], tokenizer: PreTrainedTokenizerFast, context: int) -> bool:
    longest = max(len(tokenizer.encode(answer, add_special_tokens=False)) for answer in answers)
    return len(tokenizer.encode(prompt(question), add_special_tokens=False)) + longest <= context


def _in_turn(items: list[Item], rng: random.Random) -> Iterator[Item]:
    """Yield all items in a random order, then all again in another."""
    while True:
        yield from rng.sample(items, len(items))


def _exchange(item: Item, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> _Exchange:
    question, answers = asked(item)
    return _Exchange(
        tokenizer.encode(prompt(question), add_special_tokens=False),
        [*tokenizer.encode(rng.choice(answers), add_special_tokens=False), _EOS_ID],
    )


def _padded(exchanges: Sequence[_Exchange]) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, both ``[exchanges, length]`` (int64): only the answers are targets."""
    length = -(-max(map(len, exchanges)) // _MULTIPLE) * _MULTIPLE
    inputs = torch.full((len(exchanges), length), _PAD_ID)
    targets = torch.full((len(exchanges), length), IGNORE)
    for row, (question, answer) in enumerate(exchanges):
        ids = torch.tensor(question + answer)
        inputs[row, : len(ids) - 1] = ids[:-1]
        targets[row, len(question) - 1 : len(ids) - 1] = ids[len(question) :]
    return inputs, targets


def _score(model: LlamaForCausalLM, corpus: Path, tokens: int = _VALIDATION_TOKENS) -> SplitScore:
    info = read_manifest(corpus).info
    return evaluate_split(
        model,
        corpus / "val.bin",
        info["dtype"],
        model.config.max_position_embeddings,
        info["splits"]["val"]["bytes"],
        max_tokens=tokens,
    )


def _write(
    model: LlamaForCausalLM,
    items: Sequence[Item],
    validation: Sequence[Item],
    told: Mapping[str, Mapping[str, str]],
    parents: Sequence[Path],
    out: Path,
    settings: TeachSpec,
    recipe: TrainSpec,
    figures: dict[str, float],
    report: Reporter,
) -> Path:
    """Write the model with its manifest; ``parents`` are the base, the benchmark and the corpus."""
    base = read_manifest(parents[0])
    with atomic_folder(out) as folder:
        save_model(model.to("cpu"), parents[0], folder)
        write_json(folder / "sft.json", {"settings": settings.model_dump(), "recipe": recipe.model_dump(), **figures})
        write_json(folder / ANSWERS, known_answers(items))
        write_confidence(folder, items, validation, told, report)
        write_manifest(
            folder / MANIFEST,
            kind="checkpoint",
            name=f"{base.name}+sft",
            files=sorted(path.name for path in folder.iterdir()),
            inputs=[input_from(manifest_path(parent)) for parent in parents],
            info={"step": base.info.get("step"), **figures},
            final=out,
        )
    return out
