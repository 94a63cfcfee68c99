"""Which searcher and which way of pruning find the better front of score and cost, for the same number of evaluations?

    python benchmarks/score_and_cost.py --out DIR --seeds 5            # some minutes a seed and arm
    python benchmarks/score_and_cost.py --out DIR --seeds 8 --resume   # what is missing of eight seeds

Each study searches small generators on the digits, of three widths, so that their costs differ by more than ten times.
An arm is a searcher (TPE of both objectives, NSGA-II, random draws, or TPE of the score alone, whose front is that of
what it happened to find) with a way of pruning (ASHA by the score, by fronts, or none). Every study of a seed begins
with the same random trials, runs one trial at a time, and ends when its evaluations are spent: so who prunes has more
trials. Searcher and scheduler are those of the product; no Ray is started.

The front of a study is that of its trials, each with its best score and the cost of the genotype that has it. Its
hypervolume is the area between the front and a point that is as bad as the worst trial of all studies in both, on
logarithmic axes: a factor e of the score over a factor e of the cost is 1. Prints Markdown: for each arm trials, size
of the front, hypervolume after half and after all of the evaluations with Student's 95 % interval over seeds, and the
difference to the first arm, paired by seed.

The scores are those of the search. That a front holds after retraining, they do not show.

Each study that ends is one JSON file under ``--out``; trials are kept there too, as arms share them.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
import versus_stats as stats
from _report import ends, markdown_table, plain

from autogan_ray.base.errors import AlreadyThereError, ConfigError, UserError, nearest
from autogan_ray.base.files import replace_text
from autogan_ray.base.provenance import git_commit
from autogan_ray.cli.text import clock, number
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, TrialConfig, load_study_config
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.registry import metric_label
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.measure import Measure, prepare
from autogan_ray.results.front import on_front
from autogan_ray.search.loop import SearchLoop
from autogan_ray.spaces.load import load_space
from autogan_ray.tune.asha import ResumableASHA
from autogan_ray.tune.optuna_search import OptunaSearch

SETTINGS: Mapping[str, Any] = {
    **{"space": "autogan/fixed", "search.kimg": 2.88, "metrics.n_fake_search": 512, "metrics.supernet_every": 100},
    **{"tune.max_evaluations": 6, "tune.grace_evaluations": 2, "tune.reduction_factor": 2.0, "tune.startup_trials": 6},
    "sweep.model.channels_g": {"choice": [4, 8, 16]},
}
"""What all studies have in common, beside the study ``digits``."""

_BOTH = {"tune.objectives": ["fid", "macs_g"]}
SEARCHERS: Mapping[str, Mapping[str, Any]] = {
    "score": {},
    "tpe": _BOTH,
    "nsga2": _BOTH | {"tune.searcher": "nsga2"},
    "random": _BOTH | {"tune.searcher": "random"},
}
PRUNINGS: Mapping[str, Mapping[str, Any]] = {
    "fid": {},
    "front": {"tune.prune_by": "front"},
    "none": {"tune.scheduler": "none"},
}
ARMS = [
    f"{searcher}/{pruning}"
    for searcher in SEARCHERS
    for pruning in PRUNINGS
    if (searcher, pruning) != ("score", "front")
]
"""By the front can only be pruned where a study has one."""

Record = dict[str, Any]
Curve = Callable[[str], Iterable[Record]]
"""A trial's configuration as JSON -> the records of its evaluations, made as they are asked for."""


@dataclass(frozen=True)
class Found:
    """An evaluation of a study.

    Args:
        spent: how many the study had made by then, this one included.
    """

    spent: int
    trial: int
    fid: float
    cost: float


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the results.")
@click.option("--arm", "arms", multiple=True, help=f"Repeatable; all without it: {', '.join(ARMS)}.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Studies of each arm.")
@click.option("--first-seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--evaluations", type=click.IntRange(min=1), default=72, show_default=True, help="Spent by each study.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of all studies.")
@click.option("--resume", is_flag=True, help="Go on with what is in the folder.")
@click.option("--report-only", is_flag=True, help="Print what there is so far; search nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def main(
    out: Path,
    arms: Sequence[str],
    seeds: int,
    first_seed: int,
    evaluations: int,
    overrides: Sequence[str],
    resume: bool,
    report_only: bool,
    as_json: bool,
) -> None:
    """Compare searchers and ways of pruning by the fronts that they find."""
    torch.set_num_threads(1)
    try:
        if out.is_dir() and any(out.iterdir()) and not (resume or report_only):
            raise AlreadyThereError(f"{out} holds results already; go on with --resume, or name another folder")
        changes = dict(map(parse_override, overrides))
        wanted = range(first_seed, first_seed + seeds)
        studies = {(arm, seed): study_of(arm, seed, changes) for seed in wanted for arm in arms or ARMS}
        base = next(iter(studies.values()))
        measure = prepare(base.data, base.metrics, "cpu")
        if not report_only:
            search_missing(studies, measure, out, evaluations)
        summary = summarise(results_of(studies, out, evaluations))
    except UserError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted; the same call with --resume goes on from here", err=True)
        raise SystemExit(130) from None
    if as_json:
        click.echo(json.dumps(plain(summary), indent=2))
    else:
        click.echo(markdown(summary, evaluations, metric_label(measure.extractor.name)))


