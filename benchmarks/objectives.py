"""Which game trains the same networks best, and which of them lets genotypes be told apart?

    python benchmarks/objectives.py cifar10 --out DIR --seeds 3 --random autogan:3 --random adversarialnas:3 \\
        --set data.source=parquet:TRAIN.parquet --set data.limit=10000 --set metrics.extractor=classifier \\
        --game hinge:retrain.objective=hinge --game relativistic:retrain.objective=relativistic,retrain.gamma=1

retrains random genotypes (drawn by the seeds 0, 1, ... of each space, without ``none``) and named ones under each game,
on the same images and retraining seeds, and prints Markdown: for each game the geometric mean of the scores along the
way with a bootstrap interval over genotypes; what a seed and what a genotype contributes to the last score (standard
deviations of its logarithm); Kendall's tau of the scores on the way with the last ones of the other seeds; how many
trainings failed, and in how many pairs of equal genotype and seed each game is better than the first.

Each job that ends is one JSON file under ``--out``; a later call does what is missing. One call at a time for a folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from versus_plan import Task, named_genotypes
from versus_stats import bootstrap, kendall, spread
from versus_work import do_missing, retraining_job

from autogan_ray.base.errors import ConfigError, UserError
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.metrics.extractors.registry import metric_label
from autogan_ray.metrics.measure import Measure, prepare
from autogan_ray.retraining.training import check_networks
from autogan_ray.spaces.load import load_space

Networks = dict[str, dict[str, Any]]
"""Name of a network -> its genotype and its space, as plain data."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", default="digits")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the job files.")
@click.option("--game", "games", multiple=True, required=True, metavar="NAME:K=V,K=V", help="Settings of [retrain].")
@click.option("--random", "drawn", multiple=True, metavar="SPACE:N", help="N random genotypes of a space.")
@click.option("--genotype", "genotypes", multiple=True, help="A published name or a file.")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Retrainings of a genotype.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the study.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes, one thread each.")
@click.option("--device", default="cpu", show_default=True, help="torch device of the jobs.")
@click.option("--report-only", is_flag=True, help="Print what there is so far; train nothing.")
def main(
    study: str,
    out: Path,
    games: Sequence[str],
    drawn: Sequence[str],
    genotypes: Sequence[str],
    seeds: int,
    overrides: Sequence[str],
    workers: int,
    device: str,
    report_only: bool,
) -> None:
    """Compare games of STUDY (a shipped name or a file) over the same networks."""
    try:
        changes = dict(map(parse_override, overrides))
        studies = dict(studied(study, changes, text) for text in games)
        check_lengths(studies)
        base = next(iter(studies.values()))
        measure = prepare(base.data, base.metrics, device)
        networks = networks_of(drawn, genotypes, measure.data.image_size)
        tasks = {
            (game, network, seed): task_of(config, measure, networks[network], f"{game} {network}", seed, device)
            for seed in range(seeds)
            for network in networks
            for game, config in studies.items()
        }
        check_networks([retraining_job(task, Path()) for task in tasks.values()], measure.data)
        failed = False if report_only else do_missing([lambda: tasks.values()], measure, out, workers)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted; the same call goes on from here", err=True)
        raise SystemExit(130) from None
    curves = curves_of(tasks, out)
    click.echo(report(curves, metric_label(measure.extractor.name)))
    raise SystemExit(1 if failed else 0)


def studied(study: str, changes: dict[str, Any], text: str) -> tuple[str, StudyConfig]:
    """Reads ``NAME:key=value,key=value`` as a name and the study with these settings."""
    name, colon, rest = text.partition(":")
    if not colon or not name:
        raise ConfigError(f"--game {text!r}: write it as NAME:key=value,key=value")
    settings = dict(parse_override(part) for part in re.split(r",(?=[A-Za-z_.0-9]+\s*=)", rest) if part)
    other = [key for key in settings if not key.startswith("retrain.")]
    if other:
        raise ConfigError(f"--game {text!r}: {other[0]} is not of [retrain]; use --set for all games")
    return name, load_study_config(study, changes | settings)


