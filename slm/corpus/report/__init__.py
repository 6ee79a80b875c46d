"""The corpus report: one HTML page that shows what a corpus holds, how it came to be so, and what was thrown away.

:func:`slm.corpus.report.page.write_report` writes it. Importing the package imports no drawing library.
"""
