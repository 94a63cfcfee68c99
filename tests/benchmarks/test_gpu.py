"""The command for a GPU: it keeps to its budget, loses nothing when killed, and does without what is not there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gpu
import numpy as np
import pandas as pd
import pytest
from gpu_stages import device, packed, quality_jobs, retrain_step, search_step
from gpu_stages.budget import repeated, share, shared
from gpu_stages.children import ASKS, DONE, FIGURE, Child, Stopped, Worker
from gpu_stages.results import Results, figures, left_out, read_lines
from gpu_stages.run import Run
from gpu_stages.sizes import PUBLISHED, TOY
from gpu_stages.subjects import BF16, TF32, Form, arithmetic
from gpu_stages.table import BEGIN, END, report, write_docs
from gpu_stages.timing import floors, retraining_step
from gpu_stages.timing import search_step as search_job

from autogan_ray.base.errors import ResultsError
from tests.distant import Gpu

ROOT = Path(gpu.__file__).parents[1]
NEEDED = ("torch", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "scikit-learn", "safetensors")
KILLS = 2
AMPLE_S = "900"
"""A budget in which nothing has to be left out, however busy the machine is."""

# ---- the budget


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_repetitions_are_planned_by_the_first_and_end_in_time() -> None:
    clock = Clock()

    def call(seconds: float) -> None:
        clock.now += seconds

    assert len(repeated(lambda: call(2.0), 11.0, 10, clock)) == 5
    assert len(repeated(lambda: call(2.0), 100.0, 10, clock)) == 10
    assert len(repeated(lambda: call(50.0), 11.0, 10, clock)) == 1
    begin, slower = clock.now, iter([1.0, 1.0, 8.0, 8.0, 8.0])
    assert len(repeated(lambda: call(next(slower)), 12.0, 10, clock)) == 3 and clock.now - begin <= 12.0


def test_what_a_stage_leaves_is_divided_among_later_ones() -> None:
    assert share([1.0, 1.0, 2.0], 40.0) == 10.0 and share([1.0, 2.0], 39.0) == 13.0
    assert shared(540.0) == 525.0 and share([1.0], -3.0) == 0.0


FIGURES = {"iteration_ms": 9e5, "mean_d_step_ms": 1e5, "d_steps": 5, "iterations": 1, "images_per_s": 1.0}


class SlowWorker:
    """Says of every job that it takes ``cost_s`` on a clock of its own, and starts slowly too."""

    def __init__(self, clock: Clock, cost_s: float, start_s: float) -> None:
        self._clock, self._cost_s, self.start_s = clock, cost_s, start_s
        self._alive = False
        self._asked: Any = None
        self.child = self

    def _spend(self, seconds: float, limit_s: float) -> None:
        self._clock.now += max(0.0, min(seconds, limit_s))
        if seconds > limit_s:
            self._alive = False
            raise Stopped("it did not end in its time and was stopped")

    def start(self) -> None: ...

    def close(self) -> None:
        self._alive = False

    def ready(self, limit_s: float) -> None:
        if not self._alive:
            self._spend(self.start_s, limit_s)
            self._alive = True

    def begin(self, job: Any, arguments: dict[str, Any]) -> None:
        self._asked = {ASKS: True} if job is packed.trial else None

    def send(self, seconds: float) -> None:
        self._asked = {"images": 8, "wall_s": 1.0, "cpu_s": 1.0, "peak_mem_mib": 1.0} if seconds else None

    def receive(self, limit_s: float) -> tuple[str, Any]:
        self._spend(self._cost_s, limit_s)
        return (FIGURE, self._asked) if self._asked else (DONE, None)

    def figures(self, job: Any, arguments: dict[str, Any], limit_s: float) -> Iterator[dict[str, Any]]:
        self._spend(self._cost_s, limit_s)
        yield dict(FIGURES)

    kill = close


class SlowRun(Run):
    def first_ready(self, workers: Any, limit_s: float) -> Any:
        return list(workers)


@pytest.mark.parametrize("cost_s", [0.5, 5.0, 30.0, 1000.0])
@pytest.mark.parametrize("start_s", [1.0, 25.0])
def test_shares_stay_under_the_budget_on_the_clock_of_a_slow_machine(
    tmp_path: Path, cost_s: float, start_s: float
) -> None:
    clock = Clock()
    worker = SlowWorker(clock, cost_s, start_s)
    file = tmp_path / "some.parquet"
    run = SlowRun(
        PUBLISHED, Results(tmp_path, {}), file, worker, lambda text: None,
        hire=lambda *given: SlowWorker(clock, cost_s, start_s), start=lambda *given, **more: worker, clock=clock,
    )  # fmt: skip
    begin = clock.now
    run.stages(gpu.STAGES, begin + shared(540.0))
    assert clock.now - begin <= shared(540.0) + 1e-6
    ended = [line for line in run.results.lines if line["kind"] == "stage"]
    assert [line["stage"] for line in ended] == gpu.NAMES
    for line in ended:
        assert line["wall_s"] <= line["share_s"] + 1e-6
        assert line["status"] == "done" or left_out(run.results.lines, line["stage"]), line
    if cost_s == 1000.0:
        assert not any(figures(run.results.lines, name) for name in gpu.NAMES)
        assert "did not end in its time" in report(run.results.lines, gpu.NAMES)


# ---- results


def lines_of(folder: Path, *parts: tuple[str, float]) -> Results:
    results = Results(folder, {"date": "2030-01-02", "card": "Some Card", "commit": "abc", "torch": "9"})
    results.add("begin", sizes="published")
    for what, value in parts:
        results.add("figure", "search-step", part=what, what=what, iteration_ms=value, images_per_s=float("nan"))
        results.add("part", "search-step", what=what)
    return results


def test_a_torn_last_line_is_left_out_and_the_next_does_not_follow_it(tmp_path: Path) -> None:
    file = lines_of(tmp_path, ("a", 1.0)).file
    whole = len(read_lines(file))
    with file.open("ab") as stream:
        stream.write(b'{"kind": "figure", "sta')
    assert len(read_lines(file)) == whole
    lines_of(tmp_path, ("b", 2.0))
    found = read_lines(file)
    assert [line["what"] for line in figures(found, "search-step")] == ["a", "b"]
    assert found[-2]["images_per_s"] is None and {line["attempt"] for line in found} == {1, 2}
    file.write_bytes(b"{]\n" + file.read_bytes())
    with pytest.raises(ResultsError, match="line 1 is no JSON"):
        read_lines(file)


def test_a_part_begun_again_counts_from_its_last_attempt(tmp_path: Path) -> None:
    first = lines_of(tmp_path)
    first.add("figure", "quality", part="search", what="search", kimg=1.0)
    first.add("figure", "quality", part="search", what="search", kimg=2.0)
    first.add("skipped", "quality", what="search", reason="its time was over")
    again = lines_of(tmp_path)
    assert not again.finished("quality", "search") and len(left_out(again.lines, "quality")) == 1
    again.add("figure", "quality", part="search", what="search", kimg=3.0)
    again.add("part", "quality", what="search")
    assert [line["kimg"] for line in again.figures("quality", "search")] == [3.0]
    assert again.finished("quality", "search") and not left_out(again.lines, "quality")


def test_the_page_gets_a_row_a_thing_measured_and_keeps_those_of_other_cards(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    results = lines_of(tmp_path, ("a", 1.0), ("b", 2345.6))
    assert write_docs(page, results.lines, gpu.NAMES) == write_docs(page, results.lines, gpu.NAMES) == 2
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| date |") and text.endswith(f"{END}\nafter\n")
    assert text.count("| 2030-01-02 | Some Card | abc | search-step | a | 1 ms an iteration |") == 1
    assert "2,346 ms an iteration" in text
    other = [line | {"card": "Other Card"} for line in results.lines]
    write_docs(page, other, gpu.NAMES)
    assert page.read_text().count("Some Card") == page.read_text().count("Other Card") == 2


def test_toy_results_and_a_page_without_marks_are_refused(tmp_path: Path) -> None:
    results = lines_of(tmp_path, ("a", 1.0))
    with pytest.raises(ResultsError, match="figures: begin"):
        write_docs(tmp_path / "none.md", results.lines, gpu.NAMES)
    with pytest.raises(ResultsError, match="toy sizes"):
        write_docs(gpu.DOCS, [{**results.lines[0], "sizes": "toy"}], gpu.NAMES)
    with pytest.raises(ResultsError, match="no figure yet"):
        write_docs(gpu.DOCS, results.lines[:1], gpu.NAMES)
    assert BEGIN in gpu.DOCS.read_text() and END in gpu.DOCS.read_text()


def test_floors_come_from_the_rate_of_the_forms_own_arithmetic() -> None:
    rates = {"matmul_bf16_tflop_per_s": 800.0, "matmul_tf32_tflop_per_s": 400.0, "copy_on_device_gb_per_s": 1000.0}
    found = floors(4e12, 1e9, Form(TF32), rates, 0.1)
    assert found == {"share_of_matmul_rate": 0.1, "arithmetic_floor_ms": 10.0, "bytes_floor_ms": 1.0}
    assert floors(4e12, 1e9, Form(BF16), rates, 0.1)["arithmetic_floor_ms"] == 5.0
    assert floors(4e12, 1e9, Form(BF16), {}, 0.1) == {}


# ---- what is asked for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--toy"], "--out DIR"),
        (["--toy", "--out", "{}", "--stage", "qualty"], "did you mean 'quality'"),
        (["--toy", "--out", "{}", "--budget", "3"], "at least 30 seconds"),
        (["--toy", "--out", "{}", "--cifar", "nowhere.parquet"], "--cifar nowhere.parquet: there is no such file"),
        (["--resume", "{}/none"], "begin with --out"),
        (["--write-docs", "{}/none"], "there is no results.jsonl"),
        (["--out", "{}/old"], "--resume {}/old"),
        (["--toy", "--resume", "{}/old"], "published sizes"),
    ],
)
def test_a_mistake_exits_2_and_names_what_is_right(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines_of(tmp_path / "old")
    with pytest.raises(SystemExit) as stopped:
        gpu.main([one.replace("{}", str(tmp_path)) for one in arguments])
    assert stopped.value.code == 2
    assert message.replace("{}", str(tmp_path)) in " ".join(capsys.readouterr().err.split())


def test_stages_are_listed_with_seconds_that_the_budget_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--list", "--budget", "540"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == gpu.NAMES and sum(float(row[1]) for row in rows) <= 540


def test_help_and_list_load_no_torch() -> None:
    code = "import gpu, sys; gpu.main(['--list', '--toy']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment(), stdout=subprocess.DEVNULL)


def test_every_form_is_measured_once_and_what_says_most_comes_first() -> None:
    forms = search_step.FORMS
    assert len({form.name for form in forms}) == len(forms)
    assert forms[0].merge and [form.compiled for form in forms] == sorted(form.compiled for form in forms)
    assert not any(form.compiled and form.relaxation == "gumbel_hard" for form in forms)
    assert {(f.arithmetic, f.merge, f.compiled) for f in forms if f.relaxation == "gumbel"} >= {
        (kind, merge, compiled) for kind in (BF16, TF32) for merge in (True, False) for compiled in (True, False)
    }
    assert {form.arithmetic for form in retrain_step.FORMS} == set(PUBLISHED.arithmetics)


def test_published_sizes_are_the_published_ones() -> None:
    from gpu_stages.subjects import searching_trial

    for form in search_step.FORMS:
        trial = searching_trial(PUBLISHED, form, PUBLISHED.search)
        assert (trial.model.channels_g, trial.model.channels_d, trial.search.batch_size) == (160, 80, 60)
        assert trial.search.d_steps_per_g_step == 5 and trial.compute.compile == form.compiled
        assert trial.compute.merge == form.merge and trial.search.warmup == 0
    small = searching_trial(PUBLISHED, Form(BF16), PUBLISHED.packed)
    assert (small.model.channels_g, small.model.channels_d, small.search.batch_size) == (16, 16, 32)


# ---- on a device that is not there, which refuses tensors of another


def test_jobs_keep_all_tensors_on_the_device() -> None:
    sizes = replace(TOY, device="cuda", iterations=1)
    with Gpu():
        for job in (
            search_job(sizes, Form(TF32, relaxation="gumbel_hard"), 1, {}, seconds=0.0),
            retraining_step(sizes, "autogan-a", Form(TF32), {}, seconds=0.0),
        ):
            (found,) = job  # no time is left for counting
            assert found["iterations"] == 1 and found["images_per_s"] > 0


def test_float32_is_what_it_says_and_what_was_set_is_set_again() -> None:
    import torch

    before = torch.backends.cudnn.allow_tf32
    with arithmetic("fp32"):
        assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    with arithmetic(TF32):
        assert torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


# ---- images from a Parquet file


def test_the_quality_row_reads_a_parquet_file(tmp_path: Path) -> None:
    import io

    from PIL import Image

    def encoded(seed: int) -> bytes:
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(buffer, "png")
        return buffer.getvalue()

    file = tmp_path / "some.parquet"
    pd.DataFrame({"image": [encoded(i) for i in range(24)], "label": [i % 3 for i in range(24)]}).to_parquet(file)
    for sizes in (TOY, PUBLISHED):
        study = quality_jobs.quality_study(sizes, file, {})
        assert study.metrics.extractor == "classifier" and study.data.source == f"parquet:{file}"
    (found,) = quality_jobs.prepare(TOY, file, 1.0)
    assert found["images"] == 24 and found["floor_fd_classifier"] > 0


# ---- processes


def asking(count: int) -> Iterator[dict[str, Any]]:
    total = 0
    for _ in range(count):
        total += yield {ASKS: True, "total": total}  # type: ignore[misc]
    yield {"total": total}


def failing(what: str) -> Iterator[dict[str, Any]]:
    yield {"begun": True}
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("no such thing\nand more")


def hanging(connection: Connection) -> None:
    connection.send((FIGURE, {"begun": True}))
    signal.pause()


def test_a_process_that_hangs_is_killed_when_its_time_is_over() -> None:
    child = Child(hanging)
    assert child.receive(60.0) == (FIGURE, {"begun": True}) and child.alive
    with pytest.raises(Stopped, match="did not end in its time"):
        child.receive(0.1)
    assert not child.alive


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_talks_to_its_jobs_outlives_those_that_fail_and_says_when_it_died() -> None:
    worker = Worker("cpu", 1)
    try:
        worker.begin(asking, {"count": 2})
        assert worker.receive(200.0) == (FIGURE, {ASKS: True, "total": 0}) and worker.start_s > 0
        worker.child.send(3)
        assert worker.receive(60.0)[1]["total"] == 3
        worker.child.send(4)
        assert worker.receive(60.0) == (FIGURE, {"total": 7}) and worker.receive(60.0) == (DONE, None)
        for what, message in (("fails", "ValueError: no such thing$"), ("dies", "died with exit code -9")):
            found = []
            with pytest.raises(Stopped, match=message):
                for figure in worker.figures(failing, {"what": what}, 60.0):
                    found.append(figure)
            assert found == [{"begun": True}]
    finally:
        worker.close()


def test_only_files_with_a_marked_test_are_given_to_pytest() -> None:
    files = device.marked_files(ROOT / "tests")
    assert ROOT / "tests" / "training" / "test_memory.py" in files
    assert not [file for file in files if "tune" in file.parts]  # they would want ray


# ---- whole runs


def environment(**more: str) -> dict[str, str]:
    """Of a child: this checkout comes first, wherever the package is installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")]), **more}


