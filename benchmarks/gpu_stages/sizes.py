"""What is measured at which size: the published one on a GPU, or a toy of it on any CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """Everything that differs between the published run and the toy one; plain values only, for child processes.

    Args:
        device: ``cuda`` or ``cpu``.
        threads: of torch in the process that times; None takes torch's own choice.
        study: a shipped study; ``search``, ``retrain``, ``packed``, ``quality``: dotted key -> value on top of it.
        image_size: of the searches that are timed, in pixels; ``image_size_retrained``: of all that is retrained.
        channels: of the images.
        matrix_side: of the square matrices whose product is timed; ``copy_bytes``: of the block that is copied.
        iterations: of a form, timed one by one, at most. One iteration is all steps of D that one step of G takes.
        compiled_iterations: the same for compiled forms.
        full_search_steps: steps of D that must have been measured before a full search is extrapolated from them.
        arithmetics: those of the forms that are measured.
        compiles: whether compiled forms are measured: for a CPU that takes minutes each.
        side_by_side: numbers of processes on one device; ``window_s``: seconds for which each number runs.
        tests_s: for the tests marked ``gpu``.
        search_s, retrain_s: lengths of the search and of each retraining of the quality row.
        points: scores on the way of each of them.
        images: real ones of the quality row, at most.
        fakes: images behind a score of the quality row.
        fakes_evaluation: images of the timed evaluation; ``batch_evaluation``: of one batch of it.
        least_s: a part is not begun with less time than this.
    """

    name: str
    device: str
    threads: int | None
    study: str
    search: Mapping[str, Any]
    retrain: Mapping[str, Any]
    packed: Mapping[str, Any]
    quality: Mapping[str, Any]
    image_size: int
    image_size_retrained: int
    channels: int
    matrix_side: int
    copy_bytes: int
    iterations: int
    compiled_iterations: int
    full_search_steps: int
    arithmetics: tuple[str, ...]
    compiles: bool
    side_by_side: tuple[int, ...]
    window_s: float
    tests_s: float
    search_s: float
    retrain_s: float
    points: int
    images: int
    fakes: int
    fakes_evaluation: int
    batch_evaluation: int
    least_s: float

    def __getstate__(self) -> dict[str, Any]:
        """Read-only mappings cannot be pickled."""
        return {name: dict(v) if isinstance(v, Mapping) else v for name, v in self.__dict__.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


PUBLISHED = Sizes(
    name="published",
    device="cuda",
    threads=None,
    study="cifar10",
    search=MappingProxyType({"space": "adversarialnas", "search.warmup": 0.0}),
    retrain=MappingProxyType({}),
    packed=MappingProxyType(
        {
            "space": "adversarialnas",
            "search.warmup": 0.0,
            "search.batch_size": 32,
            "search.d_steps_per_g_step": 1,
            "model.channels_g": 16,
            "model.channels_d": 16,
            "model.latent_dim": 30,
        }
    ),
    # An average over a thousand steps of G would be mostly initial weights after a minute.
    quality=MappingProxyType({"optim.ema": 0.99, "retrain.ema": 0.99}),
    image_size=32,
    image_size_retrained=32,
    channels=3,
    matrix_side=8192,
    copy_bytes=2**28,
    iterations=15,
    compiled_iterations=40,
    full_search_steps=200,
    arithmetics=("bf16", "tf32", "fp32"),
    compiles=True,
    side_by_side=(1, 2, 4, 8),
    window_s=5.0,
    tests_s=30.0,
    search_s=120.0,
    retrain_s=60.0,
    points=6,
    images=10_000,
    fakes=5000,
    fakes_evaluation=5000,
    batch_evaluation=256,
    least_s=2.0,
)

TOY_SEARCH = {"space": "adversarialnas", "search.warmup": 0.0, "search.batch_size": 4, "search.d_steps_per_g_step": 2}
TOY = Sizes(
    name="toy",
    device="cpu",
    threads=1,
    study="smoke",
    search=MappingProxyType(TOY_SEARCH),
    retrain=MappingProxyType({"retrain.batch_size": 4, "model.latent_dim": 9}),
    packed=MappingProxyType(TOY_SEARCH),
    quality=MappingProxyType({"data.limit": 100, "model.latent_dim": 9}),
    image_size=8,
    image_size_retrained=32,  # the published genotypes are for no other
    channels=1,
    matrix_side=256,
    copy_bytes=2**22,
    iterations=2,
    compiled_iterations=2,
    full_search_steps=10,
    arithmetics=("bf16",),
    compiles=False,
    side_by_side=(1, 2),
    window_s=0.5,
    tests_s=200.0,
    search_s=1.5,
    retrain_s=1.0,
    points=2,
    images=100,
    fakes=64,
    fakes_evaluation=4,
    batch_evaluation=2,
    least_s=0.5,
)
