"""Two studies compared: agreement by closed forms, permutation as a test should behave, refusals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import two_studies
from click.testing import CliRunner

from autogan_ray.results.store import write_table
from autogan_ray.results.study import load_study
from autogan_ray.spaces.load import load_space

SPACE = load_space("autogan/adversarialnas")


def study_at(
    folder: Path,
    genotypes: Sequence[dict[str, str]],
    scores: Sequence[float],
    *,
    seed: int = 0,
    lr: float = 1e-3,
    retrained: Sequence[float] = (),
    random: Sequence[float] = (),
) -> Path:
    """Trial i found genotype i with score i; ``retrained`` is of the best one's genotype."""
    write_table(
        folder,
        "studies",
        [
            {
                "study_id": "s",
                "name": folder.name,
                "seed": seed,
                "image_size": 8,
                "config_json": json.dumps({"seed": seed, "name": folder.name, "optim": {"lr_g": lr}}),
                "best_trial_id": f"t{min(range(len(scores)), key=scores.__getitem__)}",
            }
        ],
    )
    own = {"study_id": "s", "space": SPACE.name}
    trials, rows = [], []
    for index, (choices, score) in enumerate(zip(genotypes, scores, strict=True)):
        parts = {
            part: {name: choice for name, choice in choices.items() if name[0] == part[0]}
            for part in ("generator", "discriminator")
        }
        rows.append({**own, "genotype_id": f"i{index}", "genotype_json": json.dumps(parts)})
        trials.append({**own, "trial_id": f"t{index}", "genotype_id": f"i{index}", "fid_best": score})
    write_table(folder, "trials", trials)
    write_table(folder, "genotypes", rows)
    best = trials[min(range(len(scores)), key=scores.__getitem__)]["genotype_id"]
    evaluations = [
        {"study_id": "s", "evaluation_id": f"{source}{i}", "source": source, "genotype_id": best, "fid": fid}
        for source, values in (("retrain", retrained), ("random", random))
        for i, fid in enumerate(values)
    ]
    write_table(folder, "evaluations", evaluations)
    return folder


def uniform(seed: int, **fixed: str) -> dict[str, str]:
    return {**SPACE.random(8, seed).choices, **{name.replace("__", "."): choice for name, choice in fixed.items()}}


def test_a_study_agrees_with_itself_wholly(tmp_path: Path) -> None:
    one = load_study(study_at(tmp_path / "a", [uniform(i) for i in range(6)], range(6)))
    found = two_studies.compare(one, one)
    for network in ("g", "d"):
        assert found["genotypes"][network]["alike"] == 1.0
        assert found["operations"][network]["distance"] == pytest.approx(0.0, abs=1e-12)
        assert found["operations"][network]["p"] == 1.0
    by_hand = [1 / len(d.choices) for d in SPACE.decisions(8) if d.name.startswith("g.")]
    assert found["genotypes"]["g"]["by_chance"] == pytest.approx(sum(by_hand) / len(by_hand))
    assert found["retrained"]["difference"] is None


def test_shares_and_distances_are_those_of_a_count_by_hand(tmp_path: Path) -> None:
    first = uniform(0)
    changed = [name for name in first if name.startswith("g.")][:2]
    options = {d.name: d.choices for d in SPACE.decisions(8)}
    second = first | {name: next(c for c in options[name] if c != first[name]) for name in changed}
    found = two_studies.compare(
        load_study(study_at(tmp_path / "a", [first], [1.0], retrained=[4.0, 6.0], random=[9.0])),
        load_study(study_at(tmp_path / "b", [second], [2.0], seed=1, retrained=[8.0, 10.0])),
    )
    of_g = sum(name.startswith("g.") for name in first)
    assert found["genotypes"]["g"] == {
        "decisions": of_g,
        "alike": pytest.approx(1 - 2 / of_g),
        "by_chance": found["genotypes"]["g"]["by_chance"],
    }
    assert found["operations"]["g"]["distance"] == pytest.approx(2 / of_g)  # two of its choices became others
    assert found["operations"]["d"]["distance"] == pytest.approx(0.0, abs=1e-12)
    assert found["retrained"]["difference"][0] == pytest.approx(4.0)
    assert found["retrained"]["each"][0]["random"] == [9.0, None, 1]


def test_studies_that_prefer_other_operations_are_told_apart_and_like_ones_are_not(tmp_path: Path) -> None:
    edges = [d.name for d in SPACE.decisions(8) if d.name.startswith("d.") and "conv_5x5" in d.choices]

    def biased(seed: int, choice: str) -> dict[str, str]:
        return {**uniform(seed), **dict.fromkeys(edges[seed % 2 :: 2], choice)}

    folders = [
        study_at(tmp_path / name, [biased(seed + first, choice) for seed in range(8)], range(8), seed=first)
        for name, choice, first in (("a", "conv_5x5", 0), ("b", "conv_5x5", 100), ("c", "conv_1x1", 200))
    ]
    a, b, c = (load_study(folder) for folder in folders)
    assert two_studies.compare(a, c)["operations"]["d"]["p"] < 0.01
    assert two_studies.compare(a, b)["operations"]["d"]["p"] > 0.05


def test_markdown_names_both_and_other_settings_are_refused(tmp_path: Path) -> None:
    genotypes = [uniform(i) for i in range(3)]
    a = study_at(tmp_path / "a", genotypes, range(3), retrained=[4.0, 6.0])
    b = study_at(tmp_path / "b", genotypes, range(3), seed=1, retrained=[5.0, 5.5])
    run = CliRunner().invoke(two_studies.main, [str(a), str(b)])
    assert run.exit_code == 0, run.output
    assert "| a | 0 | t0 |" in run.output and "5 ± 1.4 (2)" in run.output and "answer 100% of" in run.output
    assert (
        json.loads(CliRunner().invoke(two_studies.main, [str(a), str(b), "--json"]).output)["studies"][1]["seed"] == 1
    )
    other = study_at(tmp_path / "c", genotypes, range(3), lr=2e-3)
    refused = CliRunner().invoke(two_studies.main, [str(a), str(other)])
    assert refused.exit_code == 2 and "differ in more than the seed: optim.lr_g" in refused.output
    write_table(tmp_path / "c", "trials", [])
    empty = CliRunner().invoke(two_studies.main, [str(other), str(other)])
    assert empty.exit_code == 2 and "no trial has a score yet" in empty.output
    missing = CliRunner().invoke(two_studies.main, [str(a), str(tmp_path / "none")])
    assert missing.exit_code == 2
