"""What the Manager makes of what its agents tell it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.data_agent import DataAgent
from agents.manager_agent import Manager
from agents.reviewer_agent import ReviewerAgent
from agents.state import Attempt, BuildState, CorpusState, ReviewState, TrainingState
from agents.training_agent import TrainingAgent
from slm.errors import ArtefactError, TrainingError
from slm.evaluation.gates import Gate
from tests.builds import miniature


class Told:
    """An agent's answers, one after another, and what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    def call(self, *question: str) -> Any:
        self.asked.append(question)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def manager(tmp_path: Path, training: Told, reviewer: Told) -> Manager:
    found = Manager(str(tmp_path), miniature(tmp_path).model_dump(mode="json"), "auto")
    agents = {DataAgent: Told(CorpusState(corpus="corpus")), TrainingAgent: training, ReviewerAgent: reviewer}
    found._agents.update(agents)
    return found


def trained(checkpoint: str, **others: Any) -> TrainingState:
    return TrainingState(corpus="corpus", checkpoint=checkpoint, **others)


FAILED = Gate(name="perplexity", value=99.0, threshold="below 50", passed=False, detail="99")


def test_a_checkpoint_lost_before_its_review_is_reviewed_as_the_one_that_took_its_place(tmp_path: Path) -> None:
    training = Told(trained("step-1"), trained("step-1"), trained("step-2"))
    reviewer = Told(ArtefactError("step-1 is damaged"), ReviewState(checkpoint="step-2", corpus="c", gates=[FAILED]))
    with pytest.raises(ArtefactError):
        manager(tmp_path, training, reviewer).run()
    state: BuildState = manager(tmp_path, training, reviewer).run()
    assert [question[1] for question in reviewer.asked] == ["step-1", "step-2"]
    assert (state.checkpoint, state.state) == ("step-2", "rejected")


def test_a_training_given_up_is_reported_before_the_review_too(tmp_path: Path) -> None:
    attempt = Attempt(number=1, adjustments=trained("").adjustments, diagnosis="diverged", detail="Step 3.")
    training = Told(trained("step-1"), trained("", gave_up=True, attempts=[attempt]))
    reviewer = Told(AssertionError("there is nothing to review"))
    with pytest.raises(TrainingError, match="diverged: Step 3"):
        manager(tmp_path, training, reviewer).run()
