"""The extractors, and the names under which people read a distance over their features; free of torch."""

from __future__ import annotations

INCEPTION = "inception-v3-compat"
CLASSIFIER = "classifier"
EXTRACTORS = {
    INCEPTION: "torch-fidelity's Inception v3, the published protocol",
    CLASSIFIER: "features of a small network trained on the labelled data set itself; needs no download",
}


def metric_label(extractor: str) -> str:
    """``FID`` is Inception's; any other features give a Frechet distance that says whose they are."""
    return "FID" if extractor == INCEPTION else f"FD ({extractor})"
