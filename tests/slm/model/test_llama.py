from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from slm.errors import ArtefactError
from slm.model.files import MODEL_FILES
from slm.model.llama import build_model, config_for, load_model, save_model
from slm.spec import ModelSpec
from slm.spec_file import load_spec

SPECS = sorted(Path("specs/builds").glob("*.yaml"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_parameters_are_those_that_the_spec_counts(path: Path) -> None:
    spec = load_spec(path).model
    with torch.device("meta"):
        model = LlamaForCausalLM(config_for(spec))
    assert sum(p.numel() for p in model.parameters()) == spec.parameters


@pytest.mark.parametrize(
    ("tier", "low", "high"),
    [
        ("tiny", 8.5e6, 11.5e6),
        ("small", 42.5e6, 57.5e6),
        ("medium", 127.5e6, 172.5e6),
        ("large", 425e6, 575e6),
    ],
)
def test_tiers_have_the_size_of_their_name(tier: str, low: float, high: float) -> None:
    assert low <= load_spec(Path(f"specs/builds/{tier}.yaml")).model.parameters <= high


def test_a_seed_decides_every_weight_and_leaves_the_global_generator_alone(small_spec: ModelSpec) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = build_model(small_spec, seed=3).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(6)
    again, other = build_model(small_spec, seed=3).state_dict(), build_model(small_spec, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_initial_loss_is_about_uniform(small_spec: ModelSpec) -> None:
    ids = torch.randint(6, small_spec.vocab_size, (8, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = build_model(small_spec, seed=0)(input_ids=ids, labels=ids).loss
    assert abs(float(loss) - torch.tensor(float(small_spec.vocab_size)).log()) < 0.2


def test_residual_projections_start_smaller(small_spec: ModelSpec) -> None:
    weights = build_model(small_spec, seed=0).state_dict()
    ratio = weights["model.layers.0.mlp.down_proj.weight"].std() / weights["model.layers.0.mlp.up_proj.weight"].std()
    assert float(ratio) == pytest.approx((2 * small_spec.layers) ** -0.5, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_model_loads_back_as_it_was(
    small_spec: ModelSpec, small_corpus: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    model = build_model(small_spec, seed=0)
    save_model(model, small_corpus, tmp_path, dtype)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(MODEL_FILES)
    loaded = load_model(tmp_path).state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[name], weight.to(dtype).float()) for name, weight in model.state_dict().items())
    assert (tmp_path / "model.safetensors").stat().st_size == pytest.approx(
        small_spec.parameters * dtype.itemsize, rel=0.05
    )


def test_a_saved_model_needs_no_code_of_ours(small_checkpoint: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(small_checkpoint, trust_remote_code=False)
    tokenizer = AutoTokenizer.from_pretrained(small_checkpoint, trust_remote_code=False)
    assert type(model) is LlamaForCausalLM
    assert model.config.rope_parameters["rope_theta"] == 10_000
    assert (model.config.bos_token_id, model.config.eos_token_id, model.config.pad_token_id) == (2, 3, 0)
    assert tokenizer.decode(tokenizer.encode("Which driver?", add_special_tokens=False)) == "Which driver?"


def test_saving_twice_gives_equal_bytes(small_spec: ModelSpec, small_corpus: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_model(build_model(small_spec, seed=0), small_corpus, tmp_path / name)
    for name in MODEL_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_broken_checkpoint_is_named(
    small_spec: ModelSpec, small_corpus: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ArtefactError, match="not there"):
        load_model(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(small_checkpoint, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ArtefactError, match="does not read"):
        load_model(broken)
    wider = build_model(small_spec.model_copy(update={"layers": 3}), seed=0)
    save_model(wider, small_corpus, tmp_path)
    shutil.copy(tmp_path / "config.json", broken / "config.json")
    shutil.copy(small_checkpoint / "model.safetensors", weights)
    with pytest.raises(ArtefactError, match="does not fit"):
        load_model(broken)


def test_a_model_without_a_tokenizer_is_not_saved(small_spec: ModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"tokenizer\.json"):
        save_model(build_model(small_spec, seed=0), tmp_path / "nowhere", tmp_path)
