"""Whole studies on Ray: tables, determinism, interruption and resume, devices, retraining, the README's Python.

One file, as ``make test`` runs files side by side: one study and one cluster at a time for all of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from glob import glob
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from optuna.trial import TrialState
from PIL import Image

import autogan_ray as ag
from autogan_ray.base.errors import ConfigError, ResultsError
from autogan_ray.config.study import StudyConfig, TrialConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import prepare
from autogan_ray.results.schemas import TABLES
from autogan_ray.results.trial_log import TrialLogs, read_log
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.load import load_space
from autogan_ray.training.data import load_data
from autogan_ray.tune.journal import open_journal
from tests.sessions import started_by
from tests.test_docs import commands, words_of
from tests.training.images import pictures

from .conftest import ROOT, ask, command, run

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

TIMING = ["timestamp", "images_per_s", "eval_s", "peak_mem_mib", "attempt"]
NOT_THE_SEARCHES = [*TIMING, "wall_s", "device", "node", "pid"]


def history(folder: Path) -> pd.DataFrame:
    found = pd.read_parquet(folder / "history.parquet").drop(columns=TIMING)
    return found.sort_values(["trial_id", "evaluation"]).reset_index(drop=True)


def test_a_study_leaves_tables_that_agree(smoke: Path) -> None:
    study = ag.load_study(smoke)
    for name, table in TABLES.items():
        swept = ["optim.lr_g"] if name == "trials" else []
        assert list(pd.read_parquet(smoke / f"{name}.parquet").columns) == [*table.schema.names, *swept]
    assert study.evaluations.empty and study.curves.empty
    trials = study.trials
    assert trials["trial_id"].tolist() == ["t0000", "t0001", "t0002"]
    assert set(trials["status"]) <= {"complete", "pruned"}
    assert len(study.history) == trials["evaluations"].sum()
    about = study.studies.iloc[0]
    assert 0 < about["floor_fid"] < about["fid_untrained"]
    assert all((smoke / name).is_file() for name in ("reals.png", "grids/t0000/0000.png", "grids/t0000/0001.png"))
    assert study.studies["status"].iloc[0] == "complete" and study.best["fid_best"] == trials["fid_best"].min()
    shares = study.decisions.groupby(["trial_id", "evaluation", "decision"])["probability"].sum()
    assert ((shares - 1).abs() < 1e-5).all()
    assert set(study.history["genotype_id"]) == set(study.genotypes["genotype_id"])
    first = study.history.query("evaluation == 1").set_index("trial_id")["fid"]  # the grace of smoke
    assert trials["fid_first_rung"].tolist() == first.tolist()
    own = study.studies.iloc[0]
    assert (own["channels"], own["n_classes"], own["n_images"], own["data_source"]) == (1, 10, 600, "digits")
    for name in trials["trial_id"]:
        assert (smoke / "trials" / f"{name}.log").read_text().count(" evaluation ") >= 1
        assert list((smoke / "tensorboard" / name).glob("events.out.tfevents.*"))
    assert own["data_read"].startswith("digits: 600 images of 8x8 px, grey, 10 classes (0: ")
    assert own["data_read"].endswith("; 600 taken of 1,797") and own["data_read"] in ask("show", str(smoke)).output
    assert trials["lr_g"].nunique() == 3 and trials["device"].eq("cpu").all()
    for row in trials.itertuples():
        assert row.fid_best == study.history.query("trial_id == @row.trial_id")["fid"].min()


def test_a_trial_in_a_process_that_ran_others_equals_a_search_without_ray(smoke: Path) -> None:
    logs = list(TrialLogs(smoke))
    assert len(logs) == 3 and len({record["pid"] for log in logs for record in log.records}) == 1
    study, last = ag.load_study(smoke), read_log(smoke, "t0002")
    config = StudyConfig.parse(study.config, "study", ConfigError)
    measure = prepare(config.data, config.metrics)
    protocol = Protocol.of(config, config.metrics.n_fake_search)
    evaluator = Evaluator(Extractor(measure.extractor), measure.real, protocol, "cpu")
    trial = TrialConfig.parse(last.about["config"], "trial", ConfigError)
    loop = SearchLoop(trial, load_space(trial.space), measure.data, evaluator, evaluations=config.tune.max_evaluations)
    for record in last.records:
        expected = next(loop.records()).to_dict()
        # BLAS sums in an order of its own by where memory lies: torch-fidelity's KID, in float32, shows it.
        assert expected["kid"] == pytest.approx(record["kid"], rel=1e-6)
        told = {**expected, **{key: record[key] for key in (*NOT_THE_SEARCHES, "kid")}}
        assert json.loads(json.dumps(told)) == record  # through JSON, as the driver was told
    assert 0 < last.records[-1]["peak_mem_mib"] < 4096


def test_a_study_that_is_interrupted_keeps_its_tables_and_resumes_to_the_same_history(
    smoke: Path, tmp_path: Path
) -> None:
    study = ["run", "smoke", "--set", "tune.max_concurrent=1", "--trials"]
    found = interrupted_at_the_first_report(tmp_path, *study, "2")
    assert found.returncode == 130 and "--resume" in found.stdout, found.stdout + found.stderr
    assert "the trial's process was there already" in found.stdout
    assert "it is named ray::smoke trial" in found.stdout
    folder = tmp_path / "results" / "smoke"
    trials = pd.read_parquet(folder / "trials.parquet")
    assert trials["trial_id"].tolist() == ["t0000"] and trials["status"].tolist() == ["interrupted"]
    assert pd.read_parquet(folder / "studies.parquet")["status"].iloc[0] == "interrupted"
    run(*study, "2", "--resume", cwd=tmp_path)
    assert "complete already" in run(*study, "2", "--resume", cwd=tmp_path).stdout
    told = (folder / "trials" / "t0000.log").read_text()
    # The interrupt may have come before the checkpoint of the first report.
    assert "goes on from the checkpoint of evaluation 1" in told or "(attempt 2)" in told
    assert "Z interrupted after 1 evaluation, " in told and "Z goes on, start 2, after 1 evaluation\n" in told
    (folder / "rungs.json").write_bytes((folder / "rungs.json").read_bytes()[:9])
    third = run(*study, "3", "--resume", cwd=tmp_path)  # one more, as if it had been asked for from the start
    assert "warning: rungs.json is built again from the trials' logs: it is damaged" in third.stdout
    both = [history(one).drop(columns="study_id") for one in (smoke, folder)]  # a study keeps the id it began with
    pd.testing.assert_frame_equal(*both, check_exact=True)
    assert pd.read_parquet(folder / "studies.parquet")["num_trials"].tolist() == [3]
    assert ag.load_study(folder).config["tune"]["num_trials"] == 3
    fewer = run(*study, "2", "--resume", cwd=tmp_path, check=False)
    assert fewer.returncode == 2 and "tune.num_trials: 3 -> 2" in fewer.stderr


def test_a_failed_trial_is_printed_with_its_reason_and_run_again_by_resume(tmp_path: Path) -> None:
    once = ["run", "smoke", "--trials", "1", "--set", "tune.max_failures=0"]
    killed = 'os.kill(result["pid"], signal.SIGKILL)'
    found = interrupted_at_the_first_report(tmp_path, *once, interrupt=killed)
    assert found.returncode == 0, found.stdout + found.stderr
    reason = r"failed: 1 of 1 trials \(t0000\): [\w.]*ActorDiedError: .*\n.* try again with\n  .* --resume\n"
    assert re.search(reason, found.stdout)
    folder = tmp_path / "results" / "smoke"
    trials, studies = (pd.read_parquet(folder / f"{name}.parquet") for name in ("trials", "studies"))
    assert "Z failed\n" in (log := (folder / "trials" / "t0000.log").read_text()) and "ActorDiedError" in log
    assert trials["status"].tolist() == ["error"] and studies["status"].tolist() == ["complete"]
    again = run(*once, "--resume", cwd=tmp_path).stdout
    assert "lost, which are run again: t0000\n" in again and "failed: " not in again
    later = pd.read_parquet(folder / "trials.parquet")
    assert later["status"].tolist() == ["complete"] and later["restarts"].tolist() == [1]
    assert later["error_message"].isna().all()
    assert "complete already" in run(*once[:-1], "tune.max_failures=5", "--resume", cwd=tmp_path).stdout
    assert ag.load_study(folder).config["tune"]["max_failures"] == 5  # it decides nothing, and is recorded


def interrupted_at_the_first_report(
    cwd: Path, *arguments: str, interrupt: str = "os.kill(os.getpid(), signal.SIGINT)"
) -> subprocess.CompletedProcess[str]:
    """Ctrl-C in the moment in which the driver hears of it: on a busy machine one from here may come far later."""
    script = f"""
