"""``autogan-ray spaces NAME|FILE``: what it prints, what it refuses, and that docs/spaces.md is true to the letter."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autogan_ray.cli.main import main
from autogan_ray.nets.cost.count import genotype_cost
from autogan_ray.nets.shape import Shape
from autogan_ray.results.drawing import draw_cell
from autogan_ray.spaces.blocks import BlockPart, FixedPart, WholePart
from autogan_ray.spaces.dag import Cell, DagPart, Edge, EdgeChange
from autogan_ray.spaces.load import load_space
from autogan_ray.spaces.operations import OPERATIONS
from autogan_ray.spaces.part import Decision, Part
from autogan_ray.spaces.sizes import CellLayout, discriminator_cells, generator_cells, generator_layout
from autogan_ray.spaces.space import SearchSpace

pytestmark = pytest.mark.timeout(60)

DOCUMENT = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text(encoding="utf-8")
NAMES = [
    *("adversarialnas", "alphagan", "autogan", "autogan/eagan", "autogan/fixed", "eagan", "handmade", "modern"),
    *("alphagan/eagan", "adversarialnas/handmade"),
]


@pytest.fixture(autouse=True)
def in_a_folder_with_the_documents_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("toml"):
        named = re.match(r"# (\w+\.toml)\n", block)
        assert named, f"a TOML block of docs/spaces.md that does not begin with its file's name: {block[:40]}"
        Path(named[1]).write_text(block, encoding="utf-8")
    Path("wrong.toml").write_text(Path("mine.toml").read_text().replace("conv_3x3", "conv_3x4"))


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT, flags=re.DOTALL | re.MULTILINE)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def asked(*arguments: str) -> str:
    found = ask(*arguments)
    assert found.exit_code == 0, found.output
    return found.output


# --- the document --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0])
def test_every_command_of_the_document_works_and_prints_what_stands_there(block: str) -> None:
    command, shown = block.split("\n", 1)
    assert command.startswith("$ ")
    program, *arguments = shlex.split(command.removeprefix("$ "))
    if program == "autogan-ray":
        found = ask(*arguments)
        assert found.output.rstrip() == shown.rstrip()
        assert found.exit_code == (2 if shown.startswith("Error: ") else 0)
    elif arguments[0] == "studies/run_study.py":
        assert "missing    nothing" in asked("run", *arguments[1:], "--dry-run")
    else:
        assert arguments[0] == "studies/retrain.py", command
        asked("retrain", *arguments[1:], "--help")  # options that do not exist are refused all the same


def test_the_other_combinations_that_the_document_names_work() -> None:
    for name in ("autogan/./d.toml", "./mine.toml/adversarialnas", "./mine.toml/fixed"):
        assert f"`{name}`" in DOCUMENT
        asked("spaces", name, "--image-size", "8")


def test_the_document_says_which_file_the_misspelt_one_is_made_from() -> None:
    assert "`sed s/conv_3x3/conv_3x4/ mine.toml > wrong.toml`" in DOCUMENT


def test_the_document_has_every_key_of_a_file_and_every_operation() -> None:
    for model in (DagPart, Cell, Edge, EdgeChange, BlockPart, FixedPart, WholePart):
        for name, field in model.model_fields.items():
            assert re.search(rf"^\|.*`{field.alias or name}`.*\|", DOCUMENT, flags=re.MULTILINE), name
    for operation in OPERATIONS.values():
        side = {1: "doubles", 0: "keeps", -1: "halves"}[operation.level]
        channels = "can change" if operation.projects else "keeps"
        assert f"| `{operation.name}` | {side} | {channels} | {operation.description} |" in DOCUMENT


def test_the_documents_table_of_sizes_is_right() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", DOCUMENT, flags=re.MULTILINE)
    assert len(rows) >= 5
    for size, bottom, cells_g, cells_d in (map(int, row) for row in rows):
        assert (bottom, cells_g) == generator_cells(size) and cells_d == discriminator_cells(size)


def test_the_places_in_the_code_that_the_document_names_exist() -> None:
    root = Path(__file__).parents[2]
    for path in re.findall(r"`((?:autogan_ray|tests|searchspaces)/[\w/.]*)`", DOCUMENT):
        assert (root / path).exists(), path


# --- what is printed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_line_fits_and_every_decision_stands_there_in_full(name: str) -> None:
    for size in (8, 32):
        output = asked("spaces", name, "--image-size", str(size))
        assert max(map(len, output.splitlines())) <= 100
        words = output.split()
        for decision in load_space(name).decisions(size):
            assert decision.name in words
            assert set(decision.choices) <= set(words)


@pytest.mark.parametrize(("name", "size"), [("adversarialnas", 32), ("autogan/eagan", 48)])
def test_json_has_exact_counts_and_choices_that_cost_what_is_said(name: str, size: int) -> None:
    found = json.loads(asked("spaces", name, "--image-size", str(size), "--json"))
    space = load_space(name)
    assert found["size"] == space.size(size) and isinstance(found["connected"], int)
    assert 0 < found["connected"] < found["size"]
    cost = found["cost"]
    assert (cost["channels"], cost["channels_d"], cost["latent_dim"], cost["image_size"]) == (256, 128, 120, size)
    shape = Shape(size, cost["image_channels"], cost["channels"], cost["channels_d"], cost["latent_dim"])
    for end in ("smallest", "largest"):
        for what in ("params", "macs"):
            g, d = (cost[network][what][end] for network in ("generator", "discriminator"))
            genotype = space.genotype(g["choices"] | d["choices"], size)
            space.check(genotype)
            costs = genotype_cost(space, shape, genotype)
            assert (costs[f"{what}_g"], costs[f"{what}_d"]) == (g["value"], d["value"])
    rest = {key: value for key, value in found.items() if key not in ("size", "connected", "cost")}
    assert SearchSpace.from_dict(rest) == space


def test_z_has_the_length_nearest_to_120_that_the_space_allows() -> None:
    found = json.loads(asked("spaces", "adversarialnas", "--image-size", "512", "--json"))
    assert found["cost"]["latent_dim"] == 119  # 7 cells


def test_the_answer_comes_soon() -> None:
    start = time.perf_counter()
    asked("spaces", "adversarialnas")
    assert time.perf_counter() - start < 6


# --- the drawing ---------------------------------------------------------------------------------------------


def test_a_part_that_says_nothing_of_its_drawing_still_shows_its_cells_and_sides() -> None:
    class Plain(Part):
        kind: str = "plain"

        def layout(self, image_size: int) -> tuple[CellLayout, ...]:
            return generator_layout(image_size)

        def decided(self, layout: CellLayout) -> tuple[Decision, ...]:
            return (Decision("up", ("nearest", "bilinear")),)

    heading, row = draw_cell(Plain(), "g", 8).splitlines()
    assert heading.endswith("2 cells, 2 -> 4 -> 8 px") and row.split() == ["up", "nearest", "bilinear"]


def test_a_drawing_shows_edges_skips_and_what_single_cells_have_otherwise() -> None:
    space = load_space("adversarialnas/eagan")
    drawn = draw_cell(space.generator, "g", 32)
    assert "4 -> 8 -> 16 -> 32 px" in drawn and "n2 --e4--> n3  normal" in drawn
    assert "n2 of every earlier cell -> n2, resized (bilinear in cell2, nearest in cell3)" in drawn
    assert "normal    none skip conv_1x1" in drawn
    drawn = draw_cell(space.discriminator, "d", 32)
    assert "cell1     the first block of AutoGAN's D" in drawn and "no ReLU before" in drawn
    assert "cell3..cell4 the side is kept" in drawn and "undecided: d0, d1" in drawn
    drawn = draw_cell(load_space("adversarialnas").discriminator, "d", 32)
    assert "cell1     e0, e1, e2: first, no ReLU before" in drawn
    assert "repeated until it fits" in draw_cell(load_space("alphagan").generator, "g", 32)


def test_a_node_stands_below_the_nodes_that_its_edges_leave() -> None:
    lines = draw_cell(load_space("adversarialnas").generator, "g", 32).splitlines()
    for index, line in enumerate(lines):
        arrow = re.match(r"    (\w+) --\w+--> (\w+)", line)
        if arrow:
            above = [one.split()[0] for one in lines[:index] if one.startswith("  ") and not one.startswith("   ")]
            assert arrow[1] in above and above[-1] == arrow[2]


def test_a_fixed_network_is_one_line_and_a_block_shows_its_decisions() -> None:
    assert "\n" not in draw_cell(load_space("autogan").discriminator, "d", 32)
    assert "\n" not in draw_cell(load_space("handmade").generator, "g", 32)
    drawn = draw_cell(load_space("autogan").generator, "g", 8)
    assert "bilinear nearest deconv" in drawn and "in cell2, K is" in drawn


# --- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["a", "b", "out"]', '["a", "b", "c", "out"]', "dead node 'c': no edge leads to it"),
        ('from = "b", to = "out"', 'from = "a", to = "out"', "dead node 'b': nothing leads from it to the output"),
        ('from = "a", to = "b"', 'from = "b", to = "b"', "cycle: b -> b"),
        ('"conv_3x3"]', '"conv_3x4"]', "operation 'conv_3x4' is unknown; did you mean 'conv_3x3'"),
        ('choices = "up" }', 'choices = "normal" }', "must double the image side"),
        ('"skip", "conv_1x1"', '"nearest", "conv_1x1"', "choices.normal"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(old: str, new: str, message: str) -> None:
    text = Path("mine.toml").read_text()
    assert old in text
    Path("mine.toml").write_text(text.replace(old, new, 1))
    found = ask("spaces", "./mine.toml")
    assert found.exit_code == 2 and message in found.output and "Traceback" not in found.output
    assert "mine.toml" in found.output


def test_a_discriminator_that_does_not_halve_is_refused() -> None:
    Path("d.toml").write_text(Path("d.toml").read_text().replace('choices = "down"', 'choices = "normal"'))
    found = ask("spaces", "autogan/./d.toml")
    assert found.exit_code == 2 and "must halve the image side" in found.output


def test_an_image_size_that_does_not_fit_is_refused_with_the_nearest() -> None:
    found = ask("spaces", "./mine.toml", "--image-size", "33")
    assert found.exit_code == 2 and "the nearest usual size is 32" in found.output
