from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from slm.errors import ArtefactError
from slm.export.__main__ import main
from slm.export.gguf import export_gguf
from slm.export.llama_cpp import LlamaCpp
from slm.export.parity import MAX_RATIO, MAX_RMS, compare
from slm.export.publish import publish
from slm.files import atomic_folder, write_json
from slm.lineage import input_from, manifest_path, read_manifest, verify, write_manifest
from slm.model.llama import build_model, load_model, save_model
from slm.serving.confidence import read_calibrations, write_calibrations
from slm.spec import ModelSpec


def test_llama_cpp_computes_what_transformers_computes(
    small_checkpoint: Path, small_corpus: Path, tmp_path: Path
) -> None:
    f16 = compare(export_gguf(small_checkpoint, tmp_path / "a", "f16"), "f16", small_checkpoint, small_corpus)
    q8_0 = compare(export_gguf(small_checkpoint, tmp_path / "b", "q8_0"), "q8_0", small_checkpoint, small_corpus)
    assert f16.rms_difference <= MAX_RMS["f16"]
    assert 0 < f16.rms_difference < q8_0.rms_difference
    assert f16.tokens > 1000
    assert f16.same_first > 0.98
    assert q8_0.ratio < MAX_RATIO
    assert f16.reference_perplexity == q8_0.reference_perplexity


def test_logits_are_those_of_the_sequence_alone(small_checkpoint: Path, tmp_path: Path) -> None:
    """Earlier calls leave nothing behind, and later tokens do not change earlier logits."""
    ids = [2, *range(100, 130)]
    with LlamaCpp(export_gguf(small_checkpoint, tmp_path / "m", "f16")) as llama:
        first = llama.logits(ids)
        llama.logits([2, 900, 901])
        np.testing.assert_array_equal(llama.logits(ids), first)
        np.testing.assert_allclose(llama.logits([*ids[:-1], 7])[:-1], first[:-1], atol=1e-4)
        with pytest.raises(ValueError, match="does not fit"):
            llama.logits([2] * (llama.window + 1))
    with torch.no_grad():
        expected = load_model(small_checkpoint)(input_ids=torch.tensor([ids])).logits[0].numpy()
    np.testing.assert_allclose(first, expected, atol=1e-2)


def test_a_file_of_another_model_does_not_pass(
    small_spec: ModelSpec, small_checkpoint: Path, small_corpus: Path, tmp_path: Path
) -> None:
    save_model(build_model(small_spec, seed=9), small_corpus, tmp_path)
    stranger = export_gguf(tmp_path, tmp_path / "stranger.gguf", "q8_0")
    with pytest.raises(ArtefactError, match="differs from its checkpoint"):
        compare(stranger, "f16", small_checkpoint, small_corpus)
    with pytest.raises(ArtefactError, match="perplexity"):
        compare(stranger, "q8_0", small_checkpoint, small_corpus)


