"""The control loop waits for events, and lets no trial wait for a process that is gone; all of it where Ray allows."""

from __future__ import annotations

import gc
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from click.testing import CliRunner
from ray import cloudpickle
from ray._private.parameter import RayParams
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.execution.experiment_state import _ExperimentCheckpointManager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.registry import is_function_trainable
from ray.tune.trainable.function_trainable import FunctionTrainable

from autogan_ray.base import signals
from autogan_ray.cli.main import main
from autogan_ray.config.study import load_study_config
from autogan_ray.tune import ray_internals
from autogan_ray.tune.asha import ResumableASHA
from autogan_ray.tune.ray_internals import (
    CONNECT,
    CUTOFF,
    INTERNALS,
    NEXT,
    NODE,
    PORT,
    PORT_WAIT_MS,
    RUNGS,
    WAIT_S,
    WRAP,
    Internal,
    any_agent_port,
    changed_internals,
    forget_reports,
    imports_frozen,
    interruptible_start,
    kill_monitor,
    named_tasks,
    named_trainable,
    patched_control_loop,
    trials_in_cluster_processes,
)


def test_the_control_loop_waits_longer_inside_the_block_and_as_before_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []

    def known(self: Any, timeout: float | None = None) -> bool:
        asked.append(timeout)
        return True

    monkeypatch.setattr(RayActorManager, "next", known)
    with patched_control_loop():
        for timeout in (0.1, None, 5.0):
            assert RayActorManager.next(None, timeout=timeout)  # type: ignore[arg-type]
    assert asked == [WAIT_S, None, 5.0]
    assert RayActorManager.next is known
    with pytest.raises(KeyError), patched_control_loop():
        raise KeyError
    assert RayActorManager.next is known


@dataclass(eq=False)
class Waiting:
    status: str


class TrialOf:
    """A trial that an actor serves."""

    def __init__(self, trial_id: str, actor: str) -> None:
        self.config, self.actor = {"trial_id": trial_id}, actor


def test_the_death_of_a_process_between_two_trials_is_handled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    known = lambda self, trial, exception: heard.append((trial, exception))  # noqa: E731
    monkeypatch.setattr(TuneController, "_trial_task_failure", known)
    handed, running, other = (Waiting(status) for status in (Trial.PENDING, Trial.RUNNING, Trial.PENDING))
    loop: Any = SimpleNamespace(_resetting_trials={handed, other})
    death, slip = RayActorError(), ValueError()
    with patched_control_loop():
        for trial, error in ((handed, death), (handed, death), (running, death), (handed, slip)):
            TuneController._trial_task_failure(loop, trial, error)  # type: ignore[arg-type]
    assert heard == [(handed, death), (running, death), (handed, slip)]
    assert loop._resetting_trials == {other}


def test_of_a_trial_that_has_ended_ray_keeps_no_texts_of_its_reports(tmp_path: Path) -> None:
    trial = Trial("search", stub=True)
    report = {"fid": 3.0, "records": "long", "training_iteration": 2}
    trial.update_last_result(dict(report))
    for _ in range(2):
        kept = _TrainingResult(checkpoint=Checkpoint(str(tmp_path)), metrics=dict(report))
        trial.run_metadata.checkpoint_manager.register_checkpoint(kept)
    assert trial.get_json_state()[1].count("long") == 1  # as text; those of checkpoints are pickled
    forget_reports(trial, ["records", "grids"])
    assert trial.last_result["fid"] == 3.0 and "records" not in trial.last_result
    manager = trial.run_metadata.checkpoint_manager
    for kept in (*manager._checkpoint_results, manager.latest_checkpoint_result):
        assert kept.metrics == {"fid": 3.0, "training_iteration": 2}
    assert "long" not in trial.get_json_state()[1] and '"metric_analysis": {}' in trial.get_json_state()[1]


