"""Cleaning is stable and loses no words; mixing keeps its shares and its bounds."""

from __future__ import annotations

import base64
import math
import random
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.corpus.clean import clean_text, cut, neutral, reject_reason
from slm.corpus.documents import Document, read_documents, write_shard
from slm.corpus.extract.plain import extract_text
from slm.corpus.mix import mix, order_of, reweigh, split_of
from slm.corpus.tokenizer import encode_exchanges, encode_plain, train_tokenizer, visible_bytes
from slm.errors import CorpusError
from slm.prompts import SPECIAL_TOKENS, exchange
from slm.spec import BUCKETS, Bucket, CorpusSpec, SplitSpec
from tests.data.corpus.make import corpus_section

SPEC = CorpusSpec.model_validate(corpus_section(Path("x")))

MARKS = st.lists(
    st.sampled_from(
        [
            *SPECIAL_TOKENS,
            "<",
            ">",
            "|",
            "a",
            "Author: ",
            "written by Ann Lee",
            "a@b.org",
            "password=",
            "abcd1234",
            "+1 415 555 2671",
            "----",
            "=",
            "\n",
            " ",
            "\t",
            "\r",
            "\x00",
            "\u00ad",
            "é",
        ]
    ),
    max_size=30,
).map("".join)


@given(st.one_of(MARKS, st.text(max_size=100)))
@settings(max_examples=400)
def test_clean_text_is_clean(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean
    assert not any(token in clean for token in SPECIAL_TOKENS)
    assert clean == clean.strip() and "\r" not in clean and "\x00" not in clean
    clean.encode()


def test_people_are_left_out() -> None:
    text = clean_text(
        "Author: Jane Doe <jane@example.org>\nWrite to jane@example.org for help.\nSigned-off-by: J <j@x.org>"
    )
    assert text == "Write to <email> for help."


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("password = hunter2secret", "password = <secret>"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "AWS_SECRET_ACCESS_KEY=<secret>"),
        ('wpa_passphrase="Abcd12345x" follows', 'wpa_passphrase="<secret>" follows'),
        ("Password   :  FS7CUxsY3xkusv7EkbT9yae", "Password   :  <secret>"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0", "Authorization: Bearer <secret>"),
        ("Call +1 415 555 2671 now.", "Call <phone> now."),
        ("It was written by Ann Lee Smith in 1999.", "It was written by <name> in 1999."),
        ("Author Ann Lee did it.", "Author <name> did it."),
        ("A. Smithson <<ann@example.org>>", "<name> <email>"),
        ("Write to <ann at lab.example>.", "Write to <email>."),
    ],
)
def test_secrets_and_people_in_other_forms_are_left_out(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "passwd: files systemd",
        "password: the password to use",
        "It is developed by Red Hat Inc for servers.",
        "Set key=value1234 in the file.",
        "An offset of +1 200 300 is added.",
        "The token is read by Userspace Helper 2.",
        "secret = base64_encode(x)",
        "char *password = argv[optind+1];",
        "AUTH_TOKEN=${TOKEN_V2}",
        "passphrase=file:/root/pass.txt1",
        "secret=/etc/keys/key1.pem",
        "secretName: my-tls-cert-2024",
        "password: sha512_crypt",
        "access_key: 0x00000012",
        "Maintainer Entry Profile",
        "It was written by Open Source Geospatial Foundation.",
        "See bpf-sk-lookup-program-type-docs for more.",
        "+10 20 300 4000",
    ],
)
def test_what_only_looks_like_a_secret_or_a_person_stays(text: str) -> None:
    assert clean_text(text) == text


def test_base64_goes_with_its_frame_and_its_last_line_and_no_line_of_it_is_joined_to_prose() -> None:
    dump = base64.encodebytes(random.Random(1).randbytes(300)).decode()
    prose = "This sentence stands before it, and it is long enough to have been broken there."
    framed = f"-----BEGIN CERTIFICATE-----\n{dump}-----END CERTIFICATE-----"
    source = f"{prose}\n{dump}And this one stands after it.\n\n{framed}\n"
    ((_, text),) = extract_text("a.txt", source.encode())
    assert clean_text(text) == f"{prose}\nAnd this one stands after it."


