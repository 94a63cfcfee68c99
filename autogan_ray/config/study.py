"""A study's configuration, from its file and the command line's overrides.

``StudyConfig`` is the file (its sections are in :mod:`autogan_ray.config.sections`); ``TrialConfig`` is what one trial
runs: the same sections with every sweep resolved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, TypeAdapter, ValidationError, model_validator

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError, nearest
from autogan_ray.base.value import Value, fields_at, parse_toml
from autogan_ray.config import method_rules, remedies
from autogan_ray.config.derive import DeriveConfig, check_sweep
from autogan_ray.config.remedies import RemediesConfig
from autogan_ray.config.sections import (
    ComputeConfig,
    DataConfig,
    MetricsConfig,
    ModelConfig,
    OptimConfig,
    RetrainConfig,
    SearchConfig,
    TuneConfig,
)
from autogan_ray.config.sweep import Domain, decided


class TrialConfig(Value):
    """One trial, fully resolved: what the trainable gets and the tables record."""

    space: str = "adversarialnas"
    seed: NonNegativeInt = 0
    model: ModelConfig = ModelConfig()
    search: SearchConfig = SearchConfig()
    optim: OptimConfig = OptimConfig()
    derive: DeriveConfig = DeriveConfig()
    compute: ComputeConfig = ComputeConfig()
    remedies: RemediesConfig = RemediesConfig()

    @model_validator(mode="after")
    def _paths_are_not_compiled(self) -> Self:
        if self.compute.compile and self.search.relaxation_in_force not in ("softmax", "gumbel"):
            raise ValueError(
                "compute.compile with a search of single paths (gumbel_hard, reinforce, random): every path is another "
                "network and would be compiled anew; leave compute.compile out, or take 'gumbel' or 'softmax'"
            )
        return self

    @model_validator(mode="after")
    def _remedies_fit(self) -> Self:
        remedies.check_trial(self)
        return self


class StudyConfig(TrialConfig):
    """A study file."""

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    data: DataConfig = DataConfig()
    metrics: MetricsConfig = MetricsConfig()
    tune: TuneConfig = TuneConfig()
    retrain: RetrainConfig = RetrainConfig()
    sweep: dict[str, Domain] = Field(default_factory=dict)
    """Dotted key of a trial's setting -> where Optuna may look for it."""

    @model_validator(mode="after")
    def _sweep_and_grace_fit(self) -> Self:
        for key, domain in self.sweep.items():
            _check_sweep(self, key, domain)
        _check_pairs(self)
        method_rules.check(self)
        _check_compiled(self)
        _check_remedies(self)
        check_sweep(self.derive, self.sweep)
        if self.tune.grace > self.tune.max_evaluations:
            raise ValueError(
                f"tune.grace_evaluations = {self.tune.grace} is above tune.max_evaluations = "
                f"{self.tune.max_evaluations}; a trial would end before ASHA may look at it"
            )
        return self

    @property
    def live_sweep(self) -> dict[str, Domain]:
        """What a searcher proposes: the sweep without what conditions on fixed settings rule out."""
        return decided(self.sweep, self._own)

    def _own(self, key: str) -> Any:
        if key == "search.relaxation":
            return self.search.relaxation_in_force
        section, _, name = key.rpartition(".")
        return getattr(getattr(self, section) if section else self, name)

    def trial(self, proposed: Mapping[str, Any], seed: int) -> TrialConfig:
        """The trial for a searcher's proposal (dotted key -> value), its relaxation named. Raises ConfigError."""
        values = {name: getattr(self, name) for name in TrialConfig.model_fields if name != "seed"}
        plain = {n: v.model_dump() if isinstance(v, Value) else v for n, v in values.items()} | {"seed": seed}
        for key, value in proposed.items():
            assign(plain, key, value)
        trial = TrialConfig.parse(plain, "proposal", ConfigError)
        assign(plain, "search.relaxation", trial.search.relaxation_in_force)
        return TrialConfig.parse(plain, "proposal", ConfigError)

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


ENUMERATED = ("search.method", "search.relaxation")
"""Settings whose legal values are known, so that a condition may name one that is not among a sweep's choices."""


def _check_sweep(study: StudyConfig, key: str, domain: Domain) -> None:
    """Every end of a domain must be a legal value of its setting."""
    known = sweepable()
    if key not in known:
        raise ValueError(f"sweep: no setting {key!r} of a trial; {nearest(key, known)}")
    for other, wanted in domain.when.items():
        if other not in known:
            raise ValueError(f"sweep.{key}: when names {other!r}, which no trial has; {nearest(other, known)}")
        if other not in study.sweep or other in ENUMERATED:
            _check_legal(study, other, wanted, f"sweep.{key}: when {other}")
            continue
        unknown = set(map(str, wanted)) - set(map(str, study.sweep[other].choice or ()))
        if unknown:
            raise ValueError(f"sweep.{key}: when {other} = {sorted(unknown)} is not among its choices")
    _check_legal(study, key, domain.ends(), f"sweep.{key}")


