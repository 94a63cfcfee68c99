"""Where a result comes from: versions, commit, machine, command."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    *("torch", "torchvision", "ray", "optuna", "torch-fidelity", "numpy", "pandas", "pyarrow", "pydantic"),
    "scikit-learn",
)


def packages_json() -> str:
    """Name -> version of what results depend on."""
    found = {"python": platform.python_version()}
    for name in ("autogan-ray", *_PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return json.dumps(found)


def git_commit() -> str | None:
    """Commit of the code that runs, with a mark where files were changed; None outside a checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def gpu_name() -> str | None:
    """Of the first CUDA device; None without one."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