@pytest.mark.parametrize(
    "unit", ["eyJ-", "<", "<<email>>", "sk-", "password=", "+1 ", "Author Ann ", "A" * 60 + "1\n", "written by Ann "]
)
def test_no_text_takes_more_than_linear_time(unit: str) -> None:
    def seconds(count: int) -> float:
        text = unit * count + ("email" + ">" * count if unit == "<" else "")
        began = time.process_time()
        clean_text(text)
        return time.process_time() - began

    assert seconds(8000) < max(0.5, 16 * seconds(1000))


@given(st.text(max_size=60))
def test_neutral_text_reads_the_same(text: str) -> None:
    assert neutral(text).replace(" ", "") == text.replace(" ", "")


@given(st.text(alphabet="abc \n", max_size=400), st.integers(8, 80))
def test_cutting_loses_no_words_and_keeps_the_bound(text: str, longest: int) -> None:
    parts = cut(text, longest)
    assert all(0 < len(part) <= longest for part in parts) or not text.strip()
    assert "".join("".join(parts).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("too little", "too short"),
        ("x" * 5000, "repetitive"),
        ("The very same sentence stands here again. " * 200, "repetitive"),
        ("0x00 0x11 0x22 0x33 {} {} {} [] [] 1234 5678 9012 3456", "mostly symbols"),
        ("Το κείμενο αυτό είναι γραμμένο στα ελληνικά και όχι στα αγγλικά.", "not English"),
        (
            "Der Treiber ist nicht für die Geräte, und das Modul ist für den Kern auf einem System mit der Karte. " * 3,
            "not English",
        ),
        ("the same line again\n" * 30, "repetitive"),
        ("The driver reads the register and waits until the device is ready for it.", None),
    ],
)
def test_reasons(text: str, reason: str | None) -> None:
    assert reject_reason(clean_text(text), SPEC) == reason


SUPPLY = st.fixed_dictionaries({bucket: st.lists(st.integers(3, 60), min_size=30, max_size=200) for bucket in BUCKETS})


@given(SUPPLY, st.integers(2000, 20_000), st.integers(1, 4))
@settings(max_examples=100)
def test_a_mix_keeps_its_shares_and_bounds(sizes: dict[Bucket, list[int]], tokens: int, repetition: int) -> None:
    supply = {bucket: list(enumerate(row)) for bucket, row in sizes.items()}
    choices, scale = mix(supply, SPEC.shares, tokens, repetition)
    assert 0 < scale <= 1
    for bucket, choice in choices.items():
        counts = np.bincount(choice.documents, minlength=1)
        assert counts.max() <= repetition
        assert choice.tokens == sum(sizes[bucket][number] for number in choice.documents)
        wanted = SPEC.shares[bucket] * tokens * scale
        assert wanted - 61 <= choice.tokens <= wanted * 1.01 + 1


@given(st.text(max_size=20), st.integers(0, 5))
def test_a_split_depends_on_key_and_seed_alone(key: str, seed: int) -> None:
    assert split_of(key, seed, SplitSpec()) == split_of(key, seed, SplitSpec())
    assert order_of(key, "a", seed) != order_of(key, "b", seed)


def test_splits_have_their_sizes() -> None:
    found = [split_of(str(number), 0, SplitSpec()) for number in range(10_000)]
    assert abs(found.count("train") - 9000) < 100 and abs(found.count("val") - 500) < 80


def test_shards_come_back(tmp_path: Path) -> None:
    documents = [
        Document(text=f"text {i} é\n", bucket="os_code", source="s", licence="MIT", path=str(i), key="k")
        for i in range(5)
    ]
    write_shard(tmp_path / "a", documents)
    assert [d.model_dump() for d in read_documents([tmp_path / "a"])] == [d.model_dump() for d in documents]
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:20])
    with pytest.raises(CorpusError, match="cannot be read"):
        list(read_documents([tmp_path / "a"]))


