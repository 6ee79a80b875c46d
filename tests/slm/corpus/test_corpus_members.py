"""Hostile archives and folders: what is bad is named and passed over, the rest is read, and nothing is written."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import subprocess
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from slm.corpus.fetch import Fetched, hash_folder
from slm.corpus.members import MAX_BYTES, Unreadable, _decompressed, decode_text, gunzip, members, printable
from slm.errors import SourceError


def origin(path: Path, kind: str = "url", archive: str | None = None, column: str | None = None) -> Fetched:
    return Fetched(kind=kind, name="sample", sha256="0" * 64, path=path, archive=archive, column=column)


def read(fetched: Fetched) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the files and the skipped with their reasons."""
    skipped: dict[str, str] = {}
    found = members(fetched, lambda _: True, skipped.__setitem__)
    return {member.where: member.data for member in found}, skipped


def tar(entries: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry in others:
            archive.addfile(entry)
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def deb(folder: Path, files: dict[str, bytes]) -> Path:
    root = folder / "tree"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: sample\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.org>\nDescription: x\n"
    )
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    file = folder / "sample_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(root), str(file)], check=True, capture_output=True)
    return file


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "./../evil", ".//etc/evil"])
def test_an_entry_that_leads_outside_is_skipped_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(tar({"before": b"1", name: b"evil", "after": b"2"}))
    found, skipped = read(origin(file))
    assert found == {"before": b"1", "after": b"2"}
    assert skipped == {name: "leads outside"}
    assert sorted(tmp_path.iterdir()) == [file]


def test_without_anyone_to_tell_a_hostile_entry_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(tar({"../evil": b"evil"}))
    with pytest.raises(SourceError, match=r"\.\./evil cannot be read: leads outside"):
        list(members(origin(file), lambda _: True))


def test_devices_and_pipes_are_named_and_links_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    links = (special("soft", tarfile.SYMTYPE, "/etc/passwd"), special("hard", tarfile.LNKTYPE, "../../etc/passwd"))
    others = (special("null", tarfile.CHRTYPE), special("disk", tarfile.BLKTYPE), special("pipe", tarfile.FIFOTYPE))
    file.write_bytes(tar({"a": b"1"}, *links, *others))
    found, skipped = read(origin(file))
    assert found == {"a": b"1"}
    assert skipped == dict.fromkeys(("null", "disk", "pipe"), "no regular file")


def test_a_folder_of_links_loops_pipes_and_strange_names(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"1")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/loop").symlink_to(tmp_path)
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "secret").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "two\nlines").write_bytes(b"2")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/no-\xff-utf8")).write_bytes(b"3")
    found, skipped = read(origin(tmp_path, "folder"))
    assert found == {"text": b"1", r"two\nlines": b"2", r"no-\udcff-utf8": b"3"}
    links = dict.fromkeys(("inside/loop", "one", "two", "secret"), "a symbolic link")
    assert skipped == {**links, "pipe": "no regular file"}


def test_names_in_archives_come_out_printable(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(tar({"a\nb": b"1", "c\udcffd": b"2", "é" * 60: b"3"}))
    assert read(origin(file))[0] == {r"a\nb": b"1", r"c\udcffd": b"2", "é" * 60: b"3"}


@given(st.text(max_size=30))
def test_printable_paths_are_one_line_of_valid_unicode(path: str) -> None:
    shown = printable(path)
    assert shown.isprintable()
    assert shown.encode().decode() == shown


def test_a_folder_that_cannot_be_listed_is_skipped_and_counts_in_the_hash(tmp_path: Path) -> None:
    (tmp_path / "readable.txt").write_text("text")
    before = hash_folder(tmp_path)
    name = "d" * 250  # so deep that its path is longer than any call takes, even from root
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(handle)
    found, skipped = read(origin(tmp_path, "folder"))
    assert found == {"readable.txt": b"text"}
    ((path, reason),) = skipped.items()
    assert path.startswith(f"{name}/{name}/") and reason == "cannot be read: File name too long"
    assert hash_folder(tmp_path) == hash_folder(tmp_path) != before


def test_a_file_that_is_too_large_is_skipped(tmp_path: Path) -> None:
    with open(tmp_path / "big", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(MAX_BYTES + 1), 9))
    (tmp_path / "a").write_bytes(b"1")
    found, skipped = read(origin(tmp_path, "folder"))
    assert found == {"a": b"1"}
    assert skipped == dict.fromkeys(("big", "bomb.gz"), "larger than 64 MiB")


