"""The parts of a report, in order: what each shows, in one sentence what to see, in one where it comes from.

A part is made of the tables, pictures and, for symptoms, the trials' logs. The numbers that it aggregates stand in
:attr:`Section.numbers` too, which the page carries as JSON: so anybody can compute them again from the Parquet files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from markupsafe import Markup, escape

from autogan_ray.results.analysis import ranking
from autogan_ray.results.analysis.verdict import NotRetrainedError, Verdict, baselines, verdict
from autogan_ray.results.drawing import draw
from autogan_ray.results.grids import FOLDER, REALS, curve_grid_file, grid_file, grids_of
from autogan_ray.results.report import figures
from autogan_ray.results.report.comparisons import importance_part, operations_part, settings_part
from autogan_ray.results.report.course import configuration_part, effort_part, trials_part
from autogan_ray.results.report.graph import draw_graph
from autogan_ray.results.report.networks import final_part, final_table, networks_of
from autogan_ray.results.report.parts import (
    Section,
    Source,
    anchor,
    code,
    figure,
    number,
    paragraph,
    picture,
    table,
)
from autogan_ray.results.retrained import RETRAINED, recipe_options
from autogan_ray.spaces.genotype import Genotype

BEST = 3
"""Genotypes that are drawn."""


def sections(source: Source) -> Iterator[Section]:
    """Yields the parts of a study's report in their order; parts that have nothing to show are left out."""
    for make in _PARTS:
        section = make(source)
        if section is not None:
            yield section


def verdict_part(source: Source) -> Section:
    section = Section(
        "verdict",
        "Verdict",
        "Whether what the search found is better than what can be had without it, and how sure that is.",
        "evaluations: fid of seeds that no race chose by, of the recipe by which most searched networks were "
        "retrained; the searched network is the first of its race (by kimg, then fid_race, where stage = race), and "
        "without a race that of the retrained trial with the lowest trials.fid_best.",
    )
    known = baselines(source.study)
    try:
        if not known:
            verdict(source.study)
        for name in known:
            found = verdict(source.study, name)
            section.body.append(paragraph(str(found), f"verdict {found.word.split()[0]}"))
            section.body.append(paragraph(found.cost, "note"))
            section.numbers[name] = found.to_dict()
    except NotRetrainedError as error:
        section.body.append(paragraph(f"No conclusion: {str(error).partition(': ')[2]}.", "verdict no"))
        section.body.append(code(_retrain_command(source, *error.options)))
    if section.numbers:
        section.body.append(paragraph("Each interval holds by itself, not all of them together.", "note"))
        factor = number(math.exp(found.noise), ".2f")
        limits = f"One seed's standard deviation is a factor of {factor} (pooled over networks)."
        section.body += [paragraph(line, "note") for line in _othernetworks_of(source, found)]
        floor = (
            f" Floor, one half of the real images against the other: {number(source.about['floor_fid'])}; a distance "
            "falls with the number of images, so networks that are scored with more can pass it."
        )
        section.body.append(paragraph(limits + floor + _protocol(source), "note"))
    return section


def _othernetworks_of(source: Source, found: Verdict) -> Iterator[str]:
    """Yields what stands beside the verdict: a retrained network with a better mean, the best random genotype."""
    everything = source.study.evaluations
    rows = ranking.main_recipe(everything)
    names, searched = ranking.network_names(rows), rows["source"] == "retrain"
    networks = final_table(source.study)
    best = networks[networks["network"].isin(names[searched])].iloc[0]
    own = names[searched & (rows["genotype_id"] == found.genotype_id)].iloc[0]
    if best["network"] != own and best["fid"] < found.fid * (1 - 1e-9):
        yield (
            f"{found.trial_id} is what the search would hand out; after retraining {best['network']} has a lower mean "
            f"({number(best['fid'])}), and was chosen by that mean."
        )
    drawn = rows[(rows["source"] == "random") & rows["fid"].notna()]
    if len(drawn) and ranking.race_winner(everything, "random", found.recipe) is None:
        yield f"The best of the random genotypes has {number(drawn['fid'].min())}; none was raced at the search's cost."
    if others := [name for name in ranking.recipes(everything) if name != found.recipe]:
        yield f"Networks were retrained by other recipes, too, which are not compared here: {', '.join(others)}."


def _protocol(source: Source) -> str:
    about = source.about
    text = f" Metric: {about['metric']}, {about['n_fake_final']} generated images against {about['n_real']} real ones"
    return text + f" of {about['dataset']}. Retraining seeds took no part in the search."


