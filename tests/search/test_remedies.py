"""Remedies around a search: when they act, that they reach the logits, exact resume, and nothing when off."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.sections import RemediesConfig
from autogan_ray.config.study import TrialConfig
from autogan_ray.nets.relaxation import SingleChoice
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.penalties import penalty, relative_cost
from autogan_ray.search.remedies import Remedies
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData

STEPS = 12


def tiny() -> SearchSpace:
    """Both networks as DAGs, with just enough choices to lose three."""
    values = load_space("adversarialnas").to_dict()
    values["generator"]["choices"] = {
        "up": ["nearest_conv_1x1", "deconv_3x3_depthwise"],
        "normal": ["none", "skip", "conv_1x1", "conv_3x3"],
    }
    values["discriminator"]["choices"] = {
        "first": ["conv_1x1", "conv_3x3"],
        "normal": ["none", "skip", "conv_1x1"],
        "down": ["avg_pool", "down_conv_3x3"],
    }
    return SearchSpace.from_dict(values)


TINY = tiny()


def loop_of(data: ImageData, remedies: dict[str, Any], **changes: Any) -> SearchLoop:
    search = {"batch_size": 4, "kimg": 0.048, "d_steps_per_g_step": 2, "warmup": 0.25, "relaxation": "softmax"}
    plain = {
        "space": changes.pop("space", "adversarialnas"),
        "model": {"channels_g": 4, "channels_d": 4, "latent_dim": 8, "norm_g": "batch"},
        "optim": {"lr_arch_g": 0.1, "lr_arch_d": 0.1},
        "search": search | changes,
        "remedies": remedies,
    }
    trial = TrialConfig.parse(plain, "test", ConfigError)
    evaluator: Any = None  # no step asks for it
    space = TINY if trial.space == "adversarialnas" else load_space(trial.space)
    found = SearchLoop(trial, space, data, evaluator, evaluations=4)
    assert found.total_steps == STEPS
    return found


def steps(loop: SearchLoop, number: int) -> SearchLoop:
    for _ in range(number):
        loop.step()
    return loop


def assert_same(one: Any, other: Any) -> None:
    """Two states, bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert_same(value, other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


ALL = {"zero_one_weight": 0.3, "cost_weight_g": 0.2, "cost_weight_d": 0.1, "shrink_at": [0.3, 0.5, 0.9]}


@pytest.mark.parametrize(
    ("relaxation", "remedies"),
    [
        ("softmax", ALL | {"auxiliary_skip": 0.5}),
        ("gumbel_hard", {"entropy_weight": 0.5, "shrink_at": [0.3, 0.5, 0.9]}),
        ("gumbel", {"auxiliary_skip": 1.0, "shrink_at": [0.9]}),
    ],
)
def test_a_search_that_is_saved_and_loaded_goes_on_exactly(
    digits: ImageData, relaxation: str, remedies: dict[str, Any]
) -> None:
    straight = steps(loop_of(digits, remedies, relaxation=relaxation), STEPS)
    buffer = io.BytesIO()
    torch.save(steps(loop_of(digits, remedies, relaxation=relaxation), 7).state_dict(), buffer)
    second = loop_of(digits, remedies, relaxation=relaxation)
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    steps(second, STEPS - 7)
    assert_same(second.state_dict(), straight.state_dict())
    assert second.net.table() == straight.net.table() and second.net.genotype() == straight.net.genotype()


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel_hard"])
def test_remedies_that_are_all_off_change_no_bit_of_a_search(digits: ImageData, relaxation: str) -> None:
    without, idle = (loop_of(digits, {}, relaxation=relaxation) for _ in range(2))
    assert without.remedies is None
    idle.remedies = Remedies(idle.net, idle.trial, idle.total_steps)
    assert_same(steps(without, 6).state_dict(), steps(idle, 6).state_dict())


def test_the_auxiliary_skip_falls_to_nothing_and_is_never_scored(digits: ImageData) -> None:
    loop = loop_of(digits, {"auxiliary_skip": 0.5})
    seen: list[float] = []
    for arch in (loop.net.arch_g, loop.net.arch_d):
        select = arch.select

        def note(*given: Any, select: Any = select) -> Any:
            found = select(*given)
            seen.append(found.auxiliary)
            return found

        arch.select = note  # type: ignore[method-assign]
    for step in range(STEPS):
        seen.clear()
        loop.step()
        assert set(seen) == {0.5 * (1 - step / (STEPS - 1))}
        assert loop.net.arch_g.auxiliary == loop.net.arch_d.auxiliary == 0
    assert set(seen) == {0}  # the last step
    assert loop.remedies is not None
    with loop.remedies.during(0):
        assert loop.net.arch_g.auxiliary == 0.5
        z, expected, drawn = torch.ones(2, 8), loop.net.arch_g.expected(), loop.net.arch_g.select
        plain = loop.net.generator(z, {**expected})
        assert torch.equal(loop.net.generator(z, expected), plain)
        mixture = drawn("softmax", 1.0, torch.Generator())
        assert not torch.equal(loop.net.generator(z, mixture), plain)
    with loop.remedies.during(STEPS - 1):
        mixture = loop.net.arch_g.select("softmax", 1.0, torch.Generator())
        assert torch.equal(loop.net.generator(z, mixture), loop.net.generator(z, {**mixture}))


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel_hard"])
@pytest.mark.parametrize("network", ["g", "d"])
def test_the_gradient_of_a_step_is_the_losses_and_the_penaltys(
    digits: ImageData, relaxation: str, network: str
) -> None:
    settings = {"zero_one_weight": 0.4, f"cost_weight_{network}": 0.3}
    # Where D's logits move, G's loss is that of another D: so G alone is searched when its gradient is looked at.
    plain, treated = (
        loop_of(digits, given, relaxation=relaxation, search_d=network == "d") for given in ({}, settings)
    )
    for loop in (plain, treated):
        for arch in (loop.net.arch_g, loop.net.arch_d):
            with torch.no_grad():  # away from even decisions, where the zero-one loss has no gradient
                arch.logits.copy_(torch.randn(arch.logits.shape, generator=torch.Generator().manual_seed(1)))
        steps(loop, 3)  # the warm-up
    net, remedies = treated.net, treated.remedies
    assert remedies is not None
    wanted = penalty(net.arch_g, net.arch_d, RemediesConfig(**settings), 0.0, remedies._costs)
    logits = net.arch_g.logits if network == "g" else net.arch_d.logits
    (grad,) = torch.autograd.grad(wanted, [logits])
    plain.step(), treated.step()
    without = (plain.net.arch_g if network == "g" else plain.net.arch_d).logits.grad
    assert logits.grad is not None and without is not None and grad.abs().max() > 1e-3
    torch.testing.assert_close(logits.grad - without, grad, rtol=1e-4, atol=1e-6)


def test_the_entropys_weight_grows_from_the_end_of_the_warm_up_to_the_last_step(digits: ImageData) -> None:
    remedies = loop_of(digits, {"entropy_weight": 0.5}).remedies
    assert remedies is not None
    found = [remedies._progress(step) for step in range(STEPS)]
    assert found == pytest.approx([0.0] * 4 + [step / 8 for step in range(1, 9)])


@pytest.mark.parametrize("relaxation", ["softmax", "gumbel_hard"])
def test_a_cost_whose_weight_drowns_the_losses_falls(digits: ImageData, relaxation: str) -> None:
    loop = loop_of(digits, {"cost_weight_g": 1e4, "cost_weight_d": 1e4}, warmup=0.0, relaxation=relaxation)
    steps(loop, STEPS)
    for network, arch in (("g", loop.net.arch_g), ("d", loop.net.arch_d)):
        assert loop.remedies is not None
        assert float(relative_cost(arch, loop.remedies._costs[network]).detach()) < 0.95


def test_decisions_lose_their_weakest_choice_at_the_steps_asked_for(digits: ImageData) -> None:
    loop = loop_of(digits, {"shrink_at": [0.3, 0.5, 0.99]}, relaxation="gumbel_hard")
    sizes = {d.name: len(d.choices) for d in loop.net.space.decisions(8)}
    drawn: dict[str, set[int]] = {name: set() for name in sizes}
    for step in range(STEPS):
        before = loop.net.table()
        loop.step()
        left = loop.net.arch_g.left() | loop.net.arch_d.left()
        lost = sum(step >= at for at in (4, 6, 11))  # 0.3 * 12 = 3.6, and the last step for what is behind it
        for name, size in sizes.items():
            assert len(left[name]) == max(1, size - lost) or "none" in left[name]
        if step in (4, 6, 11):
            table = loop.net.table()
            for name, row in table.items():
                gone = [c for c, (_, p) in row.items() if p == 0 and before[name][c][1] > 0]
                assert all(before[name][c][1] <= min(before[name][k][1] for k in left[name]) for c in gone)
                assert sum(p for _, p in row.values()) == pytest.approx(1)
    for _ in range(50):
        for name, weights in loop.net.arch_g.select("gumbel_hard", 1.0, torch.Generator().manual_seed(0)).items():
            assert isinstance(weights, SingleChoice)
            drawn[name].add(weights.index)
    choices = {d.name: d.choices for d in loop.net.arch_g.decisions}
    assert all(choices[name][at] in left[name] for name in choices for at in drawn[name])
    loop.net.space.check(loop.net.genotype())


def test_a_d_that_is_not_searched_is_not_shrunk(digits: ImageData) -> None:
    loop = steps(loop_of(digits, {"shrink_at": [0.3]}, search_d=False), 6)
    assert all(len(loop.net.arch_d.left()[d.name]) == len(d.choices) for d in loop.net.arch_d.decisions)
    assert all(len(loop.net.arch_g.left()[d.name]) == len(d.choices) - 1 for d in loop.net.arch_g.decisions)


def test_a_search_refuses_a_space_that_gives_a_remedy_nothing_to_work_on(digits: ImageData) -> None:
    with pytest.raises(ConfigError, match="no decision of space 'autogan/fixed' has the choice 'skip'"):
        loop_of(digits, {"auxiliary_skip": 0.5}, space="autogan/fixed")
    with pytest.raises(ConfigError, match="nothing to decide in D"):
        loop_of(digits, {"cost_weight_d": 0.5}, space="adversarialnas/fixed")
