"""The parts of a report that compare trials: by their settings, and by the operations that their genotypes have."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup, escape

from autogan_ray.results.analysis import operations, settings
from autogan_ray.results.analysis.importance import ENOUGH, importance
from autogan_ray.results.report import figures
from autogan_ray.results.report.parts import Section, Source, anchor, figure, folded, paragraph, records, table


def _has_first_rung(source: Source) -> bool:
    """Returns whether trials can be compared: the study sweeps, and a trial came to the first rung."""
    return bool(settings.swept(source.study)) and bool(source.study.trials["fid_first_rung"].notna().any())


def settings_part(source: Source) -> Section | None:
    keys = settings.swept(source.study)
    if not _has_first_rung(source):
        return None
    section = Section(
        "settings",
        "Settings compared",
        "The further two intervals lie apart, the less likely chance alone made the difference; of many settings some "
        "differ by chance.",
        "trials.fid_first_rung: the score where ASHA has stopped no trial yet; geometric mean with Student's interval.",
    )
    section.body.append(
        paragraph(
            "The searcher proposed what did well more often, and together with other settings: these rows say what "
            "trials with a value scored, not what the value alone does. Trials without a score there (diverged, "
            "failed, not so far yet) are in no mean: compare trials with scored.",
            "warning",
        )
    )
    trust = settings.rung_trust(source.study)
    section.body += [paragraph(line, "warning") for line in [*_rung_words(trust), *settings.confounded(source.study)]]
    section.numbers["first_rung"] = {"scored": trust.scored, "trained": trust.trained, "tau": trust.tau.estimate}
    sweep = source.study.config["sweep"]
    for key in sorted(keys, key=lambda key: (key != "space", not sweep[key].get("choice"))):  # the most asked first
        found = settings.compare(source.study, key)
        if len(found) < 2:
            continue
        axes = figures.plot_compare(source.study, key)
        section.body.append(Markup(f"<h3>{escape(key)}</h3>"))
        section.body.append(figure(axes, anchor(source, f"compare-{key}"), f"{key}: mean, 95 % interval, trials"))
        section.body.append(table(found))
        section.numbers[key] = records(found)
    return section


def _rung_words(trust: settings.RungTrust) -> Iterator[str]:
    """Yields what to know of the first rung before anything is compared there."""
    if trust.trained is not None and trust.trained < 0.8 * trust.scored:
        yield (
            f"At the first rung {trust.trained} of {trust.scored} trials score better than an untrained generator: so "
            "early, scores say little; a later rung (tune.grace_evaluations) says more."
        )
    if trust.tau.n > 2:
        ends = f", 95 % interval {trust.tau.low:+.2f} to {trust.tau.high:+.2f}" if trust.tau.n > 4 else ""
        yield (
            f"First rung against last score: Kendall's tau {trust.tau.estimate:+.2f}{ends}, over the {trust.tau.n} "
            "trials that ran to their end."
        )


def importance_part(source: Source) -> Section | None:
    if not _has_first_rung(source):
        return None
    keys, found = settings.swept(source.study), importance(source.study)
    section = Section(
        "importance",
        "Importance of settings",
        "A setting whose bar passes its mark explains more than chance does in nineteen of twenty cases, and is worth "
        "sweeping again; with few trials this is a hint at most.",
        "trials.fid_first_rung (log) by the groups of Settings compared: adjusted R squared; the mark by 999 shuffles.",
    )
    if found["share"].notna().any():
        words = "Share of the variance that each setting explains by itself, in the n trials in which it plays a part"
        axes = figures.plot_importance(source.study, found=found)
        section.body.append(figure(axes, anchor(source, "importance"), words))
    if left_out := found.index[found["share"].isna()].tolist():
        words = f"Left out, with fewer than {ENOUGH} scored trials, one value in all of them or another in each: "
        section.body.append(paragraph(f"{words}{', '.join(left_out)}.", "note"))
    section.numbers["importance"] = records(found.reset_index())
    axes = figures.plot_slices(source.study, keys)
    section.body.append(figure(axes.flat[0], anchor(source, "slices"), "Score over each setting, a dot a trial"))
    axes = figures.plot_parallel(source.study)
    words = "Each trial as a line through its settings to its score; the better third strong"
    section.body.append(figure(axes, anchor(source, "parallel"), words))
    return section


def operations_part(source: Source) -> Section | None:
    decisions = operations.final_decisions(source.study)
    if decisions.empty:
        return None
    section = Section(
        "operations",
        "Operations",
        "An operation is favoured where the better third chose it more often than the rest and than chance.",
        "decisions.selected at each trial's fid_best_evaluation; trials of each space ranked by fid_first_rung.",
    )
    noise = operations.undecided_trials(decisions)
    counted = operations.operation_frequency(source.study, by="operation")
    section.numbers |= {"undecided": sorted(noise), "frequency": records(counted)}
    trials = decisions["trial_id"].nunique()
    words = f"{len(noise)} of {trials} trials decided nothing (near uniform, or most decisions unclear): left out."
    section.body.append(paragraph(words + " Few trials prove little: the legend says how many there are.", "note"))
    if bound := operations.trials_without_none(source.study):
        words = f"{len(bound)} trials could not choose none on any edge (derive.exclude_none): there it is neither in "
        section.body.append(paragraph(f"{words}chance nor in the counts.", "note"))
    for (space, network), rows in counted.groupby(["space", "network"]):
        if not (rows["n_better"].max() and rows["n_rest"].max()):
            continue  # nothing to compare: all of the space's trials are among the better third, or none
        axes = figures.plot_operations(source.study, space, network, table=counted)
        words = f"{space}, {'generator' if network == 'g' else 'discriminator'}: share of the decisions that offer it"
        section.body.append(figure(axes, anchor(source, f"operations-{space}-{network}"), words))
    if len(counted):
        section.body.append(folded("all counts, and spaces with trials on one side alone", table(counted)))
        by_decision = operations.operation_frequency(source.study)
        section.body.append(folded("each decision by itself", table(by_decision)))
        section.numbers["by_decision"] = records(by_decision)
    axes = figures.plot_entropy(source.study)
    words = "Entropy of the decisions over time: 1 is undecided, 0 decided"
    section.body.append(figure(axes, anchor(source, "entropy"), words))
    return section
