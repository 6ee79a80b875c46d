"""``python -m agents.ui``: a page in the browser that shows builds, takes decisions, and asks models.

It reads the builds' folders and runs the project's own commands; Ray need not run. :mod:`agents.ui.views` says what is
shown, :mod:`agents.ui.decisions` and :mod:`agents.ui.asking` do what is asked for, :mod:`agents.ui.screen` lays it all
out with Gradio, and :mod:`agents.ui.door` lets in who may come.
"""
