"""The score of a generator whose images, losses or features are not finite."""

DIVERGED_FID = 1e9
"""Reported in place of a score that is not finite: larger than any real score, and finite, as ASHA never stops NaN."""
