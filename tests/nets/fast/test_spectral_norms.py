"""Spectral norms are those of torch, layer by layer and computed together."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from autogan_ray.nets.fast.spectral_norms import computed_together
from autogan_ray.nets.ops import conv
from autogan_ray.nets.spectral import norm_of, original, sigmas, spectral, stacked


@pytest.mark.parametrize("make", [lambda: conv(3, 5, 3, False), lambda: nn.Linear(7, 1)], ids=["conv", "linear"])
def test_spectral_norms_are_those_of_torch(make) -> None:
    torch.manual_seed(0)
    ours = spectral(make())
    torch.manual_seed(0)
    theirs = spectral_norm(make())
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for _ in range(3):
        torch.testing.assert_close(ours.weight, theirs.weight)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours.weight, theirs.weight)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


@pytest.mark.parametrize("last", [True, False])
def test_norms_of_stacked_weights_are_those_of_each_layer_by_itself(last: bool) -> None:
    """Layers of three shapes, those of one in evaluation mode; values, gradients, singular vectors."""
    layers = [conv(3, 5, kernel, True).double() for kernel in (3, 1, 3, 3, 1)]
    layers += [spectral(nn.Linear(9, 4)).double()]
    for number, layer in enumerate(layers):
        if last and isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)
        layer.train(number not in (1, 4))
    alone = copy.deepcopy(layers)

    for _ in range(2):
        parts = [[layers[number] for number in alike] for alike in ((0, 2, 3), (1, 4), (5,))]
        together = torch.cat(
            [sigmas([norm_of(la) for la in part], stacked([original(la) for la in part], last)) for part in parts]
        )[[0, 3, 1, 2, 4, 5]].reciprocal()
        single = torch.stack([(layer.weight / original(layer)).flatten()[0] for layer in alone])
        torch.testing.assert_close(together, single)
        for those, norms in ((layers, together), (alone, single)):
            weights = [original(layer) for layer in those]
            (norms * torch.arange(1.0, 7.0, dtype=torch.float64)).sum().backward(inputs=weights)
    for layer, other in zip(layers, alone, strict=True):
        torch.testing.assert_close(layer.state_dict(), other.state_dict())
        torch.testing.assert_close(original(layer).grad, original(other).grad, rtol=1e-6, atol=1e-8)


def test_layers_whose_norms_are_computed_together_are_those_called_by_themselves() -> None:
    layers = nn.ModuleList([conv(3, 5, kernel, True).double() for kernel in (3, 1, 3)])
    layers.to(memory_format=torch.channels_last)
    alone, x = copy.deepcopy(layers), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for training in (True, False, True):
        layers.train(training), alone.train(training)
        with computed_together([*layers]):
            together = [layer(x) for layer in layers]
            again = layers[1](x)  # a layer that is called twice computes its norm anew
        single = [layer(x) for layer in (*alone, alone[1])]
        for output, other in zip((*together, again), single, strict=True):
            torch.testing.assert_close(output, other)
        sum(output.square().mean() for output in (*together, again)).backward()
        sum(output.square().mean() for output in single).backward()
    for layer, other in zip(layers, alone, strict=True):
        torch.testing.assert_close(layer.state_dict(), other.state_dict())
        torch.testing.assert_close(original(layer).grad, original(other).grad)
    with pytest.raises(ZeroDivisionError), computed_together([*layers]):
        raise ZeroDivisionError
    assert all(norm_of(layer).given is None for layer in layers)
