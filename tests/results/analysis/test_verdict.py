"""A verdict says what the retrainings show, and no more."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.analysis.intervals import log_ratio
from autogan_ray.results.analysis.ranking import race_winner, raced, recipes
from autogan_ray.results.analysis.verdict import NotRetrainedError, baselines, verdict, word_of
from autogan_ray.results.report.networks import final_table
from autogan_ray.results.report.sections import sections
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study import Study
from tests.results.made_studies import made_study, source_of


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


RACE = "race-derived-k16-aaaaaa"


def raced_study(folder: Path, race_recipe: str = RACE) -> tuple[Study, dict[str, str]]:
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
            race = {
                "stage": "race",
                "seed": 0,
                "kimg": end,
                "wall_s": end,
                "fid": None,
                "fid_race": score,
                "fresh_seed": False,
            }
            made.append(one | race | {"evaluation_id": f"race-{id_}", "recipe": race_recipe})
        one = next(row for row in rows if row["genotype_id"] == ids[1])
        for seed in (1, 2, 3):
            final = {
                "stage": "final",
                "chosen_by": "race",
                "fresh_seed": True,
                "seed": seed,
                "wall_s": 9.0,
                "fid": 4.0 + seed,
            }
            made.append(one | final | {"evaluation_id": f"final-{id_}-{source}-{seed}"})
    stale = made[-1] | {"evaluation_id": "not fresh", "fresh_seed": False, "fid": 0.01}
    write_table(study.folder, "evaluations", [*made, stale])
    return study, winners


@pytest.mark.parametrize("race_recipe", [RACE, "race-derived-k16-b"], ids=["of now", "of earlier versions"])
def test_winners_of_races_meet_on_fresh_seeds_and_both_pay_for_their_race(tmp_path: Path, race_recipe: str) -> None:
    study, winners = raced_study(tmp_path, race_recipe)
    found, rows = verdict(study), study.evaluations
    assert rows[rows["trial_id"] == found.trial_id]["genotype_id"].unique().tolist() == [winners["retrain"]]
    assert (found.seeds, found.n_against, found.raced, found.raced_against) == (3, 3, 3, 4)
    assert found.fid == found.fid_against == pytest.approx(stats.gmean([5, 6, 7]))
    assert (found.kimg, found.kimg_against) == (3 * 16 + 16 + 2 + 2, 3 * 16 + 16 + 2 + 2 + 2)
    assert "winner of 3 raced, 3 seeds" in str(found) and "the winner of 4 raced random genotypes, 3 seeds" in str(
        found
    )
    assert (
        f"those of random {found.kimg_against:.0f} kimg in {found.hours_against:.2g} h, races included." in found.cost
    )


def test_seeds_that_a_later_race_chose_by_are_fresh_on_neither_side(tmp_path: Path) -> None:
    study, _ = raced_study(tmp_path)
    before, rows = verdict(study), read_rows(study.folder, "evaluations")
    finals = [row for row in rows if row["stage"] == "final" and row["fresh_seed"]]
    # Both winners were retrained before they were raced, with the race's seed as well: nothing knew of the race then.
    early = [row | {"chosen_by": None, "fresh_seed": True} for row in finals]
    early += [row | {"evaluation_id": f"{row['evaluation_id']}-0", "seed": 0, "fid": 0.01} for row in early]
    write_table(study.folder, "evaluations", [*(row for row in rows if row["stage"] == "race"), *early])
    found = verdict(study)
    assert (found.seeds, found.n_against, found.raced, found.raced_against) == (3, 3, 3, 4)
    assert dataclasses.replace(found, noise=0.0) == dataclasses.replace(before, noise=0.0)


def test_the_table_for_a_paper_holds_the_verdicts_seeds_and_names_a_races_winner(tmp_path: Path) -> None:
    study, winners = raced_study(tmp_path)
    found, frame = verdict(study), final_table(study).set_index("network")
    (name,) = study.evaluations["name"][study.evaluations["genotype_id"] == winners["random"]].unique()
    assert set(frame.index) == {f"trial {found.trial_id}", f"raced {name}"} and frame["unit"].eq("seeds").all()
    assert frame["n"].tolist() == [3, 3] and frame["fid"].tolist() == pytest.approx([found.fid, found.fid_against])
    part = next(part for part in sections(source_of(study)) if part.key == "verdict")
    assert "has a lower mean" not in str(part.body) and "none was raced" not in str(part.body)


def test_a_race_of_another_length_chose_for_other_trainings(tmp_path: Path) -> None:
    study, _ = raced_study(tmp_path)
    before, rows = verdict(study), read_rows(study.folder, "evaluations")
    again = [
        row | {"evaluation_id": f"{row['evaluation_id']}-k64", "recipe": "race-derived-k64-b", "kimg": 64.0}
        for row in rows
        if row["stage"] == "race"
    ]
    write_table(study.folder, "evaluations", [*rows, *again])
    assert verdict(study) == before and verdict(study).raced == 3


def test_a_race_says_nothing_of_another_recipe_of_its_length(tmp_path: Path) -> None:
    study, _ = raced_study(tmp_path)
    rows = read_rows(study.folder, "evaluations")
    other = [
        row | {"evaluation_id": f"{row['evaluation_id']}-b", "recipe": "derived-k16-bbbbbb", "chosen_by": "score"}
        for row in rows
        if row["stage"] == "final" and row["fresh_seed"]
    ]
    write_table(study.folder, "evaluations", [*rows, *other])
    assert verdict(study, recipe="derived-k16-aaaaaa").raced_against == 4
    second = race_winner(study.evaluations, "random", "derived-k16-bbbbbb")
    assert second is None and raced(study.evaluations, "retrain", "derived-k16-bbbbbb").empty


def test_the_verdict_of_each_recipe_can_be_asked_for(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    first, rows = verdict(study), read_rows(study.folder, "evaluations")
    other = [
        row | {"evaluation_id": f"{row['evaluation_id']}-long", "recipe": "derived-k64-bbbbbb", "fid": 1 / row["fid"]}
        for row in rows[:-1]  # one less, so that it is not the main one
    ]
    write_table(study.folder, "evaluations", [*rows, *other])
    assert verdict(study) == verdict(study, recipe="derived-k16-aaaaaa") == first
    second = verdict(study, recipe="derived-k64-bbbbbb")
    assert second.recipe == "derived-k64-bbbbbb" and second.ratio == pytest.approx(1 / first.ratio)
    assert recipes(study.evaluations) == ["derived-k16-aaaaaa", "derived-k64-bbbbbb"]
    with pytest.raises(ResultsError, match=r"recipe 'derived-k64-bbbbb': no network was retrained by it; .*bbbbbb"):
        verdict(study, recipe="derived-k64-bbbbb")


def test_a_winner_whose_trainings_failed_is_not_replaced_by_the_second(tmp_path: Path) -> None:
    study, winners = raced_study(tmp_path)
    rows = read_rows(study.folder, "evaluations")
    second = next(row for row in rows if row["source"] == "retrain" and row["genotype_id"] != winners["retrain"])
    more = [second | {"stage": "final", "seed": seed, "fid": 5.0, "recipe": "derived-k16-aaaaaa"} for seed in (1, 2, 3)]
    more = [row | {"evaluation_id": f"second-{row['seed']}", "fresh_seed": True} for row in more]

    def is_winners(row: dict[str, Any]) -> bool:
        return bool(row["source"] == "retrain" and row["stage"] == "final")

    failed = [row | {"fid": None} if is_winners(row) else row for row in rows]
    write_table(study.folder, "evaluations", [*failed, *more])
    found = verdict(study)
    assert (found.genotype_id, found.word, found.seeds, found.failed) == (winners["retrain"], "no conclusion", 0, 3)
    write_table(study.folder, "evaluations", [*(row for row in rows if not is_winners(row)), *more])
    with pytest.raises(NotRetrainedError, match=f"the winner of its race, genotype {winners['retrain']}, was not"):
        verdict(study)


def test_a_winner_that_has_no_fresh_seed_is_named_as_such(tmp_path: Path) -> None:
    study, winners = raced_study(tmp_path)
    rows = read_rows(study.folder, "evaluations")
    stale = [row | {"fresh_seed": False} if row["stage"] == "final" else row for row in rows]
    write_table(study.folder, "evaluations", stale)
    with pytest.raises(NotRetrainedError, match=f"genotype {winners['retrain']}, was not retrained with a fresh seed"):
        verdict(study)


def test_networks_of_one_name_are_told_apart_by_their_genotypes(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    rows = read_rows(study.folder, "evaluations")
    one = [row for row in rows if row["source"] == "published"]
    other = [row | {"evaluation_id": f"o{row['seed']}", "genotype_id": "0" * 12, "fid": 500.0} for row in one]
    write_table(study.folder, "evaluations", [*rows, *other])
    names = [f"autogan-a {one[0]['genotype_id']}", f"autogan-a {'0' * 12}"]
    assert baselines(study) == ["random", *names]
    assert verdict(study, names[0]).n_against == 3 and verdict(study, names[1]).fid_against == pytest.approx(500)


def test_hours_and_sizes_stand_beside_the_verdict(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    found = verdict(study)
    assert found.search_hours == pytest.approx(study.trials["wall_s"].sum() / 3600)
    assert found.hours == pytest.approx(3 * 9 * 16 / 3600) and found.macs_g == found.macs_g_against == 99
    assert f"kimg in {found.hours:.2g} h" in found.cost and found.cost.endswith("against 9.9e-05 million MACs.")


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


def test_seeds_that_are_added_after_a_look_double_the_false_verdicts() -> None:
    """What docs/retraining.md says: of 4,000 worlds without a difference, by three seeds a side and then by six."""
    rng, worlds = np.random.default_rng(0), 4000
    false = {3: 0, 6: 0}
    for _ in range(worlds):
        sides = [np.exp(rng.normal(2.0, 0.2, 6)).tolist() for _ in range(2)]
        for seeds in false:
            ratio = log_ratio(*(side[:seeds] for side in sides))
            if word_of(ratio.low, ratio.high, seeds) != "not distinguishable":
                false[seeds] += 1
                break
    looks = [false[3] / worlds, (false[3] + false[6]) / worlds]
    assert looks == [pytest.approx(0.04, abs=0.01), pytest.approx(0.07, abs=0.01)]


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
