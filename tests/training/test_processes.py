"""Several processes that train one network do what one process does, and go on where it left off, and it where they
did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing, nn

from autogan_ray.config.sections import RetrainConfig
from autogan_ray.nets.gan import Discriminator, Generator
from autogan_ray.nets.processes import ALONE, Processes, ProcessLost, SharedBatchNorm2d
from autogan_ray.nets.shape import Shape
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.training.data import ImageData, load_data
from autogan_ray.training.loop import TrainLoop
from autogan_ray.training.steps import RunningMeans

from .test_loop import flat

PROCESSES = 2
RECIPE = RetrainConfig(kimg=0.4, batch_size=8, batch_size_g=12, d_steps_per_g_step=2, lr_g=1e-3, lr_d=1e-3, ema=0.9,
                       evaluations=4)  # fmt: skip
LOSSES = ("loss_g", "loss_d", "d_real", "d_fake")


@dataclass(frozen=True)
class Case:
    """A training.

    Args:
        g, d: hand-made networks, else ``autogan``, a block of whose generator has batch norms, or ``adversarialnas``,
            whose discriminator gets batch norms here.
        steps: of D; fewer where the processes have to meet often.
    """

    g: str
    d: str
    classes: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 50

    @property
    def recipe(self) -> RetrainConfig:
        return RetrainConfig.model_validate(RECIPE.model_dump() | self.settings)


PENALISED = {"objective": "relativistic", "gamma": 0.5, "gamma_end": 0.1, "penalty_every": 2}
CHANGED = {"flip": True, "augment": "color,translation,cutout", "clip_grad_norm": 0.5, "ema_unbiased": True}
CASES = {
    "hinge and batch norm": Case("dcgan", "dcgan"),
    "relativistic with penalties, clipped, augmented": Case("dcgan", "dcgan", settings=PENALISED | CHANGED),
    "a derived genotype": Case("autogan", "autogan", settings={"schedule": "linear"}, steps=20),
    "batch norm in D, differentiated twice": Case("autogan", "adversarialnas", settings=PENALISED, steps=6),
    "noise of its own": Case("stylegan2", "dcgan", settings={"objective": "non_saturating"}, steps=10),
    "classes": Case("biggan", "biggan", 10, steps=10),
}


def part(name: str, network: str) -> tuple[SearchSpace, dict[str, str]]:
    if name in ("dcgan", "stylegan2", "biggan"):
        return load_space("handmade"), {f"{network}.whole.network": name}
    space = load_space(name)
    choices = space.random(8, 1).choices
    if name == "adversarialnas":
        normed = space.discriminator.model_copy(update={"norm": "batch"})
        return space.model_copy(update={"discriminator": normed}), choices
    return space, {decision: "batch" if decision.endswith(".norm") else choice for decision, choice in choices.items()}


@contextmanager
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def train_loop(case: Case, data: ImageData, processes: Processes = ALONE) -> TrainLoop:
    shares = (1 / case.classes,) * case.classes if case.classes else ()
    norm = case.recipe.spectral_norm_in_force
    shape = Shape(8, 1, channels_g=6, channels_d=6, latent_dim=12, class_shares=shares, spectral_norm_d=norm)
    (space_g, choices_g), (space_d, choices_d) = part(case.g, "g"), part(case.d, "d")

    def build() -> tuple[Generator, Discriminator]:
        return Generator(space_g, shape, choices_g), Discriminator(space_d, shape, choices_d)

    loop = TrainLoop(build, case.recipe, data, 0, processes=processes)
    batch = loop._feed.batch
    loop._feed.batch = lambda indices: batch(indices).double()  # type: ignore[method-assign]
    return loop


def losses_of(loop: TrainLoop, steps: int) -> list[list[float | None]]:
    found = []
    for _ in range(steps):
        loop._means = RunningMeans()
        loop.step()
        found.append([loop._mean(name) for name in LOSSES])
    return found


def run_on(loop: TrainLoop, evaluations: int) -> dict[str, Any]:
    """Trains up to an evaluation; the first process alone has scores."""
    scores = [3.0, 1.0, None, 2.0]

    def score(network: nn.Module) -> float | None:
        assert loop._processes.first and not any(isinstance(part, SharedBatchNorm2d) for part in network.modules())
        return scores[loop.evaluation - 1]

    while loop.evaluation < evaluations:
        loop.run(score)
    return loop.state_dict()


def part_of_the_work(rank: int, folder: str, data: ImageData) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    processes = Processes(rank, PROCESSES)
    found: dict[str, Any] = {}
    with float64():
        for name, case in CASES.items():
            loop = train_loop(case, data, processes)
            found[name] = {"losses": losses_of(loop, case.steps), "state": loop.state_dict()}
        loop = train_loop(CASES["hinge and batch norm"], data, processes)
        found["half"] = run_on(loop, 2)
        loop = train_loop(CASES["hinge and batch norm"], data, processes)
        loop.load_state_dict(torch.load(Path(folder, "one-half.pt"), weights_only=True))
        found["rest"] = run_on(loop, 4)
    torch.save(found, Path(folder, f"{rank}.pt"))
    if rank == 1:
        return  # and ends, which the other must notice
    with float64(), pytest.raises(ProcessLost, match="another process of this network has ended"):
        for _ in range(100):
            loop.step()
    Path(folder, "noticed").touch()


@pytest.fixture(scope="module")
def data(own_cache: Path) -> ImageData:
    return load_data("digits", limit=64)


@pytest.fixture(scope="module")
def worked(data: ImageData, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two processes leave: their folder, and what each of them found."""
    folder = tmp_path_factory.mktemp("processes")
    with float64():
        state = run_on(train_loop(CASES["hinge and batch norm"], data), 2)
    torch.save(state, folder / "one-half.pt")
    multiprocessing.spawn(part_of_the_work, (str(folder), data), PROCESSES)
    return folder, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


