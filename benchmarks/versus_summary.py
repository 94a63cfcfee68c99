"""From the files of a comparison to numbers: rows of networks and of searches, and what they say together.

Everything is computed from what is there: a comparison half done gives a report with smaller n.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import versus_stats as stats
from versus_plan import RANDOM, SEARCH, Plan, Task

from autogan_ray.results.decidedness import decidedness
from autogan_ray.spaces.space import SearchSpace

Row = dict[str, Any]


def summarise(plan: Plan, out: Path) -> dict[str, Any]:
    """``networks``, ``searches``: rows; ``arms``, ``decisions``, ``taus``, ``operations``, ``cost``, ``notes``."""
    networks, searches = _rows(plan, out)
    inherited = _inherited(plan, out, searches)
    return {
        "plan": asdict(plan),
        "networks": networks,
        "searches": searches,
        "inherited": inherited,
        "arms": _arms(plan, networks),
        "decisions": _decisions(plan, networks, searches),
        "taus": _taus(plan, networks, searches, inherited),
        "operations": _operations(plan, networks),
        "spread": _spread(networks),
        "cost": _cost(networks, searches, "cpu_s" if plan.device == "cpu" else "wall_s"),
        "commits": sorted({str(row["commit"]) for row in (*searches, *networks) if row.get("commit")}),
    }


def _rows(plan: Plan, out: Path) -> tuple[list[Row], list[Row]]:
    networks, searches = [], []
    for arm in plan.studies:
        for seed in plan.seeds:
            found = plan.search(arm, seed).read(out)
            if found is None:
                continue
            row = _search_row(plan, arm, seed, found["result"])
            searches.append(row)
            if row["genotype"] is not None:
                networks.append(_network(arm, seed, row["genotype"], plan.retrainings(arm, row["genotype"]), out))
    for index, one in zip(plan.seeds, plan.random, strict=True):
        networks.append(_network(RANDOM, index, one, plan.retrainings(RANDOM, one), out))
    for name, one in plan.named.items():
        networks.append(_network(name, 0, one["genotype"], plan.retrainings(name, one["genotype"], one["space"]), out))
    return networks, searches


def _search_row(plan: Plan, arm: str, seed: int, result: Mapping[str, Any]) -> Row:
    records = result["records"]
    record = plan.picked(records)
    row: Row = {"arm": arm, "seed": seed, "evaluations": len(records), "diverged": bool(records[-1]["diverged"])}
    row |= {name: result[name] for name in ("wall_s", "cpu_s", "commit")}
    if record is None:
        return row | {"genotype": None, "fid_derived": None, "fid_supernet": None}
    # A study may score the mixture at some evaluations only: the newest up to the picked one stands.
    mixtures = [one["fid_supernet"] for one in records if one["evaluation"] <= record["evaluation"]]
    decided = decidedness(record["decisions"])
    return row | {
        "evaluation": record["evaluation"],
        "fid_derived": record["fid_derived"],
        "fid_supernet": next((fid for fid in reversed(mixtures) if fid is not None), None),
        "entropy_g": record["entropy_g"],
        "entropy_d": record["entropy_d"],
        "undecided": decided.undecided,
        "leading": decided.leading,
        "genotype": record["genotype"],
        "genotype_id": record["genotype_id"],
    }


def _network(arm: str, index: int, genotype: Mapping[str, Any], tasks: Sequence[Task], out: Path) -> Row:
    """One genotype with its scores by retraining seed; a retraining that gave no finite score is counted."""
    results = {task.settings["seed"]: task.read(out) for task in tasks}
    there = {seed: found["result"] for seed, found in results.items() if found is not None}
    fids = {seed: found["row"]["fid"] for seed, found in there.items() if found["row"]["fid"] is not None}
    choices = genotype["generator"] | genotype["discriminator"]
    row: Row = {
        "arm": arm,
        "index": index,
        "genotype": dict(genotype),
        "fids": fids,
        "fid": float(np.mean([*fids.values()])) if fids else None,
        "failed": len(there) - len(fids),
        "wall_s": [found["wall_s"] for found in there.values() if not found["resumed"]],
        "cpu_s": [found["cpu_s"] for found in there.values() if not found["resumed"]],
        "commit": next((found["commit"] for found in there.values()), None),
    }
    decisions = SearchSpace.from_dict(tasks[0].settings["space"]).decisions(genotype["image_size"])
    for network in ("g", "d"):
        edges = [(d, choices[d.name]) for d in decisions if d.edge and d.network == network]
        row[f"none_{network}"] = sum(choice == d.no_connection for d, choice in edges)
        row[f"skip_{network}"] = sum(choice == d.identity for d, choice in edges)
    first = next((found["row"] for found in there.values()), {})
    return row | {name: first.get(name) for name in ("genotype_id", "params_g", "params_d", "macs_g", "macs_d")}


def _of(rows: Sequence[Row], arm: str) -> list[Row]:
    return [row for row in rows if row["arm"] == arm]


def _arms(plan: Plan, networks: Sequence[Row]) -> list[Row]:
    chance = {row["index"]: row for row in _of(networks, RANDOM)}
    found = []
    for arm in (RANDOM, *plan.studies, *plan.named):
        rows = _of(networks, arm)
        scored = [row for row in rows if row["fid"] is not None]
        means = [row["fid"] for row in scored]
        if arm in plan.named:  # one genotype: its seeds are the sample
            means = [*scored[0]["fids"].values()] if scored else []
        mean, sd = stats.mean_sd(means)
        line: Row = {"arm": arm, "changes": plan.changes.get(arm, ""), "n": len(scored), "mean": mean, "sd": sd}
        line |= {"median": stats.per_group(means, np.median), "best": stats.per_group(means, min)}
        line |= {"failed": sum(row["failed"] for row in rows)}
        for name in ("params_g", "macs_g", "params_d", "macs_d"):
            line[name] = stats.per_group([row[name] for row in rows], np.mean)
        found.append(line | _against(arm, plan, scored, means, chance))
    return found


def _against(arm: str, plan: Plan, scored: Sequence[Row], means: Sequence[float], chance: Mapping[int, Row]) -> Row:
    """The difference to random: by pairs for searches, of two samples for a genotype that has a name."""
    if arm == RANDOM:
        return {"how": None, "pairs": [], "difference": None, "bootstrap": None, "better": None}
    if arm in plan.named:
        others = [row["fid"] for row in chance.values() if row["fid"] is not None]
        t, bootstrap = stats.welch_interval(means, others), stats.bootstrap_difference(means, others)
        better = sum(other > np.mean(means) for other in others) / len(others) if others and means else None
        return {"how": "welch", "pairs": [], "difference": t, "bootstrap": bootstrap, "better": better}
    pairs = []
    for row in scored:
        other = chance.get(row["index"])
        shared = sorted(set(row["fids"]) & set(other["fids"])) if other else []
        if other and shared:  # the same retraining seeds on both sides: the same batches, the same noise
            pairs.append(float(np.mean([row["fids"][seed] - other["fids"][seed] for seed in shared])))
    better = sum(pair < 0 for pair in pairs) / len(pairs) if pairs else None
    t, bootstrap = stats.paired_interval(pairs), stats.bootstrap_mean(pairs)
    return {"how": "paired", "pairs": pairs, "difference": t, "bootstrap": bootstrap, "better": better}


def _decisions(plan: Plan, networks: Sequence[Row], searches: Sequence[Row]) -> list[Row]:
    """How decided each arm's searches were, and how far two of them agree; random genotypes as the yardstick."""
    decisions = SearchSpace.from_dict(plan.space).decisions(plan.measure["image_size"])
    found = []
    for arm in (RANDOM, *plan.studies):
        rows = [row for row in _of(searches, arm) if row["genotype"] is not None]
        line: Row = {
            "arm": arm,
            "n": len(_of(networks, arm)),
            "diverged": sum(r["diverged"] for r in _of(searches, arm)),
        }
        for name in ("entropy_g", "entropy_d", "leading"):
            line[name] = stats.mean_sd([row[name] for row in rows if row[name] is not None])
        line["undecided"] = sum(row["undecided"] for row in rows) if rows else None
        for name in ("none_g", "none_d", "skip_g", "skip_d"):
            line[name] = stats.per_group([row[name] for row in _of(networks, arm)], np.mean)
        chosen = [row["genotype"]["generator"] | row["genotype"]["discriminator"] for row in _of(networks, arm)]
        for network in ("g", "d"):
            shares = [1 / len(one.choices) for one in decisions if one.network == network]
            line[f"agreement_{network}"] = stats.agreement(chosen, network)
            line[f"uniform_{network}"] = sum(shares) / len(shares) if shares else None
        found.append(line)
    return found


