"""A comparison's summary as Markdown, ready for a page of docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from versus_plan import RANDOM, SEARCH
from versus_stats import Interval

from autogan_ray.cli.text import number

SIZES = {"macs_g": "MACs of G", "params_g": "parameters of G", "macs_d": "MACs of D"}
SCORES = {
    "fid_derived": "derived, inherited weights (the search's own)",
    "fid_supernet": "mixture (the search's own)",
    **SIZES,
}


def markdown(summary: Mapping[str, Any], each: bool = False) -> str:
    """Sections: scores, decisions, rank correlations, sizes, operations, cost; with ``each`` a line a network too."""
    plan = summary["plan"]
    study, measure = plan["studies"][SEARCH], plan["measure"]
    label = measure["label"]
    parts = [
        f"## {study['name']}: search against random\n",
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


def table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; all columns but the first are right-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    rule = [":---", *["---:"] * (len(titles) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rule, *cells))


def _range(low: float | None, high: float | None, form: str = ".3g") -> str:
    return "-" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _ends(interval: Interval | None) -> str:
    return "-" if interval is None else _range(interval.low, interval.high)


def _with_sd(mean: float | None, sd: float | None, form: str = ".4g") -> str:
    return number(mean, form) if sd is None else f"{number(mean, form)} ± {number(sd, '.2g')}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _scores(arms: Sequence[Mapping[str, Any]]) -> str:
    titles = ("arm", "n", "mean ± SD", "median", "best", "minus random", "95 % (t)", "95 % (bootstrap)", "better in")
    rows = []
    for arm in arms:
        difference = arm["difference"]
        scores = (_with_sd(arm["mean"], arm["sd"]), number(arm["median"]), number(arm["best"]))
        against = "-" if difference is None else f"{difference.value:+.3g}"
        ends = (_ends(difference), _ends(arm["bootstrap"]))
        rows.append((arm["arm"], arm["n"], *scores, against, *ends, _share(arm["better"])))
    return table(titles, rows)


def _scores_notes(summary: Mapping[str, Any]) -> list[str]:
    plan, notes = summary["plan"], []
    notes.append(
        "\nn counts genotypes, each the mean over its retraining seeds, and SD is over genotypes. Search i is paired "
        f"with random genotype i over the same retraining seeds; below 0 the search is better ({_pairs(summary)})."
    )
    if plan["named"]:
        notes.append(
            "A genotype by name is one network: its SD is over retraining seeds, its interval Welch's, and the last "
            "column says how many random genotypes it beats."
        )
    for name, spread in summary["spread"].items():
        if spread is not None:
            notes.append(
                f"- {name}: SD {spread.seed_sd:.2g} between retraining seeds of one genotype, {spread.genotype_sd:.2g} "
                f"between genotypes; {spread.reliability:.0%} of the variance of a genotype's mean is its own."
            )
    failed = [f"{arm['arm']} {arm['failed']}" for arm in summary["arms"] if arm["failed"]]
    if failed:
        notes.append(f"- retrainings without a finite score, left out: {', '.join(failed)}")
    if len(summary["commits"]) > 1:
        notes.append(f"- computed by more than one version of the code: {', '.join(summary['commits'])}")
    return notes


def _pairs(summary: Mapping[str, Any]) -> str:
    return ", ".join(f"{arm['arm']}: {len(arm['pairs'])} pairs" for arm in summary["arms"] if arm["how"] == "paired")


def _decided(lines: Sequence[Mapping[str, Any]]) -> str:
    """Agreement: mean share of decisions on which two genotypes of an arm agree."""
    titles = (
        *("arm", "n", "diverged", "undecided", "entropy G", "entropy D"),
        *("none G", "none D", "skip G", "skip D", "agreement G", "agreement D"),
    )
    rows = []
    for line in lines:
        counts = [number(line[name], ".3g") for name in ("none_g", "none_d", "skip_g", "skip_d")]
        entropies = [_with_sd(*line[name], form=".2f") for name in ("entropy_g", "entropy_d")]
        agreements = [_share(line[f"agreement_{network}"]) for network in ("g", "d")]
        undecided = "-" if line["undecided"] is None else line["undecided"]
        diverged = "-" if line["arm"] == RANDOM else line["diverged"]
        rows.append((line["arm"], line["n"], diverged, undecided, *entropies, *counts, *agreements))
    chance = " and ".join(f"{_share(lines[0][f'uniform_{n}'])} ({n.upper()})" for n in ("g", "d"))
    return table(titles, rows) + (
        "\n\nAgreement is the mean share of decisions on which two genotypes of an arm agree; uniform draws would "
        f"agree on {chance}. Entropy 1 is uniform; none and skip are counts a genotype."
    )


def _taus(taus: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            SCORES.get(line["score"], line["score"]),
            line["over"],
            line["n"],
            number(line["tau"], "+.2f"),
            _range(line["low"], line["high"], "+.2f"),
            number(line["p"], ".2g"),
        )
        for line in taus
        if line["tau"] is not None or line["score"] not in SIZES  # a fixed D has one size
    ]
    return table(("score", "over", "n", "tau", "95 % (bootstrap)", "p"), rows)


def _large(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.3g} k"


def _sizes(arms: Sequence[Mapping[str, Any]]) -> str:
    names = ("params_g", "macs_g", "params_d", "macs_d")
    rows = [(arm["arm"], *(_large(arm[name]) for name in names)) for arm in arms]
    return table(("arm (mean)", "parameters G", "MACs G", "parameters D", "MACs D"), rows)


def _operations(lines: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> str:
    keys = ("chance", *arms)
    rows = [
        (f"{line['network'].upper()} {line['choice']}", line["decisions"], *map(_share, (line[key] for key in keys)))
        for line in lines
    ]
    return table(("choice", "decisions", "uniform", *arms), rows)


def _cost(cost: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    jobs = {f"one search, {arm}": cost[arm] for arm in plan["studies"] if arm in cost}
    jobs["one retraining"] = cost["retrain"]
    rows = [
        (name, *(number(one[key], ".1f") for key in ("wall_s", "cpu_s")), one["count"], f"{one['total_cpu_s']:.0f}")
        for name, one in jobs.items()
    ]
    text = table(("mean of", "s", "CPU s", "jobs", "CPU s of all"), rows)
    if cost["retrainings_a_search"] is None:
        return text
    m, best = cost["same_cost"]["m"], cost["same_cost"]["best"]
    split = "picked by one retraining seed and scored by the others"
    how = split if plan["retrain_seeds"] > 1 else "picked and scored by the same seed, which flatters it"
    expected = f"is expected at {number(best)} ({how})" if best is not None else f"is unknown: there are {plan['n']}"
    return text + (
        f"\n\nA search costs as much as {cost['retrainings_a_search']:.2f} retrainings. For one search and one "
        f"retraining one may retrain {m} random genotypes instead; the best of so many {expected}."
    )


def _networks(networks: Sequence[Mapping[str, Any]], searches: Sequence[Mapping[str, Any]]) -> str:
    own = {(row["arm"], row["seed"]): row for row in searches}
    rows = []
    for row in networks:
        search = own.get((row["arm"], row["index"]), {})
        seeds = " ".join(number(fid) for _, fid in sorted(row["fids"].items()))
        scores = [number(search.get(name)) for name in ("fid_derived", "fid_supernet")]
        sizes = [_large(row[name]) for name in ("params_g", "macs_g", "macs_d")]
        counts = (row["none_g"], row["skip_g"])
        rows.append((f"{row['arm']} {row['index']}", number(row["fid"]), seeds, *scores, *sizes, *counts))
    titles = ("network", "retrained", "by seed", "derived", "mixture", "parameters G", "MACs G", "MACs D")
    return table((*titles, "none G", "skip G"), rows)
