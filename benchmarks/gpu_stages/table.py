"""The results as people read them: a table at the end of a run, and the rows of ``docs/gpu.md``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autogan_ray.base.errors import ResultsError
from gpu_stages.results import STAGE, Line, figures, left_out

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = ("date", "card", "commit", "stage", "what", "figures")
MEMORY = ("peak_mem_mib", "MiB", 1.0)
SHOWN = (
    *(("iteration_ms", "ms an iteration", 1.0), ("images_per_s", "images/s", 1.0), MEMORY),
    *(("share_of_matmul_rate", "% of the matrix rate", 100.0), ("arithmetic_floor_ms", "ms floor by arithmetic", 1.0)),
    *(("bytes_floor_ms", "ms by bytes", 1.0), ("operations", "operations", 1.0), ("first_iteration_s", "s first", 1.0)),
    *(("matmul_bf16_tflop_per_s", "TFLOP/s bf16", 1.0), ("matmul_tf32_tflop_per_s", "TFLOP/s tf32", 1.0)),
    *(("matmul_fp32_tflop_per_s", "TFLOP/s fp32", 1.0), ("copy_on_device_gb_per_s", "GB/s on the device", 1.0)),
    *(("copy_to_device_gb_per_s", "GB/s to it", 1.0), ("copy_pinned_to_device_gb_per_s", "GB/s pinned", 1.0)),
    *(("passed", "passed", 1.0), ("failed", "failed", 1.0), ("skipped", "skipped", 1.0)),
    *(("measured_d_steps", "steps measured", 1.0), ("search_extrapolated_s", "s for the search (extrapolated)", 1.0)),
    *(("speedup_over_one", "times one alone", 1.0), ("fd_classifier", "FD (classifier)", 1.0), ("kimg", "kimg", 1.0)),
    *(("floor_fd_classifier", "FD (classifier) floor", 1.0), ("retrain_s", "s of training", 1.0)),
    *(("search_s", "s of search", 1.0), ("prepare_s", "s to prepare", 1.0), ("images", "images", 1.0)),
    *(("evaluation_s", "s an evaluation", 1.0), ("extraction_images_per_s", "images/s extracted", 1.0)),
    *(("distance_s", "s the distance", 1.0),),
)
"""Key of a figure, the words behind its number, and by how much the number is multiplied."""


def summary(figure: Line) -> str:
    """The numbers of a figure that people look for first, with their units."""
    parts = []
    for key, unit, factor in SHOWN:
        value = figure.get(key)
        if isinstance(value, int | float):
            parts.append(f"{_digits(value * factor)} {unit}")
    return ", ".join(parts) or "measured"


def _digits(value: float) -> str:
    """Four significant digits, thousands without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def rows(lines: Sequence[Line], stages: Sequence[str]) -> list[tuple[str, ...]]:
    """One row for each thing measured: its last figure, which of a curve is the last point."""
    found = []
    for stage in stages:
        last = {line["what"]: line for line in figures([*lines], stage)}
        for what, line in last.items():
            about = (str(line.get("date")), str(line.get("card")), str(line.get("commit") or "unknown"))
            found.append((*about, stage, what, summary(line)))
    return found


def report(lines: Sequence[Line], stages: Sequence[str]) -> str:
    """What was measured, how long each stage took, and what was not reached, with the reasons."""
    text = []
    measured = rows(lines, stages)
    wide = max((len(row[4]) for row in measured), default=0)
    for stage in stages:
        ended = [line for line in lines if line["kind"] == STAGE and line["stage"] == stage]
        spent = f"{ended[-1]['wall_s']:.1f} of {ended[-1]['share_s']:.1f} s" if ended else "not ended"
        text.append(f"{stage} ({spent})")
        text += [f"  {row[4]:<{wide}}  {row[5]}" for row in measured if row[3] == stage]
    missing = [(stage, line) for stage in stages for line in left_out([*lines], stage)]
    text.append("not reached:" if missing else "everything was reached")
    text += [f"  {stage}, {line['what']}: {line['reason']}" for stage, line in missing]
    return "\n".join(text)


def write_docs(file: Path, lines: Sequence[Line], stages: Sequence[str]) -> int:
    """Put the rows between the marks of a page; rows of other dates, cards and commits stay. Gives their number.

    Raises ResultsError for results of toy sizes, for none, and for a page without the marks.
    """
    if any(line.get("sizes") == "toy" for line in lines):
        raise ResultsError("these results have toy sizes, which say nothing of a GPU; hand over a folder of --out")
    found = rows(lines, stages)
    if not found:
        raise ResultsError("these results hold no figure yet; go on with --resume")
    content = file.read_text(encoding="utf-8") if file.exists() else ""
    before, begin, rest = content.partition(BEGIN)
    inner, end, after = rest.partition(END)
    if not begin or not end:
        raise ResultsError(f"{file}: the rows go between the lines {BEGIN} and {END}; put them back")
    written = [_markdown(row) for row in found]
    known = {row.rsplit("|", 2)[0] for row in written}
    old = [row for row in inner.strip().splitlines()[2:] if row.rsplit("|", 2)[0] not in known]
    table = [_markdown(HEAD), "|" + "---|" * len(HEAD), *old, *written]
    file.write_text("\n".join([before + begin, *table, end + after]), encoding="utf-8")
    return len(written)


def _markdown(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(cells) + " |"
