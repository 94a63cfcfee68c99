"""Retraining without a search: published and hand-made GANs by name, recipes, classes, and every mistake on the way."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

import autogan_ray as ag
from autogan_ray.base.errors import ConfigError
from autogan_ray.cli.main import main
from autogan_ray.config.recipe import all_recipes, load_recipe
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.retrained import recipe_options
from autogan_ray.training.checkpoint import save_state
from tests.tune.conftest import run

pytestmark = pytest.mark.timeout(200)

SIZE_32 = ["--study", "smoke", "--set", "data.image_size=32", "--set", "data.limit=100"]
TINY = ["--set", "retrain.kimg=0.064", "--set", "retrain.latent_dim=12", "--set", "retrain.channels_g=4"]


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder of retrainings alone: a published, a hand-made and a random genotype; its log beside it."""
    folder = tmp_path_factory.mktemp("retrained")
    found = run(
        "retrain", "compare", *SIZE_32, *TINY, "--genotype", "autogan-a", "--genotype", "biggan", "--genotype",
        "random", "--seeds", "1", cwd=folder,
    )  # fmt: skip
    (folder / "log.txt").write_text(found.stdout)
    return folder / "compare"


def test_names_become_rows_with_their_source(retrained: Path) -> None:
    rows = pd.read_parquet(retrained / "evaluations.parquet").set_index("name")
    assert rows["source"].to_dict() == {"autogan-a": "published", "biggan": "published", "random 0": "random"}
    assert rows["fid"].notna().all() and (rows["n_fake"] == 256).all()
    assert rows["fid_untrained"].notna().all() and rows["objective"].eq("hinge").all() and rows["recipe"].nunique() == 1
    assert all(recipe in key for recipe, key in zip(rows["recipe"], rows["evaluation_id"], strict=True))
    assert (rows[["params_g", "params_d", "macs_g", "macs_d"]] > 0).all(axis=None)
    study = ag.load_study(retrained)
    curves = study.curves.set_index("evaluation_id")
    assert set(curves.index) == set(rows["evaluation_id"]) and curves["fid_average"].eq("ema").all()
    for key, kimg in zip(rows["evaluation_id"], rows["kimg"], strict=True):
        curve = curves.loc[[key]]
        assert curve["kimg"].is_monotonic_increasing and kimg == curve.set_index("kimg")["fid"].idxmin()
        assert curve[["loss_g", "loss_d", "d_real", "d_fake"]].notna().all(axis=None)
        assert (curve[["images_per_s", "wall_s", "peak_mem_mib", "n_fake"]] > 0).all(axis=None)
    typed = shlex.split(study.studies["command"].iloc[0])
    assert typed[typed.index("-m") :][:4] == ["-m", "autogan_ray", "retrain", "compare"] and typed[-2:] == [
        "--seeds",
        "1",
    ]
    assert study.studies["status"].iloc[0] == "unsearched" and study.trials.empty and study.name == "compare"
    log = (retrained.parent / "log.txt").read_text()
    assert "autogan-a: FD (classifier)" in log and "biggan: FD (classifier)" in log and "untrained" in log
    assert "unsearched" in ask("show", str(retrained)).output and "biggan" in ask("show", str(retrained)).output


def test_the_options_that_train_by_a_recipe_are_those_that_were_given(retrained: Path) -> None:
    study = ag.load_study(retrained)
    options = recipe_options(study, study.evaluations["recipe"].iloc[0])
    assert sorted(options[1::2]) == sorted(TINY[1::2]) and set(options[::2]) == {"--set"}
    assert recipe_options(study, "derived-k1-000000") == []