def test_rays_own_state_is_written_only_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[Any, ...]] = []
    manager: Any = _ExperimentCheckpointManager

    def known(self: Any, save_fn: Any, force: bool = False, wait: bool = False) -> None:
        written.append((save_fn, force, wait))

    monkeypatch.setattr(manager, "sync_up_experiment_state", known)
    with patched_control_loop():
        manager.sync_up_experiment_state(None, print)
        manager.sync_up_experiment_state(None, save_fn=print, force=True, wait=True)
    assert written == [(print, True, True)] and manager.sync_up_experiment_state is known


def test_a_signal_whose_interrupt_was_lost_ends_the_control_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def known(self: Any, timeout: float | None = None) -> bool:
        asked.append(timeout)
        return True

    monkeypatch.setattr(RayActorManager, "next", known)
    monkeypatch.setattr(signals._state, "signum", signal.SIGTERM)
    with patched_control_loop(), pytest.raises(KeyboardInterrupt):
        RayActorManager.next(None)  # type: ignore[arg-type]
    assert asked == []


def test_rays_start_waits_as_long_as_before_and_ends_at_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def never(*place: str, timeout_ms: int) -> int:
        asked.append((*place, timeout_ms))
        time.sleep(timeout_ms / 1000)
        raise RuntimeError("timed out")

    monkeypatch.setattr(PORT.place, PORT.name, never)
    monkeypatch.setattr(CONNECT.place, CONNECT.name, lambda *args, **settings: (args, settings))
    with interruptible_start():
        start = time.monotonic()
        with pytest.raises(RuntimeError, match="timed out"):
            PORT.place.wait_for_persisted_port("folder", "port", timeout_ms=3 * PORT_WAIT_MS)
        assert 0.6 <= time.monotonic() - start < 2 and set(asked) == {("folder", "port", PORT_WAIT_MS)}
        assert CONNECT.place.connect("node", mode=1) == (("node",), {"mode": 1})
        monkeypatch.setattr(signals._state, "signum", signal.SIGTERM)
        asked.clear()
        with pytest.raises(KeyboardInterrupt):
            PORT.place.wait_for_persisted_port("folder", "port", timeout_ms=60_000)
        with pytest.raises(KeyboardInterrupt):
            CONNECT.place.connect("node")
    assert asked == [] and PORT.place.wait_for_persisted_port is never


def test_two_clusters_on_a_machine_do_not_want_the_same_port() -> None:
    with any_agent_port():
        within = RayParams()
        within.update_pre_selected_port()
    after = RayParams()
    after.update_pre_selected_port()
    assert within.dashboard_agent_listen_port == 0 != after.dashboard_agent_listen_port


