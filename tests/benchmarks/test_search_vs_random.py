"""The comparison of search and random: its statistics against closed forms, and one tiny run from end to end."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import search_vs_random
import versus_stats as stats
from click.testing import CliRunner, Result
from scipy import stats as scipy_stats
from versus_plan import Network, Plan, Task, load_plan, parse_arm, studies_of

from autogan_ray.base.errors import ConfigError
from autogan_ray.spaces.load import load_space

pytestmark = pytest.mark.timeout(100)  # this is no measure of its length: other work shares the machine

SETTINGS = (
    "data.limit=100",
    "search.kimg=0.064",
    "retrain.kimg=0.064",
    "tune.max_evaluations=2",
    "metrics.bn_batches=1",
)
TINY = ["smoke", *itertools.chain(*(("--set", one) for one in (*SETTINGS, "metrics.n_fake_final=128")))]
SIZE = ["--n", "2", "--retrain-seeds", "1", "--inherited", "1", "--arm", "soft:search.relaxation=softmax"]


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(search_vs_random.main, list(arguments))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A finished comparison; ``out.txt`` and ``found.json`` lie beside its folder ``jobs``."""
    out = tmp_path_factory.mktemp("versus")
    found = ask(*TINY, *SIZE, "--out", str(out), "--json", str(out / "found.json"), "--each")
    assert found.exit_code == 0, (found.output, found.exception)
    (out / "out.txt").write_text(found.output)
    return out


def document(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "found.json").read_text())
    return read


def times(out: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in sorted((out / "jobs").iterdir())}


def test_every_arm_has_its_line_and_its_pairs(compared: Path) -> None:
    found = document(compared)
    assert [arm["arm"] for arm in found["arms"]] == ["random", "search", "soft"]
    networks = {(row["arm"], row["index"]): row for row in found["networks"]}
    assert len(networks) == 6
    for arm in ("search", "soft"):
        line = next(one for one in found["arms"] if one["arm"] == arm)
        by_hand = [networks[arm, i]["fid"] - networks["random", i]["fid"] for i in range(2)]
        assert line["pairs"] == pytest.approx(by_hand) and line["difference"]["n"] == 2
        assert line["difference"]["value"] == pytest.approx(sum(by_hand) / 2)
        assert line["mean"] == pytest.approx((networks[arm, 0]["fid"] + networks[arm, 1]["fid"]) / 2)
    text = (compared / "out.txt").read_text()
    assert "| soft | 2 |" in text and "search.relaxation=softmax" in text and "optim.lr_g = 0.0002" in text


def test_the_random_arm_is_what_retrain_draws(compared: Path) -> None:
    space = load_space("autogan/fixed")
    random = [row["genotype"] for row in document(compared)["networks"] if row["arm"] == "random"]
    assert random == [space.random(8, seed).to_dict() for seed in range(2)]


def test_inherited_weights_score_a_search_s_own_genotype_as_the_search_did(compared: Path) -> None:
    found = document(compared)
    own = next(row for row in found["searches"] if row["arm"] == "search" and row["seed"] == 0)
    scores = found["inherited"]["0"]
    assert scores[own["genotype_id"]] == pytest.approx(own["fid_derived"], rel=1e-6)
    assert set(scores) == {row["genotype_id"] for row in found["networks"]}


def test_a_second_call_runs_nothing_and_more_searches_run_only_themselves(compared: Path) -> None:
    before = times(compared)
    again = ask(*TINY, *SIZE, "--out", str(compared))
    assert again.exit_code == 0 and times(compared) == before
    lost = next(file for file in (compared / "jobs").iterdir() if file.name.startswith("retrain"))
    old = json.loads(lost.read_text())["result"]["row"]["fid"]
    lost.unlink()
    assert ask(*TINY, *SIZE, "--out", str(compared)).exit_code == 0
    after = times(compared)
    assert {name for name in after if after[name] != before[name]} == {lost.name}
    assert json.loads(lost.read_text())["result"]["row"]["fid"] == old
    assert not list((compared / "running").glob("*"))


def test_later_seeds_are_the_searches_and_genotypes_of_a_larger_comparison(compared: Path, tmp_path: Path) -> None:
    first = load_plan(compared)
    (tmp_path / "jobs").mkdir()
    for file in (compared / "jobs").iterdir():
        (tmp_path / "jobs" / file.name).write_text(file.read_text())
    before = times(tmp_path)
    changed = ["--n", "1", "--retrain-seeds", "1", "--first-seed", "1", "--arm", "soft:search.relaxation=softmax"]
    asked = ask(*TINY, *changed, "--out", str(tmp_path), "--json", str(tmp_path / "found.json"))
    assert asked.exit_code == 0 and times(tmp_path) == before  # all of it had been done as the second of two
    later = load_plan(tmp_path)
    assert later.random == first.random[1:] and later.search("soft", 1).digest == first.search("soft", 1).digest
    of_both = next(one for one in document(compared)["arms"] if one["arm"] == "soft")
    alone = next(one for one in document(tmp_path)["arms"] if one["arm"] == "soft")
    assert alone["pairs"] == of_both["pairs"][1:] and len(alone["pairs"]) == 1
    assert "seeds from 1 on" in asked.output


