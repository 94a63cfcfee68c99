"""All that runs on a GPU, on one that is not there (see ``tests/distant.py``): same results, one device, no waiting."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_map

from autogan_ray.config.study import load_study_config
from autogan_ray.metrics.measure import prepare
from autogan_ray.results.retrained import GENERATOR
from autogan_ray.retraining.generator_file import load_generator
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.training import Retraining
from autogan_ray.search.record import SearchRecord
from autogan_ray.spaces.load import load_space
from autogan_ray.training.data import ImageData
from tests.contracts.test_methods import KINDS, SPACES
from tests.distant import THERE, Distant, Gpu
from tests.search.toys import noise_images, search_of
from tests.training.test_loop import CASES, train_loop

DATA = noise_images()


def test_the_gpu_that_is_not_there_refuses_what_one_would_and_counts() -> None:
    with Gpu() as gpu:
        here, there = torch.ones(2), torch.ones(2, device="cuda")
        assert isinstance(there, Distant) and there.device == THERE and there.is_cuda
        assert not gpu.waits and gpu.kernels == {"ones": 1}
        with pytest.raises(RuntimeError, match="one device"):
            there + here
        gpu.forget()
        assert float((there * 3 + torch.tensor(1.0)).sum()) == 8.0
        assert sum(gpu.waits.values()) == 1 and gpu.kernels == {"mul": 1, "add": 1, "sum": 1}
        gpu.forget()
        assert (here.to("cuda", non_blocking=True) + here.to(THERE)).tolist() == [2.0, 2.0]
        there[there > 0] = 5.0
        assert sum(gpu.waits.values()) == 3
    assert torch.equal(there.held, torch.full((2,), 5.0))


def assert_near(found: SearchRecord, wanted: SearchRecord) -> None:
    assert found.genotype == wanted.genotype
    for name in ("fid", "fid_supernet", "loss_g", "loss_d", "loss_arch_g", "grad_norm_arch_g"):
        got, want = getattr(found, name), getattr(wanted, name)
        assert got == want or math.isclose(got, want, rel_tol=1e-4, abs_tol=1e-4), (name, got, want)


def on_cpu(state: Any) -> Any:
    """As a checkpoint is loaded."""
    return tree_map(lambda one: one.detach().cpu().clone() if isinstance(one, torch.Tensor) else one, state)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_on_a_gpu_is_the_search_on_a_cpu_and_goes_on_from_a_checkpoint(kind: str, space: str) -> None:
    changes = {"space": space, "kimg": 0.016, **KINDS[kind]}
    first, second = search_of(DATA, **changes).records()
    with Gpu():
        loop = search_of(DATA, device="cuda", **changes)
        assert_near(next(loop.records()), first)
        again = search_of(DATA, device="cuda", **changes)
        again.load_state_dict(on_cpu(loop.state_dict()))
        assert_near(next(loop.records()), second)
        assert_near(next(again.records()), second)


MIXED: dict[str, dict[str, Any]] = {
    "softmax": {"relaxation": "softmax"},
    "gumbel": {"relaxation": "gumbel", "logits_as_probabilities": True},
    "remedies": {
        "relaxation": "softmax",
        "remedies": {"auxiliary_skip": 1.0, "entropy_weight": 0.1, "cost_weight_g": 0.1,
                     "cost_weight_d": 0.1, "shrink_at": (0.6,)},
    },
    "plain": {"relaxation": "gumbel", "compute": {"merge": False}},
    "samples": {"relaxation": "gumbel", "derive": {"samples": 2, "exclude_none": True}},
    "perturbation": {"relaxation": "gumbel", "derive": {"perturbation": True, "tune_steps": 1}},
}  # fmt: skip


@pytest.mark.parametrize("space", ["adversarialnas", "autogan", "alphagan"])
@pytest.mark.parametrize("kind", MIXED)
def test_mixtures_remedies_and_ways_to_derive_are_the_same_on_a_gpu(kind: str, space: str) -> None:
    if kind == "perturbation":
        space = "autogan/fixed"  # the others take one scoring for each of their hundreds of choices
    changes: dict[str, Any] = {"space": space, "method": "adversarial", "kimg": 0.012, "model": {"norm_g": "batch"}}
    if space != "adversarialnas" and kind == "remedies":
        changes["remedies"] = MIXED[kind]["remedies"] | {"auxiliary_skip": 0.0, "cost_weight_d": 0.0}
    wanted = list(search_of(DATA, **MIXED[kind] | changes).records())
    with Gpu():
        found = list(search_of(DATA, device="cuda", **MIXED[kind] | changes).records())
    for one, other in zip(found, wanted, strict=True):
        assert_near(one, other)


@pytest.mark.parametrize(("networks", "shares"), CASES)
def test_training_on_a_gpu_is_training_on_a_cpu_and_goes_on_from_a_checkpoint(
    digits: ImageData, networks: tuple[str, str], shares: tuple[float, ...]
) -> None:
    wanted = train_loop(digits, networks, shares)
    for _ in range(3):
        wanted.step()
    with Gpu():
        first = train_loop(digits, networks, shares, device="cuda")
        first.step(), first.step()
        second = train_loop(digits, networks, shares, device="cuda")
        second.load_state_dict(on_cpu(first.state_dict()))
        for found in (first, second):
            found.step()
            assert found.generator.state_dict().keys() == wanted.generator.state_dict().keys()
            for name, value in wanted.ema.network.state_dict().items():
                got = found.ema.network.state_dict()[name].cpu()
                torch.testing.assert_close(got, value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", KINDS | MIXED)
def test_a_step_waits_for_the_gpu_only_to_know_the_path_to_run(kind: str) -> None:
    changes: dict[str, Any] = {"method": "adversarial", "warmup": 0.0, **(KINDS | MIXED)[kind]}
    with Gpu() as gpu:
        loop = search_of(DATA, device="cuda", **changes)
        loop.step()
        gpu.forget()
        loop.step()
    # Once after each update of one of the two networks' logits, however many draws follow.
    paths = changes.get("relaxation") == "gumbel_hard"
    assert dict(gpu.waits) == ({"nets/relaxation.py:_log_probabilities_on_cpu": 2} if paths else {})


@pytest.mark.parametrize(("networks", "shares"), CASES)
def test_a_training_step_never_waits_for_the_gpu(
    digits: ImageData, networks: tuple[str, str], shares: tuple[float, ...]
) -> None:
    with Gpu() as gpu:
        loop = train_loop(digits, networks, shares, device="cuda")
        loop.step(), loop.step()
        gpu.forget()
        loop.step(), loop.step()
    assert not gpu.waits


def launched(**changes: Any) -> int:
    with Gpu() as gpu:
        loop = search_of(DATA, device="cuda", method="adversarial", warmup=0.0, **changes)
        loop.step()
        gpu.forget()
        loop.step()
    return sum(gpu.kernels.values())


def test_a_step_of_mixtures_launches_a_third_of_the_kernels_of_its_plain_form_and_one_path_half_of_these() -> None:
    """Of small networks, and on a fast GPU of large ones, their number is what a step costs."""
    plain, merged = (launched(relaxation="gumbel", compute={"merge": merge}) for merge in (False, True))
    assert 1000 < merged < plain / 3
    assert launched(relaxation="gumbel_hard") < merged / 2


def test_a_retraining_on_a_gpu_has_the_scores_and_files_of_one_on_a_cpu(tmp_path: Path) -> None:
    study = load_study_config("smoke", {"search.relaxation": "gumbel"})
    measure, space = prepare(study.data, study.metrics), load_space("adversarialnas")
    model = study.trial({}, 0).model.model_dump()

    def row(device: str) -> dict[str, Any]:
        job = Job("random", "one", space.random(8, 0), space, 0, None, model, study, tmp_path / device, device)
        found: dict[str, Any] = Retraining(job, measure).run()["row"]
        return found

    wanted = row("cpu")
    with Gpu():
        found = row("cuda")
    for name in ("fid", "kid_mean", "is_mean", "precision", "recall"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-6), name
    z = torch.randn(3, 8)
    one, other = (load_generator(tmp_path / device / GENERATOR)(z) for device in ("cpu", "cuda"))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