def _taus(plan: Plan, networks: Sequence[Row], searches: Sequence[Row], inherited: Mapping[int, Row]) -> list[Row]:
    """Rank correlations with the retrained score: of a search's own scores, of inherited weights', of size."""
    found = []
    own = {(row["arm"], row["seed"]): row for row in searches}
    searched = [row for row in networks if row["arm"] in plan.studies]
    groups: dict[str, list[Row]] = {arm: _of(networks, arm) for arm in plan.studies}
    if len(plan.studies) > 1:
        groups["all searches"] = searched
    for score in ("fid_derived", "fid_supernet"):
        for name, rows in groups.items():
            found.append(_tau(score, name, rows, lambda row, s=score: own[row["arm"], row["index"]][s]))
    everything = [*searched, *_of(networks, RANDOM)]
    for seed, fids in inherited.items():
        for name, rows in {"searches and random": everything, RANDOM: _of(networks, RANDOM)}.items():
            what = f"inherited weights, search {seed}"
            found.append(_tau(what, name, rows, lambda row, f=fids: f.get(row["genotype_id"])))
    for size in ("macs_g", "params_g", "macs_d"):
        for name, rows in {RANDOM: _of(networks, RANDOM), **groups, "searches and random": everything}.items():
            found.append(_tau(size, name, rows, lambda row, s=size: row[s]))
    return found


