"""The controller, its levels and rewards, the dynamic reset; and the random control beside it."""

from __future__ import annotations

import math
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from autogan_ray.base.errors import ConfigError
from autogan_ray.metrics.scores import RealSet, Statistics, frechet_distance, inception_score
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.relaxation import one_hot
from autogan_ray.search.dynamic_reset import PlateauDetector
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.methods.reinforce import Reinforce
from autogan_ray.search.methods.reinforce_parts.controller import BEGINNING, Controller
from autogan_ray.search.methods.reinforce_parts.levels import coarse, plan_levels
from autogan_ray.search.methods.reinforce_parts.reward import Reward, _coarse_real
from autogan_ray.search.methods.single_path import connected, uniform_path
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.part import Decision
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData
from autogan_ray.training.streams import to_uint8
from tests.search.toys import noise_images, pixels, search_of, through_a_file

TWO = (Decision("g.cell1.a", ("x", "y", "z")), Decision("g.cell1.b", ("p", "q")))


def reinforce(side: int = 8, space: str | SearchSpace = "autogan", **changes: Any) -> tuple[SearchLoop, Reinforce]:
    loop = search_of(noise_images(side=side), "reinforce", space, warmup=0.0, **changes)
    assert isinstance(loop.method, Reinforce)
    return loop, loop.method


def test_the_controller_draws_as_often_as_it_says_and_knows_how_likely_that_was() -> None:
    controller, rng = Controller(TWO, seed=0), torch.Generator().manual_seed(0)
    with torch.no_grad():
        controller.decoders[0].bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
        found = controller.sample([BEGINNING] * 3000, rng)
    counts = Counter(path["g.cell1.a"] for path in found.paths)
    shares = found.probabilities["g.cell1.a"][0].double()
    assert chisquare([counts[c] for c in "xyz"], 3000 * (shares / shares.sum()).numpy()).pvalue > 1e-3
    for index in range(5):
        product = entropy = 0.0
        for decision in TWO:
            row = found.probabilities[decision.name][index]
            product += math.log(row[decision.choices.index(found.paths[index][decision.name])])
            entropy -= sum(float(p) * math.log(p) for p in row)
        assert float(found.log_probability[index]) == pytest.approx(product, abs=1e-5)
        assert float(found.entropy[index]) == pytest.approx(entropy, abs=1e-5)


def test_a_later_choice_depends_on_an_earlier_one_and_on_where_the_sequence_starts() -> None:
    controller, rng = Controller(TWO, seed=0), torch.Generator().manual_seed(0)
    found = controller.sample([BEGINNING] * 60, rng)
    rows = {
        path["g.cell1.a"]: tuple(found.probabilities["g.cell1.b"][i].tolist()) for i, path in enumerate(found.paths)
    }
    assert len(rows) == len(set(rows.values())) == 3
    behind = controller.sample([found.start(0)], rng)
    assert not torch.equal(behind.probabilities["g.cell1.a"][0], found.probabilities["g.cell1.a"][0])
    assert behind.paths[0].keys() == found.paths[0].keys()


def test_a_planted_best_genotype_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    choices = {"up": ["nearest", "bilinear", "deconv_2x2"], "normal": ["skip", "conv_1x1", "conv_3x3"]}
    edges = [
        {"name": "u", "from": "in", "to": "a", "choices": "up"},
        {"name": "e", "from": "a", "to": "out", "choices": "normal"},
    ]
    cell = {"nodes": ["a", "out"], "output": "out", "edges": edges}
    parts = {"generator": {"kind": "dag", "choices": choices, "cell": cell}, "discriminator": {"kind": "autogan_fixed"}}
    space = SearchSpace.from_dict({"name": "two"} | parts)
    planted = {"g.cell1.u": "bilinear", "g.cell1.e": "conv_3x3"}

    def gained(self: Reward, path: Any, evaluator: Any) -> float:
        made = {d.name: d.choices[path[d.name].index] for d in space.decisions(4, "g")}
        return float(sum(made[name] == choice for name, choice in planted.items()))

    monkeypatch.setattr(Reward, "of", gained)
    loop, method = reinforce(
        4, space, controller_phases=1, controller_steps=200, kimg=0.004, evaluations=1, optim={"lr_controller": 3e-3}
    )
    shares = [row[planted[name]][1] for name, row in loop.net.table().items()]
    assert shares == pytest.approx([1 / 3, 1 / 3], abs=0.1)
    update = method.update_g(loop.current_step(), torch.zeros(4, 1, 4, 4), torch.zeros(4, 4))
    assert update is not None and -2 <= update.loss < -1  # minus the mean reward, which began at 2/3
    assert loop.net.genotype().choices == planted
    assert all(row[planted[name]][1] > 0.8 for name, row in loop.net.table().items())


