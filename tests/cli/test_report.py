"""``report`` and ``compare`` at the command line: what they write, say and refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from autogan_ray.cli.main import main
from autogan_ray.cli.retrain_text import print_comparison
from autogan_ray.results.store import read_rows, write_table
from autogan_ray.results.study import load_study
from tests.cli.studies import finished_study
from tests.results.made_studies import SPACES, made_study


def ask(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    made_study(folder, trials=8)
    about = {"spaces": {name: space.to_dict() for name, space in SPACES.items()}}
    (folder / "study.json").write_text(json.dumps(about))
    return folder


def test_a_report_lies_in_the_study_or_where_it_is_wanted(study: Path, tmp_path: Path) -> None:
    found = ask("report", study)
    assert found.exit_code == 0 and str(study / "report.html") in found.output
    assert "<h2>Verdict</h2>" in (study / "report.html").read_text()
    assert ask("report", study, study, "--out", tmp_path / "page.html").exit_code == 0
    assert "side-by-side" not in (tmp_path / "page.html").read_text()  # the same study once


def test_a_study_as_runs_leave_it_has_a_report_and_stays_as_it_was(tmp_path: Path) -> None:
    finished_study(tmp_path / "smoke")
    before = {file: file.read_bytes() for file in (tmp_path / "smoke").rglob("*") if file.is_file()}
    assert ask("report", tmp_path / "smoke", "--out", tmp_path / "page.html").exit_code == 0
    assert {file: file.read_bytes() for file in (tmp_path / "smoke").rglob("*") if file.is_file()} == before
    assert "svg" in (tmp_path / "page.html").read_text()


def test_a_study_whose_spaces_are_lost_has_a_report_with_genotypes_as_text(study: Path) -> None:
    (study / "study.json").unlink()
    assert ask("report", study).exit_code == 0
    assert "cell1:" in (study / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "{tmp}/nothing"], "is not a study's folder"),
        (["report", "{study}", "--out", "{tmp}"], "is a folder; name a file in it"),
        (["report", "{study}", "--out", "/proc/page.html"], "cannot be written"),
        (["report"], "Missing argument"),
        (["compare", "{tmp}"], "is not a study's folder"),
        (["compare", "{study}", "--against", "autogan-b"], "'autogan-b' was not retrained"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    study: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    found = ask(*(text.format(tmp=tmp_path, study=study) for text in arguments))
    assert found.exit_code == 2 and message in " ".join(found.output.split())
    assert "Traceback" not in found.output


def test_compare_says_the_verdict_in_words_and_as_json(study: Path) -> None:
    verdict = load_study(study).verdict("random")
    said = ask("compare", study)
    assert said.exit_code == 0 and str(verdict) in said.output and "autogan-a" in said.output
    found = json.loads(ask("compare", study, "--json", "--against", "random").output)
    assert [one["against"] for one in found] == ["random"] and found[0]["ratio"] == pytest.approx(verdict.ratio)


def test_a_study_without_retrainings_is_told_which_command_is_missing(tmp_path: Path) -> None:
    finished_study(tmp_path / "smoke")
    found = ask("compare", tmp_path / "smoke")
    assert found.exit_code == 2 and "no trial was retrained" in found.output
    assert f"retrain {tmp_path / 'smoke'} --trial best --genotype random --seeds 3" in " ".join(found.output.split())


def test_show_tells_cost_what_was_swept_and_the_verdict(study: Path) -> None:
    found = ask("show", study)
    assert found.exit_code == 0
    verdict, saved = load_study(study).verdict("random"), load_study(study).savings()
    assert str(verdict) in found.output and "retrained from scratch" in found.output
    (study / "trials").mkdir()
    (study / "trials" / "t0000.jsonl").write_text("")
    found = ask("show", study)
    assert f"{saved.run} of {saved.planned} evaluations" in found.output
    assert "swept  optim.lr_arch_g: loguniform 0.001, 0.1" in found.output


BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)

CLICKS = """
<script>
"use strict";
const say = (text) => {
  const p = document.createElement("p");
  p.className = "said"; p.textContent = text; document.body.append(p);
};
window.addEventListener("error", (event) => say("error " + event.message));
window.addEventListener("load", () => {
  const table = document.querySelector("table.sortable");
  const titles = [...table.tHead.rows[0].cells];
  const rows = () => [...table.tBodies[0].rows].filter((row) => !row.hidden);
  const order = () => rows().map((row) => row.cells[0].textContent).join(" ");
  const best = titles.find((title) => title.textContent === "fid_best");
  best.click(); say("up " + order());
  best.click(); say("down " + order());
  const filter = document.querySelector("input.filter");
  filter.value = "PRUNED"; filter.dispatchEvent(new Event("input")); say("pruned " + order());
  say("width " + (document.documentElement.scrollWidth - document.documentElement.clientWidth));
});
</script>
"""


@pytest.mark.skipif(not BROWSER, reason="there is no Chromium on this machine")
@pytest.mark.parametrize("width", [1400, 500])
def test_a_browser_sorts_and_filters_the_trials_without_an_error(study: Path, tmp_path: Path, width: int) -> None:
    assert ask("report", study, "--out", tmp_path / "page.html").exit_code == 0
    page = (tmp_path / "page.html").read_text()
    (tmp_path / "driven.html").write_text(page.replace("</body>", CLICKS + "</body>"))
    call = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    found = subprocess.run([*call, profile, f"file://{tmp_path / 'driven.html'}"], capture_output=True, text=True)
    said = dict(
        line.partition(" ")[::2]
        for line in (part.partition("<")[0] for part in found.stdout.split('<p class="said">')[1:])
    )
    trials = load_study(study).trials.sort_values("fid_best")
    assert said["up"].split() == trials["trial_id"].tolist()
    assert said["down"].split() == trials["trial_id"].tolist()[::-1]
    assert sorted(said["pruned"].split()) == sorted(trials[trials["status"] == "pruned"]["trial_id"])
    assert "error" not in said and int(said["width"]) <= 0  # nothing is wider than the page


@pytest.mark.parametrize("best", [True, False])
def test_retrain_ends_with_the_verdict_where_the_best_genotype_of_a_trial_was_retrained(
    study: Path, best: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("autogan_ray.metrics.measure.floor", lambda _: 3.4)
    rows = read_rows(study, "evaluations")
    if not best:  # another genotype of a trial, by its id: there is no verdict, and no mistake
        rows = [row | {"genotype_id": "0" * 12} if row["source"] == "retrain" else row for row in rows]
        write_table(study, "evaluations", rows)
    real = SimpleNamespace(embedding=range(10))
    measure: Any = SimpleNamespace(extractor=SimpleNamespace(name="classifier"), real=real)
    print_comparison(study, measure, [{"row": row, "fid_untrained": None} for row in rows[:2]])
    said = capsys.readouterr().out
    assert "report" in said and (str(load_study(study).verdict("random")) in said if best else "verdict" not in said)
