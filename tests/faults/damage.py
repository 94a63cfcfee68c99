"""Damages files of every kind that is read here, and looks how their readers take it.

``python -m tests.faults.damage 20000`` tries so many damages and prints those that end in anything but our own error.
"""

from __future__ import annotations

import contextlib
import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from click.testing import CliRunner

import autogan_ray as ag
from autogan_ray.base.errors import UserError
from autogan_ray.cli.main import main
from autogan_ray.cli.run import resolve_study
from autogan_ray.config.recipe import load_recipe
from autogan_ray.config.sections import DataConfig
from autogan_ray.config.study import StudyConfig, load_study_config
from autogan_ray.config.toml import to_toml
from autogan_ray.results.grids import encode_grid, grid_file, write_grid
from autogan_ray.results.lock import HOLDER, check_free
from autogan_ray.results.retrained import GENERATOR, GENOTYPE, NETWORK_IDS, RESULT, RETRAINED, log_file
from autogan_ray.results.schemas import TABLES
from autogan_ray.results.search_curves import read_recording
from autogan_ray.results.store import table_file
from autogan_ray.results.study import load_study
from autogan_ray.results.tables import write_tables
from autogan_ray.results.trial_log import TrialLogs
from autogan_ray.study.study_file import STUDY_FILE, check_folder, read_about, read_spaces
from autogan_ray.training.data import load_data
from autogan_ray.tune.caches import restore_caches
from autogan_ray.tune.mending import mend_logs
from autogan_ray.tune.runner import RUNGS
from tests.cli.studies import finished_study, retrained
from tests.results.made_studies import SPACES, made_study
from tests.training.images.pictures import table as picture_table
from tests.tune.test_caches import run_side_by_side

LONGEST_S = 5.0
"""Of processor time, so that a busy machine looks like no hang."""
SLOW, USUAL_S = ("report", "picture", "generator scored"), 5.0
"""What takes seconds with a whole file as well is tried once in a while."""
MOST_BYTES = 1 << 30
"""What a reader may ask for beyond what the process has."""

ROOT = Path(__file__).parent.parent.parent
DEEP = "[" * 3000 + "]" * 3000
ODD_JSON = (
    *("null", "true", "-1", "0", "1e400", "NaN", '""', '"\\ud800"', '"\\u0000"', "[]", "{}", "[[]]", "9" * 5000),
    *("1" * 400, "0.5", '"x"', '{"a": 1}', DEEP, "1" + "0" * 18, "-9223372036854775809"),
)
ODD_TOML = ("-1", "0", "1e400", "nan", '""', "[]", "{}", "9" * 5000, "0x" + "f" * 5000, "true", '"x"', DEEP, "[[1]]")
OPTIONS = (
    *("seed=3", "tune.num_trials=4", "tune.objectives=fid,macs_g", "tune.time_budget=1h", "search.relaxation=gumbel"),
    *("data.source=digits", "data.limit=100", "optim.lr_g=0.001", "sweep.optim.lr_g={loguniform=[1e-4,1e-2]}"),
    *('tracking=["tensorboard"]', "results.grids=3", "retrain.channels_g=8", "model.latent_dim=8", "race.factor=3"),
)


@dataclass(frozen=True)
class Subject:
    """A file, and what reads it.

    Args:
        kind: its name in messages.
        file: that is damaged.
        read: the reader; gets the file.
    """

    kind: str
    file: Path
    read: Callable[[Path], object]


def asked(*arguments: str | Path) -> None:
    """Runs a verb; raises what it raised, but for its own exits."""
    found = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code in (0, 1, 2), found.exit_code
    if found.exit_code == 2:
        raise UserError(found.output)


