"""What studies and trials look like in a terminal, and the comparison after a retraining."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ResultsError, nearest
from autogan_ray.spaces.genotype import Genotype

if TYPE_CHECKING:
    from autogan_ray.metrics.measure import Measure

Say = Callable[[str], None]


def check_named(folder: Path) -> None:
    """Raises ResultsError, with the nearest name beside it, where there is no such folder."""
    if not folder.is_dir():
        beside = [other.name for other in folder.absolute().parent.glob("[!.]*/")]
        raise ResultsError(f"there is no folder {str(folder)!r}; {nearest(folder.name, beside)}")


def say_studies(say: Say, folder: Path, as_json: bool) -> None:
    """The studies below a folder, or the one that it is; none where it is not there.

    One that cannot be read is told as damaged.
    """
    from autogan_ray.cli.text import number, table
    from autogan_ray.results.study_tables import list_studies, load_study

    rows: list[tuple[Any, ...]] = []
    damaged = []
    for found in list_studies(folder) or list_studies(folder.parent, folder.name):
        try:
            study = load_study(found)
            row, trials = study.studies.iloc[0], study.trials
        except ResultsError as error:  # of one study; the others are as they were
            rows.append((str(found), "damaged", *[None if as_json else "-"] * 3))
            damaged.append(str(error))
            continue
        best = trials["fid_best"].min() if len(trials) else None
        best = None if best != best else best
        rows.append((str(found), row["status"], len(trials), row["metric"], best if as_json else number(best)))
    if as_json:
        keys = ("folder", "status", "trials", "metric", "best")
        say(json.dumps([dict(zip(keys, row, strict=True)) for row in rows], indent=2))
    elif rows:
        say(table(("folder", "status", "trials", "metric", "best"), rows))
        for message in damaged:
            say(message)
    else:
        say(f"no studies in {folder}")


def say_study(say: Say, results: Path, as_json: bool) -> None:
    """The trial table of a study, running or finished, and what was retrained."""
    from autogan_ray.cli.text import evaluation_table, trial_table
    from autogan_ray.results.lock import is_held
    from autogan_ray.results.store import read_rows
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.results.trial_log import TrialLogs

    study = load_study(results)
    if as_json:
        say(study.trials.to_json(orient="records", indent=2, date_format="iso"))
        return
    metric = str(study.studies["metric"].iloc[0])
    status = str(study.studies["status"].iloc[0])
    left = status == "running" and not is_held(results)
    say(f"{study.name}: {status}" + (", but no process here runs it: its command with --resume goes on" * left))
    logs = TrialLogs(results)
    if len(logs):
        say(trial_table(logs, metric))
    retrained = read_rows(results, "evaluations")
    if retrained:
        say("\nretrained from scratch")
        say(evaluation_table(retrained, metric))


def say_trial(say: Say, results: Path, trial: str, as_json: bool) -> None:
    """One trial: settings, curve, genotype, and whether it decided anything. Raises ResultsError for an unknown id."""
    from autogan_ray.cli.text import number, table
    from autogan_ray.config.remedies import RemediesConfig
    from autogan_ray.results.decidedness import decidedness
    from autogan_ray.results.drawing import draw
    from autogan_ray.results.study_tables import load_study
    from autogan_ray.results.symptoms import symptoms
    from autogan_ray.results.trial_log import TrialLogs

    study = load_study(results)
    metric = str(study.studies["metric"].iloc[0])
    logs = {log.trial_id: log for log in TrialLogs(results)}
    if trial == "best":
        trial = str(study.best["trial_id"])
    if trial not in logs:
        raise ResultsError(f"no trial {trial!r} in {results}; {nearest(trial, ['best', *logs])}")
    log = logs[trial]
    if as_json:
        say(json.dumps({"trial": log.about, "status": log.status, "evaluations": log.records}, indent=2))
        return
    say(f"trial {trial}: {log.state}")
    for section in ("search", "optim", "model", "remedies"):
        settings = log.about.get("config", {}).get(section, {})
        if section == "remedies" and settings in ({}, RemediesConfig().model_dump(mode="json")):
            continue  # all off
        say(f"  {section}: " + ", ".join(f"{key} {value}" for key, value in settings.items()))
    columns = ("evaluation", "kimg", "fid_derived", "fid_supernet", "entropy_g", "entropy_d", "genotype_id")
    rows = [[r[c] if isinstance(r[c], str) else number(r[c]) for c in columns] for r in log.records]
    say(table(("evaluation", "kimg", f"{metric} derived", "supernet", "entropy G", "entropy D", "genotype"), rows))
    planned = int(study.studies["max_evaluations"].iloc[0])
    for symptom in symptoms(log.records, planned):
        say(f"warning: {symptom}")
    if log.best is not None:
        say(f"\nbest at evaluation {log.best['evaluation']}, {decidedness(log.best['decisions'])}")
        say(draw(Genotype.from_dict(log.best["genotype"])))


def say_comparison(say: Say, folder: Path, measure: Measure, results: Sequence[dict[str, Any]], device: str) -> None:
    """What was just retrained, beside the floor, the untrained networks and the random genotypes of this budget."""
    from autogan_ray.cli.text import evaluation_table, number
    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.metrics.measure import floor
    from autogan_ray.results.store import read_rows

    metric, rows = metric_label(measure.extractor.name), [result["row"] for result in results]
    say(evaluation_table(rows, metric))
    say("")
    untrained = [r["fid_untrained"] for r in results if r["fid_untrained"] is not None]
    _say_group(say, "searched", metric, [row for row in rows if row["source"] == "retrain"])
    # Whatever was trained by the same recipe, now or before, stands beside it.
    recipes = {_recipe(row) for row in rows}
    stored = [row for row in read_rows(folder, "evaluations") if _recipe(row) in recipes]
    _say_group(say, "random genotypes", metric, [row for row in stored if row["source"] == "random"])
    others = [row for row in stored if row["source"] in ("published", "user")]
    for name in dict.fromkeys(row["name"] for row in others):
        _say_group(say, name, metric, [row for row in others if row["name"] == name])
    say(f"untrained: {metric} {number(statistics.fmean(untrained) if untrained else None)}")
    half, fakes = len(measure.data) // 2, rows[0]["n_fake"]
    say(f"floor: {metric} {number(floor(measure, device))}, one half of the real images against the other")
    say(f"({half} images each; the networks are scored with {fakes}: a distance falls with the count,")
    say("so they can pass it)")
    for row in rows[:1]:
        say(f"\nsamples and generator in {Path(row['samples_path']).parent}")


def _recipe(row: dict[str, Any]) -> str:
    """The recipe of a training, from its id: only what shares it is comparable."""
    return str(row["evaluation_id"]).split("-", 2)[2].rsplit("-s", 1)[0]


def _say_group(say: Say, name: str, metric: str, rows: Sequence[dict[str, Any]]) -> None:
    scores = [row["fid"] for row in rows if row["fid"] is not None]
    if not scores:
        return
    spread = f", from {min(scores):.4g} to {max(scores):.4g}" if len(scores) > 1 else ""
    say(f"{name}: {metric} {statistics.fmean(scores):.4g}, mean of {len(scores)}{spread}")


def say_scores(say: Say, checkpoint: Path, num: int | None) -> None:
    """A generator's score by its study's protocol."""
    from autogan_ray.cli.text import number
    from autogan_ray.retraining.sampling import score_again

    metric, fid, wanted = score_again(checkpoint, num)
    say(f"{metric} {number(fid, '.6g')} of {wanted} images")
