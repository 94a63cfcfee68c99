"""What a comparison of search and random consists of, as plain data: arms, genotypes, and the jobs that follow.

A job's settings hold everything that its result depends on, and nothing else; their digest names its file. A job that
two arms share (the same genotype, found twice) is done once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ConfigError, GenotypeError, ResultsError
from autogan_ray.config.overrides import parse_override
from autogan_ray.config.study import StudyConfig, assign, load_study_config
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.published import load_genotype
from autogan_ray.spaces.space import load_space, space_of

SEARCH, RANDOM = "search", "random"
PLAN_FILE = "plan.json"
_OF_SEARCHES = (
    "search.",
    "optim.",
    "derive.",
    "remedies.",
    "metrics.rank_by",
    "metrics.supernet_every",
    "tune.max_evaluations",
)
_PLACES = ("weights", "sha256")
"""Where Inception's weights lie: the extractor's digest stands for them."""


@dataclass(frozen=True)
class Task:
    """One job: ``search``, ``retrain`` or ``inherited``. ``keep`` asks a search for its supernet's state."""

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

    def read(self, out: Path) -> dict[str, Any] | None:
        """Its result; None where it has not been done."""
        try:
            found: dict[str, Any] = json.loads(self.file(out).read_text(encoding="utf-8"))
            return found
        except (OSError, json.JSONDecodeError):
            return None


@dataclass(frozen=True)
class Plan:
    """JSON-able throughout.

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

    @property
    def inheriting(self) -> range:
        return self.seeds[: self.inherited]

    def search(self, arm: str, seed: int) -> Task:
        study = dict(self.studies[arm])
        study["metrics"] = _without(study["metrics"], *_PLACES, "n_fake_final")
        study["tune"] = {"max_evaluations": study["tune"]["max_evaluations"]}
        settings = {"study": _without(study, "name", "description", "data", "retrain", "sweep"), "seed": seed}
        return Task(SEARCH, f"{arm} {seed}", self._common() | settings | {"space": self.space}, seed in self.inheriting)

    def retrainings(
        self, label: str, genotype: Mapping[str, Any], space: Mapping[str, Any] | None = None
    ) -> list[Task]:
        """One a retraining seed. ``space``: None takes the one that is searched."""
        base = self.studies[SEARCH]
        study = {key: base[key] for key in ("schema", "seed", "model", "retrain", "metrics")}
        study["metrics"] = _without(study["metrics"], *_PLACES, "rank_by", "supernet_every")
        settings = {"study": study, "genotype": dict(genotype), "space": dict(space or self.space)}
        return [
            Task("retrain", f"{label}, retraining seed {seed}", self._common() | settings | {"seed": seed})
            for seed in range(self.retrain_seeds)
        ]

    def inherited_scores(self, seed: int, genotypes: Sequence[Mapping[str, Any]]) -> Task:
        """Score genotypes of the searched space with the weights of search ``seed``'s supernet."""
        unique = {json.dumps(one, sort_keys=True): dict(one) for one in genotypes}
        search = self.search(SEARCH, seed).settings
        return Task("inherited", f"supernet of search {seed}", {"search": search, "genotypes": [*unique.values()]})

    def _common(self) -> dict[str, Any]:
        return {"data": self.measure["data"], "extractor": self.measure["extractor"], "device": self.device}

    def picked(self, records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The evaluation whose genotype a search stands for; None where the search was never sound."""
        sound = [record for record in records if not record["diverged"]]
        if not sound:
            return None
        return min(sound, key=lambda one: one["fid"]) if self.pick == "best" else sound[-1]

    def save(self, out: Path) -> None:
        out.mkdir(parents=True, exist_ok=True)
        temporary = out / f".{PLAN_FILE}.tmp"
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        temporary.replace(out / PLAN_FILE)


def load_plan(out: Path) -> Plan:
    """Raises ResultsError for a folder without one."""
    try:
        return Plan(**json.loads((out / PLAN_FILE).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise ResultsError(f"{out}: no comparison to report on here ({error}); run one first") from error


def _without(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in keys}


def parse_arm(text: str) -> tuple[str, dict[str, Any], str]:
    """``NAME:key=value,key=value`` as (name, dotted settings, what was typed after the colon).

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
    """Arm -> its study, arm -> what it changes, and where settings stand that the study sweeps and nobody set.

    Nothing is swept here, so ``[sweep]`` and its conditions are left out. Raises ConfigError, NotFoundError.
    """
    common = dict(parse_override(text) for text in overrides)
    if discriminator is not None:
        common["retrain.discriminator"] = discriminator
    found = load_study_config(study)
    studies, changes = {SEARCH: _changed(found, study, common)}, {SEARCH: ""}
    for text in arms:
        name, values, typed = parse_arm(text)
        if name in studies:
            raise ConfigError(f"--arm {text!r}: the name {name!r} stands twice")
        studies[name], changes[name] = _changed(found, f"{study}, arm {name}", common | values), typed
    return studies, changes, {key: _at(found, key) for key in found.sweep if key not in common}


def _changed(study: StudyConfig, where: str, values: Mapping[str, Any]) -> StudyConfig:
    plain = _without(study.to_dict(), "sweep")
    for key, value in values.items():
        if key.startswith("sweep."):
            raise ConfigError(
                f"--set {key}: nothing is swept here; give the setting itself, or an --arm for each value"
            )
        assign(plain, key, value)
    return StudyConfig.parse(plain, where, ConfigError)


def _at(study: StudyConfig, key: str) -> Any:
    value: Any = study.to_dict()
    for part in key.split("."):
        value = value[part]
    return value


def named_genotypes(names: Sequence[str], image_size: int, taken: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Raises NotFoundError or GenotypeError: no such genotype, or not one for images of this size."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        genotype: Genotype = load_genotype(name)
        space, key = space_of(genotype), Path(name).stem
        if key in found or key in (*taken, RANDOM):
            raise GenotypeError(f"--genotype {name!r}: the name {key!r} stands twice")
        try:
            genotype = space.resized(genotype, image_size)
        except GenotypeError as error:
            raise GenotypeError(f"--genotype {name}: {error}") from error
        found[key] = {"genotype": genotype.to_dict(), "space": space.to_dict()}
    return found


def random_genotypes(study: StudyConfig, image_size: int, seeds: range) -> list[dict[str, Any]]:
    """Those that ``retrain --genotype random`` draws for these seeds."""
    space = load_space(study.space)
    return [space.random(image_size, seed).to_dict() for seed in seeds]
