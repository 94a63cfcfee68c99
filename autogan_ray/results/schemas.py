"""The seven result tables (schema 2), column by column: the interface between studies and pandas.

Everything there is to say of a column stands in its one line: name, type, note and where its value comes from. To add
a column whose value is recorded already, add its line here, and name it in ``tests/results/test_schemas.py``, which
lists all columns a second time so that none is renamed or moved by accident.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from autogan_ray.config.methods import METHODS

SCHEMA_VERSION = 2
"""It rises with a release that adds tables or columns. None is renamed or removed, or changes its type or meaning, so
that older files and the notebooks that read them stay good: what an older file lacks is read as null. New columns
stand last."""

TEXT, INT, FLOAT, BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
TIME = pa.timestamp("us", tz="UTC")


class Column(NamedTuple):
    """One column of a table.

    Args:
        name: of the column, with its unit where it has one.
        type: of its values, which may be null unless the column belongs to the key.
        note: unit, range or meaning where the name does not tell; ``description`` in the file's metadata.
        source: of a column of ``trials``, the dotted path at which :func:`~autogan_ray.results.rows.trial_rows` finds
            the value: ``config``, ``status``, ``about`` of the trial, ``best``, ``last`` or ``first_rung`` record.
            Without it, the value stands in the record or result under the column's name, or ``rows.py`` computes it.
    """

    name: str
    type: pa.DataType
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class Table:
    """One table of a study folder.

    Args:
        name: also the file's: ``name.parquet``.
        description: one line for people.
        columns: all columns in order.
        key: columns that name a row; first in the schema, never null, unique together.
        schema: names, types, nullability and notes of the columns as Arrow has them.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    schema: pa.Schema

    def with_columns(self, more: Sequence[Column]) -> Table:
        """Returns the table with further columns behind its own."""
        return _table(self.name, self.description, len(self.key), *self.columns, *more)


def _table(name: str, description: str, keys: int, *columns: Column) -> Table:
    """A table whose first ``keys`` columns are its key."""
    fields = [
        pa.field(column, kind, nullable=index >= keys, metadata={"description": note} if note else None)
        for index, (column, kind, note, _) in enumerate(columns)
    ]
    return Table(name, description, columns, tuple(column.name for column in columns[:keys]), pa.schema(fields))


def swept_columns(sweep: Mapping[str, Mapping[str, Any]]) -> tuple[Column, ...]:
    """Returns a column of ``trials`` for each setting that a study sweeps, named by its dotted key.

    ``space`` has a column already.

    Args:
        sweep: ``[sweep]`` of the study's configuration, key -> domain as JSON has it.
    """
    known = set(_TRIALS.schema.names)
    note = "a swept setting; null in trials that it plays no part in"
    return tuple(
        Column(key, _type_of(domain), note, f"config.{key}") for key, domain in sweep.items() if key not in known
    )


def _type_of(domain: Mapping[str, Any]) -> pa.DataType:
    values = domain.get("choice") or domain.get("randint") or (0.5,)
    for python, arrow in ((bool, BOOL), (int, INT), (int | float, FLOAT)):
        if all(isinstance(value, python) for value in values):
            return arrow
    return TEXT


# Notes of columns that stand in several tables.
_ENTROPY = "0 to 1: mean over decisions of entropy / log(number of choices)"
_MACS = "multiply-accumulates for one image"
_PARAMS_G = "parameters of the derived generator"
_PARAMS_D = "parameters of the derived discriminator"
_GPU_S = "seconds times the share of GPUs held"
_EVAL_S = "seconds spent on scoring"
_MEMORY = "of the GPU's allocator; on the CPU resident memory of the process"
_KIMG = "thousands of real images shown to D"
_N_FAKE = "generated images behind the score"
_N_REAL = "real images in the statistics that scores compare with"
_EXTRACTOR_DIGEST = "sha256 of what decides the features"
_CONFIG = "the resolved configuration"
_ENDED = "UTC, when the evaluation ended"
_EVALUATION = "from 1; the time axis of ASHA"
_IS = "Inception Score, over its splits"
_PATH = "relative to the study's folder for what lies in it, else absolute or a URI"

