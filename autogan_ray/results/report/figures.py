"""The figures of a study, each drawn from its tables on matplotlib axes: in the report, and in notebooks.

    ax = ag.load_study("results/digits").plot_history()
    ax.figure.savefig("history.pdf")

Every function takes the axes to draw on, or makes a figure, and returns the axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autogan_ray.config.search_length import rung_evaluations
from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.analysis.importance import importance
from autogan_ray.results.analysis.operations import operation_frequency
from autogan_ray.results.analysis.ranking import main_recipe, network_names, pareto, retrained_pairs
from autogan_ray.results.analysis.settings import compare, groups, swept, trials_at
from autogan_ray.results.report.style import COLOURS, FAINT, INK, PAPER, legend_above, marked, new_axes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from autogan_ray.results.study_tables import StudyTables


def rungs(study: StudyTables) -> list[int]:
    """Returns the evaluations at which ASHA decides in a study; none where it stops nothing."""
    if study.about["scheduler"] != "asha":
        return []
    factor = float(study.about["reduction_factor"])
    return rung_evaluations(study.integer("grace_evaluations"), factor, study.integer("max_evaluations"))


def plot_history(study: StudyTables, axes: Axes | None = None) -> Axes:
    """Draws each trial's score over its evaluations: ASHA's rungs as lines, trials that it stopped end in a cross."""
    from matplotlib.collections import LineCollection

    about, history = study.about, study.history
    history = history[history["fid"] < DIVERGED_FID]
    states = study.trials.set_index("trial_id")["status"].to_dict()
    with styled():
        axes = new_axes(axes)
        lines: dict[str, list[np.ndarray]] = {label: [] for label in _ENDS}
        for trial_id, rows in history.groupby("trial_id"):
            points = rows.sort_values("evaluation")[["evaluation", "fid"]].to_numpy(dtype=float)
            lines[_end_of(states.get(trial_id))].append(points)
        for index, (label, drawn) in enumerate(lines.items()):
            if not drawn:
                continue
            line, mark = _ENDS[label]
            style: dict[str, Any] = {"colors": COLOURS[index], "linewidths": 1.0, "alpha": 0.75, "linestyles": line}
            axes.add_collection(LineCollection(drawn, label=f"{label} ({len(drawn)})", **style))
            ends = np.array([points[-1] for points in drawn])
            axes.scatter(ends[:, 0], ends[:, 1], zorder=3, marker=mark, s=18, color=COLOURS[index])
        led = history[history["trial_id"] == about["best_trial_id"]].sort_values("evaluation")
        if len(led):
            label = f"best: {about['best_trial_id']}"
            axes.plot(led["evaluation"], led["fid"], color=INK, linewidth=2.2, label=label)
        for rung in rungs(study):
            axes.axvline(rung, color=INK, linewidth=0.8, linestyle=":")
        if pd.notna(about["fid_untrained"]):
            axes.axhline(about["fid_untrained"], color=INK, linewidth=0.8, linestyle="-.", label="untrained")
        _floor(axes, about)
        axes.set(xlabel="evaluation (dotted: where ASHA decides)", ylabel=str(about["metric"]))
        axes.set_xlim(0.5, study.integer("max_evaluations") + 0.5)
        _whole_numbers(axes)
        _log(axes.yaxis)
        legend_above(axes)
    return axes


_ENDS = {
    "to its end, or running": ("-", "o"),
    "stopped by ASHA": ("--", "x"),
    "diverged, failed or cut off": (":", "v"),
}
"""How a trial ended -> line and mark of its curve."""


def _end_of(status: Any) -> str:
    whole, stopped, lost = _ENDS
    return stopped if status == "pruned" else lost if status in ("diverged", "error", "interrupted") else whole


def _floor(axes: Axes, about: pd.Series) -> None:
    if pd.notna(about["floor_fid"]):
        axes.axhline(about["floor_fid"], color=INK, linewidth=1.0, linestyle=(0, (1, 3)), label="floor: real to real")


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _log(axis: Any) -> None:
    """Makes an axis logarithmic where anything positive is drawn: without that matplotlib cannot save the figure.

    The axis reads 20, 50, 100 or 300 k, 2 M, as powers of ten alone would leave it empty.
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    if not np.isfinite(axis.get_minpos()):
        return
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    large = EngFormatter()
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value < 10_000 else large(value)))
    axis.set_minor_formatter(NullFormatter())