import os, psutil, signal, sys
from autogan_ray.cli.main import main
from autogan_ray.tune.recorder import Recorder
there = set()
class Interrupted(Recorder):
    def __init__(self, *given):
        super().__init__(*given)
        there.update(process.pid for process in psutil.Process().children(recursive=True))
    def on_trial_result(self, *given, result, **more):
        super().on_trial_result(*given, result=result, **more)
        print("it is named", " ".join(psutil.Process(result["pid"]).cmdline()))
        print("the trial's process", "was there already" if result["pid"] in there else "was started for it")
        {interrupt}
    def on_trial_complete(self, *given, **more):
        print("Ray told of an end")
        super().on_trial_complete(*given, **more)
sys.modules[Recorder.__module__].Recorder = Interrupted
main()
"""
    typed = [command()[0], "-c", script, *arguments]
    return subprocess.run(typed, cwd=cwd, capture_output=True, text=True, timeout=290, env=os.environ)


def test_a_trial_whose_process_was_killed_goes_on_to_the_same_evaluations(smoke: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1"),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None
    # Once a trial, as a restarted one tells its first evaluation again and would be killed until it is given up;
    # and once between two trials, when the process is handed the next.
    killed = set()
    with process:
        for line in process.stdout:
            found = re.search("(t000[012]) evaluation 1|(t0000) (complete|pruned)", line)
            if found and found[0] not in killed:
                killed.add(found[0])
                kill_trial_of(process.pid)
    assert process.returncode == 0
    folder = tmp_path / "results" / "smoke"
    # Every evaluation that both studies have is the same, and none stands twice. (When a worker dies in the moment
    # of ASHA's decision, the two may prune at different evaluations.)
    keys = ["trial_id", "evaluation"]
    one, other = history(smoke).set_index(keys), history(folder).set_index(keys)
    common = one.index.intersection(other.index)
    assert len(common) >= 3 and other.index.is_unique
    pd.testing.assert_frame_equal(one.loc[common], other.loc[common], check_exact=True)
    trials = pd.read_parquet(folder / "trials.parquet")
    assert set(trials["status"]) <= {"complete", "pruned"}, trials[["status", "error_type", "error_message"]]
    if trials["restarts"].sum() == 0:
        pytest.skip("every kill came after the end of its trial")


def test_a_killed_driver_goes_on_to_the_same_history_and_needs_nothing_of_rays_state(
    smoke: Path, tmp_path: Path
) -> None:
    study = ["run", "smoke", "--trials", "3", "--set", "tune.max_concurrent=1"]
    place = tmp_path / "before"
    place.mkdir()
    process = subprocess.Popen(
        command(*study), cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "t0001 evaluation 1" in line:
                process.kill()
                break
    for file in (place / "results" / "smoke" / "tune").glob("*.[jp][sk]*"):
        file.write_bytes(file.read_bytes()[:100])  # as a crash or a full disk leaves them
    for _ in range(40):  # Ray's processes see within seconds that the driver is gone
        with contextlib.suppress(OSError):
            shutil.copytree(place, tmp_path / "after")
            break
        shutil.rmtree(tmp_path / "after", ignore_errors=True)
        time.sleep(0.5)
    shutil.rmtree(place, ignore_errors=True)
    folder = (tmp_path / "after" / "results" / "smoke").rename(tmp_path / "after" / "results" / "renamed")
    run(*study, "--name", "renamed", "--resume", cwd=tmp_path / "after")
    pd.testing.assert_frame_equal(history(smoke), history(folder), check_exact=True)
    trials = pd.read_parquet(folder / "trials.parquet")
    assert trials["status"].equals(pd.read_parquet(smoke / "trials.parquet")["status"])
    assert trials["restarts"].tolist()[0] == 0 and trials["restarts"].sum() <= 1
    moved = ag.load_study(folder)
    assert moved.name == "renamed" and not place.exists()
    paths = trials["checkpoint_path"].dropna()  # the kill may have come before a pruned trial's was reported
    assert {0, 2} <= set(paths.index) and paths.str.startswith("tune/t000").all()
    assert all(Path(moved.path(path)).is_dir() for path in paths)


def kill_trial_of(driver: int) -> None:
    """Kill -9 the worker that runs a trial of this driver, if there is one."""
    for child, name in started_by(driver):
        if "smoke trial" in name:
            with contextlib.suppress(psutil.Error):
                child.kill()


def test_eight_gpus_run_a_trial_on_each_and_shares_of_a_gpu_are_packed_on_it(tmp_path: Path) -> None:
    """On GPUs that are declared, not there. Two studies in one cluster: a whole GPU each, a quarter each."""
    script = """
