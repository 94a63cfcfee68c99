"""The project's networks with random weights, and how far they and the reference are apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.relaxation import Selection
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from tests.reference import adversarialnas, alphagan, autogan, eagan
from tests.reference.common import Network

LATENT = 12
BATCH = 2
OUTPUT_TOLERANCE = 1e-9
GRADIENT_TOLERANCE = 1e-8
"""Relative to the largest value of the same gradient where that is above 1."""


@dataclass(frozen=True)
class Family:
    """A published network: the project's space that holds it, which of the two it is, and the reference's function."""

    space: str
    part: str
    forward: Callable[[Network, Tensor, int, int], Tensor]
    """Of the network, its input, the image size and the number of cells."""


def _alphagan(net: Network, z: Tensor, size: int, cells: int) -> Tensor:
    affine = any(isinstance(choice, str) for choice in net.selection.values())
    return alphagan.generator(net, z, size, cells, affine=affine)


FAMILIES = {
    "autogan G": Family("autogan", "g", autogan.generator),
    "adversarialnas G": Family("adversarialnas", "g", adversarialnas.generator),
    "alphagan G": Family("alphagan", "g", _alphagan),
    "eagan G": Family("eagan", "g", eagan.generator),
    "autogan D": Family("autogan", "d", lambda net, x, *_: autogan.discriminator(net, x)),
    "adversarialnas D": Family(
        "adversarialnas", "d", lambda net, x, size, cells: adversarialnas.discriminator(net, x, cells)
    ),
    "eagan D": Family("eagan", "d", lambda net, x, *_: eagan.discriminator(net, x)),
}
SEARCHED = tuple(name for name in FAMILIES if name != "autogan D")


@cache
def space_of(family: str) -> SearchSpace:
    return load_space(FAMILIES[family].space)


def cells_of(selection: Mapping[str, object], part: str) -> int:
    """The highest cell that the decisions of one of the two networks name."""
    return max((int(name.split(".")[1].removeprefix("cell")) for name in selection if name[0] == part), default=0)


@dataclass
class Case:
    """One of the project's networks in double precision, with an input of its own."""

    family: str
    size: int
    network: nn.Module
    example: Tensor
    rng: torch.Generator

    def reference(self, selection: Mapping[str, str | Tensor]) -> tuple[Tensor, Network]:
        """The reference's output on the project's own weights, and what it read."""
        tensors = dict(self.network.named_parameters()) | dict(self.network.named_buffers())
        net = Network(tensors, selection, training=self.network.training)
        family = FAMILIES[self.family]
        return family.forward(net, self.example, self.size, cells_of(selection, family.part)), net


def build(
    family: str, size: int, seed: int, choices: Mapping[str, str] | None, space: SearchSpace | None = None
) -> Case:
    """A derived network or, without choices, a supernet, of the family's space where none is given.

    Widths and the image's channels follow from the seed.
    """
    rng = torch.Generator().manual_seed(seed)
    image_channels = 1 if size == 8 or seed % 5 == 0 else 3
    shape = Shape(size, image_channels, channels_g=5 + seed % 2, channels_d=5 + seed % 2, latent_dim=LATENT)
    generator = FAMILIES[family].part == "g"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = (Generator if generator else Discriminator)(space or space_of(family), shape, choices).double().eval()
    randomise(network, rng)
    extent = (BATCH, LATENT) if generator else (BATCH, image_channels, size, size)
    return Case(family, size, network, _normal(extent, rng).requires_grad_(), rng)


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def randomise(network: nn.Module, rng: torch.Generator) -> None:
    """No bias, norm or stored vector stays at its initial value, so none is left out unseen."""
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            noise = _normal(tuple(value.shape), rng)
            if name.endswith("running_var"):
                value.copy_((noise * 0.4).exp())
            elif name.endswith(("_u", "_v")):  # off the singular vectors, yet of length 1
                moved = value + noise * 0.2 / len(value) ** 0.5
                value.copy_(moved / moved.norm())
            elif name.endswith("running_mean"):
                value.copy_(noise * 0.4)
            elif name.endswith("bias"):  # rather positive, so that few ReLUs are dead
                value.copy_(0.2 + noise * 0.4)
            elif name.endswith("weight") and value.ndim == 1:
                value.copy_(1 + noise * 0.3)
            elif value.is_floating_point():
                value.mul_(1 + noise * 0.3)
            if name == "to_image.2.weight":  # tanh would hide what is far beyond 1
                value.mul_(0.25)


def random_vectors(case: Case) -> dict[str, Tensor]:
    """For each decision of the network positive weights that add up to 1."""
    space, part = space_of(case.family), FAMILIES[case.family].part
    decisions = space.decisions(case.size, "g") if part == "g" else space.decisions(case.size, "d")
    return {
        decision.name: torch.softmax(_normal((len(decision.choices),), case.rng) * 1.5, 0).requires_grad_()
        for decision in decisions
    }


@dataclass
class Distance:
    """The largest differences: of the outputs, and of the gradients, scaled."""

    output: float
    gradient: float
    sensitivity: float
    """The largest gradient with respect to the input; at zero a comparison would say nothing."""

    def check(self) -> None:
        assert self.sensitivity > 0
        assert self.output <= OUTPUT_TOLERANCE, f"outputs differ by {self.output}"
        assert self.gradient <= GRADIENT_TOLERANCE, f"gradients differ by {self.gradient}"


def outputs(case: Case, selection: Selection) -> list[Tensor]:
    """The network's output in its plain and in its fast form, from the same buffers; they move once."""
    before = [buffer.clone() for buffer in case.network.buffers()]
    found = []
    for merge in (False, True):
        configured(case.network, ComputeConfig(merge=merge, channels_last=False), case.size)
        for buffer, value in zip(case.network.buffers(), before, strict=True):
            buffer.data.copy_(value)  # unseen by autograd: no backward pass reads these
        found.append(case.network(case.example, selection))
    return found


def distance(case: Case, theirs: Sequence[Tensor], ours: Tensor, leaves: Mapping[str, Tensor]) -> Distance:
    """Between the project's outputs and the reference's, and between the gradients of one random projection of each."""
    ours = ours.reshape(theirs[0].shape)
    projection = _normal(tuple(ours.shape), case.rng)
    inputs = [case.example, *case.network.parameters(), *leaves.values()]
    wanted = _gradients(ours, projection, inputs)
    gap = gradient_gap = 0.0
    for output in theirs:
        gap = max(gap, (output - ours).abs().max().item())
        for mine, other in zip(_gradients(output, projection, inputs), wanted, strict=True):
            gradient_gap = max(gradient_gap, ((mine - other).abs().max() / other.abs().max().clamp(min=1)).item())
    return Distance(gap, gradient_gap, wanted[0].abs().max().item())


def _gradients(output: Tensor, projection: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Zero where the output does not depend on an input."""
    found = torch.autograd.grad((output * projection).sum(), inputs, allow_unused=True)
    return [torch.zeros_like(x) if grad is None else grad for x, grad in zip(inputs, found, strict=True)]


def unread(case: Case, net: Network) -> set[str]:
    """Names that the project's network holds and the reference has no use for."""
    return {name for name in case.network.state_dict() if not name.endswith("num_batches_tracked")} - net.read
