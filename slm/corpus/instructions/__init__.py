"""Questions with their answers, made for the corpus: dialogues with the intent, bucket and provenance of each.

Three makers yield :class:`Exchange`: :func:`table_exchanges` from the device tables, :func:`document_exchanges` from
manual pages and handbooks, :func:`intent_exchanges` for the kernel's six intents and their sub-commands. Each is
deterministic for its seed, yields no text twice, and names no device that is held out.
"""

from slm.corpus.instructions.drawn import document_exchanges
from slm.corpus.instructions.exchange import SUB_COMMANDS, Exchange, Intent, Message, Provenance
from slm.corpus.instructions.intents import intent_exchanges
from slm.corpus.instructions.store import EXCHANGES, read_exchanges, write_exchanges
from slm.corpus.instructions.tables import table_exchanges

__all__ = [
    "EXCHANGES",
    "SUB_COMMANDS",
    "Exchange",
    "Intent",
    "Message",
    "Provenance",
    "document_exchanges",
    "intent_exchanges",
    "read_exchanges",
    "table_exchanges",
    "write_exchanges",
]
