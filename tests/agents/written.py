"""A build that nobody built: its folder is written as a build's would be, and every foreign text in it is hostile."""

from __future__ import annotations

import json
from pathlib import Path

from agents.builds import write_state
from agents.journal import Journal
from agents.plan import Changes
from agents.state import BuildState, Iteration
from slm.evaluation.figures import Coherence, Evaluation, Sample, SplitScore
from slm.evaluation.gates import Gate
from slm.files import append_line, write_json
from slm.layout import Layout
from tests.builds import miniature

ATTACK = '<script>alert(1)</script> & "<img src=x onerror=alert(2)>${alert(3)}{{alert}}\x1b[2J'
BUILD = "mini-12345678"


def gate(passed: bool, detail: str = "35.18") -> Gate:
    return Gate(
        name="perplexity", value=35.18 if passed else float("nan"), threshold="below 45", passed=passed, detail=detail
    )


def written(home: Path, **values: object) -> BuildState:
    """A build in its second iteration, with curves, an evaluation and a journal."""
    layout = Layout(home)
    iterations = [
        Iteration(number=1, plan=BUILD, bits_per_byte=2.1, failed=["perplexity"]),
        Iteration(number=2, plan="mini-2", changes=Changes(tokens=45_000), by="openai x", why=ATTACK),
    ]
    content = {
        "build": BUILD,
        "spec": "mini",
        "review": "auto",
        "iteration": 2,
        "plan": iterations[1].changes,
        "iterations": iterations,
        "gates": [gate(True, ATTACK)],
        **values,
    }
    state = BuildState.model_validate(content)
    write_state(layout.build(BUILD), state)
    write_json(layout.build(BUILD) / "spec.json", miniature(home).model_dump(mode="json"))
    for number in (1, 2):
        log = layout.training(BUILD, number) / "log.jsonl"
        for step in range(1, 11):
            append_line(log, json.dumps({"step": step, "loss": 6 - step / 10 / number, "tokens_per_second": 900}))
        bits = {"step": 10, "validation_perplexity": 60.0, "validation_bits_per_byte": 2.0}
        append_line(log, json.dumps(bits))
    score = SplitScore(perplexity=35.18, bits_per_byte=1.62, top1=0.3, top5=0.5, tokens=1000)
    sample = Sample(prompt="The kernel", text=ATTACK)
    evaluation = Evaluation(
        checkpoint="mini-2@10", checkpoint_sha256="a", corpus_sha256="b", parameters=9, parameter_bytes=4,
        weight_bytes=7_870_000, finite_weights=True, training_loss=3.4, load_problem="", test=score,
        coherence=Coherence(samples=[sample], empty=0, invalid=0, distinct_trigrams=0.98, looping=0),
    )  # fmt: skip
    (layout.iteration(BUILD, 2) / "evaluation.json").write_text(evaluation.model_dump_json())
    journal = Journal(layout.build(BUILD), "manager")
    journal.decide(f"iteration 1: {ATTACK}", "iteration 2 with more", by="openai x")
    journal.came("validation 2.1 → 2.0 bits per byte")
    return state