def retrained_curves(study: StudyTables) -> pd.DataFrame:
    """Returns a row for each network and kimg of its retraining curves, of one recipe: mean and range over seeds.

    Seeds whose curve ends before the longest of their network are left out: as a poor one ends, the mean would fall.

    Returns:
        Columns ``name`` (``random genotypes`` for all of these together), ``kimg``, ``fid`` (geometric mean), ``low``
        and ``high`` (least and greatest), ``n``.
    """
    logs = seed_curves(study).query("not short").groupby(["name", "kimg"], sort=True)["log"]
    found = logs.agg(["mean", "min", "max", "count"]).reset_index()
    return pd.DataFrame(
        {
            **{"name": found["name"], "kimg": found["kimg"], "fid": np.exp(found["mean"])},
            **{"low": np.exp(found["min"]), "high": np.exp(found["max"]), "n": found["count"]},
        }
    )


def seed_curves(study: StudyTables) -> pd.DataFrame:
    """Returns the rows of ``curves`` that have a score, of one recipe, and of each three columns more: the ``name`` of
    its network, the ``log`` of its score, and ``short``, whether its seed's curve ends before the longest of the
    network, as that seed failed or still runs.
    """
    rows = main_recipe(study.evaluations)
    rows = rows.assign(name=network_names(rows))
    curves = study.curves.merge(rows[["evaluation_id", "name"]], on="evaluation_id")
    curves = curves[curves["fid"].notna() & (curves["fid"] > 0)]
    ends, longest = (curves.groupby(column)["kimg"].transform("max") for column in ("evaluation_id", "name"))
    return curves.assign(log=np.log(curves["fid"].astype(float)), short=ends < longest)


def plot_retrained(study: StudyTables, axes: Axes | None = None) -> Axes:
    """Draws the retraining curves: a line for each network's geometric mean, a band from its best seed to its worst;
    dotted, by itself and ending in a cross, each seed that did not come as far as the others."""
    curves, about = retrained_curves(study), study.about
    cut = seed_curves(study).query("short")
    with styled():
        axes = new_axes(axes)
        for index, (name, rows) in enumerate(curves.groupby("name", sort=False)):
            style = marked(index)
            label = f"{name} ({rows['n'].max()})"
            label = " " * label.startswith("_") + label  # matplotlib leaves names with such a first letter out
            axes.plot(rows["kimg"], rows["fid"], label=label, markersize=4, linewidth=1.6, **style)
            axes.fill_between(rows["kimg"], rows["low"], rows["high"], color=style["color"], alpha=0.15, linewidth=0)
            for _, seed in cut[cut["name"] == name].sort_values("kimg").groupby("evaluation_id"):
                axes.plot(seed["kimg"], seed["fid"], color=style["color"], linestyle=":", linewidth=1)
                axes.plot(seed["kimg"].iloc[-1:], seed["fid"].iloc[-1:], color=style["color"], marker="x")
        _floor(axes, about)
        axes.set(xlabel="kimg (thousands of real images shown to D)", ylabel=str(about["metric"]))
        _log(axes.yaxis)
        legend_above(axes)
    return axes


def plot_compare(study: StudyTables, by: str, at: str = "first_rung", axes: Axes | None = None) -> Axes:
    """Draws what trials scored for each value of a setting: a dot a trial, mean and 95 % interval, n beside it."""
    table, (trials, column) = compare(study, by, at), trials_at(study, at)
    with styled():
        axes = new_axes(axes, height=0.9 + 0.42 * max(len(table), 1))
        for place, row in enumerate(table.itertuples()):
            axes.plot(
                [row.low, row.high], [place, place], color=COLOURS[0], linewidth=3, alpha=0.6, solid_capstyle="butt"
            )
            axes.plot([row.fid], [place], marker="D", color=COLOURS[0], markersize=6)
        places = {value: place for place, value in enumerate(table["value"])}
        heights = groups(study, trials[by]).map(places).to_numpy(dtype=float) - 0.24
        axes.scatter(trials[column], heights, s=10, color=INK, alpha=0.55)
        axes.set_yticks(range(len(table)), [f"{row.value}  (n = {row.scored})" for row in table.itertuples()])
        axes.set_ylim(len(table) - 0.5, -0.6)
        axes.set(xlabel=f"{study.about['metric']}, {_place_in_words(study, at)}")
        axes.grid(axis="y", visible=False)
        _log(axes.xaxis)
    return axes


def _place_in_words(study: StudyTables, at: str) -> str:
    grace = study.integer("grace_evaluations")
    return {"first_rung": f"at the first rung (evaluation {grace})", "best": "best", "last": "last"}[at]


def plot_importance(
    study: StudyTables, at: str = "first_rung", axes: Axes | None = None, found: pd.DataFrame | None = None
) -> Axes:
    """Draws how much of the scores' variance each swept setting explains, a mark where noise seldom comes.

    Args:
        found: what :func:`~autogan_ray.results.analysis.importance.importance` returned, where it is known.
    """
    found = (importance(study, at) if found is None else found).dropna()
    with styled():
        axes = new_axes(axes, height=0.9 + 0.3 * max(len(found), 1))
        names = [f"{row.Index}  (n = {row.trials})" for row in found.itertuples()]
        axes.barh(names, found["share"], color=COLOURS[0], height=0.6)
        axes.scatter(found["noise"], names, marker="|", s=200, color=INK, zorder=3, label="95 % of noise is below")
        axes.invert_yaxis()
        axes.set(xlabel="share of the variance explained", xlim=(0, 1))
        axes.grid(axis="y", visible=False)
        legend_above(axes)
    return axes


