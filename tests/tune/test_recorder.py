"""What the driver writes of a trial that goes on in a later run."""

from __future__ import annotations

import json
import shutil
import traceback
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError, ObjectLostError, RayTaskError

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig
from autogan_ray.results.grids import grid_file, grids_of
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune.failures import FAILURE, failure_of, failures_reported
from autogan_ray.tune.recorder import Recorder
from autogan_ray.tune.trial_voice import URGENT, TrialVoice


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(Recorder, "_write", lambda self, force=False: None)
    return Recorder(tmp_path, str(tmp_path), 9, dict, None)


def trial(**more: Any) -> Any:
    config = {"number": 0, "trial_id": "t0000", "trial": TrialConfig().model_dump_json()}
    kept = SimpleNamespace(
        last_result={}, checkpoint_manager=SimpleNamespace(_checkpoint_results=[]), invalidate_cache=lambda: None
    )
    given = {"config": config, "trial_id": "rays", "error_file": None, "run_metadata": kept}
    return SimpleNamespace(**given | more)


def test_a_trial_that_is_run_again_after_an_error_has_no_error(recorder: Recorder) -> None:
    recorder.on_trial_start(0, [], trial())
    recorder.on_trial_error(0, [], trial())
    log = recorder.logs.get("t0000")
    assert log.state == "error" and log.status["error_type"]
    recorder.on_trial_start(0, [], trial())
    assert log.state == "running" and log.status["starts"] == 2
    assert log.status["error_type"] is None and log.status["error_message"] is None


def raised(error: Exception) -> RayTaskError:
    """As Ray hands over what a trial raised."""
    try:
        raise error
    except Exception as known:
        return RayTaskError("train()", traceback.format_exc(), known)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (raised(RuntimeError("CUDA error: out\nfor debugging: consider\n  this\n")), "RuntimeError", "CUDA error: out"),
        (raised(torch.OutOfMemoryError("all gone")), "torch.OutOfMemoryError", "all gone"),
        (raised(KeyError("lr")), "KeyError", "'lr'"),
        (raised(AssertionError()), "AssertionError", ""),
        (ActorDiedError(), "ray.exceptions.ActorDiedError", "The actor died"),
        (None, "Unknown", "None"),
    ],
)
def test_a_trial_s_error_has_the_type_and_the_whole_message_of_what_it_raised(
    error: Exception | None, kind: str, message: str, recorder: Recorder, tmp_path: Path
) -> None:
    text = tmp_path / "error.txt"
    text.write_text(f"Failure # 1 (occurred now)\nearlier\nFailure # 2 (occurred now)\n{error}\n")
    recorder.on_trial_error(0, [], trial(error_file=str(text)))
    status = recorder.logs.get("t0000").status
    assert status["error_type"] == kind and status["error_message"].startswith(message)
    assert ("consider" in status["error_message"]) == (message == "CUDA error: out")