def test_phases_are_spread_evenly_and_all_take_place() -> None:
    loop, method = reinforce(controller_phases=3, kimg=0.028)
    seen = []
    while loop.step_d < loop.total_steps:
        loop.step()
        seen.append(method._phase)
    assert seen == [0, 1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("size", "asked", "sides", "cells"),
    [
        (8, None, [8], [None]),
        (16, None, [8, 16], [1, None]),
        (32, None, [8, 16, 32], [1, 2, None]),
        (48, None, [12, 24, 48], [1, 2, None]),
        (32, 2, [16, 32], [2, None]),
        (32, 1, [32], [None]),
    ],
)
def test_levels_double_the_image_and_share_out_all_decisions(
    size: int, asked: int | None, sides: list[int], cells: list[int | None]
) -> None:
    space = load_space("alphagan")
    levels = plan_levels(space, size, asked, phases=65)
    assert [level.side for level in levels] == sides and [level.cells for level in levels] == cells
    assert tuple(d for level in levels for d in level.decisions) == space.decisions(size, "g")
    assert levels[-1].last_phase == 65
    if len(sides) == 3:
        assert [level.last_phase for level in levels] == [15, 36, 65]  # published: 15, 35, 65


def test_every_level_has_a_phase_and_more_levels_than_cells_are_refused() -> None:
    assert [level.last_phase for level in plan_levels(load_space("autogan"), 32, None, phases=3)] == [1, 2, 3]
    assert len(plan_levels(load_space("autogan"), 32, None, phases=2)) == 2
    with pytest.raises(ConfigError, match=r"search.levels = 4: .* has 3 cells at 32 px, so there are at most 3"):
        plan_levels(load_space("autogan"), 32, 4, phases=9)
    assert len(plan_levels(load_space("handmade"), 32, None, phases=9)) == 1


def test_a_generator_grows_and_the_next_level_starts_from_the_best_of_the_one_before() -> None:
    loop, method = reinforce(16, controller_phases=2, controller_samples=4, beam=2, kimg=0.016)
    z = torch.randn(2, 4)
    path = one_hot(loop.space.random(16, 0).choices, loop.net.arch_g.decisions)
    small = loop.net.generator(z, path)
    squares = small[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert small.shape == (2, 1, 16, 16) and torch.equal(small, squares)
    noise = torch.rand(1, 1, 16, 16)
    assert torch.allclose(method.as_seen_by_d(squares), squares)
    assert method.as_seen_by_d(noise)[0, 0, :2, :2].std() == 0
    later = [p for name, p in loop.net.generator.named_parameters() if name.startswith("cells.1.")]
    before = [p.detach().clone() for p in later]
    while method._phase == 0:
        loop.step()
    assert method._number == 1 and len(method._beam) == 2 and loop.net.generator.running is None
    assert all(torch.equal(one, other) for one, other in zip(before, later, strict=True))
    prefixes = [start.path for start in method._beam]
    assert all(set(prefix) == {d.name for d in method._levels[0].decisions} for prefix in prefixes)
    assert loop.net.genotype().choices.items() >= prefixes[0].items()
    for seed in range(5):
        drawn = method._sample(torch.Generator().manual_seed(seed)).paths[0]
        assert set(drawn) == {d.name for d in loop.net.arch_g.decisions}
        assert any(drawn.items() >= prefix.items() for prefix in prefixes)
    shares = loop.net.arch_g.table()["g.cell1.up"]
    assert shares[prefixes[0]["g.cell1.up"]][1] in (pytest.approx(0.5, abs=1e-3), pytest.approx(1, abs=1e-3))
    loop.step()
    assert not all(torch.equal(one, other) for one, other in zip(before, later, strict=True))


def test_a_search_saved_at_its_second_level_goes_on_the_same() -> None:
    (one, first), (other, second) = reinforce(16, kimg=0.02), reinforce(16, kimg=0.02)
    while first._number == 0:
        one.step()
    other.load_state_dict(through_a_file(one.state_dict()))
    assert second._number == 1 and other.net.generator.running is None
    one.step(), other.step()
    assert torch.equal(one.net.arch_g.logits, other.net.arch_g.logits)
    assert one.net.genotype() == other.net.genotype()
    assert one.scorer.derived(one.net.genotype()) == other.scorer.derived(other.net.genotype())


def test_coarse_images_have_the_means_of_their_squares() -> None:
    images = torch.rand(2, 1, 8, 8)
    found = coarse(images, 4)
    assert torch.allclose(found[1, 0, 2:4, 6:8], images[1, 0, 2:4, 6:8].mean().expand(2, 2))
    assert coarse(images, 8) is images


def test_coarse_real_images_have_each_class_whatever_the_order_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealSet, "KEPT", 51)
    black_and_white = np.tile(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1), (50, 1, 16, 16))
    data = ImageData.of("alternating", black_and_white, np.arange(100) % 2)
    context: Any = SimpleNamespace(data=data, evaluator=SimpleNamespace(extractor=pixels))
    kept = _coarse_real(context, 8).embedding
    assert len(kept) == 51 and 25 <= int((kept[:, 0] == 0).sum()) <= 26