def subjects(folder: Path) -> list[Subject]:
    """Makes valid files of every kind in a folder."""
    folder.mkdir(exist_ok=True)
    made, smoke = folder / "made", folder / "smoke"
    made_study(made, trials=5, retrained=2)
    (made / STUDY_FILE).write_text(json.dumps({"spaces": {name: space.to_dict() for name, space in SPACES.items()}}))
    finished_study(smoke)
    config = StudyConfig.parse(load_study(smoke).config, "smoke", UserError)
    network = retrained(smoke)
    generator, genotype = network / GENERATOR, network / GENOTYPE
    write_grid(grid_file(smoke, "t0001", 1), encode_grid(np.zeros((8, 1, 8, 8), np.uint8)))
    space, study, recipe = (folder / name for name in ("space.toml", "study.toml", "recipe.toml"))
    space.write_text((ROOT / "searchspaces" / "adversarialnas.toml").read_text())
    study.write_text(to_toml(config))
    recipe.write_text(next((ROOT / "studies" / "recipes").glob("*.toml")).read_text())
    published = folder / "published.json"
    published.write_text((ROOT / "searchspaces" / "genotypes" / "autogan-a.json").read_text())
    images = folder / "images.parquet"
    picture_table(images, labels=[("cat", "dog", "Äpfel")[index % 3] for index in range(24)])

    options = folder / "options.txt"
    options.write_text("\n".join(OPTIONS))
    logged, cached = folder / "logged", folder / "cached"
    finished_study(logged)
    about_logged = read_about(logged)
    network_log = _retrained_logs(logged)
    cached_study = load_study_config("digits", {"tune.max_evaluations": 9, "tune.grace_evaluations": 1})
    cached.mkdir()
    run_side_by_side(cached_study, cached)
    holder = folder / HOLDER
    holder.write_text(json.dumps({"host": "elsewhere", "pid": 5, "since": 1.7e9}))

    def resumed(_: Path) -> None:
        logs = TrialLogs(logged)
        mend_logs(logs, logged, str(logged / "tune"), 1)
        write_tables(logged, about_logged, logs)

    def caches(_: Path) -> None:
        restore_caches(cached_study, cached / "optuna.journal", cached / RUNGS, TrialLogs(cached))

    def tables(file: Path) -> None:
        study = load_study(file.parent)
        for name in TABLES:
            study.table(name)

    found = [Subject(f"table {name}", table_file(made, name), tables) for name in TABLES]
    for verb in ("show", "compare", "list", "report"):
        names = ("studies", "trials", "history", "evaluations", "genotypes", "decisions")
        out = ("--out", folder / "page.html") if verb == "report" else ()
        for name in names[: 6 if verb == "report" else 4]:
            file = table_file(made, name)
            found.append(
                Subject(f"{verb} {name}", file, lambda file, verb=verb, out=out: asked(verb, file.parent, *out))
            )
    about, out = smoke / STUDY_FILE, folder / "o"
    found += [
        Subject("simulate", table_file(made, "history"), read_recording),
        Subject("study.json spaces", about, lambda file: read_spaces(file.parent)),
        Subject("study.json resumed", about, lambda file: check_folder(config, file.parent, True)),
        Subject("study.json shown", about, lambda file: asked("show", file.parent, "best")),
        Subject("study.json as a study", about, lambda file: asked("run", file.parent)),
        Subject("generator", generator, ag.load_generator),
        Subject(
            "generator sampled", generator, lambda file: asked("generate", file, "--num", "1", "--out", folder / "o")
        ),
        Subject("generator scored", generator, lambda file: asked("evaluate", file, "--num", "2")),
        Subject(
            "study of a generator", table_file(smoke, "studies"), lambda _: asked("evaluate", generator, "--num", "2")
        ),
        Subject("genotype of a retraining", genotype, lambda file: ag.load_genotype(f"{smoke}:abcd")),
        Subject("genotype", genotype, ag.load_genotype),
        Subject("genotype shown", published, lambda file: asked("genotypes", file)),
        Subject("genotypes of a study", table_file(smoke, "genotypes"), lambda file: ag.load_genotype(f"{smoke}:abcd")),
        Subject("space", space, ag.load_space),
        Subject("space shown", space, lambda file: asked("spaces", file)),
        Subject("study", study, load_study_config),
        Subject("recipe", recipe, load_recipe),
        Subject("images", images, lambda file: load_data(DataConfig(source=f"parquet:{file}"))),
        Subject("options", options, lambda file: resolve_study("smoke", 0, overrides=_lines(file))),
        Subject("log of a trial", logged / "trials" / "t0000.jsonl", resumed),
        Subject("log shown", logged / "trials" / "t0001.jsonl", lambda _: asked("show", logged, "t0001")),
        Subject("log of a retraining", network_log, resumed),
        Subject("result of a retraining", logged / RETRAINED / "random-1-s0" / RESULT, resumed),
        Subject("journal", cached / "optuna.journal", caches),
        Subject("rungs", cached / RUNGS, caches),
        Subject("holder of a lock", holder, lambda file: check_free(file.parent)),
        Subject("picture of a report", grid_file(smoke, "t0001", 1), lambda file: asked("report", smoke)),
    ]
    return found


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


