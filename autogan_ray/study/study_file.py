"""``study.json``: what a study's folder says of its study, and whether a study may go on in that folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base import provenance
from autogan_ray.base.errors import AlreadyThereError, ConfigError, ResultsError, UserError, nearest
from autogan_ray.base.files import replace_text
from autogan_ray.base.reading import parse_object, reading
from autogan_ray.config.study import StudyConfig, differences
from autogan_ray.metrics.extractors.registry import metric_label
from autogan_ray.results.grids import COLUMNS, REALS, encode_grid, write_grid
from autogan_ray.results.lock import HOLDER
from autogan_ray.results.rows import study_row
from autogan_ray.results.store import arrow_rows
from autogan_ray.results.trial_log import FOLDER, TrialLogs
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.study.plan import Plan, unread

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.training.data import ImageData

STUDY_FILE = "study.json"

# Settings that say where and how fast a study runs, not what comes out; a resumed study may change them.
_RESOURCES = ("cpus_per_trial", "gpus_per_trial", "threads", "max_concurrent", "max_failures", "checkpoints")

# Names, and who draws the curves.
_NOT_RESULTS = ("name", "description", "tracking", "results")

_NEEDED = ("name", "status", "config_json", "max_evaluations", "grace_evaluations", "wall_s")
"""What ``study.json`` of every version has, beside the key ``study_id``."""

# Where files lie, which may change: a study is held to the digest of its images (check_same_data), and the weights of
# its extractor to ``metrics.sha256``, or to the published digest.
_PLACES = {"data": ("source", "root"), "metrics": ("weights",)}


def new_about(plan: Plan, measure: Measure, command: str, status: str = "running") -> dict[str, Any]:
    """The content of ``study.json`` for a new study; it becomes the row of the table ``studies``.

    Args:
        measure: data, extractor and real statistics, as prepared for the study.
        command: as typed.
        status: ``running``, or ``unsearched`` for a folder that only holds retrainings.
    """
    from autogan_ray.metrics.measure import floor

    study, tune = plan.study, plan.study.tune
    decides = [_deciding(study.to_dict(), unread(study)), measure.data.digest]
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()
    return {
        "study_id": f"{study.name}-{digest[:8]}",
        "name": study.name,
        "status": status,
        "created_at": time.time(),
        **about_data(study, measure.data),
        "n_real": measure.real.statistics.count,
        "extractor": measure.extractor.name,
        "extractor_digest": measure.extractor.digest,
        "metric": metric_label(measure.extractor.name),
        "floor_fid": floor(measure.real),
        "n_fake_search": study.metrics.n_fake_search,
        "n_fake_final": study.metrics.n_fake_final,
        "searcher": tune.searcher,
        "scheduler": tune.scheduler,
        "num_trials": tune.num_trials,
        "max_evaluations": tune.max_evaluations,
        "grace_evaluations": tune.grace,
        "reduction_factor": tune.reduction_factor,
        "seed": study.seed,
        "gpus": plan.gpus,
        "gpus_per_trial": tune.gpus_per_trial,
        "gpu_name": provenance.gpu_name(),
        "git_commit": provenance.git_commit(),
        "packages_json": provenance.packages_json(),
        "config_json": json.dumps(study.to_dict(), sort_keys=True),
        "command": command,
        "wall_s": 0.0,
        # Whole spaces, so that a retraining does not need the user's files again.
        "spaces": {name: space.to_dict() for name, space in plan.spaces.items()},
    }


def about_data(study: StudyConfig, data: ImageData) -> dict[str, Any]:
    """What ``study.json`` says of the images: where they lie now, and what was read there."""
    return {
        "dataset": study.data.source,
        "dataset_digest": data.digest,
        "image_size": data.image_size,
        "channels": data.channels,
        "n_classes": data.classes,
        "n_images": len(data),
        "data_source": provenance.without_secrets(study.data.source),
        "data_read": provenance.without_secrets(data.described()),
    }


def _deciding(config: Mapping[str, Any], idle: Collection[str] = ()) -> dict[str, Any]:
    """A study's configuration without the settings, and names, that do not decide its results.

    Args:
        idle: dotted names of settings that the study does not read.
    """
    kept = {key: value for key, value in config.items() if key not in _NOT_RESULTS}
    for section, names in {"tune": _RESOURCES, **_PLACES}.items():
        settings = config[section].items()
        kept[section] = {key: value for key, value in settings if key not in names and f"{section}.{key}" not in idle}
    return kept


def with_new_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a recorded configuration with the settings that came later at their defaults, which change nothing.

    A configuration that this version cannot read is returned as it is.
    """
    try:
        return StudyConfig.parse(config, "the study's configuration", ConfigError).to_dict()
    except ConfigError:
        return config


