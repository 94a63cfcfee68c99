"""Slips of a typical user: a name of one kind where another is wanted, a number for an id, a folder for a file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import autogan_ray as ag
from autogan_ray.base.errors import NotFoundError, nearest
from autogan_ray.cli.main import main
from autogan_ray.spaces.genotype import Genotype
from tests.cli.studies import SPACE, finished_study, retrained


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Genotype]:
    """The genotypes of a study in ``results/smoke`` of the current folder."""
    monkeypatch.chdir(tmp_path)
    return finished_study(Path("results/smoke"))


def ask(command: str) -> Result:
    return CliRunner().invoke(main, shlex.split(command))


def refusal(command: str) -> str:
    result = ask(command)
    assert result.exit_code == 2 and "Traceback" not in result.output, (result.output, result.exception)
    return result.output


def answer(command: str) -> str:
    result = ask(command)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("run alphagan", "unknown study 'alphagan', which is a search space (--space, verb spaces)"),
        ("run --space digits", "unknown search space 'digits', which is a study (verb run, --study)"),
        ("spaces autogan-a", "which is a genotype (--genotype, verb genotypes)"),
        ("run --gpus two", "'two' is not a valid whole number"),
        ("run --gpus-per-trial half", "'half' is not a valid number"),
        ("run --trials t0003", "'t0003' is not a valid whole number"),
        ("run digits --set lr=1e-3", "did you mean 'optim.lr_d' or 'optim.lr_g' or 'retrain.lr_d' or 'retrain.lr_g'?"),
        ("run digits --set optim.lr=1e-3", "did you mean 'optim.lr_g' or 'optim.lr_d'"),
        ("run results/smoke", "is a study's folder; go on with it by its own command:\n"
                              "  autogan-ray run smoke --resume\n"),
        ("retran results/smoke", "no verb 'retran'; did you mean 'retrain'?"),
        ("show results/smoke 7", "no trial '7' in results/smoke; known: best, t0000, t0001"),
        ("retrain results/smoke --trial 7", "no scored trial '7' in 'results/smoke'; known: best, t0000, t0001"),
        ("generate autogan-a --out x", "'autogan-a' is a genotype, without weights"),
        ("evaluate results/smoke", "'results/smoke' is a study, not a retrained generator; nothing was retrained"),
        ("show smok", "not a study's folder"),
    ],
)  # fmt: skip
def test_a_slip_gets_the_right_hint(command: str, hint: str) -> None:
    assert hint in refusal(command)


def test_no_list_of_known_names_fills_the_screen() -> None:
    assert "the sections are model, " in refusal("run digits --set zzzzzzzz=1")
    assert len(refusal("run digits --set zzzzzzzz=1")) < 300
    assert nearest("q", map(str, range(1000, 1100))).endswith("1018, 1019, and 80 more")


@pytest.mark.usefixtures("found")
def test_a_studys_name_stands_for_its_folder_in_results_and_that_is_said() -> None:
    shown = CliRunner().invoke(main, ["show", "smoke", "--json"])
    assert shown.exit_code == 0 and shown.stderr == "taking results/smoke\n"
    assert len(json.loads(shown.stdout)) == 2
    assert "taking results/smoke" in refusal("retrain smoke --trial 7")
    assert "taking" not in refusal("retrain smoke --study smok --genotype dcgan")  # a new folder is asked for
    finished_study(Path("smoke"))
    assert "taking" not in answer("show smoke")


@pytest.mark.usefixtures("found")
def test_the_folder_of_one_study_is_a_list_of_one() -> None:
    assert answer("list results/smoke").splitlines()[2].split()[:2] == ["results/smoke", "complete"]


@pytest.mark.usefixtures("found")
def test_a_shipped_study_is_meant_by_its_name_beside_a_folder_of_that_name() -> None:
    finished_study(Path("digits"))
    assert 'name = "digits"' in answer("run digits --dry-run")


def test_a_trials_number_is_its_id(found: list[Genotype]) -> None:
    for trial in ("1", "01", "t1", "T0001", "t0001", "best"):
        assert answer(f"show smoke {trial}").count("trial t0001: complete") == 1
    # Both take the trial, and fail at the next step: the images are not those of the study.
    assert (
        refusal("retrain smoke --trial t0001").splitlines()[1:] == refusal("retrain smoke --trial 1").splitlines()[1:]
    )


@pytest.mark.parametrize("verb", ["evaluate {}", "generate {} --out images"])
def test_a_study_where_a_generator_is_wanted_lists_its_generators(found: list[Genotype], verb: str) -> None:
    assert "nothing was retrained in it yet:\n  " in refusal(verb.format("smoke"))
    folders = [retrained(Path("results/smoke"), seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        row = {"name": f"random {seed}", "seed": 0, "fid": 9.0 - seed}
        (folder / "result.json").write_text(json.dumps({"row": row}))
    listed = refusal(verb.format("results/smoke")).splitlines()
    assert listed[1:] == [f"  {folders[1]}   (random 1, seed 0: 8)", f"  {folders[0]}   (random 0, seed 0: 9)"]


def test_a_genotype_where_a_generator_is_wanted_and_the_reverse(found: list[Genotype]) -> None:
    folder = retrained(Path("results/smoke"))
    assert f"the one beside it: '{folder}'" in refusal(f"evaluate {folder}/genotype.json")
    Path("g.json").write_text(found[0].to_json())
    assert "'g.json' is a genotype, without weights; train it" in refusal("evaluate g.json")
    for asked in (folder, folder / "generator.safetensors"):
        hint = f"'{asked}' is a retrained generator; its genotype: '{folder}/genotype.json'"
        assert hint in refusal(f"genotypes {asked}")
        assert hint in refusal(f"retrain results/smoke --genotype {asked}")
    assert f"a genotype of it: results/smoke:ID (known: {min(g.genotype_id for g in found)}" in refusal(
        "genotypes results/smoke"
    )


# --- genotypes by their ids ----------------------------------------------------------------------------------


def test_a_genotypes_id_is_taken_wherever_a_genotype_is_wanted(found: list[Genotype]) -> None:
    first = found[0].genotype_id
    for asked in (first, first[:6], f"results/smoke:{first}", f"results/smoke:{first[:4]}"):
        assert f"genotype {first}" in answer(f"genotypes {asked}")
    assert answer(f"show smoke {first[:8]}").endswith("trial t0000, evaluation 1: 90\n")
    assert json.loads(CliRunner().invoke(main, ["show", "results/smoke", first, "--json"]).stdout) == found[0].to_dict()
    assert ag.load_genotype(f"results/smoke:{first[:5]}") == found[0]
    assert ag.load_genotype("autogan-a").space == "autogan"


def test_a_retrained_genotype_has_an_id_too(found: list[Genotype]) -> None:
    retrained(Path("results/smoke"), seed=5)
    other = SPACE.random(8, 5)
    assert f"genotype {other.genotype_id}" in answer(f"genotypes {other.genotype_id}")


def test_an_id_of_a_users_own_space_needs_its_file_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine = finished_study(Path("results/smoke"), space=SPACE.model_copy(update={"name": "mine"}))[0]
    assert mine.space == "mine" and "generator: " in answer(f"genotypes {mine.genotype_id}")


def test_an_id_that_is_not_there_names_the_folder_and_the_nearest(found: list[Genotype]) -> None:
    first = found[0].genotype_id
    wrong = first[:-1] + ("0" if first[-1] != "0" else "1")
    for command in (f"genotypes {wrong}", f"show smoke {wrong}", f"retrain smoke --genotype {wrong}"):
        output = refusal(command)
        assert f"no genotype '{wrong}' in results/smoke; did you mean '{first}'" in output, output
    with pytest.raises(NotFoundError, match="RESULTS:ID"):
        ag.load_genotype(first)
    assert "not a study's folder" in refusal(f"genotypes nowhere:{first}")


def test_an_id_that_several_begin_with_is_refused_with_all_of_them(found: list[Genotype]) -> None:
    from autogan_ray.results import genotypes

    assert genotypes.is_id("0" * 4) and not genotypes.is_id("0" * 3)
    begun = {f"abcd{number}": found[0] for number in range(2)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(genotypes, "genotypes_of", lambda _: begun)
        with pytest.raises(NotFoundError, match="several begin so, abcd0, abcd1"):
            ag.load_genotype("results/smoke:abcd")


def test_what_a_study_found_is_retrained_as_searched_with_its_trials_widths(found: list[Genotype]) -> None:
    from autogan_ray.config.study import StudyConfig
    from autogan_ray.results.study import load_study
    from autogan_ray.retraining.wanted import wanted_jobs

    theirs = finished_study(Path("other/smoke"), space=SPACE.model_copy(update={"name": "mine"}))[1].genotype_id
    study = load_study("results/smoke")
    config = StudyConfig.model_validate(study.config)
    asked = [found[0].genotype_id[:6], f"other/smoke:{theirs}"]
    own, other = wanted_jobs(study, trial=None, top=1, genotypes=asked, seeds=1, config=config)
    assert (own.source, own.name, own.trial_id, own.genotype) == ("retrain", "trial t0000", "t0000", found[0])
    (same,) = wanted_jobs(study, trial="0", top=1, genotypes=[], seeds=1, config=config)
    assert own == same
    assert (other.source, other.name, other.trial_id, other.space.name) == ("user", theirs, None, "mine")
