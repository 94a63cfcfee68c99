"""Which operations the trials of a study chose: the better third beside the rest, and beside chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from autogan_ray.base.errors import ResultsError
from autogan_ray.config.methods import METHODS
from autogan_ray.results.analysis.settings import trials_at
from autogan_ray.results.decidedness import decidedness
from autogan_ray.results.study_tables import configuration
from autogan_ray.spaces.operations import NONE, OPERATIONS

if TYPE_CHECKING:
    from autogan_ray.results.study_tables import StudyTables


_COUNTED = ("better", "rest", "chance", "n_better", "n_rest", "trials_better", "trials_rest")


def final_decisions(study: StudyTables) -> pd.DataFrame:
    """Returns the rows of ``decisions`` at each trial's best evaluation, with the trial's ``space``."""
    trials = study.trials.dropna(subset=["fid_best_evaluation"])
    best = trials[["trial_id", "fid_best_evaluation", "space"]]
    best = best.rename(columns={"fid_best_evaluation": "evaluation"}).astype({"evaluation": "int64"})
    return study.decisions.merge(best, on=["trial_id", "evaluation"])


def undecided_trials(decisions: pd.DataFrame) -> set[str]:
    """Returns the trials whose genotype is noise (:mod:`autogan_ray.results.decidedness`), from their final rows."""
    found = set()
    for trial_id, rows in decisions.groupby("trial_id"):
        table: dict[str, dict[str, tuple[float | None, float | None]]] = {}
        columns = zip(rows["decision"], rows["choice"], rows["logit"], rows["probability"], strict=True)
        for decision, choice, logit, probability in columns:
            known = pd.notna(probability)
            table.setdefault(decision, {})[choice] = (
                logit if pd.notna(logit) else None,
                probability if known else None,
            )
        if decidedness(table).undecided:
            found.add(str(trial_id))
    return found


def trials_without_none(study: StudyTables) -> set[str]:
    """Returns the trials whose genotype had to take an operation on every edge: ``none`` could not be chosen there.

    ``derive.exclude_none`` binds what follows from architecture parameters, and not what ``random`` and ``reinforce``
    have picked.
    """
    found, trials = set(), study.trials
    for trial_id, method, text in zip(trials["trial_id"], trials["method"], trials["config_json"], strict=True):
        config = configuration(text if isinstance(text, str) else None, f"trial {trial_id!r}")
        derived = method in METHODS and METHODS[method].relaxation is not None
        if derived and config.get("derive", {}).get("exclude_none"):
            found.add(str(trial_id))
    return found


def operation_frequency(
    study: StudyTables, better: float = 1 / 3, at: str = "first_rung", by: str = "decision", undecided: bool = False
) -> pd.DataFrame:
    """Returns how often each choice stands in the genotypes of the better trials, of the rest, and by chance.

    Trials that decided nothing are left out, as their genotypes are noise; ``undecided`` counts them too.
    Edges of :func:`trials_without_none` have no row for ``none``, and chance there is one over the number of the rest.

    Args:
        better: which share of the scored trials of each space, the best, is compared with the rest; 0 to 1.
        at: where trials are ranked, as for :func:`~autogan_ray.results.analysis.settings.compare`.
        by: ``decision``, each by its name; or ``operation``, over all decisions of a network that offer it. Choices
            that are no operations are named with what they decide: ``norm=batch``.
        undecided: whether trials that decided nothing are counted.

    Returns:
        Columns ``space``, ``network``, ``decision`` and ``choice``, or ``operation``; ``better`` and ``rest`` (shares,
        0 to 1, null where there are no such trials), ``chance``, ``n_better``, ``n_rest`` (places counted),
        ``trials_better``, ``trials_rest``.

    Raises ResultsError for another ``by``.
    """
    keys = {"decision": ["space", "network", "decision", "choice"], "operation": ["space", "network", "operation"]}
    if by not in keys:
        raise ResultsError(f"by = {by!r}: operations are counted by 'decision' or by 'operation'")
    trials, column = trials_at(study, at)
    ranked = trials[trials[column].notna()].sort_values([column, "trial_id"])
    decisions = final_decisions(study)
    if not undecided:
        noise = undecided_trials(decisions)
        decisions = decisions[~decisions["trial_id"].isin(noise)]
        ranked = ranked[~ranked["trial_id"].isin(noise)]
    best: set[str] = set()  # of each space by itself: else the better third would be that of the better space
    for _, group in ranked.groupby("space"):
        best |= set(group["trial_id"].head(max(1, round(better * len(group)))))
    decisions = decisions[decisions["trial_id"].isin(set(ranked["trial_id"]))]
    excluded = decisions["trial_id"].isin(trials_without_none(study)) & (decisions["choice"] == NONE)
    decisions = decisions[~(excluded & _on_edges(decisions))]
    places = decisions.groupby(["trial_id", "decision"])["choice"].transform("count")
    counted = decisions.assign(chance=1 / places, good=decisions["trial_id"].isin(best))
    counted = counted[places > 1]
    if by == "operation":
        counted = counted.assign(operation=_operations(counted))
    rows = []
    for key, group in counted.groupby(keys[by], sort=True):
        good, rest = group[group["good"]], group[~group["good"]]
        shares = {"better": good["selected"].mean(), "rest": rest["selected"].mean(), "chance": group["chance"].mean()}
        trials = {"trials_better": good["trial_id"].nunique(), "trials_rest": rest["trial_id"].nunique()}
        rows.append(
            dict(zip(keys[by], key, strict=True)) | shares | {"n_better": len(good), "n_rest": len(rest)} | trials
        )
    return pd.DataFrame(rows, columns=[*keys[by], *_COUNTED])


def _on_edges(decisions: pd.DataFrame) -> pd.Series:
    """Returns whether each row's decision is an edge: its choices are operations, and AutoGAN's norms are none."""
    places = decisions["space"] + " " + decisions["decision"]
    offered = decisions.groupby(places)["choice"].agg(set)
    return places.isin({place for place, choices in offered.items() if choices <= OPERATIONS.keys()})


def _operations(decisions: pd.DataFrame) -> pd.Series:
    """Returns what each row's choice is called among those of all decisions of its network."""
    stems = decisions["decision"].str.rsplit(".", n=1).str[-1].str.rstrip("0123456789")
    return decisions["choice"].where(_on_edges(decisions), stems + "=" + decisions["choice"])
