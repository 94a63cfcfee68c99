"""The six result tables, column by column (schema 1): the interface between studies and pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

SCHEMA_VERSION = 1

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")

_NOTES: Mapping[str, str] = MappingProxyType(
    {
        # A bare name holds in every table; ``table.column`` goes before it.
        "kimg": "thousands of real images shown to D",
        "image_size": "height and width in pixels",
        "n_real": "real images in the statistics that scores compare with",
        "n_fake": "generated images behind the score",
        "n_fake_search": "generated images a score during the search",
        "n_fake_final": "generated images a score of a retrained network",
        "extractor_digest": "sha256 of what decides the features",
        "metric": "what people read for fid: it is an FID only with the extractor inception-v3-compat",
        "reduction_factor": "of ASHA: one trial in this many goes past a rung",
        "grace_evaluations": "no trial is stopped before this many evaluations",
        "created_at": "UTC",
        "started_at": "UTC",
        "finished_at": "UTC; null while the study runs",
        "timestamp": "UTC, when the evaluation ended",
        "packages_json": "package name -> version",
        "config_json": "the resolved configuration",
        "best_trial_id": "trial with the lowest fid_best; null while no trial has a score",
        "gpus": "GPUs given to the whole study",
        "gpu_s": "seconds times the share of GPUs held",
        "eval_s": "seconds spent on scoring",
        "peak_mem_mib": "of the GPU's allocator; on the CPU resident memory of the process",
        "trials.status": "pending, running, complete, pruned, diverged, error, interrupted",
        "number": "order of proposal, from 0",
        "restarts": "times the trial was resumed",
        "attempt": "0 at first, one more after each resume",
        "evaluation": "from 1; the time axis of ASHA",
        "relaxation": "softmax, gumbel, gumbel_hard; null where the method runs one path at a time",
        "trials.method": "adversarial, duality_gap, reinforce, random",
        "trials.genotype_id": "at fid_best_evaluation",
        "history.genotype_id": "of the moment: the argmax, or what the method (reinforce, random) has settled on",
        "params_g": "parameters of the derived generator",
        "params_d": "parameters of the derived discriminator",
        "macs_g": "multiply-accumulates for one image",
        "macs_d": "multiply-accumulates for one image",
        "entropy_g": "0 to 1: mean over decisions of entropy / log(number of choices)",
        "entropy_d": "0 to 1: mean over decisions of entropy / log(number of choices)",
        "entropy_g_last": "0 to 1: mean over decisions of entropy / log(number of choices)",
        "entropy_d_last": "0 to 1: mean over decisions of entropy / log(number of choices)",
        "d_real": "D's mean score of real images",
        "d_fake": "D's mean score of generated images",
        "none_g": "decisions of G that choose 'none' in the genotype of the moment",
        "skip_g": "decisions of G that choose a skip in the genotype of the moment",
        "history.fid": "the score that trials are ranked by; large and finite when diverged",
        "fid_derived": "of the argmax genotype, inherited weights, batch-norm statistics re-estimated",
        "fid_supernet": "of the mixture at its expected weights (softmax of the logits); null between its turns",
        "network": "g or d",
        "probability": "0 to 1: softmax of the logits (reinforce: the controller's; random: uniform)",
        "selected": "whether the genotype of the moment names this choice",
        "text": "the genotype drawn for people",
        "n_trials": "trials in which the genotype was scored",
        "source": "retrain, random, published, user",
        "weights": "raw or ema",
        "is_mean": "Inception Score, over its splits",
        "is_std": "Inception Score, over its splits",
        "precision": "0 to 1",
        "recall": "0 to 1",
    }
)


@dataclass(frozen=True)
class Table:
    """One table of a study folder.

    Args:
        name: also the file's: ``name.parquet``.
        description: one line for people.
        key: columns that name a row; first in the schema, never null, unique together.
        schema: column order and types; a column's ``description`` metadata has unit or range where
            the name does not tell.
    """

    name: str
    description: str
    key: tuple[str, ...]
    schema: pa.Schema


def _table(name: str, description: str, key: str, **columns: str) -> Table:
    """``columns``: type name -> the columns of that type; ``order``: all of them, in order."""
    order = columns.pop("order").split()
    types = {"text": _TEXT, "int": _INT, "float": _FLOAT, "bool": _BOOL, "time": _TIME}
    typed = {column: types[kind] for kind, listed in columns.items() for column in listed.split()}
    assert set(order) == set(typed), set(order) ^ set(typed)
    keys = tuple(key.split())
    assert order[: len(keys)] == list(keys), f"{name}: key columns come first"
    fields = [_field(name, column, typed[column], column not in keys) for column in order]
    return Table(name, description, keys, pa.schema(fields))


def _field(table: str, column: str, kind: pa.DataType, nullable: bool) -> pa.Field:
    note = _NOTES.get(f"{table}.{column}", _NOTES.get(column))
    return pa.field(column, kind, nullable, metadata={"description": note} if note else None)


_STUDIES = _table(
    "studies",
    "the study itself, one row",
    "study_id",
    order="study_id name status created_at finished_at dataset dataset_digest image_size n_real extractor "
    "extractor_digest metric n_fake_search n_fake_final searcher scheduler num_trials max_evaluations "
    "grace_evaluations reduction_factor seed gpus gpu_name git_commit packages_json config_json "
    "command best_trial_id wall_s gpu_s",
    text="study_id name status dataset dataset_digest extractor extractor_digest metric searcher scheduler "
    "gpu_name git_commit packages_json config_json command best_trial_id",
    time="created_at finished_at",
    int="image_size n_real n_fake_search n_fake_final num_trials max_evaluations grace_evaluations seed gpus",
    float="reduction_factor wall_s gpu_s",
)
_TRIALS = _table(
    "trials",
    "one row a trial",
    "study_id trial_id",
    order="study_id trial_id number status evaluations planned_evaluations restarts seed space method "
    "relaxation temperature_start temperature_end lr_g lr_d lr_arch_g lr_arch_d config_json fid_best "
    "fid_best_evaluation fid_last genotype_id params_g params_d macs_g macs_d entropy_g_last "
    "entropy_d_last started_at wall_s gpu_s eval_s peak_mem_mib node device error_type error_message "
    "checkpoint_path",
    text="study_id trial_id status space method relaxation config_json genotype_id node device error_type "
    "error_message checkpoint_path",
    int="number evaluations planned_evaluations restarts seed fid_best_evaluation params_g params_d macs_g macs_d",
    float="temperature_start temperature_end lr_g lr_d lr_arch_g lr_arch_d fid_best fid_last entropy_g_last "
    "entropy_d_last wall_s gpu_s eval_s peak_mem_mib",
    time="started_at",
)
_HISTORY = _table(
    "history",
    "one row an evaluation of a trial",
    "study_id trial_id evaluation",
    order="study_id trial_id evaluation attempt kimg step_g timestamp temperature loss_g loss_d loss_arch_g "
    "loss_arch_d entropy_g entropy_d grad_norm_arch_g grad_norm_arch_d d_real d_fake none_g skip_g "
    "fid fid_derived fid_supernet kid n_fake genotype_id images_per_s eval_s peak_mem_mib",
    text="study_id trial_id genotype_id",
    int="evaluation attempt step_g none_g skip_g n_fake",
    time="timestamp",
    float="kimg temperature loss_g loss_d loss_arch_g loss_arch_d entropy_g entropy_d grad_norm_arch_g "
    "grad_norm_arch_d d_real d_fake fid fid_derived fid_supernet kid images_per_s eval_s peak_mem_mib",
)
_DECISIONS = _table(
    "decisions",
    "one row a choice of a decision at an evaluation",
    "study_id trial_id evaluation network decision choice",
    order="study_id trial_id evaluation network decision choice logit probability selected",
    text="study_id trial_id network decision choice",
    int="evaluation",
    float="logit probability",
    bool="selected",
)
_GENOTYPES = _table(
    "genotypes",
    "one row a genotype that was scored",
    "study_id genotype_id",
    order="study_id genotype_id space genotype_json text params_g params_d macs_g macs_d first_trial_id "
    "first_evaluation n_trials",
    text="study_id genotype_id space genotype_json text first_trial_id",
    int="params_g params_d macs_g macs_d first_evaluation n_trials",
)
_EVALUATIONS = _table(
    "evaluations",
    "one row a scoring of a retrained network",
    "study_id evaluation_id",
    order="study_id evaluation_id source trial_id genotype_id name seed kimg weights n_fake n_real "
    "extractor extractor_digest fid kid_mean kid_std is_mean is_std precision recall params_g macs_g "
    "wall_s checkpoint_path samples_path timestamp",
    text="study_id evaluation_id source trial_id genotype_id name weights extractor extractor_digest "
    "checkpoint_path samples_path",
    int="seed n_fake n_real params_g macs_g",
    float="kimg fid kid_mean kid_std is_mean is_std precision recall wall_s",
    time="timestamp",
)

TABLES: Mapping[str, Table] = MappingProxyType(
    {table.name: table for table in (_STUDIES, _TRIALS, _HISTORY, _DECISIONS, _GENOTYPES, _EVALUATIONS)}
)
