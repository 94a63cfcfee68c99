"""What every search method must fulfil on every space."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from autogan_ray.config.methods import METHODS
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.methods.base import ArchitectureMethod
from autogan_ray.search.methods.registry import method_named
from autogan_ray.training.data import ImageData
from tests.search.toys import assert_same, cloned, noise_images, search_of, through_a_file

SPACES = ["adversarialnas", "autogan", "autogan/adversarialnas", "adversarialnas/fixed", "alphagan", "autogan/eagan"]
KINDS: dict[str, dict[str, Any]] = {
    "adversarial": {"method": "adversarial", "relaxation": "gumbel_hard"},
    "unrolled": {"method": "adversarial", "unrolled": True, "relaxation": "gumbel_hard"},
    "duality_gap": {"method": "duality_gap", "gap_inner_steps": 1, "relaxation": "gumbel_hard"},
    "reinforce": {"method": "reinforce"},
    "random": {"method": "random"},
}
"""Each method, and adversarial search with its second order; one path runs, as that is the cheapest."""
STILL = {"random"}
"""Kinds that move no logits of G."""
STILL_IN_D = STILL | {"reinforce"}
"""Kinds that move no logits of D."""


@pytest.fixture(scope="module")
def data() -> ImageData:
    return noise_images()


def search(data: ImageData, kind: str, space: str, **changes: Any) -> SearchLoop:
    return search_of(data, space=space, **KINDS[kind] | {"kimg": 0.016} | changes)


def test_every_method_of_the_configuration_has_its_file_and_is_tested_here() -> None:
    methods = set(METHODS)
    assert methods == {kind["method"] for kind in KINDS.values()}
    assert all(issubclass(method_named(name), ArchitectureMethod) for name in methods)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_runs_leaves_no_trace_of_its_evaluations_and_goes_on_from_a_saved_state(
    data: ImageData, kind: str, space: str
) -> None:
    loop = search(data, kind, space, warmup=0.0)
    loop.step()
    saved = cloned(loop.state_dict())
    noise, modes = torch.random.get_rng_state(), [m.training for m in loop.net.generator.modules()]
    scores = loop.scorer.derived(loop.net.genotype()), loop.scorer.supernet()
    assert all(score.fid is not None and math.isfinite(score.fid) for score in scores)
    assert_same(loop.state_dict(), saved)
    assert torch.equal(noise, torch.random.get_rng_state())
    assert modes == [m.training for m in loop.net.generator.modules()]
    loop.step()
    end = cloned(loop.state_dict())
    loop.load_state_dict(saved)
    loop.step()
    assert_same(loop.state_dict(), end)
    loop.space.check(loop.net.genotype())  # connected, one choice at each decision


@pytest.mark.parametrize("objective", ["non_saturating", "relativistic"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_under_every_objective_goes_on_from_a_saved_state(data: ImageData, kind: str, objective: str) -> None:
    """With all that a game can have: lazy penalties on a schedule, mirrored and augmented images, falling rates."""
    game = {"objective": objective, "gamma": 0.5, "gamma_end": 0.1, "penalty_every": 2, "flip": True}
    optim = {"schedule": "cosine", "beta2_end": 0.99, "ema_half_life_kimg": 0.01, "ema_unbiased": True}
    optim |= {"lr_arch_g": 0.1, "lr_arch_d": 0.1, "lr_controller": 0.01}

    def begun() -> SearchLoop:
        extra = {"augment": "color,translation,cutout", "batch_size_g": 6, "optim": optim}
        return search(data, kind, "autogan/adversarialnas", warmup=0.0, **game, **extra)

    straight, first, second = begun(), begun(), begun()
    for _ in range(3):
        straight.step()
    first.step()
    second.load_state_dict(through_a_file(first.state_dict()))
    torch.manual_seed(5)
    second.step(), second.step()
    assert_same(second.state_dict(), straight.state_dict())
    moved = [math.isfinite(float(p.detach().abs().sum())) for p in straight.net.discriminator.parameters()]
    assert all(moved) and not any(
        "parametrizations" in name for name, _ in straight.net.discriminator.named_parameters()
    )


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel"])
@pytest.mark.parametrize("space", SPACES)
def test_a_mixture_is_searched_with_gradient_penalties(data: ImageData, space: str, relaxation: str) -> None:
    remedies = {"entropy_weight": 0.1, "shrink_at": [0.5]}
    changes = {"objective": "relativistic", "warmup": 0.0, "relaxation": relaxation, "remedies": remedies}
    loop = search_of(data, "adversarial", space, kimg=0.008, **changes)
    before = loop.net.arch_g.logits.detach().clone()
    (*_, last) = loop.records()
    assert not last.diverged and last.fid_derived is not None and not torch.equal(before, loop.net.arch_g.logits)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "adversarial"])
def test_a_search_saved_in_one_process_goes_on_in_another(data: ImageData, kind: str) -> None:
    straight, first = search(data, kind, "alphagan"), search(data, kind, "alphagan")
    whole = [record.to_dict() for record in straight.records()]
    records = first.records()
    next(records)
    first.step()
    second = search(data, kind, "alphagan")
    second.load_state_dict(through_a_file(first.state_dict()))
    torch.manual_seed(5)
    rest = [record.to_dict() for record in second.records()]
    json.dumps(rest, allow_nan=False)
    timing = {"images_per_s", "eval_s", "peak_mem_mib"}
    assert {k: v for k, v in rest[0].items() if k not in timing} == {
        k: v for k, v in whole[1].items() if k not in timing
    }
    assert_same(second.state_dict(), straight.state_dict())


@pytest.mark.parametrize("space", ["adversarialnas", "adversarialnas/fixed"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_update_of_an_architecture_moves_no_weight_and_asks_no_weight_for_a_gradient(
    data: ImageData, kind: str, space: str
) -> None:
    loop = search(data, kind, space, warmup=0.0, **({"controller_phases": 4} if kind == "reinforce" else {}))
    net, real, z = loop.net, torch.rand(4, 1, 8, 8), torch.randn(4, 4)
    networks = (net.generator, net.discriminator, loop.ema.network)
    before = [p.detach().clone() for network in networks for p in network.parameters()]
    logits = net.arch_g.logits.detach().clone(), net.arch_d.logits.detach().clone()
    step = loop.current_step()
    loop.method.begin_step(step)
    loop.method.update_d(step, real, z), loop.method.update_g(step, real, z)
    after = [p for network in networks for p in network.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert all(p.grad is None for p in after)
    assert all(p.requires_grad for network in networks[:2] for p in network.parameters())
    storages = {p.data_ptr() for p in after}
    assert not storages & {one.logits.data_ptr() for one in (net.arch_g, net.arch_d) if len(one)}
    assert torch.equal(logits[0], net.arch_g.logits) == (kind in STILL)
    moves_d = kind not in STILL_IN_D and len(net.arch_d) > 0
    assert torch.equal(logits[1], net.arch_d.logits) != moves_d


@pytest.mark.parametrize("kind", KINDS)
def test_no_logit_moves_during_the_warm_up(data: ImageData, kind: str) -> None:
    loop = search(data, kind, "adversarialnas/fixed", warmup=0.5)
    start = loop.net.arch_g.logits.detach().clone()
    loop.step(), loop.step()
    assert torch.equal(start, loop.net.arch_g.logits)
    loop.step(), loop.step()
    assert torch.equal(start, loop.net.arch_g.logits) == (kind in STILL)


@pytest.mark.parametrize("kind", ["reinforce", "random"])
def test_methods_of_single_paths_run_the_same_architecture_in_both_steps_on_weights(data: ImageData, kind: str) -> None:
    loop = search(data, kind, "autogan/adversarialnas")
    seen: list[tuple[str, dict[str, Any]]] = []
    for name, network in (("g", loop.net.generator), ("d", loop.net.discriminator)):
        network.register_forward_pre_hook(lambda _, args, name=name: seen.append((name, args[1])))
    loop.step()
    paths = {name: [selection for network, selection in seen if network == name] for name in "gd"}
    assert len(paths["g"]) == len(paths["d"]) == 2
    assert all(found[0] == found[1] for found in paths.values())
    choices = {d.name: d.choices[paths["g"][0][d.name].index] for d in loop.net.arch_g.decisions}
    choices |= {d.name: d.choices[paths["d"][0][d.name].index] for d in loop.net.arch_d.decisions}
    loop.space.check(loop.space.genotype(choices, 8))
    loop.step()
    assert seen[-1][1] != seen[0][1]
