"""A study's configuration, from its file and the command line's overrides, and whether all that it proposes is legal.

``StudyConfig`` is the file (its sections are in :mod:`autogan_ray.config.sections`); ``TrialConfig`` is what one trial
runs: the same sections with a value for everything that the study sweeps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from autogan_ray.base import catalog
from autogan_ray.base.errors import ConfigError, nearest
from autogan_ray.base.reading import parse_toml
from autogan_ray.base.value import Value, fields_at
from autogan_ray.config.methods import READ_BY, listed, only_beside
from autogan_ray.config.rules import RULES, Rule, long_enough
from autogan_ray.config.sections import (
    DataConfig,
    MetricsConfig,
    RaceConfig,
    ResultsConfig,
    RetrainConfig,
    TrialSections,
    TuneConfig,
)
from autogan_ray.config.sweep import Domain, corners, in_order, undecided
from autogan_ray.config.tracking import Tracking
from autogan_ray.config.training import check_compiled


class TrialConfig(TrialSections):
    """One trial, fully resolved: what the trainable gets and the tables record."""

    @model_validator(mode="after")
    def _settings_fit_together(self) -> Self:
        for rule in RULES:
            rule.check(self)
        return self


class StudyConfig(TrialSections):
    """A study file."""

    schema_: Literal[1] = Field(alias="schema")
    """Of the file; always 1."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Also of the results' folder."""
    description: str = ""
    """One line for people."""
    tracking: Tracking = ("tensorboard",)
    """Which programs draw the trials' curves: ``tensorboard``, ``mlflow``, ``wandb``; ``none`` for none. It changes no
    result."""
    data: DataConfig = DataConfig()
    metrics: MetricsConfig = MetricsConfig()
    tune: TuneConfig = TuneConfig()
    retrain: RetrainConfig = RetrainConfig()
    race: RaceConfig = RaceConfig()
    results: ResultsConfig = ResultsConfig()
    sweep: dict[str, Domain] = Field(default_factory=dict)
    """Dotted key of a trial's setting -> where Optuna may look for it."""

    @model_validator(mode="after")
    def _every_proposal_is_legal(self) -> Self:
        for key, domain in sorted(self.sweep.items()):
            _check_domain(self.sweep, key, domain)
        _check_that_all_is_read(self)
        check_proposals(self, [*RULES, long_enough(self.tune.max_evaluations, self.live_sweep)])
        return self

    @model_validator(mode="after")
    def _trials_outlive_the_grace(self) -> Self:
        tune = self.tune
        if tune.scheduler == "asha" and (tune.grace_evaluations or 0) > tune.max_evaluations:
            raise ValueError(
                f"tune.grace_evaluations = {tune.grace_evaluations} is above tune.max_evaluations = "
                f"{tune.max_evaluations}; a trial would end before ASHA may look at it: lower it, or set "
                'tune.scheduler = "none"'
            )
        return self

    @model_validator(mode="after")
    def _penalties_of_a_retraining_are_not_compiled(self) -> Self:
        if self.compute.compile:
            check_compiled(self.retrain, "retrain")
        return self

    @property
    def live_sweep(self) -> dict[str, Domain]:
        """What a searcher proposes: the sweep without what conditions on fixed settings rule out.

        It is in the order of proposals, which does not depend on the order of the file: each setting stands behind the
        settings that its conditions ask about, and otherwise as in the sections of a study.
        """
        return in_order(undecided({key: self.sweep[key] for key in sweepable() if key in self.sweep}, self._own))

    def _own(self, key: str) -> Any:
        if key == "search.relaxation":
            return self.search.relaxation_in_force
        return attrgetter(key)(self)

    def possible(self, key: str) -> list[Any]:
        """Returns the values that a setting (dotted key) can have in a trial; of numbers the least and the greatest."""
        proposals = corners(self.live_sweep, [key])
        return list(dict.fromkeys(proposal.get(key, self._own(key)) for proposal in proposals))

    def sections(self, proposed: Mapping[str, Any]) -> TrialSections:
        """Returns the settings of the trial that a searcher proposes (dotted key -> value)."""
        return TrialSections.model_validate(self._values(proposed))

    def trial(self, proposed: Mapping[str, Any], seed: int) -> TrialConfig:
        """Returns the trial that a searcher proposes (dotted key -> value), with its relaxation named.

        Raises:
            ConfigError: the proposal is not legal.
        """
        trial = TrialConfig.parse(self._values(proposed) | {"seed": seed}, "proposal", ConfigError)
        search = trial.search.model_copy(update={"relaxation": trial.search.relaxation_in_force})
        return trial.model_copy(update={"search": search})

    def _values(self, proposed: Mapping[str, Any]) -> dict[str, Any]:
        values = self.model_dump(include=set(TrialSections.model_fields))
        for key, value in proposed.items():
            assign(values, key, value)
        return values

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data as JSON has it, which ``StudyConfig.parse`` reads."""
        return self.model_dump(mode="json", by_alias=True)


def check_proposals(study: StudyConfig, rules: Iterable[Rule]) -> None:
    """Holds each rule to proposals that stand for all proposals of the study, or to its own settings if it sweeps none.

    Costs a check for each corner of what a rule reads: see :func:`autogan_ray.config.sweep.corners`.

    Raises:
        ValueError: a rule is broken, which is named with the settings that the sweep proposes. The type is that which
            the rule raises.
    """
    sweep = study.live_sweep
    for rule in rules:
        for corner in corners(sweep, rule.reads, rule.divided):
            trial = study.sections(corner)
            try:
                rule.check(trial)
            except ValueError as error:
                swept = [f"{key} = {corner[key]}" for key in rule.reads if key in corner]
                if not swept:
                    raise
                apart = '; or keep these apart by a condition ("when")' if len(swept) > 1 else ""
                where = f"(where the sweep proposes {', '.join(swept)})"
                raise type(error)(f"sweep: {error}{rule.way_out or apart} {where}") from error


ENUMERATED = ("search.method", "search.relaxation")
"""Settings whose legal values are known, so that a condition may name a value that is not among a sweep's choices."""


