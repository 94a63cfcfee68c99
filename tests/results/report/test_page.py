"""The report: every number of the page is found again in the tables, and the page stands alone."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats

from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.results.grids import curve_grid_file, encode_grid, grid_file, write_grid
from autogan_ray.results.report.course import trials_part
from autogan_ray.results.report.figures import retrained_curves
from autogan_ray.results.report.networks import final_part, final_table
from autogan_ray.results.report.page import render, side_by_side
from autogan_ray.results.report.sections import curves_part, genotypes_part, sections
from autogan_ray.results.report.style import to_svg
from autogan_ray.results.schemas import swept_columns
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study import Study, load_study
from tests.results.made_studies import SWEEP, made_study, source_of

PICTURE = encode_grid(np.random.default_rng(0).integers(0, 256, (32, 1, 8, 8), dtype=np.uint8))


def with_pictures(study: Study) -> Study:
    write_grid(study.folder / "reals.png", PICTURE)
    for evaluation in range(1, 7):
        write_grid(grid_file(study.folder, str(study.best["trial_id"]), evaluation), PICTURE)
    for row in read_rows(study.folder, "evaluations"):
        write_grid(curve_grid_file(study.folder / "retrain" / row["evaluation_id"], row["kimg"]), PICTURE)
    return study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return with_pictures(made_study(tmp_path_factory.mktemp("studies") / "made", trials=24, seed=3))


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return render([source_of(study)], "Study made")


@pytest.fixture(scope="module")
def numbers(page: str, study: Study) -> dict[str, Any]:
    """What the page computed, by section."""
    text = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.DOTALL)
    assert text
    return dict(json.loads(text.group(1))[str(study.folder)])


class Elements(HTMLParser):
    """Checks that elements are closed in the order in which they were opened; keeps their attributes."""

    VOID = frozenset({"meta", "link", "img", "input", "br", "path", "use", "line", "rect", "circle", "polygon"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(page: str) -> None:
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    ids = [attributes["id"] for _, attributes in elements.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a.get(key) or "" for _, a in elements.seen for key in ("src", "href", "xlink:href") if key in a]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert "url(http" not in page and "@import" not in page
    assert len(page) < 10e6


def test_the_parts_stand_in_their_order_each_with_what_to_see_and_its_source(study: Study) -> None:
    parts = list(sections(source_of(study)))
    assert [part.key for part in parts] == [
        *("verdict", "images", "curves", "settings", "importance", "operations", "ranking"),
        *("genotypes", "cost", "effort", "trials", "final", "configuration"),
    ]
    for part in parts:
        assert part.see.endswith((".", "?")) and part.source.endswith(".") and part.body


def test_what_files_say_is_shown_and_not_run(page: str, tmp_path: Path) -> None:
    assert "1797 images &lt;b&gt;" in page and "1797 images <b>" not in page
    evil = 'x"><img src=y onerror=alert(1)>'
    study = made_study(tmp_path / evil.replace("/", ""), trials=12, name=evil)
    for table in ("trials", "evaluations"):
        rows = read_rows(study.folder, table)
        for row in rows:
            row.update(
                {"space": evil, "error_type": evil, "error_message": evil} if table == "trials" else {"name": evil}
            )
        write_table(study.folder, table, rows, None, swept_columns(SWEEP) if table == "trials" else ())
    made = render([source_of(study)], evil)
    elements = Elements()
    elements.feed(made)
    assert elements.open == [] and not [a for tag, a in elements.seen if tag == "img" and "onerror" in a]
    assert all(re.fullmatch(r"[\w.-]+", a["id"] or "") for _, a in elements.seen if "id" in a)


def test_verdict_and_final_table_are_those_of_the_retrainings(study: Study, numbers: dict[str, Any]) -> None:
    rows = pd.read_parquet(study.folder / "evaluations.parquet")
    trials = pd.read_parquet(study.folder / "trials.parquet").set_index("trial_id")["fid_best"]
    retrained = rows[rows["source"] == "retrain"]
    leader = trials[trials.index.isin(retrained["trial_id"])].idxmin()
    mine = np.log(retrained[retrained["trial_id"] == leader]["fid"])
    theirs = np.log(rows[rows["source"] == "random"]["fid"]).groupby(rows["genotype_id"]).mean()
    ends = stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval(0.95)
    said = numbers["verdict"]["random"]
    assert said["ratio"] == pytest.approx(math.exp(mine.mean() - theirs.mean()))
    assert (said["low"], said["high"]) == pytest.approx((math.exp(ends.low), math.exp(ends.high)))
    table = {row["network"]: row for row in numbers["final"]["networks"]}
    for name, group in rows[rows["source"] != "random"].groupby("name"):
        assert table[name]["fid"] == pytest.approx(stats.gmean(group["fid"])) and table[name]["n"] == len(group)
        assert table[name]["kid"] == pytest.approx(group["kid_mean"].mean())
    drawn = rows[rows["source"] == "random"]
    expected = stats.gmean(drawn.groupby("genotype_id")["fid"].agg(stats.gmean))
    random = table["random genotypes"]
    assert random["fid"] == pytest.approx(expected) and (random["n"], random["unit"]) == (6, "genotypes")


def test_settings_operations_ranks_front_and_effort_are_those_of_the_tables(
    study: Study, numbers: dict[str, Any]
) -> None:
    trials = pd.read_parquet(study.folder / "trials.parquet")
    for key in ("space", "search.relaxation"):
        expected = trials.groupby(key)["fid_first_rung"].agg([stats.gmean, "count"])
        said = {row["value"]: (row["fid"], row["scored"]) for row in numbers["settings"][key]}
        assert set(said) == set(expected.index)
        for value, row in expected.iterrows():
            assert said[value] == pytest.approx((row["gmean"], row["count"]))
    decisions = pd.read_parquet(study.folder / "decisions.parquet").merge(
        trials[["trial_id", "space", "fid_best_evaluation", "fid_first_rung"]], on="trial_id"
    )
    final = decisions[decisions["evaluation"] == decisions["fid_best_evaluation"]]
    counted = final[~final["trial_id"].isin(numbers["operations"]["undecided"])]
    order = counted.drop_duplicates("trial_id").sort_values("fid_first_rung")
    best = [group["trial_id"].head(round(len(group) / 3)) for _, group in order.groupby("space")]
    better = counted["trial_id"].isin(set(pd.concat(best)))
    for row in numbers["operations"]["frequency"]:
        stem, _, choice = row["operation"].rpartition("=")
        places = (counted["space"] == row["space"]) & (counted["network"] == row["network"])
        named = counted["decision"].str.split(".").str[2].str.rstrip("0123456789") == stem if stem else True
        chosen = counted[places & named & (counted["choice"] == choice)]
        for side, name in ((better, "better"), (~better, "rest")):
            group = chosen[side.loc[chosen.index]]["selected"]
            assert row[f"n_{name}"] == len(group)
            assert row[name] == (pytest.approx(group.mean()) if len(group) else None)
    rows = pd.read_parquet(study.folder / "evaluations.parquet")
    means = rows[rows["source"] == "retrain"].groupby("trial_id")["fid"].agg(stats.gmean)
    scores = trials.set_index("trial_id").loc[means.index, "fid_best"]
    assert numbers["ranking"]["tau"] == pytest.approx(stats.kendalltau(scores, means).statistic)
    ordered = trials.sort_values(["fid_best", "macs_g"])
    cheaper = ordered["macs_g"] < ordered["macs_g"].cummin().shift(1, fill_value=10**12)
    assert set(numbers["cost"]["front"]) == set(ordered["trial_id"][cheaper])
    effort, pruned = numbers["effort"], trials[trials["status"] == "pruned"]
    assert (effort["run"], effort["pruned"]) == (trials["evaluations"].sum(), len(pruned))
    assert effort["planned"] == effort["run"] + (pruned["planned_evaluations"] - pruned["evaluations"]).sum()
    assert effort["hours"] == pytest.approx(trials["wall_s"].sum() / 3600)


def test_the_last_scores_of_the_curves_are_those_of_the_table(study: Study, numbers: dict[str, Any]) -> None:
    rows = pd.read_parquet(study.folder / "evaluations.parquet")
    curves = pd.read_parquet(study.folder / "curves.parquet").merge(rows[["evaluation_id", "name", "source"]])
    last = curves[curves["kimg"] == 16.0]
    names = last["name"].where(last["source"] != "random", "random genotypes")
    expected = last.groupby(names)["fid"].agg(stats.gmean).to_dict()
    assert numbers["curves"]["retrained_last"] == pytest.approx(expected)


def test_a_seed_that_failed_on_the_way_is_in_no_mean_and_drawn_by_itself(study: Study, tmp_path: Path) -> None:
    folder = shutil.copytree(study.folder, tmp_path / "failed")
    rows = read_rows(folder, "curves")
    one = next(row["evaluation_id"] for row in rows if row["evaluation_id"].startswith("published"))
    kept = [row for row in rows if row["evaluation_id"] != one or row["kimg"] < 16]
    write_table(folder, "curves", [row | {"fid": 900.0} if row["evaluation_id"] == one else row for row in kept])
    other = load_study(folder)
    means = [retrained_curves(one).query("name == 'autogan-a'") for one in (study, other)]
    assert means[0]["n"].tolist() == [3, 3, 3] and means[1]["n"].tolist() == [2, 2, 2]
    assert (means[1]["fid"].diff().dropna() < 0).all() and means[1]["fid"].max() < 900
    lines = [line for line in other.plot_retrained().get_lines() if line.get_linestyle() == ":"]
    assert [line.get_ydata().tolist() for line in lines if len(line.get_ydata()) == 2] == [[900.0, 900.0]]
    body = "".join(map(str, curves_part(source_of(other)).body))
    assert "dotted: 1 that failed on the way" in body and " images, so higher" not in body  # counts are not recorded


def test_by_how_many_images_curves_are_scored_is_said_where_it_differs(study: Study, tmp_path: Path) -> None:
    folder = shutil.copytree(study.folder, tmp_path / "counted")
    rows = read_rows(folder, "curves")
    for count, said in ((1000, True), (5000, False)):
        write_table(folder, "curves", [row | {"n_fake": count} for row in rows])
        body = "".join(map(str, curves_part(source_of(load_study(folder))).body))
        assert ("by 1000 images, so higher than final scores by 5000" in body) == said and "nan" not in body


def test_a_genotype_that_chance_might_have_drawn_is_called_undecided(study: Study, tmp_path: Path) -> None:
    folder = shutil.copytree(study.folder, tmp_path / "undecided")
    best = study.top(3)["trial_id"].tolist()
    rows = read_rows(folder, "trials")
    columns = swept_columns(SWEEP)
    write_table(folder, "trials", [row | {"undecided": row["trial_id"] in best[1:]} for row in rows], None, columns)
    part = genotypes_part(source_of(load_study(folder)))
    assert part is not None and sum("UNDECIDED" in str(element) for element in part.body) == 2
    assert "<th>undecided</th>" in "".join(map(str, trials_part(source_of(load_study(folder))).body))


def test_the_table_for_a_paper_keeps_small_numbers_and_is_latex(study: Study, tmp_path: Path) -> None:
    folder = shutil.copytree(study.folder, tmp_path / "paper")
    rows = read_rows(folder, "evaluations")
    for place, row in enumerate(rows):
        row["kid_mean"] = 4.2e-5
        if row["source"] == "random":
            row["params_g"] = place
        if row["name"] == "autogan-a":
            row["name"] = "my#net$a{b}^c"
    write_table(folder, "evaluations", rows)
    part = final_part(source_of(load_study(folder)))
    assert part is not None
    csv, latex = (html.unescape(str(element)) for element in part.body[1:3])
    assert csv.count("4.2e-05") == latex.count("4.2e-05") == len(part.numbers["networks"]) and "NA" not in latex
    assert r"my\#net\$a\{b\}\textasciicircum{}c & 3 & seeds" in latex and r"& -- &" in latex


def test_every_trial_stands_in_the_table_of_trials(page: str, study: Study) -> None:
    rows = re.search(r'<table class="sortable">(.*?)</table>', page, re.DOTALL)
    assert rows and all(f"<td>{trial_id}</td>" in rows.group(1) for trial_id in study.trials["trial_id"])


def test_networks_called_after_odd_files_are_drawn_and_named(tmp_path: Path) -> None:
    study = made_study(tmp_path)
    rows = read_rows(study.folder, "evaluations")
    for odd in ("cost$^$x", "_mine"):
        named = [row | {"name": odd} if row["source"] == "published" else row for row in rows]
        write_table(study.folder, "evaluations", named)
        axes = study.plot_retrained()
        figure = axes.get_figure(root=True)
        assert figure is not None and to_svg(figure, "curves").startswith("<svg")
        # In a legend stand the labels that are handed out here: not those with a first underscore.
        assert any(odd in label for label in axes.get_legend_handles_labels()[1])


def test_several_studies_stand_side_by_side_on_one_page(tmp_path: Path) -> None:
    places = [tmp_path / "one" / "made", tmp_path / "two" / "made"]  # folders of one name
    made = [source_of(made_study(place, trials=6, seed=seed)) for seed, place in enumerate(places)]
    page = render(made, "Studies")
    elements = Elements()
    elements.feed(page)
    ids = [attributes["id"] for _, attributes in elements.seen if "id" in attributes]
    assert len(ids) == len(set(ids)) and {"side-by-side", "study0-verdict", "study1-verdict"} <= set(ids)
    table = side_by_side(made)
    assert table["trials"].tolist() == [6, 6] and table["against random"].str.contains("ratio").all()


@pytest.mark.parametrize("trials", [1, 2])
def test_a_study_that_has_hardly_begun_has_a_page(tmp_path: Path, trials: int) -> None:
    study = made_study(tmp_path, trials=trials, retrained=0)
    page = render([source_of(study)], "Study")
    assert "No conclusion: no trial was retrained" in page and "Retrained trials: 0; 5 are needed" in page
    assert final_table(study).empty
    for name in ("trials", "history", "decisions", "genotypes"):
        write_table(study.folder, name, [])
    assert "<h2>Verdict</h2>" in render([source_of(study)], "Study")


def as_schema_1(study: Study) -> Study:
    """Makes files of a study what an earlier version wrote: no column of schema 2, each trial's configuration."""
    rows = read_rows(study.folder, "trials")
    for row in rows:
        config: dict[str, Any] = {"space": row["space"]}
        for section, _, name in (key.partition(".") for key in SWEEP if "." in key):
            config.setdefault(section, {})[name] = row[f"{section}.{name}"] or 5.0  # a number that plays no part
        row["config_json"] = json.dumps(config)
    write_table(study.folder, "trials", rows, None, swept_columns(SWEEP))
    new = {"trials": ["fid_first_rung", "evaluations_saved"], "studies": ["floor_fid", "fid_untrained", "data_read"]}
    for name, columns in new.items():
        file = study.folder / f"{name}.parquet"
        table = pq.read_table(file)
        kept = table.drop_columns([*columns, *(column for column in table.column_names if "." in column)])
        pq.write_table(kept.replace_schema_metadata({"schema_version": "1"}), file)
    (study.folder / "curves.parquet").unlink()
    return study


def test_a_study_of_schema_1_has_a_page(tmp_path: Path) -> None:
    study = made_study(tmp_path, trials=12, retrained=0)
    history = read_rows(study.folder, "history")
    lost = next(row for row in history if row["evaluation"] == study.integer("grace_evaluations"))
    lost["fid"] = DIVERGED_FID
    write_table(study.folder, "history", history)
    before = study.trials
    before.loc[before["trial_id"] == lost["trial_id"], "fid_first_rung"] = None
    columns = ["trial_id", "fid_first_rung", *SWEEP]
    pd.testing.assert_frame_equal(as_schema_1(study).trials[columns], before[columns])
    page = render([source_of(study)], "Study")
    for title in ("All trials", "The best genotypes", "Settings compared", "Importance of settings"):
        assert f"<h2>{title}</h2>" in page


@pytest.mark.timeout(120)
def test_a_thousand_trials_make_a_page_below_ten_megabytes(tmp_path: Path) -> None:
    study = made_study(tmp_path, trials=1000, seed=1)
    start = time.process_time()
    page = render([source_of(study)], "Study")
    spent_s = time.process_time() - start
    assert len(page.encode()) < 10e6 and spent_s < 60, (len(page), spent_s)  # 30 s where nothing else runs
