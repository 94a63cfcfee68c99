"""The benchmark of fronts: areas in closed form, budgets that are kept, and the same numbers whatever was kept."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import score_and_cost as bench

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig


def test_areas_are_those_of_closed_forms() -> None:
    one = bench.hypervolume(np.array([(1.0, 2.0)]), (4.0, 4.0))
    assert one == 6
    stairs = np.array([(3.0, 1.0), (1.0, 3.0), (2.0, 2.0), (2.5, 2.5), (9.0, 0.0), (2.0, 2.0)])
    assert bench.hypervolume(stairs, (4.0, 4.0)) == 6  # 3 + 2 + 1: beaten, doubled and outer points add nothing
    draw = np.random.default_rng(0)
    points, at = draw.random((30, 2)), draw.random((200_000, 2))
    beaten = (points[:, None] <= at[None]).all(axis=2).any(axis=0).mean()
    assert bench.hypervolume(points, (1.0, 1.0)) == pytest.approx(beaten, abs=0.005)


def made(config: str) -> Iterator[dict[str, Any]]:
    """A trial without a training: a wide generator costs more and ends lower."""
    values = json.loads(config)
    width, seed = values["model"]["channels_g"], values["seed"] % 97
    for evaluation in range(1, 7):
        fid = 500 / width + 100 / evaluation + seed
        yield {"evaluation": evaluation, "fid": fid, "diverged": False, "macs_g": 1000 * width**2}


@pytest.mark.parametrize("arm", bench.ARMS)
def test_a_study_spends_its_evaluations_and_prunes_as_it_says(arm: str) -> None:
    found = bench.run_study(bench.study_of(arm, 3, {}), made, 40)
    counts = pd.Series([one.trial for one in found]).value_counts(sort=False)
    assert counts.sum() == 40 and counts.index.tolist() == list(range(len(counts)))
    lengths = set(counts.iloc[:-1])
    assert lengths == {6} if arm.endswith("none") else 2 in lengths and lengths <= {2, 4, 6}
    assert found == bench.run_study(bench.study_of(arm, 3, {}), made, 40)


def test_studies_of_a_seed_begin_with_the_same_trials() -> None:
    begun = []
    for arm in bench.ARMS:
        seen: list[str] = []
        bench.run_study(bench.study_of(arm, 1, {}), lambda config, seen=seen: seen.append(config) or made(config), 24)
        begun.append(seen[:4])
    assert len({json.dumps(seen) for seen in begun}) == 1


def test_a_trial_is_kept_as_far_as_it_went_and_goes_on_from_the_same_records(tmp_path: Path) -> None:
    config = bench.study_of("tpe/fid", 0, {}).trial({}, 5).model_dump_json()
    searched: list[int] = []

    def search(trial: TrialConfig) -> Iterator[dict[str, Any]]:
        for record in made(trial.model_dump_json()):
            searched.append(record["evaluation"])
            yield record

    curves = bench.KeptCurves(tmp_path, search)
    whole = list(made(config))
    begun = curves(config)
    assert [next(begun), next(begun)] == whole[:2] and searched == [1, 2]
    begun = curves(config)
    assert [next(begun), next(begun)] == whole[:2] and searched == [1, 2], "known, and not searched again"
    assert list(curves(config)) == whole == list(curves(config))


@pytest.mark.filterwarnings("ignore:Precision loss")  # of the first arm, the same for all seeds
def test_the_summary_pairs_arms_by_their_seeds() -> None:
    """The second arm has a lower score, by e or more: its one point beats a wider strip, of the height of the costs."""
    rows = []
    for seed in range(3):
        for arm, logs in (("score/fid", 0.0), ("tpe/fid", 1 + 0.1 * seed)):
            worst = {"trial": 0, "fid": 100 * math.e, "cost": 10 * math.e, "part": 0.25}
            best = {"trial": 1, "fid": 100 * math.exp(-logs), "cost": 10.0, "part": 1.0}
            rows += [{"arm": arm, "seed": seed, **worst}, {"arm": arm, "seed": seed, **best}]
    summary = bench.summarise(pd.DataFrame(rows)).set_index("arm")
    assert [found.value for found in summary["whole"]] == pytest.approx([1.0, 2.1])
    assert [found.value for found in summary["half"]] == [0.0, 0.0]
    found = summary.loc["tpe/fid", "difference"]
    # Student's quantile for two degrees of freedom is 4.303.
    assert (found.value, found.high - found.value, found.n) == (
        pytest.approx(1.1),
        pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3),
        3,
    )
    assert summary["front"].tolist() == [1, 1] and summary["trials"].tolist() == [2, 2]
    page = bench.markdown(summary.reset_index(), 8, "FD")
    assert "| tpe/fid | 3 | 2.0 | 1.0 | 33.4 |" in page and "1.1 (0.852 to 1.35)" in page


def test_an_unknown_arm_is_named() -> None:
    with pytest.raises(ConfigError, match="--arm score/front: did you mean"):
        bench.study_of("score/front", 0, {})
