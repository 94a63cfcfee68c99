"""``generate``: one folder holds the images of one request, whole or to be completed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from autogan_ray.cli.main import main
from autogan_ray.retraining import sampling
from tests.cli.studies import retrained


@pytest.fixture
def generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(retrained(Path("study")))


def generate(generator: str, *more: str, num: int = 70) -> Result:
    return CliRunner().invoke(main, ["generate", generator, "--num", str(num), "--out", "im a'ges", *more])


def content() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path("im a'ges").iterdir()}


def test_the_folder_says_what_its_images_are_of_and_shows_the_first(generator: str) -> None:
    result = generate(generator)
    assert result.output == "70 images in im a'ges; the first of them in im a'ges-grid.png\n", result.output
    assert set(content()) == {*(f"{index:06}.png" for index in range(70)), "images.json"}
    about = json.loads(content()["images.json"])
    assert (about["num"], about["seed"], about["class"]) == (70, 0, None)
    assert about["generator"] == str(Path(generator).absolute())
    grid = np.asarray(Image.open("im a'ges-grid.png").convert("L"))
    assert grid.shape == (530, 530)  # 8 x 8 images of 8 px, eight times as large, 2 px between them
    for index in (0, 9, 63):
        top, left = 2 + 66 * (index // 8), 2 + 66 * (index % 8)
        shown = grid[top : top + 64 : 8, left : left + 64 : 8]
        assert (shown == np.asarray(Image.open(f"im a'ges/{index:06}.png"))).all()


def test_few_images_make_a_small_grid(generator: str) -> None:
    generate(generator, num=3)
    with Image.open("im a'ges-grid.png") as grid:
        assert grid.size == (3 * 66 + 2, 68)


def test_what_an_interrupt_left_is_completed_bit_for_bit(generator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(generator)
    whole = content()
    shutil.rmtree("im a'ges")
    write, written = sampling._write_png, []

    def interrupted(file: Path, image: np.ndarray) -> None:
        if len(written) == 30:
            file.with_name(f".{file.name}").write_bytes(b"half of a fi")
            raise KeyboardInterrupt
        written.append(file)
        write(file, image)

    monkeypatch.setattr(sampling, "_write_png", interrupted)
    Path("im a'ges-grid.png").unlink()
    assert generate(generator).exit_code == 130 and not Path("im a'ges-grid.png").exists()
    monkeypatch.setattr(sampling, "_write_png", write)
    assert generate(generator).output.startswith("70 images in im a'ges, 30 were there;")
    assert content() == whole
    assert generate(generator).output.startswith("70 images in im a'ges, all of them were there;")
    assert content() == whole


@pytest.mark.parametrize(
    ("more", "difference"),
    [(["--seed", "1"], "seed: 0 -> 1"), (["--num", "71"], "num: 70 -> 71")],
)
def test_images_of_another_request_are_never_mixed(generator: str, more: list[str], difference: str) -> None:
    generate(generator)
    before = content()
    result = generate(generator, *more)
    assert result.exit_code == 2 and difference in result.output and "choose another --out" in result.output
    assert content() == before


def test_images_of_another_generator_are_never_mixed_whatever_its_folder_is_called(generator: str) -> None:
    generate(generator)
    before = content()
    shutil.rmtree(generator)
    retrained(Path("study"), seed=1).rename(generator)
    result = generate(generator)
    assert result.exit_code == 2 and "generator_sha256: " in result.output and content() == before
    moved = Path(generator).rename("moved")
    assert generate(str(moved)).exit_code == 2


def test_a_generator_that_was_moved_is_the_same(generator: str) -> None:
    generate(generator)
    moved = Path(generator).rename("moved")
    assert ", all of them were there" in generate(str(moved)).output


def test_a_folder_with_anything_else_is_refused(generator: str) -> None:
    Path("im a'ges").mkdir()
    Path("im a'ges/holiday.png").write_bytes(b"precious")
    result = generate(generator)
    assert result.exit_code == 2 and "is not empty and does not say whose images it holds" in result.output
    assert set(content()) == {"holiday.png"}
    Path("im a'ges/images.json").write_text("[")
    assert "images.json is damaged" in generate(generator).output and set(content()) == {"holiday.png", "images.json"}
