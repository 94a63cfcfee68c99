"""The relaxations: what is drawn how often, with which gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import chisquare

from autogan_ray.nets.relaxation import ArchitectureParameters, SingleChoice
from autogan_ray.nets.supernet import mean_entropy
from autogan_ray.spaces.part import Decision
from autogan_ray.training.steps import adam

DECISIONS = (Decision("g.a", ("x", "y", "z")), Decision("g.b", ("x", "y")))


def parameters(*rows: list[float]) -> ArchitectureParameters:
    found = ArchitectureParameters(DECISIONS, torch.Generator().manual_seed(0))
    found.load_state_dict({d.name: torch.tensor(row) for d, row in zip(DECISIONS, rows, strict=True)})
    return found


def frequencies(logits: ArchitectureParameters, draws: int, temperature: float, as_probabilities: bool) -> list[float]:
    rng, counts = torch.Generator().manual_seed(1), [0, 0, 0]
    for _ in range(draws):
        weights = logits.select("gumbel_hard", temperature, rng, as_probabilities)["g.a"]
        assert isinstance(weights, SingleChoice)
        counts[weights.index] += 1
    return [count / draws for count in counts]


@pytest.mark.parametrize("temperature", [0.1, 5.0])
def test_a_choice_is_drawn_as_often_as_its_probability_says_at_any_temperature(temperature: float) -> None:
    wanted = [0.2, 0.7, 0.1]
    found = frequencies(parameters([math.log(p) for p in wanted], [0.0, 0.0]), 4000, temperature, False)
    chi2 = sum(4000 * (f - p) ** 2 / p for f, p in zip(found, wanted, strict=True))
    assert chi2 < 13.8  # 0.1 % of chi-squared with two degrees of freedom


def test_probabilities_in_place_of_logits_draw_nearly_uniformly_as_the_published_code_did() -> None:
    sure = parameters([10.0, 0.0, 0.0], [0.0, 0.0])
    assert frequencies(sure, 500, 1.0, False)[0] > 0.98
    assert frequencies(sure, 2000, 1.0, True)[0] == pytest.approx(math.e / (math.e + 2), abs=0.04)


def test_a_draw_follows_the_logits_whatever_moved_them() -> None:
    def drawn() -> int:
        found = logits.select("gumbel_hard", 1.0, torch.Generator().manual_seed(2))["g.a"]
        assert isinstance(found, SingleChoice)
        return found.index

    logits = parameters([50.0, 0.0, 0.0], [0.0, 0.0])
    assert drawn() == 0
    with torch.no_grad():
        logits.logits[0, 1] = 100.0
    assert drawn() == 1
    optimizer = adam([logits.logits], 150.0, (0.0, 0.9))
    assert optimizer is not None
    logits.logits[0, 1].backward()
    optimizer.step()
    assert drawn() == 0
    logits.drop("g.a", "x")
    assert drawn() == 2


def test_soft_weights_sum_to_one_and_padding_gets_nothing() -> None:
    logits = parameters([1.0, 2.0, 3.0], [0.5, -0.5])
    for relaxation in ("softmax", "gumbel"):
        chosen = logits.select(relaxation, 0.7, torch.Generator().manual_seed(0))
        assert [len(chosen[d.name]) for d in DECISIONS] == [3, 2]
        for weights in chosen.values():
            assert isinstance(weights, torch.Tensor) and weights.sum().item() == pytest.approx(1.0)


def test_the_straight_through_weight_is_one_and_carries_the_soft_gradient() -> None:
    logits = parameters([1.0, 2.0, 3.0], [0.5, -0.5])
    weights = logits.select("gumbel_hard", 1.0, torch.Generator().manual_seed(3))["g.a"]
    assert isinstance(weights, SingleChoice) and weights.scale is not None
    assert weights.scale.item() == pytest.approx(1.0)
    weights.scale.backward()
    assert logits.logits.grad is not None and logits.logits.grad[0].abs().sum() > 0
    assert logits.logits.grad[1].abs().sum() == 0 and logits.logits.grad[0].sum().abs() < 1e-6


def test_disconnected_draws_are_drawn_again() -> None:
    logits = ArchitectureParameters(
        DECISIONS, torch.Generator().manual_seed(0), connected=lambda choices: choices["g.a"] != "x"
    )
    rng = torch.Generator().manual_seed(5)
    for _ in range(200):
        drawn = logits.select("gumbel_hard", 1.0, rng)["g.a"]
        assert isinstance(drawn, SingleChoice) and drawn.index != 0


def test_entropy_is_one_at_uniform_and_zero_at_certainty() -> None:
    assert mean_entropy(parameters([0.0, 0.0, 0.0], [0.0, 0.0]).table(), "g") == pytest.approx(1.0)
    assert mean_entropy(parameters([99.0, 0.0, 0.0], [99.0, 0.0]).table(), "g") == pytest.approx(0.0, abs=1e-6)
    assert mean_entropy({}, "d") is None


def test_logits_go_by_name_through_a_state() -> None:
    one = parameters([1.0, 2.0, 3.0], [0.5, -0.5])
    other = ArchitectureParameters(DECISIONS, torch.Generator().manual_seed(9))
    other.load_state_dict(dict(reversed(one.state_dict().items())))
    assert other.table() == one.table()
    with pytest.raises(ValueError, match="another search space"):
        other.load_state_dict({"g.a": torch.zeros(3)})


def test_every_decision_is_drawn_by_its_own_softmax() -> None:
    rows = [[0.3, -1.2, 0.9], [-0.4, 0.5]]
    logits, rng = parameters(*rows), torch.Generator().manual_seed(2)
    counts = [[0] * len(row) for row in rows]
    for _ in range(3000):
        drawn = logits.select("gumbel_hard", 0.7, rng)
        for count, decision in zip(counts, DECISIONS, strict=True):
            weights = drawn[decision.name]
            assert isinstance(weights, SingleChoice)
            count[weights.index] += 1
    for count, row in zip(counts, rows, strict=True):
        assert chisquare(count, 3000 * softmax(row)).pvalue > 1e-3


def test_the_gradient_of_the_straight_through_weight_is_the_written_formula() -> None:
    """Of the drawn choice k: d s_k / d logit_j = s_k (delta_kj - s_j) / temperature, with s the relaxed draw."""
    rows, temperature = [[1.0, 2.0, 3.0], [0.5, -0.5]], 0.6
    logits = parameters(*rows)
    logits.logits.data = logits.logits.data.double()
    noise = logits.noise(torch.Generator().manual_seed(3)).numpy()
    drawn = logits.select("gumbel_hard", temperature, torch.Generator().manual_seed(3))
    for row, decision in enumerate(DECISIONS):
        weights, count = drawn[decision.name], len(decision.choices)
        assert isinstance(weights, SingleChoice) and weights.scale is not None
        relaxed = softmax((np.array(rows[row]) + noise[row, :count]) / temperature)
        assert weights.index == relaxed.argmax()
        k = weights.index
        wanted = relaxed[k] * ((np.arange(count) == k) - relaxed) / temperature
        (gradient,) = torch.autograd.grad(weights.scale, [logits.logits], retain_graph=True)
        assert np.allclose(gradient[row, :count].numpy(), wanted, atol=1e-12)
        assert gradient[1 - row].abs().sum() == 0
