"""The kernel edition: a model shaped for one consumer, the AUTON kernel, which runs it from a flat file.

Read :mod:`~slm.edition.words` (how lines are read), :mod:`~slm.edition.facts` and :mod:`~slm.edition.topics` (what
there is to know), :mod:`~slm.edition.lines` (how it is asked), :mod:`~slm.edition.vocabulary` (which words have a row),
:mod:`~slm.edition.corpus` (what is learned from), :mod:`~slm.edition.flat` (the file) and
:mod:`~slm.edition.evaluation` (whether it answers). ``specs/kernel_edition.md`` says why.
"""