def test_a_report_of_what_is_there_needs_no_study_and_says_less_where_less_is_there(
    compared: Path, tmp_path: Path
) -> None:
    whole = ask("--report-only", "--out", str(compared), "--each").output
    assert (
        whole.strip().endswith((compared / "out.txt").read_text().strip().splitlines()[-1]) and "| soft | 2 |" in whole
    )
    (tmp_path / "jobs").mkdir()
    for file in (compared / "plan.json", *(compared / "jobs").glob("search-*")):
        (tmp_path / file.relative_to(compared)).write_text(file.read_text())
    part = ask("--report-only", "--out", str(tmp_path))
    assert part.exit_code == 0 and "| soft | 0 |" in part.output and "nan" not in part.output


def retraining(plan: Plan) -> Task:
    """The first retraining of the first random genotype."""
    return plan.retrainings(Network("random", 0, plan.random[0], plan.space))[0]


def test_a_setting_changes_the_digest_of_those_jobs_alone_that_depend_on_it(compared: Path) -> None:
    plan = load_plan(compared)
    studies = json.loads(json.dumps(plan.studies))
    studies["search"]["retrain"]["kimg"] = 1.0
    longer = Plan(**vars(plan) | {"studies": studies})
    assert longer.search("search", 0).digest == plan.search("search", 0).digest
    assert retraining(longer).digest != retraining(plan).digest
    studies = json.loads(json.dumps(plan.studies))
    studies["search"]["optim"]["lr_arch_g"] = 0.5
    other = Plan(**vars(plan) | {"studies": studies})
    assert other.search("search", 0).digest != plan.search("search", 0).digest
    assert retraining(other).digest == retraining(plan).digest
    assert plan.search("search", 0).digest != plan.search("search", 1).digest != plan.search("soft", 1).digest


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("did you mean 'smoke'", ["smok"]),
        ("no setting 'search.kimgs'", ["smoke", "--set", "search.kimgs=3"]),
        ("write it as NAME:key=value", ["smoke", "--arm", "soft"]),
        ("is taken", ["smoke", "--arm", "random:search.warmup=0"]),
        ("stands twice", ["smoke", "--arm", "a:search.warmup=0", "--arm", "a:search.warmup=0.5"]),
        ("retrain.kimg would change more", ["smoke", "--arm", "long:retrain.kimg=9"]),
        ("search.warmup = 2", ["smoke", "--arm", "a:search.warmup=2"]),
        ("nothing is swept here", ["smoke", "--set", "sweep.optim.lr_d={uniform=[1e-3, 2e-3]}"]),
        ("is for 32 px and cannot serve 8 px", ["smoke", "--genotype", "autogan-a"]),
        ("did you mean 'autogan-a'", ["smoke", "--genotype", "autogan-aa"]),
        ("model.latent_dim = 0", ["smoke", "--set", "model.latent_dim=0"]),
        ("no comparison to report on", ["--report-only"]),
    ],
)
def test_a_mistake_is_named_with_exit_code_2_and_leaves_no_folder(
    message: str, arguments: list[str], tmp_path: Path
) -> None:
    found = ask(*arguments, "--n", "1", "--out", str(tmp_path / "new"))
    assert found.exit_code == 2, (found.output, found.exception)
    assert message in found.output and not (tmp_path / "new").exists()


def test_an_arm_may_have_lists_and_several_settings() -> None:
    name, changes, _ = parse_arm("b:optim.betas_arch=[0.9, 0.99],search.warmup=0.5")
    assert name == "b" and changes == {"optim.betas_arch": [0.9, 0.99], "search.warmup": 0.5}
    with pytest.raises(ConfigError, match="no setting"):
        parse_arm("b:search.warmupp=1")


def test_a_swept_setting_can_be_set_though_another_s_sweep_hangs_on_it() -> None:
    studies, _, unswept = studies_of("digits", ["optim.lr_g=0.003"], ["soft:search.relaxation=softmax"], "fixed")
    assert studies["soft"].search.relaxation == "softmax" and not studies["soft"].sweep
    assert {one.optim.lr_g for one in studies.values()} == {0.003}
    assert {one.retrain.discriminator for one in studies.values()} == {"fixed"}
    assert "optim.lr_g" not in unswept and unswept["optim.lr_d"] == studies["search"].optim.lr_d


def test_the_intervals_are_those_of_their_formulas() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.normal(1, 2, 9), rng.normal(0, 0.5, 14)
    t = stats.paired_interval(one)
    half = scipy_stats.t.ppf(0.975, 8) * one.std(ddof=1) / 3
    assert t is not None and (t.low, t.high) == pytest.approx((one.mean() - half, one.mean() + half))
    welch = stats.welch_interval(one, other)
    parts = one.var(ddof=1) / 9, other.var(ddof=1) / 14
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 8 + parts[1] ** 2 / 13)
    half = scipy_stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5
    difference = one.mean() - other.mean()
    assert welch is not None and (welch.low, welch.high) == pytest.approx((difference - half, difference + half))
    assert stats.paired_interval([]) is None and stats.paired_interval([1.0]) == stats.Interval(1.0, None, None, 1)


