from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm.errors import ArtefactError
from slm.lineage import (
    BROKEN,
    NOTHING,
    UNTRACEABLE,
    InputEntry,
    check_files,
    input_from,
    main,
    read_manifest,
    verify,
    write_manifest,
)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """Three artefacts, each made from the one before; returns the last folder."""
    before: list[InputEntry] = [InputEntry(kind="package", name="manpages", version="6.03-2", sha256="0" * 64)]
    for kind in ("documents", "corpus", "checkpoint"):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "data").write_text(kind)
        write_manifest(folder / "manifest.json", kind, "it", ["data"], before)
        before = [input_from(folder / "manifest.json")]
    return tmp_path / "checkpoint"


def test_a_whole_chain_is_walked_from_its_oldest_link(chain: Path) -> None:
    assert [link.kind for link in verify(chain)] == ["documents", "corpus", "checkpoint"]
    assert main(["verify", str(chain)]) == 0


def test_it_survives_being_moved(chain: Path, tmp_path: Path) -> None:
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    assert len(verify(moved / "checkpoint")) == 3


@given(where=st.integers(0, 2), how=st.sampled_from(["flip", "grow", "delete"]))
def test_any_damage_anywhere_is_found(tmp_path_factory: pytest.TempPathFactory, where: int, how: str) -> None:
    root = tmp_path_factory.mktemp("chain")
    before: list[InputEntry] = []
    kinds = ("documents", "corpus", "checkpoint")
    for kind in kinds:
        (root / kind).mkdir()
        (root / kind / "data").write_bytes(b"some bytes")
        write_manifest(root / kind / "manifest.json", kind, "it", ["data"], before)
        before = [input_from(root / kind / "manifest.json")]
    victim = root / kinds[where] / "data"
    match how:
        case "flip":
            victim.write_bytes(b"sOme bytes")
        case "grow":
            victim.write_bytes(b"some bytes and more")
        case "delete":
            victim.unlink()
    with pytest.raises(ArtefactError, match=kinds[where]):
        verify(root / "checkpoint")


def test_a_changed_manifest_breaks_the_link_to_it(chain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = chain.parent / "documents" / "manifest.json"
    content = json.loads(path.read_text())
    content["info"]["forged"] = True
    path.write_text(json.dumps(content))
    with pytest.raises(ArtefactError, match="was made from"):
        verify(chain)
    assert main(["verify", str(chain)]) == 1
    assert "broken" in capsys.readouterr().err


def test_a_copy_without_what_it_was_made_from_is_checked_as_far_as_it_is_here(
    chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "far" / "away" / "model"
    shutil.copytree(chain, copy)
    assert main(["verify", str(copy)]) == UNTRACEABLE
    said = capsys.readouterr()
    assert "ok  checkpoint" in said.out and "untraceable here: " in said.out and "the corpus it" in said.out
    assert "broken" not in said.out + said.err and "whole" not in said.out
    with pytest.raises(ArtefactError, match="is not there"):
        verify(copy)
    (copy / "data").write_text("CHECKPOINT")
    assert main(["verify", str(copy)]) == BROKEN


def test_a_wrong_path_is_an_error_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "nowhere")]) == NOTHING
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "nowhere is not there" in said and "→ Give the folder" in said


def test_equal_content_gives_equal_manifests(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_text("x")
        write_manifest(tmp_path / name / "manifest.json", "corpus", "it", ["data"], info={"z": 1, "a": 2})
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()


def test_a_manifest_cannot_reach_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in").mkdir()
    write_manifest(tmp_path / "in" / "manifest.json", "corpus", "it", ["../secret"])
    with pytest.raises(ArtefactError, match="outside"):
        check_files(tmp_path / "in")


def test_no_manifest_no_artefact(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="not there"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"kind": 1}')
    with pytest.raises(ArtefactError, match="not a manifest"):
        read_manifest(tmp_path)


def test_a_file_is_verified_by_the_manifest_beside_it(chain: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    (export / "model.gguf").write_bytes(b"GGUF")
    (export / "stray").write_bytes(b"x")
    write_manifest(export / "manifest.json", "export", "it", ["model.gguf"], [input_from(chain / "manifest.json")])
    assert verify(export / "model.gguf") == verify(export)
    with pytest.raises(ArtefactError, match="beside it names it"):
        verify(export / "stray")
    with pytest.raises(ArtefactError, match="holds some"):
        verify(tmp_path)
