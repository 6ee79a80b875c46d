"""Exchanges drawn from documents: what pages say, in the split of the page, whatever the order of the stream."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.corpus.clean import clean_text
from slm.corpus.documents import MADE, Document, text_key
from slm.corpus.extract.html import extract_html
from slm.corpus.extract.roff import render_man
from slm.corpus.instructions import Exchange, document_exchanges
from slm.corpus.instructions.exchange import INTENT_OF, MAX_WORDS, SUB_COMMANDS
from slm.corpus.instructions.handbooks import handbook_questions
from slm.corpus.instructions.manuals import manual_questions
from slm.corpus.instructions.question import Question
from slm.corpus.instructions.topics import _BY_NAME, command_topic, words_topic
from slm.corpus.instructions.wording import VERBS, base_verb, deed, opening, sentence

PAGE = r"""
.TH {name} 8
.SH NAME
{name} \- attach the {name} volume to a folder
.SH DESCRIPTION
The program looks for its volume first. It needs the rights of the administrator.
.SH OPTIONS
.TP
.BR \-l ", " \-\-lazy
Wait until nobody uses the volume {name}. Then let go of it.
.TP
.BR \-o ", " \-\-output " " \fIfile\fR
Write what was found to the given file, one line for each volume of {name}.
.TP
.B \-\-version
Print the version of the program and exit at once.
.SH FILES
.TP
.I /etc/{name}.conf
Names the volumes that the program may touch.
.SH EXAMPLES
.TP
{name} \-l /srv
Detach the folder of {name} as soon as it is free.
.PP
To list every volume of {name}, type:
.PP
.nf
# {name} \-\-list
.fi
.SH SEE ALSO
.BR mount (8),
.BR umount (8)
"""

BOOK = """<html><body><h1>{n}. Handling volumes</h1>
<h2>{n}.1. Mounting a {name} Volume</h2>
<p>Give the volume and a folder to the program (see Section 4.2). It must exist.</p>
<h2>{n}.2. What is a {name} made for?</h2>
<p>It holds the files that a service of the {name} sort needs when it starts.</p>
<h2>{n}.3. Removing the {name} package</h2><p>Make sure that nobody needs it. Then run the command:</p>
<pre># apt-get remove {name}</pre>
<h2>{n}.4. Overview</h2><p>Many volumes are kept in one place, which is a good thing for a while.</p>
<h2>{n}.5. How to check a {name}</h2><p>Figure 3 shows what to look at in the first place.</p></body></html>"""


def manual(name: str) -> Document:
    path = f"usr/share/man/man8/{name}.8.gz"
    (found,) = render_man(path, PAGE.format(name=name).encode())
    return written(found[1], path, "package:tools")


def book(name: str, number: int) -> Document:
    (found,) = extract_html("x", BOOK.format(name=name, n=number).encode())
    return written(found[1], f"usr/share/doc/book/{name}.html", "package:book")


def written(text: str, path: str, source: str) -> Document:
    text = clean_text(text)
    return Document(
        text=text, bucket="instructions", source=source, version="1.2", licence="GPL-2", path=path, key=text_key(text)
    )


NAMES = [f"vol{letter}{other}" for letter in "abcdefgh" for other in "klmnopqr"]
DOCUMENTS = [manual(name) for name in NAMES] + [book(name, number) for number, name in enumerate(NAMES, 1)]


def pairs(questions: Iterator[Question], kind: str) -> set[tuple[str, str]]:
    return {pair for question in questions if question.kind == kind for pair in question.pairs}


def test_a_manual_page_answers() -> None:
    page = manual("volume")
    assert ("What is volume for?", "Attach the volume volume to a folder.") in pairs(
        manual_questions(page), "manual name"
    )
    commands = pairs(manual_questions(page), "manual command")
    assert ("Which command do I use to attach the volume volume to a folder?", "volume") in commands
    options = pairs(manual_questions(page), "manual option")
    assert (
        "What does the option -l of volume do?",
        "Wait until nobody uses the volume volume. Then let go of it.",
    ) in options
    assert any(answer == "--output" for _, answer in options)
    assert not any("--version" in question for question, _ in options)
    examples = pairs(manual_questions(page), "manual example")
    assert ("How do I detach the folder of volume as soon as it is free?", "volume -l /srv") in examples
    assert any("list every volume" in question and answer == "volume --list" for question, answer in examples)
    places = pairs(manual_questions(page), "manual reference")
    assert ("What is /etc/volume.conf for?", "Names the volumes that the program may touch.") in places
    assert ("Which manual pages are related to volume(8)?", "mount(8), umount(8)") in places


def test_a_handbook_answers_by_its_headings() -> None:
    page = book("vault", 3)
    asked = pairs(handbook_questions(page), "handbook how-to")
    assert (
        "How do I mount a vault volume?",
        "Give the volume and a folder to the program. It must exist.",
    ) in asked
    assert ("How do I remove the vault package?", "Then run the command:\napt-get remove vault") in asked
    assert pairs(handbook_questions(page), "handbook question") == {
        ("What is a vault made for?", "It holds the files that a service of the vault sort needs when it starts.")
    }
    said = " ".join(question + answer for question, answer in asked)
    assert "Overview" not in said and "Figure" not in said and "Handling" not in said


def test_only_pages_of_their_kind_are_read() -> None:
    page, text = manual("volume"), book("vault", 3)
    assert not list(handbook_questions(page)) and not list(manual_questions(text))
    assert not list(manual_questions(page.model_copy(update={"path": "usr/share/doc/volume.8.txt"})))
    assert not list(handbook_questions(text.model_copy(update={"bucket": "os_code"})))
    assert not list(document_exchanges([page.model_copy(update={"source": MADE})], 10, 0))


def test_pages_of_another_system_say_so() -> None:
    page = manual("volume").model_copy(update={"source": "package:freebsd-manpages"})
    assert all(asked.startswith("On FreeBSD, ") for one in manual_questions(page) for asked, _ in one.pairs)


def drawn(count: int, seed: int = 0, documents: list[Document] = DOCUMENTS) -> list[Exchange]:
    return list(document_exchanges(documents, count, seed))


@pytest.mark.parametrize("count", [0, 1, 7, 100, 10_000])
def test_what_is_drawn_does_not_depend_on_the_order(count: int) -> None:
    shuffled = random.Random(count).sample(DOCUMENTS, len(DOCUMENTS))
    assert drawn(count) == drawn(count, documents=shuffled) == drawn(count, documents=[*shuffled, *DOCUMENTS])
    assert len(drawn(count)) == min(count, len(drawn(10_000)))
    assert count < 7 or drawn(count, 1) != drawn(count, 2)


def test_few_are_the_first_of_many() -> None:
    assert drawn(50) == drawn(10_000)[:50]


def test_exchanges_lie_in_the_split_of_their_document() -> None:
    by_path = {document.path: document for document in DOCUMENTS}
    made = drawn(10_000)
    assert len({exchange.text for exchange in made}) == len(made) > 500
    for exchange in made:
        document = by_path[exchange.provenance.path]
        assert exchange.key == exchange.document().key == document.key
        assert exchange.provenance.model_dump() == document.model_dump(include={"source", "version", "licence", "path"})
        assert exchange.intent in SUB_COMMANDS
        question, answer = (message.content for message in exchange.messages)
        assert question and 0 < len(answer.split()) <= MAX_WORDS


def test_answers_are_the_pages_own_words() -> None:
    for document in (manual("volume"), book("vault", 3)):
        text = re.sub(r"[^\w]+", " ", re.sub(r"\(see .*?\)", "", document.text)).lower()
        for one in (*manual_questions(document), *handbook_questions(document)):
            for _, answer in one.pairs:
                words = re.sub(r"[^\w]+", " ", answer).strip().lower().removeprefix("use ").removeprefix("see ")
                assert words in text


def test_all_kinds_are_drawn_evenly() -> None:
    kinds = Counter(
        "How" if one.messages[0].content.startswith("How") else one.provenance.path.split("/")[2] for one in drawn(140)
    )
    assert len(kinds) == 3 and min(kinds.values()) >= 20


LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            ["NAME", "OPTIONS", "EXAMPLES", "FILES", "SEE ALSO", "x - do y", "-a, --all", "# x -a", "1. Installing x",
             "How to do it", "What is it?", "Example 1. Do it", "/etc/x.conf", "Run this:", "See x(1), y(2).", "- ",
             "\ud800", "It is so. It is not."]
        ),
    ),
    max_size=25,
)  # fmt: skip


@given(LINES, st.sampled_from(["\n", "\n\n"]), st.sampled_from(["man1/x.1.gz", "man/man3/x.3#part2", "x.html", "y"]))
@settings(deadline=None)
def test_any_text_is_read_without_complaint(lines: list[str], mark: str, path: str) -> None:
    text = mark.join(lines)
    document = Document.model_construct(
        text=text, bucket="sysadmin", source="s", version=None, licence="l", path=path, key="k"
    )
    for one in (*manual_questions(document), *handbook_questions(document)):
        assert one.pairs and all(question and answer for question, answer in one.pairs)
    for exchange in document_exchanges([document], 50, 0):
        assert exchange.key == "k"
        assert all(len(message.content.split()) <= MAX_WORDS for message in exchange.messages[1::2])


@pytest.mark.parametrize(
    "piece", ["(see ", "a", "-a\n", "a(", "# ", "x - ", "following ", ". A", "How to ", "\n\n-a\n", ": ", "1.", "a a "]
)
@pytest.mark.parametrize("before", ["NAME\n\n", "OPTIONS\n\n-a\n", "SEE ALSO\n\n", "1. How to do it\n\n", "FILES\n\n"])
def test_long_repetitions_come_to_an_end(before: str, piece: str) -> None:
    text = before + piece * (100_000 // len(piece))
    for path in ("man1/x.1", "x.html"):
        document = Document(text=text, bucket="sysadmin", source="s", licence="l", path=path, key="k")
        assert len(list(document_exchanges([document], 5, 0))) <= 5


@given(st.text())
@settings(deadline=None)
def test_wordings_are_total(text: str) -> None:
    assert len(opening(text, 20).split()) <= 20
    assert sentence(text)
    assert not deed(text) or deed(text).split()[0] in VERBS
    assert command_topic(text, "1").intent in SUB_COMMANDS
    assert words_topic(text).intent in SUB_COMMANDS


def test_verbs_are_found_in_all_forms() -> None:
    for form, verb in {"Shows": "show", "Installing": "install", "setting": "set", "Writing": "write", "copies": "copy",
                       "Lists": "list", "fetches": "fetch", "Postfix": "", "Thing": ""}.items():  # fmt: skip
        assert base_verb(form) == verb
    assert deed("Installing and Configuring Postfix") == "install and configure Postfix"
    assert deed("system and service manager") == ""


def test_commands_are_sorted_into_all_sub_commands() -> None:
    assert set(_BY_NAME.values()) <= set(INTENT_OF)
    # A fallback is a matter between devices and drivers; no command is about it.
    assert set(INTENT_OF) - set(_BY_NAME.values()) == {"DRV_FALLBACK"}
    for name, sub in {"mkfs.xfs": "FORMAT_FS", "ip-route": "NETWORK_CONFIG", "fdisk": "PARTITION_DISK", "df":
                      "RESOURCE_QUERY", "smartctl": "DIAG_STORAGE", "hostnamectl": "HOSTNAME_SET", "ss": "DIAG_NETWORK",
                      "journalctl": "LOG_QUERY", "systemctl": "SVC_START", "w": "SVC_STATUS"}.items():  # fmt: skip
        assert command_topic(name, "8") == (INTENT_OF[sub], sub)
    assert words_topic("How do I mount a disk?").sub_command == "MOUNT_FS"
    assert words_topic("What is the meaning of life?").intent == "TROUBLESHOOT"