RECORDS = (
    b'{"text": "one"}\n\n[1, 2]\nnot JSON\n{"body": "no text"}\n{"text": 7}\n'
    + b"[" * 100_000
    + b'\n{"text": "\\ud800 two"}\n{"text": "caf\xe9 and some more words"}'
)
READ = {"a.jsonl#1": b"one", "a.jsonl#8": b"? two", "a.jsonl#9": "café and some more words".encode()}
REFUSED = {
    "a.jsonl#3": "no text in column text",
    "a.jsonl#4": "invalid JSON",
    "a.jsonl#5": "no text in column text",
    "a.jsonl#6": "no text in column text",
    "a.jsonl#7": "invalid JSON",
}


def test_json_lines_are_read_record_by_record_and_bad_lines_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(RECORDS)
    assert read(origin(tmp_path, "folder", column="text")) == (READ, REFUSED)
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(gzip.compress(tar({"a.jsonl": RECORDS})))
    assert read(origin(archive, column="text")) == (READ, REFUSED)


def frames(data: bytes) -> bytes:
    half = len(data) // 2
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])


@pytest.mark.parametrize(
    ("name", "pack"), [("a.jsonl.gz", gzip.compress), ("b.ndjson.zst", frames), ("c.JSONL.xz", lzma.compress)]
)
def test_json_lines_may_be_compressed_and_damage_is_named(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    lines = b"".join(b'{"body": "%d"}\n' % number for number in range(50_000))
    (tmp_path / name).write_bytes(pack(lines))
    found, skipped = read(origin(tmp_path, "folder", column="body"))
    assert (len(found), found[f"{name}#50000"], skipped) == (50_000, b"49999", {})
    (tmp_path / name).write_bytes(pack(lines)[: len(pack(lines)) * 3 // 4])
    found, skipped = read(origin(tmp_path, "folder", column="body"))
    assert len(found) < 50_000 and skipped == {name: "damaged"}


def test_a_line_that_is_too_long_is_skipped_and_its_file_read_on(tmp_path: Path) -> None:
    with open(tmp_path / "a.jsonl", "wb") as file:
        file.write(b'{"text": "' + bytes([0x61]) * (2 * MAX_BYTES + 5) + b'"}\n{"text": "next"}\n')
    found, skipped = read(origin(tmp_path, "folder", column="text"))
    assert (found, skipped) == ({"a.jsonl#2": b"next"}, {"a.jsonl#1": "larger than 64 MiB"})


@given(st.lists(st.text().filter(lambda text: text.isprintable()), max_size=5))
def test_every_text_comes_back_from_json_lines(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        found, _ = read(origin(Path(folder), "folder", column="text"))
    assert [data.decode() for data in found.values()] == texts


def test_a_zstandard_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    size, mebibyte = 2 << 30, bytes(1 << 20)
    bomb = zstandard.ZstdCompressor().compressobj()
    with open(tmp_path / "a.jsonl.zst", "wb") as file:
        file.write(zstandard.compress(b'{"text": "first"}\n'))
        for _ in range(size // len(mebibyte)):
            file.write(bomb.compress(mebibyte))
        file.write(bomb.flush())
    assert os.stat(tmp_path / "a.jsonl.zst").st_size < 100_000
    source = origin(tmp_path / "a.jsonl.zst", column="text")
    tracemalloc.start()
    try:
        with open(source.path, "rb") as packed:
            stream = _decompressed(packed, source)
            assert stream.readline() == b'{"text": "first"}\n'
            unpacked = sum(map(len, iter(lambda: stream.read(1 << 16), b"")))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert unpacked == size
    assert peak < 32 << 20


def test_an_entry_that_is_too_large_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "x.tar.xz"
    file.write_bytes(lzma.compress(tar({"big": bytes(MAX_BYTES + 1), "a": b"1"}), preset=0))
    assert read(origin(file)) == ({"a": b"1"}, {"big": "larger than 64 MiB"})


def test_a_damaged_gzip_member_is_skipped(tmp_path: Path) -> None:
    whole = gzip.compress(b"text " * 1000)
    (tmp_path / "a.gz").write_bytes(whole)
    (tmp_path / "cut.gz").write_bytes(whole[:-9])
    (tmp_path / "other.gz").write_bytes(b"\x1f\x8b\x08 not a gzip file")
    (tmp_path / "wrong.gz").write_bytes(whole[:-8] + bytes(8))
    found, skipped = read(origin(tmp_path, "folder"))
    assert found == {"a.gz": b"text " * 1000}
    assert skipped == dict.fromkeys(("cut.gz", "other.gz", "wrong.gz"), "damaged gzip file")


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(0, 5))
def test_gzip_files_of_several_parts_and_padding_come_back(parts: list[bytes], padding: int) -> None:
    assert gunzip(b"".join(map(gzip.compress, parts)) + bytes(padding)) == b"".join(parts)


@given(st.binary(max_size=200))
def test_gunzip_raises_nothing_unexpected(data: bytes) -> None:
    try:
        gunzip(data)
    except Unreadable as error:
        assert error.reason


@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_an_archive_cut_short_is_an_error_whatever_its_compression(
    tmp_path: Path, packed: object, share: float
) -> None:
    assert callable(packed)
    file = tmp_path / "x.tar.any"
    content = packed(tar({f"file-{number}": os.urandom(3000) for number in range(20)}))
    file.write_bytes(content)
    assert len(read(origin(file))[0]) == 20
    file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match=r"x\.tar\.any is damaged"):
        read(origin(file))


def test_an_archive_with_a_broken_header_in_its_middle_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    content = bytearray(tar({"a": b"1", "b": b"2", "c": b"3"}))
    content[1024 + 148 : 1024 + 156] = b"garbage!"  # the checksum of the second entry
    file.write_bytes(content)
    with pytest.raises(SourceError, match="damaged"):
        read(origin(file))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_archive_raises_nothing_unexpected(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = tmp_path_factory.mktemp("changed") / "x.tar"
    content = bytearray(tar({"a" * 120: b"1" * 700, "b": b"2"}, special("l", tarfile.SYMTYPE, "x" * 150)))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        found, _ = read(origin(file))
    except SourceError as error:
        assert "x.tar" in str(error)
    else:
        assert all(path.isprintable() and not path.startswith("/") for path in found)


def test_an_archive_inside_a_package_is_read_in_its_place(tmp_path: Path) -> None:
    inner = {"project/a.c": b"int a;", "project/doc/b.gz": gzip.compress(b"text"), "../evil": b"x"}
    file = deb(
        tmp_path, {"usr/src/project.tar.xz": lzma.compress(tar(inner)), "usr/src/patch": b"other", "usr/x.tar": b""}
    )
    found, skipped = read(origin(file, "package", "usr/src/*.tar.*"))
    assert found == {"project/a.c": b"int a;", "project/doc/b.gz": b"text"}
    assert skipped == {"../evil": "leads outside"}
    with pytest.raises(SourceError, match=r"holds no archive usr/lib/\*\.tar"):
        read(origin(file, "package", "usr/lib/*.tar"))


def test_a_damaged_archive_inside_a_package_is_an_error(tmp_path: Path) -> None:
    content = lzma.compress(tar({"a": os.urandom(5000)}))
    file = deb(tmp_path, {"usr/src/project.tar.xz": content[: len(content) // 2]})
    with pytest.raises(SourceError, match="damaged"):
        read(origin(file, "package", "usr/src/*.tar.xz"))


def test_text_is_told_from_binary() -> None:
    assert decode_text("naïve “text”\n".encode()) == "naïve “text”\n"
    assert decode_text("\ufefftext".encode()) == "text"
    assert decode_text("naïve text, once in Latin-1".encode("latin-1")) == "naïve text, once in Latin-1"
    assert (
        decode_text("both of them: é ".encode() + b"and \xe9, and \x93quoted\x94")
        == "both of them: é and é, and “quoted”"
    )
    for data in (b"ab\0cd", b"\x7fELF\x02\x01", bytes(range(128, 256)), os.urandom(1000) + b"\0"):
        if data == b"\x7fELF\x02\x01":
            data += b"\0"
        with pytest.raises(Unreadable, match="binary"):
            decode_text(data)


@given(st.text(alphabet=st.characters(blacklist_characters="\0\ufeff", blacklist_categories=["Cs"])))
def test_utf8_comes_back_as_it_was(text: str) -> None:
    assert decode_text(text.encode()) == text


@given(st.binary(max_size=300))
def test_decoded_text_can_be_written(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        decode_text(data).encode()


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.sampled_from(["utf-16-le", "utf-16-be"]),
)
def test_utf16_with_its_mark_comes_back_as_it_was(text: str, order: str) -> None:
    assert decode_text(f"\ufeff{text}".encode(order)) == text.removeprefix("\ufeff")


@pytest.mark.parametrize("data", [b"\xff\xfea", b"\xff\xfe\x00\xd8", b"\xff\xfea\0\0\0", b"\xfe\xff\xdc\x00"])
def test_broken_utf16_is_binary(data: bytes) -> None:
    with pytest.raises(Unreadable, match="binary"):
        decode_text(data)
