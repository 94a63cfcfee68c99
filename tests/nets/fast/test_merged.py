"""Every fast form of a network against its plain one: values, every gradient, running statistics, singular vectors."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import configured
from autogan_ray.nets.fast import tap
from autogan_ray.nets.fast.branch import Branch, scaled
from autogan_ray.nets.fast.tap import Tap
from autogan_ray.nets.fast.total import Total
from autogan_ray.nets.gan import Discriminator, Generator, Shape
from autogan_ray.nets.ops import batch_norm, conv, same_conv
from autogan_ray.nets.place import One, Selection
from autogan_ray.nets.spectral import found_together, norm_of, original, sigmas, spectral, stacked
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.part import Decision

SPACES = ["adversarialnas", "autogan", "alphagan"]
PLAIN = ComputeConfig(merge=False, channels_last=False)
FAST = ComputeConfig(merge=True, channels_last=True)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-3}


def soft(decisions: tuple[Decision, ...], dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        decision.name: torch.rand(len(decision.choices), generator=rng, dtype=dtype).softmax(0).requires_grad_()
        for decision in decisions
    }


def told(
    network: nn.Module, x: Tensor, weights: dict[str, Tensor], selection: Selection | None = None
) -> Iterator[tuple[str, Tensor]]:
    """The output and every gradient of a random projection of it, and all buffers afterwards."""
    network.zero_grad()
    for row in weights.values():
        row.grad = None
    x = x.clone().requires_grad_()
    output = network(x, weights if selection is None else selection)
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    yield "output", output.detach()
    assert x.grad is not None
    yield "input", x.grad
    for name, parameter in network.named_parameters():
        yield name, torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    for name, row in weights.items():
        if row.grad is not None:
            yield f"share of {name}", row.grad
    yield from ((f"buffer {name}", buffer.double()) for name, buffer in network.named_buffers())


def assert_alike(one: nn.Module, other: nn.Module, x: Tensor, *rest: dict[str, Tensor], tolerance: float) -> None:
    first, second = dict(told(one, x, *rest)), dict(told(other, x, *rest))
    assert first.keys() == second.keys()
    # What a batch norm behind it cancels is zero but for rounding: measured by the largest gradient of all.
    largest = max(float(value.abs().max()) for value in first.values())
    for name, value in first.items():
        size = max(float(value.abs().max()), 1e-3 * largest)
        assert float((value - second[name]).abs().max()) / size < tolerance, name


def pair(network: str, space: str, dtype: torch.dtype, norm: str | None = None, seed: int = 0) -> tuple:
    """A plain and a fast network of equal weights, an input, and the decisions."""
    whole, shape = load_space(space), Shape(16, 3, 4, 4, 16, norm)
    made = []
    for compute in (PLAIN, FAST):
        torch.manual_seed(seed)
        built = Generator(whole, shape, None) if network == "g" else Discriminator(whole, shape, None)
        made.append(configured(built.to(dtype), compute, 16))
    made[1].load_state_dict(made[0].state_dict())
    x = torch.randn(3, 16, dtype=dtype) if network == "g" else torch.randn(3, 3, 16, 16, dtype=dtype)
    return (*made, x, whole.decisions(16, "g") if network == "g" else whole.decisions(16, "d"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("space", SPACES)
def test_a_generator_merged_equals_it_plain(space: str, norm: str | None, dtype: torch.dtype) -> None:
    plain, fast, z, decisions = pair("g", space, dtype, norm)
    assert_alike(plain, fast, z, soft(decisions, dtype, 1), tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("space", ["adversarialnas", "autogan/eagan"])
def test_a_discriminator_merged_equals_it_plain(space: str, dtype: torch.dtype) -> None:
    plain, fast, images, decisions = pair("d", space, dtype)
    assert_alike(plain, fast, images, soft(decisions, dtype, 2), tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize("network", ["g", "d"])
@pytest.mark.parametrize("space", ["adversarialnas", "autogan/eagan"])
def test_paths_agree_too_and_only_theirs_runs(space: str, network: str) -> None:
    plain, fast, x, decisions = pair(network, space, torch.float64)
    path = {decision.name: One(len(decision.choices) - 1) for decision in decisions}
    assert_alike(plain, fast, x, {}, path, tolerance=1e-10)
    moved = [name for name, parameter in fast.named_parameters() if parameter.grad is not None]
    last = {decision.choices[-1] for decision in decisions}
    assert all(name.split(".choices.")[1].split(".")[0] in last for name in moved if ".choices." in name)


@pytest.mark.parametrize("network", ["g", "d"])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_merged_mixture_keeps_less_than_half_for_its_backward_pass(network: str, norm: str | None) -> None:
    plain, fast, x, decisions = pair(network, "adversarialnas", torch.float32, norm)
    kept = []
    for built in (plain, fast):
        seen: dict[int, int] = {}

        def keep(tensor: Tensor, seen: dict[int, int] = seen) -> Tensor:
            if tensor.ndim == 4 and len(tensor) >= 3:
                seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        inputs = x.repeat(8, *[1] * (x.ndim - 1))  # weights weigh little
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            built(inputs, soft(decisions, torch.float32, 0))
        kept.append(sum(seen.values()))
    share = 0.75 if network == "g" and norm == "batch" else 0.5  # each normalised output has to be kept
    assert kept[1] < share * kept[0], kept


@pytest.mark.parametrize("side", [8, 7, 12])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 2), (3, 3)])
def test_a_convolution_of_any_dilation_and_stride_is_torchs(kernel: int, dilation: int, stride: int, side: int) -> None:
    x = torch.randn(2, 3, side, side, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(4, 3, kernel, kernel, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    given = [one.requires_grad_() for one in (x, weight, bias)]
    wanted = functional.conv2d(x, weight, bias, stride, dilation * (kernel - 1) // 2, dilation)
    found = same_conv(x, weight, bias, stride, dilation)
    torch.testing.assert_close(found, wanted)
    slopes = torch.randn_like(wanted)
    for one, other in zip(*(torch.autograd.grad(y, given, slopes) for y in (found, wanted)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_with_its_share_inside_equals_one_multiplied(
    affine: bool, momentum: float | None, training: bool
) -> None:
    x, share = torch.randn(4, 3, 5, 5, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    norms = [batch_norm(3, affine).double().train(training) for _ in range(2)]
    for norm in norms:
        norm.momentum = momentum
    norms[1].load_state_dict(norms[0].state_dict())
    for _ in range(3):
        outputs = scaled(norms[1], x, share), share * norms[0](x)
        torch.testing.assert_close(*outputs)
        slopes = torch.randn_like(x)
        torch.testing.assert_close(*(torch.autograd.grad(output, x, slopes)[0] for output in outputs))
    for name, value in norms[0].state_dict().items():
        torch.testing.assert_close(norms[1].state_dict()[name], value)


def test_a_branch_of_unknown_form_is_called_as_it_is() -> None:
    module = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sigmoid()).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64)
    total = Total()
    Branch.of(module).onto(total, Tap(x), torch.tensor(0.5).double())
    torch.testing.assert_close(total.value, 0.5 * module(x))


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("network", ["g", "d"])
def test_no_node_is_written_to_once_it_is_read(network: str, scaled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over paths rich in skips, which hand a node's value on as it is; and over a mixture."""
    _, fast, x, decisions = pair(network, "adversarialnas", torch.float64)
    nodes: list[tuple[Tensor, Tensor]] = []
    known = tap.Tap.__init__

    def noting(self: Tap, value: Tensor) -> None:
        nodes.append((value, value.detach().clone()))
        known(self, value)

    monkeypatch.setattr(tap.Tap, "__init__", noting)
    scale = torch.ones((), dtype=torch.float64) if scaled else None
    rng, skips = random.Random(0), 0
    for number in range(8):
        path = {}
        for decision in decisions:
            names = decision.choices
            skip = "skip" in names and rng.random() < 0.6
            skips += skip
            path[decision.name] = One(names.index("skip") if skip else rng.randrange(len(names)), scale)
        fast(x, path if number else soft(decisions, torch.float64, 5))
    assert skips > 20 and len(nodes) > 60
    assert all(torch.equal(now.detach(), then) for now, then in nodes)


