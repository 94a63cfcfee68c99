"""The tables' columns, typed here a second time: a moved or renamed column breaks notebooks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pyarrow as pa
import pytest

from autogan_ray.results.schemas import SCHEMA_VERSION, TABLES
from autogan_ray.search.record import SearchRecord

KEYS = {
    "studies": ["study_id"],
    "trials": ["study_id", "trial_id"],
    "history": ["study_id", "trial_id", "evaluation"],
    "decisions": ["study_id", "trial_id", "evaluation", "network", "decision", "choice"],
    "genotypes": ["study_id", "genotype_id"],
    "evaluations": ["study_id", "evaluation_id"],
    "curves": ["study_id", "evaluation_id", "kimg"],
}
S, N, F, T, B = pa.string(), pa.int64(), pa.float64(), pa.timestamp("us", tz="UTC"), pa.bool_()
COLUMNS: dict[str, list[tuple[str, pa.DataType]]] = {
    "studies": [
        *[("study_id", S), ("name", S), ("status", S), ("created_at", T), ("finished_at", T), ("dataset", S)],
        *[("dataset_digest", S), ("image_size", N), ("n_real", N), ("extractor", S), ("extractor_digest", S)],
        *[("metric", S), ("n_fake_search", N), ("n_fake_final", N), ("searcher", S), ("scheduler", S)],
        *[("num_trials", N), ("max_evaluations", N), ("grace_evaluations", N), ("reduction_factor", F)],
        *[("seed", N), ("gpus", N), ("gpu_name", S), ("git_commit", S), ("packages_json", S)],
        *[("config_json", S), ("command", S), ("best_trial_id", S), ("wall_s", F), ("gpu_s", F)],
        *[("channels", N), ("n_classes", N), ("n_images", N), ("data_source", S), ("data_read", S)],
        *[("floor_fid", F), ("fid_untrained", F)],
    ],
    "trials": [
        *[("study_id", S), ("trial_id", S), ("number", N), ("status", S), ("evaluations", N)],
        *[("planned_evaluations", N), ("restarts", N), ("seed", N), ("space", S), ("method", S)],
        *[("relaxation", S), ("temperature_start", F), ("temperature_end", F), ("lr_g", F), ("lr_d", F)],
        *[("lr_arch_g", F), ("lr_arch_d", F), ("config_json", S), ("fid_best", F)],
        *[("fid_best_evaluation", N), ("fid_last", F), ("genotype_id", S), ("params_g", N), ("params_d", N)],
        *[("macs_g", N), ("macs_d", N), ("entropy_g_last", F), ("entropy_d_last", F), ("started_at", T)],
        *[("wall_s", F), ("gpu_s", F), ("eval_s", F), ("peak_mem_mib", F), ("node", S), ("device", S)],
        *[("error_type", S), ("error_message", S), ("checkpoint_path", S), ("fid_first_rung", F)],
        *[("evaluations_saved", N), ("undecided", B), ("on_front", B)],
    ],
    "history": [
        *[("study_id", S), ("trial_id", S), ("evaluation", N), ("attempt", N), ("kimg", F), ("step_g", N)],
        *[("timestamp", T), ("temperature", F), ("loss_g", F), ("loss_d", F), ("loss_arch_g", F)],
        *[("loss_arch_d", F), ("entropy_g", F), ("entropy_d", F), ("grad_norm_arch_g", F)],
        *[("grad_norm_arch_d", F), ("d_real", F), ("d_fake", F), ("none_g", N), ("skip_g", N), ("fid", F)],
        *[("fid_derived", F), ("fid_supernet", F), ("kid", F), ("n_fake", N), ("genotype_id", S)],
        *[("images_per_s", F), ("eval_s", F), ("peak_mem_mib", F)],
    ],
    "decisions": [
        *[
            ("study_id", S),
            ("trial_id", S),
            ("evaluation", N),
            ("network", S),
            ("decision", S),
            ("choice", S),
        ],
        *[("logit", F), ("probability", F), ("selected", B)],
    ],
    "genotypes": [
        *[("study_id", S), ("genotype_id", S), ("space", S), ("genotype_json", S), ("text", S)],
        *[("params_g", N), ("params_d", N), ("macs_g", N), ("macs_d", N), ("first_trial_id", S)],
        *[("first_evaluation", N), ("n_trials", N)],
    ],
    "evaluations": [
        *[("study_id", S), ("evaluation_id", S), ("source", S), ("trial_id", S), ("genotype_id", S)],
        *[("name", S), ("seed", N), ("kimg", F), ("weights", S), ("n_fake", N), ("n_real", N)],
        *[("extractor", S), ("extractor_digest", S), ("fid", F), ("kid_mean", F), ("kid_std", F)],
        *[("is_mean", F), ("is_std", F), ("precision", F), ("recall", F), ("params_g", N), ("macs_g", N)],
        *[("wall_s", F), ("checkpoint_path", S), ("samples_path", S), ("timestamp", T), ("recipe", S)],
        *[("objective", S), ("params_d", N), ("macs_d", N), ("fid_untrained", F), ("stage", S), ("fid_race", F)],
        *[("chosen_by", S), ("fresh_seed", B)],
    ],
    "curves": [
        *[("study_id", S), ("evaluation_id", S), ("kimg", F), ("attempt", N), ("timestamp", T), ("fid", F)],
        *[("fid_average", S), ("n_fake", N), ("loss_g", F), ("loss_d", F), ("d_real", F), ("d_fake", F)],
        *[("images_per_s", F), ("wall_s", F), ("peak_mem_mib", F)],
    ],
}


def test_the_tables_are_those_of_the_design() -> None:
    assert list(TABLES) == list(KEYS)
    assert SCHEMA_VERSION == 2


@pytest.mark.parametrize("name", KEYS)
def test_columns_types_and_order_are_those_of_the_design(name: str) -> None:
    assert [(field.name, field.type) for field in TABLES[name].schema] == COLUMNS[name]


@pytest.mark.parametrize("name", KEYS)
def test_keys_come_first_and_only_they_are_never_null(name: str) -> None:
    table = TABLES[name]
    assert table.name == name and table.description and "\n" not in table.description
    assert list(table.key) == KEYS[name] == table.schema.names[: len(table.key)]
    assert [field.name for field in table.schema if not field.nullable] == KEYS[name]


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        TABLES["trials"].name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        TABLES["more"] = TABLES["trials"]  # type: ignore[index]


def test_units_and_ranges_are_in_the_fields_metadata() -> None:
    def said(table: str, column: str) -> str:
        return TABLES[table].schema.field(column).metadata[b"description"].decode()

    assert said("history", "kimg") == said("evaluations", "kimg") == "thousands of real images shown to D"
    assert said("history", "entropy_g").startswith("0 to 1")
    assert "gumbel_hard" in said("trials", "relaxation")
    assert said("trials", "status") == "pending, running, complete, pruned, diverged, error, interrupted"
    assert TABLES["studies"].schema.field("name").metadata is None


def test_every_column_of_the_history_has_a_value_in_the_record_of_an_evaluation() -> None:
    recorded = {field.name for field in dataclasses.fields(SearchRecord)} | {"genotype_id"}
    recorded |= {"study_id", "trial_id", "attempt", "timestamp"}  # what the trial and the driver add
    assert set(TABLES["history"].schema.names) <= recorded


def test_reading_a_study_needs_neither_torch_nor_ray() -> None:
    code = "import sys, autogan_ray.results.store as _; print({'torch', 'ray'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
