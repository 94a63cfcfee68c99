"""``list`` and ``show``: studies, trials and genotypes in a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.base.errors import ConfigError, NotFoundError, ResultsError, nearest
from autogan_ray.base.reading import reading
from autogan_ray.cli import commands, options
from autogan_ray.cli.text import duration, echo, evaluation_table, failures, number, table, trial_table

if TYPE_CHECKING:
    import pandas as pd

    from autogan_ray.results.study import Study
    from autogan_ray.results.trial_log import TrialLog

FOLLOW_S = 1.0
"""How often a log that grows is looked at."""


@click.command("list")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@options.as_json
def list_(folder: Path | None, as_json: bool) -> None:
    """List the studies in a folder (default: results)."""
    from autogan_ray.results.study import load_study
    from autogan_ray.results.study_tables import list_studies

    if folder is not None and not folder.is_dir():
        beside = [other.name for other in folder.absolute().parent.glob("[!.]*/")]
        raise ResultsError(f"there is no folder {str(folder)!r}; {nearest(folder.name, beside)}")
    folder = folder or Path(options.OUT)
    rows: list[tuple[Any, ...]] = []
    damaged = []
    for path in list_studies(folder) or list_studies(folder.parent, folder.name):
        try:
            study = load_study(path)
            row, trials = study.about, study.trials
        except ResultsError as error:  # one damaged study hides no other
            rows.append((str(path), "damaged", *[None if as_json else "-"] * 3))
            damaged.append(str(error))
            continue
        best = trials["fid_best"].min() if len(trials) else None
        best = None if best != best else best
        rows.append((str(path), study.state, len(trials), row["metric"], best if as_json else number(best)))
    titles = ("folder", "status", "trials", "metric", "best")
    if as_json:
        echo(json.dumps([dict(zip(titles, row, strict=True)) for row in rows], indent=2))
    elif rows:
        echo("\n".join([table(titles, rows), *damaged]))
    else:
        echo(f"no studies in {folder}")


@click.command()
@options.results
@click.argument("trial", required=False)
@click.option("--follow", is_flag=True, help="Print the log of TRIAL as it grows, until the trial ends.")
@options.as_json
def show(results: Path, trial: str | None, follow: bool, as_json: bool) -> None:
    """Show a study's trials, or one TRIAL (its id or number, or best) or genotype (its id)."""
    results = options.study_folder(results)
    if follow:
        _follow(results, trial, as_json)
    elif trial is None:
        _show_study(results, as_json)
    else:
        _show_trial(results, trial, as_json)


def _show_study(results: Path, as_json: bool) -> None:
    """Prints the trials of a study, running or finished, and the retrained networks."""
    from autogan_ray.results.analysis.verdict import baselines, verdict
    from autogan_ray.results.study import load_study
    from autogan_ray.results.trial_log import TrialLogs

    study = load_study(results)
    if as_json:
        echo(study.trials.to_json(orient="records", indent=2, date_format="iso"))
        return
    metric = str(study.about["metric"])
    echo(f"{study.name}: {study.state}")
    if study.state not in ("running", "complete", "unsearched"):
        recorded = str(study.about["command"])
        echo(f"its command goes on:\n  {commands.resumed(recorded, study.name, results)}")
    logs = TrialLogs(results)
    for line in _damage(logs):
        echo(line)
    data = study.about["data_read"]
    if isinstance(data, str):
        echo(f"data {data}")
    trials = study.trials
    if len(trials):
        echo(trial_table(trials, metric, study.integer("grace_evaluations"), study.second_objective))
        for line in failures(logs):
            echo(line)
        echo("")
        with suppress(ResultsError):  # no configuration was recorded
            for line in _effort(study):
                echo(line)
    for line in _retrained(study.evaluations, metric):
        echo(line)
    for name in baselines(study):
        with suppress(ResultsError):  # no trial of the study was retrained
            echo(str(verdict(study, name)))


