"""The part of a report on retrained networks: the table for a paper, and the races that chose among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from autogan_ray.results.analysis import ranking
from autogan_ray.results.analysis.intervals import geometric_mean
from autogan_ray.results.report.parts import Section, Source, code, folded, number, paragraph, records, table
from autogan_ray.results.study import Study


def networks_of(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields each network with its rows, failed ones too: searched ones first, random genotypes as one."""
    names = ranking.network_names(rows)
    for kind in ("retrain", "random", "published", "user"):
        chosen = rows[rows["source"] == kind]
        yield from ((str(name), group) for name, group in chosen.groupby(names, sort=True))


def final_table(study: Study) -> pd.DataFrame:
    """Returns a row for each retrained network of one recipe, best first: what a paper's table would show. Seeds by
    which a race chose are left out.

    Returns:
        Columns ``network``, ``n`` and ``unit`` (its seeds; of random genotypes their number, each by the mean of its
        seeds), ``failed`` (retrainings without a score), ``fid`` (geometric mean), ``fid_low``, ``fid_high`` (its 95 %
        interval, null below two), ``kid``, ``is``, ``precision``, ``recall`` (means), ``params_g``, ``macs_g`` (null
        where they differ).
    """
    found = []
    everything = study.evaluations
    for name, rows in networks_of(ranking.fresh(ranking.main_recipe(everything), everything)):
        random = name == "random genotypes"
        scored = rows[rows["fid"].notna()]
        means = scored.groupby("genotype_id")["fid"].agg(lambda fids: geometric_mean(fids.tolist()).estimate)
        mean = geometric_mean((means if random else scored["fid"]).tolist())
        head = {"network": name, "n": mean.n, "unit": "genotypes" if random else "seeds"}
        spread = {"failed": len(rows) - len(scored), "fid": mean.estimate, "fid_low": mean.low, "fid_high": mean.high}
        others = {key: scored[column].mean() for key, column in _FINAL.items()}
        alike = {key: rows[key].iloc[0] if rows[key].nunique() == 1 else None for key in ("params_g", "macs_g")}
        found.append({**head, **spread, **others, **alike})
    columns = ["network", "n", "unit", "failed", "fid", "fid_low", "fid_high", *_FINAL, "params_g", "macs_g"]
    frame = pd.DataFrame(found, columns=columns).sort_values("fid", ignore_index=True)
    return frame.astype({"params_g": "Int64", "macs_g": "Int64"})


_FINAL = {"kid": "kid_mean", "is": "is_mean", "precision": "precision", "recall": "recall"}


def races(study: Study) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields each race for the study's recipe, as ``searched`` or ``random``, with its candidates, the first first."""
    recipe = next(iter(ranking.recipes(study.evaluations)), "")
    for source, name in (("retrain", "searched"), ("random", "random")):
        rows = ranking.raced(study.evaluations, source, recipe)
        if len(rows):
            columns = {"name": "network", "genotype_id": "genotype_id", "kimg": "kimg", "fid_race": "best score"}
            yield name, rows[[*columns]].rename(columns=columns).reset_index(drop=True)


def final_part(source: Source) -> Section | None:
    frame = final_table(source.study)
    if frame.empty:
        return None
    section = Section(
        "final",
        "Retrained networks",
        "The table for a paper: each network trained from scratch, with its number of seeds.",
        "evaluations of one recipe, without seeds by which a race chose; geometric mean of fid with Student's "
        "interval, means of the others.",
    )
    section.numbers["networks"] = records(frame)
    section.body.append(table(frame))
    section.body.append(folded("as CSV", code(frame.to_csv(index=False, float_format="%.4g"))))
    section.body.append(folded("as LaTeX", code(_latex(frame))))
    for source_name, raced in races(source.study):
        section.numbers[f"race {source_name}"] = records(raced)
        words = f"The race of {len(raced)} {source_name} candidates that chose which of them was trained to its end:"
        section.body += [paragraph(words), table(raced)]
    return section


_LATEX = {character: f"\\{character}" for character in "_%&#${}"} | {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "\n": " ", "–": "--"},
}
"""What LaTeX would not print as it stands -> what it prints so."""


def _latex(frame: pd.DataFrame) -> str:
    """Returns the rows of a LaTeX table; pandas' own writer would need jinja2's styles."""

    def cell(value: Any) -> str:
        text = number(None if pd.isna(value) else value, ".4g" if isinstance(value, float) else "")
        return "".join(_LATEX.get(character, character) for character in text)

    lines = [" & ".join(cell(name) for name in frame.columns)]
    lines += [" & ".join(cell(value) for value in row) for row in frame.itertuples(index=False, name=None)]
    columns = "l" + "r" * (len(frame.columns) - 1)
    head, *rows = [rf"{line} \\" for line in lines]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", head, r"\hline", *rows, r"\end{tabular}"])