_STUDIES = _table(
    "studies",
    "the study itself, one row",
    1,
    Column("study_id", TEXT),
    Column("name", TEXT),
    Column("status", TEXT),
    Column("created_at", TIME, "UTC"),
    Column("finished_at", TIME, "UTC; null while the study runs"),
    Column("dataset", TEXT),
    Column("dataset_digest", TEXT),
    Column("image_size", INT, "height and width in pixels"),
    Column("n_real", INT, _N_REAL),
    Column("extractor", TEXT),
    Column("extractor_digest", TEXT, _EXTRACTOR_DIGEST),
    Column("metric", TEXT, "what people read for fid: it is an FID only with the extractor inception-v3-compat"),
    Column("n_fake_search", INT, "generated images a score during the search"),
    Column("n_fake_final", INT, "generated images a score of a retrained network"),
    Column("searcher", TEXT),
    Column("scheduler", TEXT),
    Column("num_trials", INT),
    Column("max_evaluations", INT),
    Column("grace_evaluations", INT, "no trial is stopped before this many evaluations"),
    Column("reduction_factor", FLOAT, "of ASHA: one trial in this many goes past a rung"),
    Column("seed", INT),
    Column("gpus", INT, "GPUs given to the whole study"),
    Column("gpu_name", TEXT),
    Column("git_commit", TEXT),
    Column("packages_json", TEXT, "package name -> version"),
    Column("config_json", TEXT, _CONFIG),
    Column("command", TEXT),
    Column("best_trial_id", TEXT, "trial with the lowest fid_best; null while no trial has a score"),
    Column("wall_s", FLOAT),
    Column("gpu_s", FLOAT, _GPU_S),
    # Since schema 2.
    Column("channels", INT, "of the images: 1 or 3"),
    Column("n_classes", INT, "classes that there are images of; 0 without labels"),
    Column("n_images", INT, "images that the study uses"),
    Column("data_source", TEXT, "where the images were read at the study's last run; paths are absolute"),
    Column("data_read", TEXT, "what was read, in one line, and what was left out and why"),
    Column(
        "floor_fid",
        FLOAT,
        "one half of the real images against the other, at most 5,000 each; scores with more images can be lower",
    ),
    Column("fid_untrained", FLOAT, "of the first trial's generator before its first step, by n_fake_search images"),
)

_TRIALS = _table(
    "trials",
    "one row a trial",
    2,
    Column("study_id", TEXT),
    Column("trial_id", TEXT),
    Column("number", INT, "order of proposal, from 0", source="about.number"),
    Column("status", TEXT, "pending, running, complete, pruned, diverged, error, interrupted"),
    Column("evaluations", INT),
    Column("planned_evaluations", INT),
    Column("restarts", INT, "times the trial was resumed"),
    Column("seed", INT, source="config.seed"),
    Column("space", TEXT, source="config.space"),
    Column("method", TEXT, ", ".join(METHODS), source="config.search.method"),
    Column(
        "relaxation",
        TEXT,
        "softmax, gumbel, gumbel_hard; null where the method runs one path at a time",
        source="config.search.relaxation",
    ),
    Column("temperature_start", FLOAT, source="config.search.temperature_start"),
    Column("temperature_end", FLOAT, source="config.search.temperature_end"),
    Column("lr_g", FLOAT, source="config.optim.lr_g"),
    Column("lr_d", FLOAT, source="config.optim.lr_d"),
    Column("lr_arch_g", FLOAT, source="config.optim.lr_arch_g"),
    Column("lr_arch_d", FLOAT, source="config.optim.lr_arch_d"),
    Column("config_json", TEXT, _CONFIG),
    Column("fid_best", FLOAT, source="best.fid"),
    Column("fid_best_evaluation", INT, source="best.evaluation"),
    Column("fid_last", FLOAT, "1e9 where the trial diverged at its last evaluation", source="last.fid"),
    Column("genotype_id", TEXT, "at fid_best_evaluation", source="best.genotype_id"),
    Column("params_g", INT, _PARAMS_G, source="best.params_g"),
    Column("params_d", INT, _PARAMS_D, source="best.params_d"),
    Column("macs_g", INT, _MACS, source="best.macs_g"),
    Column("macs_d", INT, _MACS, source="best.macs_d"),
    Column("entropy_g_last", FLOAT, _ENTROPY, source="last.entropy_g"),
    Column("entropy_d_last", FLOAT, _ENTROPY, source="last.entropy_d"),
    Column("started_at", TIME, "UTC", source="status.started_at"),
    Column("wall_s", FLOAT, source="last.wall_s"),
    Column("gpu_s", FLOAT, _GPU_S),
    Column("eval_s", FLOAT, _EVAL_S),
    Column("peak_mem_mib", FLOAT, _MEMORY),
    Column("node", TEXT, source="last.node"),
    Column("device", TEXT, source="last.device"),
    Column("error_type", TEXT, source="status.error_type"),
    Column("error_message", TEXT, source="status.error_message"),
    Column("checkpoint_path", TEXT, _PATH, source="status.checkpoint_path"),
    # Since schema 2.
    Column(
        "fid_first_rung",
        FLOAT,
        "fid at the study's grace_evaluations, where ASHA has stopped no trial yet: settings are compared by it; null "
        "where the trial did not come so far, or had diverged by then",
        source="first_rung.fid",
    ),
    Column("evaluations_saved", INT, "evaluations that ASHA spared by stopping the trial; 0 where it did not"),
    Column("undecided", BOOL, "whether the decisions behind genotype_id are near uniform: it is noise, not a finding"),
    Column(
        "on_front",
        BOOL,
        "whether no other trial of the study has both a lower fid_best and a lower cost (the second of "
        "tune.objectives), or one of both as low and the other lower; null without a score, and in studies of one "
        "objective",
    ),
)
"""Each setting that the study sweeps has a further column, named by its key: :func:`swept_columns`."""

