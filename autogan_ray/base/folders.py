"""Places that are written to later: asked before anything costs time."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from autogan_ray.base.errors import ConfigError


def check_writable(folder: Path, asked: str) -> None:
    """See that a folder can be made, with those above it, and files in it; nothing is left of that.

    Args:
        asked: what named it, such as ``--out``, for the message.

    Raises ConfigError with the system's reason.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{asked}: nothing can be written to {str(folder)!r} ({error.strerror}); choose another folder"
        ) from error
    finally:
        with suppress(OSError):  # where it was not made, or somebody uses it already
            for place in made:
                place.rmdir()


def check_storage(storage: str) -> None:
    """:func:`check_writable` for a path or a URI, of a kind that Arrow knows (s3, gs, hdfs, file) or fsspec does.

    Raises ConfigError.
    """
    if "://" not in storage:
        return check_writable(Path(storage), "--storage")
    import pyarrow as pa
    from pyarrow import fs

    try:
        system, path = fs.FileSystem.from_uri(storage)
        system.create_dir(path, recursive=True)  # as Ray will
    except pa.ArrowInvalid as error:
        if "Unrecognized filesystem type" not in str(error):
            raise _refused(storage, error) from error
        _check_other(storage)
    except OSError as error:
        raise _refused(storage, error) from error


def _check_other(storage: str) -> None:
    try:
        import fsspec  # comes with Ray

        system, path = fsspec.core.url_to_fs(storage)
        system.makedirs(path, exist_ok=True)
    except Exception as error:  # each file system has errors of its own
        raise _refused(storage, error) from error


def _refused(storage: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:300]
    return ConfigError(f"--storage {storage}: nothing can be written there ({reason}); choose another place")
