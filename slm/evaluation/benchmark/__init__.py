"""The hardware benchmark: its items, how they are made, what simple methods score on them, and the report.

``python -m slm.evaluation.benchmark build|check|baselines`` makes, checks and runs one. A model takes part as a
:class:`slm.evaluation.benchmark.predictor.Predictor`. ``specs/evaluation.md`` says what each task measures.
"""