def test_samples_of_one_value_and_of_equal_values_have_what_can_be_said_of_them() -> None:
    assert stats.welch_interval([1.0, 1.0], [3.0, 3.0]) == stats.Interval(-2.0, -2.0, -2.0, 4)
    assert stats.welch_interval([1.0], [3.0, 5.0]) == stats.Interval(-3.0, None, None, 3)
    assert stats.bootstrap_difference([1.0], [3.0, 5.0]) == stats.Interval(-3.0, -4.0, -2.0, 3)
    assert stats.bootstrap_mean([1.0]) == stats.Interval(1.0, None, None, 1)
    assert stats.bootstrap_mean([]) is None and stats.bootstrap_difference([], [1.0]) is None


def test_the_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = {"t": 0, "bootstrap": 0}
    for _ in range(400):
        pairs = rng.normal(2.0, 3.0, 10)  # two skewed arms with a shared part would do as well: only differences count
        for name, found in (("t", stats.paired_interval(pairs)), ("bootstrap", stats.bootstrap_mean(pairs))):
            assert found is not None and found.low is not None and found.high is not None
            covered[name] += found.low <= 2.0 <= found.high
    # 95 % of 400 has a standard error of 1.1 %; a percentile bootstrap of ten values is known to fall short
    assert 0.92 < covered["t"] / 400 < 0.98
    assert 0.86 < covered["bootstrap"] / 400 < covered["t"] / 400


def test_tau_is_scipy_s_for_the_points_and_for_every_resample() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    y = np.round(x + rng.normal(size=12), 1)  # with ties
    found = stats.kendall(x, y)
    assert (found.tau, found.p) == pytest.approx(tuple(scipy_stats.kendalltau(x, y)))
    four = stats.kendall([1, 2, 3, 4], [10, 20, 30, 40])
    assert (four.tau, four.p) == pytest.approx((1.0, 1 / 12))
    rows = rng.integers(12, size=(40, 12))
    by_scipy = [scipy_stats.kendalltau(x[row], y[row]).statistic for row in rows]
    assert stats.row_taus(x[rows], y[rows]) == pytest.approx(np.array(by_scipy))
    assert found.low is not None and found.high is not None
    assert -1 <= found.low < scipy_stats.kendalltau(x, y).statistic < found.high <= 1
    assert stats.kendall([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == stats.RankCorrelation(3)
    assert stats.kendall([1.0, 2.0], [1.0, 2.0]) == stats.RankCorrelation(2)
    assert stats.kendall([*x, np.nan, 1.0], [*y, 1.0, np.nan]) == found


def agreement(genotypes: list[dict[str, str]], network: str) -> float | None:
    return stats.agreement(pd.DataFrame(genotypes).filter(regex=f"^{network}"))


def test_agreement_is_that_of_pairs_and_of_uniform_draws_one_in_k() -> None:
    three = [{"g.a": "x", "g.b": "x", "d.a": "x"}, {"g.a": "x", "g.b": "y", "d.a": "z"}, {"g.a": "y", "g.b": "y"}]
    assert agreement(three[:2], "g") == 0.5 and agreement(three[:2], "d") == 0
    assert agreement(three, "g") == pytest.approx((1 + 0 + 1) / 6)
    rng = np.random.default_rng(2)
    many = [{f"g.{i}": str(rng.integers(4)) for i in range(50)} for _ in range(40)]
    assert agreement(many, "g") == pytest.approx(0.25, abs=0.02)
    assert agreement(three[:1], "g") is None and agreement([], "g") is None


def best_of(scores: dict[int, dict[int, float]], m: int) -> float | None:
    return stats.best_of(pd.DataFrame.from_dict(scores, orient="index"), m)


def test_the_best_of_m_is_the_mean_over_all_ways_to_draw_m() -> None:
    rng = np.random.default_rng(4)
    scores = {i: {s: float(rng.normal()) for s in range(3)} for i in range(6)}
    for m in (1, 2, 4, 6):
        by_hand = []
        for picks in range(3):
            for drawn in itertools.combinations(scores.values(), m):
                best = min(drawn, key=lambda row: row[picks])
                by_hand.append(np.mean([best[s] for s in range(3) if s != picks]))
        assert best_of(scores, m) == pytest.approx(np.mean(by_hand))
    assert best_of(scores, 7) is None and best_of({0: {}, 1: {}}, 1) is None
    assert best_of({0: {0: 3.0}, 1: {0: 1.0}}, 2) == 1.0


def test_the_spread_of_genotypes_and_of_seeds_is_told_apart() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(0, 2.0, (3000, 1)) + rng.normal(0, 3.0, (3000, 3))
    found = stats.spread(pd.DataFrame(rows))
    assert found is not None
    assert (found.genotype_sd, found.seed_sd) == pytest.approx((2.0, 3.0), rel=0.05)
    assert found.reliability == pytest.approx(4 / (4 + 9 / 3), rel=0.05)
    assert stats.spread(pd.DataFrame([[1.0], [2.0]])) is None
