"""What happens to a trial, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.tune.trial_text import dated, evaluation_text, failure_text, settings_text, stamp, status_texts

RECORD: dict[str, Any] = {
    "evaluation": 3, "attempt": 0, "diverged": False, "fid": 450.21, "fid_derived": 450.21, "fid_supernet": None,
    "kimg": 1.92, "entropy_g": 0.5, "entropy_d": None, "temperature": 2.0, "images_per_s": 1234.5, "eval_s": 0.25,
}  # fmt: skip


def test_a_time_is_in_utc_and_later_lines_of_a_text_are_indented() -> None:
    assert stamp(0.25) == "1970-01-01T00:00:00.250Z"
    assert dated(0, "a\nb\n") == "1970-01-01T00:00:00.000Z a\n    b"


def test_an_evaluation_is_told_with_what_is_known_of_it() -> None:
    assert evaluation_text(RECORD) == (
        "evaluation 3: score 450.2 (derived 450.2, supernet -), 1.92 kimg, entropy 0.50/-, temperature 2, "
        "1.23e+03 images/s, scored in 0.25 s"
    )
    assert evaluation_text(RECORD | {"diverged": True}).startswith("evaluation 3: diverged")
    assert "score 1 (derived -" in evaluation_text({"evaluation": 1, "diverged": False, "fid": 1.0})


def test_settings_have_a_line_for_each_section() -> None:
    text = settings_text({"space": "autogan", "seed": 7, "optim": {"lr_g": 0.1, "lr_d": 0.2, "clip": None}})
    assert text == "space autogan, seed 7\n[optim] lr_g 0.1, lr_d 0.2"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"status": "running", "starts": 1}, ["begins, after 1 evaluation"]),
        ({"status": "running", "starts": 2}, ["goes on, start 2, after 1 evaluation"]),
        ({"status": "pruned"},
         ["pruned: ASHA stopped it at its rung of evaluation 3, best score 450.2 at evaluation 3"]),
        ({"status": "complete"}, ["complete after 1 evaluation, best score 450.2 at evaluation 3"]),
        ({"status": "interrupted"}, ["interrupted after 1 evaluation, best score 450.2 at evaluation 3"]),
        ({"status": "error", "error_type": "KeyError", "error_message": "'lr'"},
         ["error after 1 evaluation: KeyError: 'lr'"]),
        ({"checkpoint_path": "tune/t0/c1"}, ["checkpoint of evaluation 3 in tune/t0/c1"]),
    ],
)  # fmt: skip
def test_what_becomes_of_a_trial_is_told(status: dict[str, Any], told: list[str], tmp_path: Path) -> None:
    logs = TrialLogs(tmp_path)
    log = logs.add("t0000", "evaluation", record=RECORD)
    assert list(status_texts(log, status)) == told
    assert list(status_texts(logs.get("t0001"), {"status": "running", "starts": 2})) == ["begins anew, start 2"]
    assert list(status_texts(logs.get("t0001"), {"status": "diverged"})) == [
        "diverged after 0 evaluations, best score none"
    ]


def test_the_traceback_of_the_last_failure_is_told_without_colours(tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text(
        "Failure # 1 (occurred at noon)\nold\nFailure # 2 (occurred later)\n\x1b[36mray::x\x1b[39m\nKeyError\n"
    )
    assert failure_text(str(file)) == "ray::x\nKeyError"
    assert failure_text(str(tmp_path / "gone")) == failure_text(None) == "no traceback was left"
