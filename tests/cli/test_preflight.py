"""A dry run and doctor look at what a run will look at, and a run refuses before Ray starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autogan_ray.cli.main import main
from autogan_ray.spaces.load import load_space
from autogan_ray.tune.cluster import check_start
from tests.training.images.pictures import encoded, folder, picture, table

CPU = ("--set", "search.batch_size=4", "--set", "metrics.n_real=8")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_dry_run_tells_what_the_data_are_and_where_they_lie() -> None:
    folder(Path("d/train"), ("cat", "dog"), 8), folder(Path("d/test"), ("cat", "dog"), 1)
    result = ask("run", "smoke", "--dry-run", "--set", "data.source=imagefolder:d", *CPU)
    assert result.exit_code == 0, result.output
    line = next(line for line in result.output.splitlines() if line.startswith("data "))
    there = f"imagefolder:{Path.cwd()}/d"
    told = "16 images of 16x16 px, colour, 2 classes; 16 of them looked at; left out: 2 of the split test"
    assert line == f"data       {there}: {told}"
    assert f'source = "{there}"' in result.output


def test_a_dry_run_ends_with_1_where_something_is_missing() -> None:
    result = ask("run", "smoke", "--dry-run", "--set", "data.source=imagefolder:nowhere")
    assert result.exit_code == 1 and "nowhere does not exist" in result.output


@pytest.mark.parametrize("verb", [("run", "smoke", "--dry-run"), ("run", "smoke"), ("doctor", "smoke")])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["search.batch_size=9"], "16 images, each half of it has 8: fewer than one batch of 9"),
        (["search.batch_size=4", "metrics.n_real=17"], "metrics.n_real = 17, but data"),
        (["search.batch_size=4", "metrics.n_real=8", "data.label_column=none"], "labels, and this data set has none"),
        (["search.batch_size=4", "metrics.n_real=8", "data.label_column=one"], "labels, and this data set has 1 class"),
        (["search.batch_size=4", "metrics.n_real=8", "data.label_column=size"], "0.5, which is no class"),
        (["search.batch_size=4", "metrics.n_real=8", "data.image_column=broken"], "row 15 cannot be decoded"),
    ],
)  # fmt: skip
def test_data_that_cannot_serve_are_refused_before_ray_starts(
    verb: tuple[str, ...], settings: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autogan_ray.tune.cluster.cluster", lambda *_: pytest.fail("Ray would start"))
    images = [encoded(picture(index)) for index in range(16)]
    broken = [*images[:-1], b"junk"]
    table(Path("t.parquet"), [0, 1] * 8, images, one=["x"] * 16, size=[0.5] * 16, broken=broken)
    result = ask(*verb, *(part for text in ["data.source=parquet:t.parquet", *settings] for part in ("--set", text)))
    assert result.exit_code == (1 if verb[0] == "doctor" else 2), result.output
    assert message in result.output and "Traceback" not in result.output
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.split=tset"], "data.split = 'tset' with data.source = 'digits': that source does not read it; leave it "
                              "out, or take 'imagefolder:DIR' or 'parquet:FILE_OR_DIR'"),
        (["data.source=cifar10", "data.label_column=none"], "that source does not read it; leave it out, or take 'par"),
        (["data.source=imagefolder:d", "data.image_column=image"], "that source does not read it"),
        (["data.source=imagefolder:d", "data.root=/data"], "leave it out, or take 'cifar10' or 'stl10'"),
        (["data.source=parquet:t.parquet", "data.split=train"], "a single file has no splits; leave it out, or give"),
        (["data.source=imagefolder:nowhere", "data.split=tset"], "'tset' is no split; did you mean 'test'"),
        (["metrics.weights=w.pth"], "metrics.weights = 'w.pth' with metrics.extractor = 'classifier': that extractor "
                                    "does not read it; leave it out, or take 'inception-v3-compat' or 'efficientnet"),
        (["metrics.sha256='67'"], "metrics.sha256 = '67' with metrics.extractor = 'classifier': that extractor"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", [("run", "smoke", "--dry-run"), ("retrain", "new", "--study", "smoke")])
def test_a_setting_that_the_source_or_the_extractor_does_not_read_is_refused(
    verb: tuple[str, ...], settings: list[str], message: str
) -> None:
    folder(Path("d"), ("cat", "dog"), 8), table(Path("t.parquet"), [0, 1] * 8)
    result = ask(*verb, *(part for text in settings for part in ("--set", text)))
    assert result.exit_code == 2 and message in result.output.replace(f"{Path.cwd()}/", ""), result.output
    assert not Path("results").exists() and not Path("new").exists()


SEARCHED_D = """
schema = 1
[discriminator]
kind = "dag"
norm = "NORM"
[discriminator.choices]
first = ["conv_3x3", "sep_conv_3x3"]
down = ["avg_pool", "down_conv_3x3"]
[discriminator.cell]
nodes = ["a", "out"]
output = "out"
edges = [
    { name = "e0", from = "in", to = "a", choices = "first" },
    { name = "d0", from = "a", to = "out", choices = "down" },
]
"""
RELATIVISTIC = (
    "objective = 'relativistic' with gamma = 1.0: the discriminator of space 'autogan/./d.toml' has batch norms"
)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autogan_ray.tune.cluster.cluster", lambda *_: pytest.fail("Ray would start"))


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize(
    ("norm", "settings", "message"),
    [
        ("batch", ["search.objective=relativistic"], f'search.{RELATIVISTIC} (norm = "batch")'),
        ("none", ["search.objective=relativistic"], f"search.{RELATIVISTIC} (sep_conv_3x3)"),
        ("none", ["search.gamma=0", "search.gamma_end=0.5"], "'hinge' with gamma = 0.0 and gamma_end = 0.5: the disc"),
        ("batch", ["search.gamma=0", "search.gamma_end=0.5"], "or set search.gamma = 0 and leave gamma_end out"),
        ("batch", ["sweep.search.objective={choice=['hinge', 'relativistic']}"], 'write norm = "spectral" into the sp'),
    ],
)  # fmt: skip
def test_a_search_takes_no_penalty_of_a_discriminator_with_batch_norms(
    norm: str, settings: list[str], message: str, dry: list[str], no_ray: None
) -> None:
    Path("d.toml").write_text(SEARCHED_D.replace("NORM", norm))
    result = ask("run", "smoke", *dry, "--space", "autogan/./d.toml", *(p for s in settings for p in ("--set", s)))
    assert result.exit_code == 2 and message in result.output, result.output
    assert not Path("results").exists()


def test_a_retraining_takes_no_penalty_of_a_discriminator_with_batch_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("d.toml").write_text(SEARCHED_D.replace("NORM", "none"))
    space = load_space("autogan/./d.toml")
    choices = dict(space.random(8, 0).choices) | {f"d.cell{cell}.e0": "conv_3x3" for cell in (1, 2)}
    Path("plain.json").write_text(space.genotype(choices, 8).to_json())
    Path("g.json").write_text(space.genotype(choices | {"d.cell2.e0": "sep_conv_3x3"}, 8).to_json())
    asked = ["retrain", "new", "--study", "smoke", "--set", "retrain.objective=relativistic", "--genotype"]
    result = ask(*asked, "g.json")
    assert result.exit_code == 2 and f"retrain.{RELATIVISTIC} (sep_conv_3x3)" in result.output, result.output
    assert 'set retrain.discriminator = "fixed", or set retrain.gamma = 0\n' in result.output
    assert not Path("new").exists()
    monkeypatch.setattr("autogan_ray.cli.retrain._train", lambda *_: 0)
    for taken in (["plain.json"], ["g.json", "--set", "retrain.discriminator=fixed"]):
        result = ask(*asked, *taken)
        assert result.exit_code == 0, result.output
        shutil.rmtree("new")


@pytest.mark.parametrize(
    ("norm", "settings"),
    [
        ("spectral", ["search.objective=relativistic"]),
        ("batch", ["search.objective=relativistic", "search.gamma=0"]),
        ("batch", ["search.objective=hinge"]),
    ],
)
def test_a_search_without_penalty_or_without_batch_norms_is_taken(norm: str, settings: list[str]) -> None:
    Path("d.toml").write_text(SEARCHED_D.replace("NORM", norm))
    result = ask(
        "run", "smoke", "--dry-run", "--space", "autogan/./d.toml", *(p for s in settings for p in ("--set", s))
    )
    assert result.exit_code == 0, result.output


def test_doctor_tells_what_is_there() -> None:
    result = ask("doctor", "smoke")
    assert result.exit_code == 0, result.output
    assert "digits: 600 images of 8x8 px, grey, 10 classes" in result.output and "missing    nothing" in result.output


def test_doctor_tells_of_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(Path.cwd())._replace(free=2**30)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    result = ask("doctor", "smoke")
    assert result.exit_code == 1 and "disk: 1.0 GiB free" in result.output


def test_doctor_tells_of_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autogan_ray.cli.doctor.usable_memory_gib", lambda: 2.5)
    result = ask("doctor", "smoke", "--set", "tune.max_concurrent=2")
    assert result.exit_code == 1 and "memory: 2.5 GiB may be used; 2 trials side by side" in result.output
    assert "want 3.0; set tune.max_concurrent" in result.output
    assert ask("doctor", "smoke", "--set", "tune.max_concurrent=1").exit_code == 0


def test_a_temporary_folder_too_long_for_rays_sockets_is_refused_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_start()
    for variable in ("TMPDIR", "RAY_TMPDIR"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(tmp_path / ("n" * 90)))
            result = ask("run", "smoke")
            assert result.exit_code == 2 and f"Error: {variable} = " in result.output
            assert "set RAY_TMPDIR=/tmp" in result.output
            patch.setenv("RAY_TMPDIR", "/tmp")
            check_start()


def test_a_home_that_cannot_keep_rays_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    result = ask("run", "smoke", "--dry-run")
    assert result.exit_code == 2 and "HOME (where Ray keeps its token): nothing can be written" in result.output
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert ask("run", "smoke", "--dry-run").exit_code == 0


def test_slots_are_the_processors_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert "0 GPUs, 1 trials side by side" in ask("run", "smoke", "--dry-run").output
