"""What one retraining is: one genotype, trained from scratch with one seed; the whole way, or in a race."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autogan_ray.config.study import StudyConfig
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.space import SearchSpace


@dataclass(frozen=True)
class Job:
    """One retraining, as a value that is sent to a worker process.

    Args:
        source: where the genotype comes from: ``retrain`` (a trial of the study), ``random``, ``published`` (a shipped
            genotype) or ``user`` (a file).
        name: what people read, such as ``trial t0003`` or ``autogan-a``.
        seed: of the initial weights and of every random stream of the training.
        trial_id: the trial that the genotype comes from; None where it comes from no trial.
        model: settings ``[model]`` of the search (widths, length of z, ...). They hold where the recipe sets nothing.
        study: the configuration whose ``[retrain]`` is the recipe, and whose data and metric the network is scored by.
        folder: for samples, pictures and the generator.
        device: ``cpu``, or a GPU such as ``cuda:0``.
        stage: ``final``, a training to its end whose network is scored and kept; or ``race``, in which ASHA may stop it
            and which leaves its curve alone.
        group: in a race, those that it competes with.
        chosen_by: by what the genotype was chosen: ``score`` (of its trial), ``race`` or ``user``; None where it was
            drawn at random.
        fresh_seed: whether the seed took no part in choosing the genotype: claims rest on these alone.
        finals: in a race, the recipe of the trainings to the end that it chooses networks for.
    """

    source: str
    name: str
    genotype: Genotype
    space: SearchSpace
    seed: int
    trial_id: str | None
    model: dict[str, Any]
    study: StudyConfig
    folder: Path
    device: str = "cpu"
    stage: Literal["final", "race"] = "final"
    group: str = ""
    chosen_by: str | None = None
    fresh_seed: bool = True
    finals: str = ""

    @property
    def recipe(self) -> str:
        """Discriminator, length in kimg, and a digest of every setting: scores of the same recipe can be compared.

        Where trials have widths of their own, these belong to the network and not to the recipe. That of a race is
        named after the one of the trainings that follow it.
        """
        if self.stage == "race":
            return f"race-{self.finals}"
        config, study = self.study.retrain, self.study
        return f"{config.discriminator}-k{config.kimg:g}-" + _digest(
            [config.model_dump(mode="json"), study.model.model_dump(), study.metrics.n_fake_final]
        )

    @property
    def evaluation_id(self) -> str:
        """The job's key in the table ``evaluations``, and the name of its folder."""
        own = "" if self.model == self.study.model.model_dump() else f"-m{_digest(self.model)}"
        return f"{self.source}-{self.genotype.genotype_id}-{self.recipe}{own}-s{self.seed}"

    @property
    def label(self) -> str:
        """The job for people, such as ``trial t0003 (genotype 1f2e3d4c5b6a), seed 1``."""
        return f"{self.name} (genotype {self.genotype.genotype_id}), seed {self.seed}"


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6]
