"""The hand-made GANs: each layer against the formula of its paper, each network in shape, size and training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from autogan_ray.nets import baselines
from autogan_ray.nets.attention import SelfAttention
from autogan_ray.nets.baselines.biggan import EMBEDDING, ConditionalBatchNorm
from autogan_ray.nets.baselines.r3gan import Resample, ResidualBlock
from autogan_ray.nets.baselines.stylegan2 import Mapping, ModulatedConv, StyleLayer
from autogan_ray.nets.cost.count import count_macs, count_parameters
from autogan_ray.nets.derived import reestimate_batch_norm
from autogan_ray.nets.ops import upsample
from autogan_ray.spaces.sizes import discriminator_cells, generator_cells
from autogan_ray.training.data import ImageData
from autogan_ray.training.steps import adam, discriminator_step, generator_step
from autogan_ray.training.streams import gather

WIDTH, LATENT, CLASSES = 8, 12, 10
ONE_HOT = torch.eye(CLASSES).repeat(20, 1)
BUILDS: dict[tuple[str, str], tuple[Callable[..., nn.Module], tuple[int, ...]]] = {
    ("g", "dcgan"): (baselines.DcganGenerator, (LATENT,)),
    ("g", "stylegan2"): (baselines.StyleGan2Generator, (LATENT,)),
    ("g", "r3gan"): (baselines.R3GanGenerator, (LATENT,)),
    ("g", "biggan"): (baselines.BigGanGenerator, (LATENT,)),
    ("g", "biggan of classes"): (baselines.BigGanGenerator, (LATENT, CLASSES)),
    ("d", "dcgan"): (baselines.DcganDiscriminator, ()),
    ("d", "r3gan"): (baselines.R3GanDiscriminator, ()),
    ("d", "biggan"): (baselines.BigGanDiscriminator, ()),
    ("d", "biggan of classes"): (baselines.BigGanDiscriminator, (CLASSES,)),
}
PAIRS = [
    *(("dcgan", "dcgan"), ("stylegan2", "biggan"), ("biggan", "biggan")),
    *(("biggan of classes", "biggan of classes"), ("r3gan", "r3gan")),
]
each_network = pytest.mark.parametrize("kind, name", BUILDS)


def built(kind: str, name: str, size: int = 8, channels: int = 1, width: int = WIDTH) -> nn.Module:
    torch.manual_seed(0)
    build, more = BUILDS[kind, name]
    return build(size, channels, width, *more)


def inputs(kind: str, network: nn.Module, count: int = 5, size: int = 8, channels: int = 1) -> tuple[Tensor, ...]:
    """What the network takes, with one-hot classes where it has classes."""
    labels = [ONE_HOT[:count]] if network.classes else []
    if kind == "g":
        return (torch.cat([torch.randn(count, LATENT), *labels], dim=1),)
    return (torch.rand(count, channels, size, size) * 2 - 1, *labels)


def opened(network: nn.Module) -> nn.Module:
    """With every strength that starts at 0 away from it."""
    for name, parameter in network.named_parameters():
        if name.endswith(("gamma", "strength")):
            nn.init.constant_(parameter, 0.5)
        if name.endswith("project.weight"):
            nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 32, 48, 64])
@each_network
def test_every_size_gives_images_in_range_or_a_score_each(kind: str, name: str, size: int, channels: int) -> None:
    network = built(kind, name, size, channels)
    for mode in (True, False):
        with torch.no_grad():
            found = network.train(mode)(*inputs(kind, network, 2, size, channels))
        assert found.shape == ((2, channels, size, size) if kind == "g" else (2,))
        assert torch.isfinite(found).all() and found.std() > 0
        assert kind == "d" or found.abs().max() <= 1


@each_network
def test_a_gradient_reaches_every_parameter(kind: str, name: str) -> None:
    network = opened(built(kind, name)).double()
    found = network(*(part.double() for part in inputs(kind, network)))
    (found * torch.randn_like(found)).sum().backward()  # rounding of what a batch norm subtracts again is 1e-16
    small = [key for key, p in network.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-10]
    assert small == []


@each_network
def test_a_state_goes_into_another_network_and_a_copy_stands_alone(kind: str, name: str) -> None:
    network, other = opened(built(kind, name)), built(kind, name)
    network(*inputs(kind, network))
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    other.load_state_dict(network.state_dict())
    twin = copy.deepcopy(network)
    given = inputs(kind, network)

    def run(one: nn.Module) -> Tensor:
        torch.manual_seed(1)
        return one.eval()(*given)

    found = run(network)
    assert torch.equal(run(other), found) and torch.equal(run(twin), found)
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(run(network), found)


def expected_g(name: str, size: int, image: int, c: int) -> int:
    """Parameters of a generator whose width ``c`` is a multiple of 8, added up by hand."""
    bottom, n = generator_cells(size)
    if name == "dcgan":
        widths = [max(c // 2**k, 4) for k in range(n)]
        inner = sum(16 * a * b + 2 * b for a, b in pairwise(widths))
        return LATENT * c * bottom**2 + 2 * c + inner + 16 * widths[-1] * image + image
    if name == "stylegan2":
        style = c * c + c
        layers = (2 * n + 1) * (9 * c * c + style + c + 1)
        return (LATENT * c + c) + style + c * bottom**2 + layers + (n + 1) * (c * image + style + image)
    if name == "r3gan":
        return c * bottom**2 + LATENT * c + (n + 1) * 2 * r3gan_block(c) + c * image
    embedding = EMBEDDING if name == "biggan of classes" else 0
    chunk = LATENT // (n + 1)
    first = (LATENT - n * chunk + 1) * c * bottom**2
    block = 2 * 9 * c * c + c * c + 4 * (chunk + embedding + 1) * c
    return first + n * block + (5 * c * c // 4 + 1) + 2 * c + 9 * c * image + image + embedding * CLASSES


def r3gan_block(c: int) -> int:
    """1x1 to twice the width, 3x3 in groups of 16 channels, 1x1 back; the first two have a bias."""
    return (2 * c * c + 2 * c) + (2 * c * 16 * 9 + 2 * c) + 2 * c * c


def expected_d(name: str, size: int, image: int, c: int) -> int:
    if name == "dcgan":
        n = discriminator_cells(size)
        widths = [image, *(max(c // 2**k, 4) for k in reversed(range(n)))]
        return sum(16 * a * b + b for a, b in pairwise(widths)) + c * (size // 2**n) ** 2 + 1
    if name == "r3gan":
        bottom, n = generator_cells(size)
        return image * c + (n + 1) * 2 * r3gan_block(c) + c * bottom**2 + c
    inner = 9 * c * c + c
    blocks = (9 * image * c + c) + (image * c + c) + (c * c + c) + 7 * inner
    return blocks + (5 * c * c // 4 + 1) + c + 1 + (CLASSES * c if name == "biggan of classes" else 0)


@pytest.mark.parametrize("size, channels, width", [(8, 1, 8), (32, 3, 64), (48, 3, 32)])
@each_network
def test_parameters_are_as_counted_by_hand(kind: str, name: str, size: int, channels: int, width: int) -> None:
    with torch.device("meta"):
        network = built(kind, name, size, channels, width)
    found = network(*(part.to("meta") for part in inputs(kind, network, 2, size, channels)))
    assert found.is_meta and len(found) == 2 and network.stochastic == (name == "stylegan2")
    expected = (expected_g if kind == "g" else expected_d)(name, size, channels, width)
    assert count_parameters(network) == count_parameters(built(kind, name, size, channels, width)) == expected


def test_modulated_convolutions_are_counted_like_any_other() -> None:
    network = built("g", "stylegan2")
    c, sides = WIDTH, [2, 4, 4, 8, 8]
    convs = sum(9 * c * c * side**2 + c * c for side in sides) + sum(c * side**2 + c * c for side in (2, 4, 8))
    assert count_macs(network, torch.randn(1, LATENT)) == LATENT * c + c * c + convs


@pytest.mark.parametrize(
    "build, culprit",
    [
        (lambda: baselines.DcganGenerator(8, 2, 8, 8), "image_channels = 2"),
        (lambda: baselines.DcganDiscriminator(8, 1, 0), "channels = 0.*nearest right value is 1"),
        (lambda: baselines.StyleGan2Generator(31, 3, 8, 8), "image size 31 px"),
        (lambda: baselines.BigGanGenerator(32, 3, 8, 3), "latent_dim = 3.*4 chunks at 32 px.*nearest right value is 4"),
        (lambda: baselines.BigGanGenerator(32, 3, 8, 8, -1), "classes = -1"),
        (lambda: built("g", "biggan of classes")(torch.randn(2, LATENT)), "length 12.*12 \\+ 10 = 22"),
        (lambda: built("d", "biggan of classes")(torch.zeros(2, 1, 8, 8)), "labels = None.*one-hot labels \\[2, 10\\]"),
        (lambda: built("d", "biggan of classes")(torch.zeros(2, 1, 8, 8), ONE_HOT[:3]), "shape \\[3, 10\\]"),
        (lambda: built("d", "biggan")(torch.zeros(2, 1, 8, 8), ONE_HOT[:2]), "classes = 0"),
    ],
)
def test_what_cannot_be_is_refused_with_culprit_and_rule(build: Callable[[], object], culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        build()


@pytest.mark.parametrize("kernel, demodulate", [(3, True), (1, False)])
def test_scaling_the_maps_equals_a_weight_tensor_for_each_image(kernel: int, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(5, 7, kernel, 6, demodulate).double()
    x = torch.randn(4, 5, 6, 6, dtype=torch.float64, requires_grad=True)
    w = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    weight = layer.conv.weight[None] * layer.style(w)[:, None, :, None, None]  # equations 1 and 3 as they stand
    if demodulate:
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = functional.conv2d(x.reshape(1, 20, 6, 6), weight.flatten(0, 1), padding=kernel // 2, groups=4)
    found, expected = layer(x, w), expected.reshape(4, 7, 6, 6)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    over, wanted = torch.randn_like(found), [x, w, *layer.parameters()]
    one, two = (torch.autograd.grad((out * over).sum(), wanted, retain_graph=True) for out in (found, expected))
    torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)


def test_mapping_and_convolutions_keep_unit_inputs_at_unit_variance() -> None:
    torch.manual_seed(0)
    w, x = Mapping(32, 256)(torch.randn(200, 32)), torch.randn(200, 32, 10, 10)
    assert w.square().mean().item() == pytest.approx(1.0, rel=0.1)
    for layer, style in ((ModulatedConv(32, 16, 3, 256, True), w), (ModulatedConv(32, 16, 3, 256, False), 0 * w)):
        found = layer(x, style).detach()[:, :, 1:-1, 1:-1]  # the border sees zeros
        assert found.std().item() == pytest.approx(1.0, rel=0.05)


def test_noise_has_no_strength_at_first_and_then_is_one_number_a_pixel_by_the_global_seed() -> None:
    torch.manual_seed(0)
    layer, x, w = StyleLayer(3, 5, 4, up=False), torch.randn(2, 3, 4, 4), torch.randn(2, 4)
    assert torch.equal(layer(x, w), layer(x, w))
    nn.init.normal_(opened(layer).bias)
    noise = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(9))
    before = layer.conv(x, w) + 0.5 * noise + layer.bias
    torch.manual_seed(9)
    torch.testing.assert_close(layer(x, w), 2**0.5 * torch.where(before > 0, before, 0.2 * before))
    assert (layer(x, w) - layer(x, w)).abs().max() > 0.1


def test_bilinear_doubling_is_the_papers_filter_but_for_the_outermost_pixels() -> None:
    x, spread, taps = torch.randn(1, 1, 6, 6), torch.zeros(1, 1, 12, 12), torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    spread[:, :, ::2, ::2] = x
    filtered = functional.conv2d(functional.pad(spread, (2, 1, 2, 1)), torch.outer(taps, taps)[None, None])
    torch.testing.assert_close(upsample("bilinear")(x)[..., 1:-1, 1:-1], filtered[..., 1:-1, 1:-1])


def test_attention_is_the_identity_at_first_and_then_a_softmax_over_pooled_pixels() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(16).double().eval()
    x = torch.randn(2, 16, 6, 4, dtype=torch.float64)
    assert torch.equal(layer(x), x)
    nn.init.constant_(layer.gamma, 0.7)
    key, value = (one(x).unflatten(2, (3, 2)).unflatten(4, (2, 2)).amax((3, 5)) for one in (layer.key, layer.value))
    scores = torch.einsum("bchw,bcyx->bhwyx", layer.query(x), key)
    shares = scores.exp() / scores.exp().sum(dim=(3, 4), keepdim=True)
    mixed = torch.einsum("bhwyx,bcyx->bchw", shares, value)
    torch.testing.assert_close(layer(x), x + 0.7 * layer.out(mixed), rtol=1e-12, atol=1e-12)


def test_attention_is_differentiated_twice_as_finite_differences_say() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(8, spec_norm=False).double()
    nn.init.constant_(layer.gamma, 0.7)
    assert torch.autograd.gradgradcheck(layer, torch.randn(1, 8, 4, 4, dtype=torch.float64, requires_grad=True))


def test_conditional_batch_norm_is_its_formula() -> None:
    torch.manual_seed(0)
    layer = ConditionalBatchNorm(6, 4).double()
    layer.gain.eval(), layer.bias.eval()  # no power iteration between the two
    x, condition = 3 + 2 * torch.randn(5, 6, 4, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    mean = x.mean(dim=(0, 2, 3))
    normed = (x - mean[:, None, None]) / (x.var(dim=(0, 2, 3), correction=0)[:, None, None] + 1e-5).sqrt()
    gain, bias = (condition @ one.weight.T + one.bias for one in (layer.gain, layer.bias))
    expected = torch.einsum("bchw,bc->bchw", normed, 1 + gain) + bias[:, :, None, None]
    torch.testing.assert_close(layer(x, condition), expected, rtol=1e-11, atol=1e-11)
    reestimate_batch_norm(layer, lambda _: layer(x, condition), 2)
    torch.testing.assert_close(layer.norm.running_mean, mean)


@pytest.mark.parametrize("up", [True, False])
def test_resampling_is_bilinear_inside_and_sees_zeros_beyond_the_edge(up: bool) -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    found = Resample(up).double()(x)
    if up:
        expected = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    else:
        expected = functional.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], rtol=1e-12, atol=1e-12)
    if up:
        first = 9 / 16 * x[..., :1, :1]
    else:
        first = (torch.outer(*[torch.tensor([3.0, 3.0, 1.0]) / 8] * 2) * x[..., :3, :3]).sum(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(found[..., :1, :1], first, rtol=1e-12, atol=1e-12)


def test_r3gan_begins_as_its_resampling_alone_and_has_the_published_size() -> None:
    block = ResidualBlock(8, 4)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(x), x) and block.grouped.groups == 1
    assert ResidualBlock(12, 4).grouped.groups == 1 and ResidualBlock(20, 4).grouped.groups == 2
    assert block.expand.weight.std().item() == pytest.approx(1.386750490563073 * 4**-0.25 / 8**0.5, rel=0.15)
    with torch.device("meta"):
        generator = baselines.R3GanGenerator(32, 3, 768, 64)
        discriminator = baselines.R3GanDiscriminator(32, 3, 768)
    assert generator.stages[0][0].grouped.groups == 96 and len(generator.stages) == 4
    # 8 blocks of 2,583,552 each; basis, z and image of G; image, basis and head of D
    assert count_parameters(generator) == 8 * 2_583_552 + 12_288 + 49_152 + 2_304
    assert count_parameters(discriminator) == 8 * 2_583_552 + 2_304 + 12_288 + 768


def test_the_class_changes_the_image_and_shares_of_classes_mix_their_embeddings() -> None:
    network = built("g", "biggan of classes").eval()
    z, labels = torch.randn(1, LATENT).expand(3, LATENT), ONE_HOT[:2]
    shared = torch.cat([labels, 0.3 * labels[:1] + 0.7 * labels[1:]])
    images = network(torch.cat([z, shared], dim=1))
    assert all((images[a] - images[b]).abs().max() > 1e-3 for a, b in ((0, 1), (0, 2), (1, 2)))
    first, second, mixed = network.embedding(shared)
    torch.testing.assert_close(mixed, 0.3 * first + 0.7 * second)


def test_the_projection_adds_the_product_of_class_embedding_and_summed_features() -> None:
    network = built("d", "biggan of classes").double().eval()
    seen: list[Tensor] = []
    network.blocks[-1].register_forward_hook(lambda module, given, out: seen.append(out.relu().sum(dim=(2, 3))))
    images, labels = (part.double() for part in inputs("d", network, 4))
    found, h = network(images, labels), seen[0]
    projected = torch.stack([h[image] @ network.embedding.weight[:, image] for image in range(4)])
    assert projected.abs().min() > 1e-3 and hasattr(network.embedding, "parametrizations")
    torch.testing.assert_close(found, h @ network.head.weight[0] + network.head.bias + projected)


def test_averaged_weights_are_divided_by_their_own_spectral_norms() -> None:
    average = built("g", "biggan of classes")
    for parameter in average.parameters():  # as an average moves: without the buffers
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=3.0)
    found = [m.weight.flatten(1) for m in average.eval().modules() if "parametrizations" in dict(m.named_children())]
    assert len(found) == 1 + 2 * (2 * 2 + 3) + 4 + 1
    for weight in found:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1.0, abs=1e-4)
    settled = copy.deepcopy(average.state_dict())
    assert all(torch.equal(value, settled[key]) for key, value in average.eval().state_dict().items())


@pytest.mark.parametrize("name_g, name_d", PAIRS)
def test_sixty_steps_stay_finite_and_bring_the_mean_image_nearer(name_g: str, name_d: str, digits: ImageData) -> None:
    generator, discriminator, losses = built("g", name_g), built("d", name_d), []
    adam_g, adam_d = (adam([*network.parameters()], 2e-3, (0.0, 0.9)) for network in (generator, discriminator))
    assert digits.labels is not None
    mean = gather(digits, np.arange(len(digits))).mean(dim=0)

    def scores(*labels: Tensor) -> Callable[[Tensor], Tensor]:
        given = [torch.cat(labels)] if discriminator.classes else []
        return lambda images: discriminator(images, *given)

    def distance() -> float:
        return float((generator(*inputs("g", generator, 200)).detach().mean(dim=0) - mean).square().mean())

    before = distance()
    for _ in range(60):
        (z,), chosen = inputs("g", generator, 20), torch.randint(len(digits), (20,)).numpy()
        labels, real = torch.eye(CLASSES)[digits.labels[chosen]], gather(digits, chosen)
        found = discriminator_step(generator, scores(labels, ONE_HOT[:20]), adam_d, real, z)
        losses += [found.loss, generator_step(generator, scores(ONE_HOT[:20]), adam_g, z, [discriminator])]
    assert torch.isfinite(torch.stack(losses)).all()
    assert distance() < 0.85 * before
