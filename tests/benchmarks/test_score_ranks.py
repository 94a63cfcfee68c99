"""Scores against retrained scores: rankings known by hand, and the refusal of trials that a score had chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import score_ranks
import versus_stats
from click.testing import CliRunner, Result
from scipy import stats

from autogan_ray.results.store import write_table

RETRAINED = [5.0, 6.0, 7.0, 9.0, 12.0, 20.0]


def study_at(folder: Path, derived: np.ndarray, supernet: np.ndarray, retrained: Sequence[float] = RETRAINED) -> Path:
    """Scores [trials, evaluations], NaN where there was none; each genotype was retrained twice, 1 to both sides."""
    write_table(folder, "studies", [{"study_id": "s", "name": folder.name}])
    own = {"study_id": "s"}
    trials = [
        {**own, "trial_id": f"t{i}", "genotype_id": f"i{i}", "space": "adversarialnas", "relaxation": "ab"[i % 2]}
        for i in range(len(derived))
    ]
    history = [
        {
            **own,
            "trial_id": f"t{i}",
            "evaluation": number + 1,
            "fid_derived": float(derived[i, number]),
            "fid_supernet": None if np.isnan(supernet[i, number]) else float(supernet[i, number]),
        }
        for i in range(len(derived))
        for number in reversed(range(derived.shape[1]))
        if not np.isnan(derived[i, number])
    ]
    again = [
        {**own, "evaluation_id": f"{i}{sign}", "source": "retrain", "genotype_id": f"i{i}", "fid": fid + sign}
        for i, fid in enumerate(retrained)
        for sign in (-1, 1)
    ]
    for name, rows in (("trials", trials), ("history", history), ("evaluations", again)):
        write_table(folder, name, rows)
    return folder


def ask(*arguments: str | Path) -> Result:
    return CliRunner().invoke(score_ranks.main, [str(one) for one in arguments])


def test_a_score_that_ranks_and_one_that_ranks_backwards_are_told_apart(tmp_path: Path) -> None:
    rising = np.arange(6.0)[:, None]
    folder = study_at(tmp_path / "a", np.hstack([rising, -rising]), np.hstack([np.full((6, 1), np.nan), rising**2]))
    found = json.loads(ask(folder, "--json").stdout)
    first, second = found["evaluations"]
    assert [row["retrained"] for row in found["trials"]] == RETRAINED
    taus = [first["fid_derived"]["tau"], second["fid_derived"]["tau"], second["fid_supernet"]["tau"]]
    assert taus == pytest.approx([1, -1, 1])
    assert first["fid_supernet"] is None and first["difference"] is None
    assert second["difference"][0] == pytest.approx(-2) and second["difference"][2] <= -1.9
    everything = float(np.mean(RETRAINED))
    assert first["fid_derived"]["best_third_minus_all"] == pytest.approx(5.5 - everything)
    assert second["fid_derived"]["best_third_minus_all"] == pytest.approx(16 - everything)
    line = "| 1 | +1.00 (+1.00 to +1.00) | +1.00 (+1.00 to +1.00) | -4.33 | - | - | - | - |"
    assert line in ask(folder).output


def test_within_a_kind_what_only_tells_kinds_apart_is_worth_nothing(tmp_path: Path) -> None:
    kind = np.arange(6) % 2  # kind a has 5, 7, 12 and kind b has 6, 9, 20
    backwards = 100.0 * kind - np.arange(6)
    found = json.loads(ask(study_at(tmp_path / "a", backwards[:, None], backwards[:, None]), "--json").stdout)
    ranking = found["evaluations"][0]["fid_derived"]
    assert ranking["within"][0] == -1.0 and ranking["tau"] > -0.5


def test_pairs_of_one_kind_are_counted_as_by_hand() -> None:
    rng = np.random.default_rng()
    x, y, kinds = rng.random(9), rng.random(9), [*"aaaabbbcd"]
    pairs = [(i, j) for i in range(9) for j in range(i) if kinds[i] == kinds[j]]
    by_hand = np.mean([np.sign((x[i] - x[j]) * (y[i] - y[j])) for i, j in pairs])
    found = versus_stats.kendall_within(x, y, kinds)
    assert found is not None and len(pairs) == 9
    assert found.value == pytest.approx(by_hand) and -1 <= found.low <= found.high <= 1
    alone = versus_stats.kendall_within(x, y, ["a"] * 9)
    assert alone is not None and alone.value == pytest.approx(stats.kendalltau(x, y).statistic)
    assert versus_stats.kendall_within(x[:3], y[:3], [*"abc"]) is None


def test_noise_has_scipy_s_tau_and_studies_are_taken_together(tmp_path: Path) -> None:
    rng = np.random.default_rng()
    scores = rng.permutation(12).reshape(2, 6, 1).astype(float)
    folders = [study_at(tmp_path / name, one, rng.random((6, 1))) for name, one in zip("ab", scores, strict=True)]
    (line,) = json.loads(ask(*folders, "--json").stdout)["evaluations"]
    by_scipy = stats.kendalltau(scores.ravel(), RETRAINED * 2).statistic
    assert line["fid_derived"]["n"] == 12 and line["fid_derived"]["tau"] == pytest.approx(by_scipy)
    assert -1 <= line["fid_derived"]["low"] < line["fid_derived"]["high"] <= 1


def test_trials_that_a_score_stopped_and_those_not_retrained_are_refused(tmp_path: Path) -> None:
    scores = np.arange(12.0).reshape(6, 2)
    stopped = scores.copy()
    stopped[4, 1] = np.nan
    refused = ask(study_at(tmp_path / "stopped", stopped, scores))
    assert refused.exit_code == 2
    assert "t4: 1 evaluations, others have 2" in refused.output and "tune.scheduler" in refused.output
    few = ask(study_at(tmp_path / "few", scores, scores, RETRAINED[:2]))
    assert few.exit_code == 2 and "2 of 6 trials have been retrained" in few.output and "--top 6" in few.output
    assert ask(tmp_path / "none").exit_code == 2
