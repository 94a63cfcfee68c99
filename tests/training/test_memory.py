"""Peak memory that starts anew, as a process that runs several trials needs it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from autogan_ray.training.memory import forget_peak, peak_memory_mib

CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets a process's peak")
def test_a_peak_is_seen_and_forgotten_with_what_was_freed() -> None:
    forget_peak(CPU)
    before = peak_memory_mib(CPU)
    block = np.ones(400 * 2**17)  # 400 MiB
    high = peak_memory_mib(CPU)
    assert high >= before + 390
    del block
    assert peak_memory_mib(CPU) >= high - 8  # a peak, not what is there now; the kernel counts in batches
    assert forget_peak(CPU)
    assert peak_memory_mib(CPU) <= high - 350


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets a process's peak")
def test_a_cycle_that_nothing_reaches_any_more_is_given_back_before_the_next_peak() -> None:
    class Loop:
        def __init__(self) -> None:
            self.itself, self.weights = self, np.ones(200 * 2**17)

    forget_peak(CPU)
    before = peak_memory_mib(CPU)
    Loop()
    forget_peak(CPU)
    assert peak_memory_mib(CPU) < before + 50


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_peak_of_the_gpu_is_forgotten_with_what_was_freed() -> None:
    device = torch.device("cuda")
    block = torch.ones(2**26, device=device)
    assert peak_memory_mib(device) >= 256
    del block
    assert forget_peak(device) and peak_memory_mib(device) < 256
