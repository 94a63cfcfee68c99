"""A used process gives a trial what a new one would."""

from __future__ import annotations

import gc
import random

import numpy as np
import torch

from autogan_ray.tune.fresh_process import freeze_imports, reset_process

CPU = torch.device("cpu")


def drawn(seed: int) -> list[float]:
    reset_process(seed, CPU, 1)
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_what_a_library_draws_depends_on_the_trial_alone() -> None:
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        fresh, other = drawn(3), drawn(4)
        random.random(), np.random.rand(), torch.rand(7)  # what a trial in between may draw
        torch.set_num_threads(2)
        torch.set_grad_enabled(False)
        assert drawn(3) == fresh and all(one != two for one, two in zip(fresh, other, strict=True))
        assert torch.get_num_threads() == 1 and torch.is_grad_enabled()
    finally:
        gc.unfreeze()
        random.setstate(kept[0]), np.random.set_state(kept[1]), torch.set_rng_state(kept[2])


def test_what_was_imported_is_collected_by_no_later_trial_and_what_a_trial_made_still_is() -> None:
    gc.unfreeze()
    try:
        freeze_imports()
        frozen = gc.get_freeze_count()
        ring: list[object] = []
        ring.append(ring)
        del ring
        freeze_imports()  # the next trial
        assert frozen > 10_000 and gc.get_freeze_count() == frozen and gc.collect() > 0
    finally:
        gc.unfreeze()