_HISTORY = _table(
    "history",
    "one row an evaluation of a trial",
    3,
    Column("study_id", TEXT),
    Column("trial_id", TEXT),
    Column("evaluation", INT, _EVALUATION),
    Column("attempt", INT, "0 at first, one more after each resume"),
    Column("kimg", FLOAT, _KIMG),
    Column("step_g", INT),
    Column("timestamp", TIME, _ENDED),
    Column("temperature", FLOAT),
    Column("loss_g", FLOAT),
    Column("loss_d", FLOAT),
    Column("loss_arch_g", FLOAT),
    Column("loss_arch_d", FLOAT),
    Column("entropy_g", FLOAT, _ENTROPY),
    Column("entropy_d", FLOAT, _ENTROPY),
    Column("grad_norm_arch_g", FLOAT),
    Column("grad_norm_arch_d", FLOAT),
    Column("d_real", FLOAT, "D's mean score of real images"),
    Column("d_fake", FLOAT, "D's mean score of generated images"),
    Column("none_g", INT, "decisions of G that choose 'none' in the genotype of the moment"),
    Column("skip_g", INT, "decisions of G that choose a skip in the genotype of the moment"),
    Column("fid", FLOAT, "the score that trials are ranked by; large and finite when diverged"),
    Column("fid_derived", FLOAT, "of the argmax genotype, inherited weights, batch-norm statistics re-estimated"),
    Column(
        "fid_supernet", FLOAT, "of the mixture at its expected weights (softmax of the logits); null between its turns"
    ),
    Column("kid", FLOAT),
    Column("n_fake", INT, _N_FAKE),
    Column("genotype_id", TEXT, "of the moment: the argmax, or what the method (reinforce, random) has settled on"),
    Column("images_per_s", FLOAT),
    Column("eval_s", FLOAT, _EVAL_S),
    Column("peak_mem_mib", FLOAT, _MEMORY),
)

_DECISIONS = _table(
    "decisions",
    "one row a choice of a decision at an evaluation",
    6,
    Column("study_id", TEXT),
    Column("trial_id", TEXT),
    Column("evaluation", INT, _EVALUATION),
    Column("network", TEXT, "g or d"),
    Column("decision", TEXT),
    Column("choice", TEXT),
    Column("logit", FLOAT),
    Column("probability", FLOAT, "0 to 1: softmax of the logits (reinforce: the controller's; random: uniform)"),
    Column("selected", BOOL, "whether the genotype of the moment names this choice"),
)

