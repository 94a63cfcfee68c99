"""The fast form of every network against its plain form: values, gradients, running statistics, singular vectors."""

from __future__ import annotations

import copy
import math
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import autogan_ray
from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import computed_plainly, configured
from autogan_ray.nets.fast import shared_input
from autogan_ray.nets.fast.dilated import same_conv
from autogan_ray.nets.fast.forward import FastMixedOp
from autogan_ray.nets.fast.operation import weighted
from autogan_ray.nets.fast.shared_input import SharedInput
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.mixed_op import MixedOp
from autogan_ray.nets.ops import OpSpec, SameConv2d, batch_norm, build_op, upsample
from autogan_ray.nets.relaxation import MixtureSelection, Selection, SingleChoice
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.operations import OPERATIONS
from autogan_ray.spaces.part import Decision
from autogan_ray.training.game import Losses
from autogan_ray.training.objectives.registry import objective_named

NETWORKS = [
    *(("g", name) for name in ("adversarialnas", "autogan", "alphagan", "modern")),
    *(("d", name) for name in ("adversarialnas", "autogan/eagan", "autogan/fixed", "modern")),
]
PLAIN = ComputeConfig(merge=False, channels_last=False)
FAST = ComputeConfig(merge=True, channels_last=True)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-3}
PACKAGE = Path(autogan_ray.__file__).parent


def soft(decisions: tuple[Decision, ...], dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        decision.name: torch.rand(len(decision.choices), generator=rng, dtype=dtype).softmax(0).requires_grad_()
        for decision in decisions
    }


def results(network: nn.Module, x: Tensor, leaves: Mapping[str, Tensor], selection: Selection) -> dict[str, Tensor]:
    """The output, every gradient of a random projection of it, and all buffers afterwards."""
    network.zero_grad()
    for leaf in leaves.values():
        leaf.grad = None
    x = x.clone().requires_grad_()
    output = network(x, selection)
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    found = {"output": output.detach()}
    for name, leaf in [("input", x), *network.named_parameters(), *leaves.items()]:
        found[name] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    return found | {f"buffer {name}": buffer.double() for name, buffer in network.named_buffers()}


def assert_alike(plain: dict[str, Tensor], fast: dict[str, Tensor], tolerance: float) -> None:
    assert plain.keys() == fast.keys()
    # What a batch norm behind it cancels is zero but for rounding: measured by the largest gradient of all.
    largest = max(float(value.abs().max()) for value in plain.values())
    for name, value in plain.items():
        size = max(float(value.abs().max()), 1e-2 * largest)
        assert float((value - fast[name]).abs().max()) / size < tolerance, name


