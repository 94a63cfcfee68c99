"""Replayed decisions are those of a study on Ray, and what they come to is what can be worked out by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autogan_ray.base.errors import MachineError
from autogan_ray.config.sections import TuneConfig
from autogan_ray.results.search_curves import SearchCurve
from autogan_ray.study.cost import going_past, stages
from autogan_ray.tune import simulation
from autogan_ray.tune.simulation import (
    Replay,
    Setting,
    _cutoff,
    _Rung,
    _share,
    advised,
    fewest_orders,
    share_beyond,
    simulate,
)

LAST = 9


def curves_of(*rows: list[float]) -> list[SearchCurve]:
    return [SearchCurve(f"t{number:04d}", np.array(row, float)) for number, row in enumerate(rows)]


def level(count: int, last: int = LAST) -> list[SearchCurve]:
    """Trials whose scores never change: the first is the best, each further one is worse by 1."""
    return curves_of(*([float(10 + number)] * last for number in range(count)))


def noisy(count: int, last: int = LAST, seed: int = 0) -> list[SearchCurve]:
    rng = np.random.default_rng(seed)
    ends = rng.uniform(20, 60, (count, 1))
    return curves_of(*(ends + 200 * np.exp(-np.arange(last) / 2) + rng.normal(0, 5, (count, last))).tolist())


CURVES = st.lists(
    st.tuples(st.lists(st.sampled_from([1.0, 2.0, 2.5, 3.0, 7.0]), min_size=1, max_size=LAST), st.booleans()),
    min_size=1,
    max_size=12,
).map(lambda rows: curves_of(*([*fids[: LAST - 1], np.nan] if diverged else fids for fids, diverged in rows)))
PACES = st.lists(st.sampled_from([0.1, 0.3, 1.0, 2.0]), min_size=12, max_size=12)
SETTINGS = st.builds(
    Setting, st.integers(1, LAST - 1), st.sampled_from([1.1, 1.3, 1.5, 2.0, 2.5, 3.0, 4.0]), st.booleans()
)


@settings(max_examples=150, deadline=None)
@given(CURVES, PACES, SETTINGS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_asking_at_rungs_alone_decides_as_asking_at_every_evaluation_and_as_rays_own_percentile(
    curves: list[SearchCurve], paces: list[float], setting: Setting, slots: int, random: Any
) -> None:
    curves = [replace(curve, pace=pace) for curve, pace in zip(curves, paces, strict=False)]
    order = list(range(len(curves)))
    random.shuffle(order)
    found = Replay(curves, LAST, setting, slots).run(order)
    everywhere = Replay(curves, LAST, setting, slots, due=range(1, LAST))
    for other in (everywhere.run(order), everywhere.run(order, own_percentile=True)):
        np.testing.assert_array_equal(found.ran, other.ran)
        np.testing.assert_array_equal(found.stopped, other.stopped)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40), st.floats(1.01, 20.0))
def test_the_percentile_of_an_ordered_rung_is_numpys_to_the_bit(rewards: list[float], factor: float) -> None:
    rung = _Rung()
    assert _cutoff(0.5, rung) is None
    for number, reward in enumerate(rewards):
        rung[str(number)] = reward
    assert dict(rung) == {str(number): reward for number, reward in enumerate(rewards)}
    percent = (1 - 1 / factor) * 100
    assert _cutoff(percent / 100, rung) == np.nanpercentile(rewards, percent)


def test_each_trial_that_is_the_best_so_far_goes_on_and_each_that_is_the_worst_is_stopped_at_once() -> None:
    replay = Replay(level(20), LAST, Setting(2, 3.0), slots=1)
    improving, worsening = replay.run(range(19, -1, -1)), replay.run(range(20))
    assert improving.ran.tolist() == [LAST] * 20 and not improving.stopped.any()
    assert worsening.ran.tolist() == [LAST] + [2] * 19 and worsening.stopped.tolist() == [False] + [True] * 19


@pytest.mark.parametrize("factor", [2.0, 3.0, 4.0])
def test_in_random_orders_about_one_trial_in_the_reduction_factor_goes_past_the_rung(factor: float) -> None:
    table = simulate(level(60), LAST, [Setting(LAST - 1, factor)], orders=300, slots=1)
    gone = 60 - table["stopped"].iloc[1]
    assert gone == pytest.approx(going_past(60, factor), rel=0.03)
    assert gone == pytest.approx(60 / factor, rel=0.25), "the early trials are judged by few others: some more"


def test_by_slots_side_by_side_a_fast_trial_overtakes_a_slow_one_that_arrived_earlier() -> None:
    slow, fast = (
        replace(curve, pace=pace) for curve, pace in zip(curves_of([5.0] * 3, [6.0] * 3), (3, 1), strict=True)
    )
    one, two = (Replay([slow, fast], 3, Setting(1, 2.0), slots).run([0, 1]) for slots in (1, 2))
    assert one.ran.tolist() == [3, 1] and two.ran.tolist() == [3, 3], "the worse was through before the better reported"


@settings(max_examples=50, deadline=None)
@given(CURVES, SETTINGS, st.integers(2, 5))
def test_trials_that_are_equally_fast_are_judged_alike_by_any_number_of_slots(
    curves: list[SearchCurve], setting: Setting, slots: int
) -> None:
    one, several = (Replay(curves, LAST, setting, count).run(range(len(curves))) for count in (1, slots))
    assert one.ran.tolist() == several.ran.tolist()


def test_a_diverged_trial_costs_what_it_ran_and_loosens_no_cutoff() -> None:
    curves = curves_of([5.0] * LAST, [np.nan], [6.0] * LAST, [1.0, np.nan])
    found = Replay(curves, LAST, Setting(1, 2.0), 1).run([0, 1, 2, 3])
    assert found.ran.tolist() == [LAST, 1, 1, 2] and found.stopped.tolist() == [False, False, True, False]
    table = simulate(curves, LAST, [Setting(1, 2.0)], orders=50, slots=1)
    assert table["cost"].iloc[0] == 1.0 and table["best_survives"].iloc[1] == 1.0, "the best diverged later"
    assert (table["cut"] == 0).all() and table["judged"].iloc[1] == 3, "one diverged before the first decision"


def test_judging_by_the_best_so_far_forgives_a_single_bad_evaluation() -> None:
    curves = curves_of([9, 9, 3], [1, 20, 1])
    by_score, by_best = (Replay(curves, 3, Setting(2, 2.0, best), 1).run([0, 1]) for best in (False, True))
    assert by_score.stopped.tolist() == [False, True] and by_best.stopped.tolist() == [False, False]


def test_rungs_are_where_the_cost_of_a_study_expects_them() -> None:
    for grace, factor in ((1, 3.0), (2, 3.0), (2, 2.5), (4, 2.0), (8, 3.0)):
        tune = TuneConfig(max_evaluations=LAST, grace_evaluations=grace, reduction_factor=factor)
        assert Setting(grace, factor).due(LAST) == [evaluation for evaluation, _ in stages(tune)[:-1]]
    assert Setting(1, 1.2).due(5) == [1, 2, 3, 4] and Setting(3, 3.0).due(3) == []


def test_cost_survival_and_regret_of_two_trials_are_those_worked_out_by_hand() -> None:
    # The better arrives first: the other is stopped after 1 of 4. It arrives second: both run whole.
    table = simulate(curves_of([2.0] * 4, [3.0] * 4), 4, [Setting(1, 2.0)], orders=400, slots=1, seed=1)
    none, asha = table.iloc[0], table.iloc[1]
    for row in (none, asha):
        assert (row["best_survives"], row["regret"]) == (1.0, 0.0)
    assert (none["cost"], none["stopped"], none["decisions"], none["decides_at"]) == (1.0, 0.0, 0.0, [])
    assert (none["judged"], asha["judged"]) == (0, 2)
    first = (1.0 - asha["cost"]) * 8 / 3
    assert first == pytest.approx(0.5, abs=0.1) and asha["stopped"] == pytest.approx(first)
    assert asha["decisions"] == pytest.approx(4 - first), "each at evaluations 1 and 2, the stopped one at 1 alone"
    # Drawn by lot, the better one is stopped in half of those orders; the other was then run whole: no score is 2.
    assert asha["random_cost"] == pytest.approx(asha["cost"])
    assert asha["random_best_survives"] == pytest.approx(1 - first / 2, abs=0.08)
    assert asha["random_regret"] == pytest.approx(0.0), "its score at the first evaluation was as low"
    assert asha["cost_low"] < asha["cost"] < asha["cost_high"] and 0.98 < asha["best_survives_low"] < 1


def test_random_stopping_costs_the_same_and_keeps_the_best_as_often_as_any_other_trial() -> None:
    table = simulate(noisy(16), LAST, [Setting(1, 3.0)], orders=500, slots=2)
    row = table.iloc[1]
    assert row["random_cost"] == pytest.approx(row["cost"])
    assert row["random_best_survives"] == pytest.approx(1 - row["stopped"] / 16, abs=0.06)
    assert row["regret"] < row["random_regret"] and row["regret_ratio"] < row["random_regret_ratio"]


def test_decisions_beyond_the_ends_of_cut_curves_are_counted() -> None:
    # The second was cut at 2. Arriving first it goes on at 1 and 2 and would be judged at 4: one decision is missing.
    curves = curves_of([2.0] * 6, [3.0] * 2)
    table = simulate(curves, 6, [Setting(1, 2.0)], orders=400, slots=1)
    row = table.iloc[1]
    second_first = row["beyond"]
    assert second_first == pytest.approx(0.5, abs=0.1)
    assert row["decisions"] == pytest.approx(5 * second_first + 4 * (1 - second_first))
    assert row["cut"] == pytest.approx(second_first / (second_first + row["decisions"])) == share_beyond(table)


def test_the_same_seed_gives_the_same_table_and_each_setting_its_row() -> None:
    grid = [Setting(grace, factor, best) for best in (False, True) for grace in (1, 2) for factor in (2.0, 3.0)]
    one, two = (simulate(noisy(10), LAST, grid, 20, 2, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == 1 + len(grid)
    assert one["grace_evaluations"].tolist()[1:] == [setting.grace for setting in grid]
    assert not one.equals(simulate(noisy(10), LAST, grid, 20, 2, seed=4))


def test_another_percentile_than_rays_is_noticed_and_another_ray_is_replayed_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = [Setting(1, 3.0)]
    known = simulate(noisy(10), LAST, grid, 4, 2)
    with monkeypatch.context() as patch:
        patch.setattr(simulation, "usable", lambda *_: False)
        pd.testing.assert_frame_equal(simulate(noisy(10), LAST, grid, 4, 2), known)
    monkeypatch.setattr(simulation, "_keep_in_order", spoilt)
    with pytest.raises(MachineError, match=r"stops curve \d+ after \d evaluations, the replay after \d"):
        simulate(noisy(10), LAST, grid, 4, 2)


def spoilt(scheduler: Any) -> None:
    scheduler._brackets[0].cutoff = keep_all


def keep_all(recorded: dict[str, float]) -> None:
    return None


def test_so_many_orders_show_that_the_best_is_lost_in_few() -> None:
    for may_lose, fewest in ((0.05, 73), (0.01, 381), (0.001, 3838), (0.5, 30), (1.0, 30)):
        assert fewest_orders(may_lose) == fewest
    low = [_share("kept", np.ones(orders))["kept_low"] for orders in (72, 73)]
    assert low[0] < 0.95 <= low[1]


def test_the_cheapest_setting_that_keeps_the_best_and_beats_chance_is_advised_or_none() -> None:
    table = three_graces()
    assert graces(table) == (1, [])
    survives = ["best_survives_low", "best_survives", "best_survives_high"]
    table.loc[1, survives] = [0.8, 0.9, 0.94]
    assert graces(table) == (2, [])
    table.loc[1, survives] = [0.94, 0.97, 0.99]
    assert graces(table) == (2, [1]), "it may lose the best in more than 5 % of all orders, or in less"
    table["random_regret_low"] = 0.0
    assert graces(table) == (None, [])


def test_a_setting_that_keeps_the_best_but_lacks_scores_is_undecided() -> None:
    table = three_graces()
    table.loc[[1, 3], "cut"] = 0.2
    assert graces(table) == (2, [1]), "dearer ones than the one that is advised do not matter"
    table.loc[3, "cut"], table.loc[1, "cut"], table.loc[1, "judged"] = 0.0, 0.0, 7
    assert graces(table) == (2, [1])
    table["cut"] = 0.2
    assert graces(table) == (None, [1, 2, 4])
    table.loc[2, "best_survives_high"] = 0.5
    assert graces(table) == (None, [1, 4])


def three_graces() -> pd.DataFrame:
    """Replays of curves that never cross: each of the graces 1, 2 and 4 keeps the best, at rising costs."""
    grid = [Setting(grace, 3.0, best) for best in (False, True) for grace in (1, 2, 4)]
    falling = curves_of(*([float(30 + number - evaluation) for evaluation in range(LAST)] for number in range(20)))
    return simulate(falling, LAST, grid, orders=80, slots=2)


def graces(table: pd.DataFrame) -> tuple[int | None, list[int]]:
    """The grace of the setting that is advised, and those of the undecided ones."""
    row, undecided = advised(table, may_lose=0.05, cut_limit=0.1)
    assert not undecided["best_so_far"].any() and (row is None or not row["best_so_far"])
    return None if row is None else row["grace_evaluations"], undecided["grace_evaluations"].tolist()


ON_RAY = """
import json, os, sys
from pathlib import Path
from autogan_ray.tune.cluster import ENVIRONMENT
os.environ.update(ENVIRONMENT)
import ray
from ray import tune
from autogan_ray.config.study import load_study_config
from autogan_ray.tune.asha import ResumableASHA

