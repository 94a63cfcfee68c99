"""Printed commands work when they are pasted into the same shell; the recorded one is the one that was typed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from autogan_ray.base.provenance import without_secrets
from autogan_ray.cli import commands
from autogan_ray.cli.main import main
from tests.cli.studies import finished_study, retrained

ROOT = Path(__file__).parents[2]
BESIDE = Path(sys.executable).with_name("autogan-ray")
pytestmark = pytest.mark.timeout(300)


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        (folder / "bin" / name).write_text("")
        (folder / "bin" / name).chmod(0o755)


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretends that a program was called, from the folder ``here``, with a virtual environment in ``here/my venv``."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    install(Path("my venv").absolute(), "python", "autogan-ray", "ray")
    install(tmp_path / "other", "python", "autogan-ray", "ray")

    def call(program: str, activated: bool) -> None:
        folder = Path("my venv" if activated else "../other").resolve() / "bin"
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setattr(sys, "executable", str(Path("my venv/bin/python").absolute()))
        monkeypatch.setattr(sys, "argv", [program])

    return call


@pytest.mark.parametrize(
    ("program", "activated", "retrain", "show"),
    [
        ("studies/run_study.py", True, "python studies/retrain.py a", "autogan-ray show a"),
        ("studies/run_study.py", False, "'my venv/bin/python' studies/retrain.py a",
         "'my venv/bin/autogan-ray' show a"),
        ("my venv/bin/autogan-ray", True, "autogan-ray retrain a", "autogan-ray show a"),
        ("my venv/bin/autogan-ray", False, "'my venv/bin/autogan-ray' retrain a", "'my venv/bin/autogan-ray' show a"),
        ("/x/autogan_ray/__main__.py", True, "python -m autogan_ray retrain a", "python -m autogan_ray show a"),
        ("/x/autogan_ray/__main__.py", False, "'my venv/bin/python' -m autogan_ray retrain a",
         "'my venv/bin/python' -m autogan_ray show a"),
    ],
)  # fmt: skip
def test_a_command_calls_the_program_that_was_called(
    called: Callable[..., None], program: str, activated: bool, retrain: str, show: str
) -> None:
    called(program, activated)
    assert commands.command("retrain", "a") == retrain and commands.command("show", "a") == show
    assert commands.installed("ray") == ("ray" if activated else "'my venv/bin/ray'")


def test_without_the_console_script_the_module_is_called(called: Callable[..., None]) -> None:
    called("studies/run_study.py", activated=True)
    Path("my venv/bin/autogan-ray").unlink()
    assert commands.command("show", "a") == "python -m autogan_ray show a"


def test_a_program_in_the_current_folder_or_far_from_it_has_a_path(
    called: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called("studies/run_study.py", activated=False)
    monkeypatch.chdir("my venv/bin")
    assert commands.installed("ray") == "./ray"
    monkeypatch.chdir(tmp_path / "other")
    assert shlex.split(commands.installed("ray")) == [str(tmp_path / "here" / "my venv" / "bin" / "ray")]


# --- pasted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "activated"),
    [
        ([sys.executable, str(ROOT / "studies" / "run_study.py")], False),
        pytest.param(
            ["autogan-ray", "run"], True, marks=pytest.mark.skipif(not BESIDE.exists(), reason="not installed here")
        ),
    ],
)
def test_what_is_printed_to_go_on_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: list[str], activated: bool
) -> None:
    place = tmp_path / "it's a place"
    place.mkdir()
    monkeypatch.chdir(place)
    finished_study(Path('re "sults"/smoke'))
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if not (Path(folder) / "autogan-ray").exists()]
    path = os.pathsep.join([str(BESIDE.parent)] * activated + folders)
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def paste(command: str, code: int = 0) -> str:
        found = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
        assert found.returncode == code, (command, found.stdout, found.stderr)
        return found.stdout + found.stderr

    refused = paste(shlex.join([*program, "smoke", "--out", 're "sults"']), code=2)
    assert "holds this very study already; go on with --resume" in refused
    again = refused.splitlines()[-1].strip()
    assert shlex.split(again)[-4:] == ["smoke", "--out", 're "sults"', "--resume"]
    complete = paste(again)
    retrain, report, show, table = (line.strip() for line in complete.splitlines()[-4:])
    assert shlex.split(retrain)[-1] == shlex.split(report)[-1] == shlex.split(show)[-2] == 're "sults"/smoke'
    assert "one self-contained HTML page" in paste(f"{report} --help")
    assert "trial t0001: complete" in paste(show)
    assert "t0001" in paste(table)
    assert "Train genotypes from scratch" in paste(f"{retrain} --help")
    refused = paste(shlex.join([*program, "--trials", "none"]), code=2)
    no_verb = paste(
        shlex.join([*(["autogan-ray"] if activated else [sys.executable, "-m", "autogan_ray"]), "--rnu"]), 2
    )
    for output, helped in ((refused, "--gpus"), (no_verb, "retrain")):
        usage = next(line for line in output.splitlines() if line.startswith("Try '"))
        assert helped in paste(usage.removeprefix("Try '").removesuffix("' for help."))


def test_doctor_says_how_to_run_what_it_has_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, ["doctor", "smoke", "--out", "re sults", "--set", "seed=3"])
    command = found.output.splitlines()[-1].removeprefix("run it by ")
    words = shlex.split(command)
    assert found.exit_code == 0 and words[words.index("run") :] == [
        "run",
        "smoke",
        "--out",
        "re sults",
        "--set",
        "seed=3",
    ]
    assert CliRunner().invoke(main, [*words[words.index("run") :], "--dry-run"]).exit_code == 0
    assert (
        "run it by" not in CliRunner().invoke(main, ["doctor", "smoke", "--set", "data.source=imagefolder:none"]).output
    )


def test_gpus_are_asked_for_again_by_the_command_that_retrains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from autogan_ray.cli.run import _print_summary

    finished_study(tmp_path / "smoke")
    _print_summary(tmp_path / "smoke", gpus=8)
    assert f"retrain {tmp_path}/smoke --gpus 8\n" in capsys.readouterr().out


def test_a_study_that_nobody_runs_is_shown_with_its_own_command(tmp_path: Path) -> None:
    finished_study(tmp_path / "smoke", "python studies/run_study.py smoke --out 'a b'", status="running")
    shown = CliRunner().invoke(main, ["show", str(tmp_path / "smoke")]).output
    goes_on = f"python studies/run_study.py smoke --out 'a b' --out {tmp_path} --resume"
    assert "no process here runs it" in shown and f"\n  {goes_on}\n" in shown


@pytest.mark.parametrize(
    ("recorded", "folder", "added"),
    [
        ("autogan-ray run smoke", "results/smoke", "--resume"),
        ("autogan-ray run --resume smoke", "results/smoke", ""),
        ("autogan-ray run smoke --out 'a b'", "a b/smoke", "--resume"),
        ("autogan-ray run smoke --name mine", "results/mine", "--resume"),
        ("autogan-ray run smoke", "moved/smoke", "--out moved --resume"),
        ("autogan-ray run smoke", "results/renamed", "--name renamed --resume"),
        ("autogan-ray run smoke --name mine --out x", "y/z", "--out y --name z --resume"),
    ],
)
def test_a_study_goes_on_in_the_folder_in_which_it_lies_now(recorded: str, folder: str, added: str) -> None:
    assert commands.resumed(recorded, "smoke", Path(folder)) == f"{recorded} {added}".rstrip()


def test_the_images_of_a_retrained_network_have_a_folder_of_their_own(tmp_path: Path) -> None:
    folder = retrained(tmp_path / "it's")
    command = commands.command("generate", folder, "--out", folder / "images", "--num", "2")
    verb = shlex.split(command).index("generate")
    found = CliRunner().invoke(main, shlex.split(command)[verb:])
    assert found.exit_code == 0 and (folder / "images-grid.png").is_file()


# --- recorded ------------------------------------------------------------------------------------------------


def test_the_command_that_was_typed_is_said_as_it_was_typed_and_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finished_study(Path("re sults/smoke"))
    words = ["smoke", "--seed=0", "--out", "re sults", "--storage", "s3://me:secret@bucket/runs", "--address", "auto"]
    monkeypatch.setattr("autogan_ray.tune.cluster.check_address", lambda _: None)
    output = CliRunner().invoke(main, ["run", *words]).output
    said = shlex.split(output.splitlines()[-1])
    assert said[said.index("run") + 1 :] == [*words[:5], "s3://***@bucket/runs", *words[6:], "--resume"]
    assert "secret" not in output


def test_a_study_records_the_script_that_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["studies/run_study.py", "smoke", "--name", "a b"])
    monkeypatch.setattr(sys, "executable", str(shutil.which("python") or sys.executable))
    monkeypatch.setattr("autogan_ray.cli.run.resolve_study", lambda *_, **__: pytest.fail(commands.typed()))
    from autogan_ray.cli.main import script

    with pytest.raises(pytest.fail.Exception) as typed:
        script("run")
    assert str(typed.value).endswith("studies/run_study.py smoke --name 'a b'")
    assert not str(typed.value).startswith("autogan-ray")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("s3://user:password@bucket/x", "s3://***@bucket/x"),
        ("s3://token@bucket", "s3://***@bucket"),
        ("data.source=https://a:b@host/c@d", "data.source=https://***@host/c@d"),
        ("s3://bucket?secret_key=abc&region=eu", "s3://bucket?secret_key=***&region=eu"),
        ("s3://bucket/path@2024", "s3://bucket/path@2024"),
        ("me@home.org", "me@home.org"),
        ("/data/a:b@c", "/data/a:b@c"),
    ],
)
def test_logins_of_uris_are_left_out_and_nothing_else(text: str, written: str) -> None:
    assert without_secrets(text) == written