def _check_legal(study: StudyConfig, key: str, values: tuple[Any, ...], where: str) -> None:
    section, _, name = key.rpartition(".")
    model = type(getattr(study, section)) if section else TrialConfig
    field = model.model_fields[name]
    rule: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]
    for value in values:
        try:
            rule.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{where} = {value!r}: {error.errors()[0]['msg']}") from error


def _check_pairs(study: StudyConfig) -> None:
    """The lowest start of a temperature must not lie under its highest end."""
    start, end = study.sweep.get("search.temperature_start"), study.sweep.get("search.temperature_end")
    low = min(start.ends()) if start else study.search.temperature_start
    high = max(end.ends()) if end else study.search.temperature_end
    if low < high:
        raise ValueError(
            f"sweep: temperature_start may be as low as {low} and temperature_end as high as {high}; the start must "
            "not lie under the end"
        )


def _check_compiled(study: StudyConfig) -> None:
    """No proposal may ask for a compiled search of single paths."""
    compiled, relaxed = study.sweep.get("compute.compile"), study.sweep.get("search.relaxation")
    able = True in compiled.ends() if compiled else study.compute.compile
    if able and relaxed and "gumbel_hard" in relaxed.ends():
        raise ValueError("sweep: compute.compile may meet search.relaxation = 'gumbel_hard', which is not compiled")


def _check_remedies(study: StudyConfig) -> None:
    try:
        for _ in remedies.corners(study):
            pass
    except ConfigError as error:
        raise ValueError(f"sweep: {str(error).removeprefix('proposal: the document: ')}") from error


def sweepable() -> list[str]:
    """Dotted names of all settings of a trial."""
    found = ["space"]
    for section, entry in TrialConfig.model_fields.items():
        if not (isinstance(entry.annotation, type) and issubclass(entry.annotation, Value)):
            continue
        found += [f"{section}.{field}" for field in fields_at(TrialConfig, [section])]
    return found


def settings() -> list[str]:
    """Dotted names of all settings of a study, for ``--set`` and its messages."""
    found = []
    for name, field in StudyConfig.model_fields.items():
        inner = fields_at(StudyConfig, [name]) if isinstance(field.annotation, type) else None
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, Value)
        found += [f"{name}.{key}" for key in inner or []] if nested else [field.alias or name]
    return found


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested dicts, in place; missing tables are made."""
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key!r}: {part!r} is a single value, not a table")
    values[last] = value


def parse_override(text: str) -> tuple[str, Any]:
    """``a.b=v`` of ``--set``: v is read as TOML, and as a plain string where it is none.

    Raises ConfigError for a text without ``=`` or a key that no study has.
    """
    key, found, raw = text.partition("=")
    key = key.strip()
    if not found or not key:
        raise ConfigError(f"--set {text!r}: write it as key=value, such as --set optim.lr_g=0.001")
    known = settings()
    if key not in known and not key.startswith("sweep."):
        same = [name for name in known if name.rpartition(".")[2] == key]
        raise ConfigError(f"--set {text!r}: no setting {key!r}; {nearest(same[0] if same else key, same or known)}")
    try:
        return key, parse_toml(f"v = {raw.strip()}", "", ConfigError)["v"]
    except ConfigError:
        return key, raw.strip()


def load_study_config(name: str | Path, overrides: Mapping[str, Any] | None = None) -> StudyConfig:
    """A study by shipped name or path, with dotted overrides on top.

    Raises:
        NotFoundError: no such study.
        ConfigError: not TOML, unknown keys, wrong types or ranges; each finding on its own line.
    """
    found = catalog.read("study", name)
    values = parse_toml(found.text, found.origin, ConfigError)
    where = found.origin
    sweep = values.get("sweep", {})
    for key, value in (overrides or {}).items():
        if key.startswith("sweep."):
            values.setdefault("sweep", {})[key.removeprefix("sweep.")] = value
            continue
        assign(values, key, value)
        if isinstance(sweep, dict):
            sweep.pop(key, None)  # a value fixed by hand is no longer swept
        where = f"{found.origin} with overrides"
    return StudyConfig.parse(values, where, ConfigError)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], lead: str = "") -> list[str]:
    """``key: old -> new`` for every setting in which two configurations differ, sorted."""
    found = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "(absent)"), new.get(key, "(absent)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{lead}{key}.")
        elif before != after:
            found.append(f"{lead}{key}: {before!r} -> {after!r}")
    return found
