"""What a study has left to do, from the logs of its trials alone."""

from __future__ import annotations

import json
from pathlib import Path

from autogan_ray.config.study import TrialConfig
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune.resume import UnfinishedTrial, unfinished_trials

CONFIG = TrialConfig(space="autogan", seed=7)


def logs(folder: Path, **states: str) -> TrialLogs:
    found = TrialLogs(folder)
    for name, state in states.items():
        found.add(name, "trial", number=int(name[1:]), config=json.loads(CONFIG.model_dump_json()))
        found.add(name, "status", status=state)
    return found


def test_a_new_study_has_no_unfinished_trials(tmp_path: Path) -> None:
    assert unfinished_trials(TrialLogs(tmp_path), tmp_path, str(tmp_path / "tune")) == ([], 0)


def test_every_trial_that_has_not_ended_is_unfinished(tmp_path: Path) -> None:
    logs(
        tmp_path,
        t0000="complete",
        t0001="error",
        t0002="pruned",
        t0003="interrupted",
        t0006="running",
        t0005="diverged",
    )
    (tmp_path / "trials" / "t0007.jsonl").write_text('{"kind": "tri')  # the driver died in its first line
    found, first = unfinished_trials(TrialLogs(tmp_path), tmp_path, str(tmp_path / "tune"))
    assert first == 8
    # Of 4 and 7 nothing was told: they are proposed again.
    wanted = [
        UnfinishedTrial(1, CONFIG),
        UnfinishedTrial(3, CONFIG),
        UnfinishedTrial(4),
        UnfinishedTrial(6, CONFIG),
        UnfinishedTrial(7),
    ]
    assert found == wanted


def test_a_checkpoint_is_found_where_it_was_or_where_the_folder_was_moved(tmp_path: Path) -> None:
    known = logs(tmp_path, t0000="running")
    told = tmp_path / "before" / "tune" / "t0000-abc" / "checkpoint_000002"
    known.add("t0000", "status", checkpoint_path=str(told))
    now = tmp_path / "now" / "tune"

    def checkpoints(experiment: str) -> tuple[str, ...]:
        return unfinished_trials(known, tmp_path / "now", experiment)[0][0].checkpoints

    assert checkpoints(str(now)) == ()  # gone: the trial begins anew
    moved = now / "t0000-abc" / "checkpoint_000002"
    moved.mkdir(parents=True)
    assert checkpoints(str(now)) == (str(moved),)
    older, untold = (told.with_name(f"checkpoint_00000{index}") for index in (1, 3))
    for folder in (told, older, untold):
        folder.mkdir(parents=True)
    # Newest first, for the case that it is torn; what was never told of is the last resort.
    assert checkpoints(str(now)) == (str(told), str(older), str(moved), str(untold))
    assert checkpoints(str(told.parents[1])) == (str(told), str(older), str(untold))
    known.add("t0000", "status", checkpoint_path="bucket/study/tune/t0000-abc/checkpoint_000002")
    assert checkpoints("s3://bucket/study/tune") == ("s3://bucket/study/tune/t0000-abc/checkpoint_000002",)
    assert checkpoints("s3://other/tune")[1] == "s3://other/tune/t0000-abc/checkpoint_000002"
    # Since schema 2 a log holds URIs, and paths relative to the study's folder.
    known.add("t0000", "status", checkpoint_path="s3://bucket/study/tune/t0000-abc/checkpoint_000002")
    assert checkpoints("s3://bucket/study/tune") == ("s3://bucket/study/tune/t0000-abc/checkpoint_000002",)
    assert checkpoints("s3://other/tune")[1] == "s3://other/tune/t0000-abc/checkpoint_000002"
    known.add("t0000", "status", checkpoint_path="tune/t0000-abc/checkpoint_000002")
    assert checkpoints(str(now)) == checkpoints(str(tmp_path / "another")) == (str(moved),)


def test_the_next_attempt_of_a_trial_is_above_the_attempts_of_its_records(tmp_path: Path) -> None:
    known = logs(tmp_path, t0000="running")
    for evaluation, attempt in ((1, 0), (2, 1)):
        known.add("t0000", "evaluation", record={"evaluation": evaluation, "attempt": attempt})
    # Also where it begins anew: records of a lower attempt than those that are there would not be taken.
    assert unfinished_trials(known, tmp_path, str(tmp_path))[0] == [UnfinishedTrial(0, CONFIG, (), attempt=2)]
