"""What a model is worth: its figures on held-out text, and the gates that they must pass."""

from slm.evaluation.evaluation import Evaluation, evaluate, score_split
from slm.evaluation.gates import Gate, Verdict, judge

__all__ = ["Evaluation", "Gate", "Verdict", "evaluate", "judge", "score_split"]
