"""How a network is computed: layout, precision, compilation. None of it changes what is computed, but for rounding."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.place import Place

CHANNELS_LAST_FROM = 16
"""Side in pixels from which channels-last pays on a CPU; smaller images are bound by the number of calls."""


Network = TypeVar("Network", Generator, Discriminator)


def configured(network: Network, compute: ComputeConfig, side: int) -> Network:
    """The network itself, set to compute as a study says; compiled by :func:`compile_forward` only.

    Args:
        side: of its images, in pixels.
    """
    last = side >= CHANNELS_LAST_FROM if compute.channels_last is None else compute.channels_last
    network.layout = torch.channels_last if last else torch.contiguous_format
    network.to(memory_format=network.layout)
    network.precision = torch.bfloat16 if compute.precision == "bf16" else None
    for module in network.modules():
        if isinstance(module, Place):
            module.merge = compute.merge
    return network


def compile_forward(*networks: nn.Module, backend: str = "inductor") -> None:
    """``torch.compile`` in place; on a GPU with CUDA graphs. The first step of each shape takes a minute or more.

    After copies have been made (the average of the weights): they stay as they are.

    Args:
        backend: of ``torch.compile``; ``aot_eager`` traces the same graphs, forward and backward, and compiles nothing.
    """
    for network in networks:
        on_gpu = next(network.parameters()).device.type == "cuda" and backend == "inductor"
        network.compile(dynamic=False, backend=backend, mode="reduce-overhead" if on_gpu else None)