def study_of(arm: str, seed: int, changes: Mapping[str, Any]) -> StudyConfig:
    """Returns the study of an arm and a seed."""
    if arm not in ARMS:
        raise ConfigError(f"--arm {arm}: {nearest(arm, ARMS)}")
    searcher, _, pruning = arm.partition("/")
    return load_study_config(
        "digits", {**SETTINGS, **changes, **SEARCHERS[searcher], **PRUNINGS[pruning], "seed": seed}
    )


def search_missing(
    studies: Mapping[tuple[str, int], StudyConfig], measure: Measure, out: Path, evaluations: int
) -> None:
    """Runs the studies that have no file yet, and writes a line as each ends."""
    missing = [key for key in studies if not _file(studies[key], out, evaluations).is_file()]
    begin = time.perf_counter()
    for ended, (arm, seed) in enumerate(missing, 1):
        study, start = studies[arm, seed], time.process_time()
        found = run_study(
            study, KeptCurves(out / "trials", lambda trial, of=study: search(of, trial, measure)), evaluations
        )
        result = {"found": [asdict(one) for one in found], "cpu_s": time.process_time() - start}
        about = {"arm": arm, "seed": seed, "commit": git_commit(), "evaluations": evaluations, "study": study.to_dict()}
        file = _file(study, out, evaluations)
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, json.dumps(about | result) + "\n")
        spent = time.perf_counter() - begin
        left = spent / ended * (len(missing) - ended)
        trials, best = len({one.trial for one in found}), min(one.fid for one in found)
        lead = f"[{clock(spent)}] {ended}/{len(missing)} {arm}, seed {seed}"
        click.echo(f"{lead}: {trials} trials, best {number(best)}, about {clock(left)} left", err=True)


def _file(study: StudyConfig, out: Path, evaluations: int) -> Path:
    decides = [study.to_dict(), evaluations]
    return out / "studies" / f"{hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]}.json"


def search(study: StudyConfig, trial: TrialConfig, measure: Measure) -> Iterator[Record]:
    """Yields the records of a trial as a study has them."""
    protocol = Protocol.of(study, study.metrics.n_fake_search)
    evaluator = Evaluator(Extractor(measure.extractor, "cpu"), measure.real, protocol, "cpu")
    loop = SearchLoop(
        trial,
        load_space(trial.space),
        measure.data,
        evaluator,
        evaluations=study.tune.max_evaluations,
        rank_by=study.metrics.rank_by,
        supernet_every=study.metrics.supernet_every,
        device="cpu",
    )
    for record in loop.records():
        yield {name: getattr(record, name) for name in ("evaluation", "fid", "diverged", "macs_g")}


class KeptCurves:
    """The records of trials, kept in files: a trial that two studies propose is searched once, as far as either needs.

    Args:
        folder: of the files.
        search: makes the records of a trial, from the first.
    """

    def __init__(self, folder: Path, search: Callable[[TrialConfig], Iterable[Record]]) -> None:
        self._folder, self._search = folder, search

    def __call__(self, config: str) -> Iterator[Record]:
        file = self._folder / f"{hashlib.sha256(config.encode()).hexdigest()[:16]}.json"
        known: list[Record] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        yield from list(known)
        file.parent.mkdir(parents=True, exist_ok=True)
        trial = TrialConfig.parse(json.loads(config), "trial", ConfigError)
        for place, record in enumerate(self._search(trial)):
            if place >= len(known):
                known.append(record)
                replace_text(file, json.dumps(known) + "\n")
                yield record