import os
from autogan_ray.tune.cluster import ENVIRONMENT
os.environ.update(ENVIRONMENT)
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=dict(num_cpus=8, num_gpus=8, include_dashboard=False))
import subprocess, sys
for name, gpus, share, trials in (("whole", "8", "1", "8"), ("packed", "1", "0.25", "4")):
    subprocess.run([sys.executable, "-m", "autogan_ray", "run", "smoke", "--name", name, "--gpus", gpus,
        "--gpus-per-trial", share, "--trials", trials, "--address", cluster.address, "--set", "tune.scheduler=none",
        "--set", "search.kimg=0.9"], check=True)
cluster.shutdown()
"""
    found = subprocess.run(
        [str(Path(command()[0])), "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=290
    )
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    whole, packed = (ag.load_study(tmp_path / "results" / name) for name in ("whole", "packed"))
    assert sorted(whole.trials["device"]) == [f"gpu:{index} (on cpu)" for index in range(8)]
    assert whole.studies["gpus"].iloc[0] == 8
    assert packed.trials["device"].nunique() == 1 and len(packed.trials) == 4
    # All four at the same time: the last began before the first had ended.
    assert packed.trials["started_at"].max() < packed.history.groupby("trial_id")["timestamp"].max().min()
    # On GPUs each trial gets a process, and so a CUDA context, of its own.
    pids = [{record["pid"] for record in log.records} for log in TrialLogs(whole.folder)]
    assert len(set.union(*pids)) == 8


def _other_digits(file: Path) -> Path:
    """The images of the study in another order: none that it was measured on."""
    digits = load_data("digits")
    images = [pictures.encoded(Image.fromarray(image[0])) for image in digits.images[::-1]]
    return pictures.table(file, digits.labels[::-1].tolist(), images)


def test_retraining_leaves_scores_and_usable_files_in_a_folder_that_may_be_moved_and_renamed(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "before" / "smoke"
    shutil.copytree(smoke, folder)
    found = run("retrain", str(folder), "--trial", "best", "--genotype", "random", "--seeds", "2", cwd=tmp_path)
    assert "floor" in found.stdout and "random genotypes" in found.stdout and "untrained" in found.stdout
    assert str(folder / "retrain") in found.stdout
    folder = (tmp_path / "before").rename(tmp_path / "after") / "smoke"
    folder = folder.rename(folder.with_name("renamed"))
    rows = pd.read_parquet(folder / "evaluations.parquet")
    assert rows["source"].value_counts().to_dict() == {"retrain": 2, "random": 2}
    assert rows["fid"].notna().all() and (rows["n_fake"] == 256).all() and rows["precision"].between(0, 1).all()
    assert "t0000" in ask("show", str(folder)).output and "renamed" in ask("list", str(folder.parent)).output
    study = ag.load_study(folder)
    assert all(Path(study.path(path)).is_file() for path in (*rows["checkpoint_path"], *rows["samples_path"]))
    checkpoint = study.path(rows["checkpoint_path"].iloc[0])
    with pytest.raises(ResultsError, match="relative to its study's folder"):
        ag.load_generator(rows["checkpoint_path"].iloc[0])
    generator = ag.load_generator(checkpoint)
    images = generator(torch.randn(5, 8))
    assert images.shape == (5, 1, 8, 8) and images.abs().max() <= 1
    again = ask("evaluate", checkpoint).output
    assert float(again.split()[2]) == pytest.approx(rows["fid"].iloc[0], rel=1e-4)
    other = ["--set", f"data.source=parquet:{_other_digits(tmp_path / 'other.parquet')}"]
    with monkeypatch.context() as patch:  # known before an extractor is trained on the wrong images
        patch.setattr("autogan_ray.metrics.measure.measure_against", lambda *_: pytest.fail("measured"))
        for asked in (["evaluate", checkpoint], ["retrain", str(folder), "--seeds", "3", "--resume"]):
            elsewhere = ask(*asked, *other)
            assert elsewhere.exit_code == 2 and "is not what it was when the study" in elsewhere.output, elsewhere
    refused = ask("evaluate", checkpoint, "--set", "metrics.n_fake_final=9")
    assert refused.exit_code == 2 and "only where files lie may change" in refused.output
    pictures = tmp_path / "pictures"
    assert ask("generate", checkpoint, "--num", "3", "--out", str(pictures)).exit_code == 0
    assert len(list(pictures.glob("*.png"))) == 3
    assert ask("retrain", str(folder)).exit_code == 2  # there already
    # Another rate is another retraining, not the one that is there.
    run("retrain", str(folder), "--set", "retrain.lr_g=0.001", "--resume", cwd=tmp_path)
    assert len(pd.read_parquet(folder / "evaluations.parquet")) == 5
    run("retrain", str(folder), "--resume", cwd=tmp_path)
    assert len(pd.read_parquet(folder / "evaluations.parquet")) == 5
    fixed = run("retrain", str(folder), "--discriminator", "fixed", "--trial", "t0001", cwd=tmp_path)
    assert "t0001" in fixed.stdout
    assert not (tmp_path / "before").exists()
    genotype = Path(checkpoint).parent / "genotype.json"
    assert "generator" in ask("genotypes", str(genotype)).output


def test_a_users_own_space_is_searched_and_retrained_even_when_its_file_is_gone(tmp_path: Path) -> None:
    text = (ROOT / "searchspaces" / "autogan.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('up = ["bilinear", "nearest", "deconv"]', 'up = ["nearest"]'))
    run("run", "smoke", "--trials", "1", "--space", "./mine.toml", cwd=tmp_path)
    (tmp_path / "mine.toml").unlink()
    folder = tmp_path / "results" / "smoke"
    run("retrain", str(folder), "--trial", "best", "--genotype", "random", cwd=tmp_path)
    genotypes = pd.read_parquet(folder / "genotypes.parquet")
    assert genotypes["space"].eq("mine").all() and not genotypes["text"].str.contains("deconv").any()
    assert len(pd.read_parquet(folder / "evaluations.parquet")) == 2


def test_listing_verbs_show_a_finished_study(smoke: Path) -> None:
    place = str(smoke.parent)
    assert "smoke" in ask("list", place).output
    assert json.loads(ask("list", place, "--json").output)[0]["status"] == "complete"
    shown = ask("show", str(smoke)).output
    assert "t0002" in shown and "genotype" in shown
    best = ag.load_study(smoke).best["trial_id"]
    assert ask("show", str(smoke), "best").output == ask("show", str(smoke), best).output
    one = ask("show", str(smoke), "t0001").output
    assert "g.cell" not in one and "cell1: conv=" in one and ("UNDECIDED" in one or "decided" in one)
    assert len(json.loads(ask("show", str(smoke), "--json").output)) == 3


def test_a_study_that_a_time_budget_ended_goes_on_when_resumed(tmp_path: Path) -> None:
    # A trial of a minute and many evaluations: the budget ends in the midst of it.
    longer = ["--set", "search.kimg=60", "--set", "tune.max_evaluations=60", "--set", "tune.scheduler=none"]
    study = ["run", "smoke", "--trials", "1", *longer]
    folder, start = tmp_path / "results" / "smoke", time.monotonic()
    found = run(*study, "--time-budget", "15s", cwd=tmp_path)
    assert time.monotonic() - start < 120
    cut, logged = pd.read_parquet(folder / "trials.parquet").set_index("trial_id"), history(folder)
    assert cut["status"].tolist() == ["interrupted"]
    spent = (
        f"the budget --time-budget 15s is spent: not all trials are done (0 of 1; evaluations so far: {len(logged)}); "
    )
    assert spent + "what is done is in results/smoke; go on with\n  " in found.stdout
    run(*study, "--time-budget", "25s", "--resume", cwd=tmp_path)
    later = pd.read_parquet(folder / "trials.parquet").set_index("trial_id")
    assert later["restarts"].tolist() == [1]
    assert later["evaluations"].sum() > cut["evaluations"].sum()


def test_a_trial_that_had_ended_when_ctrl_c_came_has_ended_in_the_tables_and_in_optuna(tmp_path: Path) -> None:
    """Ray knows the last report, and acts on it when its checkpoint is there, which the signal does not wait for."""
    short = ["--set", "tune.max_evaluations=1", "--set", "tune.grace_evaluations=1"]
    found = interrupted_at_the_first_report(tmp_path, "run", "smoke", "--trials", "1", *short)
    assert found.returncode == 0 and "Ray told of" not in found.stdout, found.stdout + found.stderr
    study = ag.load_study(tmp_path / "results" / "smoke")
    assert study.trials["status"].tolist() == ["complete"] and study.studies["status"].iloc[0] == "complete"
    (told,) = open_journal(study.folder / "optuna.journal").get_all_trials(0)
    assert told.state == TrialState.COMPLETE and told.value == study.trials["fid_best"].iloc[0]


def test_studies_that_share_a_storage_stay_apart_and_the_same_seed_gives_the_same_history(
    smoke: Path, tmp_path: Path
) -> None:
    for seed in ("0", "1"):
        run("run", "smoke", "--trials", "1", "--seed", seed, "--name", f"s{seed}", "--storage", "shared", cwd=tmp_path)
    tables = [pd.read_parquet(tmp_path / "results" / f"s{seed}" / "history.parquet") for seed in (0, 1)]
    assert [len(table) for table in tables] == [3, 3]
    assert not tables[0]["fid"].equals(tables[1]["fid"])
    first = history(smoke).query("trial_id == 't0000'")
    pd.testing.assert_frame_equal(
        *(table.drop(columns="study_id") for table in (first, history(tmp_path / "results" / "s0"))), check_exact=True
    )
    assert len(list((tmp_path / "shared").iterdir())) == 2
    shutil.rmtree(tmp_path / "results" / "s0")
    again = run("run", "smoke", "--trials", "1", "--name", "s0", "--storage", "shared", cwd=tmp_path, check=False)
    assert again.returncode == 2 and "knows nothing of" in again.stderr


@pytest.fixture(scope="module")
def retrained(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose ``results/digits`` is a finished study with retrained networks."""
    place = tmp_path_factory.mktemp("retrained")
    shutil.copytree(smoke, place / "results" / "digits")
    run("retrain", "results/digits", "--trial", "best", "--genotype", "random", "--seeds", "2", cwd=place)
    return place


