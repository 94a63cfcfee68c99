"""What trackers are handed of a study's trials, by Ray's callbacks where their packages are there."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import struct
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboardX.event_file_writer import EventFileWriter
from tensorboardX.proto.event_pb2 import Event

from autogan_ray.config.study import TrialConfig
from autogan_ray.results.grids import encode_grid
from autogan_ray.results.trial_log import TrialLog, TrialLogs
from autogan_ray.tune import tracking
from autogan_ray.tune.tracking import Tracking, flat_settings, numbers

from .test_trial_text import RECORD


def trial_log(folder: Path, name: str = "t0003") -> TrialLog:
    logs = TrialLogs(folder)
    logs.add(name, "trial", number=3, config=json.loads(TrialConfig().model_dump_json()))
    return logs.add(name, "status", status="running", started_at=12.5)


def told(tracker: Tracking, log: TrialLog, **record: Any) -> None:
    tracker({"kind": "evaluation", "trial": log, "record": RECORD | record})


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each scalar in TensorBoard's files."""
    for file in folder.glob("events.out.tfevents.*"):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            yield from ((value.tag, event.step, value.simple_value) for value in event.summary.value if value.tag)
            data = data[16 + size :]


def test_tensorboard_gets_each_trials_numbers_in_a_folder_of_its_own(tmp_path: Path) -> None:
    tracker = Tracking("digits", tmp_path, ["tensorboard"])
    log = trial_log(tmp_path)
    told(tracker, log, evaluation=1, fid=9.0)
    told(tracker, log, evaluation=2, fid=8.0)
    png = encode_grid(np.full((3, 1, 4, 4), 7, dtype=np.uint8))
    tracker({"kind": "evaluation", "trial": log, "record": RECORD | {"evaluation": 3, "fid": 7.0}, "png": png})
    tracker({"kind": "end", "trial": log, "status": "pruned"})
    tracker.close()
    steps = [(tag, step) for tag, step, _ in scalars(tmp_path / "tensorboard" / "t0003")]
    assert steps.count(("ray/tune/images", 3)) == 1 and ("ray/tune/images", 2) not in steps
    assert steps.count(("ray/tune/fid", 3)) == 1
    found = {(tag, step): value for tag, step, value in scalars(tmp_path / "tensorboard" / "t0003")}
    assert found["ray/tune/fid", 1] == 9.0 and found["ray/tune/fid", 2] == 8.0
    assert found["ray/tune/temperature", 2] == 2.0 and ("ray/tune/diverged", 1) not in found


def test_of_a_trial_that_has_ended_no_file_of_tensorboard_is_kept(tmp_path: Path) -> None:
    tracker, opened = Tracking("digits", tmp_path, ["tensorboard"]), list[weakref.ref[EventFileWriter]]()
    for number in range(3):
        log = trial_log(tmp_path, f"t000{number}")
        told(tracker, log, evaluation=1, fid=9.0)
        assert tracker._loggers is not None
        (writer,) = tracker._loggers["tensorboard"]._trial_writer.values()
        opened.append(weakref.ref(writer.file_writer.event_writer))
        tracker({"kind": "end", "trial": log, "status": "pruned"})
        del writer
    gc.collect()
    assert [file() for file in opened] == [None] * 3
    assert all(list(scalars(tmp_path / "tensorboard" / f"t000{number}")) for number in range(3))


def test_numbers_and_settings_are_plain() -> None:
    assert numbers(RECORD | {"diverged": True, "genotype": {}, "pid": 7}).keys() == {
        *("fid_derived", "kimg", "entropy_g", "temperature", "images_per_s", "eval_s", "training_iteration")
    }
    flat = flat_settings(json.loads(TrialConfig().model_dump_json()))
    assert flat["space"] == "adversarialnas" and flat["optim.betas"] == "[0.0, 0.9]"
    assert all(isinstance(value, str | int | float) for value in flat.values())


