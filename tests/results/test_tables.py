"""A study's tables while it runs: what is final is not built again, and never shows that."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from autogan_ray.base.errors import ResultsError
from autogan_ray.results import tables
from autogan_ray.results.rows import trial_rows
from autogan_ray.results.schemas import TABLES
from autogan_ray.results.study_tables import read_table
from autogan_ray.results.tables import Tables, mend_tables, write_tables
from autogan_ray.results.trial_log import TrialLog, TrialLogs
from autogan_ray.spaces.load import load_space

ABOUT = {
    **{"study_id": "s-1", "name": "s", "max_evaluations": 9, "grace_evaluations": 2},
    **{"config_json": "{}", "created_at": 1.0},
}
SPACE = load_space("autogan")


def tell(logs: TrialLogs, trial: int, evaluation: int, fid: float, attempt: int = 0, diverged: bool = False) -> None:
    genotype = SPACE.random(32, int(fid))
    record = {
        "evaluation": evaluation,
        "attempt": attempt,
        "fid": fid,
        "diverged": diverged,
        "kimg": 0.5 * evaluation,
        "eval_s": 1.0,
        "wall_s": 2.0 * evaluation,
        "peak_mem_mib": 10.0,
        "macs_g": 1.0,
        "timestamp": 1000.0 + evaluation,
        "genotype": genotype.to_dict(),
        "genotype_id": genotype.genotype_id,
        "decisions": {name: {choice: [fid / 100, 1.0]} for name, choice in genotype.choices.items()},
    }
    if not logs.get(f"t{trial:04d}").about:
        logs.add(f"t{trial:04d}", "trial", number=trial, config={})
    logs.add(f"t{trial:04d}", "evaluation", record=record)


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The trials of which rows were made from records, in blocks of two trials."""
    found: list[str] = []

    def watched(about: dict[str, Any], logs: Sequence[TrialLog], *others: Any) -> Any:
        assert all(log.details for log in logs)
        found.extend(log.trial_id for log in logs)
        return trial_rows(about, logs, *others)

    monkeypatch.setattr(tables, "trial_rows", watched)
    monkeypatch.setattr(tables, "BLOCK", 2)
    return found


def test_tables_of_a_running_study_are_those_that_are_built_from_nothing(tmp_path: Path, described: list[str]) -> None:
    """Three trials go on and end in turn; what is done is not built again."""
    logs, running = TrialLogs(tmp_path / "running"), Tables(tmp_path / "running")
    about = ABOUT | {"config_json": json.dumps({"tune": {"objectives": ["fid", "macs_g"]}})}

    def written(*changed: str) -> dict[str, pd.DataFrame]:
        described.clear()
        running.write(about, logs)
        assert described == list(changed)
        write_tables(tmp_path / "anew", about, TrialLogs(tmp_path / "running"))
        here = {name: pd.read_parquet(tmp_path / "running" / f"{name}.parquet") for name in TABLES}
        for name, frame in here.items():
            pd.testing.assert_frame_equal(frame, pd.read_parquet(tmp_path / "anew" / f"{name}.parquet"))
        return here

    assert written()["history"].empty
    tell(logs, 0, 1, 90.0)
    assert written("t0000")["history"]["fid"].tolist() == [90.0]
    tell(logs, 1, 1, 70.0)
    tell(logs, 1, 2, 60.0)
    assert written("t0000", "t0001")["history"]["fid"].tolist() == [90.0, 70.0, 60.0]
    tell(logs, 1, 2, 50.0, attempt=1)  # repeated work of a resumed trial
    tell(logs, 2, 1, 70.0)  # the genotype of another trial
    logs.add("t0000", "status", status="pruned")
    found = written("t0000", "t0001", "t0002")
    assert found["history"]["fid"].tolist() == [90.0, 70.0, 50.0, 70.0]
    assert found["trials"]["status"].tolist() == ["pruned", "pending", "pending"]
    assert found["genotypes"]["n_trials"].tolist() == [1, 2, 1]
    logs.add("t0001", "status", status="complete")
    assert len(written("t0000", "t0001", "t0002")["decisions"]) == 4 * len(SPACE.random(32, 0).choices)
    tell(logs, 2, 2, 50.0)  # the genotype of a trial whose rows are final
    found = written("t0002")
    assert found["genotypes"]["n_trials"].tolist() == [1, 2, 2]
    assert found["trials"]["on_front"].tolist() == [False, True, True]  # of equal points none beats the other
    tell(logs, 2, 3, 40.0)
    assert written("t0002")["trials"]["on_front"].tolist() == [False, False, True]
    (tmp_path / "running" / "history.parquet").unlink()
    written("t0000", "t0001", "t0002")
    assert pq.ParquetFile(tmp_path / "running" / "decisions.parquet").num_row_groups == 2
    logs.add("t0001", "status", status="running")  # a trial that ended is begun again
    written("t0000", "t0001", "t0002")


