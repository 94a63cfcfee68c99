"""What is timed: a search, a retraining, in one form of computing. The package's own loops, on images of noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_stages.sizes import Sizes

if TYPE_CHECKING:  # torch is imported by child processes alone
    from autogan_ray.config.study import StudyConfig, TrialConfig
    from autogan_ray.retraining.job import Job
    from autogan_ray.search.loop import SearchLoop
    from autogan_ray.spaces.genotype import Genotype
    from autogan_ray.training.data import ImageData
    from autogan_ray.training.loop import TrainLoop

IMAGES = 2048
BF16, TF32, FP32 = "bf16", "tf32", "fp32"
ARITHMETIC = {
    BF16: "activations and convolutions in bfloat16",
    TF32: "float32 with convolutions in TF32, which is what torch does unless told otherwise",
    FP32: "float32 throughout",
}


@dataclass(frozen=True)
class Form:
    """One way of computing a step.

    Args:
        relaxation: of a search; ``gumbel_hard`` runs one path.
        merge: False is the plain form: each operation by itself.
        compiled: by ``torch.compile``, on a GPU with CUDA graphs.
    """

    arithmetic: str
    relaxation: str = "gumbel"
    merge: bool = True
    compiled: bool = False

    @property
    def name(self) -> str:
        path = "one path" if self.relaxation == "gumbel_hard" else "mixture"
        return f"{path}, {'merged' if self.merge else 'plain'}, {self._computed}"

    @property
    def retraining_name(self) -> str:
        """Of a network in which there is nothing to merge."""
        return self._computed

    @property
    def _computed(self) -> str:
        return f"{'compiled' if self.compiled else 'eager'}, {self.arithmetic}"

    @property
    def same_counts(self) -> tuple[str, bool]:
        """Forms that are equal in this run the same convolutions."""
        return self.relaxation, self.merge

    def settings(self) -> dict[str, Any]:
        """Dotted key of a trial -> value, without the relaxation."""
        return {
            "compute.precision": "bf16" if self.arithmetic == BF16 else "fp32",
            "compute.merge": self.merge,
            "compute.compile": self.compiled,
        }


def wanted(forms: Sequence[Form], sizes: Sizes) -> list[Form]:
    """Those that are measured at these sizes."""
    return [form for form in forms if form.arithmetic in sizes.arithmetics and (sizes.compiles or not form.compiled)]


@contextmanager
def arithmetic(name: str) -> Iterator[None]:
    """Inside, float32 is what ``ARITHMETIC`` says; what was set before is set again."""
    import torch

    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, name != FP32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def study_of(sizes: Sizes, settings: Mapping[str, Any]) -> StudyConfig:
    """The study of these sizes without its sweep, so that any one setting may be fixed."""
    from autogan_ray.base.errors import ConfigError
    from autogan_ray.config.study import StudyConfig, assign, load_study_config

    values = load_study_config(sizes.study).to_dict()
    values["sweep"] = {}
    for key, value in settings.items():
        assign(values, key, value)
    return StudyConfig.parse(values, f"study {sizes.study!r} as it is timed", ConfigError)


def noise(sizes: Sizes, image_size: int) -> ImageData:
    """What images show changes no time. Args: image_size: in pixels."""
    import numpy as np

    from autogan_ray.training.data import ImageData

    shape = (IMAGES, sizes.channels, image_size, image_size)
    return ImageData.of("noise", np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def searching_trial(sizes: Sizes, form: Form, settings: Mapping[str, Any]) -> TrialConfig:
    given = {**settings, "search.relaxation": form.relaxation, **form.settings()}
    return study_of(sizes, given).trial({}, 0)


def search_loop(sizes: Sizes, form: Form, settings: Mapping[str, Any], seed: int = 0) -> SearchLoop:
    """A search on noise, which nothing scores."""
    from autogan_ray.search.loop import SearchLoop
    from autogan_ray.spaces.load import load_space

    trial = searching_trial(sizes, form, settings).model_copy(update={"seed": seed})
    evaluator: Any = None
    data = noise(sizes, sizes.image_size)
    return SearchLoop(trial, load_space(trial.space), data, evaluator, evaluations=1, device=sizes.device)


def retraining_job(sizes: Sizes, genotype: Genotype, study: StudyConfig, name: str) -> Job:
    """A genotype trained from scratch by the study's recipe, as ``retrain.py`` would."""
    from autogan_ray.retraining.job import Job
    from autogan_ray.spaces.load import space_of

    space, model = space_of(genotype), study.model.model_dump()
    fitting = space.resized(genotype, sizes.image_size_retrained)
    return Job("user", name, fitting, space, 0, None, model, study, Path(name), sizes.device)


def training_loop(sizes: Sizes, genotype: Genotype, form: Form) -> TrainLoop:
    """A retraining on noise, which nothing scores."""
    from autogan_ray.retraining.training import networks_of, shape_of
    from autogan_ray.training.loop import TrainLoop

    study = study_of(sizes, {**sizes.retrain, **form.settings()})
    job, data = retraining_job(sizes, genotype, study, "timed"), noise(sizes, sizes.image_size_retrained)
    shape = shape_of(job, data)
    return TrainLoop(lambda: networks_of(job, shape), study.retrain, data, job.seed, sizes.device, study.compute)
