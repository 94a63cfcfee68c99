"""One derivation an evaluation: what is recorded is what was scored, samples never lose, and all of it resumes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig
from autogan_ray.metrics.evaluation import Evaluator, Protocol, Score
from autogan_ray.nets.gan import Latents
from autogan_ray.nets.relaxation import Selection
from autogan_ray.search.choosing import selection_of
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.record import SearchRecord
from autogan_ray.search.scoring import Scorer
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.training.data import ImageData
from tests.search.toys import noise_images, search_of
from tests.spaces.derivation.test_derive import TINY, tiny

# A cell of G with six decisions and one of D with three.
SPACE = tiny(
    TINY.replace(
        'kind = "autogan_fixed"',
        """kind = "dag"
norm = "spectral"
[discriminator.choices]
some = ["conv_1x1", "conv_3x3"]
down = ["avg_pool", "down_conv_3x3"]
[discriminator.cell]
nodes = ["a", "out"]
output = "out"
edges = [
    { name = "e0", from = "in", to = "a", choices = "some" },
    { name = "e1", from = "in", to = "a", choices = "some" },
    { name = "d0", from = "a", to = "out", choices = "down" },
]""",
    )
)
TIMING = {"images_per_s", "eval_s", "peak_mem_mib"}


class Contrast(Evaluator):
    """Scores by the contrast of the images, for want of an extractor: deterministic, and different for each network."""

    def __init__(self) -> None:
        self.protocol, self.device = Protocol(16, 16, 1), torch.device("cpu")

    def score(self, make: Callable[[Tensor], Tensor], latents: Latents, kid: bool = True) -> Score:
        images = self.images(make, latents)
        return Score(None if images is None else 1000.0 / (1.0 + float(images.float().std())), None)


@pytest.fixture(scope="module")
def data() -> ImageData:
    return ImageData.of("noise", np.random.default_rng(0).integers(0, 256, (64, 1, 4, 4), np.uint8))


def loop_of(data: ImageData, derive: dict[str, Any], seed: int = 0) -> SearchLoop:
    plain = {
        "space": "tiny",
        "seed": seed,
        "model": {"channels_g": 3, "channels_d": 2, "latent_dim": 4, "norm_g": "batch"},
        "optim": {"lr_arch_g": 0.3, "lr_arch_d": 0.3, "lr_g": 0.02, "lr_d": 0.02},
        "search": {"batch_size": 4, "kimg": 0.024, "d_steps_per_g_step": 1, "warmup": 0.0},
        "derive": derive,
    }
    trial = TrialConfig.parse(plain, "test", ConfigError)
    return SearchLoop(trial, SPACE, data, Contrast(), evaluations=2)


def told(record: SearchRecord) -> dict[str, Any]:
    return {key: value for key, value in record.to_dict().items() if key not in TIMING}


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Genotype, float | None]]:
    """Every genotype scored, with its FID."""
    seen: list[tuple[Genotype, float | None]] = []
    plain = Scorer.derived

    def derived(scorer: Scorer, genotype: Genotype) -> Score:
        score = plain(scorer, genotype)
        seen.append((genotype, score.fid))
        return score

    monkeypatch.setattr(Scorer, "derived", derived)
    return seen


RULES: dict[str, dict[str, Any]] = {
    "argmax": {},
    "rules": {"exclude_none": True, "max_skips_per_cell_g": 0},
    "limits": {"max_params_g": 300, "max_macs_d": 400},
    "samples": {"samples": 4, "max_skips_per_cell_g": 1},
    "perturbation": {"perturbation": True, "exclude_none": True},
    "tuning": {"perturbation": True, "tune_steps": 1, "max_params_g": 300},
}


@pytest.mark.parametrize("name", RULES)
def test_what_is_recorded_is_what_was_scored_and_a_resumed_search_derives_the_same(
    data: ImageData, scored: list[tuple[Genotype, float | None]], name: str
) -> None:
    straight = loop_of(data, RULES[name])
    whole = []
    for record in straight.records():
        whole.append(told(record))
        assert (record.genotype, record.fid_derived) in scored and record.fid == record.fid_derived
        SPACE.check(record.genotype)
        limit = RULES[name].get("max_params_g", record.params_g), RULES[name].get("max_macs_d", record.macs_d)
        assert record.params_g <= limit[0] and record.macs_d <= limit[1]
        assert "none" not in record.genotype.choices.values() or not RULES[name].get("exclude_none")
    first = loop_of(data, RULES[name])
    begun = told(next(first.records()))
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    second = loop_of(data, RULES[name])
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert [begun, *map(told, second.records())] == whole


@pytest.mark.parametrize("score", [{}, {"samples": 2}, {"perturbation": True, "tune_steps": 1}])
@pytest.mark.parametrize("method", ["random", "reinforce"])
def test_what_a_method_settled_on_is_derived_as_it_is_whatever_the_rules(method: str, score: dict[str, Any]) -> None:
    loop = search_of(noise_images(), method, warmup=0.0, derive={"exclude_none": True} | score)
    for record in loop.records():
        settled = loop.net.settled
        assert "none" in {choice for name, choice in settled.items() if name[0] == "d"}
        assert settled.items() <= record.genotype.choices.items()
    assert set(settled) == set(record.genotype.choices) and "none" in dict(record.genotype.generator).values()


def test_samples_never_lose_to_the_argmax_and_sometimes_win(
    data: ImageData, scored: list[tuple[Genotype, float | None]]
) -> None:
    won = 0
    for seed in range(3):
        loop = loop_of(data, {"samples": 4}, seed)
        for _ in range(2):
            loop.step()
        for evaluation in (1, 2):
            scored.clear()
            genotype, score = loop.chooser.choose(evaluation)
            argmax = loop.net.genotype()
            assert scored[0][0] == argmax and 2 <= len(scored) <= 5
            assert score is not None and score.fid == min(fid for _, fid in scored if fid is not None)
            assert score.fid <= scored[0][1]  # type: ignore[operator]
            assert genotype.discriminator == argmax.discriminator
            won += genotype != argmax
    assert won, "of six times five networks the argmax was never beaten: nothing was sampled"


def test_draws_depend_on_the_seed_and_the_evaluation(
    data: ImageData, scored: list[tuple[Genotype, float | None]]
) -> None:
    loop = loop_of(data, {"samples": 4})

    def drawn(evaluation: int) -> list[Genotype]:
        scored.clear()
        loop.chooser.choose(evaluation)
        return [genotype for genotype, _ in scored]

    assert drawn(1) == drawn(1) != drawn(2)


def test_the_supernet_decides_at_the_last_evaluation_alone(data: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it misses most is kept: a score that only counts one operation puts that everywhere."""
    loop = loop_of(data, {"perturbation": True})
    plain, mixtures = Scorer.supernet, 0

    def supernet(scorer: Scorer, selection: Selection | None = None) -> Score:
        nonlocal mixtures
        if selection is None:
            return plain(scorer)
        mixtures += 1
        wanted = [(d.name, d.choices.index("conv_3x3")) for d in loop.net.arch_g.decisions if "conv_3x3" in d.choices]
        kept = sum(_share(selection[name], index) for name, index in wanted)
        return Score(100.0 - kept, None)

    monkeypatch.setattr(Scorer, "supernet", supernet)
    first, last = loop.records()
    # All but b's "none" are possible: c cannot be none, and its node must live.
    assert mixtures == sum(len(d.choices) for d in loop.net.arch_g.decisions) - 1
    assert first.genotype != last.genotype
    for decision in loop.net.arch_g.decisions:
        assert "conv_3x3" not in decision.choices or last.genotype.choices[decision.name] == "conv_3x3"
    assert last.genotype.discriminator == loop.net.genotype().discriminator


