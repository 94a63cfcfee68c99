"""Which images weights and architectures learn from."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from autogan_ray.config.sections import SearchConfig
from autogan_ray.search.halves import Halves
from autogan_ray.search.loop import SearchLoop
from tests.search.toys import assert_same, noise_images, search_of, through_a_file

EPOCH = 60


def halves_of(kind: Literal["fixed", "per_batch"], images: int = EPOCH, batch_size: int = 6, seed: int = 3) -> Halves:
    return Halves(noise_images(images), SearchConfig(batch_size=batch_size, halves=kind), seed)


def seen(halves: Halves, part: str, steps: int) -> list[int]:
    """The images that a number of steps hand to a part, in their order."""
    return [int(i) for step in range(steps) for i in getattr(halves, part)(step * 6)]


def test_fixed_halves_share_no_image_and_leave_none_out() -> None:
    halves = halves_of("fixed")
    weights, held_out = set(seen(halves, "training", 100)), set(seen(halves, "held_out", 100))
    assert not weights & held_out and len(weights | held_out) == EPOCH
    further = {int(i) for step in range(50) for index in range(3) for i in halves.further(step * 6, index)}
    assert further == held_out and set(halves.for_weights) == weights


def test_cut_batches_share_no_image_and_both_parts_see_all_images() -> None:
    halves = halves_of("per_batch")
    for step in range(40):
        weights, held_out = halves.training(step * 6), halves.held_out(step * 6)
        assert len(weights) == len(held_out) == 6
        assert not set(weights) & set(held_out), "an epoch of 60 holds five whole cuts of 12"
    assert set(seen(halves, "training", 40)) == set(seen(halves, "held_out", 40)) == set(range(EPOCH))
    assert set(halves.for_weights) == set(range(EPOCH))


def test_an_epoch_of_cut_batches_shows_each_image_once() -> None:
    halves = halves_of("per_batch")
    for epoch in range(3):
        cuts = [
            part(step * 6) for step in range(5 * epoch, 5 * epoch + 5) for part in (halves.training, halves.held_out)
        ]
        assert sorted(np.concatenate(cuts)) == list(range(EPOCH))


@pytest.mark.parametrize("method", ["adversarial", "duality_gap", "random", "reinforce"])
def test_a_search_over_cut_batches_goes_on_from_a_checkpoint_bit_for_bit(method: str) -> None:
    def search() -> SearchLoop:
        return search_of(noise_images(), method, halves="per_batch", batch_size_g=7, kimg=0.04, evaluations=2)

    whole = search()
    assert len(list(whole.records())) == 2
    begun, resumed = search(), search()
    next(begun.records())
    resumed.load_state_dict(through_a_file(begun.state_dict()))
    assert len(list(resumed.records())) == 1
    assert_same(whole.state_dict(), resumed.state_dict())


@pytest.mark.parametrize("method, images_of_a_step", [
    # D's logits, D's weights, G's logits, G's weights
    ("adversarial", [4, 4, 9, 9]),
    # each gap trains both opponents once and judges two networks
    ("duality_gap", [4, 9, 4, 4, 4, 4, 9, 9, 9, 9]),
    ("random", [4, 9]),
])  # fmt: skip
def test_g_makes_its_own_number_of_images_in_its_own_steps(method: str, images_of_a_step: list[int]) -> None:
    loop = search_of(noise_images(), method, batch_size_g=9, warmup=0.0, gap_inner_steps=1)
    made: list[int] = []
    hook = torch.nn.modules.module.register_module_forward_hook(
        lambda module, args, output: made.append(len(args[0])) if type(module) is type(loop.net.generator) else None
    )
    loop.step()
    hook.remove()
    assert made == images_of_a_step


def test_g_makes_as_many_images_as_d_sees_unless_it_is_told() -> None:
    assert SearchConfig(batch_size=12).latents_g == 12 and SearchConfig(batch_size=12, batch_size_g=24).latents_g == 24
