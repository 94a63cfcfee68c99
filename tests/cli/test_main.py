"""Every mistake a user can make on the command line: a clear message, exit code 2, nothing lost."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError
from autogan_ray.base.provenance import packages_json
from autogan_ray.cli.main import main
from autogan_ray.cli.run import _budget, resolve_study
from autogan_ray.config.overrides import relocate
from autogan_ray.config.study import load_study_config
from autogan_ray.metrics.extractors.inception import InceptionFeatures
from autogan_ray.metrics.measure import Measure
from autogan_ray.results.store import write_table
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.spaces.load import load_space
from autogan_ray.study.study_file import STUDY_FILE, _deciding, check_folder, read_about, write_about
from autogan_ray.training.data import load_study_data
from autogan_ray.tune.cluster import check_address
from tests.training.images.pictures import folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def assert_refused(message: str, *arguments: str) -> None:
    """Exit code 2, the message, and nothing written."""
    before = sorted(Path.cwd().rglob("*"))
    found = ask(*arguments)
    assert found.exit_code == 2, (found.exit_code, found.output, found.exception)
    assert message in found.output.replace("\n", " "), found.output
    assert "Traceback" not in found.output
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("did you mean 'digits'?", ["run", "digit"]),
        ("'nowhere.toml' does not exist", ["run", "nowhere.toml"]),
        ("no verb 'rnu'; did you mean 'run'?", ["rnu"]),
        ("did you mean 'adversarialnas'?", ["run", "smoke", "--space", "adversarialna", "--dry-run"]),
        ("did you mean 'adversarialnas'?", ["spaces", "adversarialna"]),
        ("no setting 'optim.lr_q'; did you mean", ["run", "smoke", "--set", "optim.lr_q=1"]),
        ("write it as key=value", ["run", "smoke", "--set", "optim.lr_g"]),
        ("optim.lr_g = 'fast'", ["run", "smoke", "--set", "optim.lr_g=fast"]),
        ("optim.lr_d = 2", ["run", "smoke", "--set", "optim.lr_d=2"]),
        ("search.relaxation = 'gumble'", ["run", "smoke", "--set", "search.relaxation=gumble"]),
        ("search.method = 'adversarail': no such name; did you mean 'adversarial'",
         ["run", "smoke", "--set", "search.method=adversarail"]),
        ("search.relaxation = 'gumbel_hard' with search.method = 'random'",
         ["run", "smoke", "--set", "search.method=random"]),
        ("each half of it has 300: fewer than one batch of 500",
         ["run", "smoke", "--set", "search.method=duality_gap", "--set", "search.batch_size=500"]),
        ("search.batch_size = 1", ["run", "smoke", "--set", "search.batch_size=1"]),
        ("temperature_end = 9.0 is above", ["run", "smoke", "--set", "search.temperature_end=9.0"]),
        ("tune.grace_evaluations = 9 is above", ["run", "smoke", "--set", "tune.grace_evaluations=9"]),
        ("name = 'a/b'", ["run", "smoke", "--name", "a/b"]),
        ("name = '../up'", ["run", "smoke", "--name", "../up"]),
        ("no setting 'optim.lr' of a trial; did you mean", ["run", "smoke", "--set", "sweep.optim.lr={choice=[1]}"]),
        ("first end must be below", ["run", "smoke", "--set", "sweep.optim.lr_d={uniform=[0.2,0.1]}"]),
        ("GPUs: 64 asked for by --gpus, ", ["run", "smoke", "--gpus", "64"]),
        ("is more than --gpus 1", ["run", "smoke", "--gpus", "1", "--gpus-per-trial", "2"]),
        ("the nearest is 2", ["run", "smoke", "--gpus", "8", "--gpus-per-trial", "1.5"]),
        ("without GPUs", ["run", "smoke", "--gpus-per-trial", "0.5"]),
        ("such as 8h", ["run", "smoke", "--time-budget", "soon"]),
        ("--time-budget 0s: it must be above 0, and below", ["run", "smoke", "--time-budget", "0s"]),
        ("--time-budget nans: it must be above 0", ["run", "smoke", "--time-budget", "nans"]),
        ("without GPUs; use --time-budget", ["run", "smoke", "--max-gpu-hours", "3"]),
        ("unknown data source 'digitz'", ["run", "smoke", "--set", "data.source=digitz"]),
        ("is not a folder", ["run", "smoke", "--set", "data.source=imagefolder:nowhere"]),
        ("nowhere.parquet': no Parquet file at ", ["run", "smoke", "--set", "data.source=parquet:nowhere.parquet"]),
        ("fewer than one batch of 500", ["run", "smoke", "--set", "search.batch_size=500"]),
        ("data.limit", ["run", "smoke", "--set", "data.limit=0"]),
        ("metrics.n_real = 5000, but data 'digits' has 600", ["run", "smoke", "--set", "metrics.n_real=5000"]),
        ("metrics.n_real = 3: input should be greater than or equal to 4",
         ["run", "smoke", "--set", "metrics.n_real=3"]),
        ("metrics.n_fake_final = 9: input should be greater than or equal to 10",
         ["run", "smoke", "--set", "metrics.n_fake_final=9"]),
        ("metrics.extractor = 'vgg'", ["run", "smoke", "--set", "metrics.extractor=vgg"]),
        ("w.pth does not exist", ["run", "smoke", "--set", "metrics.extractor=inception-v3-compat",
                                  "--set", "metrics.weights=w.pth"]),
        ("latent_dim = 9", ["run", "smoke", "--set", "space=adversarialnas", "--set", "model.latent_dim=9"]),
        ("--trials 5 and --set tune.num_trials=7 contradict", ["run", "smoke", "--trials", "5", "--set",
                                                               "tune.num_trials=7"]),
        ("--seed 4 and --set seed=3 contradict", ["run", "smoke", "--seed", "4", "--set", "seed=3"]),
        ("seed = 4294967296: input should be less than 4294967296", ["run", "smoke", "--seed", "4294967296"]),
        ("seed = -1: input should be greater than or equal to 0", ["run", "smoke", "--set", "seed=-1"]),
        ("--name y and --set name=x contradict", ["run", "smoke", "--name", "y", "--set", "name=x"]),
        ("--space autogan and --set space=fixed", ["run", "smoke", "--space", "autogan", "--set", "space=fixed"]),
        ("did you mean 'optim.lr_g' or 'retrain.lr_g'?", ["run", "smoke", "--set", "lr_g=3"]),
        ("image size 9 px", ["run", "smoke", "--dry-run", "--set", "data.image_size=9"]),
        ("--out: nothing can be written", ["run", "smoke", "--dry-run", "--out", "/proc/nowhere"]),
        ("--storage file:///proc/x: nothing can be written there (", ["run", "smoke", "--storage", "file:///proc/x"]),
        ("--storage nosuch://x: nothing can be written there (Protocol not known: nosuch)",
         ["run", "smoke", "--storage", "nosuch://x"]),
        ("--address 'here': give 'auto', or HOST:PORT", ["run", "smoke", "--address", "here"]),
        ("HOST:PORT", ["run", "smoke", "--address", "127.0.0.1:99999"]),
        ("there is no folder 'nowhere'", ["list", "nowhere"]),
        ("not a study's folder", ["show", "nowhere"]),
        ("not a study's folder", ["retrain", "nowhere"]),
        ("does not exist", ["generate", "nowhere.safetensors", "--out", "x"]),
        ("nowhere.json' does not exist", ["genotypes", "nowhere.json"]),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_remedy(message: str, arguments: list[str]) -> None:
    assert_refused(message, *arguments)


def test_a_misspelt_folder_is_named_before_data_is_prepared() -> None:
    found = ask("retrain", "nowhere")
    assert found.exit_code == 2 and "preparing" not in found.output


def test_an_unknown_key_in_a_study_file_names_the_nearest(tmp_path: Path) -> None:
    Path("mine.toml").write_text('schema = 1\nname = "mine"\n[optim]\nlr_gg = 0.1\n')
    assert_refused("mine.toml: unknown key 'optim.lr_gg'; did you mean 'lr_g'", "run", "mine.toml")
    Path("mine.toml").write_text('schema = 1\nname = "mine"\n[optimm]\nlr_g = 0.1\n')
    assert_refused("did you mean 'optim'", "run", "mine.toml")
    Path("mine.toml").write_text("schema = 1\nname = ")
    assert_refused("not TOML", "run", "mine.toml")


def picture(file: Path, width: int = 8, height: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width), np.uint8)).save(file)


def test_images_that_cannot_be_used_are_named() -> None:
    source = "data.source=imagefolder:pictures"
    Path("pictures").mkdir()
    assert_refused("pictures': no images below ", "run", "smoke", "--set", source)
    picture(Path("pictures/a/1.png")), picture(Path("pictures/a/2.png"), 9, 9)
    assert_refused("2.png has 9x9 px, the first image 8x8; set data.image_size", "run", "smoke", "--set", source)
    Path("pictures/a/2.png").write_bytes(b"no image")
    assert_refused("2.png cannot be decoded", "run", "smoke", "--set", source)
    Path("pictures/a/2.png").unlink()
    assert_refused("has 1 images", "run", "smoke", "--set", source)
    pd.DataFrame({"size": [1]}).to_parquet("t.parquet")
    assert_refused("has no column 'image'; its columns: size", "run", "smoke", "--set", "data.source=parquet:t.parquet")


def test_a_data_set_of_too_few_images_for_the_scores_is_refused_where_nothing_is_searched() -> None:
    folder(Path("three"), ("a",), each=3)
    asked = ("retrain", "new", "--study", "smoke", "--genotype", "dcgan", "--set", "data.source=imagefolder:three")
    assert_refused("has 3 images; scores need at least 4, as precision and recall", *asked)


def test_weights_of_another_digest_or_torn_are_refused() -> None:
    inception = ["--set", "metrics.extractor=inception-v3-compat", "--set", "metrics.weights=w.pth"]
    Path("w.pth").write_bytes(b"not weights")
    assert_refused("expected 6726825d", "run", "smoke", *inception)
    import hashlib

    digest = hashlib.sha256(b"not weights").hexdigest()
    assert_refused("not a file of weights", "run", "smoke", *inception, "--set", f"metrics.sha256='{digest}'")


def study_in(folder: Path, about: dict[str, object] | None = None, **changes: object) -> None:
    """A folder as a study leaves it at its start."""
    config = resolve_study("smoke", 0)
    values = config.to_dict() | changes
    folder.mkdir(parents=True)
    digest = load_study_data(config.data, config.metrics).digest
    written = {"study_id": "x", "status": "running", "config_json": json.dumps(values), "wall_s": 0.0}
    written |= {"name": "smoke", "max_evaluations": config.tune.max_evaluations, "grace_evaluations": config.tune.grace}
    written |= {"dataset": config.data.source, "dataset_digest": digest} | (about or {})
    (folder / STUDY_FILE).write_text(json.dumps(written))


def test_a_folder_with_another_configuration_is_refused_with_the_difference() -> None:
    study_in(Path("results/smoke"), seed=5)
    assert_refused("seed: 5 -> 0", "run", "smoke")
    assert_refused("seed: 5 -> 0", "run", "smoke", "--resume")


def test_a_space_that_changed_since_the_study_began_is_refused() -> None:
    before = load_space("autogan/fixed").to_dict()
    before["generator"]["up"] = ["nearest"]
    study_in(Path("results/smoke"))
    file = Path("results/smoke") / STUDY_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"spaces": {"autogan/fixed": before}}))
    assert_refused("space 'autogan/fixed' has changed since the study", "run", "smoke", "--resume")


def test_a_folder_with_this_study_wants_resume_and_a_foreign_one_is_left_alone() -> None:
    study_in(Path("results/smoke"))
    assert_refused("go on with --resume", "run", "smoke")
    Path("results/other").mkdir()
    Path("results/other/thesis.txt").write_text("precious")
    assert_refused("holds no study", "run", "smoke", "--name", "other")
    Path("results/smoke/study.json").write_text("{")
    assert_refused("study.json is missing or damaged (its text: not JSON", "run", "smoke", "--resume")


def test_a_genotype_of_another_space_or_broken_is_refused_before_any_training() -> None:
    good = load_space("autogan/fixed").random(8, 0).to_dict()
    for change, message in [
        ({"space": "adversarialnas"}, "against space 'adversarialnas'"),
        ({"generator": good["generator"] | {"g.cell1.conv": "psot"}}, "did you mean 'post'"),
        ({"generator": {}}, "no choice for g.cell1.conv"),
        ({"image_size": "8"}, "image_size is '8'"),
        ({"colour": 1}, "unknown key 'colour'"),
    ]:
        Path("g.json").write_text(json.dumps(good | change))
        assert_refused(message, "genotypes", "g.json")


def test_a_folder_that_cannot_be_written_to_is_named_before_anything_runs() -> None:
    Path("file").touch()
    study_in(Path("results/smoke"))
    for place in ("file/out", "/proc/nowhere"):
        assert_refused("--out: nothing can be written to", "run", "smoke", "--out", place)
        assert_refused("--storage: nothing can be written to", "run", "smoke", "--name", "q", "--storage", place)
        assert_refused(f"RESULTS: nothing can be written to '{place}'", "retrain", place, "--study", "smoke",
                       "--genotype", "dcgan")  # fmt: skip


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        check_address(address)
        check_address("auto")
    assert_refused(f"--address '{address}': nothing answers there (Connection refused)", "run", "smoke", "--address",
                   address)  # fmt: skip


class RayWasStarted(Exception):
    pass


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise RayWasStarted

    monkeypatch.setattr("autogan_ray.tune.cluster.cluster", start)


def test_a_complete_study_whose_logs_were_lost_runs_those_trials_again(no_ray: None) -> None:
    study_in(Path("results/smoke"))
    file = Path("results/smoke") / STUDY_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"status": "complete"}))
    logs = TrialLogs(Path("results/smoke"))
    logs.add("t0000", "trial", number=0, config={})
    logs.add("t0000", "status", status="complete")
    found = ask("run", "smoke", "--resume")
    assert isinstance(found.exception, RayWasStarted) and "are run again: t0001\n" in found.output


def test_a_study_goes_on_with_images_that_were_moved_and_with_no_others(no_ray: None) -> None:
    folder(Path("a"), each=16)
    settings = ["--set", "search.batch_size=4", "--set", "metrics.n_real=8", "--set"]
    study = resolve_study("smoke", 0, overrides=("data.source=imagefolder:a", *settings[1::2][:2]))
    digest = load_study_data(study.data, study.metrics).digest
    study_in(Path("results/smoke"), **study.to_dict(), about={"dataset": study.data.source, "dataset_digest": digest})
    shutil.move("a", "b")
    moved = ask("run", "smoke", "--resume", *settings, "data.source=imagefolder:b")
    assert isinstance(moved.exception, RayWasStarted), moved.output
    about = check_folder(resolve_study("smoke", 0, overrides=("data.source=imagefolder:b", *settings[1::2][:2])),
                         Path("results/smoke"), resume=True)  # fmt: skip
    assert about is not None and about["dataset"] == f"imagefolder:{Path.cwd()}/b"
    assert json.loads(about["config_json"])["data"]["source"] == about["dataset"]
    picture(Path("b/a/m000.png"), 16, 16)
    changed = ask("run", "smoke", "--resume", *settings, "data.source=imagefolder:b")
    assert changed.exit_code == 2 and "is not what it was when the study in results/smoke began" in changed.output


def test_a_study_goes_on_with_weights_that_were_moved_and_with_no_other_digest(
    no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["metrics.extractor=inception-v3-compat", "metrics.weights=new/w.pth", "metrics.sha256='67'"]
    study = resolve_study("smoke", 0, overrides=[asked[0], "metrics.weights=/old/w.pth", asked[2]])
    study_in(Path("results/smoke"), **study.to_dict())
    Path("new").mkdir(), Path("new/w.pth").touch()
    monkeypatch.setattr(InceptionFeatures, "check", lambda *_, **__: None)
    resume = ["run", "smoke", "--resume", *(word for text in asked for word in ("--set", text))]
    assert isinstance((found := ask(*resume)).exception, RayWasStarted), found.output
    about = check_folder(resolve_study("smoke", 0, overrides=asked), Path("results/smoke"), resume=True)
    assert about is not None
    assert json.loads(about["config_json"])["metrics"]["weights"] == f"{Path.cwd()}/new/w.pth"
    assert_refused("metrics.sha256: '67' -> '68'", *resume[:-1], "metrics.sha256='68'")


def test_places_are_found_from_any_folder() -> None:
    settings = {"data.source": "imagefolder:d", "data.root": "~/r", "metrics.weights": "~nobody-here/w.pth"}
    study, here = load_study_config("smoke", settings), Path.cwd()
    assert study.data.source == f"imagefolder:{here}/d" and study.data.root == str(Path.home() / "r")
    assert study.metrics.weights == f"{here}/~nobody-here/w.pth"
    stored = study.to_dict()
    relocate(stored, ["data.root=../r", "metrics.weights=w.pth"])
    assert stored["data"]["root"] == f"{here}/../r" and stored["metrics"]["weights"] == f"{here}/w.pth"


def test_a_study_that_began_with_settings_that_it_does_not_read_goes_on_without_them(no_ray: None) -> None:
    idle = {"data.split": "test", "data.root": "/data", "metrics.weights": "w.pth", "metrics.sha256": "67"}
    study_in(Path("results/smoke"), **load_study_config("smoke", idle).to_dict())
    found = ask("run", "smoke", "--resume")
    assert isinstance(found.exception, RayWasStarted), found.output
    assert_refused("data.split = 'test' with data.source", "run", "smoke", "--resume", "--set", "data.split=test")


def test_resuming_where_there_is_nothing_begins_the_study_of_the_default_folder_and_says_so(no_ray: None) -> None:
    for named in ([], ["--name", "smoke", "--out", "results"]):
        found = ask("run", "smoke", "--resume", *named)
        assert isinstance(found.exception, RayWasStarted) and "nothing to resume in results/smoke" in found.output
    assert "nothing to resume" not in ask("run", "smoke").output


@pytest.mark.parametrize("named", [["--name", "smokee"], ["--set", "name=smokee"], ["--out", "elsewhere"]])
def test_resuming_a_name_that_is_not_there_begins_no_study_unless_new_is_given(named: list[str], no_ray: None) -> None:
    study_in(Path("results/smoke"))
    study_in(Path("elsewhere/smokey"))
    place, near = ("elsewhere", "smokey") if "--out" in named else ("results", "smoke")
    name = "smoke" if "--out" in named else "smokee"
    message = f"--resume: there is no study '{name}' in {place}, and it would be a new one; to begin it, add --new; "
    assert_refused(f"{message}did you mean '{near}'?", "run", "smoke", "--resume", *named)
    dry = ask("run", "smoke", "--resume", "--dry-run", *named)
    assert dry.exit_code == 1 and "missing    folder: --resume: there is no study" in dry.output
    found = ask("run", "smoke", "--resume", "--new", *named)
    assert isinstance(found.exception, RayWasStarted) and f"nothing to resume in {place}/{name}" in found.output


def test_new_begins_no_study_anew(no_ray: None) -> None:
    study_in(Path("results/smoke"))
    assert_refused("holds this very study already", "run", "smoke", "--new")
    found = ask("run", "smoke", "--new", "--resume")
    assert isinstance(found.exception, RayWasStarted) and "nothing to resume" not in found.output


@pytest.mark.parametrize("study", ["smoke", "digits", "cifar10"])
def test_a_dry_run_prints_what_was_set_as_a_file_that_gives_the_same_study(study: str) -> None:
    asked = ["run", study, "--dry-run", "--set", "optim.lr_g=0.0002", "--set", "description='\"a\" \\ é'"]
    output = ask(*asked).output
    text = output.partition("\n(what is not shown is as by default")[0]
    Path("same.toml").write_text(text, encoding="utf-8")
    whole = json.loads(ask(*asked, "--json").stdout)
    assert load_study_config("same.toml").to_dict() == whole["study"]
    assert "lr_g = 0.0002" in text and len(text.splitlines()) < 0.7 * len(
        json.dumps(whole["study"], indent=1).splitlines()
    )
    assert "temperature_schedule" not in text and whole["study"]["search"]["temperature_schedule"]
    given = [line.partition(" = ")[0] for line in Path(f"{ROOT}/studies/{study}.toml").read_text().splitlines()]
    assert {key for key in given if key.isidentifier()} <= {line.partition(" = ")[0] for line in text.splitlines()}


def test_json_of_a_dry_run_is_alone_on_stdout_and_of_a_run_refused() -> None:
    found = ask("run", "--dry-run", "--json")
    assert json.loads(found.stdout)["missing"] == [] and "taking 'digits'" in found.stderr
    assert_refused("--json shows a study, and runs none; give --dry-run as well", "run", "smoke", "--json")


def test_a_dry_run_says_that_the_folder_is_taken() -> None:
    study_in(Path("results/smoke"))
    found = ask("run", "smoke", "--dry-run")
    assert found.exit_code == 1 and "missing    folder: results/smoke holds this very study already" in found.output
    assert "missing    nothing" in ask("run", "smoke", "--dry-run", "--resume").output


def test_no_cluster_to_join_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def init(**asked: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nmore")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr("autogan_ray.tune.cluster.import_ahead", lambda: None)
    assert_refused("--address 'auto': no Ray cluster answers", "run", "smoke", "--address", "auto")


def test_a_study_may_be_given_more_trials_but_not_fewer() -> None:
    study_in(Path("results/smoke"))
    planned = load_study_config("smoke").tune.num_trials
    assert_refused(f"tune.num_trials: {planned} -> {planned - 1}", "run", "smoke", "--trials", str(planned - 1))
    assert_refused("go on with --resume", "run", "smoke", "--trials", str(planned + 1))
    study = load_study_config("smoke", {"tune.num_trials": planned + 1})
    about = check_folder(study, Path("results/smoke"), resume=True)
    assert about is not None and about["num_trials"] == planned + 1 and about["status"] == "interrupted"
    assert json.loads(about["config_json"])["tune"]["num_trials"] == planned + 1


def test_a_study_that_began_before_a_setting_was_there_goes_on_with_its_default_and_with_no_other_value() -> None:
    study_in(Path("results/smoke"))
    file = Path("results/smoke") / STUDY_FILE
    about = json.loads(file.read_text())
    config = json.loads(about["config_json"])
    del config["search"]["halves"], config["retrain"]["objective"], config["optim"]["ema_unbiased"]
    file.write_text(json.dumps(about | {"config_json": json.dumps(config)}))
    assert check_folder(load_study_config("smoke"), Path("results/smoke"), resume=True) is not None
    other = ["--set", "search.halves=per_batch"]
    assert_refused("search.halves: 'fixed' -> 'per_batch'", "run", "smoke", "--resume", *other)


def test_who_draws_the_curves_may_change_and_decides_nothing() -> None:
    study_in(Path("results/smoke"))
    other = load_study_config("smoke", {"tracking": "none"})
    assert check_folder(other, Path("results/smoke"), resume=True) is not None
    file = Path("results/smoke") / STUDY_FILE
    about = json.loads(file.read_text())
    config = json.loads(about["config_json"])
    del config["tracking"]  # it began before the setting was there
    file.write_text(json.dumps(about | {"config_json": json.dumps(config)}))
    assert check_folder(other, Path("results/smoke"), resume=True) is not None
    assert _deciding(other.to_dict()) == _deciding(load_study_config("smoke").to_dict())


def test_a_tracker_whose_package_is_not_there_is_refused_with_the_command_that_installs_it(
    no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autogan_ray.config.tracking.find_spec", lambda name: None)
    assert_refused("pip install mlflow", "run", "smoke", "--set", "tracking=mlflow")
    assert not Path("results").exists()
    assert "tracking: mlflow" in CliRunner().invoke(main, ["doctor", "smoke", "--set", "tracking=mlflow"]).output


def test_wandb_without_a_key_is_refused_with_three_ways_out(no_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Callback:
        def __init__(self, **_: Any) -> None: ...

        def setup(self) -> None:
            raise ValueError("No WandB API key found.")

    ray_s: Any = SimpleNamespace(WandbLoggerCallback=Callback)
    monkeypatch.setitem(sys.modules, "ray.air.integrations.wandb", ray_s)
    for module in ("config", "tune"):  # as if its package were installed
        monkeypatch.setattr(f"autogan_ray.{module}.tracking.find_spec", lambda _: object())
    wandb = ("smoke", "--set", "tracking=tensorboard,wandb")
    ways = "wandb has no key: wandb login, or WANDB_API_KEY; or keep its runs on this machine: WANDB_MODE=offline; "
    assert_refused(ways + "or go without: --set tracking=tensorboard", "run", *wandb)
    assert not Path("results").exists()
    assert ways in CliRunner().invoke(main, ["doctor", *wandb]).output
    monkeypatch.setattr(Callback, "setup", lambda self: None)  # wandb login has been here
    assert CliRunner().invoke(main, ["run", *wandb, "--dry-run"]).exit_code == 0


def test_two_spaces_of_one_name_are_refused(no_ray: None) -> None:
    for place in ("a", "b"):
        Path(place).mkdir()
        Path(place, "mine.toml").write_text(catalog.read("space", "adversarialnas").text)
    both = ("run", "smoke", "--space", "a/mine.toml", "--space", "b/mine.toml")
    assert_refused("space: 'a/mine.toml' and 'b/mine.toml' are both called 'mine'", *both)
    Path("adversarialnas.toml").write_text(catalog.read("space", "adversarialnas").text)
    assert_refused(
        "called 'adversarialnas'", "run", "smoke", "--space", "adversarialnas", "--space", "adversarialnas.toml"
    )
    assert not Path("results").exists()


def test_the_smaller_budget_holds_and_is_named() -> None:
    assert _budget(None, None, 0) is None
    assert _budget("1.5h", None, 0) == (5400.0, "--time-budget 1.5h")
    assert _budget("8h", 2.0, 8) == (900.0, "--max-gpu-hours 2")
    assert _budget("10m", 2.0, 8) == (600.0, "--time-budget 10m")


def test_a_study_of_another_optuna_goes_on_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    study_in(Path("results/smoke"))
    about, versions = read_about(Path("results/smoke")), json.loads(packages_json())
    major = int(versions["optuna"].split(".")[0])

    def reached(*_: object) -> None:
        raise ConfigError("the data would be loaded")

    monkeypatch.setattr("autogan_ray.training.data.load_study_data", reached)
    for before, warned in ((versions["optuna"], 0), (f"{major}.999", 0), (f"{major - 1}.6.0", 1), (None, 0)):
        write_about(Path("results/smoke"), about | {"packages_json": json.dumps({"optuna": before})})
        found = ask("run", "smoke", "--resume")
        assert "the data would be loaded" in found.output and found.output.count("warning") == warned, found.output
        said = (
            f"warning: the study began with Optuna {before}, and this is {versions['optuna']}: new trials after the 10"
        )
        assert found.output.count(said) == warned


def test_a_study_that_began_with_another_classifier_goes_on_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autogan_ray.tune.cluster.cluster", lambda *_: nullcontext())

    def run_study(plan: object, measure: Measure, *_: object) -> None:
        raise ConfigError(f"it would run with {measure.extractor.digest}")

    monkeypatch.setattr("autogan_ray.tune.runner.run_study", run_study)
    study_in(Path("results/smoke"), about={"extractor_digest": "67" * 32})
    found = ask("run", "smoke", "--resume")
    said = "warning: the study began with another extractor 'classifier' (digest 676767676767, now "
    assert "it would run with" in found.output and said in found.output
    file, digest = Path("results/smoke") / STUDY_FILE, found.output.split("it would run with ")[1].strip()
    file.write_text(json.dumps(json.loads(file.read_text()) | {"extractor_digest": digest}))
    assert "warning" not in ask("run", "smoke", "--resume").output


def test_one_damaged_study_hides_no_other() -> None:
    for name in ("a", "b"):
        write_table(Path("results") / name, "trials", [])
        row = {"study_id": name, "name": name, "status": "complete", "metric": "FID"}
        write_table(Path("results") / name, "studies", [row])
    Path("results/a/trials.parquet").write_bytes(b"PAR1 torn")
    found = ask("list")
    assert found.exit_code == 0 and "results/a/trials.parquet is damaged (" in found.output
    assert [line.split()[:2] for line in found.output.splitlines()[2:4]] == [
        ["results/a", "damaged"],
        ["results/b", "complete"],
    ]
    assert ask("list", "results/b").output.splitlines()[2:] == found.output.splitlines()[3:4]
    listed = json.loads(ask("list", "results", "--json").output)
    assert [(row["status"], row["trials"]) for row in listed] == [("damaged", None), ("complete", 0)]


def test_a_damaged_table_is_named() -> None:
    write_table(Path("results/x"), "studies", [])
    Path("results/x/studies.parquet").write_bytes(b"PAR1 torn")
    assert_refused("studies.parquet", "show", "results/x")


def test_listing_verbs_answer() -> None:
    assert "10^38.2" in ask("spaces").output
    assert "g.cell3.skip2" in ask("spaces", "autogan").output
    assert json.loads(ask("spaces", "--json").output)[0]["size"]
    assert json.loads(ask("spaces", "autogan", "--json").output)["size"] == 373_248
    assert "no studies" in ask("list").output
    assert ask("doctor", "digits").exit_code == 0


def test_a_dry_run_shows_the_resolved_study_and_what_is_missing_on_any_machine() -> None:
    found = ask("run", "--gpus", "8", "--dry-run")
    assert found.exit_code == 1
    assert (
        "taking 'cifar10'" in found.output and "lr_arch_g" in found.output and "8 trials side by side" in found.output
    )
    assert "data 'cifar10' is not in" in found.output and "GPUs: 8 asked for" in found.output
    assert not Path("results").exists()
    assert "missing    nothing" in ask("run", "--dry-run").output


def test_overrides_and_options_reach_the_study() -> None:
    found = ask(
        "run", "digits", "--dry-run", "--trials", "3", "--seed", "9", "--name", "mine", "--set", "optim.lr_g=0.001",
        "--space", "autogan/fixed", "--space", "adversarialnas", "--json",
    )  # fmt: skip
    values = json.loads(found.output)["study"]
    assert values["tune"]["num_trials"] == 3 and values["seed"] == 9 and values["name"] == "mine"
    assert values["optim"]["lr_g"] == 0.001 and "optim.lr_g" not in values["sweep"]
    assert values["sweep"]["space"]["choice"] == ["autogan/fixed", "adversarialnas"]


@pytest.mark.parametrize("script", ["run_study.py", "retrain.py"])
def test_the_scripts_are_the_verbs(script: str) -> None:
    file = Path(__file__).parents[2] / "studies" / script
    found = subprocess.run([sys.executable, str(file), "--help"], capture_output=True, text=True)
    assert found.returncode == 0 and "--gpus" in found.stdout
    assert f"{script} [OPTIONS]" in " ".join(found.stdout.split())  # however long the program's path is


def test_every_verb_stands_in_the_help_and_answers() -> None:
    verbs = "compare doctor evaluate generate genotypes list recipes report retrain run show simulate spaces".split()
    listed = ask("--help").output.partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == verbs
    for verb in verbs:
        assert ask(verb, "--help").exit_code == 0