def _share(weights: Any, index: int) -> float:
    return float(weights[index]) if isinstance(weights, Tensor) else float(weights.index == index)


def test_a_mixture_becomes_architecture_weights_that_the_networks_understand(data: ImageData) -> None:
    loop = loop_of(data, {})
    net = loop.net
    mixture = {name: row for name, row in net.probabilities().items() if name.startswith("g.")}
    z = torch.randn(2, 4)
    net.generator.eval()
    with torch.no_grad():
        whole = net.generator(z, net.arch_g.expected())
        assert torch.allclose(net.generator(z, selection_of(net, mixture)), whole, atol=1e-6)
        last = {d.name: d.choices[-1] for d in net.arch_g.decisions}
        alone = selection_of(net, {name: {choice: 1.0} for name, choice in last.items()})
        sure = {d.name: torch.eye(len(d.choices))[-1] for d in net.arch_g.decisions}
        assert torch.allclose(net.generator(z, alone), net.generator(z, sure), atol=1e-6)


def snapshot(*networks: nn.Module) -> list[Tensor]:
    return [value.clone() for network in networks for value in network.state_dict().values()]


@pytest.mark.parametrize("fails", [False, True])
def test_tuning_moves_the_scored_weights_and_gives_them_back(data: ImageData, fails: bool) -> None:
    loop = loop_of(data, {"perturbation": True, "tune_steps": 2})
    loop.step()
    networks = loop.net.generator, loop.net.discriminator, loop.ema.network
    before = snapshot(*networks)
    logits = loop.net.arch_g.logits.detach().clone()
    selection = loop.net.arch_g.expected()
    with torch.no_grad():
        score = loop.scorer.supernet(selection).fid
    before = snapshot(*networks)
    try:
        with loop.chooser.tuner.restored():
            loop.chooser.tuner.tune(selection)
            assert loop.scorer.supernet(selection).fid != score
            assert not all(map(torch.equal, before, snapshot(*networks)))
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert all(map(torch.equal, before, snapshot(*networks)))
    assert torch.equal(logits, loop.net.arch_g.logits) and loop.scorer.supernet(selection).fid == score


@pytest.mark.parametrize("name", ["samples", "tuning"])
def test_deriving_leaves_the_search_as_it_was(data: ImageData, name: str) -> None:
    quiet, asked = loop_of(data, RULES[name]), loop_of(data, RULES[name])
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    for index in range(4):
        quiet.step(), asked.step()
        if index == 1:
            asked.chooser.choose(2)
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = [snapshot(loop.net.generator, loop.net.discriminator, loop.ema.network) for loop in (quiet, asked)]
    assert all(map(torch.equal, *pairs))
    assert torch.equal(quiet.net.arch_g.logits, asked.net.arch_g.logits)


def test_a_diverged_search_scores_nothing(data: ImageData, scored: list[tuple[Genotype, float | None]]) -> None:
    loop = loop_of(data, {"samples": 3, "max_params_g": 400})
    with torch.no_grad():
        loop.net.arch_g.logits.fill_(torch.nan), next(loop.net.generator.parameters()).fill_(torch.nan)
    record = next(loop.records())
    assert record.diverged and not scored and record.params_g <= 400


def test_a_trial_with_limits_that_its_networks_cannot_meet_is_refused_without_the_driver_too(data: ImageData) -> None:
    with pytest.raises(ConfigError, match=r"derive\.max_params_g = 5: the smallest generator"):
        loop_of(data, {"max_params_g": 5})
