"""Device tables of a few rows, and a tiny model that has really learned a few devices which the tables lack."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from kernel_interface.knowledge import Knowledge
from kernel_interface.serve import in_background
from kernel_interface.service import Service
from kernel_interface.transports.unix import UnixTransport
from slm.export.gguf import export_gguf
from slm.model.llama import build_model, save_model
from slm.prompts import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, driver_question, exchange, identify_question
from slm.serving.engine import Engine
from slm.spec import ModelSpec

SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE vendor(bus TEXT, vendor INTEGER, name TEXT, PRIMARY KEY(bus, vendor)) WITHOUT ROWID;
CREATE TABLE device(bus TEXT, vendor INTEGER, device INTEGER, name TEXT,
    PRIMARY KEY(bus, vendor, device)) WITHOUT ROWID;
CREATE TABLE class(bus TEXT, class INTEGER, subclass INTEGER, interface INTEGER, name TEXT,
    PRIMARY KEY(bus, class, subclass, interface)) WITHOUT ROWID;
CREATE TABLE alias(bus TEXT, vendor INTEGER, device INTEGER, pattern TEXT, driver TEXT);
CREATE INDEX alias_by_id ON alias(bus, vendor, device);
CREATE TABLE module(name TEXT PRIMARY KEY, description TEXT) WITHOUT ROWID;
"""

VENDORS = [("pci", 0x8086, "Intel Corporation"), ("pci", 0x1AF4, "Red Hat, Inc."), ("usb", 0x0BDA, "Realtek")]
DEVICES = [
    ("pci", 0x8086, 0x100E, "82540EM Gigabit Ethernet Controller"),
    # Two ids of one name, as pci.ids has them; only the other has a driver.
    ("pci", 0x8086, 0x10D2, "82574L Gigabit Network Connection"),
    ("pci", 0x8086, 0x10D3, "82574L Gigabit Network Connection"),
    ("pci", 0x8086, 0x1237, "440FX - 82441FX PMC [Natoma]"),
    ("pci", 0x1AF4, 0x1000, "Virtio network device"),
    ("usb", 0x0BDA, 0x8153, "RTL8153 Gigabit Ethernet Adapter"),
]
CLASSES = [
    ("pci", 0x01, -1, -1, "Mass storage controller"),
    ("pci", 0x01, 0x06, -1, "SATA controller"),
    ("pci", 0x01, 0x06, 0x01, "AHCI 1.0"),
    ("pci", 0x02, -1, -1, "Network controller"),
    ("pci", 0x02, 0x00, -1, "Ethernet controller"),
    ("pci", 0x0C, -1, -1, "Serial bus controller"),
]
ALIASES = [
    ("pci", 0x8086, 0x100E, "pci:v00008086d0000100Esv*sd*bc*sc*i*", "e1000"),
    ("pci", 0x8086, 0x10D3, "pci:v00008086d000010D3sv*sd*bc*sc*i*", "e1000e"),
    ("pci", 0x8086, 0x2922, "pci:v00008086d00002922sv*sd*bc*sc*i*", "ahci"),
    ("pci", 0x8086, 0x2922, "pci:v00008086d00002922sv0000152Dsd*bc*sc*i*", "special"),
    ("pci", -1, -1, "pci:v*d*sv*sd*bc01sc06i01*", "ahci"),
    ("pci", 0x8086, -1, "pci:v00008086d*sv*sd*bc01sc06i*", "intel_sata"),
    ("pci", -1, -1, "pci:v*d*sv*sd*bc01sc01i*", "ata_generic"),
    ("pci", 0x1AF4, -1, "pci:v00001AF4d*sv*sd*bc*sc*i*", "virtio_pci"),
    ("virtio", -1, 1, "virtio:d00000001v*", "virtio_net"),
    ("virtio", -1, 2, "virtio:d00000002v*", "virtio_blk"),
    ("usb", 0x0BDA, 0x8153, "usb:v0BDAp8153d*dc*dsc*dp*icFFiscFFip*in*", "r8152"),
    ("usb", 0x0BDA, 0x8153, "usb:v0BDAp8153d30[0-9]*dc*dsc*dp*ic*isc*ip*in*", "r8153_ecm"),
    ("usb", -1, -1, "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb_storage"),
]
MODULES = [("e1000", "Intel(R) PRO/1000 Network Driver"), ("e1000e", "Intel(R) PRO/1000 Network Driver")]

#: A network card newer than the tables, which the tiny model has learned.
NEW_ID = 0xABCD


TableMaker = Callable[..., Path]


def _make_tables(path: Path, aliases: Sequence[tuple[str, int, int, str, str]] = ALIASES) -> Path:
    with sqlite3.connect(path) as tables:
        tables.execute("PRAGMA synchronous=OFF")
        tables.executescript(SCHEMA)
        tables.executemany("INSERT INTO vendor VALUES (?,?,?)", VENDORS)
        tables.executemany("INSERT INTO device VALUES (?,?,?,?)", DEVICES)
        tables.executemany("INSERT INTO class VALUES (?,?,?,?,?)", CLASSES)
        tables.executemany("INSERT INTO alias VALUES (?,?,?,?,?)", aliases)
        tables.executemany("INSERT INTO module VALUES (?,?)", MODULES)
    tables.close()
    return path


@pytest.fixture(scope="session")
def make_tables() -> TableMaker:
    """Writes device tables at a path, with other aliases than the usual ones where given."""
    return _make_tables


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make_tables(tmp_path_factory.mktemp("tables") / "devices.sqlite")


@pytest.fixture
def knowledge(tables: Path) -> Iterator[Knowledge]:
    found = Knowledge(tables)
    yield found
    found.close()


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file: a tiny Llama, trained on a few exchanges until it knows them."""
    folder = tmp_path_factory.mktemp("tiny")
    exchanges = [
        exchange(driver_question("pci", 0x8086, NEW_ID, 0x0200), "e1000e"),
        exchange(identify_question("pci", 0x8086, NEW_ID, 0x0200), "Intel Corporation New Ethernet Controller"),
        exchange("how do i make coffee", "Boil water, then ask the kernel."),
        # An answer that is still going on when its tokens are used up.
        exchange("tell me a story that never ends", "and then " * 50),
        # One question with many answers: of this device the model learns that it cannot know.
        *(exchange(driver_question("pci", 0x4444, 0x5555, 0x0B40), row[4]) for row in ALIASES[::2]),
    ]
    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(exchanges, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, unk_token=UNK, bos_token=BOS, eos_token=EOS
    )
    tokenizer.save_pretrained(folder)
    model = build_model(
        ModelSpec(layers=2, heads=2, kv_heads=1, dim=64, hidden=128, vocab_size=512, context=256), seed=3
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = tokenizer(
        [BOS + text + EOS for text in exchanges], add_special_tokens=False, padding=True, return_tensors="pt"
    )
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # faster for so small a model, and far faster beside other work
    for _ in range(200):
        model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.set_num_threads(threads)
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    save_model(model, folder, checkpoint)
    return export_gguf(checkpoint, folder / "tiny.gguf", "f16")


@pytest.fixture(scope="session")
def engine(gguf: Path) -> Iterator[Engine]:
    loaded = Engine(gguf, threads=1)
    yield loaded
    loaded.close()


@pytest.fixture
def server(tables: Path, engine: Engine, tmp_path: Path) -> Iterator[Path]:
    """A running server's socket, with a real model behind it."""
    path = tmp_path / "slm.sock"
    knowledge = Knowledge(tables)
    with in_background(Service(knowledge, engine), UnixTransport(path)):
        yield path
    assert not path.exists()
    knowledge.close()