def test_of_trials_that_have_finished_the_details_stay_on_disk(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    tell(logs, 0, 1, 90.0)
    whole = logs.get("t0000").records[0]
    logs.add("t0000", "status", status="pruned")
    for known in (logs, TrialLogs(tmp_path)):  # in the run, and in a later one
        log = known.get("t0000")
        assert "decisions" not in log.records[0] and log.best is not None and log.best["fid"] == 90.0
        assert known.whole("t0000").records == [whole]
        assert log.holds(whole) and not log.holds(whole | {"fid": 91.0}) and not log.holds(whole | {"evaluation": 2})


@pytest.mark.parametrize("on", [True, False])
def test_garbage_collection_rests_while_tables_are_built_and_is_then_as_it_was(
    on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def fails(*given: Any) -> None:
        seen.append(gc.isenabled())
        raise OSError("full")

    monkeypatch.setattr(Tables, "_write_trials", fails)
    try:
        (gc.enable if on else gc.disable)()
        with pytest.raises(OSError, match="full"):
            Tables(tmp_path).write({}, TrialLogs(tmp_path))
        assert seen == [False] and gc.isenabled() == on
    finally:
        gc.enable()


def test_tables_that_are_missing_or_damaged_are_built_again_and_whole_ones_left(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    tell(logs, 0, 1, 50.0)
    write_tables(tmp_path, ABOUT, logs)
    files = {name: tmp_path / f"{name}.parquet" for name in TABLES}
    whole = {name: pd.read_parquet(file) for name, file in files.items()}
    before = {name: file.stat().st_mtime_ns for name, file in files.items()}
    assert mend_tables(tmp_path, ABOUT, TrialLogs(tmp_path)) == []
    assert {name: file.stat().st_mtime_ns for name, file in files.items()} == before
    files["trials"].write_bytes(files["trials"].read_bytes()[:100])
    files["history"].unlink()
    assert set(mend_tables(tmp_path, ABOUT, TrialLogs(tmp_path))) == {"trials", "history"}
    for name, file in files.items():
        pd.testing.assert_frame_equal(pd.read_parquet(file), whole[name])


def test_the_score_at_the_first_rung_is_that_of_the_grace_evaluation_whatever_became_of_the_trial(
    tmp_path: Path,
) -> None:
    logs = TrialLogs(tmp_path)
    scores = {
        0: [90.0, 80.0, 70.0],  # went on
        1: [60.0, 65.0],  # pruned: its best is before
        2: [50.0],  # did not come so far
        3: [],  # has no evaluation
        4: [40.0, 30.0],  # diverged at the rung: the penalty is no score
        5: [41.0, 31.0, 32.0],  # diverged after it
        6: [20.0, 21.0, 22.0],  # resumed: the rung is repeated
    }
    for trial, fids in scores.items():
        logs.add(f"t{trial:04d}", "trial", number=trial, config={})
        for evaluation, fid in enumerate(fids, 1):
            last = evaluation == len(fids)
            tell(logs, trial, evaluation, fid, diverged=trial in (4, 5) and last)
    tell(logs, 6, 2, 23.0, attempt=1)
    tell(logs, 6, 2, 24.0, attempt=0)  # an older report that comes late
    logs.add("t0007", "trial", number=7, config={})
    for attempt, evaluation, fid in ((0, 1, 10.0), (0, 2, 11.0), (0, 3, 12.0), (1, 1, 13.0)):  # begins anew
        tell(logs, 7, evaluation, fid, attempt)
    tell(logs, 7, 2, 14.0, attempt=1)
    wanted = [80.0, 65.0, None, None, None, 31.0, 23.0, 14.0]
    for known in (logs, TrialLogs(tmp_path)):  # in memory and from disk
        write_tables(tmp_path, ABOUT, known)
        found = pd.read_parquet(tmp_path / "trials.parquet")["fid_first_rung"]
        assert [None if fid != fid else fid for fid in found] == wanted
    write_tables(tmp_path, ABOUT | {"grace_evaluations": 3}, logs)
    later = pd.read_parquet(tmp_path / "trials.parquet")["fid_first_rung"]
    assert later.notna().tolist() == [True, *[False] * 5, True, True]


def test_a_checkpoint_that_an_earlier_version_logged_is_relative_in_the_table(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    for trial, place in enumerate([f"{tmp_path}/tune/t/c", "tune/t/c", "/elsewhere/tune/t/c", "s3://bucket/t/c"]):
        logs.add(f"t{trial:04d}", "status", checkpoint_path=place)
    write_tables(tmp_path, ABOUT, logs)
    found = pd.read_parquet(tmp_path / "trials.parquet")["checkpoint_path"].tolist()
    assert found == ["tune/t/c", "tune/t/c", "/elsewhere/tune/t/c", "s3://bucket/t/c"]


@pytest.mark.parametrize(
    "row",
    [
        {"evaluation_id": "e1", "fid": 3.0},
        {"evaluation_id": "e0", "fid": "low"},
        {"evaluation_id": "e0", "timestamp": "then"},
        {"fid": 3.0},
    ],
)
def test_a_result_that_is_no_retraining_s_is_refused_by_its_name(row: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "retrain" / "e0").mkdir(parents=True)
    file = tmp_path / "retrain" / "e0" / "result.json"
    file.write_text(json.dumps({"row": row}))
    with pytest.raises(ResultsError, match=rf"{file} is damaged .*; without it the network is trained again"):
        write_tables(tmp_path, ABOUT, TrialLogs(tmp_path))


def test_evaluations_are_built_again_from_what_was_retrained(tmp_path: Path) -> None:
    for number, fid in ((1, 7.0), (0, 9.0)):
        row = {"evaluation_id": f"e{number}", "name": f"n{number}", "fid": fid, "timestamp": 1000.0 - number}
        row["checkpoint_path"] = ["generator.safetensors", "/before/retrain/e1/generator.safetensors"][number]
        folder = tmp_path / "retrain" / f"e{number}"
        folder.mkdir(parents=True)
        result = {"row": row, "fid_untrained": 1.0 + number}
        if number == 0:  # that of an earlier version, which had no curves
            result["curve"] = [{"kimg": kimg, "fid": fid, "timestamp": 5.0} for kimg, fid in ((1.0, 20.0), (2.0, None))]
        (folder / "result.json").write_text(json.dumps(result))
    for torn in ("", "{", "[]", "{}"):
        (tmp_path / "retrain" / f"torn{len(torn)}{torn[:1]}").mkdir()
        (tmp_path / "retrain" / f"torn{len(torn)}{torn[:1]}" / "result.json").write_text(torn)
    write_tables(tmp_path, ABOUT, TrialLogs(tmp_path))
    whole = pd.read_parquet(tmp_path / "evaluations.parquet")
    assert whole["evaluation_id"].tolist() == ["e1", "e0"] and whole["study_id"].eq("s-1").all()
    # Also of a result that an earlier version wrote, and whose folder was moved since.
    assert whole["checkpoint_path"].tolist() == [f"retrain/{name}/generator.safetensors" for name in ("e1", "e0")]
    assert whole["samples_path"].isna().all() and whole["fid_untrained"].tolist() == [2.0, 1.0]
    curves = pd.read_parquet(tmp_path / "curves.parquet")
    assert curves["evaluation_id"].eq("e0").all() and curves["kimg"].tolist() == [1.0, 2.0]
    assert curves["fid"].iloc[0] == 20.0 and curves["fid"].isna().tolist() == [False, True]
    trials = (tmp_path / "trials.parquet").stat().st_mtime_ns
    (tmp_path / "evaluations.parquet").write_bytes(b"torn")
    assert mend_tables(tmp_path, ABOUT, TrialLogs(tmp_path)) == ["evaluations"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "evaluations.parquet"), whole)
    assert (tmp_path / "trials.parquet").stat().st_mtime_ns == trials
    (tmp_path / "curves.parquet").write_bytes(b"torn")
    assert mend_tables(tmp_path, ABOUT, TrialLogs(tmp_path)) == ["curves"]
    (tmp_path / "curves.parquet").unlink()  # as an earlier version leaves a study
    assert read_table(tmp_path, "curves").empty and read_table(tmp_path, "curves").columns.tolist() == [*curves.columns]
    assert mend_tables(tmp_path, ABOUT, TrialLogs(tmp_path)) == []
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "curves.parquet"), curves)
    assert (tmp_path / "trials.parquet").stat().st_mtime_ns == trials


SWEEP = {
    "space": {"choice": ["autogan", "alphagan"]},
    "optim.lr_arch_g": {"loguniform": [1e-3, 1e-1]},
    "search.relaxation": {"choice": ["softmax", "gumbel"]},
    "search.temperature_start": {"uniform": [1.0, 5.0], "when": {"search.relaxation": ["gumbel"]}},
    "search.batch_size": {"choice": [16, 32]},
    "remedies.skip_dropout": {"choice": [0, 0.5]},
    "derive.exclude_none": {"choice": [True, False]},
}


def test_each_swept_setting_has_a_column_that_is_null_where_the_setting_plays_no_part(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    for number, relaxation in enumerate(("softmax", "gumbel")):
        search = {"relaxation": relaxation, "temperature_start": 2.5, "batch_size": 32}
        more = {"remedies": {"skip_dropout": 0}, "derive": {"exclude_none": True}, "optim": {"lr_arch_g": 0.01}}
        logs.add(f"t{number:04d}", "trial", number=number, config={"space": "autogan", "search": search, **more})
        tell(logs, number, 1, 30.0)
    write_tables(tmp_path, ABOUT | {"config_json": json.dumps({"sweep": SWEEP})}, logs)
    trials = read_table(tmp_path, "trials")
    assert list(trials.columns) == [*TABLES["trials"].schema.names, *list(SWEEP)[1:]]
    assert trials["optim.lr_arch_g"].tolist() == [0.01, 0.01]
    assert trials["search.relaxation"].tolist() == ["softmax", "gumbel"]
    assert pd.isna(trials["search.temperature_start"][0]) and trials["search.temperature_start"][1] == 2.5
    assert trials["search.batch_size"].dtype == "int64" and trials["derive.exclude_none"].dtype == bool
    assert trials["remedies.skip_dropout"].dtype == float


def test_evaluations_are_saved_by_trials_that_asha_stopped_alone(tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    for number, state in enumerate(("pruned", "interrupted", "complete")):
        tell(logs, number, 1, 30.0)
        tell(logs, number, 2, 30.0)
        logs.add(f"t{number:04d}", "status", status=state)
    write_tables(tmp_path, ABOUT, logs)
    assert read_table(tmp_path, "trials")["evaluations_saved"].tolist() == [7, 0, 0]
