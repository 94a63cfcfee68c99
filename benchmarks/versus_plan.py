"""What a comparison of search and random consists of, as plain data: arms, genotypes, and the jobs that follow.

A job's settings hold everything that its result depends on, and nothing else; their digest names its file. A job that
two arms share (the same genotype, found twice) is done once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, NamedTuple

from autogan_ray.base.errors import ConfigError, GenotypeError, ResultsError
from autogan_ray.base.files import replace_text
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, assign, load_study_config
from autogan_ray.spaces.load import space_of
from autogan_ray.spaces.published import load_genotype

SEARCH, RANDOM = "search", "random"
PLAN_FILE = "plan.json"
_KEYS = ("metrics.rank_by", "metrics.supernet_every", "tune.max_evaluations")
_OF_SEARCHES = ("search.", "optim.", "derive.", "remedies.", *_KEYS)
"""What an arm may change: no retraining depends on it."""
_PLACES = ("weights", "sha256")
"""Where Inception's weights lie: the extractor's digest stands for them."""


@dataclass(frozen=True)
class Task:
    """One job, done once and kept in one file.

    Args:
        kind: ``search``, ``retrain`` or ``inherited``.
        label: what people read.
        settings: everything that the result depends on.
        keep: whether a search saves its supernet's state.
    """

    kind: str
    label: str
    settings: dict[str, Any]
    keep: bool = False

    @property
    def digest(self) -> str:
        text = json.dumps([self.kind, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def file(self, out: Path) -> Path:
        return out / "jobs" / f"{self.kind}-{self.digest}.json"

    def result(self, out: Path) -> dict[str, Any] | None:
        """Returns what the job gave; None where it has not been done."""
        try:
            result: dict[str, Any] = json.loads(self.file(out).read_text(encoding="utf-8"))["result"]
            return result
        except (OSError, json.JSONDecodeError):
            return None


class Network(NamedTuple):
    """A genotype that is retrained.

    Args:
        arm: an arm of searches, ``random``, or the name of the genotype.
        index: the seed that it was searched with or drawn by; 0 for a named one.
        space: of the genotype, as plain data.
    """

    arm: str
    index: int
    genotype: dict[str, Any]
    space: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A comparison as plain data, of which all its jobs follow.

    Args:
        studies: arm of searches -> its study; the first, ``search``, is the study as asked for, and its sections
            ``[model]`` and ``[retrain]`` are everybody's when it comes to retraining.
        changes: arm -> what it changes, as typed.
        n: searches an arm, and random genotypes.
        retrain_seeds: retrainings of each genotype.
        pick: ``last`` or ``best``: which evaluation of a search its genotype is taken from.
        inherited: how many searches' supernets score every genotype with their weights.
        named: name -> genotype and space of a further arm.
        measure: digests of data and extractor, the metric's name, image size, number of real images.
        unswept: settings that the study sweeps; here they stand at one value.
        first_seed: of the searches and of the random genotypes.
    """

    studies: dict[str, dict[str, Any]]
    changes: dict[str, str]
    n: int
    retrain_seeds: int
    pick: str
    inherited: int
    device: str
    space: dict[str, Any]
    random: list[dict[str, Any]]
    named: dict[str, dict[str, Any]]
    measure: dict[str, Any]
    unswept: dict[str, Any] = field(default_factory=dict)
    first_seed: int = 0

    @property
    def seeds(self) -> range:
        return range(self.first_seed, self.first_seed + self.n)

    def search(self, arm: str, seed: int) -> Task:
        study = dict(self.studies[arm])
        study["metrics"] = _without(study["metrics"], *_PLACES, "n_fake_final")
        study["tune"] = {"max_evaluations": study["tune"]["max_evaluations"]}
        settings = {"study": _without(study, "name", "description", "data", "retrain", "sweep"), "seed": seed}
        keep = seed in self.seeds[: self.inherited]
        return Task(SEARCH, f"{arm} {seed}", self._common() | settings | {"space": self.space}, keep)

    def searches(self) -> list[tuple[str, int, Task]]:
        """Returns all searches as (arm, seed, task)."""
        return [(arm, seed, self.search(arm, seed)) for arm in self.studies for seed in self.seeds]

    def networks(self, out: Path) -> list[Network]:
        """Returns the genotypes known by now: of the searches that are done, the random and the named ones."""
        networks = []
        for arm, seed, task in self.searches():
            result = task.result(out)
            record = result and self.picked(result["records"])
            if record:
                networks.append(Network(arm, seed, record["genotype"], self.space))
        return networks + self.unsearched

    @property
    def unsearched(self) -> list[Network]:
        """The random and the named genotypes, which are known before anything is searched."""
        random = [Network(RANDOM, *drawn, self.space) for drawn in zip(self.seeds, self.random, strict=True)]
        return random + [Network(name, 0, **named) for name, named in self.named.items()]

    def retrainings(self, network: Network) -> list[Task]:
        """Returns a job for each retraining seed."""
        base = self.studies[SEARCH]
        study = {key: base[key] for key in ("schema", "seed", "model", "retrain", "metrics")}
        study["metrics"] = _without(study["metrics"], *_PLACES, "rank_by", "supernet_every")
        settings = {"study": study, "genotype": network.genotype, "space": network.space}
        label = f"{network.arm} {network.index}"
        return [
            Task("retrain", f"{label}, retraining seed {seed}", self._common() | settings | {"seed": seed})
            for seed in range(self.retrain_seeds)
        ]

    def inherited_scores(self, out: Path) -> dict[int, Task]:
        """Returns seed of a search -> the job that scores the genotypes known by now with its supernet's weights.

        Named genotypes are left out, as their space may be another.
        """
        networks = [network for network in self.networks(out) if network.arm not in self.named]
        networks.sort(key=lambda network: network.arm != RANDOM)
        unique = {json.dumps(network.genotype, sort_keys=True): network.genotype for network in networks}
        tasks = {}
        for seed in self.seeds[: self.inherited]:
            settings = {"search": self.search(SEARCH, seed).settings, "genotypes": [*unique.values()]}
            tasks[seed] = Task("inherited", f"supernet of search {seed}", settings)
        return tasks

    def _common(self) -> dict[str, Any]:
        return {"data": self.measure["data"], "extractor": self.measure["extractor"], "device": self.device}

    def picked(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Returns the evaluation whose genotype a search stands for; None where the search was never sound."""
        sound = [record for record in records if not record["diverged"]]
        if not sound:
            return None
        return min(sound, key=lambda record: record["fid"]) if self.pick == "best" else sound[-1]

    def save(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        replace_text(out / PLAN_FILE, json.dumps(asdict(self), indent=1) + "\n")


def load_plan(out: Path) -> Plan:
    """Reads the plan of a folder's last call. Raises ResultsError for a folder without one."""
    try:
        return Plan(**json.loads((out / PLAN_FILE).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise ResultsError(f"{out}: no comparison to report on here ({error}); run one first") from error


def _without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def parse_arm(text: str) -> tuple[str, dict[str, Any], str]:
    """Reads ``NAME:key=value,key=value`` as (name, dotted settings, what was typed after the colon).

    Raises ConfigError for another form, an unknown setting, or one that is not the search's own.
    """
    name, colon, rest = text.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or not rest:
        raise ConfigError(f"--arm {text!r}: write it as NAME:key=value,key=value")
    if name in (SEARCH, RANDOM):
        raise ConfigError(f"--arm {text!r}: the name {name!r} is taken; give it another")
    changes = {}
    for part in re.split(r",(?=[A-Za-z_.]+\s*=)", rest):  # a comma inside a list is no separator
        key, value = parse_override(part)
        if not key.startswith(_OF_SEARCHES):
            raise ConfigError(
                f"--arm {text!r}: {key} would change more than how is searched, and arms could not be compared; an arm "
                f"changes search.*, optim.*, metrics.rank_by or tune.max_evaluations; use --set for all arms"
            )
        changes[key] = value
    return name, changes, rest


def studies_of(
    study: str, overrides: Sequence[str], arms: Sequence[str], discriminator: str | None
) -> tuple[dict[str, StudyConfig], dict[str, str], dict[str, Any]]:
    """Returns arm -> its study, arm -> what it changes, and the values of settings that the study sweeps.

    Nothing is swept here, so ``[sweep]`` and its conditions are left out, and a swept setting that ``overrides`` do not
    set stands at one value. Raises ConfigError, NotFoundError.
    """
    common = dict(parse_override(text) for text in overrides)
    if discriminator is not None:
        common["retrain.discriminator"] = discriminator
    base = load_study_config(study)
    studies, changes = {SEARCH: _changed(base, study, common)}, {SEARCH: ""}
    for text in arms:
        name, values, typed = parse_arm(text)
        if name in studies:
            raise ConfigError(f"--arm {text!r}: the name {name!r} stands twice")
        studies[name], changes[name] = _changed(base, f"{study}, arm {name}", common | values), typed
    held = {key: reduce(getitem, key.split("."), base.to_dict()) for key in base.sweep if key not in common}
    return studies, changes, held


def _changed(study: StudyConfig, where: str, values: Mapping[str, Any]) -> StudyConfig:
    plain = _without(study.to_dict(), "sweep")
    for key, value in values.items():
        if key.startswith("sweep."):
            raise ConfigError(
                f"--set {key}: nothing is swept here; give the setting itself, or an --arm for each value"
            )
        assign(plain, key, value)
    return StudyConfig.parse(plain, where, ConfigError)


def named_genotypes(names: Sequence[str], image_size: int, taken: Collection[str]) -> dict[str, dict[str, Any]]:
    """Loads published genotypes and files as name -> genotype and space, for images of this size in pixels.

    Raises NotFoundError or GenotypeError: no such genotype, or not one for images of this size.
    """
    named: dict[str, dict[str, Any]] = {}
    for name in names:
        genotype, key = load_genotype(name), Path(name).stem
        if key in (*named, *taken, RANDOM):
            raise GenotypeError(f"--genotype {name!r}: the name {key!r} stands twice")
        space = space_of(genotype)
        try:
            named[key] = {"genotype": space.resized(genotype, image_size).to_dict(), "space": space.to_dict()}
        except GenotypeError as error:
            raise GenotypeError(f"--genotype {name}: {error}") from error
    return named