def test_a_tokenizer_gives_every_text_back() -> None:
    texts = [f"the driver {i} reads {i * 7} registers of the device" for i in range(500)]
    tokenizer = train_tokenizer(texts, 400, len(texts))
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == list(range(6))

    @given(st.text(max_size=50))
    def comes_back(text: str) -> None:
        (ids,) = encode_plain(tokenizer, [text])
        assert tokenizer.decode(ids, skip_special_tokens=False) == text
        assert all(number >= len(SPECIAL_TOKENS) for number in ids)

    comes_back()
    (ids,) = encode_exchanges(tokenizer, [exchange("a?", "b")])
    assert ids[0] == 4 and ids.count(5) == 1
    assert visible_bytes(exchange("a?", "é")) == 4


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("The page â€œmountâ€\u009d says cafÃ©.", "The page “mount” says café."),
        ("Ask Jane Q. Doe <jane@example.org> about it.", "Ask <name> <email> about it."),
        ("Copyright (C) 1999-2003 Jane Doe and all of that", "Copyright (C) 1999-2003 <name> and all of that"),
        ("key\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nend", "key\n<secret>\nend"),
        ("hash $6$rounds=5000$abcdefghijklmnop$qrstuvwxyz0123456789 here", "hash <secret> here"),
        ("id AKIAABCDEFGHIJKLMNOP used", "id <secret> used"),
        ("dump\n0000: 00 01 02 03 04 05 06 07 08 09\nend", "dump\nend"),
        ("data\n" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 2 + "\nend", "data\nend"),
        ("One.\n\nThis program is free software; you can\nredistribute it.\n\nTwo.", "One.\n\nTwo."),
        ("The path /usr/share/doc/linux-doc-6.1/Documentation/driver-api/pm/devices.rst stays.", None),
        ("The table 10 20 30 40 50 stays, and Linux Kernel too.", None),
        ("Write to jane at example dot org or jane (AT) example.org.", "Write to <email> or <email>."),
        (
            "Contacts are kept in a file; mail root@localhost.localdomain about it, in a longer line of prose "
            "that says what the reader must know.",
            "Contacts are kept in a file; mail <email> about it, in a longer line of prose "
            "that says what the reader must know.",
        ),
        ("Maintainers\n\nThe kernel reads the list at boot.", None),
        ("Symbol CONFIG_DEBUG_KERNEL_INFO_SOMETHING_VERY_LONG_INDEED_AND_LONGER_STILL stays", None),
    ],
)
def test_what_cleaning_takes_out_and_what_not(raw: str, clean: str | None) -> None:
    assert clean_text(raw) == (raw if clean is None else clean)


@given(
    st.dictionaries(st.sampled_from(BUCKETS), st.integers(0, 2000), min_size=4, max_size=4),
    st.floats(0, 0.2),
    st.integers(1, 4),
)
def test_moved_shares_add_up_and_keep_their_bounds(available: dict[Bucket, int], slack: float, repetition: int) -> None:
    shares: dict[Bucket, float] = {"os_code": 0.4, "hardware": 0.3, "sysadmin": 0.2, "instructions": 0.1}
    after = reweigh(available, shares, 2000, repetition, slack)
    assert abs(sum(after.values()) - 1) < 1e-9
    for bucket, share in shares.items():
        assert share - slack - 1e-9 <= after[bucket] <= share + slack + 1e-9
        if available[bucket] * repetition >= 2000 * share:
            assert after[bucket] >= share - 1e-9  # who has enough gives nothing
    if all(available[bucket] * repetition >= 2000 * share for bucket, share in shares.items()):
        assert after == shares
    supply = {bucket: [(0, size)] if size else [] for bucket, size in available.items()}
    if min(available.values()):  # moving shares never makes the whole smaller
        assert mix(supply, after, 2000, repetition)[1] >= mix(supply, shares, 2000, repetition)[1] - 1e-9


UNITS = (
    " ", "\t", "\n", "a.", "/", "A", "Copyright ", "copyright 2001, ", "cc ", "Author\n", "Author:", "a@b.cd ", "Jane ",
    "Jane Doe ", "<email>", "00 ", "0000: ", "-----BEGIN ", "$6$", "+/", "A0", "- ", "\u00e2\u20ac", "\u00c3", "x@",
    "(at)", " at a dot b",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_cleaning_takes_time_in_proportion(unit: str) -> None:
    def seconds(length: int) -> float:
        text = "Copyright " + unit * (length // len(unit)) + " x@ <email> <a@b.cd>"
        best = math.inf
        for _ in range(3):
            began = time.process_time()
            clean_text(text)
            best = min(best, time.process_time() - began)
        return best

    # Quadratic time would be sixteen times as much; what is done in a moment says nothing.
    large = seconds(80_000)
    assert large < 0.05 or large < 8 * seconds(20_000)