def test_every_python_block_of_the_readme_runs(
    retrained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(retrained)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert len(blocks) >= 2
    for block in blocks:
        names: dict[str, Any] = {}
        exec(compile(block, "README.md", "exec"), names)
    assert capsys.readouterr().out
    with Image.open("digits.png") as saved:
        assert saved.width > 8 * 8  # a row of eight digits


def test_every_command_of_the_docs_that_looks_or_plans_runs(
    retrained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Studies are planned (``--dry-run``) where no GPU, cluster or further package is asked for; none are retrained."""
    monkeypatch.setattr("autogan_ray.study.cost._timed", lambda *_: "not timed here")
    for name in ("mine", "smoke"):
        (retrained / "results" / name).symlink_to("digits")
    birds = tmp_path / "data" / "birds"
    for number in range(80):
        file = birds / ("robin", "wren")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (number, 3 * number, 90)).save(file)
    network = next((retrained / "results/digits/retrain").glob("retrain-*/generator.safetensors")).parent
    asked, failed = 0, []
    for page, line in commands():
        verb, *words = words_of(line)
        elsewhere = {"--gpus", "--address", "metrics.extractor=efficientnet-lite0"} & set(words)
        if verb == "retrain" or (verb == "run" and elsewhere) or any("whole" in word for word in words):
            continue
        for text, replaced in {"/data/": f"{tmp_path}/data/", "retrain/FOLDER": f"retrain/{network.name}"}.items():
            words = [word.replace(text, replaced) for word in words]
        words = [{"FOLDER": str(network), "3": "2"}.get(word, word) for word in words]
        monkeypatch.chdir(tmp_path if verb == "run" else retrained)
        words = [name for word in words for name in (glob(word) if "*" in word else [word])]
        shutil.rmtree("images", ignore_errors=True)
        found = ask(verb, *words, *(["--dry-run"] if verb == "run" and "--dry-run" not in words else []))
        asked += 1
        missing = verb in ("run", "doctor") and "\nmissing " in found.output  # of data, weights or packages: it says so
        if found.exit_code != 0 and not missing:
            failed.append(f"{page}: {line}\n{found.output[-1000:]}")
    assert not failed and asked > 30, "\n".join(failed)
