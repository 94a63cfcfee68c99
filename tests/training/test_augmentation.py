"""Augmentations against loops over pixels, and gradients through them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autogan_ray.config.training import AUGMENTATIONS, GameConfig
from autogan_ray.training.augmentation import CHANGES, augmentation, color, cutout, mirrored, translation
from autogan_ray.training.game import Losses
from autogan_ray.training.objectives.registry import objective_named


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 40, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=rng(9), dtype=torch.float64) * 2 - 1


def test_every_augmentation_has_its_change_in_the_order_of_the_settings() -> None:
    assert tuple(CHANGES) == AUGMENTATIONS
    assert GameConfig(augment="cutout, color").augmentations == ("color", "cutout")


@pytest.mark.parametrize("wrong", ["colour", "color,shift"])
def test_an_unknown_augmentation_is_named_with_the_nearest(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"no augmentation .*(color|cutout)"):
        GameConfig(augment=wrong)


def test_translated_images_are_moved_whole_by_up_to_an_eighth_and_filled_with_grey() -> None:
    before = images()
    after, moves = translation(before, rng()), set()
    for old, new in zip(before, after, strict=True):
        fits = []
        for down in range(-2, 3):
            for right in range(-2, 3):
                wanted = torch.zeros_like(old)
                rows, columns = range(max(0, down), min(16, 16 + down)), range(max(0, right), min(16, 16 + right))
                for row in rows:
                    for column in columns:
                        wanted[:, row, column] = old[:, row - down, column - right]
                if torch.equal(wanted, new):
                    fits.append((down, right))
        assert len(fits) == 1
        moves.add(fits[0])
    assert len(moves) > 12 and {down for down, _ in moves} == {right for _, right in moves} == set(range(-2, 3))


def test_a_cut_out_is_one_square_of_half_the_side_anywhere_in_the_image() -> None:
    after = cutout(torch.ones(200, 3, 16, 16), rng())
    holes = after[:, 0] == 0
    assert torch.equal(after == 0, holes.unsqueeze(1).expand(-1, 3, -1, -1))
    heights, widths = holes.any(2).sum(1), holes.any(1).sum(1)
    assert torch.equal(holes.sum((1, 2)), heights * widths) and int(heights.max()) == int(widths.max()) == 8
    assert int(heights.min()) >= 4 and holes.any(0).all()


def test_colours_keep_the_place_of_pixels_and_change_level_saturation_and_contrast() -> None:
    before = images(1, 4).expand(500, -1, -1, -1)
    after = color(before, rng())
    level, grey = after.mean((1, 2, 3)), after.mean(1, keepdim=True)
    assert float((level - before.mean((1, 2, 3))).abs().max()) <= 0.5
    contrast = (grey - grey.mean((2, 3), keepdim=True)).flatten(1).norm(dim=1)
    before_grey = before.mean(1, keepdim=True)
    contrast = contrast / (before_grey - before_grey.mean((2, 3), keepdim=True)).flatten(1).norm(dim=1)
    assert 0.5 <= float(contrast.min()) < 0.55 and 1.45 < float(contrast.max()) <= 1.5
    saturation = (after - grey).flatten(1).norm(dim=1) / (before - before_grey).flatten(1).norm(dim=1) / contrast
    assert float(saturation.min()) < 0.05 and 1.95 < float(saturation.max()) <= 2.0


def test_half_of_the_images_are_mirrored() -> None:
    before = images(1000, 4)
    after = mirrored(before, rng())
    flipped = (after == before.flip(3)).flatten(1).all(1)
    assert torch.equal(after[~flipped], before[~flipped]) and 430 < int(flipped.sum()) < 570


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_reach_the_images_behind_an_augmentation(name: str) -> None:
    inputs = images(2, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: augmentation([name], rng(3))(x), inputs)


def test_real_images_and_fakes_are_changed_by_draws_from_one_stream_and_a_penalty_is_taken_before_the_change() -> None:
    seen: list[Tensor] = []

    def judge(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, fake = images(6, 8), images(6, 8)
    losses = Losses(objective_named("relativistic"), 0.5, augmentation(["cutout"], rng(1)))
    found = losses.of_d(judge, real, fake)
    assert len(seen) == 1 and len(seen[0]) == 12
    assert torch.equal(seen[0], augmentation(["cutout"], rng(1))(torch.cat([real, fake])))
    # The slope of a sum is 1 at each pixel that was not cut out.
    left = (augmentation(["cutout"], rng(1))(torch.ones(12, 3, 8, 8)) != 0).sum((1, 2, 3)).double()
    assert (found.total - found.loss).item() == pytest.approx(0.5 * (left[:6].mean() + left[6:].mean()).item())
