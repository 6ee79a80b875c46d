"""What is built: a plain library that prepares corpora, trains, judges, exports and serves small language models.

It knows nothing of Ray, LangGraph or the agents that drive it (an import contract in ``pyproject.toml`` keeps it so).
"""
