"""A checkpoint in the formats of those who run it, each proven to compute the same."""

from slm.export.gguf import Quant, export_gguf
from slm.export.parity import Parity, compare
from slm.export.publish import publish

__all__ = ["Parity", "Quant", "compare", "export_gguf", "publish"]