def plain(name: str) -> str:
    """A distribution's name as all its spellings have it in common."""
    return name.lower().replace("_", "-").replace(".", "-")


def hidden() -> list[str]:
    """Top-level modules and distributions: all but ``NEEDED`` and what these need."""
    wanted, waiting = set(), [*NEEDED]
    while waiting:
        name = plain(waiting.pop())
        if name in wanted:
            continue
        wanted.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            for one in metadata.requires(name) or []:
                if "extra ==" not in one:
                    waiting.append(re.split(r"[^A-Za-z0-9._-]", one)[0])
    ours = {"autogan_ray", "searchspaces", "studies", "benchmarks", "tests"}
    owners = {module: {*map(plain, names)} for module, names in metadata.packages_distributions().items()}
    modules = {module for module, names in owners.items() if module not in ours and not names & wanted}
    return sorted(modules | (set().union(*owners.values()) - wanted))


SITE = """
import sys
HIDDEN = frozenset({hidden!r})
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, *given):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, *given)
    def find_distributions(self, *given):
        find = getattr(self.finder, "find_distributions", None)
        for found in find(*given) if find else ():
            if found.metadata["Name"].lower().replace("_", "-") not in HIDDEN:
                yield found
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine on which nothing else is installed, as far as Python can see."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(SITE.format(hidden=hidden()))
    found = environment()
    return found | {"PYTHONPATH": os.pathsep.join([str(folder), found["PYTHONPATH"]])}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--budget", AMPLE_S, *map(str, arguments)]


@pytest.fixture(scope="module")
def bare_run(bare: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole toy run in the bare environment."""
    folder = tmp_path_factory.mktemp("gpu") / "run"
    done = subprocess.run(command("--toy", "--out", folder), env=bare, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "not reached:" in done.stdout
    return folder


TRY = """
found = []
for name in {names!r}:
    try:
        __import__(name)
    except ModuleNotFoundError:
        found.append(name)
print(*found)
"""


def test_nothing_else_can_be_imported_in_the_bare_environment(bare: dict[str, str]) -> None:
    absent = ["ray", "optuna", "click", "torch_fidelity", "torchvision", "pytest", "PIL"]
    code = TRY.format(names=[*absent, "pandas", "pydantic", "sklearn", "safetensors"])
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.split() == absent


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_stages_1_to_4_run_with_nothing_but_what_they_need(bare_run: Path) -> None:
    lines = read_lines(bare_run / "results.jsonl")
    ended = {line["stage"]: line for line in lines if line["kind"] == "stage"}
    assert [*ended] == gpu.NAMES
    for name in gpu.NAMES[1:4]:
        assert ended[name]["status"] == "done", (left_out(lines, name), name)
    assert [line["what"] for line in left_out(lines, "device")] == [device.TESTS]  # pytest is hidden too
    for name in gpu.NAMES[4:]:
        (line,) = left_out(lines, name)
        assert "pip install torch-fidelity" in line["reason"]
    figure = figures(lines, "search-step", search_step.FORMS[0].name)[-1]
    assert figure["iteration_ms"] > 0 and figure["gflop"] > 0 and figure["card"].startswith("CPU")
    assert {"date", "commit", "torch", "time_s", "attempt"} <= figure.keys()
    assert figures(lines, "search-step", search_step.FULL)[-1]["measured_d_steps"] >= TOY.full_search_steps
    two = figures(lines, "packing", packed.part(2))[-1]
    assert two["processes"] == 2 and two["speedup_over_one"] > 0
    for line in lines:
        json.dumps(line, allow_nan=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_it_keeps_what_it_measured_and_a_resume_finishes(
    bare_run: Path, tmp_path: Path
) -> None:
    folder, file = tmp_path / "run", tmp_path / "run" / "results.jsonl"
    shutil.copytree(bare_run, folder)
    kept = [line for line in read_lines(file) if line["stage"] not in ("retrain-step", "quality", "evaluation")]
    file.write_text("".join(json.dumps(line) + "\n" for line in kept))  # as if it had been killed there
    seconds = random.Random(0)
    before = len(kept)
    for _ in range(KILLS):
        process = subprocess.Popen(
            command("--resume", folder), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(seconds.uniform(4.0, 12.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        now = len(read_lines(file))
        assert now >= before
        before = now
    done = subprocess.run(command("--resume", folder), env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "everything was reached" in done.stdout, done.stdout + done.stderr
    lines = read_lines(file)
    assert {line["stage"] for line in lines if line["kind"] == "stage" and line["status"] == "done"} == {*gpu.NAMES}
    for name in ("searched", "autogan-a", "random 0"):
        curve = figures(lines, "quality", f"retrain {name}")
        assert len(curve) == 1 + TOY.points and curve[0]["kimg"] == 0 < curve[-1]["kimg"]
    measured = [line for line in lines if line["kind"] == "part" and line["stage"] == "search-step"]
    assert len({line["what"] for line in measured}) == len(measured)  # nothing was measured twice
    assert figures(lines, "evaluation")[-1]["distance_s"] > 0