def _retrained_logs(study: Path) -> Path:
    """A finished retraining and one on its way, as their process leaves them; returns the log of the second."""
    row = {"source": "random", "name": "random 0", "stage": "final", "seed": 0, "fid": 9.0, "timestamp": 5.0}
    point = {"evaluation": 1, "kimg": 1.0, "fid": 20.0, "wall_s": 1.0, "n_fake": 9, "timestamp": 4.0}
    done = study / RETRAINED / "random-1-s0" / RESULT
    done.parent.mkdir(parents=True)
    result = {"row": row | {"evaluation_id": "random-1-s0"}, "fid_untrained": 50.0, "curve": [point]}
    done.write_text(json.dumps(result))
    logs, name = TrialLogs(study / RETRAINED, NETWORK_IDS), "random-2-s0"
    logs.add(name, "trial", number=0, config={"row": row | {"evaluation_id": name, "stage": "race"}})
    logs.add(name, "evaluation", record=point | {"attempt": 0, "diverged": False})
    return log_file(study, name)


def damaged(content: bytes, file: Path, rng: random.Random) -> bytes:
    """Returns the content with one damage of bytes, or of the structure of JSON, TOML and tables."""
    if rng.random() < 0.6:
        if file.suffix in (".jsonl", ".journal") or file.name == RUNGS:
            return _line_damage(content, rng)
        if file.suffix == ".json":
            return _json_damage(content, rng)
        if file.suffix in (".toml", ".txt"):
            return _toml_damage(content, rng)
        if file.suffix == ".safetensors":
            return _header_damage(content, rng)
        if file.suffix == ".parquet" and (cells := _cell_damage(content, rng)):
            return cells
    data, at = bytearray(content), rng.randrange(len(content))
    # Sizes and offsets lie at the ends of most forms of files.
    at = rng.choice([at, at, min(at, len(data) - 1) % min(64, len(data)), len(data) - 1 - at % min(400, len(data))])
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.choice([1, 1, 8])):
            data[rng.randrange(len(data)) if rng.random() < 0.5 else at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + rng.choice([1, 4, 100])]
    elif kind == 3:
        data[at:at] = rng.randbytes(rng.choice([1, 4, 100]))
    elif kind == 4:
        data[at:at] = data[at : at + rng.choice([1, 8, 200])]
    else:
        data[at : at + 8] = rng.choice([b"\xff" * 8, b"\0" * 8, b"\x7f" * 8, "\u202e\x1b[2J".encode()])
    return bytes(data)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in children:
        yield from _places(inner, (*at, key))


def _json_damage(content: bytes, rng: random.Random) -> bytes:
    value = json.loads(content)
    mark = "@@odd@@"
    at = rng.choice(list(_places(value)))
    if not at:
        return rng.choice(ODD_JSON).encode()
    parent = value
    for key in at[:-1]:
        parent = parent[key]
    kind = rng.randrange(4)
    if kind == 0:
        del parent[at[-1]]
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice(["", "x", "kind", "format"])] = parent.pop(at[-1])
    elif kind == 2 and isinstance(parent[at[-1]], str) and parent[at[-1]].startswith("{"):
        parent[at[-1]] = _json_damage(parent[at[-1]].encode(), rng).decode("utf-8", "replace")
    else:
        parent[at[-1]] = mark
    return json.dumps(value).replace(f'"{mark}"', rng.choice(ODD_JSON)).encode()


def _line_damage(content: bytes, rng: random.Random) -> bytes:
    """One line of JSON less, twice, elsewhere, or damaged."""
    lines = content.splitlines()
    if rng.random() < 0.5:  # as an earlier version wrote it: nothing but the form of a line tells that it is damaged
        values = [json.loads(line) for line in lines]
        lines = [json.dumps({k: v for k, v in value.items() if k not in ("line", "crc")}).encode() for value in values]
    at, kind = rng.randrange(len(lines)), rng.randrange(5)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    else:
        lines[at] = _json_damage(lines[at], rng).replace(b"\n", b" ")
    return b"\n".join([*lines, b""])


def _toml_damage(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode().splitlines()
    at = rng.choice([index for index, line in enumerate(lines) if line.strip()])
    line = lines[at]
    kind = rng.randrange(5)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, line)
    elif kind == 2 and "=" in line:
        lines[at] = line.partition("=")[0] + "= " + rng.choice(ODD_TOML)
    elif kind == 3:
        lines[at] = "x." * 2000 + "x = 1"
    else:
        lines[at] = rng.choice(["[search]", "sweep = 5", "[[tune]]", "a = ", "name = '''", "schema = 2", "\x00"])
    return "\n".join(lines).encode()