def _check_domain(sweep: Mapping[str, Domain], key: str, domain: Domain) -> None:
    """Raises ValueError unless the setting exists, its domain holds legal values only, and its conditions can be asked.

    A condition can be asked about a setting that is fixed, or swept by choice.
    """
    known = sweepable()
    if key not in known:
        raise ValueError(f"sweep: no setting {key!r} of a trial; {nearest(key, known)}")
    for other, wanted in sorted(domain.when.items()):
        if other not in known:
            raise ValueError(f"sweep.{key}: when names {other!r}, which no trial has; {nearest(other, known)}")
        _check_legal(other, wanted, f"sweep.{key}: when {other}")
        if other not in sweep or other in ENUMERATED:
            continue
        choices = sweep[other].choice
        if choices is None:
            raise ValueError(f"sweep.{key}: when names {other!r}, which is swept over a range; give it a choice")
        unknown = [value for value in wanted if value not in choices]
        if unknown:
            raise ValueError(f"sweep.{key}: when {other} = {unknown} is not among its choices")
    low_high = domain.uniform or domain.loguniform
    # A number in between as well: both ends may be whole and the setting take whole numbers only.
    between = (low_high[0] + 0.618 * (low_high[1] - low_high[0]),) if low_high else ()
    _check_legal(key, (*domain.ends(), *between), f"sweep.{key}")


def _check_legal(key: str, values: Iterable[Any], where: str) -> None:
    """Raises ValueError for a value that the setting may not have, or that it would read as another value."""
    for value in values:
        try:
            read = _type_of(key).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(f"{where} = {value!r}: {message}") from error
        if read != value:
            raise ValueError(f"{where} = {value!r}: write it as {read!r}")


