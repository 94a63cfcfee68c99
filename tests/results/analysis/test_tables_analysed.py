"""Settings, operations, ranks, fronts and savings, each computed again by plain pandas or by hand."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autogan_ray.base.errors import ResultsError
from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.analysis.operations import final_decisions, trials_without_none, undecided_trials
from autogan_ray.results.analysis.ranking import retrained_pairs
from autogan_ray.results.analysis.settings import confounded, rung_trust, swept
from autogan_ray.results.genotypes import genotypes_of
from autogan_ray.results.report.sections import sections
from autogan_ray.results.schemas import swept_columns
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study import Study, load_studies
from tests.results.made_studies import SPACES, SWEEP, made_study, source_of


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return made_study(tmp_path_factory.mktemp("studies") / "made", trials=24, seed=3)


def test_settings_are_compared_at_the_first_rung_as_plain_pandas_does(study: Study) -> None:
    trials = pd.read_parquet(study.folder / "trials.parquet")
    assert swept(study) == list(SWEEP)
    expected = trials.groupby("space")["fid_first_rung"].agg([stats.gmean, "count", "min"])
    found = study.compare(by="space").set_index("value")
    assert found["fid"].to_dict() == pytest.approx(expected["gmean"].to_dict())
    assert found["scored"].to_dict() == expected["count"].to_dict()
    assert found["fid_min"].to_dict() == expected["min"].to_dict()
    assert found["fid"].is_monotonic_increasing
    assert ((found["low"] <= found["fid"]) & (found["fid"] <= found["high"])).all()
    best = study.compare(by="space", at="best").set_index("value")["fid"].to_dict()
    assert best == pytest.approx(trials.groupby("space")["fid_best"].agg(stats.gmean).to_dict())


def test_a_range_is_compared_by_thirds_of_its_trials_and_leaves_out_where_it_plays_no_part(study: Study) -> None:
    thirds = study.compare(by="optim.lr_arch_g")
    assert thirds["trials"].tolist() == [8, 8, 8] and thirds["trials"].sum() == len(study.trials)
    ends = sorted(tuple(map(float, value.split(" to "))) for value in thirds["value"])
    assert all(low <= high for low, high in ends) and all(a[1] <= b[0] for a, b in itertools.pairwise(ends))
    gumbel = (study.trials["search.relaxation"] == "gumbel").sum()
    assert study.compare(by="search.temperature_start")["trials"].sum() == gumbel


def test_trials_without_a_score_are_counted_and_in_no_mean_and_every_other_has_its_dot(tmp_path: Path) -> None:
    other = made_study(tmp_path, trials=24, seed=3)
    rows = read_rows(other.folder, "trials")
    for row in rows[::3]:
        row["fid_first_rung"], row["fid_last"] = None, DIVERGED_FID
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    found = other.compare(by="optim.lr_arch_g")
    assert found["trials"].sum() == 24 and found["scored"].sum() == 16
    dots = other.plot_compare("optim.lr_arch_g").collections[-1].get_offsets()
    assert np.isfinite(np.asarray(dots)).all(axis=1).sum() == 16
    assert other.compare(by="space", at="last")["high"].max() < 10000


def test_unknown_columns_and_places_are_named_with_the_nearest(study: Study) -> None:
    with pytest.raises(ResultsError, match=r"'lr_arch'.*lr_arch_g"):
        study.compare(by="lr_arch")
    with pytest.raises(ResultsError, match=r"at = 'first'.*first_rung"):
        study.compare(by="space", at="first")
    with pytest.raises(ResultsError, match=r"'mac_g'.*macs_g"):
        study.pareto("fid", "mac_g")
    with pytest.raises(ResultsError, match=r"'fid_beat'.*fid_best"):
        study.rank_correlation("fid_beat")
    with pytest.raises(ResultsError, match="by 'decision' or by 'operation'"):
        study.operation_frequency(by="edge")


def test_operations_are_counted_as_a_loop_over_genotypes_counts_them(study: Study) -> None:
    noise = undecided_trials(final_decisions(study))
    assert 0 < len(noise) < len(study.trials)  # sharpness .3 decides nothing, 4 does
    trials = study.trials[~study.trials["trial_id"].isin(noise)].sort_values("fid_first_rung")
    better: set[str] = set()
    for _, group in trials.groupby("space"):
        better |= set(group["trial_id"].head(round(len(group) / 3)))
    genotypes = genotypes_of(study.folder)
    found = study.operation_frequency().set_index(["space", "decision", "choice"])
    for name, space in SPACES.items():
        rows = trials[trials["space"] == name]
        for decision in space.decisions(8):
            for choice in decision.choices:
                taken = [
                    (row.trial_id in better, genotypes[row.genotype_id].choices[decision.name] == choice)
                    for row in rows.itertuples()
                ]
                sides = {side: [chosen for good, chosen in taken if good == side] for side in (True, False)}
                row = found.loc[(name, decision.name, choice)]
                assert (row["n_better"], row["n_rest"]) == (len(sides[True]), len(sides[False]))
                assert row["better"] == pytest.approx(np.mean(sides[True]) if sides[True] else math.nan, nan_ok=True)
                assert row["rest"] == pytest.approx(np.mean(sides[False]) if sides[False] else math.nan, nan_ok=True)
                assert row["chance"] == pytest.approx(1 / len(decision.choices))


def test_choices_that_are_no_operations_are_named_with_what_they_decide(study: Study) -> None:
    found = study.operation_frequency(by="operation")
    autogan = set(found[found["space"] == "autogan/fixed"]["operation"])
    assert {"norm=none", "norm=batch", "shortcut=yes", "skip=yes", "up=bilinear", "conv=pre"} <= autogan
    edges = set(found[found["space"] == "adversarialnas/fixed"]["operation"])
    assert {"none", "skip", "conv_3x3"} <= edges and not any("=" in name for name in edges)
    shares = found.groupby(["space", "network"])[["better", "rest"]].sum()
    assert (shares.loc["adversarialnas/fixed"] > 0).all().all()


def test_the_rank_correlation_is_that_of_scipy_over_means_of_seeds(study: Study) -> None:
    rows, trials = study.evaluations, study.trials.set_index("trial_id")
    means = rows[rows["source"] == "retrain"].groupby("trial_id")["fid"].agg(stats.gmean)
    expected = stats.kendalltau(trials.loc[means.index, "fid_best"], means).statistic
    found = study.rank_correlation()
    assert found.n == len(means) == 6 and found.estimate == pytest.approx(expected)
    assert found.low <= found.estimate <= found.high


def test_a_retraining_of_another_genotype_of_the_trial_says_nothing_of_its_score(study: Study, tmp_path: Path) -> None:
    other = made_study(tmp_path / "other", trials=24, seed=3)
    rows = read_rows(other.folder, "evaluations")
    write_table(other.folder, "evaluations", [row | {"genotype_id": "0" * 12} for row in rows])
    assert retrained_pairs(other).empty and len(retrained_pairs(study)) == 6


def test_the_front_is_what_a_loop_over_pairs_finds(study: Study) -> None:
    trials = study.trials
    points = trials[["fid_best", "macs_g"]].to_numpy()
    alone = [not any((other <= own).all() and (other < own).any() for other in points) for own in points]
    assert set(study.pareto("fid", "macs_g")["trial_id"]) == set(trials["trial_id"][alone])
    assert study.pareto("fid").iloc[0]["trial_id"] == study.best["trial_id"]


def test_savings_count_trials_that_asha_stopped_alone(study: Study) -> None:
    trials, found = study.trials, study.savings()
    pruned = trials[trials["status"] == "pruned"]
    assert found.pruned == len(pruned) and found.run == trials["evaluations"].sum()
    assert found.planned == found.run + 4 * len(pruned)
    assert found.share == pytest.approx(1 - found.run / found.planned)
    assert found.hours_saved == pytest.approx(10 * 4 * len(pruned) / 3600)


def adjusted_r_squared(scores: pd.Series, by: pd.Series) -> float:
    logs = np.log(scores[by.notna()])
    residuals = logs - logs.groupby(by).transform("mean")
    return 1 - residuals.pow(2).sum() / (len(logs) - by.nunique()) / logs.var(ddof=1)


def test_importance_names_the_setting_that_decides_the_score(tmp_path: Path) -> None:
    other = made_study(tmp_path / "decided", trials=40, seed=5)
    rows = read_rows(other.folder, "trials")
    for row in rows:
        row["fid_first_rung"] = 100.0 * row["optim.lr_arch_g"] ** 0.5
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    found, trials = other.importance(), pd.read_parquet(other.folder / "trials.parquet")
    assert found.index[0] == "optim.lr_arch_g" and found["share"].iloc[0] > 0.8
    assert (found["share"] > found["noise"]).tolist() == [True, False, False, False]
    thirds = pd.qcut(trials["optim.lr_arch_g"], 3)
    expected = {"optim.lr_arch_g": adjusted_r_squared(trials["fid_first_rung"], thirds)}
    for key in ("space", "search.relaxation"):
        expected[key] = max(0.0, adjusted_r_squared(trials["fid_first_rung"], trials[key]))
    assert found["share"][list(expected)].to_dict() == pytest.approx(expected)
    few = made_study(tmp_path / "few", trials=8).importance()
    assert set(few.index) == set(SWEEP) and few[["share", "noise"]].isna().all(axis=None)


def test_settings_without_effect_explain_next_to_nothing_and_pass_noise_in_one_case_of_twenty(tmp_path: Path) -> None:
    other = made_study(tmp_path, trials=40, seed=6)
    rows, rng, shares, passed = read_rows(other.folder, "trials"), np.random.default_rng(0), [], 0
    worlds = 60
    for _ in range(worlds):
        for row in rows:
            row["fid_first_rung"] = float(np.exp(rng.normal(5, 0.3)))
        write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
        found = other.importance()
        shares += found["share"].tolist()
        passed += (found["share"] > found["noise"]).sum()
    assert np.mean(shares) < 0.04 and 0.02 < passed / (worlds * len(SWEEP)) < 0.08


def test_a_setting_is_analysed_where_it_plays_a_part_or_named_as_left_out(tmp_path: Path) -> None:
    other = made_study(tmp_path, trials=24, seed=3)
    rows = read_rows(other.folder, "trials")
    gumbel = [row for row in rows if row["search.relaxation"] == "gumbel"]
    for row in gumbel:
        row["fid_first_rung"] = 100.0 * row["search.temperature_start"]
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    found = other.importance().loc["search.temperature_start"]
    assert found["trials"] == len(gumbel) < 24 and found["share"] > max(0.5, found["noise"])
    for row in gumbel[9:]:
        row["search.temperature_start"] = None
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    found = other.importance().loc["search.temperature_start"]
    assert found["trials"] == 9 and pd.isna(found["share"])
    part = next(part for part in sections(source_of(other)) if part.key == "importance")
    assert "another in each: search.temperature_start." in str(part.body)


def test_several_studies_are_opened_by_pattern_or_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        made_study(tmp_path / name, trials=3, retrained=0)
    (tmp_path / "nothing").mkdir()
    assert list(load_studies(tmp_path / "*")) == ["one", "two"] == list(load_studies(tmp_path))
    assert list(load_studies(tmp_path / "one")) == ["one"]
    with pytest.raises(ResultsError, match="no study in"):
        load_studies(tmp_path / "nothing")


def test_the_best_trials_come_first(study: Study) -> None:
    top = study.top(4)
    assert top["fid_best"].tolist() == sorted(study.trials["fid_best"])[:4]
    assert top["trial_id"][0] == study.best["trial_id"]


def test_what_stands_for_a_diverged_trial_is_no_score(tmp_path: Path) -> None:
    other = made_study(tmp_path, trials=24, seed=3)
    rows = read_rows(other.folder, "trials")
    cheapest = min(rows, key=lambda row: row["macs_g"])
    retrained = next(row for row in rows if row["trial_id"] == retrained_pairs(other)["trial_id"][0])
    for row in (cheapest, retrained):
        row["fid_last"] = DIVERGED_FID
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    assert other.compare(by="space", at="last")["fid_min"].max() < 1000
    assert cheapest["trial_id"] not in set(other.pareto("fid_last", "macs_g")["trial_id"])
    assert len(retrained_pairs(other, "fid_last")) == len(retrained_pairs(other)) - 1
    for axes in (other.plot_compare("space", at="last"), *other.plot_slices("space", at="last").flat):
        assert max(axes.get_xlim()[1], axes.get_ylim()[1]) < 1000
    ticks = [text.get_text() for text in other.plot_parallel(at="last").texts]
    assert ticks and not any("e+09" in tick for tick in ticks)


def test_all_trials_of_a_value_had_another_value_only_where_none_lacks_it(tmp_path: Path) -> None:
    other = made_study(tmp_path, trials=4)
    values = [("a", "x"), ("a", None), ("b", "y"), ("b", "y"), ("c", "x"), ("c", None)]
    rows = [
        {"study_id": "s", "trial_id": str(number), "space": space, "search.relaxation": relaxation}
        for number, (space, relaxation) in enumerate(values)
    ]
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    assert confounded(other) == [
        "All 2 trials with space = b had search.relaxation = y.",
        "All 2 trials with search.relaxation = y had space = b.",
    ]


def test_a_first_rung_that_is_the_end_is_not_compared_with_itself(study: Study, tmp_path: Path) -> None:
    assert rung_trust(study).tau.n == (study.trials["status"] == "complete").sum()
    other = made_study(tmp_path)
    (row,) = read_rows(other.folder, "studies")
    write_table(other.folder, "studies", [row | {"grace_evaluations": row["max_evaluations"]}])
    assert rung_trust(other).tau.n == 0
    part = next(part for part in sections(source_of(other)) if part.key == "settings")
    assert "Kendall" not in str(part.body)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.linspace(0.999, 0.9999, 12), ["0.999 to 0.9992", "0.9993 to 0.9996", "0.9997 to 0.9999"]),
        (np.arange(1000, 1010), ["1000 to 1003", "1004 to 1006", "1007 to 1009"]),
        ([1, 1, 2, 3, 3, 3, 3, 4, 5, 5], ["1 to 3", "4 to 5"]),
        ([1001, 1001, 1002], ["1001", "1002"]),
        ([-2.0, 10.0, 1.0], ["-2", "1", "10"]),
    ],
)
def test_names_of_thirds_have_the_digits_that_tell_them_apart(
    tmp_path: Path, values: list[float], expected: list[str]
) -> None:
    other = made_study(tmp_path, trials=len(values))
    rows = [
        row | {"optim.lr_arch_g": float(value)}
        for row, value in zip(read_rows(tmp_path, "trials"), values, strict=True)
    ]
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    found = other.compare(by="optim.lr_arch_g")
    assert found["value"].tolist() == expected and found["trials"].sum() == len(values)
    dots = np.asarray(other.plot_compare("optim.lr_arch_g").collections[-1].get_offsets())
    assert np.isfinite(dots).all() and len(dots) == len(values)


def test_none_is_no_choice_where_it_could_not_be_derived(study: Study, tmp_path: Path) -> None:
    other = made_study(tmp_path, trials=24, seed=3)
    config = {"config_json": json.dumps({"derive": {"exclude_none": True}})}
    methods = ["adversarial", "duality_gap", "random", "reinforce"]
    rows = read_rows(other.folder, "trials")
    rows = [row | config | {"method": methods[number % 4]} for number, row in enumerate(rows)]
    write_table(other.folder, "trials", rows, None, swept_columns(SWEEP))
    bound = {row["trial_id"] for row in rows if row["method"] in ("adversarial", "duality_gap")}
    assert trials_without_none(other) == bound and not trials_without_none(study)
    before, found = (
        one.operation_frequency(undecided=True).set_index(["space", "decision", "choice"]) for one in (study, other)
    )
    counts = (
        other.trials.assign(bound=other.trials["trial_id"].isin(bound)).groupby("space")["bound"].agg(["sum", "size"])
    )
    for name, space in SPACES.items():
        for decision in space.decisions(8):
            for choice in decision.choices:
                key, number = (name, decision.name, choice), len(decision.choices)
                among = counts.loc[name, "size"]
                expected = 1 / number
                if choice == decision.no_connection:
                    among -= counts.loc[name, "sum"]
                elif decision.no_connection is not None:
                    expected += counts.loc[name, "sum"] / among * (1 / (number - 1) - 1 / number)
                assert found.loc[key, ["n_better", "n_rest"]].sum() == among
                assert found.loc[key, "chance"] == pytest.approx(expected)
                if choice != decision.no_connection:
                    assert found.loc[key, "better"] == pytest.approx(before.loc[key, "better"])
    part = next(part for part in sections(source_of(other)) if part.key == "operations")
    assert f"{len(bound)} trials could not choose none" in str(part.body)