def _header_damage(content: bytes, rng: random.Random) -> bytes:
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if rng.random() < 0.5:
        key = rng.choice(["genotype", "space", "shape"])
        header["__metadata__"][key] = _json_damage(header["__metadata__"][key].encode(), rng).decode("utf-8", "replace")
        if key == "shape" and rng.random() < 0.5:
            shape = json.loads(content[8 : 8 + size])["__metadata__"]["shape"]
            shape = json.loads(shape) | {rng.choice(["channels_g", "latent_dim", "image_size"]): 10 ** rng.randrange(9)}
            header["__metadata__"]["shape"] = json.dumps(shape)
        text = json.dumps(header).encode()
    else:
        text = _json_damage(content[8 : 8 + size], rng)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _cell_damage(content: bytes, rng: random.Random) -> bytes | None:
    """Another value, or JSON that is damaged, in a column; or a column less, twice, or of another type."""
    table = pq.ParquetFile(pa.BufferReader(content)).read()
    if not len(table):
        return None
    at = rng.randrange(len(table.schema))
    field, kind = table.schema.field(at), rng.randrange(5)
    values = table.column(at).to_pylist()
    row = rng.randrange(len(values))
    if kind == 0:
        table = table.remove_column(at)
    elif kind == 1:
        table = table.set_column(at, field.name, pa.array([rng.choice([None, 5, -1])] * len(table), pa.int64()))
    elif kind == 2:
        table = table.append_column(field.name, table.column(at))
    elif isinstance(values[row], str):
        odd = _json_damage(values[row].encode(), rng) if values[row].startswith("{") else b"\x1b[31m\x00{"
        values[row] = rng.choice([odd.decode("utf-8", "replace"), "", DEEP, "9" * 5000])
        table = table.set_column(at, field, pa.array(values, field.type))
    elif isinstance(values[row], int | float) and not isinstance(values[row], bool):
        values[row] = rng.choice([-1, 0, 2**62]) if isinstance(values[row], int) else rng.choice([-1.0, 1e300, 1e-300])
        table = table.set_column(at, field, pa.array(values, field.type))
    else:
        return None
    out = pa.BufferOutputStream()
    pq.write_table(table, out)
    return bytes(out.getvalue())


def attempts(folder: Path, count: int, seed: int) -> Iterator[tuple[str | None, float]]:
    """Yields for each damage what was wrong with how it was taken (None for nothing), and the seconds."""
    there = subjects(folder)
    often = [subject for subject in there if not subject.kind.startswith(SLOW)]
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        subject = rng.choice(there) if number % 50 == 0 else often[number % len(often)]
        content = subject.file.read_bytes()
        subject.file.write_bytes(damaged(content, subject.file, rng))
        start, wrong = time.process_time(), None
        try:
            subject.read(subject.file)
        except UserError:
            pass
        except Exception:
            wrong = f"{subject.kind}, number {number}: " + traceback.format_exc()
        took_s = time.process_time() - start
        if wrong is None and took_s > LONGEST_S + USUAL_S * subject.kind.startswith(SLOW):
            wrong = f"{subject.kind}, number {number}: took {took_s:.1f} s"
        yield wrong, took_s
        subject.file.write_bytes(content)
        shutil.rmtree(folder / "o", ignore_errors=True)


def limit_memory() -> None:
    """Lets this process ask for no more than :data:`MOST_BYTES` beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def run(count: int, seed: int, show: int = 3) -> int:
    """Tries so many damages; prints and returns how many were taken wrongly."""
    wrongs: Counter[str] = Counter()
    longest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(Path(folder) / "warm"):  # imports what every reader needs, before memory is limited
            with contextlib.suppress(UserError):
                subject.read(subject.file)
        limit_memory()
        start = time.process_time()
        for wrong, took_s in attempts(Path(folder) / "tried", count, seed):
            longest = max(longest, took_s)
            if wrong:
                key = wrong.strip().splitlines()[-1][:120]
                wrongs[key] += 1
                if wrongs[key] <= show:
                    print(wrong, flush=True)
    cpu_s = time.process_time() - start
    print(f"{count} damages, {wrongs.total()} taken wrongly, {cpu_s:.0f} s of processor, the longest {longest:.1f} s")
    for key, times in wrongs.most_common():
        print(f"{times:6} {key}")
    return wrongs.total()


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), int((sys.argv[2:] or ["0"])[0])) > 0)
