"""What extractors see is measured on sets that are what their titles say, against references they do not share."""

from __future__ import annotations

import json
from pathlib import Path

import extractor_sensitivity as sensitivity
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from autogan_ray.metrics.features import Features
from autogan_ray.training.data import ImageData
from tests.training.images.pictures import folder

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 3, 8, 8), dtype=np.uint8)


def mean_levels(images: torch.Tensor) -> Features:
    """The features of an image are its first pixels, so that a set can be read from them."""
    first = images.flatten(1)[:, :4].float()
    return Features(first, first)


@pytest.mark.parametrize("title", sensitivity.DISTURBANCES)
def test_a_disturbance_changes_images_and_not_their_form(title: str) -> None:
    changed = sensitivity.DISTURBANCES[title](IMAGES)
    assert changed.dtype == np.uint8 and changed.shape == IMAGES.shape and (changed != IMAGES).any()


def test_disturbances_are_of_the_strength_that_they_name() -> None:
    middle = np.full((50, 3, 16, 16), 128, np.uint8)
    assert sensitivity.noisy(middle, 8).std() == pytest.approx(8, rel=0.02)
    assert (sensitivity.blurred(middle, 1) == middle).all()
    dot = np.zeros((1, 1, 15, 15), np.uint8)
    dot[0, 0, 7, 7] = 255
    weights = sensitivity.blurred(dot, 1)[0, 0] / 255
    across = np.arange(15) - 7
    assert (weights.sum(0) * across**2).sum() == pytest.approx(1, rel=0.15)  # in 8 bits the tails are lost
    assert (sensitivity.grey(IMAGES)[:, :1] == sensitivity.grey(IMAGES)).all()
    assert sensitivity.grey(np.uint8([[[[100]], [[200]], [[50]]]]))[0, 0, 0, 0] == round(29.9 + 117.4 + 5.7)


def test_sets_of_images_are_disjoint_from_the_references_and_lack_what_they_name() -> None:
    data = ImageData.of("numbers", IMAGES.copy(), np.arange(200) % 4)
    order = np.random.default_rng(1).permutation(200)
    clean = mean_levels(torch.from_numpy(data.images[order]))
    sets = dict(sensitivity.feature_sets(mean_levels, clean, data, order, 80, 60, {"as it is": lambda images: images}))
    assert list(sets) == ["undisturbed", "1 of 4 classes lost", "2 of 4 classes lost", "half of the images, twice",
                          "as it is"]  # fmt: skip
    number = {tuple(row): index for index, row in enumerate(mean_levels(torch.from_numpy(IMAGES)).embedding.tolist())}
    found = {title: [number[tuple(row)] for row in rows.embedding.tolist()] for title, rows in sets.items()}
    assert all(not set(numbers) & set(order[:80]) for numbers in found.values())
    assert found["undisturbed"] == found["as it is"] == list(order[80:140])
    assert {index % 4 for index in found["1 of 4 classes lost"]} == {1, 2, 3}
    assert {index % 4 for index in found["2 of 4 classes lost"]} == {2, 3}
    assert len(found["1 of 4 classes lost"]) == 60 == len(set(found["1 of 4 classes lost"]))
    for draw in (0, 1):
        twice = sensitivity.part(torch.tensor(found["half of the images, twice"]), draw, 20)
        assert set(twice.unique(return_counts=True)[1].tolist()) == {2}


def test_draws_take_other_images_until_all_were_taken() -> None:
    features = torch.arange(10)
    assert [sensitivity.part(features, draw, 4).tolist() for draw in range(3)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]
    ]  # fmt: skip


def test_the_report_has_each_set_at_each_count_and_names_the_distance(tmp_path: Path) -> None:
    folder(tmp_path / "d", each=60)
    arguments = ["--set", f"data.source=imagefolder:{tmp_path / 'd'}", "--extractor", "classifier", "--images", "20"]
    arguments += ["--count", "20:2", "--count", "30:1", "--only", "grey"]
    found = CliRunner().invoke(sensitivity.main, [*arguments, "--json"])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)["rows"]
    assert [(row["set"], row["n"], len(row["distances"])) for row in rows[-2:]] == [("grey", 20, 2), ("grey", 30, 1)]
    printed = CliRunner().invoke(sensitivity.main, arguments).stdout
    assert "| N = 20, 2 draws | FD (classifier) | above undisturbed, FD (classifier) |" in printed
    assert printed.count("| grey |") == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "data.source=digits"], "wanted are 20000 labelled colour images"),
        (["--set", "data.source=nowhere"], "unknown data source"),
        (["--set", "data.sauce=digits"], "no setting 'data.sauce'"),
        (["--count", "1000"], "write N:DRAWS"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], message: str) -> None:
    found = CliRunner().invoke(sensitivity.main, arguments)
    assert found.exit_code == 2 and message in found.output, found.output
