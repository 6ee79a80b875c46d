from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slm.errors import SpecError
from slm.spec import BuildSpec
from slm.spec_file import load_spec, parse_spec

SHIPPED = sorted(Path("specs/builds").glob("*.yaml"))
SMALL: dict[str, Any] = {
    "name": "x",
    "model": {
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "dim": 64,
        "hidden": 160,
        "vocab_size": 1024,
        "context": 64,
    },
    "corpus": {
        "name": "x",
        "tokens": 100_000,
        "shares": {"os_code": 1.0},
        "sources": [{"bucket": "os_code", "origin": {"folder": "a"}, "extract": "text"}],
        "devices": {"kernel": {"folder": "b"}, "exchanges": 0},
    },
    "train": {"tokens": 10_000, "micro_batch": 4},
    "gates": {"perplexity": 45},
}


def small(*overrides: str) -> BuildSpec:
    return parse_spec(copy.deepcopy(SMALL), overrides)


def problems(*overrides: str) -> str:
    with pytest.raises(SpecError) as found:
        small(*overrides)
    return str(found.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_spec_reads_and_names_itself(path: Path) -> None:
    spec = load_spec(path)
    assert spec.name == path.stem
    assert abs(sum(spec.corpus.shares.values()) - 1) < 1e-9


def test_an_unknown_key_is_refused_with_the_nearest_known_one() -> None:
    assert "train.lerning_rate: unknown key; did you mean learning_rate?" in problems("train.lerning_rate=1")
    assert "corpus.sources.0.extrct: unknown key; did you mean extract?" in problems("corpus.sources.0.extrct=man")
    assert "guards.max_gradient_nrm: unknown key; did you mean max_gradient_norm?" in problems(
        "train.guards.max_gradient_nrm=1"
    )


def test_all_problems_are_said_at_once() -> None:
    text = problems("model.layers=0", "train.tokens=many", "gates.perplexity=0.5", "review=perhaps", "zzz=1")
    for part in ("5 problems", "model.layers", "train.tokens", "gates.perplexity", "review", "zzz: unknown key"):
        assert part in text
    assert "found 'many'" in text


def test_a_shape_that_cannot_be_is_refused() -> None:
    assert "must divide into" in problems("model.heads=3")
    assert "multiple of kv_heads" in problems("model.kv_heads=3")
    assert "add up to 0.5" in problems("corpus.shares={os_code: 0.5}")
    assert "halves the context, and 63 is odd" in problems("model.context=63", "train.context_warmup=0.5")
    assert "less than 1" in problems("train.context_warmup=1")
    assert "no source feeds hardware" in problems("corpus.shares={os_code: 0.5, hardware: 0.5}")


def test_a_bucket_with_sources_has_a_share_if_only_of_zero() -> None:
    more = "corpus.devices.exchanges=10"
    assert "shares leave out instructions" in problems(more)
    assert small(more, "corpus.shares={os_code: 1, instructions: 0}").corpus.shares["instructions"] == 0


def test_overrides_reach_everywhere_and_read_yaml() -> None:
    spec = small(
        "train.learning_rate=1e-3", "corpus.sources.0.include=['*.c']", "review=manual", "train.betas=[0.8, 0.9]"
    )
    assert spec.train.learning_rate == 1e-3
    assert spec.corpus.sources[0].include == ["*.c"]
    assert spec.review == "manual"
    assert spec.train.betas == (0.8, 0.9)


@pytest.mark.parametrize("override", ["a", "=1", "corpus.sources.7.extract=man", "name.x=1", "train.tokens=[", ".=1"])
def test_an_override_that_fits_nowhere_is_refused(override: str) -> None:
    with pytest.raises(SpecError, match="--set"):
        small(override)


def test_the_build_is_the_specs_content() -> None:
    assert small().build_id == small().build_id
    assert small("train.seed=1").build_id != small().build_id
    assert small("review=manual").build_id == small().build_id


def test_what_comes_after_a_training_names_another_build_of_the_same_training() -> None:
    plain, asked = small(), small("benchmark={}")
    taught = small("benchmark={}", "teach.tokens=5000", "gates.benchmark={intent/top1: 0.8}")
    assert len({plain.build_id, asked.build_id, taught.build_id}) == 3
    assert plain.build_id == plain.training_id == asked.training_id == taught.training_id
    assert small("benchmark={}", "train.seed=1").training_id != plain.training_id


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("gates.benchmark={os/average: 0.8}", r"gates\.benchmark\.os/average"),
        ("gates.benchmark={identify/top3: 0.8}", r"gates\.benchmark\.identify/top3"),
        ("teach={}", "teach need a benchmark"),
        ("gates.benchmark={intent/top1: 0.8}", r"gates\.benchmark need a benchmark"),
        ("gates.benchmark={intent/top9: 0.8}", r"gates\.benchmark\.intent/top9: .* did you mean intent/top3\?"),
        ("gates.benchmark={drvr_select/pci newer/top3: 0.8}", r"did you mean driver_select/pci newer/top3\?"),
        ("gates.benchmark={os_avrage: 0.8}", r"did you mean os_average\?"),
        ("gates.benchmark={wisdom: 0.8}", r"wisdom: no figure of the benchmark; known are os_average, driver_select"),
        ("gates.benchmark={intent/top1: 1.8}", r"gates\.benchmark\.intent/top1"),
        ("teach.token=5", "did you mean tokens"),
    ],
)
def test_a_benchmark_that_is_not_there_or_has_no_such_figure(override: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        small(override)


def test_what_a_spec_does_not_say_of_iterations_leaves_its_name() -> None:
    path = Path("specs/builds/nano.yaml")
    nano = load_spec(path)
    assert (nano.build_id, nano.training_id) == ("nano-3722fcaf", "nano-f99728e8")
    said = ["iterate.max_iterations=1", "iterate.bounds.share=0.1", "iterate.budget={}"]
    assert load_spec(path, said).build_id == nano.build_id
    assert load_spec(path, ["iterate.max_iterations=2"]).build_id != nano.build_id
    assert "measured" not in nano.model_dump(mode="json")["corpus"]


def test_a_search_is_part_of_a_builds_name_and_not_of_its_trainings() -> None:
    path = Path("specs/builds/nano.yaml")
    nano, searching = load_spec(path), load_spec(path, ["search={}"])
    assert searching.build_id != nano.build_id and searching.training_id == nano.training_id
    assert load_spec(path, ["search.trials=5"]).build_id != searching.build_id
    assert (nano.trial_tokens, searching.trial_tokens) == (0, nano.train.tokens // 100)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.trails=5"], "search.trails: unknown key; did you mean trials"),
        (["search.mix={os_code: [0.1, 0.5]}"], "mix: a mix is not searched for"),
        (["search.shares={}"], "shares: a mix is not searched for"),
        (["search.learning_rate=[2, 20]"], r"search\.learning_rate"),
        (["search.learning_rate=[0.1, .inf]"], r"search\.learning_rate"),
        (["search.learning_rate=[1, 1]"], "nothing to search for"),
        (["search.batch=[4, 5]", "train.workers=2"], r"search\.batch 5 does not divide among train\.workers=2"),
        (["search.tokens=10001"], r"search\.tokens 10,001 is more than train\.tokens 10,000"),
        (["search={}", "train.tokens=99"], r"search\.tokens"),
        (["search.tokens=1"], r"search\.tokens 1 is less than 5 steps, which are 1,280"),
        (["search.reduction=1"], r"search\.reduction"),
    ],
)
def test_a_search_that_cannot_be_made(overrides: list[str], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        small(*overrides)


@pytest.mark.parametrize(
    "override",
    [
        "search={}",
        "search.batch=[4, 8]",
        "teach.replay=0",
        "teach.tokens=5",
        "benchmark.most=3",
        "iterate.max_iterations=2",
    ],
)
def test_a_spec_survives_the_journey_to_an_agent(override: str) -> None:
    spec = small("benchmark={}", "teach={}", override)
    assert BuildSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_files_that_are_no_spec(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no build spec"):
        load_spec(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(SpecError, match="not valid YAML"):
        load_spec(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"cannot be read|not valid YAML"):
        load_spec(tmp_path / "b.yaml")
    (tmp_path / "d.yaml").write_text("train: {}\nname: x\ntrain: {}\n")
    with pytest.raises(SpecError, match="the key train stands twice"):
        load_spec(tmp_path / "d.yaml")
    (tmp_path / "c.yaml").write_text("- 1")
    with pytest.raises(SpecError, match="not a mapping"):
        load_spec(tmp_path / "c.yaml")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.sampled_from(["model", "corpus", "train", "gates", "review", "export"]), json_like)
def test_whatever_stands_in_a_section_it_is_a_spec_or_a_spec_error(section: str, value: Any) -> None:
    content = copy.deepcopy(SMALL)
    content[section] = value
    try:
        parse_spec(content)
    except SpecError as error:
        assert section in str(error)


def test_a_specs_yaml_round_trip() -> None:
    spec = small()
    assert parse_spec(yaml.safe_load(yaml.safe_dump(spec.model_dump(mode="json")))) == spec


def test_a_corpus_may_stand_on_a_shared_file(tmp_path: Path) -> None:
    content = copy.deepcopy(SMALL)
    shared = {key: content["corpus"].pop(key) for key in ("sources", "devices")}
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora/shared.yaml").write_text(yaml.safe_dump({**shared, "seed": 7, "max_repetition": 2}))
    content["corpus"].update({"base": "corpora/shared.yaml", "max_repetition": 3})
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    spec = load_spec(tmp_path / "a.yaml")
    assert (spec.corpus.seed, spec.corpus.max_repetition) == (7, 3)
    assert len(spec.corpus.sources) == len(shared["sources"])
    (tmp_path / "corpora/shared.yaml").write_text("- 1")
    with pytest.raises(SpecError, match=r"shared\.yaml .* holds a list"):
        load_spec(tmp_path / "a.yaml")
    (tmp_path / "corpora/shared.yaml").unlink()
    with pytest.raises(SpecError, match=r"no corpus file at .*shared\.yaml"):
        load_spec(tmp_path / "a.yaml")


def test_sources_of_other_machines_are_left_out(tmp_path: Path) -> None:
    content = copy.deepcopy(SMALL)
    content["corpus"]["sources"] += [{**content["corpus"]["sources"][0], "arch": ["riscv64"]}]
    assert len(parse_spec(content).corpus.drawn) == len(content["corpus"]["sources"]) - 1
    content["corpus"]["arch"] = "riscv64"
    assert len(parse_spec(content).corpus.drawn) == len(content["corpus"]["sources"])


def test_a_folder_is_no_spec_and_those_in_it_are_named(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("name: small")
    with pytest.raises(SpecError, match=r"is a folder, not a build spec.") as refused:
        load_spec(tmp_path)
    assert str(tmp_path / "small.yaml") in str(refused.value)
