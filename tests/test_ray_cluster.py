from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

CLUSTER: dict[str, Any] = yaml.safe_load(Path("ray_cluster.yaml").read_text())


# Ray reads once, when it is imported, whether it wants a token. Tests that start one settle that first, so no module
# imports Ray at its top.
def prepare(config: dict[str, Any]) -> Any:
    from ray.autoscaler._private.util import prepare_config

    return prepare_config(copy.deepcopy(config))


def validate(config: Any) -> None:
    from ray.autoscaler._private.util import validate_config

    validate_config(config)


def test_ray_accepts_the_cluster_and_finds_every_machine() -> None:
    prepared = prepare(CLUSTER)
    validate(prepared)
    workers = CLUSTER["provider"]["worker_ips"]
    node = prepared["available_node_types"]["local.cluster.node"]
    assert (
        node["min_workers"]
        == node["max_workers"]
        == len(workers)
        == len({*workers, CLUSTER["provider"]["head_ip"]}) - 1
    )


def test_the_check_is_not_empty() -> None:
    broken = prepare({**CLUSTER, "head_start_commands": []})
    with pytest.raises(Exception, match="head_start_commands"):
        validate(broken)


def test_every_ray_process_asks_for_the_token_that_is_mounted() -> None:
    assert "~/.auton/ray_token" in CLUSTER["file_mounts"]
    starts = [c for role in ("head", "worker") for c in CLUSTER[f"{role}_start_ray_commands"] if "ray start" in c]
    assert len(starts) == 2
    for command in starts:
        assert "RAY_AUTH_MODE=token" in command
        assert "RAY_AUTH_TOKEN_PATH=$HOME/.auton/ray_token" in command
    assert "--dashboard-host=127.0.0.1" in starts[0]


def test_the_cards_have_the_name_that_ray_gives_them_where_it_finds_them() -> None:
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    name = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type("NVIDIA GeForce RTX 3090 Ti")
    starts = [c for role in ("head", "worker") for c in CLUSTER[f"{role}_start_ray_commands"] if "ray start" in c]
    assert all(f'"accelerator_type:{name}": 1' in command for command in starts)
    assert f"`{name}`" in Path("docs/cluster.md").read_text()