def test_forgetting_the_row_order_does_not_pass(
    small_checkpoint: Path, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slm.export.gguf.interleave_rows", lambda weight, heads: weight)
    with pytest.raises(ArtefactError, match="differs"):
        compare(export_gguf(small_checkpoint, tmp_path / "m", "f16"), "f16", small_checkpoint, small_corpus)


def test_what_llama_cpp_cannot_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "junk.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ArtefactError, match="cannot load"):
        LlamaCpp(tmp_path / "junk.gguf")


@pytest.fixture(scope="module")
def published(small_checkpoint: Path, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(small_checkpoint, small_corpus, ["f16", "q8_0"], tmp_path_factory.mktemp("exports") / "export")


def test_an_export_is_whole_and_traces_back_to_the_corpus(published: Path) -> None:
    expected = {"model-f16.gguf", "model-q8_0.gguf", "devices.sqlite", "parity.json", "manifest.json"}
    assert {path.name for path in published.iterdir()} == expected
    assert [link.kind for link in verify(published)] == ["corpus", "checkpoint", "devices", "export"]
    assert {item.kind for item in read_manifest(published).inputs} == {"checkpoint", "devices"}
    parity = json.loads((published / "parity.json").read_text())
    assert all(math.isfinite(figures["ratio"]) for figures in parity.values())
    assert (published / "model-q8_0.gguf").stat().st_size < 0.65 * (published / "model-f16.gguf").stat().st_size


def test_a_whole_export_is_not_made_again_and_a_broken_one_is(
    published: Path, small_checkpoint: Path, small_corpus: Path, tmp_path: Path
) -> None:
    def times(folder: Path) -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    before = times(published)
    assert publish(small_checkpoint, small_corpus, ["f16", "q8_0"], published) == published
    assert times(published) == before
    broken = published.parent / "broken"
    shutil.copytree(published, broken)
    (broken / "devices.sqlite").write_bytes(b"")
    publish(small_checkpoint, small_corpus, ["f16", "q8_0"], broken)
    assert (broken / "devices.sqlite").read_bytes() == (published / "devices.sqlite").read_bytes()
    publish(small_checkpoint, small_corpus, ["q8_0"], broken)
    assert not (broken / "model-f16.gguf").exists()


def test_compiled_tables_are_published_where_there_is_a_compiler(
    small_checkpoint: Path, small_corpus: Path, tmp_path: Path
) -> None:
    made: list[Path] = []

    def compiler(database: Path, out: Path) -> None:
        made.append(out)
        out.write_bytes(database.read_bytes()[::-1])

    for _ in range(2):  # the second time it is whole
        publish(small_checkpoint, small_corpus, ["q8_0"], tmp_path / "export", compiler=compiler)
    assert len(made) == 1
    assert "devices.tables" in read_manifest(tmp_path / "export").files
    assert (tmp_path / "export/devices.tables").read_bytes()[::-1] == (tmp_path / "export/devices.sqlite").read_bytes()
    publish(small_checkpoint, small_corpus, ["q8_0"], tmp_path / "export")
    assert not (tmp_path / "export/devices.tables").exists()


def test_what_a_taught_model_knows_of_itself_comes_along(
    small_checkpoint: Path, small_corpus: Path, tmp_path: Path
) -> None:
    with atomic_folder(tmp_path / "taught") as folder:
        for file in small_checkpoint.iterdir():
            shutil.copyfile(file, folder / file.name)
        write_json(folder / "answers.json", {"pci": ["e1000e"]})
        write_calibrations(folder / "calibration.json", {"model": {}})
        names = sorted(file.name for file in folder.iterdir() if file.name != "manifest.json")
        inputs = [input_from(manifest_path(small_corpus))]
        write_manifest(folder / "manifest.json", "checkpoint", "taught", names, inputs, final=tmp_path / "taught")
    export = publish(tmp_path / "taught", small_corpus, ["f16"], tmp_path / "export")
    assert {"answers.json", "calibration.json"} < set(read_manifest(export).files)
    assert (export / "answers.json").read_bytes() == (tmp_path / "taught/answers.json").read_bytes()
    assert read_calibrations(export / "model-f16.gguf") == {"model": {}}


def test_nothing_is_published_when_parity_fails(
    small_checkpoint: Path, small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_RMS, "f16", 0.0)
    with pytest.raises(ArtefactError, match="Nothing was published"):
        publish(small_checkpoint, small_corpus, ["f16"], tmp_path / "export")
    assert list(tmp_path.iterdir()) == []


def test_unknown_formats_are_named(small_checkpoint: Path, small_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="q3_x"):
        publish(small_checkpoint, small_corpus, ["f16", "q3_x"], tmp_path / "export")


def test_the_command_writes_one_file(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gguf", str(small_checkpoint), str(tmp_path / "m.gguf"), "--quant", "q8_0"]) == 0
    assert gguf.GGUFReader(tmp_path / "m.gguf").fields["general.architecture"].contents() == "llama"
    assert main(["gguf", str(tmp_path), str(tmp_path / "n.gguf")]) == 1
    assert "config.json is not there" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gguf", str(tmp_path), str(tmp_path / "wrong" / "m.gguf")]) == 1
    assert f"error: There is no folder {tmp_path / 'wrong'}." in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()
