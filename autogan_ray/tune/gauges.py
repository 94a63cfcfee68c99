"""A trial's latest evaluation as metrics of Ray, which Prometheus collects and Grafana draws (docs/live.md)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from ray.util.metrics import Gauge

TAGS = ("study", "trial")

GAUGES = {
    "fid": ("autogan_fid", "Score of the latest evaluation, by which trials are ranked"),
    "kimg": ("autogan_kimg", "Thousands of real images shown to the discriminator"),
    "images_per_s": ("autogan_images_per_s", "Real images shown to the discriminator, per second"),
    "entropy_g": ("autogan_entropy_g", "Mean entropy of the generator's decisions; 1 is uniform"),
    "entropy_d": ("autogan_entropy_d", "Mean entropy of the discriminator's decisions; 1 is uniform"),
    "temperature": ("autogan_temperature", "Temperature of the Gumbel relaxation"),
}
"""Field of a record -> name of the gauge, to which Prometheus sees ``ray_`` prefixed, and its description."""


def set_gauges(study: str, trial_id: str, record: Mapping[str, Any]) -> None:
    """Sets the gauges of a trial; what a record does not have stays as it was, and no error ends the trial."""
    with suppress(Exception):
        for field, gauge in _gauges().items():
            value = record.get(field)
            if value is not None and not record["diverged"]:
                gauge.set(float(value), tags=dict(zip(TAGS, (study, trial_id), strict=True)))


@cache
def _gauges() -> dict[str, Gauge]:
    """The gauges of this process, which Ray wants made once."""
    return {field: Gauge(name, description, tag_keys=TAGS) for field, (name, description) in GAUGES.items()}