def test_an_interrupted_retraining_says_how_to_go_on(retrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autogan_ray.cli.retrain._train", interrupted)
    found = ask("retrain", str(retrained), *TINY, "--genotype", "dcgan")
    assert found.exit_code == 130 and "interrupted: go on with\n" in found.output
    assert found.output.endswith(
        shlex.join(["retrain", str(retrained), *TINY, "--genotype", "dcgan", "--resume"]) + "\n"
    )


def test_a_folder_that_is_there_learns_where_files_lie_now(retrained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[StudyConfig] = []

    def prepared(study: StudyConfig, *_: object) -> None:
        found.append(study)
        raise ConfigError("enough")

    monkeypatch.setattr("autogan_ray.cli.retrain._prepare", prepared)
    moved = ["--set", "data.source=imagefolder:/moved", "--set", "metrics.weights=/w.pth"]
    ask("retrain", str(retrained), *SIZE_32, *TINY, *moved, "--genotype", "dcgan")
    assert [(study.data.source, study.data.limit, study.metrics.weights) for study in found] == [
        ("imagefolder:/moved", 100, "/w.pth")
    ]


def test_a_torn_study_file_is_a_message_and_no_traceback(retrained: Path, tmp_path: Path) -> None:
    shutil.copytree(retrained, tmp_path / "torn")
    file = tmp_path / "torn" / "study.json"
    file.write_bytes(file.read_bytes()[:200])
    found = ask("retrain", str(tmp_path / "torn"), *TINY, "--genotype", "dcgan")
    assert found.exit_code == 2 and "study.json is missing or damaged (" in found.output


def test_a_study_is_scored_by_its_own_classifier_or_says_that_it_is_another(
    retrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(retrained, tmp_path / "copied"))
    rows = pd.read_parquet(folder / "evaluations.parquet").set_index("name")
    asked = ["evaluate", str(folder / rows["checkpoint_path"]["biggan"])]
    monkeypatch.setattr("autogan_ray.cli.retrain._train", lambda *_: 0)
    monkeypatch.setenv("AUTOGAN_RAY_CACHE", str(tmp_path / "of another machine"))
    monkeypatch.setattr("autogan_ray.metrics.extractors.classifier._SEED", 1)  # where training comes out otherwise
    for found in (ask(*asked), ask("retrain", str(folder), *TINY, "--genotype", "dcgan")):
        assert found.exit_code == 0 and "warning" not in found.output, found.output
    assert float(ask(*asked).output.split()[2]) == pytest.approx(rows["fid"]["biggan"], rel=1e-4)
    (folder / "extractor.pt").unlink()
    for found in (ask(*asked), ask("retrain", str(folder), *TINY, "--genotype", "dcgan")):
        assert found.exit_code == 0 and "warning: the study began with another extractor 'classifier'" in found.output
        assert f"put back extractor.pt of the study's folder, or {tmp_path}/of another machine/cl" in found.output


def test_a_folder_takes_no_network_twice(retrained: Path) -> None:
    again = ["retrain", str(retrained), *TINY, "--genotype", "autogan-a"]
    assert "holds this retraining already" in ask(*again).output and ask(*again).exit_code == 2


def test_classes_are_learned_kept_in_the_file_and_sampled_by_name(retrained: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(retrained / "evaluations.parquet").set_index("name")
    path = ag.load_study(retrained).path(rows["checkpoint_path"]["biggan"])
    generator = ag.load_generator(path)
    assert generator.latents.classes == 10
    z = generator.latents.draw(3, torch.Generator().manual_seed(0), label=7)
    assert generator(z).shape == (3, 1, 32, 32) and z[:, 12:].argmax(1).tolist() == [7, 7, 7]
    assert ask("generate", path, "--num", "2", "--out", str(tmp_path / "seven"), "--class", "7").exit_code == 0
    assert len(list((tmp_path / "seven").glob("*.png"))) == 2
    found = ask("generate", path, "--num", "2", "--out", str(tmp_path / "ten"), "--class", "10")
    assert found.exit_code == 2 and "its classes are 0 to 9" in found.output and not (tmp_path / "ten").exists()
    assert ask("generate", str(Path(path).parent), "--num", "2", "--out", str(tmp_path / "all")).exit_code == 0
    found = ask("generate", path, "--out", f"{path}/x")
    assert found.exit_code == 2 and "--out: nothing can be written to" in found.output
    plain = str(retrained / rows["checkpoint_path"]["autogan-a"])
    found = ask("generate", plain, "--num", "2", "--out", str(tmp_path / "x"), "--class", "0")
    assert found.exit_code == 2 and "not class-conditional" in found.output


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("did you mean 'autogan-a'", [*SIZE_32, "--genotype", "autogan-aa"]),
        ("or 'random' for random genotypes", [*SIZE_32, "--genotype", "nothing-like-it"]),
        ("is for 32 px and cannot serve 8 px", ["--study", "smoke", "--genotype", "autogan-a"]),
        ("did you mean 'autogan'", [*SIZE_32, "--genotype", "dcgan", "--recipe", "autogna"]),
        ("did you mean 'smoke'", ["--study", "smok", "--genotype", "dcgan"]),
        ("latent_dim = 10", [*SIZE_32, "--genotype", "adversarialnas", "--set", "retrain.latent_dim=10"]),
        ("latent_dim = 3", [*SIZE_32, "--genotype", "biggan", "--set", "retrain.latent_dim=3"]),
        ("no scored trial yet", [*SIZE_32, "--trial", "best"]),
        ("retrain.lr_g = 7", [*SIZE_32, "--genotype", "dcgan", "--set", "retrain.lr_g=7"]),
        ("no setting 'retrain.widht'", [*SIZE_32, "--genotype", "dcgan", "--set", "retrain.widht=7"]),
        ("not a study's folder", ["--genotype", "dcgan"]),
    ],
)
def test_a_mistake_is_named_and_leaves_no_folder(
    message: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = ask("retrain", "new", *arguments)
    assert found.exit_code == 2, (found.output, found.exception)
    assert message in found.output and "Traceback" not in found.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("on a part of one GPU or on whole ones; give 2", ["--gpus", "4", "--gpus-per-network", "1.5"]),
        ("3 is more than --gpus 2; a network would never start: give 2", ["--gpus", "2", "--gpus-per-network", "3"]),
        ("batch_size = 16 with --gpus-per-network 3", ["--gpus", "3", "--gpus-per-network", "3"]),
        ("takes an equal part of a batch; give 15 or 18", ["--gpus", "3", "--gpus-per-network", "3"]),
        ("batch_size_g = 2 with", ["--gpus", "3", "--gpus-per-network", "3", "--set", "retrain.batch_size=3",
                                   "--set", "retrain.batch_size_g=2"]),
        ("of a batch; give 3", ["--gpus", "3", "--gpus-per-network", "3", "--set", "retrain.batch_size=2"]),
        ("compiled networks train on one GPU", ["--gpus", "2", "--gpus-per-network", "2",
                                                "--set", "compute.compile=true", "--set", "search.relaxation=gumbel"]),
    ],
)  # fmt: skip
def test_gpus_that_a_network_cannot_share_are_named_before_ray_starts(
    message: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("autogan_ray.study.plan.gpu_shortage", lambda gpus: None)
    found = ask("retrain", "new", "--study", "smoke", "--genotype", "dcgan", *arguments)
    assert found.exit_code == 2 and message in found.output, (found.output, found.exception)
    assert not list(tmp_path.iterdir())


def test_a_genotype_file_of_another_space_or_with_a_slip_is_refused(tmp_path: Path, retrained: Path) -> None:
    good = ag.load_genotype("autogan-a").to_dict()
    for change, message in [
        ({"space": "alphagan"}, "against space 'alphagan'"),
        ({"space": "autogam"}, "did you mean 'autogan'"),
        ({"generator": good["generator"] | {"g.cell1.up": "nearestt"}}, "did you mean 'nearest'"),
        ({"generator": dict(list(good["generator"].items())[1:])}, "no choice for g.cell1.conv"),
        ({"generator": good["generator"] | {"g.cell4.conv": "pre"}}, "no decision 'g.cell4.conv'"),
    ]:
        (tmp_path / "g.json").write_text(json.dumps(good | change))
        found = ask("retrain", str(retrained), "--genotype", str(tmp_path / "g.json"))
        assert found.exit_code == 2 and message in found.output, found.output
    doubled = json.dumps(good).replace('"g.cell1.up"', '"g.cell1.conv"')
    (tmp_path / "g.json").write_text(doubled)
    assert "stands twice" in ask("retrain", str(retrained), "--genotype", str(tmp_path / "g.json")).output


def test_a_folder_of_another_study_is_refused_with_the_difference(retrained: Path) -> None:
    found = ask("retrain", str(retrained), "--study", "smoke", "--genotype", "dcgan")
    assert found.exit_code == 2 and "data.image_size: 32 -> None" in found.output


def test_a_job_that_fails_stops_no_other_and_the_exit_code_says_so(retrained: Path, tmp_path: Path) -> None:
    """A job that fails (here: of another network's checkpoint) is reported; a network more is trained and kept."""
    folder = shutil.copytree(retrained, tmp_path / "compare")
    rows = pd.read_parquet(folder / "evaluations.parquet").set_index("name")
    broken = (folder / rows["checkpoint_path"]["autogan-a"]).parent
    (broken / "result.json").unlink()
    save_state(broken / "checkpoint", {"generator": {}})
    asked = ["--genotype", "autogan-a", "--genotype", "sngan-resnet", "--resume"]
    found = run("retrain", "compare", *TINY, *asked, cwd=tmp_path, check=False)
    assert found.returncode == 1 and "autogan-a" in found.stdout and "FAILED, RuntimeError" in found.stdout
    later = pd.read_parquet(folder / "evaluations.parquet").set_index("name")
    assert sorted(later.index) == ["autogan-a", "biggan", "random 0", "sngan-resnet"]
    assert later["fid"].isna().to_dict() == {name: name == "autogan-a" for name in later.index}, "the failed one counts"


def test_a_recipe_is_the_whole_of_a_training_and_kimg_shortens_it(retrained: Path) -> None:
    log = run(
        "retrain", str(retrained), "--genotype", "dcgan", "--recipe", "autogan", "--kimg", "0.064",
        "--set", "retrain.channels_g=4", "--set", "retrain.channels_d=4", "--set", "retrain.evaluations=1",
        cwd=retrained.parent,
    ).stdout  # fmt: skip
    assert "recipe autogan: CIFAR-10: 50,000 steps of G" in log and "0.064 kimg" in log


# Passes of D over the data (50,000 images of CIFAR-10, 105,000 of STL-10), or steps of G, as published; then real
# images in a step of D, images in a step of G, steps of D for each of G, widths of G and D.
PUBLISHED: dict[str, tuple[str, int, int, int, int, int, int]] = {
    "autogan": ("steps", 50_000, 64, 128, 5, 256, 128),
    "autogan-stl10": ("steps", 50_000, 64, 128, 5, 256, 128),
    "alphagan": ("steps", 50_000, 64, 128, 5, 256, 128),
    "alphagan-stl10": ("steps", 80_000, 64, 128, 5, 256, 128),
    "adversarialnas": ("steps", 150_000, 20, 80, 5, 256, 128),
    "adversarialnas-stl10": ("passes over halves", 600, 64, 256, 5, 270, 128),
    "e2gan": ("steps", 150_000, 64, 128, 5, 256, 128),
    "e2gan-stl10": ("steps", 600_000, 16, 32, 5, 256, 128),
    "eagan": ("steps", 150_000, 40, 80, 5, 256, 128),
    "eagan-stl10": ("passes", 600, 128, 256, 5, 256, 128),
    "mmd-adversarialnas": ("passes", 500, 128, 128, 1, 256, 512),
    "mmd-adversarialnas-stl10": ("passes", 500, 128, 128, 1, 256, 512),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_is_the_published_training_and_its_kimg_are_its_steps(name: str) -> None:
    recipe = load_recipe(name)
    found = recipe.retrain
    unit, count, *sizes = PUBLISHED[name]
    n_critic = found.d_steps_per_g_step
    assert [found.batch_size, found.batch_size_g, n_critic, found.channels_g, found.channels_d] == sizes
    assert recipe.image_size == (48 if name.endswith("stl10") else 32)
    images = 105_000 if name.endswith("stl10") else 50_000
    shown = {
        "steps": count * n_critic * found.batch_size,
        "passes": count * images,
        "passes over halves": count * images // 2,
    }
    assert found.kimg * 1000 == shown[unit]
    rates = {"e2gan-stl10": (5e-5, 5e-5), "eagan-stl10": (3e-4, 2e-4)}
    assert (found.lr_g, found.lr_d) == rates.get(name, (2e-4, 2e-4))
    assert found.betas == ((0.5, 0.9) if name == "alphagan-stl10" else (0.0, 0.9))
    assert found.clip_grad_norm == (50 if name == "eagan-stl10" else None)
    assert found.discriminator == ("derived" if name.startswith("eagan") else "fixed")
    assert found.latent_dim == (120 if "eagan" in name or "adversarialnas" in name else 128)


def test_the_recipes_listed_are_those_shipped() -> None:
    assert set(all_recipes()) == set(PUBLISHED)
    listed = json.loads(ask("recipes", "--json").output)
    assert [entry["name"] for entry in listed] == sorted(PUBLISHED)
    rows, _, way_on = ask("recipes").output.partition("\n\n")
    assert max(map(len, rows.splitlines())) <= 100 and "--genotype NAME --recipe NAME\n" in way_on


def test_a_recipe_file_of_ones_own_with_a_slip_is_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    text = (Path(__file__).parents[2] / "studies" / "recipes" / "autogan.toml").read_text()
    file.write_text(text.replace("ema = 0.999", "emma = 0.999"))
    found = ask("retrain", str(tmp_path / "new"), *SIZE_32, "--genotype", "dcgan", "--recipe", str(file))
    assert found.exit_code == 2 and "unknown key 'retrain.emma'; did you mean 'ema'" in found.output
