"""Studies made of tables alone, with trials, decisions and retrainings drawn at random."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from autogan_ray.results.report.parts import Source
from autogan_ray.results.schemas import swept_columns
from autogan_ray.results.store import write_table
from autogan_ray.results.study import Study, load_study
from autogan_ray.spaces.load import load_space

START = datetime(2026, 1, 1, tzinfo=UTC)
SWEEP = {
    "space": {"choice": ["autogan/fixed", "adversarialnas/fixed"]},
    "optim.lr_arch_g": {"loguniform": [1e-3, 1e-1]},
    "search.relaxation": {"choice": ["softmax", "gumbel"]},
    "search.temperature_start": {"uniform": [1.0, 5.0], "when": {"search.relaxation": ["gumbel"]}},
}
SPACES = {name: load_space(name) for name in SWEEP["space"]["choice"]}
GRACE, LAST = 2, 6


def made_study(folder: Path, trials: int = 14, seed: int = 0, retrained: int = 6, name: str = "made") -> Study:
    """Writes the tables of a study whose trials fell on random curves, a third of them stopped at the first rung.

    Args:
        retrained: so many of the best trials, and as many random genotypes, have two or three retrainings each.
    """
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in ("trials", "history", "decisions", "genotypes")}
    for number in range(trials):
        _trial(rng, number, rows)
    best = min((row for row in rows["trials"] if row["fid_best"] is not None), key=lambda row: row["fid_best"])
    evaluations, curves = _retrainings(rng, rows["trials"], retrained)
    config = {"sweep": SWEEP, "retrain": {"kimg": 16}}
    study = {
        **{"study_id": "s", "name": name, "status": "complete", "created_at": START, "dataset": "digits"},
        **{"metric": "FD (classifier)", "extractor": "classifier", "scheduler": "asha", "num_trials": trials},
        **{"max_evaluations": LAST, "grace_evaluations": GRACE, "reduction_factor": 3.0, "n_fake_final": 5000},
        **{"n_real": 1797, "config_json": json.dumps(config), "command": "run", "best_trial_id": best["trial_id"]},
        **{"floor_fid": 3.4, "fid_untrained": 333.0, "packages_json": json.dumps({"ray": "2.60"}), "gpus": 0},
        **{"data_read": "digits: 1797 images <b>", "n_fake_search": 1000, "seed": 0, "searcher": "tpe"},
    }
    rows["genotypes"] = list({row["genotype_id"]: row for row in rows["genotypes"]}.values())
    for table, made in rows.items():
        write_table(folder, table, made, None, swept_columns(SWEEP) if table == "trials" else ())
    write_table(folder, "studies", [study])
    write_table(folder, "evaluations", evaluations)
    write_table(folder, "curves", curves)
    return load_study(folder)


def _trial(rng: np.random.Generator, number: int, rows: dict[str, list[dict[str, Any]]]) -> None:
    trial_id, pruned, relaxation = f"t{number:04d}", rng.random() < 0.33, str(rng.choice(["softmax", "gumbel"]))
    key = {"study_id": "s", "trial_id": trial_id}
    name = str(rng.choice(list(SPACES)))
    space, count = SPACES[name], GRACE if pruned else LAST
    curve = 300 * np.exp(-0.4 * np.arange(1, count + 1) + 0.3 * rng.standard_normal(count))
    sharpness, genotypes = rng.choice([0.3, 4.0]), []
    for evaluation, fid in enumerate(curve, 1):
        genotype = space.random(8, int(rng.integers(1 << 30)))
        genotypes.append(genotype)
        entropy = {"entropy_g": float(1 / evaluation), "entropy_d": None, "genotype_id": genotype.genotype_id}
        rows["history"].append(key | {"evaluation": evaluation, "fid": float(fid), "kimg": 2.0 * evaluation, **entropy})
        for decision in space.decisions(8):
            chosen = genotype.choices[decision.name]
            logits = np.array([sharpness * (choice == chosen) for choice in decision.choices])
            shares = np.exp(logits) / np.exp(logits).sum()
            for choice, logit, share in zip(decision.choices, logits, shares, strict=True):
                place = {"evaluation": evaluation, "network": decision.network, "decision": decision.name}
                values = {"choice": choice, "logit": logit, "probability": share, "selected": choice == chosen}
                rows["decisions"].append(key | place | values)
    best = int(curve.argmin())
    costs = {"params_g": int(rng.integers(1e4, 1e5)), "params_d": 1108, "macs_g": int(rng.integers(1e5, 1e6))}
    rows["trials"].append(
        key
        | {
            **{"number": number, "status": "pruned" if pruned else "complete", "evaluations": count, "space": name},
            **{"planned_evaluations": LAST, "restarts": 0, "fid_best": float(curve[best]), "macs_d": 18756, **costs},
            **{
                "fid_best_evaluation": best + 1,
                "fid_last": float(curve[-1]),
                "fid_first_rung": float(curve[GRACE - 1]),
            },
            **{
                "genotype_id": genotypes[best].genotype_id,
                "wall_s": 10.0 * count,
                "gpu_s": 0.0,
                "relaxation": relaxation,
            },
            **{"evaluations_saved": LAST - count, "entropy_g_last": 1 / count, "search.relaxation": relaxation},
            "optim.lr_arch_g": float(10 ** rng.uniform(-3, -1)),
            "search.temperature_start": float(rng.uniform(1, 5)) if relaxation == "gumbel" else None,
        }
    )
    texts = {genotype.genotype_id: genotype.to_json() for genotype in genotypes}
    rows["genotypes"] += [{"study_id": "s", "genotype_id": id_, "genotype_json": text} for id_, text in texts.items()]


def _retrainings(
    rng: np.random.Generator, trials: list[dict[str, Any]], count: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    ranked = sorted((row for row in trials if row["fid_best"] is not None), key=lambda row: row["fid_best"])[:count]
    networks = [("retrain", f"trial {row['trial_id']}", row["genotype_id"], row["trial_id"]) for row in ranked]
    networks += [("random", f"random {index}", f"abc{index:09d}", None) for index in range(count)]
    networks += [("published", "autogan-a", "fed000000000", None)] * bool(count)
    evaluations, curves = [], []
    for source, name, genotype_id, trial_id in networks:
        quality = rng.normal(2.0, 0.3)
        for seed in range(3 if source != "random" else 2):
            id_ = f"{source}-{genotype_id}-derived-k16-aaaaaa-s{seed}"
            fid = float(np.exp(quality + 0.1 * rng.standard_normal()))
            evaluations.append(
                {
                    **{"study_id": "s", "evaluation_id": id_, "source": source, "trial_id": trial_id, "name": name},
                    **{
                        "genotype_id": genotype_id,
                        "seed": seed,
                        "kimg": 16.0,
                        "fid": fid,
                        "recipe": "derived-k16-aaaaaa",
                    },
                    **{
                        "kid_mean": fid / 100,
                        "is_mean": 8.0,
                        "precision": 0.5,
                        "recall": 0.6,
                        "params_g": 9,
                        "macs_g": 99,
                    },
                    **{
                        "checkpoint_path": f"retrain/{id_}/generator.safetensors",
                        "timestamp": START + timedelta(hours=seed),
                    },
                }
            )
            curves += [
                {"study_id": "s", "evaluation_id": id_, "kimg": kimg, "fid": fid * 16 / kimg, "wall_s": 9 * kimg}
                for kimg in (4.0, 8.0, 16.0)
            ]
    return evaluations, curves


def source_of(study: Study) -> Source:
    """Returns what a report of the study is made of."""
    return Source(study, SPACES)
