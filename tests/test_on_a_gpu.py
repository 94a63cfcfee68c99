"""On a real GPU, where there is one: searches and trainings have the numbers of the CPU, as far as rounding lets them.

What can be known without a GPU is in ``test_devices.py``: there the results are equal, as the arithmetic is the CPU's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from gpu_stages.sizes import TOY
from gpu_stages.subjects import Form, training_loop

from autogan_ray.spaces.published import load_genotype
from autogan_ray.training.memory import peak_memory_mib
from tests.search.toys import noise_images, search_of

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]
DATA = noise_images()
FORMS: dict[str, dict[str, Any]] = {
    "mixture": {"relaxation": "gumbel"},
    "plain": {"relaxation": "gumbel", "compute": {"merge": False}},
    "one path": {"relaxation": "gumbel_hard"},
}


@pytest.fixture(autouse=True)
def strict_float32() -> Iterator[None]:
    """No TF32, which rounds to three digits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.mark.parametrize("form", FORMS)
def test_a_search_begins_as_on_the_cpu(form: str) -> None:
    here, there = (
        next(search_of(DATA, "adversarial", device=name, **FORMS[form]).records()) for name in ("cpu", "cuda")
    )
    for name in ("loss_g", "loss_d", "d_real", "d_fake", "fid"):
        got, want = getattr(there, name), getattr(here, name)
        assert math.isclose(got, want, rel_tol=1e-2, abs_tol=1e-2), (name, got, want)


@pytest.mark.parametrize("form", FORMS)
def test_bfloat16_is_near_and_finite(form: str) -> None:
    changes = FORMS[form] | {"compute": FORMS[form].get("compute", {}) | {"precision": "bf16"}}
    here = next(search_of(DATA, "adversarial", **FORMS[form]).records())
    there = next(search_of(DATA, "adversarial", device="cuda", **changes).records())
    assert not there.diverged and peak_memory_mib(torch.device("cuda")) > 0
    for name in ("loss_d", "d_real"):
        got, want = getattr(there, name), getattr(here, name)
        assert math.isclose(got, want, rel_tol=0.1, abs_tol=0.1), (name, got, want)


def test_a_training_is_that_of_the_cpu() -> None:
    form, genotype = Form("fp32"), load_genotype("autogan-a")
    loops = [training_loop(replace(TOY, device=name), genotype, form) for name in ("cpu", "cuda")]
    for loop in loops:
        loop.step(), loop.step()
    here, there = (loop.ema.network.state_dict() for loop in loops)
    for name, value in here.items():
        torch.testing.assert_close(there[name].cpu(), value, rtol=1e-2, atol=1e-3, msg=name)