def _tau(score: str, over: str, rows: Sequence[Row], value: Callable[[Row], float | None]) -> Row:
    points = [(value(row), row["fid"]) for row in rows if row["fid"] is not None]
    there = [(x, y) for x, y in points if x is not None]
    x, y = [one[0] for one in there], [one[1] for one in there]
    tau, ends = stats.kendall(x, y), stats.bootstrap_kendall(x, y)
    return {
        "score": score,
        "over": over,
        "n": len(there),
        "tau": tau and tau[0],
        "p": tau and tau[1],
        "low": ends and ends[0],
        "high": ends and ends[1],
    }


def _inherited(plan: Plan, out: Path, searches: Sequence[Row]) -> dict[int, Row]:
    """Search seed -> genotype id -> score with the weights of that search's supernet."""
    genotypes = [*plan.random, *(row["genotype"] for row in searches if row["genotype"] is not None)]
    read = {seed: plan.inherited_scores(seed, genotypes).read(out) for seed in plan.inheriting}
    return {seed: found["result"]["fids"] for seed, found in read.items() if found is not None}


def _operations(plan: Plan, networks: Sequence[Row]) -> list[Row]:
    """How often each choice was taken, as a share of the decisions that offer it; ``chance`` is one draw's."""
    decisions = SearchSpace.from_dict(plan.space).decisions(plan.measure["image_size"])
    found = []
    for network in ("g", "d"):
        open_ = [one for one in decisions if one.network == network]
        for choice in dict.fromkeys(choice for one in open_ for choice in one.choices):
            offering = [one for one in open_ if choice in one.choices]
            line: Row = {"network": network, "choice": choice, "decisions": len(offering)}
            line["chance"] = sum(1 / len(one.choices) for one in offering) / len(offering)
            names = {one.name for one in offering}
            for arm in (RANDOM, *plan.studies):
                genotypes = [row["genotype"] for row in _of(networks, arm)]
                taken = Counter(
                    c for one in genotypes for n, c in (one["generator"] | one["discriminator"]).items() if n in names
                )
                line[arm] = taken[choice] / (len(offering) * len(genotypes)) if genotypes else None
            found.append(line)
    return found


def _spread(networks: Sequence[Row]) -> dict[str, Any]:
    groups = {RANDOM: _of(networks, RANDOM), SEARCH: _of(networks, SEARCH)}
    return {name: stats.spread([[*row["fids"].values()] for row in rows]) for name, rows in groups.items()}


def _seconds(wall: Sequence[float], cpu: Sequence[float]) -> Row:
    means = {"wall_s": stats.per_group(wall, np.mean), "cpu_s": stats.per_group(cpu, np.mean)}
    return means | {"count": len(wall), "total_wall_s": sum(wall), "total_cpu_s": sum(cpu)}


def _cost(networks: Sequence[Row], searches: Sequence[Row], clock: str) -> Row:
    """Mean seconds of a job, and the best of as many random networks as one search and its retraining cost.

    Args:
        clock: which seconds count. A processor's own do not grow where it is shared with others; a GPU has none.
    """
    line: Row = {}
    for arm in dict.fromkeys(row["arm"] for row in searches):
        line[arm] = _seconds(*([row[name] for row in _of(searches, arm)] for name in ("wall_s", "cpu_s")))
    line["retrain"] = _seconds(*([s for row in networks for s in row[name]] for name in ("wall_s", "cpu_s")))
    searched, again = line.get(SEARCH, {}).get(clock), line["retrain"][clock]
    line["retrainings_a_search"] = searched / again if searched and again else None
    chance = {row["index"]: row["fids"] for row in _of(networks, RANDOM)}
    m = 1 + round(line["retrainings_a_search"] or 0)
    line["same_cost"] = {"m": m, "best": stats.best_of(chance, m)}
    return line
