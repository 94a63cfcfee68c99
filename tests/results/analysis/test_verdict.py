"""A verdict says what the retrainings show, and no more."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.analysis.intervals import log_ratio
from autogan_ray.results.analysis.verdict import baselines, verdict, word_of
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study import Study
from tests.results.made_studies import made_study


def with_scores(study: Study, searched: list[float], random: list[float]) -> Study:
    """Replaces the retrainings: seeds of the best trial's genotype, and random genotypes of one seed each."""
    rows = read_rows(study.folder, "evaluations")
    one = next(row for row in rows if row["source"] == "retrain" and row["trial_id"] == study.best["trial_id"])
    other = next(row for row in rows if row["source"] == "random")
    made = [one | {"evaluation_id": f"a-{seed}", "seed": seed, "fid": fid} for seed, fid in enumerate(searched)]
    made += [
        other | {"evaluation_id": f"b-{seed}", "genotype_id": f"{seed:012d}", "fid": fid, "name": f"random {seed}"}
        for seed, fid in enumerate(random)
    ]
    write_table(study.folder, "evaluations", made)
    return study


@pytest.mark.parametrize(
    ("searched", "random", "word"),
    [
        ([4.0, 4.2, 4.1], [8.0, 8.4, 8.2], "better"),
        ([8.0, 8.4, 8.2], [4.0, 4.2, 4.1], "worse"),
        ([4.0, 8.0, 6.0], [5.0, 9.0, 6.5], "not distinguishable"),
        ([4.0, 4.1], [8.0, 8.4, 8.2], "no conclusion"),
        ([4.0, 4.1, 4.2], [8.0], "no conclusion"),
    ],
)
def test_the_word_follows_from_the_interval_and_the_number_of_seeds(
    tmp_path: Path, searched: list[float], random: list[float], word: str
) -> None:
    found = verdict(with_scores(made_study(tmp_path), searched, random))
    assert found.word == word and str(found).startswith(word)
    assert (found.seeds, found.n_against) == (len(searched), len(random))
    assert found.ratio == pytest.approx(stats.gmean(searched) / stats.gmean(random))
    json.dumps(found.to_dict(), allow_nan=False)


def test_random_genotypes_are_counted_once_however_many_seeds_they_had(tmp_path: Path) -> None:
    study = made_study(tmp_path, retrained=4)
    found, rows = verdict(study), study.evaluations
    means = rows[rows["source"] == "random"].groupby("genotype_id")["fid"].agg(stats.gmean)
    assert found.n_against == 4 and found.fid_against == pytest.approx(stats.gmean(means))
    mine = rows[rows["trial_id"] == found.trial_id]["fid"]
    assert found.seeds == 3 and found.fid == pytest.approx(stats.gmean(mine))
    logs = np.log(rows["fid"]).groupby(rows["genotype_id"])
    pooled = (logs.var() * (logs.count() - 1)).sum() / (logs.count() - 1).sum()
    assert found.noise == pytest.approx(math.sqrt(pooled))