def _retrained(evaluations: pd.DataFrame, metric: str) -> Iterator[str]:
    """Yields the retrained networks, a table for each recipe, as scores of one recipe alone can be compared."""
    from autogan_ray.results.analysis import ranking

    raced = int((evaluations["stage"] == "race").sum())
    if raced:
        yield f"\n{raced} candidates raced: stage = race in evaluations.parquet; curves.parquet"
    known = ranking.recipes(evaluations)
    for recipe in known:
        rows = ranking.main_recipe(evaluations, recipe)
        yield "\nretrained from scratch" + (f" by recipe {recipe}" if len(known) > 1 else "")
        yield evaluation_table(rows.astype(object).where(rows.notna(), None).to_dict("records"), metric)
        chose = len(rows) - len(ranking.fresh(rows, evaluations))
        if chose:
            yield f"({chose} of these seeds took part in choosing their network: verdicts leave them out)"


def _damage(logs: Iterable[TrialLog]) -> Iterator[str]:
    """Yields what is wrong with the logs of trials, and what mends them."""
    for log in logs:
        if log.faults:
            faults = "; ".join(log.faults)
            yield f"warning: the log of {log.trial_id} is damaged ({faults}); its command with --resume mends it"


def _effort(study: Study) -> Iterator[str]:
    """Yields what the trials cost, what ASHA saved, and which settings were swept over which values."""
    saved = study.savings()
    if not saved.planned:
        return
    gpu = f", {saved.gpu_hours:.3g} GPU-hours" if saved.gpu_hours else ""
    yield f"cost   {duration(3600 * saved.hours)} of trials{gpu}; {saved.run} of {saved.planned} evaluations, " + (
        f"{saved.share:.0%} spared by ASHA, about {duration(3600 * saved.hours_saved)}"
    )
    for key, domain in study.config.get("sweep", {}).items():
        kind = next((kind for kind in ("choice", "uniform", "loguniform", "randint") if domain.get(kind)), "")
        yield f"swept  {key}: {kind} " + ", ".join(map(str, domain.get(kind) or ()))


def _show_trial(results: Path, trial: str, as_json: bool) -> None:
    """Prints settings, curve, warnings and best genotype of one trial, or a genotype; ResultsError for neither."""
    from autogan_ray.results.genotypes import is_id
    from autogan_ray.results.study import load_study
    from autogan_ray.results.trial_log import FOLDER, TrialLogs, trial_meant

    study = load_study(results)
    logs = TrialLogs(results)
    known = [log.trial_id for log in logs]
    if trial == "best":
        trial = str(study.best["trial_id"])
    if trial_meant(trial) not in known:
        unknown = f"no trial {trial!r} in {results}; {nearest(trial, ['best', *known])}"
        if not is_id(trial):
            raise ResultsError(unknown)
        try:
            return _show_genotype(results, trial, as_json)
        except NotFoundError as error:
            raise ResultsError(f"{unknown}; {error}") from error
    log = logs.whole(trial := trial_meant(trial))
    if as_json:
        echo(json.dumps({"trial": log.about, "status": log.status, "evaluations": log.records}, indent=2))
        return
    # Checksums say of a log that it is as it was written; an earlier version wrote none.
    place = results / FOLDER / f"{trial}.jsonl"
    with nullcontext() if log.checked else reading(place, ResultsError, "; the study's command with --resume mends it"):
        _print_trial(results, study, log)


