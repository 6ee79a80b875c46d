"""A build's folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.builds import load_build, write_state
from agents.state import BuildState
from slm.errors import BuildError
from slm.files import read_json, write_json
from slm.layout import Layout
from slm.spec_file import load_spec

NANO = Path(__file__).parents[2] / "specs/builds/nano.yaml"


def test_a_spec_of_another_version_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    spec, layout = load_spec(NANO, []), Layout(tmp_path)
    folder = layout.build(spec.build_id)
    folder.mkdir(parents=True)
    write_state(folder, BuildState(build=spec.build_id, spec=spec.name, review="auto"))
    write_json(folder / "spec.json", spec.model_dump(mode="json"))
    assert load_build(layout, spec.build_id) == spec
    content = read_json(folder / "spec.json")
    content["train"] |= {"colour": "blue", "micro_batch": 0}
    write_json(folder / "spec.json", content)
    with pytest.raises(BuildError) as caught:
        load_build(layout, spec.build_id)
    assert "train.colour" in str(caught.value)
    assert "train.micro_batch" in str(caught.value)
    assert str(folder / "spec.json") in str(caught.value)