def pair(
    network: str,
    space: str,
    dtype: torch.dtype,
    norm: str | None = None,
    choices: Mapping[str, str] | None = None,
    spectral_norm: bool = True,
) -> tuple:
    """A plain and a fast network of equal weights, an input, and the decisions."""
    whole, shape = load_space(space), Shape(16, 3, 4, 4, 16, norm, spectral_norm_d=spectral_norm)
    made = []
    for compute in (PLAIN, FAST):
        torch.manual_seed(0)
        built = Generator(whole, shape, choices) if network == "g" else Discriminator(whole, shape, choices)
        made.append(configured(built.to(dtype), compute, 16))
    made[1].load_state_dict(made[0].state_dict())
    x = torch.randn(3, 16, dtype=dtype) if network == "g" else torch.randn(3, 3, 16, 16, dtype=dtype)
    return (*made, x, whole.decisions(16, "g") if network == "g" else whole.decisions(16, "d"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize(("network", "space"), NETWORKS)
def test_a_mixture_is_the_same_in_both_forms(network: str, space: str, norm: str | None, dtype: torch.dtype) -> None:
    plain, fast, x, decisions = pair(network, space, dtype, norm)
    weights = soft(decisions, dtype, 1)
    assert_alike(*(results(net, x, weights, weights) for net in (plain, fast)), tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize(("network", "space"), NETWORKS)
def test_a_mixture_that_lost_choices_and_has_auxiliary_skips_is_the_same_in_both_forms(
    network: str, space: str
) -> None:
    plain, fast, x, decisions = pair(network, space, torch.float64)
    weights, rng = soft(decisions, torch.float64, 2), random.Random(3)
    left = {d.name: sorted(rng.sample(range(len(d.choices)), rng.randrange(1, len(d.choices) + 1))) for d in decisions}
    selection = MixtureSelection(weights, left, 0.25)
    assert_alike(*(results(net, x, weights, selection) for net in (plain, fast)), tolerance=1e-12)


@pytest.mark.parametrize(("network", "space"), NETWORKS)
def test_single_paths_are_the_same_in_both_forms_and_only_theirs_runs(network: str, space: str) -> None:
    """Random choices, ``none`` among them, and nodes that nobody reads; with straight-through scales and without."""
    plain, fast, x, decisions = pair(network, space, torch.float64)
    rng = random.Random(4)
    for turn in range(6):
        scales = {d.name: torch.ones((), dtype=torch.float64, requires_grad=True) for d in decisions}
        numbers = {d.name: rng.randrange(len(d.choices)) for d in decisions}
        path = {d.name: SingleChoice(numbers[d.name], scales[d.name] if turn % 2 else None) for d in decisions}
        if not plain(x, path).requires_grad:
            continue
        fast.load_state_dict(plain.state_dict())
        assert_alike(*(results(net, x, scales, path) for net in (plain, fast)), tolerance=1e-12)
        chosen = {d.choices[numbers[d.name]] for d in decisions}
        moved = [name for name, parameter in fast.named_parameters() if parameter.grad is not None]
        assert all(name.split(".choices.")[1].split(".")[0] in chosen for name in moved if ".choices." in name)


@pytest.mark.parametrize(("network", "space"), NETWORKS)
def test_derived_networks_are_the_same_in_both_forms(network: str, space: str) -> None:
    for seed in range(4):
        choices = load_space(space).random(16, seed).choices
        plain, fast, x, _ = pair(network, space, torch.float64, choices=choices)
        for mode in (True, False):
            assert_alike(*(results(net.train(mode), x, {}, {}) for net in (plain, fast)), tolerance=1e-12)


@pytest.mark.parametrize("spectral_norm", [True, False], ids=["spectral norm", "no norm"])
@pytest.mark.parametrize("kind", ["mixture", "path", "derived"])
@pytest.mark.parametrize("space", [name for network, name in NETWORKS if network == "d"])
def test_a_gradient_penalty_is_the_same_in_both_forms(space: str, kind: str, spectral_norm: bool) -> None:
    """The loss of D differentiates its scores twice: every fast form must be right in the second derivative too."""
    choices = load_space(space).random(16, 1).choices if kind == "derived" else None
    plain, fast, real, decisions = pair("d", space, torch.float64, choices=choices, spectral_norm=spectral_norm)
    fake, selection = torch.randn_like(real), {}
    if kind == "mixture":
        selection = soft(decisions, torch.float64, 7)
    elif kind == "path":
        rng = random.Random(5)
        selection = {d.name: SingleChoice(rng.randrange(len(d.choices)), torch.ones(())) for d in decisions}
    losses = Losses(objective_named("relativistic"), penalty=0.5)
    found = []
    for net in (plain, fast):
        net.zero_grad()
        total = losses.of_d(lambda x, net=net: net(x, selection), real, fake).total
        total.backward()
        found.append({"total": total.detach()} | {
            name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in net.named_parameters()
        })  # fmt: skip
    assert float((found[0]["total"] - math.log(2)).abs()) > 1e-6
    assert_alike(*found, tolerance=1e-11)


@pytest.mark.parametrize("relaxation", ["mixture", "path"])
@pytest.mark.parametrize(("network", "space"), NETWORKS)
def test_the_plain_form_runs_nothing_of_the_fast_form(network: str, space: str, relaxation: str) -> None:
    plain, fast, x, decisions = pair(network, space, torch.float32)
    weights: Selection = soft(decisions, torch.float32, 0)
    if relaxation == "path":
        weights = {d.name: SingleChoice(len(d.choices) - 1, torch.ones(())) for d in decisions}
    for net, wanted in ((plain, False), (fast, True)):
        files: set[str] = set()
        sys.setprofile(lambda frame, *_, files=files: files.add(frame.f_code.co_filename))
        try:
            results(net, x, {}, weights)
        finally:
            sys.setprofile(None)
        assert str(PACKAGE / "nets" / "gan.py") in files
        assert any(Path(file).is_relative_to(PACKAGE / "nets" / "fast") for file in files) == wanted


@pytest.mark.parametrize(("network", "space"), NETWORKS)
def test_the_fast_form_adds_no_state_and_a_copy_of_a_network_runs_its_own_weights(network: str, space: str) -> None:
    plain, fast, x, decisions = pair(network, space, torch.float64)
    assert list(plain.state_dict()) == list(fast.state_dict())
    weights = soft(decisions, torch.float64, 6)
    plain.eval(), fast.eval()
    fast(x, weights)  # so that plans are there to be copied
    copied, wanted = copy.deepcopy(fast), plain(x, weights).detach()
    with torch.no_grad():
        for parameter in fast.parameters():
            parameter.zero_()
    torch.testing.assert_close(copied(x, weights).detach(), wanted)
    with computed_plainly(copied):
        torch.testing.assert_close(copied(x, weights).detach(), wanted)
    assert copied.fast is not None


INVENTED: dict[str, Callable[[], nn.Module]] = {
    "another padding mode": lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
    "a 1x3 kernel": lambda: nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, (1, 3), padding=(0, 1))),
    "grouped": lambda: nn.Sequential(nn.ReLU(), SameConv2d(4, 4, 3, groups=2)),
    "a convolution of torch": lambda: nn.Conv2d(4, 4, 3, padding=1),
    "weights normalised otherwise": lambda: nn.utils.parametrizations.weight_norm(SameConv2d(4, 4, 3)),
    "larger, then not pointwise": lambda: nn.Sequential(upsample("nearest"), nn.ReLU(), SameConv2d(4, 4, 3, stride=2)),
    "interpolated otherwise": lambda: nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), nn.ReLU(), SameConv2d(4, 4, 1, stride=2)
    ),
    "unknown layers": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()),
}
LEVELS = {0: ("none", "skip", "conv_3x3", "conv_5x5"), 1: ("bilinear", "nearest_conv_1x1"), -1: ("down_conv_3x3",)}


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
@pytest.mark.parametrize("name", [*OPERATIONS, *INVENTED])
def test_any_operation_is_right_beside_convolutions_that_are_merged(name: str, norm: str) -> None:
    """Every operation of the catalogue and invented ones, in a mixture, with its weight and by itself."""
    torch.manual_seed(0)
    beside = LEVELS[OPERATIONS[name].level if name in OPERATIONS else 0]
    decision = Decision("g.a", tuple(dict.fromkeys((*beside, name))))
    made = INVENTED.get(name)

    def build(choice: str) -> nn.Module:
        return made() if made and choice == name else build_op(choice, OpSpec(4, 4, norm))

    op = MixedOp(decision, build).double().to(memory_format=torch.channels_last)
    state, number = {n: value.clone() for n, value in op.state_dict().items()}, decision.choices.index(name)
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weights = soft((decision,), torch.float64, 5)
    for selection in (weights, {"g.a": SingleChoice(number)}):
        found = []
        for fast in (None, FastMixedOp(op)):
            op.fast = fast
            op.load_state_dict(state)
            found.append(results(op, x, weights, selection) if name != "none" or selection is weights else {})
        if found[0]:
            assert_alike(found[0], found[1], tolerance=1e-12)


