"""Fetching and reading sources: nothing outside is reached, damage is named, globs mean what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slm.corpus.apt import Apt, Package, check_package, native_architecture, package_pattern
from slm.corpus.fetch import Fetched, fetch_all, hash_folder
from slm.corpus.members import glob_pattern, members
from slm.errors import SourceError
from slm.progress import silent
from slm.spec import BUCKETS, CorpusSpec, PackageOrigin
from tests.data.corpus.make import corpus_section, write_corpus


def package(path: Path, kind: str = "package") -> Fetched:
    return Fetched(kind=kind, name="sample", sha256="0" * 64, path=path)


def everything(_: str) -> bool:
    return True


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: sample\nVersion: 1\nArchitecture: all\nMaintainer: A <a@b.org>\nDescription: x\n"
    )
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/text").write_bytes(b"hello\n" * 50_000)
    (root / "usr/share/outside").symlink_to("/etc/passwd")
    (root / "usr/share/inside").symlink_to("text")
    file = tmp_path / "sample_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(root), str(file)], check=True, capture_output=True)
    return file


def test_a_package_streams_its_files_and_no_links(deb: Path) -> None:
    assert {member.path: len(member.data) for member in members(package(deb), everything)} == {
        "usr/share/text": 300_000
    }


@pytest.mark.parametrize("keep", [0, 10, 200, 500])
def test_a_truncated_package_is_named(deb: Path, keep: int) -> None:
    deb.write_bytes(deb.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"sample_1_all\.deb"):
        list(members(package(deb), everything))


def test_links_in_folders_are_followed_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    (tmp_path / "b").symlink_to("/etc/passwd")
    (tmp_path / "c").symlink_to("/etc")
    assert [member.path for member in members(package(tmp_path, "folder"), everything)] == ["a"]


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("**", "a/b/c", True),
        ("*", "a/b", False),
        ("a/**/c", "a/c", True),
        ("a/**/c", "a/x/y/c", True),
        ("**/*.h", "x.h", True),
        ("man[23]/*", "man2/read", True),
        ("man[!23]/*", "man2/read", False),
        ("a?c", "a/c", False),
        ("a.c", "abc", False),
    ],
)
def test_globs(glob: str, path: str, expected: bool) -> None:
    assert bool(glob_pattern([glob]).fullmatch(path)) is expected


@given(st.lists(st.text(max_size=8), max_size=3), st.text(max_size=12))
def test_every_glob_compiles_and_no_glob_matches_nothing(globs: list[str], path: str) -> None:
    assert globs or not glob_pattern(globs).fullmatch(path)


@given(st.text(alphabet="ab/.-+", min_size=1, max_size=12))
def test_a_path_is_its_own_glob(path: str) -> None:
    assert glob_pattern([path]).fullmatch(path)


def test_package_globs_match_no_variant_that_they_do_not_name() -> None:
    pattern = package_pattern("linux-image-6.1.0-*-amd64-unsigned")
    assert pattern.fullmatch("linux-image-6.1.0-56-amd64-unsigned")
    for variant in ("56-cloud", "56-rt"):
        assert not pattern.fullmatch(f"linux-image-6.1.0-{variant}-amd64-unsigned")
    assert package_pattern("linux-source-6.*").fullmatch("linux-source-6.12")


def test_a_short_or_changed_download_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.deb"
    file.write_bytes(b"1234")
    with pytest.raises(SourceError, match="x 1 arrived with 4 of 5 bytes"):
        check_package(file, Package("x", "1", "all", 5, "0" * 64))
    with pytest.raises(SourceError, match="sha256"):
        check_package(file, Package("x", "1", "all", 4, "0" * 64))


def test_a_folder_hash_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = hash_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = hash_folder(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, hash_folder(tmp_path)}) == 3


@pytest.mark.slow
def test_packages_come_from_debian(tmp_path: Path) -> None:
    apt = Apt(tmp_path / "apt")
    found = apt.find("no-such-package-at-all | pci.ids")
    assert found and found.name == "pci.ids"
    sizes: list[int] = []
    path = apt.download(found, tmp_path / "packages", sizes.append)
    assert path.stat().st_size == found.size == sizes[-1]
    assert any(member.path.endswith("/pci.ids") for member in members(package(path), everything))
    path.write_bytes(path.read_bytes()[:1000])
    assert apt.download(found, tmp_path / "packages", sizes.append).stat().st_size == found.size
    kernel = apt.find("linux-image-6.1.0-*-amd64-unsigned")
    assert kernel is None or ("cloud" not in kernel.name and "-rt-" not in kernel.name)


@pytest.mark.slow
def test_packages_for_another_machine_come_from_lists_of_their_own(tmp_path: Path) -> None:
    apt = Apt(tmp_path / "apt")
    other = "arm64" if native_architecture() != "arm64" else "amd64"
    found = apt.find(f"no-such-package-at-all:{other} | device-tree-compiler:{other}")
    assert found and found.architecture == other
    path = apt.download(found, tmp_path / "packages", lambda _: None)
    assert path.name.endswith(f"_{other}.deb")
    here = apt.find("device-tree-compiler")
    assert here and here.architecture == native_architecture()


def test_no_option_passes_for_a_machine(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no architecture"):
        Apt(tmp_path / "apt").find("dtc:../x -oDir=/")


@pytest.mark.slow
def test_a_missing_package_is_named_with_what_hangs_on_it(tmp_path: Path) -> None:
    write_corpus(tmp_path / "sources", 2)
    content = corpus_section(tmp_path / "sources")
    content["sources"][0]["origin"] = {"package": "no-such-package-at-all"}
    with pytest.raises(SourceError, match=r"no-such-package-at-all: the bucket os_code \(40%\)"):
        fetch_all(CorpusSpec.model_validate(content), tmp_path / "raw", silent)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64", "riscv64"])
def test_the_shipped_sources_feed_every_bucket_on_every_machine(arch: str) -> None:
    content = yaml.safe_load(Path("specs/corpora/linux.yaml").read_text())
    assert set(content) == {"sources", "devices"}
    spec = CorpusSpec.model_validate({**content, "name": "x", "tokens": 1000, "arch": arch})
    assert {source.bucket for source in spec.drawn} == set(BUCKETS)
    assert all(source.licence != "unknown" for source in spec.sources)
    rows = [(source.origin, source.extract, tuple(source.include)) for source in spec.drawn]
    assert len({repr(row) for row in rows}) == len(rows)
    trees = [glob for source in spec.drawn for glob in source.include if glob.endswith(".dts")]
    assert bool(trees) is (arch != "x86_64")


@pytest.mark.slow
def test_the_shipped_sources_are_in_debian(tmp_path: Path) -> None:
    content = yaml.safe_load(Path("specs/corpora/linux.yaml").read_text())
    spec = CorpusSpec.model_validate({**content, "name": "x", "tokens": 1000})
    apt = Apt(tmp_path / "apt")
    names = [source.origin.package for source in spec.sources if isinstance(source.origin, PackageOrigin)]
    missing = [name for name in dict.fromkeys(names) if apt.find(name) is None]
    assert not missing


def test_a_hub_dataset_with_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows/part.jsonl").write_text('{"text": "one"}\n{"text": \n')
    section = corpus_section(tmp_path / "tree")
    write_corpus(tmp_path / "tree")
    section["sources"].append({"bucket": "sysadmin", "origin": {"dataset": str(tmp_path / "rows")}, "extract": "text"})
    with pytest.raises(SourceError, match=r"rows cannot be read"):
        fetch_all(CorpusSpec.model_validate(section), tmp_path / "raw", silent)