def _print_trial(results: Path, study: Study, log: TrialLog) -> None:
    from autogan_ray.results.decidedness import decidedness
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.symptoms import symptoms
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.study.study_file import read_spaces

    trial = log.trial_id
    echo(f"trial {trial}: {log.state}{'' if log.fault is None else f': {log.fault}'}")
    for line in [*_damage([log]), *_urgent(results, trial)]:
        echo(line)
    _print_settings(log.about.get("config", {}))
    columns = ("evaluation", "kimg", "fid_derived", "fid_supernet", "entropy_g", "entropy_d", "genotype_id")
    metric = str(study.about["metric"])
    titles = ("evaluation", "kimg", f"{metric} derived", "supernet", "entropy G", "entropy D", "genotype")
    rows = [[r[c] if isinstance(r[c], str) else number(r[c]) for c in columns] for r in log.records]
    echo(table(titles, rows))
    planned = study.integer("max_evaluations")
    if log.records:
        if not log.about:
            raise ResultsError(
                f"{results}: the settings of trial {trial} are lost; the study's command with --resume mends its log"
            )
        config = log.about["config"]
        space = read_spaces(results).get(config["space"])
        if space is None:
            raise ResultsError(f"{results}: study.json has no space {config['space']!r}, which trial {trial} searched")
        for symptom in symptoms(log.records, planned, space, config):
            echo(f"warning: {symptom}")
    if log.best is not None:
        echo(f"\nbest at evaluation {log.best['evaluation']}, {decidedness(log.best['decisions'])}")
        echo(draw(Genotype.from_dict(log.best["genotype"])))


def _urgent(results: Path, trial: str) -> list[str]:
    """What a trial's process said that the user must know, from the trial's log for people."""
    from autogan_ray.results.trial_log import FOLDER
    from autogan_ray.tune.trial_voice import URGENT

    file = results / FOLDER / f"{trial}.log"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return [f"warning: {line.replace(URGENT, '', 1)}" for line in lines if f"Z {URGENT}" in line]


def _follow(results: Path, asked: str | None, as_json: bool) -> None:
    """Prints a trial's log for people as it grows; returns when the trial has ended, or when no process runs the study.

    Raises ConfigError where no trial is named or JSON is wanted, ResultsError for a trial that is not there.
    """
    from autogan_ray.results.study import load_study
    from autogan_ray.results.trial_log import ENDED, FOLDER, TrialLogs, read_log, trial_meant

    if asked is None or as_json:
        raise ConfigError("--follow reads along with one trial's log: name the trial, and leave out --json")
    study = load_study(results)
    trial = str(study.best["trial_id"]) if asked == "best" else trial_meant(asked)
    known = [log.trial_id for log in TrialLogs(results)]
    if trial not in known:
        raise ResultsError(f"no trial {asked!r} in {results}; {nearest(asked, ['best', *known])}")
    file, shown = results / FOLDER / f"{trial}.log", 0
    ends = False
    while True:
        running = read_log(results, trial).state not in ENDED and study.state == "running"
        text = file.read_bytes()[shown:] if file.is_file() else b""
        whole = text[: text.rfind(b"\n") + 1]  # a line that is being written comes the next time
        shown += len(whole)
        echo(whole.decode("utf-8", "replace"), nl=False)
        if ends:
            return
        ends = not running  # its last words are written after its end: they come with another look
        time.sleep(FOLLOW_S)


def _show_genotype(results: Path, asked: str, as_json: bool) -> None:
    """Prints a genotype, and where the study scored it. Raises NotFoundError where the study has none of this id."""
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.genotypes import genotype_by_id
    from autogan_ray.results.store import read_rows

    genotype, _ = genotype_by_id(asked, [results])
    if as_json:
        echo(genotype.to_json())
        return
    echo(draw(genotype))
    for row in read_rows(results, "history"):
        if row["genotype_id"] == genotype.genotype_id:
            echo(f"trial {row['trial_id']}, evaluation {row['evaluation']}: {number(row['fid_derived'])}")


def _print_settings(config: dict[str, Any]) -> None:
    from autogan_ray.config.sections import RemediesConfig

    for section in ("search", "optim", "model", "remedies"):
        values = config.get(section, {})
        if section == "remedies" and values in ({}, RemediesConfig().model_dump(mode="json")):
            continue  # all remedies are off
        echo(f"  {section}: " + ", ".join(f"{key} {value}" for key, value in values.items()))
