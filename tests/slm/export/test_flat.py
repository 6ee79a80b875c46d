from __future__ import annotations

import dataclasses
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from slm.errors import ArtefactError, DiskFullError
from slm.export.__main__ import main
from slm.export.flat import export_flat, token_table
from slm.export.flat_file import FlatModel, read_flat, write_flat
from slm.export.flat_limits import MAX_WORKING_MEMORY, MIB, SPECIAL, Shape, ram_needed, shape_breaches
from tests.flat import ANSWERS, WORDS, prompt_ids, random_model

SOUND = Shape(dim=8, hidden=12, layers=2, heads=2, kv_heads=1, vocab=7, seq_len=96)

#: Of the header, by field: where it stands.
FIELDS = {"dim": 8, "hidden": 12, "layers": 16, "heads": 20, "kv_heads": 24, "vocab": 28, "seq_len": 32}


@st.composite
def flat_models(draw: st.DrawFn) -> FlatModel:
    """Any shape, any finite weights bit by bit, any tokens and any scores that the format holds."""
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    shape = Shape(
        dim=heads * 2 * draw(st.integers(1, 4)),
        hidden=draw(st.integers(1, 20)),
        layers=draw(st.integers(1, 4)),
        heads=heads,
        kv_heads=kv_heads,
        vocab=draw(st.integers(4, 40)),
        seq_len=draw(st.integers(1, 2**32 - 1)),
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    weights = {}
    for name, dimensions in shape.tensors():
        weight = random.integers(0, 2**32, dimensions, dtype=np.uint32).view(np.float32)
        weights[name] = np.where(np.isfinite(weight), weight, np.float32(0))
    text = st.binary(max_size=draw(st.sampled_from([4, 255]))).map(lambda token: token.replace(b"\0", b" "))
    tokens = [special.encode() for special in SPECIAL]
    tokens += draw(st.lists(text, min_size=shape.vocab - 4, max_size=shape.vocab - 4))
    scores = random.integers(0, 2**32, shape.vocab, dtype=np.uint32).view(np.float32)
    return FlatModel(shape, weights, tokens, scores)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flat") / "model.flat"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A sound file's bytes."""
    return write_flat(random_model(SOUND, seed=1), tmp_path_factory.mktemp("sound") / "model.flat").read_bytes()


@given(flat_models())
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_read_back_bit_for_bit(place: Path, model: FlatModel) -> None:
    assert write_flat(model, place).stat().st_size == model.size
    found = read_flat(place)
    assert (found.shape, found.tokens, found.size) == (model.shape, model.tokens, model.size)
    assert list(found.weights) == [name for name, _ in model.shape.tensors()]
    for name, weight in model.weights.items():
        assert found.weights[name].shape == weight.shape
        assert found.weights[name].tobytes() == weight.tobytes()
    assert found.scores.tobytes() == model.scores.tobytes()
    assert sum(weight.size for weight in model.weights.values()) == model.shape.parameters


def test_the_bytes_are_those_of_the_kernels_format(place: Path) -> None:
    """The layout, written down once more without any code of ours: every tensor is filled with its own number."""
    shape = Shape(dim=4, hidden=6, layers=2, heads=2, kv_heads=1, vocab=5, seq_len=77)
    tensors = list(shape.tensors())
    weights = {name: np.full(dims, number, dtype=np.float32) for number, (name, dims) in enumerate(tensors)}
    scores = np.array([0, 1, 2, 3, -1.5], dtype=np.float32)
    write_flat(FlatModel(shape, weights, [*(text.encode() for text in SPECIAL), b"Intel card"], scores), place)
    expected = b"\x55\x54\x4f\x4e" + struct.pack("<9I", 1, 4, 6, 2, 2, 1, 5, 77, 0)
    # Embedding; norm, q, k, v, o, norm, gate, down, up of each layer; final norm.
    sizes = [5 * 4, *2 * [4, 4 * 4, 2 * 4, 2 * 4, 4 * 4, 4, 6 * 4, 4 * 6, 6 * 4], 4]
    for number, size in enumerate(sizes):
        expected += struct.pack("<f", number) * size
    expected += struct.pack("<I", 10)
    for score, token in zip(scores, [b"<pad>", b"<unk>", b"<bos>", b"<eos>", b"Intel card"], strict=True):
        expected += struct.pack("<fI", score, len(token)) + token
    assert place.read_bytes() == expected
    inside = [name.removeprefix("model.layers.0.").removesuffix(".weight") for name, _ in tensors[1:10]]
    assert [name.split(".")[-1] for name in inside] == [
        "input_layernorm", "q_proj", "k_proj", "v_proj", "o_proj",
        "post_attention_layernorm", "gate_proj", "down_proj", "up_proj",
    ]  # fmt: skip


def patched(content: bytes, **values: int) -> bytes:
    changed = bytearray(content)
    for name, value in values.items():
        struct.pack_into("<I", changed, FIELDS[name], value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("change", "found", "allowed"),
    [
        ({"layers": 17}, "layers is 17", "at most 16"),
        ({"vocab": 32_001}, "vocab is 32001", "to 32000"),
        ({"vocab": 3}, "vocab is 3", "from 4"),
        ({"kv_heads": 3}, "heads is 2", "multiple of kv_heads, 3"),
        ({"heads": 3, "kv_heads": 1}, "dim is 8", "multiple of heads, 3"),
        ({"heads": 8, "kv_heads": 1}, "head_dim (dim / heads) is 1", "an even number"),
        ({"hidden": 1_550_000}, "12406684 bytes", "at most 12373196"),
        ({"hidden": 2**32 - 1}, "working memory", "at most 12373196"),
        ({"dim": 2**32 - 2, "heads": 1}, "working memory", "at most 12373196"),
        *(({name: 0}, f"{name} is 0", "at least 1") for name in FIELDS),
    ],
)
def test_a_shape_beyond_a_limit_is_named_when_written_and_when_read(
    content: bytes, tmp_path: Path, change: dict[str, int], found: str, allowed: str
) -> None:
    shape = dataclasses.replace(SOUND, **change)
    sound = random_model(SOUND, seed=1)
    with pytest.raises(ArtefactError) as refused:
        write_flat(FlatModel(shape, sound.weights, sound.tokens, sound.scores), tmp_path / "model.flat")
    assert list(tmp_path.iterdir()) == []
    assert any(found in line and allowed in line for line in str(refused.value).splitlines()), refused.value
    (tmp_path / "other.flat").write_bytes(patched(content, **change))
    with pytest.raises(ArtefactError) as refused:
        read_flat(tmp_path / "other.flat")
    assert any(found in line and allowed in line for line in str(refused.value).splitlines()), refused.value


def test_the_working_memory_may_be_full_and_no_byte_fuller() -> None:
    # 12 MiB less 0.2 MiB is no whole number of bytes; 4 divides what a shape takes.
    assert 11.8 * MIB - 1 < MAX_WORKING_MEMORY <= 11.8 * MIB
    shape = Shape(dim=256, hidden=1024, layers=12, heads=4, kv_heads=4, vocab=4, seq_len=10_000)
    assert shape.working_memory == 8 * 12 * 256 * 256 + 4 * (4 * 256 + 2 * 1024 + 256 + 4)
    fullest = dataclasses.replace(shape, vocab=4 + (MAX_WORKING_MEMORY - shape.working_memory) // 4)
    assert MAX_WORKING_MEMORY - 4 < fullest.working_memory <= MAX_WORKING_MEMORY
    assert not any("working memory" in breach for breach in shape_breaches(fullest))
    assert any(
        "working memory" in breach for breach in shape_breaches(dataclasses.replace(fullest, vocab=fullest.vocab + 1))
    )


def test_every_breach_is_told_at_once(tmp_path: Path) -> None:
    shape = Shape(dim=30, hidden=12, layers=40, heads=4, kv_heads=3, vocab=6, seq_len=96)
    tokens = [b"<pad>", b"<bos>", b"<unk>", b"<eos>", b"x" * 256, b"a\0b", b"more"]
    with pytest.raises(ArtefactError) as refused:
        write_flat(FlatModel(shape, {}, tokens, np.zeros(7, dtype=np.float32)), tmp_path / "model.flat")
    said = str(refused.value)
    for part in (
        "layers is 40; at most 16",
        "heads is 4; a multiple of kv_heads, 3,",
        "dim is 30; a multiple of heads, 4,",
        "there are 7 tokens; one for each of the 6 ids",
        "token 1 is '<bos>'; <unk> is needed",
        "token 2 is '<unk>'; <bos> is needed",
        "has 256 bytes; at most 255",
        "token 5, 'a\\x00b', holds a NUL",
    ):
        assert part in said
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_are_named_and_not_written(tmp_path: Path) -> None:
    sound = random_model(SOUND, seed=1)
    norm, query, key = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj"
    wrong: dict[str, Any] = {
        **sound.weights,
        norm: np.full(8, np.nan, dtype=np.float32),
        query: sound.weights[query][:-1],
        f"{key}.weight": sound.weights[f"{key}.weight"].astype(np.float64),
        f"{key}.bias": np.zeros(4, dtype=np.float32),
    }
    del wrong["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(ArtefactError) as refused:
        write_flat(FlatModel(SOUND, wrong, sound.tokens, sound.scores[:-1]), tmp_path / "model.flat")
    for part in (
        f"{norm} holds a value that is not finite",
        f"{query} has the shape (7, 8); (8, 8) is needed",
        f"{key}.weight is float64",
        f"{key}.bias has no place",
        "model.layers.1.mlp.up_proj.weight is not there",
        "the scores have the shape (6,); (7,) is needed",
    ):
        assert part in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(full_disk: Path) -> None:
    out = full_disk / "model.flat"
    write_flat(random_model(SOUND, seed=1), out)
    before = out.read_bytes()
    big = dataclasses.replace(SOUND, hidden=40_000)
    with pytest.raises(DiskFullError):
        write_flat(random_model(big, seed=1), out)
    assert out.read_bytes() == before
    assert os.listdir(full_disk) == ["model.flat"]


def refused(path: Path) -> str:
    with pytest.raises(ArtefactError) as error:
        read_flat(path)
    return str(error.value)


def test_every_shortened_and_every_longer_file_is_refused_with_the_place(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.flat"
    for size in {*range(44), *range(44, TOKENS_AT, 29), *range(TOKENS_AT - 5, len(content))}:
        path.write_bytes(content[:size])
        said = refused(path)
        assert f"at byte {0 if size < 40 else size}, " in said, said
    for more in (1, 40, 5000):
        path.write_bytes(content + bytes(more))
        assert "at byte" in refused(path)
    path.write_bytes(content + b"x")
    assert f"at byte {len(content)}, 1 bytes follow the last token" in refused(path)


def test_a_huge_file_and_what_is_no_file_are_not_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.flat"
    path.write_bytes(content)
    os.truncate(path, 2**40)  # sparse: takes no room, but nobody could hold it in memory
    assert "no file of its shape is so long" in refused(path)
    path.write_bytes(patched(content, dim=700_000, heads=350_000, kv_heads=1, vocab=32_000)[:40])
    os.truncate(path, 2**35)
    assert "the file ends here; its shape needs" in refused(path)
    os.mkfifo(tmp_path / "pipe")
    assert "is no file" in refused(tmp_path / "pipe")
    assert "is no file" in refused(tmp_path) or "cannot be read" in refused(tmp_path)
    assert "cannot be read: No such file" in refused(tmp_path / "none")


TOKENS_AT = 40 + 4 * SOUND.parameters


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, b"GGUF", "at byte 0, the file begins with 0x46554747, not 0x4e4f5455"),
        (4, b"\2\0\0\0", "at byte 4, the version is 2; only 1"),
        (36, b"\1\0\0\0", "at byte 36, quant is 1; only 0"),
        (40 + 4 * 5, b"\0\0\x80\x7f", "at byte 60, model.embed_tokens.weight is not finite"),
        (TOKENS_AT - 4, b"\0\0\xc0\x7f", f"at byte {TOKENS_AT - 4}, model.norm.weight is not finite"),
        (TOKENS_AT, b"\6\0\0\0", f"at byte {TOKENS_AT}, the longest token is said to have 6 bytes; it has 5"),
        (TOKENS_AT + 8, b"\xff\xff\xff\xff", f"at byte {TOKENS_AT + 8}, token 0 has 4294967295 bytes; at most 255"),
        (TOKENS_AT + 8, b"\xff\0\0\0", "inside token 0 of 7"),
        (TOKENS_AT + 12, b"<PAD>", "token 0 is '<PAD>'; <pad> is needed"),
        (TOKENS_AT + 4 + 4 * 13 + 8, b"\0", "token 4, '\\x004', holds a NUL"),
    ],
)
def test_damage_is_told_with_its_place(content: bytes, tmp_path: Path, at: int, value: bytes, said: str) -> None:
    path = tmp_path / "model.flat"
    path.write_bytes(content[:at] + value + content[at + len(value) :])
    assert said in refused(path)


def _flip(content: bytes, at: int, value: bytes) -> bytes:
    at %= len(content)
    return content[:at] + value + content[at + len(value) :]


MUTATIONS: st.SearchStrategy[Callable[[bytes], bytes]] = st.one_of(
    st.builds(lambda at, v: lambda c: _flip(c, at, v), st.integers(0, 2**20), st.binary(min_size=1, max_size=8)),
    st.builds(lambda at, v: lambda c: _flip(c, at, v), st.integers(0, 39), st.binary(min_size=1, max_size=8)),
    st.builds(lambda at, v: lambda c: _flip(c, TOKENS_AT + at, v), st.integers(0, 99), st.binary(min_size=1)),
    st.builds(lambda end: lambda c: c[:end], st.integers(0, 4000)),
    st.builds(lambda v: lambda c: c + v, st.binary(min_size=1)),
    st.builds(lambda v: lambda _: v, st.binary()),
    st.builds(lambda at, v: lambda c: c[:at] + v + c[at:], st.integers(0, 4000), st.binary(min_size=1, max_size=9)),
)


@given(st.lists(MUTATIONS, min_size=1, max_size=3))
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_bytes_raise_anything_but_our_own_error(
    content: bytes, place: Path, mutations: list[Callable[[bytes], bytes]]
) -> None:
    changed = content
    for mutate in mutations:
        changed = mutate(changed) if changed else changed
    place.write_bytes(changed)
    try:
        model = read_flat(place)
    except ArtefactError:
        return
    assert write_flat(model, place).read_bytes() == changed  # what is accepted is understood to the last bit


def test_a_checkpoint_is_exported_bit_for_bit(word_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.flat"
    export_flat(word_checkpoint, out)
    found, weights = read_flat(out), load_file(word_checkpoint / "model.safetensors")
    assert found.shape == Shape(64, 96, 2, 4, 2, 512, 96)
    assert found.shape.parameters == WORDS.parameters
    assert found.weights.keys() == weights.keys()
    assert all(found.weights[name].tobytes() == weight.numpy().tobytes() for name, weight in weights.items())
    tokenizer = AutoTokenizer.from_pretrained(word_checkpoint)
    for line in [*ANSWERS, "which  is <eos> Which ", "<pad> e1000? <|user|> WHAT", ""]:
        assert tokenizer.encode(line, add_special_tokens=False) == prompt_ids(found.tokens, line.encode())
    again = tmp_path / "again.flat"
    export_flat(word_checkpoint, again)
    assert again.read_bytes() == out.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.flat", "model.flat"]


def test_a_bf16_checkpoint_exports_the_same_values(word_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(word_checkpoint, tmp_path / "bf16")
    weights = {name: w.to(torch.bfloat16) for name, w in load_file(word_checkpoint / "model.safetensors").items()}
    save_file(weights, tmp_path / "bf16" / "model.safetensors")
    found = export_flat(tmp_path / "bf16", tmp_path / "model.flat")
    assert all(torch.equal(torch.from_numpy(found.weights[name]), weight.float()) for name, weight in weights.items())


def test_a_sub_word_tokenizer_is_refused_with_every_other_breach(small_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(small_checkpoint, tmp_path / "deep")
    config = tmp_path / "deep" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "num_hidden_layers": 24, "vocab_size": 50_000}))
    with pytest.raises(ArtefactError) as error:
        export_flat(tmp_path / "deep", tmp_path / "model.flat")
    said = str(error.value)
    assert "of type BPE; a word-level one (WordLevel)" in said
    assert "layers is 24; at most 16" in said
    assert "vocab is 50000; from 4 to 32000" in said
    with pytest.raises(ArtefactError, match="BPE"):
        export_flat(small_checkpoint, tmp_path / "model.flat")
    assert os.listdir(tmp_path) == ["deep"]


def _edit(entry: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update({entry: value})


def _vocab(content: dict[str, Any], **entries: int) -> None:
    content["model"]["vocab"].update(entries)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_edit("normalizer", {"type": "Lowercase"}), "the tokenizer reads '82540EM 82540EM' as the ids [1, 1]"),
        (
            _edit("normalizer", {"type": "Replace", "pattern": {"String": "WHICH"}, "content": "which"}),
            "the tokenizer reads 'WHICH' as the ids [6], the kernel as [1]",
        ),
        (_edit("pre_tokenizer", {"type": "Whitespace"}), "the tokenizer reads '8086:100e 8086:100e' as"),
        (_edit("pre_tokenizer", None), "WhitespaceSplit, no normalizer"),
        (lambda content: _vocab(content, stranger=600), "has the id 600; the ids of vocab end at 511"),
        (lambda content: _vocab(content, which=400), "id 400 is both"),
        (lambda content: _vocab(content, which=400), "1 ids of vocab have no token, the first is 6"),
        (lambda content: content["added_tokens"][3].update(id=40), "'<eos>' has the ids 3 and 40"),
        (lambda content: content["model"].update(unk_token="[none]"), "does not read its own words"),
        (lambda content: content["model"].update(vocab=["which"]), "is no tokenizer"),
        (lambda content: _vocab(content, which="6"), "is no tokenizer"),  # type: ignore[arg-type]
        (lambda content: content.pop("added_tokens"), "is no tokenizer"),
    ],
)
def test_a_tokenizer_that_reads_otherwise_than_the_kernel_is_refused(
    word_checkpoint: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    shutil.copytree(word_checkpoint, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtefactError) as error:
        export_flat(tmp_path / "other", tmp_path / "model.flat")
    assert said in str(error.value)
    assert not (tmp_path / "model.flat").exists()


def test_tokens_may_hold_phrases_and_must_be_in_the_kernels_order(word_checkpoint: Path, tmp_path: Path) -> None:
    tokens, breaches = token_table(word_checkpoint / "tokenizer.json", 512)
    assert breaches == []
    assert b"Virtio network device" in tokens
    shutil.copytree(word_checkpoint, tmp_path / "other")
    path = tmp_path / "other" / "tokenizer.json"
    swapped = path.read_text().replace("<unk>", "<other>").replace("<pad>", "<unk>").replace("<other>", "<pad>")
    path.write_text(swapped)
    with pytest.raises(ArtefactError) as error:
        export_flat(tmp_path / "other", tmp_path / "model.flat")
    assert "token 0 is '<unk>'; <pad> is needed" in str(error.value)
    assert "token 1 is '<pad>'; <unk> is needed" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("num_attention_heads", 5, "dim is 64; a multiple of heads, 5,"),
        ("vocab_size", 2**60, "vocab is 1152921504606846976"),
        ("rms_norm_eps", 1e-5, "not that of a plain Llama"),
        ("hidden_size", "wide", "not the configuration of a plain Llama"),
        ("num_hidden_layers", 3, "does not fit its config.json"),
    ],
)
def test_a_configuration_that_the_kernel_does_not_compute_is_refused(
    word_checkpoint: Path, tmp_path: Path, key: str, value: object, said: str
) -> None:
    shutil.copytree(word_checkpoint, tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), key: value}))
    with pytest.raises(ArtefactError) as error:
        export_flat(tmp_path / "other", tmp_path / "model.flat")
    assert said in str(error.value)
    assert not (tmp_path / "model.flat").exists()