def plot_slices(study: StudyTables, keys: Sequence[str], at: str = "first_rung", axes: Any = None) -> Any:
    """Draws the score over each of some settings, side by side, a dot a trial; returns the array of axes.

    Without a setting it is one empty figure that says so.
    """
    trials, column = trials_at(study, at)
    scored, sweep = trials[trials[column].notna()], study.config.get("sweep", {})
    with styled():
        if axes is None:
            from matplotlib.figure import Figure

            rows, across = max(1, -(-len(keys) // 3)), max(1, min(3, len(keys)))
            axes = Figure(figsize=(7.0, 2.2 * rows)).subplots(rows, across, sharey=True, squeeze=False)
        for index, (place, key) in enumerate(zip(axes.flat, keys, strict=False)):
            shown = scored[scored[key].notna()]
            numbers = pd.api.types.is_numeric_dtype(shown[key]) and not pd.api.types.is_bool_dtype(shown[key])
            place.scatter(shown[key] if numbers else shown[key].astype(str), shown[column], s=14, color=COLOURS[0])
            place.set(title=key, ylabel=str(study.about["metric"]) if index % 3 == 0 else "")
            _log(place.yaxis)
            if numbers and len(shown):
                place.set_xscale("log" if sweep.get(key, {}).get("loguniform") else "linear")
                ends = sorted({shown[key].min(), shown[key].max()})
                place.set_xticks(ends, [f"{end:.2g}" for end in ends])
                place.set_xticks([], minor=True)
            place.tick_params(axis="x", rotation=0 if numbers else 20)
            place.margins(x=0.1 if numbers else 0.3)
        for place in list(axes.flat)[len(keys) :]:
            place.set_axis_off()
        if not keys:
            axes.flat[0].text(0, 0.5, "The study swept no setting.", transform=axes.flat[0].transAxes)
    return axes


def plot_parallel(study: StudyTables, at: str = "first_rung", axes: Axes | None = None) -> Axes:
    """Draws each trial as a line through its settings to its score, the better third strong (parallel coordinates)."""
    keys, (trials, column) = swept(study), trials_at(study, at)
    scored = trials[trials[column].notna()].sort_values(column, ascending=False)
    sweep = study.config.get("sweep", {})
    with styled():
        axes = new_axes(axes, height=3.8)
        columns = [_scaled(scored[key], bool(sweep[key].get("loguniform"))) for key in keys]
        columns.append(_scaled(scored[column], log=True))
        lines = np.array([places for places, _ in columns]).T
        better = set(scored.index[len(scored) - max(1, round(len(scored) / 3)) :])
        for index, line in zip(scored.index, lines, strict=True):
            strong = index in better
            style: dict[str, Any] = {"color": COLOURS[0 if strong else 1], "linestyle": "-" if strong else ":"}
            axes.plot(line, linewidth=1.8 if strong else 0.9, alpha=0.9 if strong else 0.6, **style)
        for place, (_, ticks) in enumerate(columns):
            axes.axvline(place, color=INK, linewidth=0.8)
            for height, text in ticks:
                box: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0, "alpha": 0.9}
                place_of_text: dict[str, Any] = {
                    "xytext": (4, 0),
                    "textcoords": "offset points",
                    "va": "center",
                    "zorder": 4,
                }
                axes.annotate(text, (place, height), fontsize=7, bbox=box, **place_of_text)
        names = [*keys, str(study.about["metric"])]
        axes.set_xticks(range(len(names)), [name.replace(".", ".\n") for name in names], fontsize=7)
        axes.set_yticks([])
        axes.set_xlim(-0.1, len(names) - 0.6)
        axes.grid(visible=False)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
    return axes


def _scaled(values: pd.Series, log: bool) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """Returns the places of values on an axis from 0 to 1, and (place, text) of its ticks.

    A value that is not there, as the temperature of a trial whose relaxation has none, gets a place of its own below.
    """
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        names = sorted(values.dropna().astype(str).unique())
        heights = {name: (index + 0.5) / len(names) for index, name in enumerate(names)}
        places = values.astype(str).map(heights).to_numpy(dtype=float)
        ticks = [(y, name.replace("/", "/\n")) for name, y in heights.items()]
    else:
        numbers = values.to_numpy(dtype=float)
        shown = np.log(numbers) if log else numbers
        low, high = (np.nanmin(shown), np.nanmax(shown)) if values.notna().any() else (np.nan, np.nan)
        places = (shown - low) / (high - low) if high > low else np.where(np.isnan(shown), np.nan, 0.5)
        ends = [(0.0, low), (1.0, high)] if high > low else [(0.5, low)]
        ticks = [(y, f"{np.exp(end) if log else end:.3g}") for y, end in ends if not np.isnan(end)]
    absent = np.isnan(places)
    return np.where(absent, -0.15, places), [*ticks, *([(-0.15, "not set")] if absent.any() else [])]


def plot_operations(
    study: StudyTables, space: str, network: str, axes: Axes | None = None, table: pd.DataFrame | None = None
) -> Axes:
    """Draws how often each operation was chosen in the better third, in the rest, and by chance, in one network.

    Args:
        space: as the table ``trials`` names it.
        network: ``g`` or ``d``.
        table: what :func:`~autogan_ray.results.analysis.operations.operation_frequency` returned by operation, where it
            is known.
    """
    table = operation_frequency(study, by="operation") if table is None else table
    rows = table[(table["space"] == space) & (table["network"] == network)]
    with styled():
        axes = new_axes(axes, height=0.9 + 0.34 * max(len(rows), 1))
        places = np.arange(len(rows))
        counts = [f"({rows[side].max():.0f} trials)" for side in ("trials_better", "trials_rest")]
        axes.barh(places - 0.19, rows["better"], 0.36, color=COLOURS[0], label=f"better third {counts[0]}")
        style: dict[str, Any] = {"color": COLOURS[1], "hatch": "///", "edgecolor": FAINT}
        axes.barh(places + 0.19, rows["rest"], 0.36, label=f"rest {counts[1]}", **style)
        axes.scatter(rows["chance"], places, marker="|", s=260, color=INK, zorder=3, label="chance")
        axes.set_yticks(places, list(rows["operation"]))
        axes.invert_yaxis()
        axes.set(xlabel=f"share of the decisions that offer it ({space}, {network.upper()})")
        axes.grid(axis="y", visible=False)
        legend_above(axes)
    return axes


def plot_entropy(study: StudyTables, axes: Axes | None = None) -> Axes:
    """Draws the entropy of both networks' decisions over the evaluations, of each trial; 1 is undecided."""
    history = study.history
    with styled():
        axes = new_axes(axes, height=2.8)
        for index, (column, label) in enumerate((("entropy_g", "generator"), ("entropy_d", "discriminator"))):
            shown = history[history[column].notna()]
            for number, (_, rows) in enumerate(shown.groupby("trial_id")):
                rows = rows.sort_values("evaluation")
                style: dict[str, Any] = {
                    "color": COLOURS[index],
                    "linestyle": "--" if index else "-",
                    "linewidth": 0.9,
                    "alpha": 0.7,
                }
                axes.plot(rows["evaluation"], rows[column], label=label if number == 0 else None, **style)
        axes.set(xlabel="evaluation", ylabel="entropy of the decisions", ylim=(0, 1.05))
        _whole_numbers(axes)
        legend_above(axes)
    return axes


def plot_rank_correlation(study: StudyTables, score: str = "fid_best", axes: Axes | None = None) -> Axes:
    """Draws the score while searching against the retrained score, a dot a retrained trial."""
    pairs = retrained_pairs(study, score)
    metric = study.about["metric"]
    with styled():
        axes = new_axes(axes, width=4.6, height=3.4)
        axes.scatter(pairs["score"], pairs["fid"], color=COLOURS[0], s=26)
        for row in pairs.itertuples():
            axes.annotate(row.trial_id, (row.score, row.fid), xytext=(4, 3), textcoords="offset points", fontsize=7)
        axes.set(xlabel=f"{metric} while searching", ylabel=f"{metric}, retrained")
        axes.margins(0.15)
        _log(axes.xaxis)
        _log(axes.yaxis)
    return axes


def plot_pareto(study: StudyTables, cost: str = "macs_g", axes: Axes | None = None) -> Axes:
    """Draws each trial's best score against a cost of its networks, and the front that no trial beats."""
    trials = study.trials.dropna(subset=["fid_best", cost])
    front = pareto(study, "fid_best", cost).sort_values(cost)
    with styled():
        axes = new_axes(axes, width=4.6, height=3.4)
        axes.scatter(trials[cost], trials["fid_best"], color=COLOURS[1], s=14, marker="x", label="trials")
        front_label = f"front ({len(front)})"
        axes.plot(
            front[cost], front["fid_best"], color=COLOURS[0], marker="o", drawstyle="steps-post", label=front_label
        )
        words = f"{cost}, for one image" if cost.startswith("macs") else cost
        axes.set(xlabel=words, ylabel=str(study.about["metric"]))
        _log(axes.xaxis)
        _log(axes.yaxis)
        legend_above(axes)
    return axes
