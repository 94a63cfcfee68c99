"""What many tests share: the embedded digits, a classifier for them, and a cache of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autogan_ray.config.sections import DataConfig, MetricsConfig
from autogan_ray.metrics.extractors.base import ExtractorWeights
from autogan_ray.metrics.extractors.registry import extractor_named
from autogan_ray.training.data import ImageData, load_data


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts Ray begins, so that the longest file does not come last where files run side by side."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.fixture(scope="session", autouse=True)
def signals_end() -> Iterator[None]:
    """Child processes inherit what is ignored: SIGHUP of tests that ``nohup`` runs, SIGINT behind a shell's ``&``."""
    usual = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    ignored = [signum for signum in usual if signal.getsignal(signum) is signal.SIG_IGN]
    for signum in ignored:
        signal.signal(signum, usual[signum])
    yield
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the user's cache; child processes inherit it."""
    folder = tmp_path_factory.mktemp("cache")
    ours = {
        "AUTOGAN_RAY_CACHE": str(folder),
        "AUTOGAN_RAY_DATA": str(folder / "data"),
        # Two threads that share a busy processor wait for each other: a step takes 30 times as long.
        "OMP_NUM_THREADS": "1",
        # Ray's trials step back for all else that runs: beside other tests one may not start for minutes.
        "RAY_worker_niceness": "0",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    torch.set_num_threads(1)
    yield folder
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture(scope="session")
def digits(own_cache: Path) -> ImageData:
    return load_data(DataConfig())


@pytest.fixture(scope="session")
def extractor_weights(digits: ImageData) -> ExtractorWeights:
    return extractor_named("classifier").prepare(digits, MetricsConfig(extractor="classifier"))