def one_trial(config: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(("reused", "name"), [(False, "digits t0003"), (True, "digits t0003 and later")])
def test_an_actor_bears_the_names_of_study_and_trial(reused: bool, name: str) -> None:
    named = named_trainable(one_trial, "digits", reused)
    assert named.__name__ == "digits trial" and is_function_trainable(named)
    actor = cloudpickle.loads(cloudpickle.dumps(named)).__new__(named)
    actor.config = {"trial_id": "t0003"}
    assert repr(actor) == name


def test_an_actor_that_tune_stops_ends_what_its_trial_started_and_then_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def cleanup(self: Any) -> None:
        told.append("ray")
        raise KeyError

    monkeypatch.setattr(FunctionTrainable, "cleanup", cleanup)
    named = named_trainable(one_trial, "digits", reused=False, at_the_end=lambda: told.append("ours"))
    with pytest.raises(KeyError):
        named.cleanup(named.__new__(named))
    assert told == ["ray", "ours"]


def test_each_task_of_an_actor_bears_the_name_of_the_trial_that_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Method:
        def options(self, name: str) -> Any:
            return SimpleNamespace(remote=lambda: names.append(name))

    def schedule(self: Any, trial: Any, method_name: str, args: Any = None, kwargs: Any = None, on_result: Any = None,
                 on_error: Any = None, _return_future: bool = False) -> None:  # fmt: skip
        entry = self._actor_manager._live_actors_to_ray_actors_resources.get(trial.actor)
        if entry is not None:
            getattr(entry[0], method_name).remote()

    monkeypatch.setattr(TuneController, "_schedule_trial_task", schedule)
    actor = SimpleNamespace(train=Method(), stop=Method())
    live = {"a": (actor, "resources")}
    first, second, waiting = (TrialOf(each, actor) for each, actor in (("t0000", "a"), ("t0001", "a"), ("t0002", "b")))
    loop: Any = SimpleNamespace(
        _trial_to_actor={each: each.actor for each in (first, second, waiting)},
        _actor_manager=SimpleNamespace(_live_actors_to_ray_actors_resources=live),
    )
    with named_tasks("digits"):
        for trial, method in ((first, "train"), (second, "stop"), (waiting, "train")):
            TuneController._schedule_trial_task(loop, trial, method)  # type: ignore[arg-type]
    assert names == ["digits t0000 train", "digits t0001 stop"]
    assert live == {"a": (actor, "resources")} and TuneController._schedule_trial_task is schedule


def removed(internal: Internal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes Ray a version that does not have the part."""
    place, name = internal.place, internal.name
    if hasattr(place, name) and internal is not CUTOFF:
        monkeypatch.delattr(place, name)
    else:  # what __init__ sets, and what decides: Ray itself needs them
        known = Internal.change
        monkeypatch.setattr(Internal, "change", lambda self: "is gone" if self is internal else known(self))


def test_this_ray_has_all_private_parts_that_are_used() -> None:
    assert changed_internals() == []


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.name)
def test_a_ray_without_a_private_part_runs_unpatched_and_what_is_lost_is_said(
    internal: Internal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    removed(internal, monkeypatch)
    (line,) = changed_internals()
    assert line.startswith(f"Ray {ray.__version__}: ray.") and line.endswith(
        f"{internal.name} is gone; {internal.lost}"
    )
    with any_agent_port(), named_tasks("digits"), patched_control_loop(), trials_in_cluster_processes():
        pass
    kill_monitor()
    named = named_trainable(one_trial, "digits", reused=False)
    assert (named is one_trial) == (internal is WRAP)
    asha = ResumableASHA(load_study_config("smoke"), tmp_path / "rungs.json")
    trial: Any = SimpleNamespace(trial_id="rays", config={"trial_id": "t0000"})
    asha.on_trial_add(None, trial)
    assert asha.on_trial_result(None, trial, {"evaluation": 1, "fid": 9.0, "diverged": False}) == "CONTINUE"
    asha.on_trial_remove(None, trial)


@pytest.mark.parametrize("internal", [each for each in INTERNALS if each.parameters], ids=lambda each: each.name)
def test_a_method_with_other_parameters_is_left_alone(internal: Internal, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(self: Any, moment: float) -> None: ...

    place = internal.place
    monkeypatch.setattr(place, internal.name, other)
    (line,) = changed_internals()
    assert f"takes (self, moment), not ({', '.join(internal.parameters or ())}); {internal.lost}" in line
    with any_agent_port(), named_tasks("digits"), patched_control_loop():
        assert getattr(place, internal.name) is other
    kill_monitor()


@pytest.mark.parametrize(
    "owner", ["ray.tune.nowhere:Class", "ray.tune.schedulers.async_hyperband:Nobody", RUNGS.owner, NODE.owner]
)
@pytest.mark.parametrize("parameters", [("self",), None])
def test_what_is_gone_is_named(owner: str, parameters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_internals, "INTERNALS", (Internal(owner, "_part", "much", parameters),))
    assert changed_internals() == [f"Ray {ray.__version__}: {owner.replace(':', '.')}._part is gone; much"]


def test_doctor_says_what_a_new_version_of_ray_takes_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(RayActorManager, "next")
    found = CliRunner().invoke(main, ["doctor", "smoke", "--out", str(tmp_path)])
    assert f"warning    Ray {ray.__version__}: " in found.output and NEXT.lost in found.output, found.output


def test_imported_objects_are_excluded_from_garbage_collection() -> None:
    gc.unfreeze()
    before = gc.get_freeze_count()
    with imports_frozen():
        assert gc.get_freeze_count() > before + 10_000
    assert gc.get_freeze_count() == 0
