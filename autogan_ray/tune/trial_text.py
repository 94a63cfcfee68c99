"""The words for what happens to a trial, for its log and for what its process prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autogan_ray.results.trial_log import TrialLog, diverged_by

_ANSI = re.compile(r"\x1b\[[0-9;]*m")

_FORMS = {
    **{"fid": ".4g", "fid_derived": ".4g", "fid_supernet": ".4g", "kimg": ".4g", "entropy_g": ".2f"},
    **{"entropy_d": ".2f", "temperature": ".3g", "images_per_s": ".3g", "eval_s": ".2g"},
}


def stamp(seconds: float) -> str:
    """Returns a time in UTC to the millisecond, such as ``2026-11-28T19:06:07.250Z``; ``seconds`` count from 1970."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dated(seconds: float, text: str) -> str:
    """Returns a text with its time before it; the second and later lines of the text are indented."""
    return f"{stamp(seconds)} " + text.rstrip().replace("\n", "\n    ")


def evaluation_text(record: Mapping[str, Any]) -> str:
    """Returns an evaluation in a line: score, progress, entropies of G/D (1 is uniform), temperature and speed."""
    if record["diverged"]:
        return f"evaluation {record['evaluation']}: diverged: {diverged_by(record)}"
    shown = {name: _number(record.get(name), form) for name, form in _FORMS.items()}
    return (
        f"evaluation {record['evaluation']}: score {shown['fid']} (derived {shown['fid_derived']}, supernet "
        f"{shown['fid_supernet']}), {shown['kimg']} kimg, entropy {shown['entropy_g']}/{shown['entropy_d']}, "
        f"temperature {shown['temperature']}, {shown['images_per_s']} images/s, scored in {shown['eval_s']} s"
    )


def point_text(point: Mapping[str, Any]) -> str:
    """Returns a point of a retraining's curve in a line."""
    if point["diverged"]:
        return f"evaluation {point['evaluation']}: diverged, as an image was not finite"
    shown = {name: _number(point.get(name), form) for name, form in _FORMS.items()}
    done = f"{shown['kimg']} kimg, {shown['images_per_s']} images/s"
    return f"evaluation {point['evaluation']}: score {shown['fid']}, {done}"


def settings_text(config: Mapping[str, Any]) -> str:
    """Returns the settings of a trial, a section a line, without those that are None."""
    own = [f"{key} {value}" for key, value in config.items() if not isinstance(value, Mapping)]
    sections = [
        f"[{name}] " + ", ".join(f"{key} {value}" for key, value in section.items() if value is not None)
        for name, section in config.items()
        if isinstance(section, Mapping)
    ]
    return "\n".join([", ".join(own), *sections])


def failure_text(error_file: str | None) -> str:
    """Returns the traceback of a trial's last failure, as Ray wrote it to the file, without colours."""
    try:
        text = Path(error_file or "").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "no traceback was left"
    return _ANSI.sub("", re.split(r"^Failure # .*\n", text, flags=re.M)[-1]).strip()


def status_texts(log: TrialLog, line: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a line of kind ``status`` says: a start, a checkpoint, an end."""
    status, count = line.get("status"), len(log.evaluations)
    done = "1 evaluation" if count == 1 else f"{count} evaluations"
    if status == "running":
        starts, what = line.get("starts", 1), "begins"
        if starts > 1:
            what = f"goes on, start {starts}" if count else f"begins anew, start {starts}"
        yield f"{what}, after {done}" if count else what
    elif status == "error":
        yield f"error after {done}: {line.get('error_type')}: {line.get('error_message')}"
    elif status == "pruned":
        yield f"pruned: ASHA stopped it at its rung of evaluation {_last(log.records)}, best score {_best(log)}"
    elif status is not None:
        yield f"{status} after {done}, best score {_best(log)}"
    if line.get("checkpoint_path"):
        yield f"checkpoint of evaluation {_last(log.records)} in {line['checkpoint_path']}"


def _best(log: TrialLog) -> str:
    return "none" if log.best is None else f"{_number(log.best['fid'], '.4g')} at evaluation {log.best['evaluation']}"


def _last(records: Sequence[Mapping[str, Any]]) -> Any:
    return records[-1]["evaluation"] if records else "-"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