@pytest.mark.parametrize(
    ("died", "kills", "kind"),
    [
        ("The actor died because its node has died.", 0, "ray.exceptions.NodeDiedError"),
        ("The actor died unexpectedly.", 0, "ray.exceptions.ActorDiedError"),
        ("The actor died unexpectedly.", 1, "ray.exceptions.OutOfMemoryError"),
        ("1 worker(s) were killed due to the node running low on memory.", 0,
         "ray.exceptions.OutOfMemoryError"),
    ],
)  # fmt: skip
def test_a_process_that_was_killed_for_memory_is_told_from_other_deaths(
    died: str, kills: int, kind: str, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recorder._oom_kills
    monkeypatch.setattr("autogan_ray.tune.recorder.oom_kills", lambda: before + kills)
    text = tmp_path / "error.txt"
    text.write_text(f"Failure # 1 (occurred now)\n{died}\n")
    recorder.on_trial_error(0, [], trial(error_file=str(text)))
    status = recorder.logs.get("t0000").status
    assert status["error_type"] == kind and died in status["error_message"]
    assert ("tune.max_concurrent" in status["error_message"]) == (kind == "ray.exceptions.OutOfMemoryError")


def reports_of(error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a trial whose function raises an error reports, through JSON as all reports go."""
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr("autogan_ray.tune.failures.tune.report", reports.append)
    voice = TrialVoice()
    with failures_reported(voice, ["search.batch_size"]), voice.heard():
        voice.say("of the last moment")
        raise error
    return json.loads(json.dumps(reports))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("CUDA error: out\nconsider this"), "RuntimeError", "CUDA error: out\nconsider this"),
        (
            torch.OutOfMemoryError("gone"),
            "torch.OutOfMemoryError",
            "memory is full; lower search.batch_size: gone",
        ),
        (KeyError("lr"), "KeyError", "'lr'"),
        (ConfigError("no such"), "autogan_ray.base.errors.ConfigError", "no such"),
    ],
)
def test_what_a_trial_s_function_raises_is_reported_as_text_and_ends_the_trial(
    error: Exception, kind: str, message: str, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder.on_trial_start(0, [], trial())
    (report,) = reports_of(error, monkeypatch)
    recorder.on_trial_result(0, [], trial(), report)
    recorder.on_trial_complete(0, [], trial())  # as Ray does where a function returns
    log = recorder.logs.get("t0000")
    assert (log.state, log.status["error_type"], log.status["error_message"]) == ("error", kind, message)
    text = (tmp_path / "trials" / "t0000.log").read_text()
    assert "of the last moment" in text and "failed\n    Traceback (most recent call last):\n" in text
    assert text.count("error after 0 evaluations") == 1


def test_an_error_of_ray_s_own_is_raised_as_ray_may_start_the_trial_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ObjectLostError):
        reports_of(ObjectLostError("ffff", None, ""), monkeypatch)


def test_three_trials_in_a_row_that_fail_alike_are_enough(recorder: Recorder) -> None:
    def ended(number: int, error: Exception | None) -> str | None:
        config = {"number": number, "trial_id": f"t{number:04d}", "trial": TrialConfig().model_dump_json()}
        one = trial(config=config)
        recorder.on_trial_start(0, [], one)
        report: dict[str, Any] = {
            "records": json.dumps([{"evaluation": 1, "attempt": 0, "fid": 1.0, "diverged": True}])
        }
        if error is not None:
            report = {FAILURE: json.dumps(asdict(failure_of(error)))}
        recorder.on_trial_result(0, [], one, report)
        recorder.on_trial_complete(0, [], one)
        return recorder.given_up

    shape, value = TypeError("no such shape"), ValueError("no such value")
    rows = [shape, shape, value, value, None, value, value]
    assert [ended(number, error) for number, error in enumerate(rows)] == [None] * 7
    assert ended(7, value) == "t0005, t0006, t0007 failed alike: ValueError: no such value"


def test_what_a_trial_said_and_why_it_failed_stand_in_its_text_log(recorder: Recorder, tmp_path: Path) -> None:
    text = tmp_path / "error.txt"
    text.write_text("Failure # 1 (occurred now)\nTraceback: the lines\n")
    record = {"evaluation": 1, "attempt": 0, "fid": 1.0, "diverged": False}
    recorder.on_trial_start(0, [], trial())
    for _ in range(2):  # a resumed trial tells its records again
        told = {"records": json.dumps([record]), "lines": json.dumps([[0.0, "runs on node here"]])}
        recorder.on_trial_result(0, [], trial(), told)
    recorder.on_trial_recover(0, [], trial(error_file=str(text)))
    log = (tmp_path / "trials" / "t0000.log").read_text()
    assert log.count(" evaluation 1: ") == 1 and log.count("runs on node here") == 2
    assert "failed, and is started again from its last checkpoint\n    Traceback: the lines\n" in log


def test_a_new_checkpoint_removes_the_checkpoints_of_an_earlier_run(recorder: Recorder, tmp_path: Path) -> None:
    tune, copy = tmp_path / "tune", tmp_path / "copy"
    first, second, third = tune / "t0000-a" / "c1", tune / "t0000-a" / "c2", tune / "t0000-b" / "c1"
    elsewhere = copy / "t0000-c" / "c1"
    for folder in (first, second, third, elsewhere):
        folder.mkdir(parents=True)
    seen = []
    for folder in (first, second, third, elsewhere):
        recorder.on_checkpoint(0, [], trial(), SimpleNamespace(path=str(folder)))
        seen.append([one.is_dir() for one in (first, second, third)])
    # Ray itself removes older ones of a run; and a study's copy that goes on leaves the original alone.
    assert seen == [[True, True, True], [True, True, True], [False, False, True], [False, False, True]]
    assert recorder.logs.get("t0000").status["checkpoint_path"] == "copy/t0000-c/c1"


def test_a_checkpoint_is_logged_relative_to_the_folder_and_elsewhere_so_that_it_is_found(tmp_path: Path) -> None:
    study, shared = tmp_path / "study", tmp_path / "shared"

    def logged(storage: str, path: str) -> str:
        recorder = Recorder(study, storage, 9, dict, None)
        recorder.on_checkpoint(0, [], trial(), SimpleNamespace(path=path))
        return str(recorder.logs.get("t0000").status["checkpoint_path"])

    assert logged(str(study), f"{study}/tune/t0000-a/c1") == "tune/t0000-a/c1"
    assert logged(str(shared), f"{shared}/tune/t0000-a/c1") == f"{shared}/tune/t0000-a/c1"
    # Ray leaves the scheme out.
    assert logged("s3://bucket/id", "bucket/id/tune/t0000-a/c1") == "s3://bucket/id/tune/t0000-a/c1"


def test_a_copy_that_goes_on_removes_its_own_earlier_checkpoint_alone(recorder: Recorder, tmp_path: Path) -> None:
    recorder.on_checkpoint(0, [], trial(), SimpleNamespace(path=f"{tmp_path}/tune/t0000-a/c1"))
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "trials", copy / "trials")
    own, new, original = (base / "tune" / name / "c1" for base, name in
                          ((copy, "t0000-a"), (copy, "t0000-b"), (tmp_path, "t0000-a")))  # fmt: skip
    for folder in (own, new, original):
        folder.mkdir(parents=True)
    Recorder(copy, str(copy), 9, dict, None).on_checkpoint(0, [], trial(), SimpleNamespace(path=str(new)))
    assert [folder.is_dir() for folder in (own, new, original)] == [False, True, True]


def test_trials_that_ended_before_the_driver_died_are_recorded_as_ended(recorder: Recorder, tmp_path: Path) -> None:
    def told(trial: str, evaluations: int, diverged: bool = False, status: str = "running") -> None:
        recorder.logs.add(trial, "status", status=status)
        for evaluation in range(1, evaluations + 1):
            record = {"evaluation": evaluation, "attempt": 0, "fid": 1.0, "diverged": diverged}
            recorder.logs.add(trial, "evaluation", record=record)

    told("t0000", 9)
    told("t0001", 2, diverged=True)
    told("t0002", 1)
    told("t0003", 1, status="interrupted")
    told("t0004", 1)
    told("t0005", 9, status="error")
    told("t0006", 1)  # stopped at an evaluation that its log has lost: it is run again
    told("t0007", 1, status="error")
    recorder._stopped = lambda: {"t0002": 1, "t0003": 1, "t0006": 3}
    recorder.record_ends()
    wanted = ["complete", "diverged", "pruned", "pruned", "running", "complete", "running", "error"]
    assert [log.state for log in recorder.logs] == wanted
    assert [log.state for log in TrialLogs(tmp_path)] == wanted


@pytest.mark.parametrize(("done", "ended"), [(True, "pruned"), (False, "interrupted")])
def test_a_trial_that_asha_stops_is_told_from_one_that_the_studys_end_cuts_off(
    done: bool, ended: str, recorder: Recorder
) -> None:
    asked: list[bool] = []

    def stopped() -> dict[str, int]:
        asked.append(True)
        return {}

    recorder._stopped = stopped
    record = {"evaluation": 1, "attempt": 0, "fid": 9.0, "diverged": False}
    recorder.on_trial_start(0, [], trial())
    recorder.on_trial_result(0, [], trial(), {"records": json.dumps([record]), "done": done})
    recorder.on_trial_complete(0, [], trial())
    # The rungs, which are long in a long study, are read for the sake of a trial that nothing else is known of.
    assert recorder.logs.get("t0000").state == ended and asked == [True] * (not done)


def test_a_trial_that_was_stopped_when_its_process_died_has_no_later_evaluation(
    recorder: Recorder, tmp_path: Path
) -> None:
    recorder._stopped = lambda: {"t0000": 1}
    records = [{"evaluation": number, "attempt": 0, "fid": 9.0 - number, "diverged": False} for number in (1, 2)]
    result = {"evaluation": 2, "fid": 7.0, "records": json.dumps(records)}
    recorder.on_trial_start(0, [], trial())
    recorder.on_trial_result(0, [], trial(), result)
    assert recorder.logs.get("t0000").records == records[:1]
    # By this dictionary Optuna hears of the report.
    assert result == {"evaluation": 1, "fid": 8.0, "records": json.dumps(records[:1])}
    recorder.on_trial_error(0, [], trial())
    assert TrialLogs(tmp_path).get("t0000").state == "pruned"


def test_what_the_user_must_know_is_passed_on_and_stands_in_the_trials_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(Recorder, "_write", lambda self, force=False: None)
    recorder = Recorder(tmp_path, str(tmp_path), 9, dict, events.append)
    record = {"evaluation": 1, "attempt": 0, "fid": 1.0, "diverged": False}
    lines = [[0.0, "runs on node here"], [1.0, f"{URGENT}checkpoint 'c1' is torn"]]
    recorder.on_trial_start(0, [], trial())
    recorder.on_trial_result(0, [], trial(), {"records": json.dumps([record]), "lines": json.dumps(lines)})
    assert [event["text"] for event in events if event["kind"] == "note"] == ["t0000: checkpoint 'c1' is torn"]
    assert "attention: checkpoint 'c1' is torn" in (tmp_path / "trials" / "t0000.log").read_text()


def test_a_relative_path_of_a_bucket_is_never_removed_here(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mirror = tmp_path / "bucket" / "tune" / "t0000-a" / "c1"
    mirror.mkdir(parents=True)
    for path in ("bucket/tune/t0000-a/c1", "bucket/tune/t0000-b/c1"):
        recorder.on_checkpoint(0, [], trial(), SimpleNamespace(path=path))
    assert mirror.is_dir()


def test_pictures_come_into_the_folder_and_go_when_their_trial_is_not_among_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "_write", lambda self, force=False: None)
    recorder = Recorder(tmp_path, str(tmp_path), 9, lambda: {"t0000": 1, "t0001": 1}, None, grids=1)
    for number, fid in enumerate((20.0, 10.0)):
        named = trial(config={"number": number, "trial_id": f"t{number:04d}", "trial": TrialConfig().model_dump_json()})
        record = {"evaluation": 1, "attempt": 0, "fid": fid, "diverged": False}
        png = b64encode(b"png").decode()
        result = {"records": json.dumps([record]), "grids": json.dumps({"1": png})}
        recorder.on_trial_result(0, [], named, result)
        assert grid_file(tmp_path, f"t{number:04d}", 1).read_bytes() == b"png"
        recorder.on_trial_complete(0, [], named)
    assert [list(grids_of(tmp_path / "grids" / name)) for name in ("t0000", "t0001")] == [[], [1]]
