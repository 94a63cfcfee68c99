"""Where a result comes from: versions of packages, commit, GPU; and what of a command may be written down."""

from __future__ import annotations

import json
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    *("torch", "torchvision", "ray", "optuna", "torch-fidelity", "numpy", "pandas", "pyarrow", "pydantic"),
    "scikit-learn",
)

_LOGIN = re.compile(r"(?<=://)[^/?#\s]*@")
_SECRET = re.compile(r"([?&][^=&\s]*(?:secret|token|password|key|sig)[^=&\s]*=)[^&#\s]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """The text with ``***`` for the logins of URIs and for the values of their parameters that are secret by name.

    >>> without_secrets("s3://user:password@bucket/runs?secret_key=abc&region=x")
    's3://***@bucket/runs?secret_key=***&region=x'
    """
    return _SECRET.sub(r"\1***", _LOGIN.sub("***@", text))


def packages_json() -> str:
    """A JSON object, package -> version, of Python and the packages on which results depend."""
    versions = {"python": platform.python_version()}
    for name in ("autogan-ray", *_PACKAGES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return json.dumps(versions)


def git_commit() -> str | None:
    """The commit of the running code, marked ``-dirty`` where files were changed; None outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None


def gpu_name() -> str | None:
    """The name of the first CUDA device; None where there is no such device."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