def test_a_named_network_is_counted_by_its_seeds(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    assert baselines(study) == ["random", "autogan-a"]
    assert verdict(study, "autogan-a").n_against == 3


def test_retrainings_of_another_genotype_of_the_trial_are_no_seeds_of_its_best(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    before, rows = verdict(study), read_rows(study.folder, "evaluations")
    mine = [row for row in rows if row["trial_id"] == before.trial_id]
    other = [row | {"genotype_id": "f" * 12, "evaluation_id": f"x{row['seed']}", "fid": 500.0} for row in mine]
    write_table(study.folder, "evaluations", [*rows, *other])
    assert verdict(study) == dataclasses.replace(before, noise=verdict(study).noise)


def test_failed_retrainings_are_counted_and_may_leave_no_conclusion(tmp_path: Path) -> None:
    study = with_scores(made_study(tmp_path), [4.0, 4.2, 4.1], [8.0, 8.4, 8.2])
    rows = read_rows(study.folder, "evaluations")
    lost = [rows[0] | {"evaluation_id": "lost", "seed": 9, "fid": None}]
    write_table(study.folder, "evaluations", [*rows, *lost])
    found = verdict(study)
    assert (found.word, found.seeds, found.failed) == ("no conclusion", 3, 1) and "1 more failed" in str(found)
    lost = [rows[-1] | {"evaluation_id": "lost", "genotype_id": "0" * 12, "fid": None}]
    write_table(study.folder, "evaluations", [*rows, *lost])
    assert verdict(study).word == "better" and verdict(study).failed_against == 1


def test_the_recipe_of_the_searched_network_is_compared_however_many_others_there_are(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    before, rows = verdict(study), read_rows(study.folder, "evaluations")
    one = next(row for row in rows if row["source"] == "published")
    more = [one | {"evaluation_id": f"y{seed}", "seed": seed, "recipe": "other", "fid": 1.0} for seed in range(60)]
    write_table(study.folder, "evaluations", [*rows, *more])
    assert verdict(study) == before and before.recipe == "derived-k16-aaaaaa"


def test_both_sides_costs_stand_beside_the_verdict(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    found, history = verdict(study), study.history
    assert found.search_kimg == pytest.approx(history.groupby("trial_id")["kimg"].max().sum()) and found.kimg == 48
    assert f"{found.search_kimg:,.0f} kimg" in found.cost


def raced_study(folder: Path) -> tuple[Study, dict[str, str]]:
    """A study with a race of three searched and four random candidates; the ids of both winners, by source."""
    study = made_study(folder)
    rows, winners = read_rows(study.folder, "evaluations"), {}
    made = []
    for source, count in (("retrain", 3), ("random", 4)):
        ids = list(dict.fromkeys(row["genotype_id"] for row in rows if row["source"] == source))[:count]
        winners[source] = ids[1]
        for place, id_ in enumerate(ids):
            one = next(row for row in rows if row["genotype_id"] == id_)
            # Who came further stands first, though who was stopped early had, at the first rung, a better score.
            end, score = (16.0, 9.0) if place == 1 else (2.0, 8.0)
            race = {"stage": "race", "seed": 0, "kimg": end, "fid": None, "fid_race": score, "fresh_seed": False}
            made.append(one | race | {"evaluation_id": f"race-{id_}", "recipe": "race-derived-k16-b"})
        one = next(row for row in rows if row["genotype_id"] == ids[1])
        for seed in (1, 2, 3):
            final = {"stage": "final", "chosen_by": "race", "fresh_seed": True, "seed": seed, "fid": 4.0 + seed}
            made.append(one | final | {"evaluation_id": f"final-{id_}-{source}-{seed}"})
    stale = made[-1] | {"evaluation_id": "not fresh", "fresh_seed": False, "fid": 0.01}
    write_table(study.folder, "evaluations", [*made, stale])
    return study, winners


def test_winners_of_races_meet_on_fresh_seeds_and_both_pay_for_their_race(tmp_path: Path) -> None:
    study, winners = raced_study(tmp_path)
    found, rows = verdict(study), study.evaluations
    assert rows[rows["trial_id"] == found.trial_id]["genotype_id"].unique().tolist() == [winners["retrain"]]
    assert (found.seeds, found.n_against, found.raced, found.raced_against) == (3, 3, 3, 4)
    assert found.fid == found.fid_against == pytest.approx(stats.gmean([5, 6, 7]))
    assert (found.kimg, found.kimg_against) == (3 * 16 + 16 + 2 + 2, 3 * 16 + 16 + 2 + 2 + 2)
    assert "winner of 3 raced, 3 seeds" in str(found) and "the winner of 4 raced random genotypes, 3 seeds" in str(
        found
    )
    assert found.cost.endswith(f"those of random {found.kimg_against:.0f}, races included.")


# Standard deviations of log FD of a seed and between genotypes: measured on digits and on CIFAR-10 (two objectives).
@pytest.mark.parametrize(("seed_sd", "genotype_sd"), [(0.28, 0.20), (0.10, 0.16), (0.24, 0.28)])
def test_intervals_of_raced_networks_hold_the_truth_where_seeds_are_fresh_alone(
    seed_sd: float, genotype_sd: float
) -> None:
    """10,000 worlds each: eight candidates a side are drawn and raced, and three seeds of each winner compared."""
    rng, worlds = np.random.default_rng(int(1000 * seed_sd)), 10_000
    held = better = 0
    bias: dict[str, list[float]] = {"fresh": [], "one that chose": []}
    for _ in range(worlds):
        truths, fresh, scores_of_winners = [], [], []
        for _ in range(2):
            genotypes = rng.normal(2.0, genotype_sd, 8)
            scores = rng.normal(genotypes, seed_sd)
            winner = scores.argmin()
            truths.append(genotypes[winner])
            scores_of_winners.append(scores[winner])
            fresh.append(np.exp(rng.normal(genotypes[winner], seed_sd, 3)).tolist())
        truth = truths[0] - truths[1]
        interval = log_ratio(*fresh)
        held += interval.low <= np.exp(truth) <= interval.high
        bias["fresh"].append(np.log(interval.estimate) - truth)
        bias["one that chose"].append(scores_of_winners[0] - np.log(fresh[1]).mean() - truth)
        same = log_ratio(*(np.exp(rng.normal(2.0, seed_sd, 3)).tolist() for _ in range(2)))
        better += word_of(same.low, same.high, 3) == "better"
    assert 0.93 * worlds <= held <= 0.97 * worlds
    assert better <= 0.03 * worlds
    assert abs(np.mean(bias["fresh"])) < 4 * seed_sd / np.sqrt(worlds)
    assert np.mean(bias["one that chose"]) < -0.2 * seed_sd, "a score that chose a network flatters it"


def test_seeds_needed_show_the_difference_in_four_of_five_worlds(tmp_path: Path) -> None:
    study = with_scores(made_study(tmp_path), [5.0, 7.0, 9.0], [6.0, 8.0, 10.0])
    needed = verdict(study).seeds_needed
    assert needed is not None and needed > 3
    rng, shown, worlds = np.random.default_rng(0), 0, 1000
    sides = [np.log(side) for side in ([5.0, 7.0, 9.0], [6.0, 8.0, 10.0])]
    for _ in range(worlds):
        drawn = [rng.normal(side.mean(), side.std(ddof=1), needed) for side in sides]
        shown += stats.ttest_ind(*drawn).pvalue < 0.05
    assert 0.76 <= shown / worlds <= 0.85


def test_what_was_not_retrained_is_named_with_the_command_that_does_it(tmp_path: Path) -> None:
    study = made_study(tmp_path, retrained=0)
    with pytest.raises(ResultsError, match=r"no trial was retrained.*--genotype random --seeds 3"):
        verdict(study)
    study = made_study(tmp_path)
    with pytest.raises(ResultsError, match=r"'autogan-b' was not retrained .*autogan-a.*--genotype autogan-b"):
        verdict(study, "autogan-b")


def test_rows_of_earlier_versions_without_a_recipe_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    before, rows = verdict(study), read_rows(study.folder, "evaluations")
    other = [
        row | {"evaluation_id": row["evaluation_id"].replace("k16", "k1"), "fid": 99.0, "recipe": None}
        for row in rows[:4]
    ]
    write_table(study.folder, "evaluations", [*(row | {"recipe": None} for row in rows), *other])
    assert verdict(study) == dataclasses.replace(before)
