"""A study whose files were damaged goes on to what it would have been, and says what was damaged; or it is refused.

Three trials of a real study are run, then damaged, and two more are asked for. These are proposed by what Optuna knows
of the first three and judged at ASHA's rungs beside them. Everything is compared with a study of five trials that
nothing has happened to.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from autogan_ray.base.errors import ResultsError
from autogan_ray.results.trial_log import TrialLogs, read_log
from autogan_ray.training.checkpoint import _HEADER, MAGIC, load_state
from autogan_ray.tune.asha import Rungs, read_rungs, write_rungs
from tests.tune.conftest import ask, run

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(300)]

TIMING = ["study_id", "timestamp", "images_per_s", "eval_s", "peak_mem_mib", "attempt"]
STUDY = ["run", "smoke", "--set", "tune.max_concurrent=1", "--set", "tune.startup_trials=1"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("three")
    run(*STUDY, "--trials", "3", cwd=folder)
    return folder / "results" / "smoke"


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    folder = tmp_path_factory.mktemp("five")
    run(*STUDY, "--trials", "5", cwd=folder)
    return folder / "results" / "smoke"


@pytest.fixture
def study(three: Path, tmp_path: Path) -> Path:
    """A copy of the three trials, to be damaged."""
    shutil.copytree(three, tmp_path / "results" / "smoke")
    return tmp_path / "results" / "smoke"


def goes_on(study: Path) -> str:
    return run(*STUDY, "--trials", "5", "--resume", cwd=study.parents[1]).stdout


def assert_same(study: Path, five: Path) -> None:
    """Every value of both studies is the same, but for times; and no log has any fault left."""
    for table in ("history", "decisions", "genotypes"):
        one, other = (pd.read_parquet(folder / f"{table}.parquet") for folder in (study, five))
        keys = [key for key in ("trial_id", "genotype_id", "evaluation", "decision", "choice") if key in one]
        shown = [
            frame.drop(columns=TIMING, errors="ignore").sort_values(keys).reset_index(drop=True)
            for frame in (one, other)
        ]
        pd.testing.assert_frame_equal(*shown, check_exact=True)
    columns = ["trial_id", "status", "evaluations", "fid_best", "fid_best_evaluation", "genotype_id", "seed"]
    one, other = (pd.read_parquet(folder / "trials.parquet")[columns] for folder in (study, five))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    logs = list(TrialLogs(study))
    assert not any(log.faults for log in logs)
    settings = [log.about["config"] for log in TrialLogs(five)]
    assert [log.about["config"] for log in logs] == settings


def flip(file: Path, words: str) -> None:
    """Changes one byte of a file: the last of some words in it, which stay text."""
    content = bytearray(file.read_bytes())
    content[re.search(words.encode(), content).end() - 1] ^= 1  # type: ignore[union-attr]
    file.write_bytes(content)


def log_of(study: Path, trial: str) -> Path:
    return study / "trials" / f"{trial}.jsonl"


def checkpoints(study: Path, trial: str) -> list[Path]:
    return sorted(study.glob(f"tune/{trial}-*/checkpoint_*/state.pt"))


def records(study: Path, trial: str) -> list[dict[str, Any]]:
    return read_log(study, trial).records


def test_an_evaluation_that_a_log_has_lost_is_taken_from_the_checkpoint_and_lost_caches_are_built_again(
    study: Path, five: Path
) -> None:
    before = records(study, "t0000")
    flip(log_of(study, "t0000"), r'"evaluation":2,.*"fid":\d\d')
    assert len(records(study, "t0000")) == len(before) - 1
    for shown in (ask("show", str(study)).output, ask("show", str(study), "t0000").output):
        assert re.search(r"warning: the log of t0000 is damaged \(1 line is lost before line \d+ .*--resume", shown)
    (study / "optuna.journal").unlink()
    (study / "rungs.json").write_bytes(b"")
    told = goes_on(study)
    assert re.search(r"warning: t0000: 1 line is lost .*; evaluation 2 taken from its checkpoint; nothing else", told)
    for name in ("optuna.journal", "rungs.json"):
        assert f"warning: {name} is built again from the trials' logs: it was gone or empty" in told
    assert records(study, "t0000") == before  # to the second: it was not evaluated again
    assert_same(study, five)


def test_a_trial_that_its_checkpoint_cannot_complete_is_run_again_and_the_user_sees_why(
    study: Path, five: Path
) -> None:
    flip(log_of(study, "t0002"), r'"evaluation":3,.*"fid":\d\d')
    *_, newest = checkpoints(study, "t0002")
    broken = b"PK with the right digest"
    newest.write_bytes(_HEADER.pack(MAGIC, hashlib.sha256(broken).digest(), len(broken)) + broken)
    journal, rungs = study / "optuna.journal", study / "rungs.json"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    kept = read_rungs(rungs)
    altered = {rung: {**trials, "t0000": -1.0} for rung, trials in kept.entered.items() if "t0000" in trials}
    write_rungs(rungs, Rungs({**kept.entered, **altered}, kept.stopped))
    told = goes_on(study)
    assert re.search(r"warning: t0002: 1 line is lost .*; it is run again from its last checkpoint", told)
    assert re.search(r"warning: optuna.journal is built again from the trials' logs: t000\d .*in it", told)
    assert "warning: rungs.json is built again from the trials' logs: t0000 is not in it as it was scored at" in told
    unusable = rf"t0002: checkpoint '.*{newest.parent.name}.* cannot be read: .*; taking an older checkpoint"
    assert re.search(f"warning: {unusable}", told)
    assert re.search(r"warning: .*Z checkpoint '.* cannot be read", ask("show", str(study), "t0002").output)
    assert_same(study, five)


def test_logs_that_are_gone_or_cut_are_no_end_of_their_trials(study: Path, five: Path) -> None:
    log_of(study, "t0001").unlink()
    cut = log_of(study, "t0000")
    cut.write_bytes(b"".join(cut.read_bytes().splitlines(keepends=True)[:2])[:-9])
    flip(log_of(study, "t0002"), r'"kind":"tria')
    told = goes_on(study)
    assert re.search(r"warning: t0001: its log is gone; its settings taken from its checkpoint", told)
    assert re.search(r"warning: t0002: 1 line is lost before line 2 .*; its settings taken from its checkpoint", told)
    assert "warning: t0000: its log ends at evaluation 0 of 3" in told
    assert_same(study, five)


def as_earlier_versions_wrote(study: Path) -> None:
    for file in (study / "trials").glob("*.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            for key in ("line", "crc", "order", "evaluations"):
                line.pop(key, None)
        file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    rungs = read_rungs(study / "rungs.json")
    as_before = {"rungs": list(rungs.entered.items()), "stopped": list(rungs.stopped)}
    (study / "rungs.json").write_text(json.dumps(as_before))
    for file in study.glob("tune/*/checkpoint_*/state.pt"):
        state = load_state(file.parent)
        del state["config"]
        torch.save(state, file)
        file.with_name("state.sha256").write_text(hashlib.sha256(file.read_bytes()).hexdigest() + "\n")


def test_a_study_of_an_earlier_version_goes_on_and_is_mended_too(study: Path, five: Path) -> None:
    as_earlier_versions_wrote(study)
    flip(log_of(study, "t0000"), r'"evaluation":2,.*"fid"')
    flip(log_of(study, "t0000"), r'"evaluation":2,.*"decisions":')
    *_, newest = checkpoints(study, "t0000")
    newest.with_name("state.sha256").write_bytes(b"\xe9 is not ASCII")
    told = goes_on(study)
    assert re.search(r"warning: t0000: line \d+ is not readable; .*it is run again from its last checkpoint", told)
    assert re.search(r"warning: t0000: checkpoint '.* is torn or altered: .*; taking an older checkpoint", told)
    assert "is built again" not in told
    assert_same(study, five)


def test_settings_that_every_log_has_lost_are_taken_from_the_checkpoints(study: Path, five: Path) -> None:
    for name in ("t0000", "t0001", "t0002"):
        flip(log_of(study, name), r'"kind":"trial"')
    assert goes_on(study).count("its settings taken from its checkpoint") == 3
    assert_same(study, five)


def emptied(folder: Path) -> None:
    for file in folder.glob("*.jsonl"):
        file.write_bytes(b"")


@pytest.mark.parametrize("lose", [shutil.rmtree, emptied])
def test_a_study_of_whose_logs_nothing_is_left_is_refused(study: Path, lose: Callable[[Path], None]) -> None:
    lose(study / "trials")
    before = sorted((file, file.stat().st_mtime) for file in study.rglob("*"))
    refused = ask(*STUDY, "--trials", "5", "--resume", "--out", str(study.parent))
    assert refused.exit_code == 2 and "the logs of the trials are gone or empty" in refused.output
    assert "put them back from a copy, or choose another --name" in refused.output
    assert sorted((file, file.stat().st_mtime) for file in study.rglob("*")) == before


def test_three_hundred_altered_logs_are_read_equal_or_as_damaged(study: Path) -> None:
    draw, file = random.Random(0), log_of(study, "t0000")
    content, before = file.read_bytes(), records(study, "t0000")
    for _ in range(300):
        damaged = bytearray(content)
        place = draw.randrange(len(content) - 1)
        kind = draw.randrange(3)
        if kind == 0:
            damaged[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del damaged[place : place + draw.randrange(1, 2000)]
        else:
            damaged[place:place] = draw.randbytes(draw.randrange(1, 9))
        file.write_bytes(damaged)
        try:
            log = read_log(study, "t0000")
        except ResultsError:
            continue
        # A log whose end is lost is that of a trial that goes on.
        assert log.faults or log.state != "complete" or log.records == before, (kind, place)
        assert all(record in before for record in log.records)
