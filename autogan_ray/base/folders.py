"""Whether a folder or a storage can be written to, checked before work that takes time."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from autogan_ray.base.errors import ConfigError
from autogan_ray.base.provenance import without_secrets


def check_writable(folder: Path, option: str) -> None:
    """Checks that a folder can be made, with its parents, and files in it; leaves nothing behind.

    Args:
        option: the option that named the folder, such as ``--out``, for the message.

    Raises ConfigError with the system's reason.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{option}: nothing can be written to {str(folder)!r} ({error.strerror}); choose another folder"
        ) from error
    finally:
        with suppress(OSError):  # where a folder was not made, or another process uses it already
            for path in made:
                path.rmdir()


def check_storage(storage: str) -> None:
    """Checks that a storage can be written to: a path, or a URI that Arrow (s3, gs, hdfs, file) or fsspec knows.

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
        _check_with_fsspec(storage)
    except OSError as error:
        raise _refused(storage, error) from error


def _check_with_fsspec(storage: str) -> None:
    try:
        import fsspec  # comes with Ray

        system, path = fsspec.core.url_to_fs(storage)
        system.makedirs(path, exist_ok=True)
    except Exception as error:  # each file system of fsspec has its own errors
        raise _refused(storage, error) from error


def _refused(storage: str, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:300]
    said = f"--storage {storage}: nothing can be written there ({reason}); choose another place"
    return ConfigError(without_secrets(said))