def run_study(study: StudyConfig, curve: Curve, evaluations: int) -> list[Found]:
    """Runs a study one trial at a time until so many evaluations are made; returns them, without diverged ones.

    Searcher and scheduler hear of each evaluation as Ray tells them: of the last of a trial by its end alone.
    """
    search = OptunaSearch(study, None)
    asha = ResumableASHA(study, None) if study.tune.scheduler == "asha" else None
    found: list[Found] = []
    spent = count = 0
    while spent < evaluations:
        proposed = search.suggest(f"ray-{count}")
        trial: Any = SimpleNamespace(trial_id=f"ray-{count}", config=proposed)
        if asha is not None:
            asha.on_trial_add(None, trial)
        for record in curve(proposed["trial"]):
            spent += 1
            if not record["diverged"]:
                found.append(Found(spent, count, record["fid"], record["macs_g"]))
            stopped = asha is not None and asha.on_trial_result(None, trial, record) == "STOP"
            if (
                stopped
                or record["diverged"]
                or record["evaluation"] == study.tune.max_evaluations
                or spent == evaluations
            ):
                search.on_trial_complete(trial.trial_id, record)
                break
            search.on_trial_result(trial.trial_id, record)
        count += 1
    return found


def results_of(studies: Mapping[tuple[str, int], StudyConfig], out: Path, evaluations: int) -> pd.DataFrame:
    """Returns a row for each evaluation of the studies that have ended: ``arm``, ``seed``, :class:`Found`, and
    ``part``, the share of the evaluations that were spent by then."""
    tables = []
    for (arm, seed), study in studies.items():
        file = _file(study, out, evaluations)
        if file.is_file():
            rows = pd.DataFrame(json.loads(file.read_text(encoding="utf-8"))["found"])
            tables.append(rows.assign(arm=arm, seed=seed, part=rows["spent"] / evaluations))
    if not tables:
        raise UserError(f"{out} holds no study of these settings that has ended")
    return pd.concat(tables, ignore_index=True)


def best_points(found: pd.DataFrame) -> np.ndarray:
    """Returns the logarithms of score and cost of each trial at its best evaluation so far [trials, 2]."""
    best = found.loc[found.groupby("trial")["fid"].idxmin(), ["fid", "cost"]]
    return np.asarray(np.log(best.to_numpy(dtype=float)))


def hypervolume(points: np.ndarray, reference: Sequence[float]) -> float:
    """Returns the area that points [n, 2] beat, up to a reference point; lower is better in both."""
    area, low = 0.0, reference[1]
    for x, y in sorted(map(tuple, points)):
        if x < reference[0] and y < low:
            area += (reference[0] - x) * (low - y)
            low = y
    return area


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """Returns a row for each arm: its means over seeds, and intervals of hypervolumes and of their differences to the
    first arm, over the seeds that both have."""
    studies = found.groupby(["arm", "seed"], sort=False)
    reference = np.max([best_points(rows).max(axis=0) for _, rows in studies], axis=0)
    volumes, rows = {}, []
    for (arm, seed), all_found in studies:
        points = best_points(all_found)
        half = best_points(all_found[all_found["part"] <= 0.5])
        volumes[arm, seed] = hypervolume(points, reference)
        sizes = {"trials": len(points), "front": sum(on_front(points)), "fid": math.exp(points[:, 0].min())}
        rows.append({"arm": arm, "seed": seed, "half": hypervolume(half, reference), **sizes})
    table, summary = pd.DataFrame(rows), []
    first = table["arm"].iloc[0]
    for arm, own in table.groupby("arm", sort=False):
        pairs = [seed for seed in own["seed"] if (first, seed) in volumes]
        differences = [volumes[arm, seed] - volumes[first, seed] for seed in pairs]
        row = {"arm": arm, "seeds": len(own), **own[["trials", "front", "fid"]].mean()}
        row |= {"half": stats.paired_interval(own["half"].tolist())}
        row |= {"whole": stats.paired_interval([volumes[arm, seed] for seed in own["seed"]])}
        row |= {"difference": None if arm == first else stats.paired_interval(differences)}
        summary.append(row)
    return pd.DataFrame(summary)


def markdown(summary: pd.DataFrame, evaluations: int, metric: str) -> str:
    def interval(found: stats.Interval | None) -> str:
        return "-" if found is None else f"{found.value:.3g} ({ends(found.low, found.high)})"

    columns = {
        "searcher/pruning": summary["arm"],
        "seeds": summary["seeds"],
        "trials": [f"{value:.1f}" for value in summary["trials"]],
        "on the front": [f"{value:.1f}" for value in summary["front"]],
        f"best {metric}": [f"{value:.4g}" for value in summary["fid"]],
        "hypervolume at half": [interval(found) for found in summary["half"]],
        "at the end": [interval(found) for found in summary["whole"]],
        f"minus {summary['arm'].iloc[0]}": [interval(found) for found in summary["difference"]],
    }
    return f"{evaluations} evaluations a study; means over seeds\n\n{markdown_table(columns)}"


if __name__ == "__main__":
    main()
