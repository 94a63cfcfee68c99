"""Stage 1: what the device is and what it can do at best; then the tests that need a GPU."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_stages.budget import repeated
from gpu_stages.children import FIGURE, Stopped
from gpu_stages.sizes import Sizes
from gpu_stages.subjects import BF16, FP32, TF32
from gpu_stages.timing import waiting

if TYPE_CHECKING:
    from gpu_stages.run import Run

NAME = "device"
FACTS, RATES, TESTS = "facts", "rates", "tests marked gpu"
ROOT = Path(__file__).parents[2]
PRODUCTS = 10
"""Matrix products, or copies, of one timing: the launch of one is no part of its rate."""
TIMINGS = 5


def stage(run: Run) -> None:
    run.measure(RATES, measured_rates, sizes=run.sizes)
    tests(run)


def facts(sizes: Sizes) -> Iterator[dict[str, Any]]:
    """The job that says what machine this is. Without a GPU it is one of the processor."""
    import torch

    gpu = sizes.device == "cuda" and torch.cuda.is_available()
    found: dict[str, Any] = {
        "device_there": gpu or sizes.device == "cpu",
        "torch": str(torch.__version__),  # its own class would be unpickled by importing torch
        "processors": os.cpu_count(),
        "card": f"CPU, {os.cpu_count()} processors",
    }
    if gpu:
        about = torch.cuda.get_device_properties(0)
        found |= {
            "card": about.name,
            "memory_mib": about.total_memory / 2**20,
            "multiprocessors": about.multi_processor_count,
            "capability": f"{about.major}.{about.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    yield found


def measured_rates(sizes: Sizes, seconds: float) -> Iterator[dict[str, Any]]:
    """The job that measures large matrix products in each arithmetic, and copies. A multiply-add counts as two."""
    import torch

    device, side = torch.device(sizes.device), sizes.matrix_side
    found: dict[str, Any] = {"matrix_side": side, "copy_mib": sizes.copy_bytes / 2**20}

    def per_call(call: Any) -> float:
        many = waiting(lambda: [call() for _ in range(PRODUCTS)], device)
        many()
        return statistics.median(repeated(many, seconds / 10, TIMINGS)) / PRODUCTS

    for name in (BF16, TF32, FP32):
        kind = torch.bfloat16 if name == BF16 else torch.float32
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))  # zeros would be faster
        with torch.no_grad(), matrix_tf32(name == TF32):
            found[f"matmul_{name}_tflop_per_s"] = 2 * side**3 / per_call(lambda a=a, b=b: a @ b) / 1e12
        yield found
    size = sizes.copy_bytes
    here, there = torch.randint(256, (size,), dtype=torch.uint8), torch.empty(size, dtype=torch.uint8, device=device)
    other = torch.empty_like(there)
    found["copy_on_device_gb_per_s"] = 2 * size / per_call(lambda: other.copy_(there)) / 1e9  # read and written
    found["copy_to_device_gb_per_s"] = size / per_call(lambda: there.copy_(here)) / 1e9
    yield found
    if device.type == "cuda":
        pinned = here.pin_memory()
        seconds_pinned = per_call(lambda: there.copy_(pinned, non_blocking=True))
        yield found | {"copy_pinned_to_device_gb_per_s": size / seconds_pinned / 1e9}


@contextlib.contextmanager
def matrix_tf32(on: bool) -> Iterator[None]:
    import torch

    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def tests(run: Run) -> None:
    """Those marked ``gpu``, in a process of their own; their output goes to ``tests.log`` beside the results."""
    files = marked_files(ROOT / "tests")
    if importlib.util.find_spec("pytest") is None:
        return run.skip(TESTS, "pytest is not installed: pip install pytest")
    if not files:
        return run.skip(TESTS, f"no test below {ROOT / 'tests'} is marked gpu")
    limit_s = min(run.sizes.tests_s, run.left_s)
    if not run.may_begin(TESTS):
        return
    child = run.start(run_tests, files=[str(file) for file in files], log=str(run.folder / "tests.log"))
    try:
        _, counts = child.receive(limit_s)
    except Stopped as error:
        return run.skip(TESTS, f"{error} (limit {limit_s:.0f} s); see tests.log")
    child.kill()
    run.record(TESTS, TESTS, counts)
    run.end_part(TESTS)


def marked_files(folder: Path) -> list[Path]:
    """Test files in which something is marked ``gpu``: importing all others would want packages that may be missing."""
    return [file for file in sorted(folder.rglob("test_*.py")) if "mark.gpu" in file.read_text(encoding="utf-8")]


class _Tally:
    """A pytest plugin that counts outcomes and names what failed."""

    def __init__(self) -> None:
        self.counts: dict[str, Any] = {"passed": 0, "failed": 0, "skipped": 0, "failed_names": []}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.counts[report.outcome] += 1
            if report.outcome == "failed":
                self.counts["failed_names"].append(report.nodeid)


def run_tests(connection: Connection, files: list[str], log: str) -> None:
    """The target of the process that runs the tests."""
    import pytest

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    tally = _Tally()
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(ROOT)]
    code = pytest.main([*options, "-c", str(ROOT / "pyproject.toml"), *files], plugins=[tally])
    connection.send((FIGURE, {**tally.counts, "exit_code": int(code)}))
