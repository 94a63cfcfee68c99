"""The benchmark of what evaluations cost: it runs, and its sums are those of its parts."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from autogan_ray.config.study import load_study_config

FILE = Path(__file__).parents[2] / "benchmarks" / "evaluation_share.py"


@pytest.fixture(scope="module")
def share() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluation_share", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_a_tiny_study_is_measured_and_told_as_json(
    share: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["x", "smoke", "--json", "--device", "cpu", "--batch", "2", "--images", "4"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--set", "metrics.n_fake_search=64"])
    share.main()
    found = json.loads(capsys.readouterr().out)
    parts = found["evaluations_s"]
    spent, steps = parts.pop("sum"), found["steps_s"]["gumbel_hard"]
    assert spent == pytest.approx(sum(parts.values())) and steps > 0 and min(parts.values()) >= 0
    assert found["share"]["gumbel_hard"] == pytest.approx(spent / (spent + steps))
    assert found["steps"] == 12 and found["evaluation_cost_s"]["mixture_image"] > 0


def test_a_mixture_scored_seldom_costs_in_proportion(share: ModuleType) -> None:
    per_image = {"settle_derived": 0.1, "settle_mixture": 0.2, "derived": 0.3, "mixture": 0.4, "extract": 0.5}
    cost = {f"{name}_image": seconds for name, seconds in per_image.items()}
    cost |= {"build": 1.0, "moments_image": 0.0, "distance": 2.0, "kid": 3.0}
    changes = {"metrics.n_fake_search": 10, "metrics.batch_size": 5, "metrics.bn_batches": 2}
    found = share.evaluations_seconds(
        load_study_config("smoke", changes | {"tune.max_evaluations": 4, "metrics.supernet_every": 2}), cost
    )
    assert found == pytest.approx(
        {
            "building": 4.0,
            "batch norms, derived": 4 * 10 * 0.1,
            "batch norms, mixture": 2 * 10 * 0.2,
            "generation, derived": 4 * 10 * 0.3,
            "generation, mixture": 2 * 10 * 0.4,
            "extraction": 6 * 10 * 0.5,
            "moments": 0.0,
            "distance": 6 * 2.0,
            "KID": 4 * 3.0,
        }
    )
