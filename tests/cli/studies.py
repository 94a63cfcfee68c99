"""Folders as finished studies and retrainings leave them, made without running any."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ConfigError
from autogan_ray.cli.run import resolve_study
from autogan_ray.config.study import StudyConfig
from autogan_ray.nets.gan import Generator
from autogan_ray.nets.shape import Shape
from autogan_ray.results.retrained import GENERATOR, GENOTYPE, RETRAINED
from autogan_ray.results.study import load_study
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs, name_of
from autogan_ray.retraining.generator_file import save_generator
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.study.study_file import read_about, write_about

SPACE = load_space("autogan/fixed")


def finished_study(
    folder: Path,
    command: str = "autogan-ray run smoke",
    status: str = "complete",
    space: SearchSpace = SPACE,
    settings: Sequence[str] = (),
) -> list[Genotype]:
    """A study ``smoke`` of two trials, the second better and costlier; returns their genotypes."""
    folder.mkdir(parents=True)
    config = resolve_study("smoke", 0, overrides=settings).to_dict()
    about = {
        "study_id": "smoke-1",
        "name": "smoke",
        "status": status,
        "created_at": 1.0,
        "command": command,
        "dataset": "digits",
        "dataset_digest": "d",
        "image_size": 8,
        "metric": "FD (classifier)",
        "max_evaluations": 3,
        "grace_evaluations": 1,
        "config_json": json.dumps(config),
        "wall_s": 1.0,
        "spaces": {"autogan/fixed": space.to_dict()},
    }
    write_about(folder, about)
    logs, genotypes = TrialLogs(folder), [space.random(8, seed) for seed in (0, 1)]
    for number, genotype in enumerate(genotypes):
        record = {
            "evaluation": 1,
            "attempt": 0,
            "fid": 90.0 - number,
            "fid_derived": 90.0 - number,
            "fid_supernet": None,
            "entropy_g": 0.9,
            "entropy_d": None,
            "diverged": False,
            "kimg": 0.2,
            "macs_g": 1000 * (number + 1),
            "eval_s": 1.0,
            "wall_s": 1.0,
            "peak_mem_mib": 10.0,
            "timestamp": 1000.0,
            "genotype": genotype.to_dict(),
            "genotype_id": genotype.genotype_id,
            "decisions": {name: {choice: [0.0, 1.0]} for name, choice in genotype.choices.items()},
        }
        settings = {"space": "autogan/fixed", "model": config["model"]}
        logs.add(name_of(number), "trial", number=number, config=settings)
        logs.add(name_of(number), "evaluation", record=record)
        logs.add(name_of(number), "status", status="complete")
    write_tables(folder, about, logs)
    return genotypes


def add_trial(folder: Path, genotype: Genotype, settings: Mapping[str, Any] | None = None, **record: Any) -> None:
    """Adds a trial to a finished study, which differs from the first one by these settings and values."""
    logs = TrialLogs(folder)
    first, name = logs.get("t0000"), name_of(len(logs))
    logs.add(name, "trial", number=len(logs), config=first.about["config"] | (settings or {}))
    found = {"genotype": genotype.to_dict(), "genotype_id": genotype.genotype_id, **record}
    found["decisions"] = {name: {choice: [0.0, 1.0]} for name, choice in genotype.choices.items()}
    logs.add(name, "evaluation", record=first.records[0] | found)
    logs.add(name, "status", status="complete")
    write_tables(folder, read_about(folder), logs)


def config_of(folder: Path) -> StudyConfig:
    return StudyConfig.parse(load_study(folder).config, "test", ConfigError)


def retrained(study: Path, seed: int = 0) -> Path:
    """The folder of a retraining, with a generator that was never trained."""
    genotype = SPACE.random(8, seed)
    folder = study / RETRAINED / f"random-{genotype.genotype_id}-s{seed}"
    folder.mkdir(parents=True)
    shape = Shape(8, 1, 4, 4, 8)
    save_generator(folder / GENERATOR, Generator(SPACE, shape, genotype.choices), genotype, SPACE, shape)
    (folder / GENOTYPE).write_text(genotype.to_json())
    return folder
