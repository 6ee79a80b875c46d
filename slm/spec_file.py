"""Reading a build spec: YAML, overrides, and every problem of it in words.

Unknown keys are refused with the nearest known one, and all problems are reported at once, each with its path, the
value found and what is allowed. ``--set a.b=c`` overrides are applied to the parsed file before the check.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from slm.errors import SpecError
from slm.spec import BuildSpec, Origin


class _StrictLoader(yaml.SafeLoader):
    """YAML without two equal keys in one mapping, of which plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, or refuse it."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key} stands twice", key_node.start_mark)
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


#: In a spec's ``corpus``: a YAML file, relative to the spec, whose keys count where the spec does not say otherwise.
BASE = "base"


def load_spec(path: Path, overrides: Sequence[str] = ()) -> BuildSpec:
    """Read, override and check a build spec.

    :param overrides: ``a.b=value`` settings; the value is read as YAML.
    :raises SpecError: naming every problem found.
    """
    path = Path(path)
    content = _read(path, "build spec")
    corpus = content.get("corpus") if isinstance(content, dict) else None
    if isinstance(corpus, dict) and BASE in corpus:
        shared = path.parent / str(corpus.pop(BASE))
        keys = _read(shared, "corpus file")
        if not isinstance(keys, dict):
            raise SpecError(f"The corpus file {shared} of {path} holds {_kind(keys)}, not a mapping of keys.")
        content["corpus"] = {**keys, **corpus}
    return parse_spec(content, overrides, where=str(path))


def _read(path: Path, what: str) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except FileNotFoundError as error:
        known = ", ".join(sorted(str(p) for p in Path("specs/builds").glob("*.yaml")))
        raise SpecError(
            f"There is no {what} at {path}.", f"The ones that come with us: {known}" if known else ""
        ) from error
    except IsADirectoryError as error:
        found = ", ".join(sorted(str(each) for each in path.glob("*.yaml")))
        raise SpecError(f"{path} is a folder, not a {what}.", f"In it: {found}" if found else "") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"The {what} {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"The {what} {path} is not valid YAML: {error}") from error


def parse_spec(content: Any, overrides: Sequence[str] = (), where: str = "the spec") -> BuildSpec:
    """Check a parsed spec (see :func:`load_spec`)."""
    if not isinstance(content, dict):
        raise SpecError(f"{where} holds {_kind(content)}, not a mapping of keys.")
    for override in overrides:
        _apply(content, override)
    try:
        return BuildSpec.model_validate(content)
    except ValidationError as error:
        problems = [_describe(item, content) for item in error.errors()]
        unique = list(dict.fromkeys(problems))
        count = "1 problem" if len(unique) == 1 else f"{len(unique)} problems"
        raise SpecError(f"{where} has {count}:\n" + "\n".join(f"  - {text}" for text in unique)) from error


def _apply(content: dict[str, Any], override: str) -> None:
    path, separator, value = override.partition("=")
    keys = path.split(".")
    if not separator or not all(keys):
        raise SpecError(f"--set {override} is not of the form a.b=value.")
    node: Any = content
    for key in keys[:-1]:
        if isinstance(node, dict):
            node = node.setdefault(key, {})
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            raise SpecError(f"--set {override}: {key} is no part of {_kind(node)}.")
    last = keys[-1]
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise SpecError(f"--set {override}: the value is not valid YAML.") from error
    if isinstance(parsed, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", parsed):
        parsed = float(parsed)  # YAML 1.1 reads 1e-3 as text
    if isinstance(node, dict):
        node[last] = parsed
    elif isinstance(node, list) and last.isdigit() and int(last) < len(node):
        node[int(last)] = parsed
    else:
        raise SpecError(f"--set {override}: {last} is no part of {_kind(node)}.")


def _describe(error: Any, content: Any) -> str:
    """Say one pydantic error as a person would: path, what was found, what is allowed."""
    location = [part for part in error["loc"] if not _is_union_tag(part)]
    path = ".".join(str(part) for part in location)
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"{path}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{path}: missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    path = path.removesuffix(".[key]")  # the last part is the key that is wrong
    found = error.get("input")
    shown = f" (found {found!r})" if isinstance(found, str | int | float | bool) or found is None else ""
    return f"{path or 'the whole'}: {message}{shown}"


def _is_union_tag(part: Any) -> bool:
    return isinstance(part, str) and part in {member.__name__ for member in get_args(Origin)}


def _known_keys(location: Sequence[Any]) -> list[str]:
    """The keys allowed at ``location``; those of every alternative where there are several."""
    types: list[Any] = [BuildSpec]
    for part in location:
        following: list[Any] = []
        for kind in types:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                if part in kind.model_fields:
                    following += _members(kind.model_fields[part].annotation)
            elif get_origin(kind) is list and isinstance(part, int):
                following += _members(get_args(kind)[0])
        types = following
    return [
        key for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel) for key in kind.model_fields
    ]


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if isinstance(annotation, type) or get_origin(annotation) is list:
        return [annotation]
    return [member for option in get_args(annotation) for member in _members(option)]


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return f"the value {value!r}"
