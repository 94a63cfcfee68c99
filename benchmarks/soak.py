"""A study under fire: kills, signals and damaged files at random moments, and the same study left in peace.

Both run one trial at a time with the same seed. When the first has come through, its history, decisions and genotypes
are compared with the second's, row by row, and what was lost, doubled or differs is counted::

    python benchmarks/soak.py --trials 200 --minutes 20 --out results/soak
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil

KEYS = {
    "history": ["trial_id", "evaluation"],
    "decisions": ["trial_id", "evaluation", "network", "decision", "choice"],
    "genotypes": ["genotype_id"],
}
TIMING = {"timestamp", "images_per_s", "eval_s", "peak_mem_mib", "attempt"}

Fault = Callable[["Soak"], None]


class Soak:
    """A study that is run in a folder of its own, and what happens to it.

    Args:
        folder: in which the study ``smoke`` runs.
        trials: their number.
        seed: of the faults.
    """

    def __init__(self, folder: Path, trials: int, seed: int) -> None:
        folder.mkdir(parents=True)
        self.folder, self.study, self.rng = folder, folder / "results" / "smoke", random.Random(seed)
        self._trials, self.process, self.counts = trials, None, Counter[str]()

    def start(self) -> None:
        """Begins the study, or goes on with it."""
        typed = [sys.executable, "-m", "autogan_ray", "run", "smoke", "--trials", str(self._trials), "--resume"]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [*typed, "--set", "tune.max_concurrent=1"], cwd=self.folder, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def end(self, send: Callable[[int, int], None], signum: int) -> None:
        """Sends a signal and waits for the end of the command and of all that it started."""
        assert self.process is not None
        send(self.process.pid, signum)
        self.process.wait(timeout=60)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def rest(self) -> int:
        """Lets the study run to its end; returns the exit code."""
        if not self.running:
            self.start()
        assert self.process is not None
        return self.process.wait()

    def damaged(self, change: Callable[[Path], None], pattern: str) -> None:
        """Kills the driver and changes a file of the study, a random one of those of a pattern."""
        if self.running:
            self.end(os.kill, signal.SIGKILL)
        files = sorted(path for path in self.study.glob(pattern) if path.is_file() and path.stat().st_size)
        if files:
            change(self.rng.choice(files))


def kill_worker(soak: Soak) -> None:
    assert soak.process is not None
    for child in psutil.Process(soak.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # some end meanwhile
            if "smoke t" in " ".join(child.cmdline()):
                child.kill()
                return


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    place = random.Random(len(data)).randrange(len(data))
    data[place] ^= 0x20
    file.write_bytes(bytes(data))


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) * 2 // 3])


FAULTS: dict[str, Fault] = {
    "driver killed": lambda soak: soak.end(os.kill, signal.SIGKILL),
    "all processes killed": lambda soak: soak.end(os.killpg, signal.SIGKILL),
    "worker killed": kill_worker,
    "SIGTERM to all": lambda soak: soak.end(os.killpg, signal.SIGTERM),
    "Ctrl-C": lambda soak: soak.end(os.kill, signal.SIGINT),
    "hang-up of all": lambda soak: soak.end(os.killpg, signal.SIGHUP),
    "byte of a log flipped": lambda soak: soak.damaged(flip, "trials/t*.jsonl"),
    "log cut": lambda soak: soak.damaged(cut, "trials/t*.jsonl"),
    "checkpoint flipped": lambda soak: soak.damaged(flip, "tune/*/checkpoint_*/state*"),
    "journal gone": lambda soak: soak.damaged(Path.unlink, "optuna.journal"),
    "journal cut": lambda soak: soak.damaged(cut, "optuna.journal"),
    "rungs gone": lambda soak: soak.damaged(Path.unlink, "rungs.json"),
    "rungs emptied": lambda soak: soak.damaged(lambda file: file.write_text(""), "rungs.json"),
    "table cut": lambda soak: soak.damaged(cut, "*.parquet"),
}


def compared(name: str, disturbed: Path, undisturbed: Path) -> dict[str, int]:
    """Counts rows of a table that are lost, doubled or differ, but for what a clock or a machine says."""
    ours, theirs = (pd.read_parquet(study / f"{name}.parquet") for study in (disturbed, undisturbed))
    columns = [column for column in theirs.columns if column not in {*TIMING, "study_id", *KEYS[name]}]
    doubled = int(ours.duplicated(KEYS[name]).sum())
    ours, theirs = (frame.drop_duplicates(KEYS[name]).set_index(KEYS[name])[columns] for frame in (ours, theirs))
    both = ours.index.intersection(theirs.index)
    one, other = ours.loc[both], theirs.loc[both]
    differs = int((~((one == other) | (one.isna() & other.isna()))).any(axis=1).sum())
    lost, more = len(theirs.index.difference(ours.index)), len(ours.index.difference(theirs.index))
    return {"rows": len(theirs), "lost": lost, "more": more, "doubled": doubled, "differing": differs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long faults come; then the study runs out")
    parser.add_argument("--every", type=float, default=15.0, help="mean seconds between two faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    for signum, usual in {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}.items():
        signal.signal(signum, usual)  # behind nohup or a shell's & they are ignored, and the study would inherit that
    peace, fire = (Soak(asked.out / name, asked.trials, asked.seed) for name in ("peace", "fire"))
    if peace.rest() != 0:
        print(f"the undisturbed study failed; see {peace.folder / 'log.txt'}")
        return 1
    end = time.monotonic() + 60 * asked.minutes
    fire.start()
    while time.monotonic() < end:
        time.sleep(fire.rng.expovariate(1 / asked.every))
        if not fire.running:
            if fire.process is not None and fire.process.returncode == 0:
                break  # it has come through
            fire.start()
            continue
        name = fire.rng.choice(sorted(FAULTS))
        FAULTS[name](fire)
        fire.counts[name] += 1
        if not fire.running:
            fire.start()
    code = fire.rest()
    found = {name: compared(name, fire.study, peace.study) for name in KEYS}
    print(pd.Series(fire.counts, name="times").rename_axis("fault").sort_index().to_string())
    print(f"\n{sum(fire.counts.values())} faults; the study ended with exit code {code}\n")
    print(pd.DataFrame(found).T.to_string())
    (asked.out / "soak.json").write_text(
        json.dumps({"faults": fire.counts, "tables": found, "exit_code": code}, indent=2)
    )
    return int(code != 0 or any(value for row in found.values() for key, value in row.items() if key != "rows"))


if __name__ == "__main__":
    sys.exit(main())
