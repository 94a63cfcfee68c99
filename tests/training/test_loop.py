"""Training from scratch: exact resume for every kind of network, classes reach D, nothing global is left changed."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
import torch

from autogan_ray.config.sections import RetrainConfig
from autogan_ray.nets.gan import Discriminator, Generator, Latents
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.published import load_genotype
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData
from autogan_ray.training.loop import TrainLoop

SHARES = (0.1,) * 10
CONFIG = RetrainConfig(kimg=0.096, batch_size=8, batch_size_g=6, d_steps_per_g_step=2, lr_g=1e-3, lr_d=1e-3,
                       ema=0.5, evaluations=4)  # fmt: skip


GAME = CONFIG.model_copy(update={
    "objective": "relativistic", "gamma": 0.5, "gamma_end": 0.1, "penalty_every": 2, "flip": True, "augment": "cutout",
    "schedule": "linear", "ema_unbiased": True, "clip_grad_norm": 1e-3,
})  # fmt: skip
"""All that a game can have."""


def train_loop(
    data: ImageData,
    networks: tuple[str, str],
    shares: tuple[float, ...] = (),
    seed: int = 0,
    device: str = "cpu",
    config: RetrainConfig = CONFIG,
) -> TrainLoop:
    """Networks named ``dcgan``, ``stylegan2``, ``biggan``, or of AutoGAN's space where the name is none of these."""
    norm = config.spectral_norm_in_force
    shape = Shape(8, 1, channels_g=8, channels_d=8, latent_dim=12, class_shares=shares, spectral_norm_d=norm)

    def part(name: str, which: str) -> tuple[SearchSpace, dict[str, str]]:
        if name in ("dcgan", "stylegan2", "biggan"):
            return load_space("handmade"), {f"{which}.whole.network": name}
        space = load_space(name)
        return space, space.random(8, 0).choices

    def build() -> tuple[Generator, Discriminator]:
        (space_g, choices_g), (space_d, choices_d) = part(networks[0], "g"), part(networks[1], "d")
        return Generator(space_g, shape, choices_g), Discriminator(space_d, shape, choices_d)

    return TrainLoop(build, config, data, seed, device)


def flat(state: Any, lead: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{lead}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for index, value in enumerate(state) for k, v in flat(value, f"{lead}.{index}").items()}
    return {lead: state}


CASES = [
    (("autogan/fixed", "autogan/fixed"), ()),
    (("dcgan", "dcgan"), ()),
    (("stylegan2", "autogan/fixed"), ()),
    (("biggan", "biggan"), ()),
    (("biggan", "biggan"), SHARES),
]


@pytest.mark.parametrize("config", [CONFIG, GAME], ids=["hinge", "relativistic"])
@pytest.mark.parametrize(("networks", "shares"), CASES)
def test_two_n_images_equal_n_then_save_and_load_then_n(
    digits: ImageData, networks: tuple[str, str], shares: tuple[float, ...], config: RetrainConfig
) -> None:
    scores = iter([3.0, 1.0, 2.0, 4.0])
    straight = train_loop(digits, networks, shares, config=config)
    global_before = torch.random.get_rng_state()
    while straight.run(lambda network: next(scores)):
        pass
    assert torch.equal(global_before, torch.random.get_rng_state())
    scores = iter([3.0, 1.0, 2.0, 4.0])
    first = train_loop(digits, networks, shares, config=config)
    assert first.run(lambda network: next(scores)) and first.run(lambda network: next(scores))
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    torch.manual_seed(99)  # the global generator plays no part
    second = train_loop(digits, networks, shares, config=config)
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    while second.run(lambda network: next(scores)):
        pass
    one, other = flat(straight.state_dict()), flat(second.state_dict())
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[key]), key
        elif key.rpartition(".")[2] not in (
            "spent_s",
            "wall_s",
            "images_per_s",
            "timestamp",
            "peak_mem_mib",
            "attempt",
        ):
            assert value == other[key], key
    assert [point["attempt"] for point in second.curve] == [0, 0, 1, 1]
    for before, point in itertools.pairwise([{"wall_s": 0.0, "timestamp": 0.0, "kimg": 0.0}, *second.curve]):
        assert point["wall_s"] > before["wall_s"] and point["timestamp"] > before["timestamp"]
        assert point["images_per_s"] > 0 and point["peak_mem_mib"] > 0 and point["kimg"] > before["kimg"]
    assert straight.best["fid"] == 1.0 and straight.best["kimg"] == pytest.approx(0.048)