def check_lengths(studies: Mapping[str, StudyConfig]) -> None:
    """Raises ConfigError for games that show D other numbers of images, or are scored at other moments."""
    (first, one), *others = studies.items()
    for name, study in others:
        for setting in ("kimg", "evaluations"):
            own, theirs = getattr(one.retrain, setting), getattr(study.retrain, setting)
            if own != theirs:
                raise ConfigError(
                    f"--game {name}: retrain.{setting} = {theirs}, where {first} has {own}; games are compared after "
                    f"the same images: use --set retrain.{setting}=... for all"
                )


def networks_of(drawn: Sequence[str], genotypes: Sequence[str], image_size: int) -> Networks:
    """Draws and loads the networks that are trained. Raises a UserError for what is not there."""
    networks: Networks = {}
    for text in drawn:
        name, _, count = text.partition(":")
        if not count.isdigit():
            raise ConfigError(f"--random {text!r}: write it as SPACE:N")
        space, seed = load_space(name), 0
        for number in range(int(count)):
            genotype = space.random(image_size, seed)
            while has_open_edge(genotype.choices, space.decisions(image_size, "g")):
                seed += 1
                genotype = space.random(image_size, seed)
            networks[f"{name} {number}"] = {"genotype": genotype.to_dict(), "space": space.to_dict()}
            seed += 1
    return networks | named_genotypes(genotypes, image_size, networks)


def has_open_edge(choices: dict[str, str], decisions: Sequence[Any]) -> bool:
    """Whether a genotype leaves out an edge of the generator."""
    return any(choices[decision.name] == decision.no_connection for decision in decisions if decision.no_connection)


def task_of(study: StudyConfig, measure: Measure, network: dict[str, Any], label: str, seed: int, device: str) -> Task:
    """Returns the job of one retraining; its settings are all that its result depends on."""
    plain = study.to_dict()
    kept = {key: plain[key] for key in ("schema", "seed", "model", "retrain", "metrics")}
    kept["metrics"] = {key: value for key, value in kept["metrics"].items() if key not in ("weights", "sha256")}
    common = {"data": measure.data.digest, "extractor": measure.extractor.digest, "device": device}
    return Task("retrain", f"{label}, seed {seed}", common | network | {"study": kept, "seed": seed})


def curves_of(tasks: dict[tuple[str, str, int], Task], out: Path) -> pd.DataFrame:
    """Reads the scores of all jobs that are done: a row for each evaluation of each."""
    rows = []
    for (game, network, seed), task in tasks.items():
        result = task.result(out)
        for number, point in enumerate(result["curve"] if result else ()):
            row = {"game": game, "network": network, "seed": seed, "number": number, "cpu_s": result["cpu_s"]}
            rows.append(row | {"kimg": point["kimg"], "fid": np.nan if point["fid"] is None else point["fid"]})
    return pd.DataFrame(rows)


def report(curves: pd.DataFrame, metric: str) -> str:
    """Writes what the curves say as Markdown.

    Means, variances and ranks are over the pairs of network and seed that no game fails to train: where a failed
    training were left out of its own game alone, the game that fails would look better.
    """
    if curves.empty:
        return "nothing is done yet"
    curves = curves.assign(log=np.log(curves["fid"]))
    games = list(dict.fromkeys(curves["game"]))
    done = curves.groupby(["network", "seed"])["game"].nunique() == len(games)
    shared = curves.set_index(["network", "seed"]).loc[done[done].index].reset_index()
    if shared.empty:
        return "no network is trained under all games yet"
    last = shared[shared["number"] == shared["number"].max()]
    ends = last.pivot_table(index=["network", "seed"], columns="game", values="log")
    ends = ends.reindex(index=done[done].index, columns=games)
    whole = ends.dropna()
    trained = shared.set_index(["network", "seed"]).loc[whole.index].reset_index()
    count, pairs = shared["network"].nunique(), int(done.sum())
    head = f"{metric}; {count} networks, {pairs} pairs of network and seed done under all"
    if trained.empty:
        return f"{head}, and each failed under one at least"
    if len(whole) < pairs:
        head += f"; {len(whole)} that no game failed to train are in means, variances and ranks"
    lines = [
        head,
        "",
        _means(trained, games),
        "",
        _parts(trained, ends.fillna(np.inf), games),
        "",
        "Last score of each network (geometric mean over seeds):",
        "",
        _by_network(trained, games),
    ]
    return "\n".join(lines)


