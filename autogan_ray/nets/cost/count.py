"""What a network costs: parameters and multiply-accumulates of one image."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autogan_ray.nets.attention import SelfAttention
from autogan_ray.nets.compute import computed_plainly, in_mode
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.space import SearchSpace


def count_parameters(network: nn.Module) -> int:
    """Returns the number of trainable numbers; buffers and logits are none."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, example: Tensor, **more: Tensor) -> int:
    """Returns the multiply-accumulates of one forward pass in evaluation mode.

    They are those of convolutions, linear layers and attention in the network as written, as papers count; what is
    computed may be less (:mod:`autogan_ray.nets.fast`). But for what finds spectral norms, the numbers are half of
    those of torch's ``FlopCounterMode``, at a tenth of its time. Hand-made networks, which multiply elsewhere too, go
    through that counter itself.

    Args:
        example: a batch of one input, on the network's device; ``more``: what else the network takes by name.
    """
    if isinstance(network, Generator | Discriminator) and network.whole is not None:
        # Views of weights without gradients would stop the counter.
        with in_mode(network, training=False), FlopCounterMode(display=False) as counter:
            network(example, **more)
        return counter.get_total_flops() // 2
    return sum(layer_macs(network, example, **more).values())


def layer_macs(network: nn.Module, example: Tensor, **more: Tensor) -> dict[str, int]:
    """Returns the multiply-accumulates of each convolution and linear layer that runs, by its name in the network.

    An attention stands there by its own name with its two matrix products, beside its convolutions.
    """
    macs: dict[str, int] = {}

    def count(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        macs[name] = macs.get(name, 0) + _own_macs(module, inputs[0], output)

    hooks = [
        module.register_forward_hook(partial(count, name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | SelfAttention)
    ]
    try:
        with torch.no_grad(), computed_plainly(network), in_mode(network, training=False):
            network(example, **more)
    finally:
        for hook in hooks:
            hook.remove()
    return macs


def _own_macs(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Returns what a module multiplies itself, apart from the modules in it."""
    if isinstance(module, SelfAttention):
        return module.product_macs(x)
    weight = module.weight
    assert isinstance(weight, Tensor)
    reading = x if isinstance(module, nn.ConvTranspose2d) else output
    return reading.numel() * weight.shape[1:].numel()


def genotype_cost(space: SearchSpace, shape: Shape, genotype: Genotype) -> dict[str, int]:
    """``params_g``, ``params_d``, ``macs_g``, ``macs_d`` of the derived networks, for one image.

    Computed on the meta device: nothing is allocated and no random number drawn, whatever the width.
    """
    with torch.device("meta"):
        generator = Generator(space, shape, genotype.choices)
        discriminator = Discriminator(space, shape, genotype.choices)
        z = torch.empty(1, shape.latent_dim + len(shape.class_shares))
        image = torch.empty(1, shape.image_channels, shape.image_size, shape.image_size)
        classes = {"classes": torch.empty(1, len(shape.class_shares))} if discriminator.takes_classes else {}
        return {
            "params_g": count_parameters(generator),
            "params_d": count_parameters(discriminator),
            "macs_g": count_macs(generator, z),
            "macs_d": count_macs(discriminator, image, **classes),
        }
