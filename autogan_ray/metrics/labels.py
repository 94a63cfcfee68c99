"""The name under which people read a Frechet distance; free of torch, for the listing verbs."""

from __future__ import annotations

INCEPTION = "inception-v3-compat"
CLASSIFIER = "classifier"


def metric_label(extractor: str) -> str:
    """``FID`` is Inception's; any other features give a Frechet distance that says whose they are."""
    return "FID" if extractor == INCEPTION else f"FD ({extractor})"