class Logger:
    """Stands for a callback of Ray."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def log_trial_start(self, trial: Any) -> None:
        self.calls.append(("start", str(trial), trial.trial_id))

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        self.calls.append(("result", iteration, result["training_iteration"]))

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self.calls.append(("end", str(trial), failed))

    def on_experiment_end(self, trials: list[Any]) -> None:
        self.calls.append(("over",))


def test_trials_that_did_not_end_are_ended_when_the_study_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Logger()
    monkeypatch.setitem(tracking._MAKERS, "mlflow", lambda _: logger)
    tracker = Tracking("digits", tmp_path, ["mlflow"])
    first, second = trial_log(tmp_path), trial_log(tmp_path, "t0004")
    told(tracker, first)
    told(tracker, second)
    tracker({"kind": "end", "trial": first, "status": "complete"})
    tracker.close()
    assert logger.calls == [
        ("start", "digits-t0003", "digits-t0003-12"),
        ("result", 3, 3),
        ("start", "digits-t0004", "digits-t0004-12"),
        ("result", 3, 3),
        ("end", "digits-t0003", False),
        ("end", "digits-t0004", True),
        ("over",),
    ]


def test_a_tracker_that_fails_is_left_out_with_a_warning_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logger = Logger()

    def refuse(study: str) -> Any:
        raise ConnectionError("no network")

    monkeypatch.setitem(tracking._MAKERS, "wandb", refuse)
    monkeypatch.setitem(tracking._MAKERS, "mlflow", lambda _: logger)
    tracker = pickle.loads(pickle.dumps(Tracking("digits", tmp_path, ["wandb", "mlflow"])))  # as Ray does
    with caplog.at_level(logging.WARNING):
        told(tracker, trial_log(tmp_path))
        told(tracker, trial_log(tmp_path))
    assert caplog.messages == ["tracking goes on without wandb: no network"]
    assert [call[0] for call in logger.calls] == ["start", "result", "result"]


def test_rays_callback_writes_runs_to_mlflow_with_every_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the package, which need not be installed."""
    calls: list[tuple[Any, ...]] = []

    class Client:
        def __init__(self, **places: Any) -> None: ...

        def create_run(self, run_name: str, **_: Any) -> Any:
            calls.append(("run", run_name))
            return SimpleNamespace(info=SimpleNamespace(run_id="r"))

        def log_param(self, run_id: str, key: str, value: Any) -> None:
            calls.append(("param", key, value))

        def log_metric(self, run_id: str, key: str, value: float, step: int) -> None:
            calls.append(("metric", key, value, step))

        def set_terminated(self, run_id: str, status: str) -> None:
            calls.append(("end", status))

    places = {name: lambda *_, **__: None for name in ("set_tracking_uri", "set_registry_uri", "active_run", "get_run")}
    places |= {"get_tracking_uri": lambda: "", "get_registry_uri": lambda: ""}
    experiment = SimpleNamespace(experiment_id="e")
    fakes: dict[str, dict[str, Any]] = {
        "mlflow": {"__version__": "3.0", "get_experiment_by_name": lambda name: experiment, **places},
        "mlflow.exceptions": {"MlflowException": Exception},
        "mlflow.tracking": {"MlflowClient": Client},
        "mlflow.utils": {},
        "mlflow.utils.mlflow_tags": {"MLFLOW_RUN_NAME": "mlflow.runName"},
    }
    for name, parts in fakes.items():
        module = ModuleType(name)
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, name, module)
    tracker = Tracking("digits", tmp_path, ["mlflow"])
    log = trial_log(tmp_path)
    told(tracker, log)
    tracker({"kind": "end", "trial": log, "status": "pruned"})
    assert ("run", "digits-t0003") in calls and ("param", "space", "adversarialnas") in calls
    assert ("metric", "fid", 450.21, 3) in calls and calls[-1] == ("end", "FINISHED")