def replayed(config, curves):
    for number, fid in enumerate(curves[config["place"]], 1):
        tune.report({"evaluation": number, "fid": 1e9 if fid is None else fid, "diverged": fid is None})

asked = json.loads(Path("asked.json").read_text())
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ended = []
for number, (grace, factor) in enumerate(asked["settings"]):
    tuned = {"max_evaluations": asked["last"], "grace_evaluations": grace, "reduction_factor": factor}
    study = load_study_config("smoke", {f"tune.{key}": value for key, value in tuned.items()})
    names = [{"place": place, "trial_id": f"t{place:04d}"} for place in asked["order"]]
    results = tune.Tuner(
        tune.with_parameters(replayed, curves=asked["curves"]),
        param_space=tune.grid_search(names),
        tune_config=tune.TuneConfig(
            scheduler=ResumableASHA(study, Path(f"rungs{number}.json")), max_concurrent_trials=1, reuse_actors=True
        ),
        run_config=tune.RunConfig(name=f"run{number}", storage_path=str(Path("ray").resolve()), verbose=0),
    ).fit()
    ended.append({result.config["place"]: result.metrics["evaluation"] for result in results})
Path("ended.json").write_text(json.dumps(ended))
ray.shutdown()
"""


@pytest.mark.ray
def test_replayed_decisions_are_those_of_a_study_on_ray_trial_by_trial(tmp_path: Path) -> None:
    curves = noisy(9, seed=5)
    fids = [curve.fids.tolist() for curve in curves]
    fids[3], fids[7] = [*fids[3][:4], None], [None]
    order, grid = np.random.default_rng(2).permutation(9).tolist(), [(1, 3.0), (1, 1.2)]
    asked = {"curves": fids, "order": order, "settings": grid, "last": LAST}
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run([sys.executable, "-c", ON_RAY], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    recorded = curves_of(*([np.nan if fid is None else fid for fid in row] for row in fids))
    for (grace, factor), ended in zip(grid, json.loads((tmp_path / "ended.json").read_text()), strict=True):
        found = Replay(recorded, LAST, Setting(grace, factor), slots=1).run(order)
        assert {str(place): int(ran) for place, ran in enumerate(found.ran)} == ended
        assert 0 < found.stopped.sum() < 7
