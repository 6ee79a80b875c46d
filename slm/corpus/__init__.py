"""From sources to ``train.bin``, ``val.bin`` and ``test.bin``, a tokenizer and the device tables.

Read the modules in the order of the stages: :mod:`~slm.corpus.fetch` (with :mod:`~slm.corpus.apt`),
:mod:`~slm.corpus.devices`, :mod:`~slm.corpus.members`, :mod:`~slm.corpus.extract`, :mod:`~slm.corpus.clean`,
:mod:`~slm.corpus.heldout`, :mod:`~slm.corpus.prepare`, :mod:`~slm.corpus.instructions`, :mod:`~slm.corpus.quality`,
:mod:`~slm.corpus.near`, :mod:`~slm.corpus.measure`, :mod:`~slm.corpus.contamination`, :mod:`~slm.corpus.curate`,
:mod:`~slm.corpus.tokenizer`, :mod:`~slm.corpus.mix`, :mod:`~slm.corpus.pack`, :mod:`~slm.corpus.audit`;
:mod:`~slm.corpus.build` runs them. The formats are told in ``specs/data.md``.
"""

from slm.corpus.build import build, folder_for

__all__ = ["build", "folder_for"]