def check_same_data(about: Mapping[str, Any], data: ImageData, folder: Path) -> None:
    """Raises ResultsError for images that are not those that the study in a folder began with."""
    began = str(about["dataset_digest"])
    if data.digest != began:
        raise ResultsError(
            f"data {data.name!r} is not what it was when the study in {folder} began: its digest is "
            f"{data.digest[:12]}, not {began[:12]}; give their place by --set data.source=..."
        )


def other_optuna(about: Mapping[str, Any], study: StudyConfig) -> str | None:
    """What another major version of Optuna than the one that a study began with changes; None where nothing changes."""
    began = json.loads(about.get("packages_json") or "{}").get("optuna")
    now = json.loads(provenance.packages_json()).get("optuna")
    if study.tune.searcher == "random" or not began or not now or began.split(".")[0] == now.split(".")[0]:
        return None
    return (
        f"the study began with Optuna {began}, and this is {now}: new trials after the {study.tune.startup_trials} "
        f"start-up trials differ from those that {began} would propose"
    )


def check_folder(
    study: StudyConfig,
    folder: Path,
    resume: bool,
    spaces: Mapping[str, SearchSpace] | None = None,
    may_begin: bool = True,
) -> dict[str, Any] | None:
    """The content of ``study.json`` where an earlier run is to go on; None for a new folder.

    A study may be given more trials than it had. It is then an interrupted study, even if its trials had all ended. It
    may be called by another name, as its folder may have been renamed, and its files may lie elsewhere.

    Args:
        resume: whether the user asked to go on with an earlier run.
        spaces: the spaces by name as they are now, which must be those that the study began with; None where nothing
            will be searched.
        may_begin: whether a study may begin where there is none to go on with.

    Raises ResultsError: the folder holds a study of another configuration (the message shows the difference), or this
    very study while ``resume`` is not set, or something that is no study; or a space has changed since; or there is no
    study and none may begin.
    """
    file = folder / STUDY_FILE
    if not file.is_file():
        if folder.is_dir() and any(path.name != HOLDER for path in folder.iterdir()):  # of a driver that died at once
            raise ResultsError(f"{folder} is not empty and holds no study; choose another --name or --out")
        if not may_begin:
            beside = nearest(folder.name, [other.parent.name for other in folder.parent.glob(f"*/{STUDY_FILE}")])
            raise ResultsError(
                f"--resume: there is no study {folder.name!r} in {folder.parent}, and it would be a new one; to begin "
                f"it, add --new; {beside}"
            )
        return None
    about, idle = read_about(folder), unread(study)
    with reading(file, ResultsError, f"; the study in {folder} cannot be resumed"):
        config = with_new_settings(parse_object(about["config_json"], f"{file}, config_json", ResultsError))
        before = _deciding(config, idle)
    wanted, config_json = study.tune.num_trials, json.dumps(study.to_dict(), sort_keys=True)
    if before["tune"].get("num_trials", wanted) < wanted:  # the study has run the first of them
        before["tune"]["num_trials"] = wanted
        about |= {"num_trials": wanted, "status": "interrupted"}
    changed = differences(before, _deciding(study.to_dict(), idle))
    if changed:
        listed = "\n  ".join(changed)
        raise ResultsError(
            f"{folder} holds a study with another configuration, which stays as it is:\n  {listed}\n"
            "choose another --name, or resume with the settings it had"
        )
    # The study may have been renamed, its images moved, or a setting changed that decides nothing.
    about |= {"name": study.name, "dataset": study.data.source, "config_json": config_json}
    _check_spaces_unchanged(about, folder, spaces or {})
    if not resume:
        raise AlreadyThereError(
            f"{folder} holds this very study already; go on with --resume, or choose another --name"
        )
    return about


