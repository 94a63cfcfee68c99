"""Pages that are made from the code are not behind it, and the code in them runs."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import duckdb
import pandas as pd
import pytest
from scipy import stats

from autogan_ray.cli.main import verbs
from autogan_ray.results.schemas import swept_columns
from autogan_ray.results.store import read_rows, write_table
from tests.results.made_studies import SWEEP, made_study

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_of_tables_and_settings_are_what_the_code_makes(reference: ModuleType) -> None:
    assert (DOCS / "tables.md").read_text() == reference.tables_page(), "run python docs/reference.py"
    assert (DOCS / "settings.md").read_text() == reference.settings_page(), "run python docs/reference.py"


def test_every_setting_and_every_section_is_explained(reference: ModuleType) -> None:
    rows = [line for line in reference.settings_page().splitlines() if line.startswith("| `")]
    assert len(rows) > 100 and not [row for row in rows if row.endswith("|  |")]


@pytest.mark.timeout(120)
def test_the_analysis_of_the_docs_runs(tmp_path: Path) -> None:
    made_study(tmp_path / "made", trials=12)
    call = [sys.executable, str(DOCS / "analysis.py"), "made"]
    found = subprocess.run(call, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "tau" in found.stdout and "against" in found.stdout and (tmp_path / "history.svg").is_file()


def test_the_query_of_several_studies_means_scores_of_one_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = {"one": SWEEP, "other": SWEEP | {"optim.beta": {"uniform": [0.0, 1.0]}}, "third": {}}
    frames = []
    for name, sweep in sweeps.items():
        folder = made_study(tmp_path / "results" / name, trials=8, retrained=0, seed=len(frames)).folder
        for table in ("trials", "studies"):
            rows = [row | {"study_id": name} for row in read_rows(folder, table)]
            if table == "trials":
                rows = [{key: row[key] for key in row if "." not in key} for row in rows]
            elif name == "other":
                rows[0] |= {"metric": "FID"}
            write_table(folder, table, rows, None, swept_columns(sweep) if table == "trials" else ())
        read = (pd.read_parquet(folder / f"{table}.parquet") for table in ("trials", "studies"))
        frames.append(pd.merge(*read, on="study_id"))
    scores = pd.concat(frames).groupby(["dataset", "metric", "space"])["fid_first_rung"].agg(["size", stats.gmean])
    assert scores.index.get_level_values("metric").nunique() == 2
    monkeypatch.chdir(tmp_path)
    query = (DOCS / "report.md").read_text().partition("    SELECT ")[2]
    found = duckdb.sql(f"SELECT {query}").df().set_index(["dataset", "metric", "space"])
    assert found["trials"].to_dict() == scores["size"].to_dict()
    assert found["fid"].to_dict() == pytest.approx(scores["gmean"].to_dict())
    duckdb.sql("SELECT * FROM " + query.partition("FROM ")[2].partition("JOIN")[0]).df()


def commands() -> list[tuple[str, str]]:
    """Every command of the pages that calls this package, with its page: indented lines, and those of scripts."""
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    lines = [(page.name, line) for page in pages for line in page.read_text().replace("\\\n", " ").splitlines()]
    lines += [(file.name, line) for file in (DOCS / "clusters").iterdir() for line in file.read_text().splitlines()]
    call = re.compile(r"^\s+(?:entrypoint: )?(?:autogan-ray|python studies/(?:run_study|retrain)\.py)(?= |$).*")
    return sorted({(page, found.group(0).strip()) for page, line in lines if (found := call.match(line))})


def words_of(command: str) -> list[str]:
    """Verb and arguments of a command of the docs."""
    scripts = {"python studies/run_study.py": "autogan-ray run", "python studies/retrain.py": "autogan-ray retrain"}
    for script, verb in scripts.items():
        command = command.replace(script, verb)
    return shlex.split(command.removeprefix("entrypoint: ").replace("[best|3|ID]", "best"), comments=True)[1:]


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_of_the_docs_has_a_verb_and_options_that_there_are(page: str, command: str) -> None:
    verb, *words = words_of(command)
    found = verbs()[verb]
    found.make_parser(click.Context(found)).parse_args(words)


def test_cluster_files_are_what_their_readers_want() -> None:
    import jsonschema
    import ray
    import yaml

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(yaml.safe_load((DOCS / "clusters" / "machines.yaml").read_text()), schema)
    job = yaml.safe_load((DOCS / "clusters" / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    # Fields of RayJobSpec, RayClusterSpec and both groups that are used here, as KubeRay's API reference names them.
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    used = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "rayClusterSpec"}
    assert set(spec) == used and set(cluster) == {"headGroupSpec", "workerGroupSpecs"}
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    workers = cluster["workerGroupSpecs"][0]
    named = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    assert set(workers) == named
    gpus = workers["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    assert f"--gpus {int(gpus) * workers['replicas']} " in spec["entrypoint"]
    script = DOCS / "clusters" / "study.sbatch"
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0


def test_every_promise_names_a_test_that_is_there() -> None:
    text = (DOCS / "reliability.md").read_text()
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", text)
    rows = [line for line in text.splitlines() if line.startswith("| ") and "what is promised" not in line]
    assert len(rows) > 10 and all("::test_" in row for row in rows)
    for file, name in named:
        assert f"def {name}(" in (DOCS.parent / file).read_text(), f"{file} has no {name}"
