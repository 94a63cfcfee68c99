"""What ``retrain`` prints: a line for each event, what a race costs, and the comparison at the end."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autogan_ray.base.errors import ResultsError
from autogan_ray.cli import commands
from autogan_ray.cli.progress import Console, Part
from autogan_ray.cli.text import clock, evaluation_table, number, table

if TYPE_CHECKING:
    from autogan_ray.config.sections import TuneConfig
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.metrics.measure import Measure
    from autogan_ray.results.study import Study
    from autogan_ray.results.trial_log import TrialLog
    from autogan_ray.retraining.job import Job

_MOST = 10_000
"""Candidates of a race; one behind the most that can be asked for."""


class NetworkProgress(Console):
    """Prints a line for each point of a curve and for each end.

    Args:
        jobs: all of one stage.
        slots: number of networks side by side.
    """

    def __init__(self, jobs: Sequence[Job], slots: int) -> None:
        super().__init__(_as_tune(jobs), slots, "networks")
        self._jobs = {job.evaluation_id: job for job in jobs}

    def _logs(self, event: dict[str, Any]) -> Iterable[TrialLog]:
        return [log for log in event["logs"] if log.trial_id in self._jobs]  # the folder holds those of earlier calls

    def _parts(self, event: dict[str, Any]) -> list[Part]:
        log: TrialLog = event["trial"]
        job = self._jobs[log.trial_id]
        lead = [
            (0, f"  {self._clock()} {job.name}"),
            (4, f" (genotype {job.genotype.genotype_id})"),
            (0, f", seed {job.seed}"),
        ]
        if event["kind"] == "end":
            done = f", {self._standing.ended}/{self._tune.num_trials} networks done"
            return [*lead, (0, f": {self._end(log, event['status'])}"), (3, done), *self._left_and_spent()]
        record, kimg = event["record"], job.study.retrain.kimg
        scored = f", {record['kimg']:.4g} of {kimg:g} kimg: {number(record['fid'])}"
        return [*lead, (0, scored), *self._left_and_spent()]

    def _end(self, log: TrialLog, status: str) -> str:
        from autogan_ray.results.retrained import read_result
        from autogan_ray.results.trial_log import FINISHED

        if status == "error":
            return f"FAILED, {log.status['error_type']}: {log.status['error_message']}"
        if status in FINISHED and (result := read_result(self._jobs[log.trial_id].folder)):
            ended = ", diverged; its best evaluation before is kept" if status == "diverged" else ""
            return number(result["row"]["fid"]) + ended
        best = None if log.best is None else log.best["fid"]
        ended = {"pruned": "stopped by ASHA", "complete": "ran to its end", "diverged": "diverged"}.get(status, status)
        return f"{ended}, best score {number(best)}"


def _as_tune(jobs: Sequence[Job]) -> TuneConfig:
    """How many evaluations are to be expected of the networks; the groups of a race are taken together."""
    from autogan_ray.retraining.race import race_tune

    study = jobs[0].study
    tune = race_tune(study, len(jobs))
    return tune if jobs[0].stage == "race" else tune.model_copy(update={"scheduler": "none"})


def cost_before(study: Study, config: StudyConfig, candidates: Sequence[Job], finals: int) -> str:
    """Returns what races are expected to cost, and how many random candidates would cost as much as the search: by the
    images that D is shown and, once networks were trained by this recipe, by time.

    Args:
        finals: trainings to the end that follow each race.
    """
    from autogan_ray.retraining.race import expected_trainings, groups_of

    kimg, lines = config.retrain.kimg, []
    groups = groups_of(candidates)
    for group, own in groups.items():
        race = expected_trainings(config, len(own))
        lines.append(
            f"race of {len(own)} {group} candidates: about {race:.2g} trainings of {kimg:g} kimg, then {finals} with "
            f"fresh seeds: {(race + finals) * kimg:,.4g} kimg"
        )
    searched = float(study.history.groupby("trial_id")["kimg"].max().sum())
    if "searched" in groups and searched:
        seconds, pace = float(study.trials["wall_s"].sum()), _pace(study, candidates)
        count, lead = len(groups["searched"]), "at equal total cost"
        by_images = _equal(config, searched / kimg, count)
        lines.append(f"the search was shown {searched:,.4g} kimg in {clock(seconds)}")
        if pace is None:
            lines.append(
                f"{lead} in images {_candidates(by_images)} can be raced; in time more, as its steps take longer: how "
                "many, the next call says"
            )
        else:
            by_time = _equal(config, seconds / (pace * kimg), count)
            lines.append(
                f"{lead} in images {_candidates(by_images)} can be raced; in time, at {pace:.2g} s a kimg of such a "
                f"training, {_candidates(by_time)}"
            )
    return "\n".join(lines)


def _pace(study: Study, candidates: Sequence[Job]) -> float | None:
    """The seconds that a kimg of a training by the recipe of a race took so far, in the mean; None where none ran."""
    recipes = {name for job in candidates for name in (job.recipe, job.finals)}
    rows = study.evaluations
    ends = study.curves[study.curves["evaluation_id"].isin(rows["evaluation_id"][rows["recipe"].isin(recipes)])]
    ends = ends.groupby("evaluation_id")[["kimg", "wall_s"]].max().dropna()
    return float(ends["wall_s"].sum() / ends["kimg"].sum()) if len(ends) else None


def _equal(config: StudyConfig, search: float, raced: int) -> int:
    """How many random candidates cost in a race what a search, given in whole trainings, and its race cost."""
    from autogan_ray.retraining.race import expected_trainings

    whole = search + expected_trainings(config, raced)
    return raced + bisect.bisect_left(range(raced, _MOST), whole, key=partial(expected_trainings, config))


def _candidates(count: int) -> str:
    if count < _MOST:
        return f"{count} random candidates (--genotype random:{count})"
    return f"over {_MOST - 1:,} random candidates"


def cost_after(candidates: Sequence[Job], logs: Mapping[str, TrialLog]) -> str:
    """Returns what races did cost."""
    from autogan_ray.retraining.race import groups_of, trainings

    costs = [f"{trainings(own, logs):.3g} ({group})" for group, own in groups_of(candidates).items()]
    return f"trainings that the races took: {', '.join(costs)}"


def race_table(group: str, ranked: Sequence[Job], logs: Mapping[str, TrialLog]) -> str:
    """Returns how the candidates of a group came in, the first first."""
    rows = []
    for place, job in enumerate(ranked, start=1):
        log = logs[job.evaluation_id]
        assert log.best is not None
        done = f"{log.records[-1]['kimg']:.4g} of {job.study.retrain.kimg:g}"
        rows.append([str(place), job.name, job.genotype.genotype_id, done, number(log.best["fid"])])
    return f"race, {group}\n" + table(["place", "network", "genotype", "kimg", "best score"], rows)


def print_comparison(folder: Path, measure: Measure, results: Sequence[Mapping[str, Any]]) -> None:
    """Prints the new scores, and beside them all of the same recipe, the untrained networks and the floor."""
    import statistics

    import pandas as pd

    from autogan_ray.metrics.extractors.registry import metric_label
    from autogan_ray.metrics.measure import floor
    from autogan_ray.results.analysis import ranking
    from autogan_ray.results.analysis.verdict import baselines, verdict
    from autogan_ray.results.retrained import RETRAINED
    from autogan_ray.results.store import read_rows
    from autogan_ray.results.study import load_study

    metric, rows = metric_label(measure.extractor.name), [result["row"] for result in results]
    click.echo(evaluation_table(rows, metric) + "\n")
    searched = [row["fid"] for row in rows if row["source"] == "retrain"]
    _print_group("searched", metric, [score for score in searched if score is not None])
    recipes = {row["recipe"] for row in rows}
    stored = [row for row in read_rows(folder, "evaluations") if row["recipe"] in recipes]
    others = pd.DataFrame([row for row in stored if row["source"] != "retrain"], columns=list(rows[0]))
    for name, group in others.groupby(ranking.network_names(others), sort=False):
        _print_group(str(name), metric, group["fid"].dropna().tolist())
    untrained = [result["fid_untrained"] for result in results if result["fid_untrained"] is not None]
    click.echo(f"untrained: {metric} {number(statistics.fmean(untrained) if untrained else None)}")
    half, fakes = len(measure.real.embedding) // 2, rows[0]["n_fake"]
    click.echo(f"floor: {metric} {number(floor(measure.real))}, one half of the real images against the other")
    click.echo(f"({half} images each; the networks are scored with {fakes}: a distance falls with the count,")
    click.echo("so they can pass it)")
    best = min(rows, key=_handed_out)
    generator = folder / RETRAINED / best["evaluation_id"]
    alike = [row for row in rows if (row["source"] == "retrain") == (best["source"] == "retrain")]
    what = "searched ones" if best["source"] == "retrain" else "networks"
    among = f": of {len(alike)} {what} the best, by this very score" if len(alike) > 1 else ""
    click.echo(f"\nsamples and generator in {generator}")
    click.echo(f"({best['name']}, seed {best['seed']}, {metric} {number(best['fid'])}{among}); go on with")
    click.echo("  " + commands.command("generate", generator, "--out", generator / "images"))
    click.echo("  " + commands.command("evaluate", generator))
    click.echo("  " + commands.command("report", folder))
    study = load_study(folder)
    recipe = str(rows[0]["recipe"])
    with suppress(ResultsError):  # no trial's best genotype was retrained, so there is nothing to compare
        verdicts = [verdict(study, name, recipe) for name in baselines(study, recipe)]
        if verdicts:
            main = next(iter(ranking.recipes(study.evaluations)))
            again = commands.command("compare", folder, *(() if main == recipe else ("--recipe", recipe)))
            click.echo(f"\nverdict (again: {again})")
            click.echo("\n".join(f"  {one}\n    {one.cost}" for one in verdicts))


def _handed_out(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Orders networks: searched ones first, then by their scores."""
    return row["source"] != "retrain", math.inf if row["fid"] is None else row["fid"]


def _print_group(name: str, metric: str, scores: Sequence[float]) -> None:
    import statistics

    if not scores:
        return
    spread = f", from {min(scores):.4g} to {max(scores):.4g}" if len(scores) > 1 else ""
    click.echo(f"{name}: {metric} {statistics.fmean(scores):.4g}, mean of {len(scores)}{spread}")
