"""The mixture scored at some evaluations only: which ones, that nothing else changes, and that a resume keeps count."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.study import TrialConfig, load_study_config
from autogan_ray.metrics.evaluation import Evaluator, Protocol
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.features import Extractor
from autogan_ray.metrics.scores import RealSet
from autogan_ray.search.loop import SearchLoop
from autogan_ray.search.record import SearchRecord
from autogan_ray.search.scoring import supernet_due
from autogan_ray.spaces.load import load_space
from autogan_ray.training.data import ImageData

UNEQUAL = ("images_per_s", "eval_s", "peak_mem_mib", "fid_supernet")


@pytest.fixture(scope="module")
def evaluator(digits: ImageData, extractor_weights: ExtractorWeights) -> Evaluator:
    extractor = Extractor(extractor_weights)
    return Evaluator(extractor, RealSet.of(extractor, digits.images[:300]), Protocol(48, 24, 1), "cpu")


def loop_of(evaluator: Evaluator, data: ImageData, every: int, rank_by: str = "derived") -> SearchLoop:
    plain = {
        "space": "autogan/fixed",
        "model": {"channels_g": 4, "channels_d": 4, "latent_dim": 8},
        "search": {"batch_size": 8, "kimg": 0.04, "d_steps_per_g_step": 1, "warmup": 0.0, "relaxation": "gumbel_hard"},
    }
    trial = TrialConfig.parse(plain, "test", ConfigError)
    space = load_space(trial.space)
    return SearchLoop(trial, space, data, evaluator, evaluations=5, rank_by=rank_by, supernet_every=every)


def told(record: SearchRecord) -> dict[str, Any]:
    return {key: value for key, value in record.to_dict().items() if key not in UNEQUAL}


def test_the_mixture_is_scored_at_its_turns_and_at_the_last_and_nothing_else_changes(
    digits: ImageData, evaluator: Evaluator
) -> None:
    always = list(loop_of(evaluator, digits, 1).records())
    seldom = list(loop_of(evaluator, digits, 3).records())
    assert [record.fid_supernet is not None for record in always] == [True] * 5
    assert [record.fid_supernet for record in seldom] == [
        record.fid_supernet if record.evaluation in (3, 5) else None for record in always
    ]
    assert [told(record) for record in seldom] == [told(record) for record in always]
    assert not any(record.diverged for record in seldom)


def test_a_resumed_search_keeps_count(digits: ImageData, evaluator: Evaluator) -> None:
    whole = [(told(r), r.fid_supernet) for r in loop_of(evaluator, digits, 2).records()]
    first = loop_of(evaluator, digits, 2)
    records = first.records()
    begun = [(told(r), r.fid_supernet) for r in (next(records), next(records), next(records))]
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    second = loop_of(evaluator, digits, 2)
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert begun + [(told(r), r.fid_supernet) for r in second.records()] == whole


@pytest.mark.parametrize(("every", "wanted"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5]), (9, [5])])
def test_the_turns(every: int, wanted: list[int]) -> None:
    assert [number for number in range(1, 6) if supernet_due(number, 5, every)] == wanted


def test_the_score_that_ranks_is_the_one_asked_for_and_nothing_else_changes(
    digits: ImageData, evaluator: Evaluator
) -> None:
    derived, supernet = (list(loop_of(evaluator, digits, 1, by).records()) for by in ("derived", "supernet"))
    assert [record.fid for record in derived] == [record.fid_derived for record in derived]
    assert [record.fid for record in supernet] == [record.fid_supernet for record in supernet]
    assert any(record.fid_derived != record.fid_supernet for record in derived)
    unequal = {"fid", "kid", *UNEQUAL} - {"fid_supernet"}
    for one, other in zip(derived, supernet, strict=True):
        first, second = one.to_dict(), other.to_dict()
        assert {key for key in first if first[key] != second[key]} <= unequal
        assert one.kid is not None and other.kid is not None and one.kid != other.kid


def test_what_ranks_trials_must_be_scored_always() -> None:
    changes: dict[str, Any] = {"metrics.rank_by": "supernet", "metrics.supernet_every": 2}
    with pytest.raises(ConfigError, match=r'rank_by = "supernet".*leave supernet_every at 1'):
        load_study_config("smoke", changes)
    assert load_study_config("smoke", changes | {"metrics.supernet_every": 1}).metrics.rank_by == "supernet"
    assert load_study_config("smoke").metrics.supernet_every == 1
