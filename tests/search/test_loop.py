"""The search loop: exact resume, evaluations that leave no trace, frozen warm-up, divergence."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.diverged import DIVERGED_FID
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.methods.duality_gap import DualityGap
from autogan_ray.search.record import SearchRecord
from autogan_ray.search.tuning import WeightTuner
from autogan_ray.spaces.load import load_space
from autogan_ray.training.data import ImageData
from autogan_ray.training.schedules import scheduled
from tests.search.toys import noise_images, search_of

TIMING = {"images_per_s", "eval_s", "peak_mem_mib"}


@pytest.fixture(scope="module")
def evaluator(digits: ImageData, extractor_weights: ExtractorWeights) -> Evaluator:
    extractor = Extractor(extractor_weights)
    return Evaluator(extractor, RealSet.of(extractor, digits.images), Protocol(64, 32, 2), "cpu")


def loop_of(evaluator: Evaluator, data: ImageData, evaluations: int = 4, **changes: Any) -> SearchLoop:
    search = {"batch_size": 8, "kimg": 0.096, "d_steps_per_g_step": 2, "warmup": 0.25, "relaxation": "gumbel"}
    plain = {
        "space": changes.pop("space", "autogan/adversarialnas"),
        "model": {"channels_g": 4, "channels_d": 4, "latent_dim": 8, "norm_g": "batch"},
        "optim": changes.pop("optim", {"lr_arch_g": 0.1, "lr_arch_d": 0.1}),
        "search": search | changes,
    }
    trial = TrialConfig.parse(plain, "test", ConfigError)
    return SearchLoop(trial, load_space(trial.space), data, evaluator, evaluations=evaluations)


def flat(state: Any, lead: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{lead}.{key}").items()}
    if isinstance(state, list | tuple):
        return {k: v for index, value in enumerate(state) for k, v in flat(value, f"{lead}.{index}").items()}
    return {lead: state}


def assert_same(one: Any, other: Any) -> None:
    left, right = flat(one), flat(other)
    assert left.keys() == right.keys()
    for key, value in left.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, right[key]), key
        else:
            assert value == right[key], key


def told(record: SearchRecord) -> dict[str, Any]:
    return {key: value for key, value in record.to_dict().items() if key not in TIMING}


@pytest.mark.parametrize("space", ["adversarialnas", "autogan/adversarialnas"])
@pytest.mark.parametrize("relaxation", ["softmax", "gumbel", "gumbel_hard"])
def test_two_n_images_equal_n_then_save_and_load_then_n(
    digits: ImageData, evaluator: Evaluator, space: str, relaxation: str
) -> None:
    check_resume(evaluator, digits, space=space, relaxation=relaxation)


def test_a_search_with_clipped_gradients_is_resumed_bit_for_bit(digits: ImageData, evaluator: Evaluator) -> None:
    check_resume(evaluator, digits, optim={"lr_arch_g": 0.1, "lr_arch_d": 0.1, "clip_grad_norm": 1e-3})


def check_resume(evaluator: Evaluator, digits: ImageData, **settings: Any) -> None:
    straight = loop_of(evaluator, digits, **settings)
    whole = [told(record) for record in straight.records()]
    first = loop_of(evaluator, digits, **settings)
    records = first.records()
    begun = [told(next(records)), told(next(records))]
    first.step()  # in the middle between two evaluations
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    torch.manual_seed(12345)  # the global generator plays no part
    second = loop_of(evaluator, digits, **settings)
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    rest = [told(record) for record in second.records()]
    assert begun + rest == whole
    assert_same(second.state_dict(), straight.state_dict())


def norm_of(network: torch.nn.Module) -> float:
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]).item()


def test_gradients_of_weights_are_clipped_and_those_of_logits_are_not(digits: ImageData, evaluator: Evaluator) -> None:
    def norms(clip: float | None) -> list[float]:
        optim = {"lr_arch_g": 0.1, "lr_arch_d": 0.1, "clip_grad_norm": clip}
        loop = loop_of(evaluator, digits, warmup=0.0, optim=optim)
        loop.step(), loop.step()
        logits = [
            one.logits.grad.norm().item() for one in (loop.net.arch_g, loop.net.arch_d) if one.logits.grad is not None
        ]
        return [norm_of(loop.net.generator), norm_of(loop.net.discriminator), *logits]

    weights_g, weights_d, *logits = norms(1e-6)
    assert [weights_g, weights_d] == pytest.approx([1e-6, 1e-6], rel=0.01)
    assert len(logits) == 2 and min(logits) > 1e-4
    assert min(norms(None)) > 1e-4 and norms(None) == norms(1e6)


def test_gradients_of_opponents_and_of_weights_between_decisions_are_clipped_too(
    digits: ImageData, evaluator: Evaluator
) -> None:
    loop = loop_of(evaluator, digits, method="duality_gap", warmup=0.0, optim={"clip_grad_norm": 1e-6})
    loop.step()
    assert isinstance(loop.method, DualityGap)
    opponents = [norm_of(loop.method._worst_g), norm_of(loop.method._worst_d)]
    trial = loop.trial.model_copy(update={"derive": loop.trial.derive.model_copy(update={"tune_steps": 1})})
    cpu = torch.device("cpu")
    tuner = WeightTuner(loop.net, loop.ema, trial, loop._feed, np.arange(40), cpu)
    with tuner.restored():
        tuner.tune(loop.net.arch_g.expected())
        tuned = [norm_of(loop.net.generator), norm_of(loop.net.discriminator)]
    assert opponents + tuned == pytest.approx([1e-6] * 4, rel=0.01)


HALFWAY = {"schedule": "linear", "lr_g": 0.02, "lr_d": 0.04, "beta2_end": 0.99}
AS_HALFWAY = {"lr_g": 0.01, "lr_d": 0.02, "betas": (0.0, 0.9 + (0.99 - 0.9) * 0.5)}
"""The constant rates and betas of the middle of that schedule."""


@pytest.mark.parametrize("method", ["adversarial", "duality_gap"])
def test_steps_that_are_undone_take_the_rates_of_the_step(method: str) -> None:
    def losses(optim: dict[str, Any], part: float = 0.5) -> list[float]:
        loop = search_of(noise_images(), method, unrolled=method == "adversarial", relaxation="softmax", optim=optim)
        loop.step_d = round(part * loop.total_steps)
        rng = torch.Generator().manual_seed(0)
        real, z = torch.rand(4, 1, 8, 8, generator=rng) * 2 - 1, torch.randn(4, 4, generator=rng)
        updates = [update(loop.current_step(), real, z) for update in (loop.method.update_d, loop.method.update_g)]
        return [update.loss.item() for update in updates if update is not None]

    found, same, other = losses(HALFWAY), losses(AS_HALFWAY), losses(HALFWAY, part=0.0)
    assert len(found) == 2 and found == same and found[0] != other[0] and found[1] != other[1]


def test_weights_between_decisions_take_the_rates_that_the_search_began_with() -> None:
    """At the end of a schedule down to 0 the weights would not move at all."""

    def tuned(optim: dict[str, Any]) -> list[torch.Tensor]:
        loop = search_of(noise_images(), "adversarial", optim=optim, derive={"perturbation": True, "tune_steps": 2})
        loop.step_d = loop.total_steps
        with loop.chooser.tuner.restored():
            loop.chooser.tuner.tune(loop.net.arch_g.expected())
            networks = loop.net.generator, loop.net.discriminator
            return [weight.detach().clone() for network in networks for weight in network.parameters()]

    constant = {"lr_g": 0.02, "lr_d": 0.04}
    assert all(map(torch.equal, tuned(HALFWAY | {"lr_end": 0.0}), tuned(constant)))


def test_everything_that_changes_in_a_step_is_in_the_state(digits: ImageData, evaluator: Evaluator) -> None:
    loop = loop_of(evaluator, digits, warmup=0.0)
    loop.step(), loop.step()
    before = {key: str(value) for key, value in flat(loop.state_dict()).items()}
    loop.step(), loop.step()
    after = {key: str(value) for key, value in flat(loop.state_dict()).items()}
    for part in ("generator", "discriminator", "ema", "logits_g", "logits_d", "adam_g", "adam_d", "method", "counters"):
        changed = [key for key in after if key.startswith(f".{part}") and before.get(key) != after[key]]
        assert changed, f"{part} did not change"


def test_a_search_with_evaluations_equals_one_without(digits: ImageData, evaluator: Evaluator) -> None:
    quiet, scored = loop_of(evaluator, digits), loop_of(evaluator, digits)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    for index in range(8):
        quiet.step(), scored.step()
        if index % 3 == 0:
            modes = [module.training for module in scored.net.generator.modules()]
            scored.scorer.derived(scored.net.genotype()), scored.scorer.supernet()
            assert modes == [module.training for module in scored.net.generator.modules()]
    assert torch.equal(before, torch.random.get_rng_state())
    assert_same(quiet.state_dict(), scored.state_dict())


def test_logits_stay_as_they_are_until_the_warm_up_ends(digits: ImageData, evaluator: Evaluator) -> None:
    loop = loop_of(evaluator, digits, warmup=0.5)
    start = loop.net.arch_g.logits.detach().clone(), loop.net.arch_d.logits.detach().clone()
    while loop.warming_up:
        loop.step()
    assert loop.step_d == loop.total_steps // 2
    assert torch.equal(start[0], loop.net.arch_g.logits) and torch.equal(start[1], loop.net.arch_d.logits)
    loop.step(), loop.step()
    assert not torch.equal(start[0], loop.net.arch_g.logits) and not torch.equal(start[1], loop.net.arch_d.logits)


def test_a_step_on_logits_moves_no_weight_and_a_step_on_weights_no_logit(
    digits: ImageData, evaluator: Evaluator
) -> None:
    loop = loop_of(evaluator, digits)
    weights = {k: v.clone() for k, v in loop.net.generator.named_parameters()}
    loop.method.update_g(loop.current_step(), torch.randn(8, 1, 8, 8), torch.randn(8, 8))
    assert all(torch.equal(weights[k], v) for k, v in loop.net.generator.named_parameters())
    assert all(p.requires_grad for p in loop.net.discriminator.parameters())
    logits = loop.net.arch_g.logits.detach().clone()
    assert loop.warming_up
    loop.step(), loop.step()
    assert torch.equal(logits, loop.net.arch_g.logits)
    assert not all(torch.equal(weights[k], v) for k, v in loop.net.generator.named_parameters())


def test_only_g_is_searched_where_d_is_fixed_or_switched_off(digits: ImageData, evaluator: Evaluator) -> None:
    loop = loop_of(evaluator, digits, search_d=False, warmup=0.0)
    before = loop.net.arch_d.logits.detach().clone()
    loop.step(), loop.step()
    assert torch.equal(before, loop.net.arch_d.logits)
    fixed = loop_of(evaluator, digits, space="autogan/fixed", warmup=0.0)
    record = next(fixed.records())
    assert record.entropy_d is None and record.loss_arch_d is None and record.loss_arch_g is not None


def test_weights_that_explode_end_the_search_as_diverged(digits: ImageData, evaluator: Evaluator) -> None:
    loop = loop_of(evaluator, digits)
    with torch.no_grad():
        next(loop.net.generator.parameters()).fill_(math.nan)
        loop.net.arch_g.logits.fill_(math.nan)
    records = list(loop.records())
    json.dumps(records[0].to_dict(), allow_nan=False)
    assert len(records) == 1 and records[0].diverged and records[0].fid == DIVERGED_FID
    assert records[0].fid_derived is None


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda loop: loop.net.arch_g.logits[0, 0].fill_(math.nan), "logits are not finite"),
        (lambda loop: next(loop.net.discriminator.parameters())[0].fill_(math.inf), "weights of D are not finite"),
        (lambda loop: next(loop.ema.network.parameters())[0].fill_(math.nan), "averaged weights of G are not finite"),
        (lambda loop: [p.zero_() for p in loop.ema.network.parameters()], "the generator's images are all the same"),
    ],
)
@torch.no_grad()
def test_whatever_is_not_finite_and_images_that_are_all_the_same_end_a_search(
    broken: Callable[[SearchLoop], object], reason: str, digits: ImageData, evaluator: Evaluator
) -> None:
    loop = loop_of(evaluator, digits)
    assert not loop.evaluate().diverged
    broken(loop)
    record = loop.evaluate()
    assert record.diverged and record.diverged_by == reason and record.fid == DIVERGED_FID
    json.dumps(record.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_search_and_another_seed_another(digits: ImageData, evaluator: Evaluator) -> None:
    one = [told(record) for record in loop_of(evaluator, digits).records()]
    assert one == [told(record) for record in loop_of(evaluator, digits).records()]
    other = loop_of(evaluator, digits)
    changed = SearchLoop(other.trial.model_copy(update={"seed": 1}), other.space, digits, evaluator, evaluations=4)
    assert one != [told(record) for record in changed.records()]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "exponential", "constant"])
def test_a_temperature_goes_from_start_to_end_and_never_up(schedule: str) -> None:
    values = [scheduled(schedule, 5.0, 0.1, index / 50) for index in range(51)]
    assert values[0] == 5.0 and values[-1] == pytest.approx(5.0 if schedule == "constant" else 0.1)
    assert all(a >= b for a, b in itertools.pairwise(values))


def test_the_last_step_of_a_search_is_made_a_step_short_of_the_last_temperature(
    digits: ImageData, evaluator: Evaluator
) -> None:
    loop = loop_of(evaluator, digits, temperature_schedule="linear", temperature_start=5.0, temperature_end=1.0)
    temperatures = []
    while loop.step_d < loop.total_steps:
        temperatures.append(loop.temperature)
        loop.step()
    assert temperatures[0] == 5.0 and temperatures[-1] == pytest.approx(1.0 + 4.0 / loop.total_steps)
    assert loop.temperature == 1.0


def test_the_exponential_schedule_is_the_published_one() -> None:
    found = [scheduled("exponential", 5.0, 0.1, epoch / 25) for epoch in (0, 1, 2, 24)]
    assert found == pytest.approx([5.0, 4.28, 3.66, 0.117], abs=0.01)