def _retrain_command(source: Source, *options: str) -> str:
    """Returns the command that retrains, which goes on with what is there already."""
    asked = options or ("--trial", "best", "--genotype", "random", "--seeds", "3")
    return source.command("retrain", source.folder, *asked, *(["--resume"] if "--resume" not in asked else []))


def pictures_part(source: Source) -> Section | None:
    section = Section(
        "images",
        "Images",
        "Real images, then those of searched, random and other networks, all of the same z; then the best trial while "
        "it searched.",
        "reals.png; retrain/…/grids at evaluations.kimg, the best score of each network; grids/ of the best trial.",
    )
    if (source.folder / REALS).is_file():
        section.body.append(picture(source.folder / REALS, "real images"))
    rows = ranking.main_recipe(source.study.evaluations)
    for name, group in networks_of(rows):
        best, count = group.sort_values("fid").iloc[0], len(group)
        file = curve_grid_file(source.folder / RETRAINED / best["evaluation_id"], float(best["kimg"]))
        if file.is_file():
            section.body.append(picture(file, f"{name}: {source.metric} {number(best['fid'])}, best of {count}"))
    section.body += _over_time(source)
    return section if section.body else None


def _over_time(source: Source) -> Iterator[Markup]:
    best = source.about["best_trial_id"]
    if not isinstance(best, str):
        return
    there = grids_of(source.folder / FOLDER / best)
    first = sorted(grids_of(source.folder / FOLDER / "t0000"))[:1]
    if first == [0.0] and 0.0 not in there:
        yield picture(grid_file(source.folder, "t0000", 0), "before the first step")
    numbers = list(there)
    shown = numbers if len(numbers) <= 6 else [numbers[round(i * (len(numbers) - 1) / 5)] for i in range(6)]
    for evaluation in shown:
        words = (
            "before the first step" if evaluation == 0 else f"trial {best} while searching, evaluation {evaluation:g}"
        )
        yield picture(there[evaluation], words)


def curves_part(source: Source) -> Section:
    section = Section(
        "curves",
        "Learning curves",
        "Scores should fall and flatten; a trial that ASHA stopped ends in a cross at a dotted rung.",
        "history: evaluation, fid; trials.status; curves: kimg, fid, joined to evaluations by evaluation_id.",
    )
    about = source.about
    axes = figures.plot_history(source.study)
    section.body.append(figure(axes, anchor(source, "history"), "Score of each trial over its evaluations"))
    section.numbers |= {"floor_fid": about["floor_fid"], "fid_untrained": about["fid_untrained"]}
    if pd.notna(about["fid_untrained"]):
        words = f"Before the first step the first trial's generator scores {number(about['fid_untrained'])}."
        section.body.append(paragraph(words, "note"))
    curves = figures.retrained_curves(source.study)
    if len(curves):
        every = figures.seed_curves(source.study)
        words = "Retraining: geometric mean over seeds, from the best seed to the worst"
        if short := every.loc[every["short"], "evaluation_id"].nunique():
            words += f"; dotted: {short} that failed on the way, or still run, and are in no mean"
        if every["n_fake"].max() < about["n_fake_final"]:  # neither is null
            words += f"; by {every['n_fake'].max():.0f} images, so higher than final scores by "
            words += f"{about['n_fake_final']:.0f}"
        axes = figures.plot_retrained(source.study)
        section.body.append(figure(axes, anchor(source, "retrained"), words))
        last = curves.sort_values("kimg").groupby("name").last()["fid"]
        section.numbers["retrained_last"] = {str(name): float(value) for name, value in last.items()}
    return section


def ranking_part(source: Source) -> Section | None:
    if source.study.trials["fid_best"].isna().all():
        return None
    section = Section(
        "ranking",
        "Can the score while searching be trusted?",
        "Dots along a rising line mean that the search ranks trials as retraining does.",
        "trials.fid_best against the geometric mean over seeds of evaluations.fid, source retrain, one recipe.",
    )
    found = ranking.rank_correlation(source.study)
    section.numbers |= {"tau": found.estimate, "low": found.low, "high": found.high, "n": found.n}
    if found.n < ranking.ENOUGH:
        words = f"Retrained trials: {found.n}; {ranking.ENOUGH} are needed to say anything. This command retrains them:"
        section.body.append(paragraph(words))
        recipe = recipe_options(source.study, next(iter(ranking.recipes(source.study.evaluations)), ""))
        section.body.append(code(_retrain_command(source, "--trial", "best", "--top", str(ranking.ENOUGH), *recipe)))
    else:
        ends = f"95 % interval {found.low:+.2f} to {found.high:+.2f}"
        section.body.append(paragraph(f"Kendall's tau {found.estimate:+.2f} ({ends}), {found.n} trials."))
        pairs, best = ranking.retrained_pairs(source.study), source.study.top(found.n)
        if set(pairs["trial_id"]) == set(best["trial_id"]):
            words = "Only the best were retrained: among these the score ranks less well than among all trials."
            section.body.append(paragraph(words, "note"))
    if found.n > 1:
        axes = figures.plot_rank_correlation(source.study)
        section.body.append(figure(axes, anchor(source, "ranking"), "Score while searching against retrained score"))
    return section


