"""Which networks a call of ``retrain`` asks for: the best of a study or its front, random genotypes, published and a
user's own.

All jobs of a call have the same budget, data and metric, so that their scores can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autogan_ray.base.errors import ConfigError, GenotypeError, NotFoundError, ResultsError, nearest
from autogan_ray.config.study import StudyConfig
from autogan_ray.results.genotypes import find_genotype
from autogan_ray.results.retrained import RETRAINED
from autogan_ray.results.study import Study
from autogan_ray.results.study_tables import configuration
from autogan_ray.results.trial_log import trial_meant
from autogan_ray.retraining.job import Job
from autogan_ray.retraining.race import SEED, as_candidate, check_length
from autogan_ray.spaces.genotype import Genotype
from autogan_ray.spaces.load import load_space, space_of
from autogan_ray.spaces.published import is_published
from autogan_ray.spaces.space import SearchSpace
from autogan_ray.study.study_file import read_space, read_spaces

if TYPE_CHECKING:
    import pandas as pd

RANDOM = "random"
BEST = "best"
FRONT = "front"


def wanted_jobs(
    study: Study,
    *,
    trial: str | None,
    top: int,
    genotypes: Sequence[str],
    seeds: int,
    config: StudyConfig,
    first_seed: int = 0,
) -> list[Job]:
    """Returns the jobs of a call, each genotype with each seed.

    Args:
        study: where the results belong, and whose trials are retrained.
        trial: ``best``, or a trial's id or number; ``front`` for all trials that none beats in score and cost; None
            where only ``genotypes`` are wanted.
        top: with ``best``, the number of trials to retrain, from the best downwards.
        genotypes: shipped names, files, ids of this study (or RESULTS:ID of another), or ``random``: a random genotype
            for each seed, drawn from the space of the best trial, or from the study's space where nothing was searched;
            ``random:8`` draws so many, a seed each.
        seeds: number of jobs for each genotype.
        config: the study's configuration with the recipe as ``[retrain]``.
        first_seed: from which the seeds count.

    Raises:
        ResultsError: the study has no scored trial, or no such trial, or its file is damaged.
        ConfigError: ``top`` is above 1 and ``trial`` is a single trial or the front, or the study has no front.
        GenotypeError, NotFoundError: a genotype that does not exist or does not fit its space or the study's images.
    """
    maker, numbers = _JobMaker(study, config), range(first_seed, first_seed + seeds)
    jobs: list[Job] = []
    if trial is not None:
        for row in _trials(study, trial, top):
            genotype, space = _genotype_of(study, row["genotype_id"]), maker.spaces.get(row["space"])
            model, by = _model_of(row), "score" if trial in (BEST, FRONT) else "user"
            name, id_ = f"trial {row['trial_id']}", row["trial_id"]
            jobs += [maker.job("retrain", name, genotype, seed, by, id_, model, space) for seed in numbers]
    for name in genotypes:
        if (count := random_count(name)) is not None:
            drawn = range(first_seed, first_seed + count) if count else numbers
            jobs += [maker.drawn(seed) for seed in drawn]
        else:
            jobs += _jobs_named(maker, study, name, numbers)
    return _once(jobs)


def _once(jobs: Iterable[Job]) -> list[Job]:
    """Leaves each network out that is there already: of two trials with the same genotype the better one's stays."""
    kept: dict[str, Job] = {}
    for job in jobs:
        kept.setdefault(job.evaluation_id, job)
    return list(kept.values())


