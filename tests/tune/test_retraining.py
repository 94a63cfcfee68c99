"""Retrainings and races on Ray: killed and resumed, on two nodes, and against a replay of what ASHA saw."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

import autogan_ray as ag
from autogan_ray.results.trial_log import TrialLogs
from tests.sessions import started_by

from .conftest import command, run

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

RACE = ["--race", "3", "--genotype", "random:5", "--genotype", "dcgan", "--seeds", "2", "--set", "retrain.kimg=0.256"]
SCORES = ["fid", "fid_race", "kid_mean", "is_mean", "precision", "recall", "kimg", "stage", "chosen_by", "fresh_seed"]


def scores(folder: Path) -> pd.DataFrame:
    rows = pd.read_parquet(folder / "evaluations.parquet").set_index("evaluation_id").sort_index()
    return rows[SCORES]


def curves(folder: Path) -> pd.DataFrame:
    rows = pd.read_parquet(folder / "curves.parquet").sort_values(["evaluation_id", "kimg"]).reset_index(drop=True)
    return rows[["evaluation_id", "kimg", "fid", "loss_g", "loss_d", "d_real", "d_fake"]]


ALONE = ["taskset", "-c", "0"]
"""One candidate at a time: the order in which scores come decides what ASHA does."""


@pytest.fixture(scope="module")
def raced(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a race of searched and of random candidates; its output beside it."""
    folder = shutil.copytree(smoke, tmp_path_factory.mktemp("raced") / "smoke")
    with (folder.parent / "log.txt").open("w") as log:
        subprocess.run(
            [*ALONE, *command("retrain", "smoke", *RACE)], cwd=folder.parent, stdout=log, stderr=log, check=True
        )
    return folder


def test_a_race_chooses_and_fresh_seeds_claim(raced: Path) -> None:
    study, log = ag.load_study(raced), (raced.parent / "log.txt").read_text()
    rows = study.evaluations
    race, final = rows[rows["stage"] == "race"], rows[rows["stage"] == "final"]
    assert race["source"].eq("random").sum() == 5 and race["source"].eq("retrain").sum() in (
        1,
        2,
        3,
    )  # trials may agree
    assert not race["fresh_seed"].any() and race["seed"].eq(0).all() and race["checkpoint_path"].isna().all()
    assert final["fresh_seed"].all() and set(final["seed"]) == {1, 2} and final["checkpoint_path"].notna().all()
    assert final["source"].value_counts().to_dict() == {"retrain": 2, "random": 2, "published": 2}
    assert final.set_index("source")["chosen_by"].to_dict() == {
        "retrain": "race",
        "random": "race",
        "published": "user",
    }
    for source in ("retrain", "random"):
        candidates = race[race["source"] == source].sort_values(["kimg", "fid_race"], ascending=[False, True])
        winner = candidates["genotype_id"].iloc[0]
        assert set(final[final["source"] == source]["genotype_id"]) == {winner}
        assert candidates["kimg"].iloc[0] == 0.256  # somebody ran to the end
    assert (race[race["source"] == "random"]["kimg"] < 0.256).any(), "nobody was stopped"
    whole = study.curves[study.curves["evaluation_id"].isin(race["evaluation_id"])]
    assert whole["fid_average"].eq("ema_unbiased").all() and set(whole["evaluation_id"]) == set(race["evaluation_id"])
    assert "race of 5 random candidates: about " in log and "trainings that the races took: " in log
    verdict = study.verdict("random")
    assert verdict.raced_against == 5 and verdict.raced == len(race) - 5 and verdict.seeds == verdict.n_against == 2
    assert verdict.kimg_against == pytest.approx(race[race["source"] == "random"]["kimg"].sum() + 2 * 0.256)
    assert "the winner of 5 raced random genotypes" in log


def test_a_race_is_what_asha_does_with_its_curves(raced: Path) -> None:
    """Ray's own scheduler, told the same scores in the order in which they came, stops the same candidates."""
    for source in ("retrain", "random"):
        logs = {log.trial_id: log for log in TrialLogs(raced / "retrain", f"{source}-.+-race-.+")}
        reports = [(record["timestamp"], name, record) for name, log in logs.items() for record in log.records]
        asha = ASHAScheduler(
            time_attr="evaluation", metric="fid", mode="min", max_t=8, grace_period=1, reduction_factor=3
        )
        trials = {name: type("Trial", (), {"trial_id": name, "config": {}})() for name in logs}
        for trial in trials.values():
            asha.on_trial_add(None, trial)  # type: ignore[arg-type]
        stopped = set()
        for _, name, record in sorted(reports, key=lambda report: report[:2]):
            result = {"fid": record["fid"], "evaluation": record["evaluation"]}
            decision = asha.on_trial_result(None, trials[name], result)  # type: ignore[arg-type]
            if decision == TrialScheduler.STOP and record["evaluation"] < 8:
                stopped.add(name)
        assert stopped == {name for name, log in logs.items() if log.state == "pruned"}


