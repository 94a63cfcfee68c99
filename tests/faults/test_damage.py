"""Whatever is in a file, its reader ends with our own error: no traceback, no hang, no gigabytes of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autogan_ray as ag
from autogan_ray.base.errors import GenotypeError, ResultsError, UserError
from autogan_ray.base.reading import parse_json, parse_toml, reading
from autogan_ray.retraining.generator_file import generator_file
from tests.cli.studies import retrained
from tests.faults.damage import DEEP, ROOT

DAMAGES = 5000
"""Two to five minutes of a processor; ``python -m tests.faults.damage 20000 SEED`` tries others."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_files_of_every_kind_are_read_or_refused_by_our_own_error() -> None:
    """In a process of its own, whose memory is limited."""
    typed = [sys.executable, "-m", "tests.faults.damage", str(DAMAGES)]
    found = subprocess.run(typed, cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert found.returncode == 0, (found.stdout + found.stderr)[-5000:]


@pytest.mark.parametrize("text", ["9" * 5000, DEEP, '"\\ud800"', "{", "\x00", b"\xff", None])
def test_json_that_cannot_be_read_names_its_file(text: str | bytes) -> None:
    with pytest.raises(GenotypeError, match=r"^g\.json: not JSON"):
        parse_json(text, "g.json", GenotypeError)


@pytest.mark.parametrize("value", ["9" * 5000, "0x" + "f" * 5000, DEEP, "", "'"])
def test_toml_that_cannot_be_read_names_its_file(value: str) -> None:
    with pytest.raises(UserError, match=r"^s\.toml: not TOML"):
        parse_toml(f"a = {value}", "s.toml", UserError)


def test_what_a_block_raises_over_a_file_is_our_error_and_our_own_errors_stay() -> None:
    named = r"^f is damaged \('a' is missing\); do so$"
    with pytest.raises(ResultsError, match=named), reading("f", ResultsError, "; do so"):
        _ = {}["a"]
    with pytest.raises(GenotypeError, match=r"^own$"), reading("f", ResultsError):
        raise GenotypeError("own")


def with_shape(folder: Path, **changes: Any) -> Path:
    """The file of a generator whose header says another shape."""
    return with_header(folder, "shape", lambda text: json.dumps(json.loads(text) | changes))


def with_header(folder: Path, key: str, change: Callable[[str], str]) -> Path:
    file = generator_file(retrained(folder))
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"][key] = change(header["__metadata__"][key])
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    return file


def test_a_generator_s_header_that_asks_for_gigabytes_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"is damaged: its header describes .* of shape .*100000.*, and it holds"):
        ag.load_generator(with_shape(tmp_path, channels_g=100_000))


@pytest.mark.parametrize("shares", [["x"], [-1.0, 2.0], [0.0, 0.0], [float("nan")], {"a": 1}])
def test_a_generator_s_header_with_classes_that_cannot_be_drawn_is_damaged(tmp_path: Path, shares: Any) -> None:
    with pytest.raises(ResultsError, match=r"generator\.safetensors is damaged"):
        ag.load_generator(with_shape(tmp_path, class_shares=shares))


@pytest.mark.parametrize("decision", ["g.cell1.norm", "g.cell1.up", "g.cell2.skip1"])
def test_a_generator_s_header_with_a_choice_that_its_space_has_not_is_damaged(tmp_path: Path, decision: str) -> None:
    def odd(text: str) -> str:
        genotype = json.loads(text)
        genotype["generator"][decision] = "odd"
        return json.dumps(genotype)

    with pytest.raises(ResultsError, match=rf"is damaged: .*{decision} = 'odd' is not a choice"):
        ag.load_generator(with_header(tmp_path, "genotype", odd))
