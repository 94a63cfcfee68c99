"""Which objectives a study may have, and what is said of others before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from autogan_ray.cli.main import main
from autogan_ray.config.score_and_cost import COSTS
from autogan_ray.config.study import load_study_config
from autogan_ray.results.schemas import TABLES
from autogan_ray.search.record import SearchRecord


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["objectives=macs_g"], "tune.objectives = 'macs_g': 'fid' stands first, .* did you mean ['fid', 'macs_g']?"),
        (['objectives=["macs_g", "fid"]'], "did you mean ['fid', 'macs_g']?"),
        (['objectives=["fid", "fid"]'], "'fid' stands first, and behind it one cost at most; did you mean ['fid']?"),
        (['objectives=["fid", "speed"]'], "no objective 'speed'; known: fid, macs_d, macs_g, params_d, params_g"),
        (["objectives=fid,mac_g"], "no objective 'mac_g'; did you mean 'macs_g' or 'macs_d'?"),
        (["objectives=fid,params_g,macs_g"], "one cost at most; did you mean ['fid', 'params_g']?"),
        (["objectives=[]"], "did you mean ['fid']?"),
        (["searcher=nsga2"], "searcher = \"nsga2\" with objectives = ['fid']: it weighs a score against a cost"),
        (["prune_by=front"], 'set objectives = ["fid", "macs_g"], or leave prune_by out'),
        (["searcher=nsga2", "objectives=fid,macs_g", "startup_trials=1"], "set it to 2 or more"),
        (["searcher=nsga3"], "'tpe', 'nsga2' or 'random'"),
    ],
)
def test_a_mistake_is_named_with_the_rule_and_what_is_right(settings: list[str], message: str) -> None:
    asked = [word for setting in settings for word in ("--set", f"tune.{setting}")]
    found = CliRunner().invoke(main, ["run", "smoke", "--dry-run", *asked])
    assert found.exit_code == 2, (found.output, found.exception)
    for part in message.split(" .* "):
        assert part in found.output


def test_a_dry_run_shows_two_objectives_and_how_they_are_weighed() -> None:
    def shown(*settings: str) -> str:
        asked = [word for setting in settings for word in ("--set", f"tune.{setting}")]
        found = CliRunner().invoke(main, ["run", "smoke", "--dry-run", *asked])
        assert found.exit_code == 0, found.output
        return found.output

    two = shown("objectives=fid,params_d", "searcher=nsga2", "prune_by=front")
    assert 'objectives = ["fid", "params_d"]' in two and "objectives fid, params_d: nsga2, pruned by front" in two
    assert "objectives fid, macs_g: tpe, none pruned" in shown("objectives=fid,macs_g", "scheduler=none")
    assert "objectives" not in shown()


def test_every_cost_is_in_the_record_of_an_evaluation_and_in_the_table_of_trials() -> None:
    assert set(COSTS) <= set(SearchRecord.__dataclass_fields__) & set(TABLES["trials"].schema.names)
    for cost in COSTS:
        assert load_study_config("smoke", {"tune.objectives": ["fid", cost]}).tune.cost == cost
    known: Any = load_study_config("smoke").tune
    assert known.objectives == ("fid",) and known.cost is None and known.prune_by == "fid"
