"""What ``--set`` may change of a study that has run: where files lie, and nothing by which scores would not compare."""

from __future__ import annotations

import pytest

from autogan_ray.base.errors import ConfigError
from autogan_ray.config.overrides import relocate
from autogan_ray.config.study import load_study_config


def test_a_stored_study_may_be_told_where_its_files_lie_now() -> None:
    stored = load_study_config("smoke").to_dict()
    relocate(stored, ["data.source=imagefolder:/faces", "data.root=/data", "metrics.weights=/weights.pth"])
    assert (stored["data"]["source"], stored["data"]["root"]) == ("imagefolder:/faces", "/data")
    assert stored["metrics"]["weights"] == "/weights.pth"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("metrics.batch_size=16", "; batch norms take their statistics from batches of that size, so scores would not"),
        ("metrics.n_fake_final=9", ""),
        ("model.channels_g=4", ""),
    ],
)
def test_what_changes_scores_is_refused_for_a_stored_study(text: str, reason: str) -> None:
    stored = load_study_config("smoke").to_dict()
    key = text.partition("=")[0]
    only = r"only where files lie may change \(data.source, data.root, metrics.weights\), and retrain.\* of a"
    with pytest.raises(ConfigError, match=f"--set {key}: of a study that has run {only} retraining{reason}"):
        relocate(stored, [text])
    assert stored == load_study_config("smoke").to_dict()