@cache
def _type_of(key: str) -> TypeAdapter[Any]:
    section, _, name = key.rpartition(".")
    model = type(getattr(TrialSections(), section)) if section else TrialSections
    field = model.model_fields[name]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]


def _check_that_all_is_read(study: StudyConfig) -> None:
    """Raises ValueError where the sweep proposes a setting that plays no part in any trial it is proposed for."""
    sweep = study.live_sweep
    for key in sweep:
        if key not in READ_BY:
            continue
        proposed = [corner for corner in corners(sweep, [key, "search.method"]) if key in corner]
        methods = list(dict.fromkeys(corner.get("search.method", study.search.method) for corner in proposed))
        if methods and not set(methods) & set(READ_BY[key]):
            raise ValueError(
                f"sweep.{key}: it plays no part in search.method = {listed(methods)}, only in {listed(READ_BY[key])}; "
                f"take it out of the sweep, or give it {only_beside(key)}"
            )


def dotted_names(model: type[Value]) -> list[str]:
    """Returns the dotted names of all settings of a model, section by section."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        is_section = isinstance(field.annotation, type) and issubclass(field.annotation, Value)
        names += [f"{name}.{key}" for key in fields_at(model, [name])] if is_section else [field.alias or name]
    return names


def sweepable() -> list[str]:
    """Returns the dotted names of all settings that a study can sweep: those of a trial but its seed."""
    return [name for name in dotted_names(TrialSections) if name != "seed"]


def assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key in nested dictionaries, in place, and makes the tables that are missing.

    Raises:
        ConfigError: a part of the key is a single value.
    """
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key!r}: {part!r} is a single value, not a table")
    values[last] = value


def load_study_config(name: str | Path, overrides: Mapping[str, Any] | None = None) -> StudyConfig:
    """Returns a study by its shipped name or its path, with the values of dotted keys replaced.

    A value takes its setting out of the sweep; ``sweep.KEY`` behind it puts it in. Relative paths of data and of
    weights are taken from the current folder.

    Raises:
        NotFoundError: there is no such study.
        ConfigError: the file is not TOML, or has unknown keys, wrong types or ranges; each mistake on its own line.
    """
    document = catalog.read("study", name)
    values = parse_toml(document.text, document.origin, ConfigError)
    where = f"{document.origin} with overrides" if overrides else document.origin
    for key, value in (overrides or {}).items():
        if key.startswith("sweep."):
            if isinstance(sweep := values.setdefault("sweep", {}), dict):
                sweep[key.removeprefix("sweep.")] = value
            continue
        assign(values, key, deepcopy(value))  # it stays as the caller gave it
        if isinstance(sweep := values.get("sweep"), dict):
            sweep.pop(key, None)
    make_places_absolute(values)
    return StudyConfig.parse(values, where, ConfigError)


def make_places_absolute(values: Mapping[str, Any]) -> None:
    """Makes the paths of a study's settings absolute, in place, so that it finds its files from any folder."""
    for key, absolute in _PLACES.items():
        section, _, name = key.partition(".")
        settings = values.get(section)
        if isinstance(settings, dict) and isinstance(place := settings.get(name), str) and place:
            settings[name] = absolute(place)


def _absolute(path: str) -> str:
    with contextlib.suppress(RuntimeError):  # the home of a user who does not exist
        path = str(Path(path).expanduser())
    return str(Path(path).absolute())


def _absolute_source(source: str) -> str:
    kind, colon, path = source.partition(":")
    return f"{kind}:{_absolute(path)}" if colon and path else source


_PLACES = {"data.source": _absolute_source, "data.root": _absolute, "metrics.weights": _absolute}
"""Setting that names a place -> how its path is made absolute."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], lead: str = "") -> list[str]:
    """Returns ``key: old -> new`` for every setting in which two configurations differ, sorted."""
    lines: list[str] = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "(absent)"), new.get(key, "(absent)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{lead}{key}.")
        elif before != after:
            lines.append(f"{lead}{key}: {before!r} -> {after!r}")
    return lines