def test_the_command_writes_a_file_and_checks_it(
    word_checkpoint: Path, small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.flat"
    assert main(["flat", str(word_checkpoint), str(out)]) == 0
    written = capsys.readouterr().out
    assert f"{out}  0.4 MB" in written
    assert f"{WORDS.parameters:,}" in written
    assert "working memory" in written
    assert main(["flat", "--check", str(out)]) == 0
    assert capsys.readouterr().out == written
    assert main(["flat", str(small_checkpoint), str(tmp_path / "bpe.flat")]) == 1
    assert "BPE" in capsys.readouterr().err
    assert main(["flat", "--check", str(word_checkpoint / "config.json")]) == 1
    assert "is no flat model file" in capsys.readouterr().err
    assert main(["flat", str(word_checkpoint), str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err
    for wrong in ([], [str(word_checkpoint)], [str(word_checkpoint), str(out), "--check", str(out)]):
        with pytest.raises(SystemExit) as ended:
            main(["flat", *wrong])
        assert ended.value.code == 2


def test_ram_and_what_may_surprise_is_told() -> None:
    assert ram_needed(1) == 129 * MIB
    assert ram_needed(65 * MIB) == 129 * MIB
    assert ram_needed(65 * MIB + 1) == 130 * MIB
    short = random_model(dataclasses.replace(SOUND, seq_len=76), seed=1).facts()
    assert any("clip" in line for line in short)
    assert not any("note" in line for line in random_model(dataclasses.replace(SOUND, seq_len=77), seed=1).facts())