_GENOTYPES = _table(
    "genotypes",
    "one row a genotype that was scored",
    2,
    Column("study_id", TEXT),
    Column("genotype_id", TEXT),
    Column("space", TEXT),
    Column("genotype_json", TEXT),
    Column("text", TEXT, "the genotype drawn for people"),
    Column("params_g", INT, _PARAMS_G),
    Column("params_d", INT, _PARAMS_D),
    Column("macs_g", INT, _MACS),
    Column("macs_d", INT, _MACS),
    Column("first_trial_id", TEXT),
    Column("first_evaluation", INT),
    Column("n_trials", INT, "trials in which the genotype was scored"),
)

_EVALUATIONS = _table(
    "evaluations",
    "one row a scoring of a retrained network",
    2,
    Column("study_id", TEXT),
    Column("evaluation_id", TEXT),
    Column("source", TEXT, "retrain, random, published, user"),
    Column("trial_id", TEXT),
    Column("genotype_id", TEXT),
    Column("name", TEXT),
    Column("seed", INT),
    Column("kimg", FLOAT, _KIMG),
    Column("weights", TEXT, "raw or ema"),
    Column("n_fake", INT, _N_FAKE),
    Column("n_real", INT, _N_REAL),
    Column("extractor", TEXT),
    Column("extractor_digest", TEXT, _EXTRACTOR_DIGEST),
    Column("fid", FLOAT),
    Column("kid_mean", FLOAT, "over 100 subsets of both sets, of 1,000 images or as many as the smaller set has"),
    Column("kid_std", FLOAT, "over these subsets; null where both sets have as many images as one subset"),
    Column("is_mean", FLOAT, _IS),
    Column("is_std", FLOAT, _IS),
    Column("precision", FLOAT, "0 to 1"),
    Column("recall", FLOAT, "0 to 1"),
    Column("params_g", INT, _PARAMS_G),
    Column("macs_g", INT, _MACS),
    Column("wall_s", FLOAT),
    Column("checkpoint_path", TEXT, _PATH),
    Column("samples_path", TEXT, _PATH),
    Column("timestamp", TIME, _ENDED),
    # Since schema 2.
    Column("recipe", TEXT, "discriminator, length and a digest of all settings: scores of one recipe can be compared"),
    Column("objective", TEXT, "hinge, non_saturating, relativistic"),
    Column("params_d", INT, _PARAMS_D),
    Column("macs_d", INT, _MACS),
    Column("fid_untrained", FLOAT, "of the generator before its first step, by as many images as the curve's scores"),
    Column(
        "stage",
        TEXT,
        "final, or race: a candidate that was trained to choose, and not kept; null in rows of earlier versions, which "
        "are final",
    ),
    Column("fid_race", FLOAT, "of a candidate, its best score on the way, by n_fake images; fid is null there"),
    Column("chosen_by", TEXT, "score (of its trial), race or user; null where the genotype was drawn at random"),
    Column("fresh_seed", BOOL, "whether the seed took no part in choosing the genotype: claims rest on these alone"),
)

_CURVES = _table(
    "curves",
    "one row a score on the way of a retraining; since schema 2",
    3,
    Column("study_id", TEXT),
    Column("evaluation_id", TEXT),
    Column("kimg", FLOAT, _KIMG),
    Column("attempt", INT, "0 at first, one more after each resume"),
    Column("timestamp", TIME, _ENDED),
    Column("fid", FLOAT, "null where it is not finite"),
    Column(
        "fid_average", TEXT, "which average of G's weights was scored: ema, or ema_unbiased (settings of [retrain])"
    ),
    Column("n_fake", INT, _N_FAKE),
    Column("loss_g", FLOAT, "mean since the row before"),
    Column("loss_d", FLOAT, "mean since the row before, without a gradient penalty"),
    Column("d_real", FLOAT, "D's mean score of real images since the row before"),
    Column("d_fake", FLOAT, "D's mean score of generated images since the row before"),
    Column("images_per_s", FLOAT),
    Column("wall_s", FLOAT, "of training and scoring, from the beginning"),
    Column("peak_mem_mib", FLOAT, _MEMORY),
)

SINCE_SCHEMA_2 = frozenset({"curves"})
"""Tables that a study of schema 1 does not have: there they are read as empty."""

TABLES: Mapping[str, Table] = MappingProxyType(
    {table.name: table for table in (_STUDIES, _TRIALS, _HISTORY, _DECISIONS, _GENOTYPES, _EVALUATIONS, _CURVES)}
)