def test_merged_kernels_can_be_differentiated_twice() -> None:
    plain, fast, images, decisions = pair("d", "adversarialnas", torch.float64)
    images, found = images[:1], []
    for network in (plain, fast):
        shares = soft(decisions, torch.float64, 3)
        score = network(images, shares).sum()
        weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
        first = torch.autograd.grad(score, weights, create_graph=True, allow_unused=True)
        total = sum((grad**2).sum() for grad in first if grad is not None)
        found.append(torch.autograd.grad(total, list(shares.values()), allow_unused=True))
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


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
def test_norms_taken_together_are_those_of_each_layer_asked_alone(last: bool) -> None:
    """Layers of three shapes, those of one in evaluation mode; values, gradients, singular vectors."""
    layers = [conv(3, 5, kernel, True).double() for kernel in (3, 1, 3, 3, 1)]
    layers += [spectral(nn.Linear(9, 4)).double()]
    for number, layer in enumerate(layers):
        if last and isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)
        layer.train(number not in (1, 4))
    alone = copy.deepcopy(layers)

    for _ in range(2):
        parts = [[layers[number] for number in some] for some in ((0, 2, 3), (1, 4), (5,))]
        together = torch.cat(
            [sigmas([norm_of(one) for one in some], stacked([original(one) for one in some], last)) for some in parts]
        )[[0, 3, 1, 2, 4, 5]].reciprocal()
        asked = torch.stack([(layer.weight / original(layer)).flatten()[0] for layer in alone])
        torch.testing.assert_close(together, asked)
        for some, norms in ((layers, together), (alone, asked)):
            (norms * torch.arange(1.0, 7.0, dtype=torch.float64)).sum().backward(inputs=[original(one) for one in some])
    for one, other in zip(layers, alone, strict=True):
        torch.testing.assert_close(one.state_dict(), other.state_dict())
        torch.testing.assert_close(original(one).grad, original(other).grad, rtol=1e-6, atol=1e-8)


