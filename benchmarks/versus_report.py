"""A comparison's summary as Markdown, ready for a page of docs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
from _report import ends, markdown_table, share, with_sd
from versus_plan import RANDOM, SEARCH
from versus_summary import COUNTS, SIZES

from autogan_ray.cli.text import number

SCORES = {
    "fid_derived": "derived, inherited weights (the search's own)",
    "fid_supernet": "mixture (the search's own)",
    "macs_g": "MACs of G",
    "params_g": "parameters of G",
    "macs_d": "MACs of D",
}
_WORDS = {"g": "G", "d": "D", "params": "parameters", "macs": "MACs"}


def _large(value: float) -> str:
    if pd.isna(value):
        return "-"
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.3g} k"


_FORMS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("median", "best", "retrained", "derived", "mixture"), number),
    **dict.fromkeys(("params", "macs"), _large),
    **dict.fromkeys(("agreement", "uniform", "better in"), share),
    **dict.fromkeys(("none", "skip"), partial(number, form=".3g")),
    "entropy": lambda mean_sd: with_sd(*mean_sd, form=".2f"),
    "undecided": partial(number, form=".0f"),
    "tau": partial(number, form="+.2f"),
    "p": partial(number, form=".2g"),
    "s": partial(number, form=".1f"),
    "CPU s": partial(number, form=".1f"),
}
"""How values are written, by the first part of the name of their column: ``macs`` of ``macs_g``."""


def _table(rows: pd.DataFrame, names: Sequence[str]) -> str:
    """Columns of a DataFrame as Markdown, under their names in words: ``MACs G`` for ``macs_g``."""
    columns = {}
    for name in names:
        title = " ".join(_WORDS.get(word, word) for word in name.split("_"))
        columns[title] = map(_FORMS.get(name.partition("_")[0], str), rows[name])
    return markdown_table(columns)


def markdown(summary: Mapping[str, Any], each: bool = False) -> str:
    """Sections: scores, decisions, rank correlations, sizes, operations, cost; with ``each`` a line a network too."""
    plan, label = summary["plan"], summary["plan"]["measure"]["label"]
    parts = [
        f"## {plan['studies'][SEARCH]['name']}: search against random\n",
        _protocol(plan, label),
        f"\n### Retrained networks, {label}, lower is better\n",
        _scores(summary["arms"]),
        *_scores_notes(summary),
        "\n### What the searches decided\n",
        _decided(summary["decisions"]),
        f"\n### Kendall's tau with the retrained {label}\n",
        _taus(summary["taus"]),
        "\nOf a score, +1 ranks networks as retraining does. Of a size, below 0 means that bigger is better: a search "
        "then wins by choosing big operations, and MACs would rank as well at no cost.",
        "\n### Size\n",
        _sizes(summary["arms"]),
        "\n### Operations, share of the decisions that offer them\n",
        _operations(summary["operations"], [RANDOM, *plan["studies"]]),
        "\n### Cost\n",
        _cost(summary["cost"], plan),
    ]
    if each:
        parts += ["\n### Networks\n", _networks(summary["networks"], summary["searches"])]
    return "\n".join(parts) + "\n"


def _protocol(plan: Mapping[str, Any], label: str) -> str:
    study, measure = plan["studies"][SEARCH], plan["measure"]
    search, retrain, metrics = study["search"], study["retrain"], study["metrics"]
    lines = [
        f"Data {study['data']['source']} ({measure['images']} images of {measure['image_size']} px), space "
        f"{study['space']}, {plan['n']} searches of {search['kimg']:g} kimg against {plan['n']} random genotypes "
        f"(seeds from {plan['first_seed']} on); each genotype retrained with {plan['retrain_seeds']} seed(s) for "
        f"{retrain['kimg']:g} kimg, D {retrain['discriminator']}; best of {retrain['evaluations']} evaluations, "
        f"averaged weights, {label} of {metrics['n_fake_final']} fakes against {measure['n_real']} real images. A "
        f"search stands for the genotype of its {plan['pick']} evaluation."
    ]
    lines += [f"- arm {name}: {typed}" for name, typed in plan["changes"].items() if typed]
    if plan["unswept"]:
        held = ", ".join(f"{key} = {value}" for key, value in plan["unswept"].items())
        lines.append(f"- swept by the study, held here at: {held}")
    return "\n".join(lines)


def _scores(arms: pd.DataFrame) -> str:
    columns = {
        "mean ± SD": [*map(with_sd, arms["mean"], arms["sd"])],
        "minus random": ["-" if interval is None else f"{interval.value:+.3g}" for interval in arms["difference"]],
    }
    for title, name in {"95 % (t)": "difference", "95 % (bootstrap)": "bootstrap"}.items():
        columns[title] = ["-" if interval is None else ends(interval.low, interval.high) for interval in arms[name]]
    names = ["arm", "n", "mean ± SD", "median", "best", "minus random", "95 % (t)", "95 % (bootstrap)", "better in"]
    return _table(arms.rename(columns={"better": "better in"}).assign(**columns), names)


def _scores_notes(summary: Mapping[str, Any]) -> list[str]:
    arms = summary["arms"]
    paired = arms[arms["how"] == "paired"]
    pairs = ", ".join(f"{arm}: {len(pairs)} pairs" for arm, pairs in zip(paired["arm"], paired["pairs"], strict=True))
    notes = [
        "\nn counts genotypes, each the mean over its retraining seeds, and SD is over genotypes. Search i is paired "
        f"with random genotype i over the same retraining seeds; below 0 the search is better ({pairs})."
    ]
    if summary["plan"]["named"]:
        notes.append(
            "A genotype by name is one network: its SD is over retraining seeds, its interval Welch's, and the last "
            "column says how many random genotypes it beats."
        )
    notes += [
        f"- {name}: SD {spread.seed_sd:.2g} between retraining seeds of one genotype, {spread.genotype_sd:.2g} "
        f"between genotypes; {spread.reliability:.0%} of the variance of a genotype's mean is its own."
        for name, spread in summary["spread"].items()
        if spread is not None
    ]
    failed = arms[arms["failed"] > 0]
    if len(failed):
        counts = ", ".join(f"{arm} {count}" for arm, count in zip(failed["arm"], failed["failed"], strict=True))
        notes.append(f"- retrainings without a finite score, left out: {counts}")
    if len(summary["commits"]) > 1:
        notes.append(f"- computed by more than one version of the code: {', '.join(summary['commits'])}")
    return notes


def _decided(decisions: pd.DataFrame) -> str:
    rows = decisions.assign(diverged=decisions["diverged"].astype(str).mask(decisions["arm"] == RANDOM, "-"))
    names = ["arm", "n", "diverged", "undecided", "entropy_g", "entropy_d", *COUNTS, "agreement_g", "agreement_d"]
    chance = " and ".join(f"{share(decisions[f'uniform_{n}'][0])} ({n.upper()})" for n in ("g", "d"))
    return _table(rows, names) + (
        "\n\nAgreement is the mean share of decisions on which two genotypes of an arm agree; uniform draws would "
        f"agree on {chance}. Entropy 1 is uniform; none and skip are counts a genotype."
    )


def _taus(taus: pd.DataFrame) -> str:
    rows = taus[taus["tau"].notna() | ~taus["score"].isin(["macs_g", "params_g", "macs_d"])]  # a fixed D has one size
    interval = [*map(partial(ends, form="+.2f"), rows["low"], rows["high"])]
    rows = rows.assign(score=rows["score"].replace(SCORES), **{"95 % (bootstrap)": interval})
    return _table(rows, ["score", "over", "n", "tau", "95 % (bootstrap)", "p"])


def _sizes(arms: pd.DataFrame) -> str:
    return _table(arms.rename(columns={"arm": "arm (mean)"}), ["arm (mean)", *SIZES])


def _operations(operations: pd.DataFrame, arms: list[str]) -> str:
    columns = {
        "choice": operations["network"].str.upper() + " " + operations["choice"],
        "decisions": operations["decisions"],
        "uniform": operations["chance"].map(share),
    }
    return markdown_table(columns | {arm: operations[arm].map(share) for arm in arms})


def _cost(cost: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    titles = {arm: f"one search, {arm}" for arm in plan["studies"] if arm in cost} | {"retrain": "one retraining"}
    jobs = pd.DataFrame([{"mean of": title, **cost[name]} for name, title in titles.items()])
    jobs = jobs.rename(columns={"wall_s": "s", "cpu_s": "CPU s", "count": "jobs"})
    jobs["CPU s of all"] = [f"{seconds:.0f}" for seconds in jobs["total_cpu_s"]]
    text = _table(jobs, ["mean of", "s", "CPU s", "jobs", "CPU s of all"])
    if pd.isna(cost["retrainings_a_search"]):
        return text
    m, best = cost["same_cost"]["m"], cost["same_cost"]["best"]
    split = "picked by one retraining seed and scored by the others"
    how = split if plan["retrain_seeds"] > 1 else "picked and scored by the same seed, which flatters it"
    expected = f"is expected at {number(best)} ({how})" if best is not None else f"is unknown: there are {plan['n']}"
    return text + (
        f"\n\nA search costs as much as {cost['retrainings_a_search']:.2f} retrainings. For one search and one "
        f"retraining one may retrain {m} random genotypes instead; the best of so many {expected}."
    )


def _networks(networks: pd.DataFrame, searches: pd.DataFrame) -> str:
    own = searches[["arm", "seed", "fid_derived", "fid_supernet"]].rename(columns={"seed": "index"})
    rows = networks.merge(own, how="left", on=["arm", "index"]).assign(
        network=[f"{arm} {index}" for arm, index in zip(networks["arm"], networks["index"], strict=True)],
        by_seed=[" ".join(number(fid) for _, fid in sorted(fids.items())) for fids in networks["fids"]],
    )
    rows = rows.rename(columns={"fid": "retrained", "fid_derived": "derived", "fid_supernet": "mixture"})
    names = ["network", "retrained", "by_seed", "derived", "mixture", "params_g", "macs_g", "macs_d"]
    return _table(rows, [*names, "none_g", "skip_g"])
