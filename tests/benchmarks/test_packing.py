"""Packing: a tiny search in two processes side by side, and the figures that come of it."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import packing
import pytest
from gpu_stages.children import Stopped

TINY = {
    "study": "smoke",
    "set": ["search.batch_size=4", "space=autogan/fixed"],
    "device": "cpu",
    "threads": 1,
    "steps": 3,
    "warm": 1,
}


@pytest.mark.timeout(120)
def test_two_processes_side_by_side_are_counted_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "packing.json"
    arguments = ["--study", "smoke", "--packed", "2", "--steps", "3", "--warm", "1", "--json", str(file)]
    assert packing.main([*arguments, "--set", "search.batch_size=4"]) == 0
    found = json.loads(file.read_text())
    (row,) = found["rows"]
    assert row["images_per_s"] * row["wall_s"] == pytest.approx(2 * 3 * 4)
    assert row["packed"] == 2 and row["speedup"] == 1 and row["cpu_ms_per_image"] > 0
    assert row["peak_mem_mib"] > 50 and found["asked"]["steps"] == 3 and found["device"] == "cpu"
    assert "2 side by side" in capsys.readouterr().out


def test_the_logits_move_from_the_first_step_and_the_images_have_the_datas_shape() -> None:
    loop = packing.search_loop(TINY, seed=1)
    before = loop.net.arch_g.logits.detach().clone()
    loop.step()
    assert not before.equal(loop.net.arch_g.logits) and loop.data.images.shape == (packing.IMAGES, 1, 8, 8)


def test_the_fastest_round_counts_and_speed_is_told_against_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = iter([10.0, 30.0, 20.0, 15.0])
    monkeypatch.setattr(packing, "measure", lambda asked, packed: {"packed": packed, "images_per_s": next(speeds)})
    rows = packing.compare({}, [1, 2], rounds=2)
    assert [(row["packed"], row["images_per_s"], row["speedup"]) for row in rows] == [(1, 20.0, 1.0), (2, 30.0, 1.5)]


@pytest.mark.timeout(120)
def test_a_process_that_fails_leaves_no_other_waiting_and_its_cause_is_told() -> None:
    with pytest.raises(Stopped, match="latent_dim"):
        packing.measure(TINY | {"set": ["model.latent_dim=0"]}, 2)
    assert not multiprocessing.active_children()
