"""Which modules claim a name: the patterns of all modules, filed so that few of them have to be compared.

Every pattern is filed under one key, and a name has a few dozen keys under which a pattern that matches it can be:

- A pattern without a wildcard is filed under itself.
- In a *family* all patterns begin with the same scheme and have the same small letters in the same order, with other
  characters between them: ``pci:v*d*sv*sd*bc*sc*i*``. Where a name has exactly those letters too, each letter of a
  matching pattern can only stand for the same letter of the name (both have equally many, and order is kept), so their
  fields lie on each other, and what a pattern says of a field without a wildcard, the name says too. A pattern is filed
  under its first such fields, as many as it takes to leave few patterns on a key.
- A pattern for one entry of a list (``of:N*T*CNAMEC*``, ``acpi*:NAME:*``) is filed under the entry.
- Any other is filed under what stands before its first wildcard.

The keys only narrow the search down: what is found under them is compared with :func:`.modalias.matches`.
"""

from __future__ import annotations

import json
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kernel_interface.dictionary import Dictionary
from kernel_interface.modalias import matches, normalised, specificity
from slm.corpus.devices import split_alias

#: How many patterns may share a key before a further field is taken into it; how many make a family.
_FEW, _FAMILY = 8, 32

_WILDCARD = re.compile(rb"[*?\[\\]")
#: A pattern that can belong to a family: a scheme, then letters with fields between them. Its brackets hold no letter.
_LETTERED = re.compile(rb"([a-z0-9_]+:)([a-z](?:[^\[]|\[[^\]a-z]*\])*)", re.DOTALL)
_LETTERS = re.compile(rb"[a-z]+")
_LIST_PATTERN = re.compile(rb"of:N\*T\*C([^*?\[\\]+?)(?:C\*)?|acpi\*:([^:*?\[\\]+):\*", re.DOTALL)
#: So many characters decide at which lengths a name's beginnings are looked for.
_HEAD = 3
_PLAN = b"A plan"
#: Rank among all patterns, whether it names the very id, length of the driver's name and of the pattern; both follow.
_RECORD = struct.Struct("<I?BH")


class Candidate(NamedTuple):
    """A driver that claims a device; ``exact`` when it names the very id, not only its maker or class."""

    driver: str
    pattern: str
    exact: bool


def compile_claims(aliases: Iterable[tuple[str, str]]) -> dict[bytes, bytes]:
    """File (pattern, driver) pairs; return entries for a dictionary, all keys beginning with ``A``.

    A pattern that ``depmod`` would refuse, with half a bracket, is left out.
    """
    filing = _Filing()
    for rank, (_, _, _, pattern, driver) in enumerate(sorted(_ranked(*alias) for alias in set(aliases))):
        if (written := normalised(pattern)) is not None:
            filing.add(written, _record(rank, pattern, written, driver))
    return filing.entries()


def _ranked(pattern: str, driver: str) -> tuple[int, int, int, str, str]:
    """Order claims: the most specific first; among equals by id, pattern and driver, so that the order is fixed."""
    _, vendor, device = split_alias(pattern) or ("", -1, -1)
    return -specificity(pattern), vendor, device, pattern, driver


def _record(rank: int, pattern: str, written: bytes, driver: str) -> bytes:
    ids = split_alias(pattern)
    exact = ids[2] >= 0 if ids else _WILDCARD.search(written) is None or _LIST_PATTERN.fullmatch(written) is not None
    name = driver.encode()
    return _RECORD.pack(rank, exact, len(name), len(written)) + name + written


class _Filing:
    """Finds each pattern's key."""

    def __init__(self) -> None:
        self._filed: dict[bytes, list[bytes]] = defaultdict(list)
        self._families: dict[tuple[bytes, ...], list[tuple[bytes, bytes]]] = defaultdict(list)
        self._beginnings: dict[str, set[int]] = defaultdict(set)

    def add(self, pattern: bytes, record: bytes) -> None:
        if _WILDCARD.search(pattern) is None:
            self._filed[b"A=" + pattern].append(record)
        elif entry := _LIST_PATTERN.fullmatch(pattern):
            self._filed[b"A," + (entry[1] or entry[2])].append(record)
        elif lettered := _LETTERED.fullmatch(pattern):
            self._families[lettered[1], *_LETTERS.findall(lettered[2])].append((pattern, record))
        else:
            self._add_by_beginning(pattern, record)

    def entries(self) -> dict[bytes, bytes]:
        families: list[list[object]] = []
        listings: dict[bytes, bytes] = {}
        for letters, rows in sorted(self._families.items()):
            if len(rows) < _FAMILY:
                for row in rows:
                    self._add_by_beginning(*row)
                continue
            prefix = b"A%d/" % len(families)
            masks, keys = self._add_family(prefix, rows)
            listings[prefix] = b"".join(struct.pack("<H", len(key)) + key for key in sorted(keys))
            families.append([letters[0].decode(), [mark.decode() for mark in letters[1:]], sorted(masks)])
        beginnings = {head: sorted(lengths) for head, lengths in sorted(self._beginnings.items())}
        plan = json.dumps({"families": families, "beginnings": beginnings}).encode()
        return {_PLAN: plan, **listings, **{key: b"".join(records) for key, records in self._filed.items()}}

    def _add_by_beginning(self, pattern: bytes, record: bytes) -> None:
        wildcard = _WILDCARD.search(pattern)
        assert wildcard is not None
        beginning = pattern[: wildcard.start()]
        head = beginning[:_HEAD] if len(beginning) >= _HEAD else b""
        self._beginnings[head.decode("latin-1")].add(len(beginning))
        self._filed[b"A^" + beginning].append(record)

    def _add_family(self, prefix: bytes, rows: list[tuple[bytes, bytes]]) -> tuple[set[tuple[int, ...]], set[bytes]]:
        """File a family's patterns; return the sets of fields that keys are made of, and the keys."""
        masks: set[tuple[int, ...]] = set()
        keys: set[bytes] = set()
        todo = [(0, [(_fixed(pattern), record) for pattern, record in rows])]
        while todo:
            depth, group = todo.pop()
            deeper: dict[tuple[int, bytes], list[tuple[list[tuple[int, bytes]], bytes]]] = defaultdict(list)
            for fixed, record in group:
                if len(fixed) > depth and len(group) > _FEW:
                    deeper[fixed[depth]].append((fixed, record))
                    continue
                mask = tuple(at for at, _ in fixed[:depth])
                key = _family_key(prefix, mask, [text for _, text in fixed[:depth]])
                masks.add(mask)
                keys.add(key)
                self._filed[key].append(record)
            todo += [(depth + 1, members) for members in deeper.values()]
        return masks, keys