def race_candidates(
    study: Study, *, trial: str | None, count: int, genotypes: Sequence[str], config: StudyConfig
) -> list[Job]:
    """Returns the candidates of a race: in the group ``searched`` the best genotypes of trials, in ``random`` as many
    random ones.

    Args:
        trial: ``best``; ``front`` takes the best of the front; None where nothing searched is raced.
        count: number of candidates of each group.
        genotypes: of which ``random`` and ``random:8`` take part; others are no candidates.

    Raises as :func:`wanted_jobs`, and ConfigError for a single trial or genotype, a recipe that is too short for a
    race, or where nothing would be raced.
    """
    check_length(config)
    if trial not in (None, BEST, FRONT):
        raise ConfigError(f"--trial {trial}: one network is no race; leave --race out, or take --trial best")
    top = 1 if trial == FRONT else count
    jobs = [] if trial is None else wanted_jobs(
        study, trial=trial, top=top, genotypes=(), seeds=1, config=config, first_seed=SEED
    )[:count]  # fmt: skip
    if len(jobs) == 1:
        which = "--front: one genotype is on the front" if trial == FRONT else "one genotype was searched and scored"
        raise ConfigError(f"--race {count} with {which}, which is no race; leave --race out")
    candidates = [as_candidate(job, "searched") for job in jobs]
    maker = _JobMaker(study, config)
    for name in genotypes:
        if (given := random_count(name)) is not None:
            drawn = [replace(maker.drawn(draw), seed=SEED) for draw in range(given or len(jobs) or count)]
            candidates += [as_candidate(job, RANDOM) for job in drawn]
    if not candidates:
        raise ConfigError(
            f"--race {count}: nothing is raced, as named networks take no part in a race and nothing was searched "
            "here; add --genotype random, or leave --race out"
        )
    folder = study.folder / RETRAINED
    return _once(replace(job, folder=folder / job.evaluation_id) for job in candidates)


def finals_of(winners: Sequence[Job], config: StudyConfig, seeds: int) -> list[Job]:
    """Returns the trainings of a race's winners to their end, each with fresh seeds, by the recipe of ``config``."""
    jobs = [
        replace(job, study=config, stage="final", group="", seed=seed, chosen_by="race", fresh_seed=True, finals="")
        for job in winners
        for seed in range(SEED + 1, SEED + 1 + seeds)
    ]
    return [replace(job, folder=job.folder.parent / job.evaluation_id) for job in jobs]


def random_count(name: str) -> int | None:
    """Returns how many genotypes ``random:8`` asks for, 0 for a plain ``random``; None for another name.

    Raises ConfigError for a number that is none.
    """
    word, colon, count = name.partition(":")
    if word != RANDOM:
        return None
    if colon and not (count.isascii() and count.isdecimal() and 0 < int(count) < 10_000):
        raise ConfigError(f"--genotype {name!r}: write a number from 1 to 9999 behind the colon, such as random:8")
    return int(count) if colon else 0


def _jobs_named(maker: _JobMaker, study: Study, name: str, seeds: Iterable[int]) -> list[Job]:
    """The jobs of a shipped name, a file or an id; what the study's own trials found counts as searched."""
    try:
        genotype, folder = find_genotype(name, [study.folder])
    except NotFoundError as error:
        raise NotFoundError(f"{error}; or 'random' for random genotypes") from error
    if folder is None:
        source = "published" if is_published(name) else "user"
        stem = Path(name).stem
        called = Path(name).name if stem == RANDOM else stem  # 'random' is what random genotypes are called
        return [maker.job(source, called, genotype, seed, "user") for seed in seeds]
    id_, scored = genotype.genotype_id, study.genotypes
    own = scored[scored["genotype_id"] == id_] if folder.resolve() == study.folder.resolve() else scored[:0]
    if own.empty:
        space = read_space(folder, genotype.space)
        return [maker.job("user", id_, genotype, seed, "user", space=space) for seed in seeds]
    trial_id = own["first_trial_id"].iloc[0]
    row = study.trials.set_index("trial_id", drop=False).loc[trial_id]
    model, space = _model_of(row), maker.spaces.get(row["space"])
    return [maker.job("retrain", f"trial {trial_id}", genotype, seed, "user", trial_id, model, space) for seed in seeds]


