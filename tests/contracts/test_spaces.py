"""What every shipped space must fulfil, at every image size that is in use."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from autogan_ray.config.sections import ComputeConfig
from autogan_ray.nets.compute import computed_plainly, configured
from autogan_ray.nets.cost.count import count_macs, count_parameters, genotype_cost
from autogan_ray.nets.derived import build_discriminator, build_generator, inherit, reestimate_batch_norm
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.ops import BUILDERS, OpSpec, build_op, groups_of
from autogan_ray.nets.relaxation import one_hot
from autogan_ray.nets.shape import Shape
from autogan_ray.nets.supernet import Supernet
from autogan_ray.spaces.dag import DagPart
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.operations import OPERATIONS
from autogan_ray.training.steps import Ema

NAMES = [
    *("adversarialnas", "autogan", "autogan/adversarialnas", "adversarialnas/fixed"),
    *("alphagan", "alphagan/eagan", "autogan/eagan", "eagan"),
    *("handmade", "handmade/fixed", "adversarialnas/handmade", "modern"),
]
SIZES = [(8, 1), (32, 3), (48, 3)]


def supernet(name: str, size: int, channels: int, norm: str | None = None) -> Supernet:
    shape = Shape(size, channels, channels_g=6, channels_d=5, latent_dim=12, norm_g=norm)
    compute = ComputeConfig(channels_last=False)  # the layout of a derived network as it is built, to the last bit
    return Supernet.build(load_space(name), shape, torch.Generator().manual_seed(size), compute=compute)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_a_one_hot_supernet_equals_the_derived_network_with_the_same_weights(
    name: str, size: int, channels: int
) -> None:
    net = supernet(name, size, channels, norm="batch")
    for seed in range(3):
        genotype = net.space.random(size, seed)
        generator = configured(Generator(net.space, net.shape, genotype.choices), net.compute, size)
        discriminator = configured(Discriminator(net.space, net.shape, genotype.choices), net.compute, size)
        inherit(generator, net.generator.state_dict())
        inherit(discriminator, net.discriminator.state_dict())
        z = torch.randn(3, 12)
        for part in (net.generator, net.discriminator, generator, discriminator):
            part.eval()
        path_g = one_hot(genotype.choices, net.arch_g.decisions)
        path_d = one_hot(genotype.choices, net.arch_d.decisions)
        with torch.no_grad():
            images = net.generator(z, path_g)
            assert images.shape == (3, channels, size, size) and images.abs().max() <= 1
            with torch.random.fork_rng():  # StyleGAN2's noise
                torch.manual_seed(0)
                images = net.generator(z, path_g)
                torch.manual_seed(0)
                assert torch.equal(images, generator(z))
            assert torch.equal(net.discriminator(images, path_d), discriminator(images))
            # The same by a vector of weights, which runs every choice.
            vectors = {d.name: torch.eye(len(d.choices))[path_g[d.name].index] for d in net.arch_g.decisions}
            assert torch.allclose(net.generator(z, vectors), images, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_no_weights_and_the_average_holds_none(name: str) -> None:
    net = supernet(name, 8, 1)
    weights = {id(p) for part in (net.generator, net.discriminator) for p in part.parameters()}
    logits = [net.arch_g.logits, net.arch_d.logits]
    storages = {p.data_ptr() for part in (net.generator, net.discriminator) for p in part.parameters()}
    assert not weights & {id(one) for one in logits}
    assert not storages & {one.data_ptr() for one in logits if one.numel()}
    ema = Ema(net.generator, 0.9)
    names = {name for name, _ in net.generator.named_parameters()}
    vectors = {name for name, _ in net.generator.named_buffers() if name.endswith(("._u", "._v"))}
    assert set(ema.state_dict()) == names | vectors | {"updates"}
    assert not any("logit" in key or "arch" in key for key in net.generator.state_dict())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("relaxation", ["softmax", "gumbel", "gumbel_hard"])
def test_both_networks_logits_get_gradients(name: str, relaxation: str) -> None:
    net = supernet(name, 8, 1)
    rng = torch.Generator().manual_seed(0)
    images = net.generator(torch.randn(4, 12), net.arch_g.select(relaxation, 1.0, rng))
    net.discriminator(images, net.arch_d.select(relaxation, 1.0, rng)).sum().backward()
    assert net.arch_g.logits.grad is not None and net.arch_g.logits.grad.norm() > 0
    if net.arch_d.decisions:
        assert net.arch_d.logits.grad is not None and net.arch_d.logits.grad.norm() > 0


def test_the_vocabulary_and_the_builders_are_the_same_list() -> None:
    assert list(BUILDERS) == list(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_the_image_side_as_it_says(name: str) -> None:
    found = build_op(name, OpSpec(4, 4))(torch.randn(2, 4, 8, 8))
    assert found.shape == (2, 4, *[round(8 * 2.0 ** OPERATIONS[name].level)] * 2)


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
@pytest.mark.parametrize(("kind", "groups"), [("dense", 1), ("grouped", 3), ("depthwise", 48)])
def test_a_residual_block_is_the_identity_at_first_and_then_its_formula(kind: str, groups: int, norm: str) -> None:
    torch.manual_seed(0)
    block = build_op(f"{kind}_block_5x5_e2", OpSpec(24, 24, norm)).double().eval()
    x = torch.randn(2, 24, 6, 6, dtype=torch.float64)
    assert torch.equal(block(x), x)
    nn.init.constant_(block.gain, 0.7)
    convs = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)] or [nn.Identity()] * 2
    y = x
    for layer, kernel, parts, then in zip(convs, (1, 5, 1), (1, groups, 1), (*norms, None), strict=True):
        assert layer.weight.shape[2:] == (kernel, kernel)
        y = functional.conv2d(y, layer.weight, layer.bias, padding=kernel // 2, groups=parts)
        y = y if then is None else torch.relu(then(y))
    torch.testing.assert_close(block(x), x + 0.7 * y, rtol=1e-11, atol=1e-11)
    assert [len(convs), convs[0].out_channels] == [3, 48]


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (16, 1), (31, 1), (32, 2), (40, 2), (45, 1), (1536, 96)])
def test_groups_are_equal_and_have_sixteen_channels_at_least(channels: int, groups: int) -> None:
    assert groups_of(channels) == groups and channels % groups == 0


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
@pytest.mark.parametrize("name", [name for name, operation in OPERATIONS.items() if operation.level <= 0])
def test_a_part_knows_which_operations_bring_batch_norms(name: str, norm: str) -> None:
    values = load_space("modern").discriminator.model_dump(by_alias=True)
    part = DagPart.model_validate(values | {"norm": norm})
    known = bool(part.batch_norms([name]))
    bare = not list(build_op(name, OpSpec(4, 4)).parameters()) or name == "attention"
    assert known == (has_batch_norm(build_op(name, OpSpec(4, 4, norm))) or (norm == "batch" and bare))


@pytest.mark.parametrize("name", [*NAMES, "autogan/fixed"])
def test_no_shipped_discriminator_has_batch_norms_with_spectral_norms_or_without(name: str) -> None:
    space = load_space(name)
    assert not space.discriminator.batch_norms([c for d in space.decisions(32, "d") for c in d.choices])
    for divided in (True, False):
        with torch.device("meta"):
            network = Discriminator(space, Shape(32, 3, 4, 4, 12, spectral_norm_d=divided), None)
        assert not has_batch_norm(network)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("kind", ["grouped", "depthwise"])
def test_branches_of_residual_blocks_start_alike_whatever_their_middle_convolution(kind: str, kernel: int) -> None:
    def spread(name: str) -> float:
        torch.manual_seed(0)
        block = build_op(f"{name}_block_{kernel}x{kernel}_e1", OpSpec(64, 64))
        with torch.no_grad():
            inside = block.branch(torch.randn(8, 64, 16, 16))[:, :, 2:-2, 2:-2]  # zeros beyond the edge play no part
        return (inside - inside.mean(dim=(0, 2, 3), keepdim=True)).std().item()

    assert spread(kind) / spread("dense") == pytest.approx(1, abs=0.15)


def test_a_separable_convolution_starts_as_in_published_code_by_the_fans_of_all_groups() -> None:
    torch.manual_seed(0)
    deep = build_op("sep_conv_3x3", OpSpec(128, 128))[1]
    assert deep.groups == 128 and deep.weight.var().item() == pytest.approx(2 / (9 + 9 * 128), rel=0.1)


# --- counts measured on the published modules ---------------------------------------------------------------

_UPS = ("nearest_conv_1x1", "bilinear_conv_1x1", "deconv_3x3_depthwise")
_NORMAL = ("none", "skip", "conv_1x1", "conv_3x3", "conv_5x5", "dil_conv_3x3", "dil_conv_5x5")


def adversarialnas_cifar10() -> dict[str, str]:
    """The published AdversarialNAS generator (its latest_G)."""
    choices = {}
    for cell, row in enumerate(("1110331", "1101333", "0103303"), start=1):
        for edge, index in zip(("u0", "u1", "e0", "e1", "e2", "e3", "e4"), map(int, row), strict=True):
            choices[f"g.cell{cell}.{edge}"] = (_UPS if edge[0] == "u" else _NORMAL)[index]
    return choices


def autogan_a() -> dict[str, str]:
    rows = [("nearest", "yes", ()), ("bilinear", "yes", (1,)), ("nearest", "no", (1, 2))]
    choices = {}
    for cell, (up, shortcut, skips) in enumerate(rows, start=1):
        lead = f"g.cell{cell}."
        choices |= {lead + "conv": "pre", lead + "norm": "none", lead + "up": up, lead + "shortcut": shortcut}
        choices |= {f"{lead}skip{earlier}": "yes" for earlier in skips}
    return choices


@pytest.mark.parametrize(
    ("space", "choices", "latent", "params", "gmacs"),
    [
        ("adversarialnas/fixed", adversarialnas_cifar10(), 120, 8_846_851, 2.678096),
        ("autogan/fixed", autogan_a(), 128, 4_405_251, 1.765016),
    ],
)
def test_published_generators_have_the_published_size(
    space: str, choices: dict[str, str], latent: int, params: int, gmacs: float
) -> None:
    genotype = load_space(space).genotype(choices, 32)
    cost = genotype_cost(load_space(space), Shape(32, 3, 256, 128, latent), genotype)
    assert cost["params_g"] == params
    assert cost["macs_g"] / 1e9 == pytest.approx(gmacs, rel=1e-3)
    assert cost["params_d"] == 1_053_824
    assert cost["macs_d"] / 1e9 == pytest.approx(0.272073, rel=1e-3)


def test_the_supernet_generator_has_the_published_size() -> None:
    with torch.device("meta"):
        generator = Generator(load_space("adversarialnas"), Shape(32, 3, 160, 80, 120), None)
    assert count_parameters(generator) == 29_265_443
    assert sum(len(d.choices) for d in load_space("adversarialnas").decisions(32, "g")) == 123


@pytest.mark.parametrize("name", NAMES)
def test_macs_are_those_of_torchs_counter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Spectral norms are found by matrix products, which papers do not count.
    monkeypatch.setattr("autogan_ray.nets.spectral.sigmas", lambda norms, weights: weights.new_ones(len(norms)))
    genotype = load_space(name).random(32, 4)
    for network, example in (
        (build_generator(genotype, 8, 12), torch.randn(1, 12)),
        (build_discriminator(genotype, 8), torch.randn(1, 3, 32, 32)),
    ):
        network.eval()
        with FlopCounterMode(display=False) as counter, computed_plainly(network):
            network(example)
        assert count_macs(network, example) == counter.get_total_flops() // 2


def test_batch_norm_statistics_are_plain_means_over_the_batches() -> None:
    norm = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    batches = torch.randn(4, 16, 3, 5, 5) * 2 + 1
    norm.eval()
    reestimate_batch_norm(norm, lambda index: norm(batches[index]), 4)
    assert torch.allclose(norm[0].running_mean, batches.mean(dim=(1, 3, 4)).mean(0), atol=1e-5)
    variances = torch.stack([batch.transpose(0, 1).flatten(1).var(dim=1) for batch in batches])
    assert torch.allclose(norm[0].running_var, variances.mean(0), atol=1e-4)
    assert not norm.training and norm[0].momentum == 0.1
