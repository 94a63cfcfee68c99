"""Is the search worth its cost? Searched genotypes against random ones of the same space, retrained alike.

    python benchmarks/search_vs_random.py digits --n 10 --retrain-seeds 3 --out results/versus --workers 2 \\
        --set optim.lr_arch_g=0.3 --set optim.lr_arch_d=0.3 --arm soft:search.relaxation=softmax

runs ten searches (seeds 0 to 9, each to its end, without Ray or ASHA) for each arm, draws the ten genotypes that
``retrain --genotype random`` draws for the same seeds, retrains all of them by the study's ``[retrain]`` over the same
retraining seeds, and prints Markdown: scores with paired differences, what was decided, rank correlations, sizes,
operations, cost. With ``--first-seed 10``, seeds 10 to 19: what was found on some is tested afresh on others.

Each job that ends is one JSON file under ``--out``; a later call does what is missing, so a killed one is just called
again, ``--n`` can grow, and arms can be added. One call at a time for a folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from _report import plain
from versus_plan import SEARCH, Plan, load_plan, named_genotypes, studies_of
from versus_report import markdown
from versus_summary import summarise
from versus_work import retraining_job, run_missing

from autogan_ray.base.errors import UserError
from autogan_ray.metrics.extractors.registry import metric_label
from autogan_ray.metrics.measure import Measure, prepare
from autogan_ray.retraining.training import check_networks
from autogan_ray.spaces.load import load_space


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", default="digits")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the job files.")
@click.option("--n", type=click.IntRange(min=1), default=10, show_default=True, help="Searches an arm, and randoms.")
@click.option("--first-seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S",
              help="Of searches and randoms: S to S + n - 1.")  # fmt: skip
@click.option("--retrain-seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of a genotype.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the study.")
@click.option("--arm", "arms", multiple=True, metavar="NAME:K=V,K=V", help="n more searches with changed settings.")
@click.option("--genotype", "genotypes", multiple=True, help="A published name or a file: one more arm.")
@click.option("--discriminator", type=click.Choice(["derived", "fixed"]), help="Of all retrainings.")
@click.option("--pick", type=click.Choice(["last", "best"]), default="last", show_default=True, help="Evaluation.")
@click.option("--inherited", type=click.IntRange(min=0), default=0, show_default=True, metavar="K",
              help="Score every genotype with the weights of the first K searches' supernets.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes, one thread each.")
@click.option("--device", default="cpu", show_default=True, help="torch device of the jobs.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Rows and summaries.")
@click.option("--report-only", is_flag=True, help="Print what the folder's last call has so far; run nothing.")
@click.option("--each", is_flag=True, help="Print a line for each network, too.")
def main(out: Path, report_only: bool, json_file: Path | None, workers: int, each: bool, **asked: Any) -> None:
    """Compare searches of STUDY (a shipped name or a file) with random genotypes of its space."""
    try:
        if report_only:
            plan, failed = load_plan(out), False
        else:
            plan, measure = make_plan(**asked)
            plan.save(out)
            failed = run_missing(plan, measure, out, workers)
        summary = summarise(plan, out)
    except UserError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("interrupted; the same call goes on from here", err=True)
        raise SystemExit(130) from None
    click.echo(markdown(summary, each))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(plain(summary), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    raise SystemExit(1 if failed else 0)


def make_plan(
    study: str,
    overrides: Sequence[str],
    arms: Sequence[str],
    genotypes: Sequence[str],
    discriminator: str | None,
    inherited: int,
    **asked: Any,
) -> tuple[Plan, Measure]:
    """Checks everything and prepares data and extractor (from the cache, the second time); trains nothing.

    Args:
        asked: the options that are fields of :class:`Plan`: ``n``, ``first_seed``, ``retrain_seeds``, ``pick``,
            ``device``.

    Raises a UserError: no such study, setting, genotype or data; or networks that cannot be built.
    """
    studies, changes, unswept = studies_of(study, overrides, arms, discriminator)
    base = studies[SEARCH]
    space = load_space(base.space)
    measure = prepare(base.data, base.metrics, asked["device"], max(arm.search.batch_size for arm in studies.values()))
    size, first = measure.data.image_size, asked["first_seed"]
    plan = Plan(
        studies={name: arm.to_dict() for name, arm in studies.items()},
        changes=changes,
        inherited=min(inherited, asked["n"]),
        space=space.to_dict(),
        random=[space.random(size, seed).to_dict() for seed in range(first, first + asked["n"])],
        named=named_genotypes(genotypes, size, studies),
        measure={
            "data": measure.data.digest,
            "extractor": measure.extractor.digest,
            "label": metric_label(measure.extractor.name),
            "images": len(measure.data),
            "image_size": size,
            "n_real": measure.real.statistics.count,
        },
        unswept=unswept,
        **asked,
    )
    firsts = [plan.retrainings(network)[0] for network in plan.unsearched]
    check_networks([retraining_job(task, out=Path()) for task in firsts], measure.data)
    return plan, measure


if __name__ == "__main__":
    main()
