"""The benchmark of objectives: which networks it draws, what it reads of job files, and what it says of curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import objectives
import pandas as pd
import pytest
from versus_plan import Task

from autogan_ray.base.errors import ConfigError
from autogan_ray.spaces.genotype import Genotype


def test_random_networks_leave_out_no_edge_of_the_generator_and_differ() -> None:
    networks = objectives.networks_of(["adversarialnas:4", "autogan:1"], ["dcgan"], 32)
    assert list(networks) == [*(f"adversarialnas {number}" for number in range(4)), "autogan 0", "dcgan"]
    drawn = [Genotype.from_dict(networks[f"adversarialnas {number}"]["genotype"]) for number in range(4)]
    assert len({genotype.genotype_id for genotype in drawn}) == 4
    assert all("none" not in dict(genotype.generator).values() for genotype in drawn)


def test_a_game_changes_how_is_retrained_and_nothing_else() -> None:
    name, study = objectives.studied(
        "smoke", {"seed": 3}, "lazy:retrain.objective=relativistic,retrain.penalty_every=4"
    )
    assert (name, study.seed) == ("lazy", 3)
    assert (study.retrain.objective, study.retrain.penalty_every) == ("relativistic", 4)
    with pytest.raises(ConfigError, match=r"search\.kimg is not of \[retrain\]"):
        objectives.studied("smoke", {}, "longer:search.kimg=9")
    with pytest.raises(ConfigError, match="write it as NAME:key=value"):
        objectives.studied("smoke", {}, "relativistic")
    with pytest.raises(ConfigError, match="write it as SPACE:N"):
        objectives.networks_of(["autogan"], [], 32)


def task(name: str) -> Task:
    return Task("retrain", name, {"name": name})


def test_curves_are_read_of_the_jobs_that_are_done(tmp_path: Path) -> None:
    done, missing = task("done"), task("missing")
    file = done.file(tmp_path)
    file.parent.mkdir(parents=True)
    points = [{"kimg": 1.0, "fid": 9.0}, {"kimg": 2.0, "fid": None}]
    file.write_text(json.dumps({"result": {"curve": points, "cpu_s": 5.0}}))
    curves = objectives.curves_of({("hinge", "a", 0): done, ("hinge", "b", 0): missing}, tmp_path)
    assert curves["network"].tolist() == ["a", "a"] and curves["kimg"].tolist() == [1.0, 2.0]
    assert curves["fid"].iloc[0] == 9.0 and np.isnan(curves["fid"].iloc[1])


def cells(report: str, row: str) -> list[str]:
    """The cells of the first row that begins so."""
    line = next(line for line in report.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_report_has_geometric_means_variance_parts_and_pairs_that_all_games_have() -> None:
    """Scores exp(network +- seed): a seed moves them by 0.1, a network by 1, and the second game halves them."""
    rows = []
    for game, factor in (("one", 1.0), ("other", 0.5)):
        for number, network in enumerate("abc"):
            for seed in range(2):
                for at, early in enumerate((3.0, 1.0)):
                    fid = factor * early * np.exp(number + 0.1 * (2 * seed - 1))
                    rows.append({"game": game, "network": network, "seed": seed, "number": at, "cpu_s": 7.0,
                                 "kimg": 1.0 + at, "fid": fid})  # fmt: skip
    curves = pd.DataFrame(rows)
    alone = curves[(curves["network"] == "a") & (curves["game"] == "one")].assign(network="alone", fid=1e6)
    report = objectives.report(pd.concat([curves, alone]), "FD (some)")
    assert report.startswith("FD (some); 3 networks, 6 pairs of network and seed done under all")
    means = cells(report, "one")
    assert [float(cell) for cell in means[1:3]] == pytest.approx([3 * np.e, np.e], rel=0.01) and means[-1] == "7"
    assert [float(cell) for cell in cells(report, "other")[1:3]] == pytest.approx([1.5 * np.e, 0.5 * np.e], rel=0.01)
    parts = report.partition("SD of a seed")[2]
    seed_sd, genotype_sd, share, failed, better, tau = cells(parts, "other")[1:]
    # The variance of two seeds' means is that of networks, 1, and half of that of a seed, 0.02.
    assert float(seed_sd) == pytest.approx(0.02**0.5, abs=0.005)
    assert float(genotype_sd) == pytest.approx((1 - 0.02 / 2) ** 0.5, abs=0.006)
    assert float(share) == pytest.approx(0.98, abs=0.01) and better == "6 of 6" and tau == "+1.00"
    assert failed == "0" and cells(parts, "one")[5] == ""
    assert float(cells(report, "c")[1]) == pytest.approx(np.exp(2), rel=0.01)


def test_nothing_is_said_before_a_network_is_done_under_all_games() -> None:
    assert objectives.report(pd.DataFrame(), "FD") == "nothing is done yet"
    row = {"network": "a", "seed": 0, "number": 0, "cpu_s": 1.0, "kimg": 1.0, "fid": 2.0}
    lone = pd.DataFrame([row | {"game": "one"}, row | {"game": "other", "network": "b"}])
    assert objectives.report(lone, "FD") == "no network is trained under all games yet"


def row_of(game: str, network: str, number: int, fid: float | None, batch: int = 32) -> dict[str, object]:
    kimg = batch * round(16_000 * (number + 1) / batch) / 1000
    score = np.nan if fid is None else fid
    return {"game": game, "network": network, "seed": 0, "number": number, "cpu_s": 1.0, "kimg": kimg, "fid": score}


def test_a_game_that_fails_to_train_a_network_does_not_look_better_for_it() -> None:
    rows = [
        *[row_of("A", "good", number, fid) for number, fid in enumerate((20.0, 10.0))],
        *[row_of("A", "bad", number, fid) for number, fid in enumerate((200.0, 100.0))],
        *[row_of("B", "good", number, fid) for number, fid in enumerate((20.0, 10.5))],
        *[row_of("B", "bad", number, fid) for number, fid in enumerate((180.0, None))],
    ]
    for curves in (pd.DataFrame(rows), pd.DataFrame(rows[:-1])):  # the last row is null, or there is none
        report = objectives.report(curves, "FD")
        assert "2 pairs of network and seed done under all; 1 that no game failed" in report
        assert cells(report, "A")[2] == "10" and cells(report, "B")[2] == "10.5"
        parts = report.partition("SD of a seed")[2]
        assert cells(parts, "B")[4:6] == ["1", "0 of 2"] and cells(parts, "A")[4] == "0"
        swapped = objectives.report(pd.concat([curves[curves["game"] == "B"], curves[curves["game"] == "A"]]), "FD")
        assert cells(swapped.partition("SD of a seed")[2], "A")[4:6] == ["0", "2 of 2"]
    lost = objectives.report(pd.DataFrame(rows).assign(fid=np.nan), "FD")
    assert lost == "FD; 2 networks, 2 pairs of network and seed done under all, and each failed under one at least"


def test_games_of_other_batch_sizes_meet_at_their_evaluations_and_other_lengths_are_refused() -> None:
    rows = [
        row_of(game, network, number, 100.0 / (number + 1) / factor, batch)
        for game, factor, batch in (("A", 1.0, 32), ("B", 2.0, 24))
        for network in ("one", "two")
        for number in range(8)
    ]
    report = objectives.report(pd.DataFrame(rows), "FD")
    assert cells(report, "game")[1:3] == ["16 kimg", "32 kimg"] and cells(report, "B")[1:3] == ["50", "25"]
    names = ["a:retrain.objective=hinge", "b:retrain.batch_size=16", "c:retrain.kimg=1", "d:retrain.evaluations=1"]
    studies = dict(objectives.studied("smoke", {}, text) for text in names)
    objectives.check_lengths({name: studies[name] for name in "ab"})
    for name, setting in (("c", "kimg"), ("d", "evaluations")):
        with pytest.raises(ConfigError, match=rf"--game {name}: retrain\.{setting} = 1.*, where a has"):
            objectives.check_lengths({one: studies[one] for one in ("a", name)})