def check_logs(folder: Path, about: Mapping[str, Any]) -> None:
    """Raises ResultsError for a study that has evaluated trials, and of whose logs nothing is left.

    Args:
        about: the content of ``study.json``.
    """
    if any(log.about or log.status or log.evaluations for log in TrialLogs(folder)):
        return  # what a log has lost is mended
    traces = [*folder.glob("grids/t*"), *folder.glob("tune/t*-*/checkpoint_*"), *folder.glob("rungs.json")]
    if about.get("evaluations") or traces:
        raise ResultsError(
            f"{folder / FOLDER}: the logs of the trials are gone or empty, and its trials were evaluated; put "
            "them back from a copy, or choose another --name and begin anew"
        )


def _check_spaces_unchanged(about: Mapping[str, Any], folder: Path, spaces: Mapping[str, SearchSpace]) -> None:
    """Raises ResultsError for a space that has changed: a study must not mix two spaces under the same name."""
    for name, space in spaces.items():
        stored = about.get("spaces", {}).get(name)
        if stored is not None and SearchSpace.from_dict(stored, str(folder)).digest != space.digest:
            raise ResultsError(
                f"space {name!r} has changed since the study in {folder} began; restore its file, or choose another "
                "--name"
            )


@contextmanager
def kept_if_refused(folder: Path) -> Iterator[None]:
    """Puts an earlier run's ``study.json`` back where the block ends in a mistake of the user."""
    file = folder / STUDY_FILE
    before = file.read_text(encoding="utf-8") if file.is_file() else None
    try:
        yield
    except UserError:
        if before is not None:
            replace_text(file, before)
        raise


def read_about(folder: Path) -> dict[str, Any]:
    """The content of ``study.json``. Raises ResultsError where it is missing or damaged."""
    about = _content(folder)
    with reading(folder / STUDY_FILE, ResultsError, "; put it back from a copy"):
        arrow_rows("studies", [study_row(about, ())])  # every value has the type of its column
        for name in _NEEDED:
            if about.get(name) is None:
                raise KeyError(name)
    return about


def _content(folder: Path) -> dict[str, Any]:
    file, way_on = folder / STUDY_FILE, "put it back from a copy"
    try:
        return parse_object(file.read_bytes(), "its text", ResultsError)
    except (OSError, ResultsError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise ResultsError(f"{file} is missing or damaged ({words}); {way_on}") from error


def read_spaces(folder: Path) -> dict[str, SearchSpace]:
    """The spaces that a study searched, as they were then, by the name its trials give them. Raises ResultsError."""
    with reading(folder / STUDY_FILE, ResultsError, "; put it back from a copy"):
        spaces = _content(folder)["spaces"].items()
        return {name: SearchSpace.from_dict(values, f"{folder}, space {name!r}") for name, values in spaces}


def read_space(folder: Path, name: str) -> SearchSpace | None:
    """The space that a study searched, by the name its genotypes give it; None for another. Raises ResultsError."""
    return next((space for space in read_spaces(folder).values() if space.name == name), None)


def write_reals(folder: Path, data: ImageData) -> None:
    """Leaves a picture of some real images, drawn over all, in the study's folder."""
    write_grid(folder / REALS, encode_grid(data.images[data.sample(4 * COLUMNS)]))


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Replaces ``study.json`` in one step: with half a file, a study could not be resumed."""
    replace_text(folder / STUDY_FILE, json.dumps(about, indent=2) + "\n")