def distance(one: Any, other: Any) -> float:
    """The largest difference of two states, in what is no time and no memory."""
    first, second = flat(one), flat(other)
    assert first.keys() == second.keys()
    timing = ("spent_s", "wall_s", "images_per_s", "timestamp", "peak_mem_mib", "attempt")
    largest = 0.0
    for key, value in first.items():
        if value is None or second[key] is None:
            assert value is second[key], key
        elif key.rpartition(".")[2] not in timing:
            pair = [torch.as_tensor(found, dtype=torch.float64) for found in (value, second[key])]
            largest = max(largest, float((pair[0] - pair[1]).abs().max()))
    return largest


@pytest.mark.parametrize("name", CASES)
def test_two_processes_have_the_losses_of_one_and_equal_weights(
    name: str, worked: tuple[Path, list[dict[str, Any]]], data: ImageData
) -> None:
    with float64():
        alone = train_loop(CASES[name], data)
        expected = torch.tensor(losses_of(alone, CASES[name].steps)[1::2])  # with G's loss, as every second step has
    first, second = (found[name] for found in worked[1])
    assert torch.isfinite(expected).all() and expected.std(dim=0).min() > 1e-4, "the losses move"
    found = torch.tensor(first["losses"][1::2], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert first["losses"] == second["losses"] and distance(first["state"], second["state"]) == 0.0
    assert distance(first["state"], alone.state_dict()) < 1e-5


def test_a_training_goes_on_with_more_processes_or_fewer(
    worked: tuple[Path, list[dict[str, Any]]], data: ImageData
) -> None:
    first, second = worked[1]
    with float64():
        whole = run_on(train_loop(CASES["hinge and batch norm"], data), 4)
        later = train_loop(CASES["hinge and batch norm"], data)
        later.load_state_dict(first["half"])
        rest = run_on(later, 4)
    assert [point["fid"] for point in first["rest"]["curve"]] == [3.0, 1.0, None, 2.0] and rest["best"]["fid"] == 1.0
    assert distance(whole, rest) < 1e-5 and distance(whole, first["rest"]) < 1e-5
    assert distance(first["rest"], second["rest"]) == 0.0


def test_a_process_notices_that_another_has_ended(worked: tuple[Path, list[dict[str, Any]]]) -> None:
    assert (worked[0] / "noticed").exists()


def test_the_networks_that_are_tested_have_what_mixes_a_batch(data: ImageData) -> None:
    """Else the tests above would hold for a slice of a batch by itself."""
    with float64():
        for name, network in (("hinge and batch norm", "generator"), ("a derived genotype", "generator"),
                              ("batch norm in D, differentiated twice", "discriminator"),
                              ("classes", "generator")):  # fmt: skip
            loop = train_loop(CASES[name], data, Processes(0, 2))
            assert any(isinstance(part, SharedBatchNorm2d) for part in getattr(loop, network).modules()), name
