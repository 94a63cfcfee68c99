"""How a network is computed: fast or plain form, layout, precision, compilation.

None of it changes what is computed, but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.fast.forward import FastCells, FastMixedOp
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.mixed_op import MixedOp

CHANNELS_LAST_FROM = 16
"""Side in pixels from which channels-last pays on a CPU; smaller images are bound by the number of calls."""


Network = TypeVar("Network", Generator, Discriminator)


def configured(network: Network, compute: ComputeConfig, side: int) -> Network:
    """Sets a network to compute as a study says; compiling is left to :func:`compile_forward`.

    Args:
        side: of its images, in pixels.

    Returns:
        The network itself.
    """
    last = side >= CHANNELS_LAST_FROM if compute.channels_last is None else compute.channels_last
    network.layout = torch.channels_last if last else torch.contiguous_format
    network.to(memory_format=network.layout)
    network.precision = torch.bfloat16 if compute.precision == "bf16" else None
    network.fast = FastCells(network) if compute.merge and network.whole is None else None
    for module in network.modules():
        if isinstance(module, MixedOp):
            module.fast = FastMixedOp(module) if compute.merge else None
    return network


@contextmanager
def in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Inside, the network is in training mode, or in evaluation mode; afterwards it is in the mode that it was in."""
    before = network.training
    network.train(training)
    try:
        yield
    finally:
        network.train(before)


@contextmanager
def computed_plainly(network: nn.Module) -> Iterator[None]:
    """Inside, every operation is a call of its own, as papers count, whatever the network is set to."""
    parts = [part for part in network.modules() if isinstance(part, Generator | Discriminator | MixedOp)]
    before = [part.fast for part in parts]
    for part in parts:
        part.fast = None
    try:
        yield
    finally:
        for part, fast in zip(parts, before, strict=True):
            part.fast = fast


def compile_forward(*networks: nn.Module, backend: str = "inductor") -> None:
    """``torch.compile`` in place; on a GPU with CUDA graphs. The first step of each shape takes a minute or more.

    After copies have been made (the average of the weights): they stay as they are.

    Args:
        backend: of ``torch.compile``; ``aot_eager`` traces the same graphs, forward and backward, and compiles nothing.
    """
    for network in networks:
        on_gpu = next(network.parameters()).device.type == "cuda" and backend == "inductor"
        network.compile(dynamic=False, backend=backend, mode="reduce-overhead" if on_gpu else None)