def test_rewards_are_the_scores_of_the_averaged_generators_path() -> None:
    data = noise_images()
    for kind in ("fid", "is"):
        loop, method = reinforce(reward=kind)
        reward = Reward(method.context, 8)
        evaluator = reward.evaluator(seed=5)
        path = one_hot(loop.space.random(8, 1).choices, loop.net.arch_g.decisions)
        network = loop.ema.network.train()
        with torch.no_grad():
            images = torch.cat(
                [to_uint8(network(z, path)) for z in evaluator.protocol.latents(network.latents).split(24)]
            )
        features = pixels(images)
        fid = frechet_distance(
            Statistics.of(features.embedding), Statistics.of(pixels(torch.tensor(data.images)).embedding)
        )
        wanted = -math.log(fid) if kind == "fid" else inception_score(features.logits)[0]
        network.eval()
        assert len(images) == 20
        assert reward.of(path, evaluator) == pytest.approx(wanted, rel=1e-6)
        assert not network.training
        with torch.no_grad():
            network.to_image[2].bias.fill_(math.nan)
        assert reward.of(path, evaluator) is None


def test_training_has_stalled_where_the_losses_of_a_window_hardly_vary() -> None:
    rng = np.random.default_rng(0)
    for spread in (0.02, 0.05):
        losses = rng.normal(1, spread, 50)
        detector = PlateauDetector(50, 1e-3)
        for loss in losses:
            detector.add("d", torch.tensor(loss))
            detector.add("g", torch.tensor(rng.normal(0, 1)))
        assert detector.reached == (np.var(losses) < 1e-3) == (spread == 0.02)
    never = PlateauDetector(0, 1e-3)
    for _ in range(100):
        never.add("d", torch.tensor(1.0))
    assert not never.reached


def test_weights_start_anew_after_the_next_phase_of_the_controller_and_the_controller_does_not() -> None:
    loop, method = reinforce(reset_window=1, reset_variance=1e-3, controller_phases=2, kimg=0.016)
    loop.step()  # a single loss has no variance: training counts as stalled
    assert method._plateau.reached and method._phase == 0
    controller = [p.detach().clone() for p in method._controller.parameters()]
    assert len(loop._adam_g.state) > 0
    moved = [p.detach().clone() for p in loop.net.generator.parameters()]
    loop.step()
    assert method._phase == 1 and not method._plateau.reached
    assert len(loop._adam_g.state) == 0
    weights = [*loop.net.generator.parameters()]
    changes = [(a - b).abs().max() for a, b in zip(weights, moved, strict=True) if a.ndim == 4]
    assert min(changes) > 10 * loop.trial.optim.lr_g  # no step of Adam leads so far
    assert all(torch.equal(a, b) for a, b in zip(weights, loop.ema.network.parameters(), strict=True))
    steps = [(a - b).abs().max() for a, b in zip(method._controller.parameters(), controller, strict=True)]
    assert max(steps) <= 3 * loop.trial.optim.lr_controller


def test_the_random_control_has_uniform_probabilities_and_the_genotype_of_its_seed() -> None:
    for seed in (0, 3):
        loop = search_of(noise_images(), "random", "adversarialnas", seed=seed)
        assert loop.net.genotype() == loop.space.random(8, seed)
        loop.step()
        assert loop.net.genotype() == loop.space.random(8, seed)
        for row in loop.net.table().values():
            assert all(logit == 0 and share == pytest.approx(1 / len(row)) for logit, share in row.values())


def test_paths_are_uniform_among_the_connected_ones() -> None:
    net, rng = search_of(noise_images(), "random", "adversarialnas/fixed").net, torch.Generator().manual_seed(0)
    paths = [uniform_path(net, net.arch_g.decisions, rng) for _ in range(1000)]
    assert all(connected(net, path) for path in paths)
    ups = Counter(path["g.cell1.u0"] for path in paths)
    assert chisquare(list(ups.values())).pvalue > 1e-3  # up-sampling never disconnects
    pairs = Counter((path["g.cell1.e0"] == "none") + (path["g.cell1.e1"] == "none") for path in paths)
    # n2 needs one of two edges of 7 choices each: 36 pairs have both, 12 one, 1 none, which is no network.
    assert pairs[2] == 0 and chisquare([pairs[0], pairs[1]], [1000 * 36 / 48, 1000 * 12 / 48]).pvalue > 1e-3


def test_a_growing_generator_is_scored_as_far_as_it_has_grown() -> None:
    loop, _ = reinforce(16)
    network = loop.scorer.derived_generator(loop.net.genotype())
    assert isinstance(network, Generator) and network.running == 1
    images = network(torch.randn(2, 4))
    assert torch.equal(images[..., ::2, ::2], images[..., 1::2, 1::2])