def _means(curves: pd.DataFrame, games: Sequence[str]) -> str:
    """Geometric means over networks and seeds along the way, the last with its interval over networks."""
    kimg = curves.groupby("number")["kimg"].mean()  # batches of other sizes end some images apart
    rows = [
        "| game | " + " | ".join(f"{at:.4g} kimg" for at in kimg) + " | 95 % | CPU s |",
        "|---" * (len(kimg) + 3) + "|",
    ]
    for game in games:
        own = curves[curves["game"] == game]
        means = np.exp(own.groupby("number")["log"].mean())
        last = own[own["number"] == kimg.index[-1]].groupby("network")["log"].mean()
        interval = bootstrap(lambda sample: sample.mean(-1), last.to_list())
        ends = ""
        if interval is not None and interval.low is not None and interval.high is not None:
            ends = f"{np.exp(interval.low):.3g} to {np.exp(interval.high):.3g}"
        cost = own.groupby(["network", "seed"])["cpu_s"].first().mean()
        rows.append(f"| {game} | " + " | ".join(f"{mean:.3g}" for mean in means) + f" | {ends} | {cost:.0f} |")
    return "\n".join(rows)


def _parts(curves: pd.DataFrame, ends: pd.DataFrame, games: Sequence[str]) -> str:
    """What a seed and a genotype contribute, how early scores rank, and pairs against the first game.

    Args:
        ends: the logarithms of all last scores, [network and seed, game]; infinite where a training failed.
    """
    kimg = curves.groupby("number")["kimg"].mean()
    early = [number for number in kimg.index if number < kimg.index[-1]]
    rows = [
        "| game | SD of a seed | of genotypes | genotype's share | failed | better than the first | "
        + " | ".join(f"tau at {kimg[number]:.4g} kimg" for number in early)
        + " |",
        "|---" * (len(early) + 6) + "|",
    ]
    tables = {
        (game, number): curves[(curves["game"] == game) & (curves["number"] == number)].pivot(
            index="network", columns="seed", values="log"
        )
        for game in games
        for number in kimg.index
    }
    for game in games:
        last = tables[game, kimg.index[-1]]
        parts = spread(last)
        share = "" if parts is None else _share(parts.seed_sd, parts.genotype_sd)
        better = "" if game == games[0] else f"{int((ends[game] < ends[games[0]]).sum())} of {len(ends)}"
        taus = [_tau(tables[game, number], last) for number in early]
        sds = ("", "") if parts is None else (f"{parts.seed_sd:.2f}", f"{parts.genotype_sd:.2f}")
        failed = int(np.isinf(ends[game]).sum())
        rows.append(f"| {game} | {sds[0]} | {sds[1]} | {share} | {failed} | {better} | " + " | ".join(taus) + " |")
    return "\n".join(rows)


def _share(seed_sd: float, genotype_sd: float) -> str:
    total = seed_sd**2 + genotype_sd**2
    return f"{genotype_sd**2 / total:.2f}" if total else ""


def _tau(early: pd.DataFrame, last: pd.DataFrame) -> str:
    """Kendall's tau of each seed's early scores with the mean of the other seeds' last scores, mean over seeds."""
    if last.shape[1] < 2:
        return ""
    taus = [kendall(early[seed].to_list(), last.drop(columns=seed).mean(axis=1).to_list()).tau for seed in last]
    known = [tau for tau in taus if tau is not None]
    return f"{np.mean(known):+.2f}" if known else ""


def _by_network(curves: pd.DataFrame, games: Sequence[str]) -> str:
    last = curves[curves["number"] == curves["number"].max()]
    table = np.exp(last.pivot_table(index="network", columns="game", values="log"))[games]
    rows = ["| network | " + " | ".join(games) + " |", "|---" * (len(games) + 1) + "|"]
    rows += [
        f"| {name} | " + " | ".join(f"{value:.3g}" for value in row) + " |"
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