class _JobMaker:
    """Makes jobs of genotypes: holds what all jobs of a call have in common."""

    def __init__(self, study: Study, config: StudyConfig) -> None:
        self._study, self._config = study, config
        self.spaces = read_spaces(study.folder)
        self.image_size = study.integer("image_size")
        scored = study.trials[study.trials["fid_best"].notna()]
        self._best = study.best if len(scored) else None
        self._model = config.model.model_dump() if self._best is None else _model_of(self._best)

        rows = study.evaluations
        raced = rows[rows["stage"] == "race"]
        self._raced = set(zip(raced["genotype_id"], raced["seed"], strict=True))

    def drawn(self, seed: int) -> Job:
        """A random genotype, drawn by the seed and trained with it."""
        return self.job(RANDOM, f"random {seed}", self.space.random(self.image_size, seed), seed, None)

    @property
    def space(self) -> SearchSpace:
        """The space of the best trial; where nothing was searched, the space that the study names."""
        name = self._config.space if self._best is None else self._best["space"]
        return self.spaces.get(name) or load_space(name)

    def job(
        self,
        source: str,
        name: str,
        genotype: Genotype,
        seed: int,
        chosen_by: str | None,
        trial_id: str | None = None,
        model: dict[str, Any] | None = None,
        space: SearchSpace | None = None,
    ) -> Job:
        """A job with its folder.

        Args:
            model: None takes the best trial's settings ``[model]``, else the study's.
            space: None takes the study's space of the name that the genotype gives, else the shipped one.

        Raises GenotypeError for a genotype that cannot make the study's images.
        """
        stored = {space.name: space for space in self.spaces.values()}
        space = space or stored.get(genotype.space) or space_of(genotype)
        try:
            genotype = space.resized(genotype, self.image_size)
        except GenotypeError as error:
            raise GenotypeError(f"{name}: {error}") from error
        fresh = (genotype.genotype_id, seed) not in self._raced
        job = Job(
            source, name, genotype, space, seed, trial_id, model or self._model, self._config, Path(),
            chosen_by=chosen_by, fresh_seed=fresh,
        )  # fmt: skip
        return replace(job, folder=self._study.folder / RETRAINED / job.evaluation_id)


def _trials(study: Study, trial: str, top: int) -> list[Any]:
    """Rows of the table ``trials``, the best first: the ``top`` best, the front, or the trial of that id."""
    trials = study.trials
    scored = trials[trials["fid_best"].notna()].sort_values("fid_best", kind="stable")
    if scored.empty:
        raise ResultsError(f"study {str(study.folder)!r} has no scored trial yet; name a network by --genotype")
    if trial == BEST:
        return [row for _, row in scored.head(top).iterrows()]
    if trial == FRONT:
        return _front(study, scored, top)
    rows = scored[scored["trial_id"] == trial_meant(trial)]
    if rows.empty:
        hint = nearest(trial, [BEST, *scored["trial_id"]])
        raise ResultsError(f"no scored trial {trial!r} in {str(study.folder)!r}; {hint}")
    if top > 1:
        raise ConfigError(f"--top {top} with --trial {trial}: that is one trial; leave one of the options out")
    return [rows.iloc[0]]


def _model_of(trial: Any) -> dict[str, Any]:
    """The settings ``[model]`` of a row of the table ``trials``. Raises ResultsError for a row without them."""
    where = f"trial {trial['trial_id']}"
    model = configuration(trial["config_json"], where).get("model")
    if model is None:
        raise ResultsError(f"{where}, config_json: it has no section 'model'")
    return dict(model)


def _front(study: Study, scored: pd.DataFrame, top: int) -> list[Any]:
    if study.second_objective is None:
        raise ConfigError(
            f"--front: study {str(study.folder)!r} has one objective, its score, and so no front; take --trial best "
            "--top K, or run a study with --set tune.objectives=fid,macs_g"
        )
    if top > 1:
        raise ConfigError(f"--top {top} with --front: the front says how many; leave one of the options out")
    return [row for _, row in scored[scored["on_front"].eq(True)].iterrows()]


def _genotype_of(study: Study, genotype_id: str) -> Genotype:
    genotypes = study.genotypes
    return Genotype.from_json(genotypes[genotypes["genotype_id"] == genotype_id]["genotype_json"].iloc[0])
