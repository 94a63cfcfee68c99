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


def test_random_numbers_of_a_library_depend_on_the_trials_seed_alone() -> None:
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


def test_garbage_collection_skips_imported_objects_and_still_takes_those_of_a_trial() -> None:
    gc.unfreeze()
    try:
        freeze_imports()
        frozen = gc.get_freeze_count()
        ring: list[object] = []
        ring.append(ring)
        del ring
        freeze_imports()  # the next trial
        # Frozen objects still die when nobody refers to them any more, so fewer may be left.
        assert 10_000 < gc.get_freeze_count() <= frozen and gc.collect() > 0
    finally:
        gc.unfreeze()
