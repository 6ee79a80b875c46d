"""Our decoder in C against transformers, and against files that nobody should trust."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from kernel_interface import wire
from slm.errors import ArtefactError
from slm.export.flat import export_flat
from slm.export.flat_file import FlatModel, read_flat, write_flat
from slm.export.flat_limits import Shape
from tests.flat import ANSWERS, as_llama, greedy, prompt_ids, random_model
from tests.needs import need, need_program

SOURCE = Path(wire.__file__).parent / "c" / "auton_flat.c"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

#: fp32 sums in another order move these logits, which are some tens, by less than 1e-4.
MARGIN = 1e-3

SHAPES = [
    Shape(dim=16, hidden=24, layers=2, heads=2, kv_heads=1, vocab=40, seq_len=96),
    Shape(dim=48, hidden=80, layers=3, heads=6, kv_heads=2, vocab=200, seq_len=300),
    Shape(dim=32, hidden=64, layers=1, heads=4, kv_heads=4, vocab=60, seq_len=80),
    Shape(dim=24, hidden=21, layers=4, heads=2, kv_heads=2, vocab=512, seq_len=77),
    Shape(dim=30, hidden=7, layers=2, heads=3, kv_heads=3, vocab=9, seq_len=1000),
    Shape(dim=64, hidden=96, layers=16, heads=8, kv_heads=1, vocab=100, seq_len=128),
    Shape(dim=2, hidden=40, layers=2, heads=1, kv_heads=1, vocab=30, seq_len=77),
]
LINES = [
    b"w4",
    b"w5 w8 w6 w7",
    b"w7  w8 nothing w5",
    b" w4 W4 ",
    b"   ",
    b"w4\tw5 w6\xff\xfe w8",
    b"<bos> w6 <eos> <pad>x <pad>",
    b"",
    b" ".join(b"w%d" % (4 + i % 31) for i in range(64)),
    b" ".join(b"w%d" % (4 + i % 29) for i in range(90)),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoder as its first lines say to build it."""
    path = tmp_path_factory.mktemp("c") / "auton_flat"
    flags = ["-std=c11", "-O2", "-Wpedantic", *WARNINGS]
    subprocess.run([need_program("gcc", "gcc"), *flags, "-o", path, SOURCE, "-lm"], check=True)
    return path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The decoder with every access to memory and every undefined operation watched."""
    path = tmp_path_factory.mktemp("c") / "auton_flat"
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    gcc = need_program("gcc", "gcc")
    nothing = subprocess.run([gcc, *flags, "-xc", "-", "-o", path], input=b"int main(void){return 0;}")
    need(nothing.returncode == 0, "gcc's sanitizers (packages libasan8, libubsan1)")
    subprocess.run([gcc, "-std=c11", "-O1", "-g", *WARNINGS, *flags, "-o", path, SOURCE, "-lm"], check=True)
    return path


def run(program: Path, *arguments: str | bytes | Path, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, *arguments], input=lines, capture_output=True, timeout=60)


def as_ids(prompt: list[int], answer: list[int]) -> bytes:
    return " ".join([*map(str, prompt), "->", *map(str, answer)]).encode() + b"\n"


def test_it_builds_as_the_readme_says(tmp_path: Path) -> None:
    flags = ["-O2", *WARNINGS]
    subprocess.run([need_program("gcc", "gcc"), *flags, "-o", tmp_path / "auton_flat", SOURCE, "-lm"], check=True)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.layers}x{shape.dim}")
def test_its_tokens_are_transformers_greedy_ones(program: Path, watched: Path, tmp_path: Path, shape: Shape) -> None:
    model = random_model(shape, seed=4, gain=3.0)
    path, llama = write_flat(model, tmp_path / "model.flat"), as_llama(model)
    expected, answers, margins = b"", [], []
    for line in LINES:
        prompt = prompt_ids(model.tokens, line)
        answer, margin = greedy(llama, prompt)
        answers.append(answer)
        margins.append(margin)
        expected += as_ids(prompt, answer)
    assert min(margins) > MARGIN
    assert len(set(map(tuple, answers))) > len(LINES) / 2, "the answers must depend on the prompt"
    for decoder in (program, watched):
        done = run(decoder, "--ids", path, lines=b"\n".join(LINES) + b"\n")
        assert (done.returncode, done.stderr, done.stdout) == (0, b"", expected)


def test_an_answer_ends_at_pad_and_at_eos(program: Path, tmp_path: Path) -> None:
    ends = []
    for seed in range(12):
        model = random_model(SHAPES[4], seed, gain=3.0)
        llama, path = as_llama(model), write_flat(model, tmp_path / "model.flat")
        for line in LINES[:4]:
            prompt = prompt_ids(model.tokens, line)
            answer, margin = greedy(llama, prompt)
            if margin > MARGIN:
                assert run(program, "--ids", path, line).stdout == as_ids(prompt, answer)
                if len(answer) < 12:
                    ends.append(int(llama(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, -1].argmax()))
    assert min(ends.count(0), ends.count(3)) > 2
    assert ends.count(0) + ends.count(3) == len(ends)


def test_a_trained_model_answers_in_words(program: Path, word_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.flat"
    model = export_flat(word_checkpoint, path)
    llama = as_llama(model)
    for question, answer in ANSWERS.items():
        done = run(program, path, question)
        assert (done.returncode, done.stderr, done.stdout.decode()) == (0, b"", " ".join(answer) + "\n")
    told = run(program, path, lines="\r\n".join(ANSWERS).encode()).stdout.decode()
    assert told.splitlines() == [" ".join(answer) for answer in ANSWERS.values()]
    more = [
        b"which driver for 8086:ffff",
        b"Which driver",
        b"what  is",
        b"mount " * 70,
        b"e1000e e1000",
        b"story a tell",
    ]
    for line in more:
        prompt = prompt_ids(model.tokens, line)
        tokens, margin = greedy(llama, prompt)
        assert margin > MARGIN
        assert run(program, "--ids", path, line).stdout == as_ids(prompt, tokens)


@pytest.mark.parametrize("seq_len", [1, 2, 6, 16, 70, 76])
def test_a_short_context_ends_prompt_and_answer(program: Path, watched: Path, tmp_path: Path, seq_len: int) -> None:
    model = random_model(Shape(16, 24, 2, 2, 1, 40, seq_len), seed=7, gain=3.0)
    path, llama = write_flat(model, tmp_path / "model.flat"), as_llama(model)
    for line in (LINES[1], LINES[-1]):
        prompt = prompt_ids(model.tokens, line)[: seq_len - 1]  # the kernel never uses the last position
        answer, margin = greedy(llama, prompt)
        assert margin > MARGIN
        expected = as_ids(prompt, answer[: seq_len - 1 - len(prompt)])
        for decoder in (program, watched):
            done = run(decoder, "--ids", path, line)
            assert (done.stderr, done.stdout) == (b"", expected)


def test_wrong_command_lines_and_what_cannot_be_read(program: Path, watched: Path, tmp_path: Path) -> None:
    for wrong in ([], ["--ids"], ["--what", "x"], ["a", "b", "c"]):
        done = run(program, *wrong)
        assert (done.returncode, done.stdout, done.stderr.split()[0]) == (2, b"", b"usage:")
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "none", b"No such file"),
        (tmp_path, b"is no file"),
        (tmp_path / "pipe", b"no file"),
    ):
        for decoder in (program, watched):
            done = run(decoder, path, "x")
            assert (done.returncode, done.stdout) == (1, b"")
            assert said in done.stderr


def test_words_are_joined_by_one_space_and_empty_ones_at_the_beginning_by_none(program: Path, tmp_path: Path) -> None:
    model = random_model(SHAPES[0], seed=4, gain=3.0)
    path = tmp_path / "model.flat"
    prompt = prompt_ids(model.tokens, LINES[1])
    answer, _ = greedy(as_llama(model), prompt)
    assert answer[:2] == [answer[0]] * 2, "more than one is empty at the beginning"
    assert answer.count(answer[0]) < 10
    tokens = [
        token if index in (*range(4), *prompt) else b"(%d \xff)" % index for index, token in enumerate(model.tokens)
    ]
    tokens[answer[0]] = b""
    write_flat(FlatModel(model.shape, model.weights, tokens, model.scores), path)
    said = [tokens[index] for index in answer]
    while said[0] == b"":
        del said[0]
    assert run(program, path, LINES[1]).stdout == b" ".join(said) + b"\n"


def test_an_answer_that_cannot_be_written_is_told(program: Path, tmp_path: Path) -> None:
    path = write_flat(random_model(SHAPES[0], seed=4), tmp_path / "model.flat")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program, path, "w5"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"cannot be written" in done.stderr


def test_numbers_that_overflow_are_told(watched: Path, tmp_path: Path) -> None:
    model = random_model(SHAPES[0], seed=4)
    weights = {**model.weights, "model.norm.weight": np.full(16, 3e38, dtype=np.float32)}
    path = write_flat(FlatModel(model.shape, weights, model.tokens, model.scores), tmp_path / "model.flat")
    done = run(watched, path, "w5")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no number" in done.stderr


SMALL = Shape(dim=4, hidden=4, layers=1, heads=2, kv_heads=1, vocab=6, seq_len=16)


def _damaged(content: bytes, luck: random.Random) -> bytes:
    """Change a sound file as disks, networks and people do."""
    changed = bytearray(content)
    tokens_at = 40 + 4 * SMALL.parameters
    kind = luck.randrange(7)
    if kind == 0:
        return bytes(changed[: luck.randrange(len(changed))])
    if kind == 1:
        return bytes(changed) + luck.randbytes(luck.choice([1, 4, 300, 5000]))
    if kind == 2:
        return luck.randbytes(luck.randrange(400))
    if kind == 3:
        place = 4 * luck.randrange(10)
        value = luck.choice([0, 1, 2, 3, 5, 7, 16, 17, 255, 256, 32_000, 32_001, 2**16, 2**31, 2**32 - 1])
        struct.pack_into("<I", changed, place, value)
    elif kind == 4:
        for _ in range(luck.randrange(1, 4)):
            changed[luck.randrange(len(changed))] ^= 1 << luck.randrange(8)
    elif kind == 5:
        changed[luck.randrange(tokens_at, len(changed))] = luck.choice([0, 1, 4, 6, 127, 255])
    else:
        at = luck.randrange(len(changed))
        del changed[at : at + luck.randrange(1, 9)]
    return bytes(changed)


def test_damaged_files_are_refused_and_never_believed(watched: Path, tmp_path: Path) -> None:
    """The decoder, watched, refuses what the reader in Python refuses, and nothing else."""
    path = tmp_path / "model.flat"
    content = write_flat(random_model(SMALL, seed=1), path).read_bytes()
    luck = random.Random(5)
    refused = 0
    for number in range(250):
        path.write_bytes(_damaged(content, luck))
        try:
            read_flat(path)
            sound = True
        except ArtefactError:
            sound = False
        done = run(watched, "--ids", path, "w4 w5  <bos> x")
        overflowed = done.stderr == b"error: the model computes something that is no number\n"
        assert done.returncode in (0, 1), (number, done.stderr)
        assert (done.returncode == 0) == (done.stderr == b""), (number, done.stderr)
        assert (done.returncode == 0 or overflowed) == sound, (number, done.stderr)
        assert done.stderr.count(b"\n") <= 1, (number, done.stderr)
        refused += not sound
    assert 150 < refused < 250
