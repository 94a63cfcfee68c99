"""Checkpoints: what is loaded is what was saved, or an error of ours."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autogan_ray.base.errors import ResultsError
from autogan_ray.training.checkpoint import _HEADER, MAGIC, STATE, load_state, save_state


def state(number: int) -> dict[str, Any]:
    return {"a": torch.arange(5) * number, "b": {"c": None, "d": 1.5}, "records": "[]"}


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    tensors = torch.equal(one["a"], other["a"])
    return tensors and {**one, "a": None} == {**other, "a": None}


def test_a_checkpoint_is_one_file_and_comes_back(tmp_path: Path) -> None:
    save_state(tmp_path / "c", state(1))
    assert [file.name for file in (tmp_path / "c").iterdir()] == [STATE]
    assert equal(load_state(tmp_path / "c"), state(1))
    with pytest.raises(ResultsError, match=r"state\.pt is missing"):
        load_state(tmp_path / "none")


def torn(content: bytes) -> bytes:
    return content[:-3]


def flipped(content: bytes) -> bytes:
    return content[:500] + bytes([content[500] ^ 1]) + content[501:]


def huge(content: bytes) -> bytes:
    return _HEADER.pack(MAGIC, bytes(32), 360 * 2**30) + content[_HEADER.size :]


def signed(content: bytes) -> bytes:
    """A content that is no checkpoint, with the right digest."""
    broken = b"PK" + content[_HEADER.size : -40]
    return _HEADER.pack(MAGIC, hashlib.sha256(broken).digest(), len(broken)) + broken


def other_value(_: bytes) -> bytes:
    file = io.BytesIO()
    torch.save([1, 2], file)
    return _HEADER.pack(MAGIC, hashlib.sha256(file.getvalue()).digest(), len(file.getvalue())) + file.getvalue()


@pytest.mark.parametrize("damage", [torn, flipped, huge, signed, other_value, lambda _: b"", lambda _: MAGIC])
def test_a_damaged_checkpoint_is_refused_by_name(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    save_state(tmp_path, state(1))
    save_state(tmp_path, state(2))
    file = tmp_path / STATE
    assert equal(load_state(tmp_path), state(2))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ResultsError, match=f"checkpoint '{file}'"):
        load_state(tmp_path)


def test_checkpoints_of_earlier_versions_are_read(tmp_path: Path) -> None:
    torch.save(state(4), tmp_path / STATE)
    digest = tmp_path / "state.sha256"
    for wrong in (None, b"", b"\xff\xfe digest", "é".encode(), b"0" * 64):
        digest.unlink(missing_ok=True) if wrong is None else digest.write_bytes(wrong)
        with pytest.raises(ResultsError, match=r"state\.pt' is torn or altered"):
            load_state(tmp_path)
    digest.write_text(hashlib.sha256((tmp_path / STATE).read_bytes()).hexdigest() + "\n")
    assert equal(load_state(tmp_path), state(4))
    save_state(tmp_path, state(5))
    assert equal(load_state(tmp_path), state(5))


def test_three_hundred_altered_checkpoints_are_loaded_equal_or_refused(tmp_path: Path) -> None:
    draw = random.Random(0)
    save_state(tmp_path, state(1))
    file = tmp_path / STATE
    content = file.read_bytes()
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            place = min(draw.choice([draw.randrange(len(content)), draw.randrange(_HEADER.size)]), len(damaged) - 1)
            kind = draw.randrange(4)
            if kind == 0:
                damaged[place] ^= 1 << draw.randrange(8)
            elif kind == 1:
                del damaged[place:]
            elif kind == 2:
                del damaged[place : place + draw.randrange(9)]
            else:
                damaged[place:place] = draw.randbytes(draw.randrange(9))
            damaged = damaged or bytearray(1)
        if draw.random() < 0.3:  # with a head that is right for the damaged content
            body = bytes(damaged[_HEADER.size :])
            damaged = bytearray(_HEADER.pack(MAGIC, hashlib.sha256(body).digest(), len(body)) + body)
        file.write_bytes(damaged)
        try:
            found = load_state(tmp_path)
        except ResultsError as error:
            assert str(file) in str(error)
        else:
            assert bytes(damaged[_HEADER.size :]) != content[_HEADER.size :] or equal(found, state(1))