def genotypes_part(source: Source) -> Section | None:
    top = source.study.top(BEST)
    if top.empty:
        return None
    section = Section(
        "genotypes",
        "The best genotypes",
        "Nodes are vertical lines, arrows the operations that were chosen; how to use the best generator stands below.",
        "trials by fid_best; genotypes.genotype_json.",
    )
    texts = source.study.genotypes.set_index("genotype_id")["genotype_json"]
    for row in top.itertuples():
        if row.genotype_id not in texts:
            continue  # the study runs, and its tables are a moment apart
        genotype, space = Genotype.from_json(texts[row.genotype_id]), source.spaces.get(row.space)
        title = f"Trial {row.trial_id}, genotype {row.genotype_id}"
        words = f"{source.metric} {number(row.fid_best)} while searching, in space {row.space}; "
        costs = [(row.params_g, row.macs_g), (row.params_d, row.macs_d)]
        words += "; ".join(f"{net} {p:,.0f} parameters, {m:,.0f} MACs" for net, (p, m) in zip("GD", costs, strict=True))
        section.body.append(Markup(f"<h3>{escape(title)}</h3>"))
        section.body.append(paragraph(words))
        if pd.notna(row.undecided) and row.undecided:
            words = "UNDECIDED: its decisions are near uniform, or most of them unclear. Chance might have drawn it."
            section.body.append(paragraph(words, "warning"))
        if space is not None:
            titles = {"g": "Generator", "d": "Discriminator"}
            drawn = "".join(
                f"<div><h4>{titles[network]}</h4>{draw_graph(genotype, space, network)}</div>" for network in titles
            )
            section.body.append(Markup(f'<div class="graphs">{drawn}</div>'))
        else:
            section.body.append(code(draw(genotype)))
    section.body += _use(source)
    return section


def _use(source: Source) -> Iterator[Markup]:
    rows = ranking.main_recipe(source.study.evaluations)
    rows = rows[(rows["source"] == "retrain") & rows["fid"].notna()].sort_values("fid")
    yield Markup("<h3>Use it</h3>")
    if rows.empty:
        yield paragraph("No genotype is retrained yet, so there is no generator to use; this trains the best:")
        yield code(_retrain_command(source))
        return
    best = rows.iloc[0]
    place = source.study.path(str(best["checkpoint_path"]))
    named = f"{best['name']}, seed {best['seed']}, {number(best['fid'])}"
    words = f"The best generator of {len(rows)} retrainings: {named}. It was chosen by this score, which flatters it."
    yield paragraph(words)
    lines = ["import torch, autogan_ray as ag", f"G = ag.load_generator({place!r})"]
    yield code("\n".join([*lines, "images = G(G.latents.draw(16, torch.Generator()))"]))
    yield code(source.command("generate", Path(place).parent, "--num", "1000", "--out", "images"))


def pareto_part(source: Source) -> Section | None:
    second = source.study.second_objective
    cost = second or "macs_g"
    if source.study.trials.dropna(subset=["fid_best", cost]).empty:
        return None
    own = ", on_front: the study's objectives" if second else " (multiply-accumulates of G for one image)"
    section = Section(
        "cost",
        "Score against cost",
        "Trials on the line are beaten by no other in both score and cost.",
        f"trials: fid_best, {cost}{own}.",
    )
    front = ranking.pareto(source.study, "fid_best", cost)
    section.numbers["front"] = front["trial_id"].tolist()
    axes = figures.plot_pareto(source.study, cost)
    section.body.append(figure(axes, anchor(source, "pareto"), f"Best score of each trial against {cost}"))
    columns = dict.fromkeys(["trial_id", "fid_best", cost, "macs_g", "params_g", "space"])
    section.body.append(table(front[list(columns)]))
    if second:
        section.body.append(paragraph("This command retrains all of them:"))
        section.body.append(code(_retrain_command(source, "--front", "--seeds", "3")))
    return section


_PARTS: tuple[Callable[[Source], Section | None], ...] = (
    *(verdict_part, pictures_part, curves_part, settings_part, importance_part, operations_part, ranking_part),
    *(genotypes_part, pareto_part, effort_part, trials_part, final_part, configuration_part),
)
