"""Small means for turning what a document says into a question and a short answer. Pure functions of text."""

from __future__ import annotations

import re

#: Verbs that headings and descriptions of commands begin with, in their base form.
VERBS = frozenset(
    """
    access activate add adjust administer allocate analyze append apply archive assemble attach automate avoid backup
    become begin benchmark bind block boot browse build burn calculate call cancel capture change check choose clean
    clear clone collect combine compare compile compose compress compute concatenate configure connect control convert
    copy count create customize cut deactivate debug decode decompress decrypt define delete deploy detach detect
    determine diagnose disable discard disconnect display distribute divide download draw dump edit eject enable encode
    encrypt enforce enter erase establish estimate evaluate examine execute expand expire explore export extend extract
    fetch fill filter find finish fix flash flush fold force format forward free freeze generate get give grant group
    halt handle hide hold identify ignore import improve increase inform initialize insert inspect install invoke join
    keep kill label launch limit link list listen load locate lock log maintain make manage manipulate map mark match
    measure merge migrate mirror modify monitor mount move name obtain open operate optimize organize output override
    pack page parse partition paste patch pause perform pick ping play plug populate post prepare preserve
    prevent preview print probe process produce profile protect prove provide publish purge push put query queue read
    reboot rebuild receive recompile reconfigure record recover redirect reduce reformat refresh register reinstall
    release reload remount remove rename renice repair repeat replace replicate report request rescan rescue reset
    resize resolve restart restore restrict resume retrieve return revert review rotate run save scan schedule search
    secure select send separate serve set share show shut shutdown simulate skip sort specify split start stop store
    strip submit summarize suspend switch sync synchronize tail talk tell terminate test trace track transfer transform
    translate trim truncate try tune turn undo unload unlock unmount unpack unset update upgrade upload use validate
    verify view visualize wait wake watch wipe wrap write
    """.split()  # noqa: SIM905
)

_AND = re.compile(r"\b((?:and|or) )(\w+ing)\b")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!etc\.)(?<!vs\.)(?<!cf\.)\s+(?=[\"'(]?[A-Z])")
#: References that lead nowhere once a sentence stands alone.
_ASIDE = re.compile(r"\s*\([^()]*\b(?:Section|Chapter|Appendix|Figure|Table|Example|[Ss]ee)\b[^()]*\)")
_DANGLING = re.compile(
    r"\b(?:Section|Chapter|Appendix|Figure|Table) [0-9A-Z]|\b(?:below|above)\b|(?:this|these|next|previous|following)"
    r" (?:chapter|section|appendix|manual page|page|guide|book|example|table|figure|command|script|step|list)s?\b"
    r"|^Here (?:is|are) |\[\d+\]",
    re.IGNORECASE,
)
#: No quotation begins further on: how many characters of a paragraph are looked at.
_LOOK = 2000
#: The end of a paragraph behind which a listing stands.
_ANNOUNCING = re.compile(r"(?:[:,]|\b(?:following(?: \w+)?|as follows|like this)\.?)\s*$")


def base_verb(word: str) -> str:
    """Return the base form of a verb of :data:`VERBS` (``Shows``, ``Installing``); empty for any other word."""
    word = word.lower()
    forms = [word, word.removesuffix("s"), word.removesuffix("es"), re.sub(r"ies$", "y", word)]
    if word.endswith("ing"):
        stem = word.removesuffix("ing")
        forms += [stem, f"{stem}e", stem[:-1]]  # installing, writing, setting
    return next((form for form in forms if form in VERBS), "")


def deed(text: str) -> str:
    """Return what a description or heading says is done, as ``install Postfix``; empty when it names no deed."""
    first, _, rest = text.strip().rstrip(".:").partition(" ")
    verb = base_verb(first)
    if not verb or not rest or rest.split(" ", 1)[0].lower() in ("of", "is", "are"):
        return ""
    return f"{verb} {_AND.sub(lambda match: match[1] + (base_verb(match[2]) or match[2]), rest)}"


def sentence(text: str) -> str:
    """Write a phrase as a sentence: a capital and a full stop; a first word that is a name stays as it is."""
    text = text.strip()
    if re.match(r"[a-z]+(?:\s|$)", text):
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def opening(text: str, words: int) -> str:
    """Return the first whole sentences of a paragraph, at most ``words`` long; empty when there is nothing to quote.

    The quotation ends before a sentence that leads elsewhere in its document, or announces what follows it.
    """
    kept: list[str] = []
    left = words
    for part in _SENTENCE.split(_ASIDE.sub("", " ".join(text[:_LOOK].split()))):
        size = len(part.split())
        if size > left or announces(part) or _DANGLING.search(part):
            break
        kept.append(part)
        left -= size
    quoted = " ".join(kept)
    return quoted if is_prose(quoted) and not quoted.startswith(("is ", "are ")) else ""


def announces(text: str) -> bool:
    """Say whether a text ends by pointing to what stands after it."""
    return bool(_ANNOUNCING.search(text))


def is_prose(text: str) -> bool:
    """Say whether a text is words rather than code or a table: at least three words, most characters letters."""
    visible = "".join(text.split())
    letters = sum(map(str.isalpha, visible))
    return len(text.split()) >= 3 and letters > 0.75 * len(visible) and " | " not in text