def test_only_same_convolutions_are_merged() -> None:
    """The wrong outputs that an unknown convolution would have as one with the others differ by more than rounding."""
    reflected = INVENTED["another padding mode"]().double()
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64)
    zeros = functional.conv2d(torch.relu(x), reflected[1].weight, reflected[1].bias, padding=1)
    assert float((reflected(x) - zeros).detach().abs().max()) > 0.05


@pytest.mark.parametrize("network", ["g", "d"])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_fast_mixture_keeps_less_than_half_for_its_backward_pass(network: str, norm: str | None) -> None:
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
    part = 0.75 if network == "g" and norm == "batch" else 0.5  # each normalised output has to be kept
    assert kept[1] < part * kept[0], kept


@pytest.mark.parametrize("side", [8, 7, 12])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 2), (3, 3)])
def test_a_convolution_of_any_dilation_and_stride_is_torchs(kernel: int, dilation: int, stride: int, side: int) -> None:
    x = torch.randn(2, 3, side, side, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    weight, bias = torch.randn(4, 3, kernel, kernel, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    leaves = [leaf.requires_grad_() for leaf in (x, weight, bias)]
    wanted = functional.conv2d(x, weight, bias, stride, dilation * (kernel - 1) // 2, dilation)
    output = same_conv(x, weight, bias, stride, dilation)
    torch.testing.assert_close(output, wanted)
    slopes = torch.randn_like(wanted)
    for grad, other in zip(*(torch.autograd.grad(y, leaves, slopes) for y in (output, wanted)), strict=True):
        torch.testing.assert_close(grad, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_with_a_weight_inside_equals_one_multiplied(
    affine: bool, momentum: float | None, training: bool
) -> None:
    x, weight = torch.randn(4, 3, 5, 5, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    norms = [batch_norm(3, affine).double().train(training) for _ in range(2)]
    for norm in norms:
        norm.momentum = momentum
    norms[1].load_state_dict(norms[0].state_dict())
    for _ in range(3):
        outputs = weighted(norms[1], x, weight), weight * norms[0](x)
        torch.testing.assert_close(*outputs)
        slopes = torch.randn_like(x)
        torch.testing.assert_close(*(torch.autograd.grad(output, x, slopes)[0] for output in outputs))
    for name, value in norms[0].state_dict().items():
        torch.testing.assert_close(norms[1].state_dict()[name], value)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("network", ["g", "d"])
def test_no_node_is_written_to_once_it_is_read(network: str, scaled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over paths rich in skips, which hand a node's value on as it is; and over a mixture."""
    _, fast, x, decisions = pair(network, "adversarialnas", torch.float64)
    nodes: list[tuple[Tensor, Tensor]] = []
    known = shared_input.SharedInput.__init__

    def noting(self: SharedInput, value: Tensor) -> None:
        nodes.append((value, value.detach().clone()))
        known(self, value)

    monkeypatch.setattr(shared_input.SharedInput, "__init__", noting)
    scale = torch.ones((), dtype=torch.float64) if scaled else None
    rng, skips = random.Random(0), 0
    for number in range(8):
        path = {}
        for decision in decisions:
            names = decision.choices
            skip = "skip" in names and rng.random() < 0.6
            skips += skip
            path[decision.name] = SingleChoice(names.index("skip") if skip else rng.randrange(len(names)), scale)
        fast(x, path if number else soft(decisions, torch.float64, 5))
    assert skips > 20 and len(nodes) > 60
    assert all(torch.equal(now.detach(), then) for now, then in nodes)


def test_weighted_kernels_can_be_differentiated_twice() -> None:
    plain, fast, images, decisions = pair("d", "adversarialnas", torch.float64)
    images, found = images[:1], []
    for network in (plain, fast):
        weights = soft(decisions, torch.float64, 3)
        score = network(images, weights).sum()
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        first = torch.autograd.grad(score, parameters, create_graph=True, allow_unused=True)
        total = sum((grad**2).sum() for grad in first if grad is not None)
        found.append(torch.autograd.grad(total, list(weights.values()), allow_unused=True))
    for second, other in zip(*found, strict=True):
        assert (second is None) == (other is None)
        if second is not None:
            torch.testing.assert_close(second, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("network", ["g", "d"])
def test_half_precision_is_near_and_hands_out_float32(network: str) -> None:
    _, fast, x, decisions = pair(network, "adversarialnas", torch.float32)
    weights = soft(decisions, torch.float32, 4)
    fast.eval()
    wanted = fast(x, weights).detach()
    configured(fast, FAST.model_copy(update={"precision": "bf16"}), 16)
    output = fast(x, weights)
    assert output.dtype == torch.float32
    assert 0 < float((output.detach() - wanted).abs().max()) < 0.05 * float(wanted.abs().max())
    output.sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in fast.parameters())