def test_the_last_step_is_made_a_step_short_of_the_ends_of_its_schedules(digits: ImageData) -> None:
    loop = train_loop(digits, ("dcgan", "dcgan"), config=GAME.model_copy(update={"beta2_end": 0.5, "lr_g": 1.0}))
    count = loop.total_steps
    while loop.step_d < count:
        loop.step()
    (group,) = loop._adam_g.param_groups
    assert count == 12 and group["lr"] == pytest.approx(1 / count)
    assert group["betas"][1] == pytest.approx(0.5 + (0.9 - 0.5) / count)
    last, end = (2 * loop._game.losses(step, torch.Generator()).steady.penalty for step in (count - 1, count))
    assert end == pytest.approx(0.1) and last > end


def test_the_average_of_a_generator_with_spectral_norm_has_the_norms_of_its_weights(digits: ImageData) -> None:
    loop = train_loop(digits, ("biggan", "biggan"))
    while loop.step_d < 12:
        loop.step()
    average = loop.ema.network.eval()
    norms = []
    for module in average.modules():
        if hasattr(module, "parametrizations"):
            norms.append(float(torch.linalg.matrix_norm(module.weight.flatten(1), 2)))
    # One power iteration a step: near 1, and not what stale vectors of the first weights would give.
    assert norms and all(0.9 < norm < 1.3 for norm in norms), norms


def test_classes_of_real_and_fake_images_reach_d_in_the_order_of_the_images(
    digits: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = train_loop(digits, ("biggan", "biggan"), SHARES)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    real = loop.discriminator.forward

    def spy(images: torch.Tensor, *, classes: torch.Tensor) -> torch.Tensor:
        seen.append((images.detach(), classes))
        return real(images, classes=classes)

    monkeypatch.setattr(loop.discriminator, "forward", spy)
    loop.step(), loop.step()
    assert digits.labels is not None
    assert [len(images) for images, _ in seen] == [16, 16, 6]
    for images, classes in seen:
        assert classes.shape == (len(images), 10) and torch.equal(classes.sum(1), torch.ones(len(images)))
    indices = loop._stream.indices_at(0)
    assert torch.equal(seen[0][1][:8].argmax(1), torch.from_numpy(digits.labels[indices]))
    assert torch.allclose(seen[0][0][:8], torch.from_numpy(digits.images[indices]).float() / 127.5 - 1)


def test_latents_draw_classes_by_their_shares_and_a_wanted_class_alone() -> None:
    latents = Latents(3, (0.7, 0.3))
    z = latents.draw(4000, torch.Generator().manual_seed(0))
    assert z.shape == (4000, 5) and torch.equal(z[:, 3:].sum(1), torch.ones(4000))
    assert float(z[:, 3].mean()) == pytest.approx(0.7, abs=0.03)
    assert torch.equal(latents.draw(5, torch.Generator().manual_seed(0), label=1)[:, 4], torch.ones(5))
    assert Latents(3).draw(4, torch.Generator()).shape == (4, 3) and Latents(3).classes_of(z) is None


def test_a_z_of_the_wrong_width_is_refused_by_number() -> None:
    shape = Shape(8, 1, 4, 4, 12, class_shares=SHARES)
    generator = Generator(load_space("handmade"), shape, {"g.whole.network": "biggan"})
    with pytest.raises(ValueError, match=r"z has 12 columns; .* latent_dim = 12 and behind them a one-hot class of 10"):
        generator(torch.randn(2, 12))
    assert generator(generator.latents.draw(2, torch.Generator())).shape == (2, 1, 8, 8)


def test_sngan_resnet_is_a_point_of_autogans_space() -> None:
    """Twice batch norm, ReLU, conv3, up before the first; beside them up, conv1 (Miyato et al. 2018)."""
    import autogan_ray as ag

    generator = ag.build_generator(load_genotype("sngan-resnet"), channels=256, latent_dim=128)
    block = 2 * (9 * 256 * 256 + 256) + (256 * 256 + 256) + 2 * 2 * 256
    expected = (128 + 1) * 16 * 256 + 3 * block + 2 * 256 + 9 * 256 * 3 + 3
    assert sum(p.numel() for p in generator.parameters()) == expected


def test_gradients_of_both_networks_are_clipped_and_a_norm_beyond_them_changes_no_bit(digits: ImageData) -> None:
    def after_two_steps(clip: float | None) -> TrainLoop:
        loop = train_loop(digits, ("dcgan", "dcgan"), config=CONFIG.model_copy(update={"clip_grad_norm": clip}))
        loop.step(), loop.step()
        return loop

    def norms(loop: TrainLoop) -> list[float]:
        found = []
        for network in (loop.generator, loop.discriminator):
            slopes = [p.grad for p in network.parameters() if p.grad is not None]
            found.append(torch.nn.utils.get_total_norm(slopes).item())
        return found

    off, wide, clipped = after_two_steps(None), after_two_steps(1e6), after_two_steps(1e-3)
    assert min(norms(off)) > 0.01 and norms(clipped) == pytest.approx([1e-3, 1e-3], rel=0.01)
    for one, other in zip(off.generator.parameters(), wide.generator.parameters(), strict=True):
        assert torch.equal(one, other)