def _fixed(pattern: bytes) -> list[tuple[int, bytes]]:
    """Return number and text of the fields without a wildcard."""
    lettered = _LETTERED.fullmatch(pattern)
    assert lettered is not None
    fields = _LETTERS.split(lettered[2])[1:]
    return [(at, text) for at, text in enumerate(fields) if _WILDCARD.search(text) is None]


def _family_key(prefix: bytes, mask: tuple[int, ...], fields: list[bytes]) -> bytes:
    return prefix + b".".join(b"%d" % at for at in mask) + b"/" + b"/".join(fields)


class _Family:
    """A family as a name is tried against it."""

    def __init__(self, number: int, letters: list[str], masks: list[list[int]]) -> None:
        self.prefix = b"A%d/" % number
        self._pattern = re.compile("".join(f"{mark}([^a-z]*)" for mark in letters).encode(), re.DOTALL)
        self._masks = [(_family_key(self.prefix, tuple(mask), []), mask) for mask in masks]

    def keys(self, rest: bytes) -> list[bytes] | None:
        """Return the keys of what follows a name's scheme; None when it has other letters: then all must be tried."""
        found = self._pattern.fullmatch(rest)
        if found is None:
            return None
        fields = found.groups()
        return [key + b"/".join([fields[at] for at in mask]) for key, mask in self._masks]


class Claims:
    """The patterns of a dictionary that :func:`compile_claims` made the entries of."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary
        plan = json.loads(dictionary.get(_PLAN) or b'{"families": [], "beginnings": {}}')
        self._families: dict[bytes, list[_Family]] = defaultdict(list)
        for number, (scheme, letters, masks) in enumerate(plan["families"]):
            self._families[scheme.encode()].append(_Family(number, letters, masks))
        self._beginnings: dict[bytes, list[int]] = {
            head.encode("latin-1"): lengths for head, lengths in plan["beginnings"].items()
        }

    def find(self, name: str) -> list[Candidate]:
        """Return the claims whose patterns match ``name``, the most specific first."""
        written = normalised(name)
        if written is None:
            return []
        get = self._dictionary.get
        found: dict[int, Candidate] = {}
        for key in self._keys(written):
            records = get(key)
            if records is None:
                continue
            at = 0
            while at < len(records):
                rank, exact, driver_size, size = _RECORD.unpack_from(records, at)
                start = at + _RECORD.size + driver_size
                at = start + size
                pattern = records[start:at]
                if matches(pattern, written):
                    driver = records[start - driver_size : start].decode()
                    found[rank] = Candidate(driver, pattern.decode(errors="replace"), exact)
        return [found[rank] for rank in sorted(found)]

    def _keys(self, name: bytes) -> list[bytes]:
        keys = [b"A=" + name]
        for head in (b"", name[:_HEAD]):
            for length in self._beginnings.get(head, ()):
                if length <= len(name):
                    keys.append(b"A^" + name[:length])
        keys += [b"A," + entry for entry in _list_entries(name)]
        scheme, colon, rest = name.partition(b":")
        for family in self._families.get(scheme + colon, ()):
            own = family.keys(rest)
            keys += self._all_keys(family) if own is None else own
        return keys

    def _all_keys(self, family: _Family) -> Iterator[bytes]:
        listing = self._dictionary.get(family.prefix) or b""
        at = 0
        while at < len(listing):
            (size,) = struct.unpack_from("<H", listing, at)
            yield listing[at + 2 : at + 2 + size]
            at += 2 + size


def _list_entries(name: bytes) -> set[bytes]:
    """Return what may be an entry of a name that is a list; of a device tree's, a C may be part of an entry too."""
    if name.startswith(b"of:N"):
        cuts = [at for at in range(len(name)) if name[at : at + 1] == b"C"]
        return {name[start + 1 : end] for start in cuts for end in (*cuts, len(name)) if end > start + 1}
    return set(name.split(b":")[1:-1]) if name.startswith(b"acpi") else set()