def test_layers_whose_norms_are_found_together_are_those_asked_alone() -> None:
    layers = nn.ModuleList([conv(3, 5, kernel, True).double() for kernel in (3, 1, 3)])
    layers.to(memory_format=torch.channels_last)
    alone, x = copy.deepcopy(layers), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for training in (True, False, True):
        layers.train(training), alone.train(training)
        with found_together([*layers]):
            together = [layer(x) for layer in layers]
            again = layers[1](x)  # who is called twice finds it anew
        asked = [layer(x) for layer in (*alone, alone[1])]
        for one, other in zip((*together, again), asked, strict=True):
            torch.testing.assert_close(one, other)
        sum(one.square().mean() for one in (*together, again)).backward()
        sum(one.square().mean() for one in asked).backward()
    for one, other in zip(layers, alone, strict=True):
        torch.testing.assert_close(one.state_dict(), other.state_dict())
        torch.testing.assert_close(original(one).grad, original(other).grad)
    with pytest.raises(ZeroDivisionError), found_together([*layers]):
        raise ZeroDivisionError
    assert all(norm_of(layer).given is None for layer in layers)


@pytest.mark.parametrize("network", ["g", "d"])
def test_half_precision_is_near_and_hands_out_float32(network: str) -> None:
    _, fast, x, decisions = pair(network, "adversarialnas", torch.float32)
    shares = soft(decisions, torch.float32, 4)
    fast.eval()
    wanted = fast(x, shares).detach()
    configured(fast, FAST.model_copy(update={"precision": "bf16"}), 16)
    found = fast(x, shares)
    assert found.dtype == torch.float32
    assert 0 < float((found.detach() - wanted).abs().max()) < 0.05 * float(wanted.abs().max())
    found.sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in fast.parameters())