@pytest.mark.timeout(600)
def test_a_race_whose_driver_and_worker_are_killed_ends_as_the_undisturbed_one(
    smoke: Path, raced: Path, tmp_path: Path
) -> None:
    folder, log = shutil.copytree(smoke, tmp_path / "smoke"), tmp_path / "log.txt"
    typed = [*ALONE, *command("retrain", "smoke", *RACE, "--resume")]
    for victims in ({"random 1": "worker", "random 3": "driver"}, {"seed 2, 0.128": "driver"}, {}):
        with log.open("w") as out:
            process = subprocess.Popen(typed, cwd=tmp_path, stdout=out, stderr=out)
        for words, victim in victims.items():
            while words not in log.read_text():
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            if victim == "driver":
                process.kill()
            else:
                while not (workers := [child for child, name in started_by(process.pid) if "ray::smoke" in name]):
                    assert process.poll() is None, log.read_text()
                workers[0].kill()
        assert process.wait(timeout=200) == (-signal.SIGKILL if victims else 0), log.read_text()
    for read in (scores, curves):
        pd.testing.assert_frame_equal(read(raced), read(folder), check_exact=True)
    restarts = [log.status["starts"] for log in TrialLogs(folder / "retrain", ".+")]
    assert sum(starts > 1 for starts in restarts) >= 2, restarts
    candidates = (folder / "retrain" / "trials").glob("*-race-*.jsonl")
    winner = next(file for file in candidates if "complete" in file.read_text())
    winner.write_bytes(winner.read_bytes().replace(b'"evaluation":3', b'"evaluation":4', 1))
    told = run(*typed[len(ALONE) + len(command()) :], cwd=tmp_path).stdout
    assert "warning: " in told and "its log is damaged (" in told and "and it is trained again" in told
    pd.testing.assert_frame_equal(scores(raced), scores(folder), check_exact=True)


NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=2, num_gpus=1, include_dashboard=False))
cluster.add_node(num_cpus=2, num_gpus=1)
print("address", cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.mark.timeout(600)  # each network has a process of its own
def test_a_race_runs_on_both_nodes_of_a_cluster(smoke: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(smoke, tmp_path / "smoke")
    race = ["--race", "2", "--genotype", "random:2", "--seeds", "1", "--set", "retrain.kimg=0.256"]
    head = subprocess.Popen(
        [sys.executable, "-c", NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    with head:
        assert head.stdout is not None and head.stdin is not None
        address = next(line for line in head.stdout if line.startswith("address ")).split()[1]
        asked = ["--gpus", "2", "--address", address]
        refused = run("retrain", "smoke", *race, *asked, cwd=tmp_path, check=False)
        asked += ["--storage", str(tmp_path / "storage")]
        found = run("retrain", "smoke", *race, *asked, cwd=tmp_path, check=False, timeout=500)
        head.stdin.write("\n")
    assert refused.returncode == 2 and "has 2 nodes" in refused.stderr and "--storage /shared" in refused.stderr
    assert found.returncode == 0, found.stdout + found.stderr
    assert "2 side by side" in found.stdout
    texts = [file.read_text() for file in (folder / "retrain" / "trials").glob("*.log")]
    lines = [line for text in texts for line in text.splitlines() if "runs on node" in line]
    # Two at a time, each with a whole GPU, and all with the first GPU of their node: so both nodes trained.
    assert {line.rsplit(", ", 1)[1] for line in lines} == {"gpu:0 (on cpu)"} and len(lines) >= 5
    rows = scores(folder)
    assert (rows["stage"] == "final").sum() == 2 and rows["fid"].fillna(rows["fid_race"]).notna().all()
    assert not any((tmp_path / "storage").glob("*/*/*/checkpoint_*")), "checkpoints of finished networks are left"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("--finalists 2 without a race", ["--finalists", "2"]),
        ("one network is no race", ["--race", "2", "--trial", "0"]),
        ("the race says how many", ["--race", "2", "--top", "2"]),
        ("write a number from 1 to 9999", ["--genotype", "random:x"]),
        ("--gpus-per-network 0.5 without GPUs", ["--gpus-per-network", "0.5"]),
        ("race.grace = 2", ["--race", "2", "--set", "race.grace=2"]),
        ("no setting 'race.grase'", ["--race", "2", "--set", "race.grase=1"]),
        ("nothing answers there", ["--address", "127.0.0.1:1"]),
    ],
)
def test_a_slip_is_named_before_ray_starts(message: str, arguments: list[str], raced: Path) -> None:
    from .conftest import ask

    found = ask("retrain", str(raced), *arguments)
    assert found.exit_code == 2 and message in found.output, found.output
