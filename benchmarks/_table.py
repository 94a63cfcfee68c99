"""A report of ``step_time.py`` as people read it."""

from __future__ import annotations

from typing import Any

MIB = 2**20
HEAD = (
    *("task", "side", "ms", "quartiles", "images/s", "of matmul", "floor ms", "bytes ms"),
    *("peak MiB", "saved MiB", "ops"),
)


def table(report: dict[str, Any]) -> str:
    """A header, a row a task and side, and the ratios."""
    rates, widths = report["rates"], report["channels"]
    lines = [
        f"{report['configuration']}: {report['about']}",
        f"space {report['space']}, {report['relaxation']}, widths {widths[0]}/{widths[1]}, batch "
        f"{report['batch_size']}, {report['d_steps_per_g_step']} D steps a G step; retrained at widths "
        f"{report['retrain_channels'][0]}/{report['retrain_channels'][1]}",
        f"{report['device_name'] or report['device']}, {report['threads']} threads, torch "
        f"{report['packages'].get('torch')}, commit {report['commit']}: fp32 matrix product "
        f"{rates['flops_per_s'] / 1e9:.4g} GFLOP/s, copy {rates['bytes_per_s'] / 1e9:.4g} GB/s, "
        f"load {report['load_average']:.1f}",
        "product computes with " + ", ".join(f"{key} {value}" for key, value in report["compute"].items()),
        "",
    ]
    rows = [HEAD]
    for task, found in report["tasks"].items():
        for name, side in found["sides"].items():
            rows.append((task, name, *_numbers(side)))
    wide = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, wide, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    lines.append("")
    for task, found in report["tasks"].items():
        for key, what in (("ratio", "time"), ("cpu_ratio", "processor time")):
            if key in found:
                ratio, other = found[key], list(found["sides"])[1]
                lines.append(
                    f"{task}: {other} / product = {ratio['median']:.3f} in {what}, {ratio['low']:.3f} to "
                    f"{ratio['high']:.3f} ({ratio['coverage']:.0%}; {report['rounds']} rounds of "
                    f"{found['calls_a_timing']} calls)"
                )
    return "\n".join(lines)


def _numbers(side: dict[str, Any]) -> tuple[str, ...]:
    low, high = side["quartiles_s"]
    return (
        f"{side['median_s'] * 1e3:.4g}",
        f"{low * 1e3:.4g}-{high * 1e3:.4g}",
        f"{side['images_per_s']:.4g}",
        f"{side['share_of_matmul_rate']:.1%}",
        f"{side['arithmetic_floor_s'] * 1e3:.3g}",
        f"{side['bytes_floor_s'] * 1e3:.3g}",
        f"{side['peak_bytes'] / MIB:.4g}",
        f"{side['saved_bytes'] / MIB:.4g}",
        str(side["operations"]),
    )
