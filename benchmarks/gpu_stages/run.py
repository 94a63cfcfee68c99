"""One run of the command: its stages in order, each with its share of what is left, each figure written at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_stages import device
from gpu_stages.budget import MARGIN, Clock, share
from gpu_stages.children import Child, Job, Stopped, Worker, first_ready
from gpu_stages.results import DONE, FIGURE, PART, SHORT, SKIPPED, STAGE, Results
from gpu_stages.sizes import TOY, Sizes

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One stage of the command.

    Args:
        share_s: its time in the usual budget, and ``toy_share_s`` in that of the toy; in another one its part is the
            same.
        needs: packages without which it is skipped.
        early: begins what can be done beside the other stages; called before the first of them.
    """

    name: str
    about: str
    share_s: float
    toy_share_s: float
    do: Callable[[Run], None]
    needs: tuple[str, ...] = ()
    early: Callable[[Run], None] | None = None

    def seconds(self, sizes: Sizes) -> float:
        return self.toy_share_s if sizes.name == TOY.name else self.share_s


class Run:
    """What a stage works with: sizes, results, the time that it has left, and processes.

    Args:
        cifar: the Parquet file of the quality row, if one was handed over.
        worker: does the jobs of :meth:`measure`; ``hire`` makes another such.
        start: makes a process of a target.
        clock: in seconds; it may have any beginning.
    """

    def __init__(
        self,
        sizes: Sizes,
        results: Results,
        cifar: Path | None,
        worker: Worker,
        say: Say,
        *,
        hire: Callable[..., Worker] = Worker,
        start: Callable[..., Child] = Child,
        clock: Clock = time.monotonic,
    ) -> None:
        self.sizes, self.results, self.cifar, self.worker = sizes, results, cifar, worker
        self.folder = results.file.parent
        self.clock = clock
        self._hire, self._start, self._say = hire, start, say
        self._children: list[Child] = []
        self._workers = [worker]
        self._stage, self._share_s, self._deadline = "", 0.0, clock()
        self._skipped = 0
        self.early: dict[str, Worker] = {}
        """Those that began before their stage did, by its name."""

    @property
    def left_s(self) -> float:
        """Seconds that the stage may still take."""
        return max(0.0, self._deadline - self.clock())

    def stages(self, wanted: Sequence[Stage], deadline: float) -> None:
        """Run those that are not finished; when this returns, each has its line.

        Args:
            deadline: on the run's clock, for all of them together.
        """
        waiting = [stage for stage in wanted if not self.results.finished(stage.name)]
        for stage in wanted:
            if stage not in waiting:
                self._say(f"{stage.name}: measured before")
        try:
            for stage in waiting:
                if stage.early is not None and not missing(stage.needs):
                    stage.early(self)
            for index, stage in enumerate(waiting):
                weights = [one.seconds(self.sizes) for one in waiting[index:]]
                self._one(stage, share(weights, deadline - self.clock()))
        finally:
            self.close()

    def _one(self, stage: Stage, share_s: float) -> None:
        begin, self._skipped = self.clock(), 0
        self._stage, self._share_s, self._deadline = stage.name, share_s, begin + share_s
        self._say(f"{stage.name}: {stage.about} ({share_s:.0f} s)")
        try:
            absent = missing(stage.needs)
            if absent:
                names = ", ".join(absent)
                self.skip("all", f"{names} is not installed here: pip install {names.replace('_', '-')}")
            else:
                stage.do(self)
        except Exception as error:  # the stages after it are worth their time all the same
            self.skip("the rest", str(error) if isinstance(error, Stopped) else f"{type(error).__name__}: {error}")
            for worker in self._workers:  # whatever they are in the middle of
                worker.close()
        finally:
            self._end_children()
        status = SHORT if self._skipped else DONE
        spent = self.clock() - begin
        self.results.add(STAGE, stage.name, status=status, share_s=share_s, wall_s=spent, left_out=self._skipped)

    def measure(self, what: str, job: Job, *, limit_s: float | None = None, **arguments: Any) -> list[dict[str, Any]]:
        """The figures of one part of the stage: from before an interruption, or from a job that is run now.

        Args:
            what: the part's name, unique in the stage.
            job: a generator function of a module, called in the worker's process with ``arguments`` and with the
                ``seconds`` that it may plan with.
            limit_s: that the job plans with; None takes what the stage has left. A job that needs longer is killed, but
                not before it took as long again as a new process would need to start.
        """
        if self.results.finished(self._stage, what):
            return self.results.figures(self._stage, what)
        if not self.may_begin(what, limit_s):
            return []
        try:
            self.worker.ready(self.left_s)
            limit_s = self.left_s if limit_s is None else min(limit_s, self.left_s)
            killed_s = min(self.left_s, limit_s + self.worker.start_s)
            for figure in self.worker.figures(job, arguments | {"seconds": MARGIN * limit_s}, killed_s):
                self.record(what, what, figure)
        except Stopped as error:
            self.skip(what, f"{error} (limit {limit_s or 0.0:.0f} s)")
            return []
        self.end_part(what)
        return self.results.figures(self._stage, what)

    def may_begin(self, what: str, limit_s: float | None = None) -> bool:
        """Whether a part has time enough; where it has not, that is written down."""
        limit_s = self.left_s if limit_s is None else min(limit_s, self.left_s)
        if limit_s >= self.sizes.least_s:
            return True
        self.skip(what, f"{limit_s:.1f} s were left for it, {self.sizes.least_s:.0f} s are wanted")
        return False

    def record(self, part: str, what: str, figure: Mapping[str, Any]) -> None:
        """Write a figure. Args: what: it is of; several figures of a part may be of the same."""
        self.results.add(FIGURE, self._stage, part=part, what=what, **figure)
        self._say(f"  {what}: {told(figure)}")

    def end_part(self, what: str) -> None:
        """Write that a part is measured to its end: a resumed run leaves it alone."""
        self.results.add(PART, self._stage, what=what)

    def skip(self, what: str, reason: str) -> None:
        """Write that something was not reached, and why."""
        self._skipped += 1
        self.results.add(SKIPPED, self._stage, what=what, reason=reason)
        self._say(f"  {what}: left out, {reason}")

    def start(self, target: Callable[..., None], **arguments: Any) -> Child:
        """A process of the stage, which is killed with it at the latest."""
        child = self._start(target, **arguments)
        self._children.append(child)
        return child

    def crew(self, size: int, limit_s: float) -> list[Worker]:
        """So many workers, each a process that is kept for later stages; fewer where more are not ready in time."""
        deadline = self.clock() + limit_s
        while len(self._workers) < size:
            self._workers.append(self._hire(self.sizes.device, self.sizes.threads))
        for worker in self._workers[:size]:
            worker.start()
        ready = []
        for worker in self._workers[:size]:
            with contextlib.suppress(Stopped):
                worker.ready(deadline - self.clock())
                ready.append(worker)
        return ready

    def first_ready(self, workers: Sequence[Worker], limit_s: float) -> list[Worker]:
        """See :func:`gpu_stages.children.first_ready`."""
        return first_ready(workers, limit_s)

    def start_early(self, stage: str, job: Job, **arguments: Any) -> None:
        """Begin a job on one processor beside the stages before its own, which finds the worker in ``early``."""
        self.early[stage] = self._hire("cpu", 1)
        self.early[stage].begin(job, arguments)

    def rates(self) -> dict[str, float]:
        """What the device can do at best, as its stage measured it; empty where that was not run."""
        found = self.results.figures(device.NAME, device.RATES)
        return {key: value for key, value in found[-1].items() if "_per_s" in key} if found else {}

    def _end_children(self) -> None:
        for child in self._children:
            child.kill()
        self._children.clear()

    def close(self) -> None:
        """End every process."""
        self._end_children()
        for worker in (*self.early.values(), *self._workers):
            worker.close()
        self.early.clear()


def missing(packages: Sequence[str]) -> list[str]:
    """Those that cannot be imported here. They are only looked for, not loaded."""
    import importlib.util

    return [name for name in packages if importlib.util.find_spec(name) is None]


def told(figure: Mapping[str, Any]) -> str:
    """A figure in one line, without what is no number or name."""
    parts = []
    for key, value in figure.items():
        if isinstance(value, float):
            parts.append(f"{key} {value:.4g}")
        elif isinstance(value, int | str):
            parts.append(f"{key} {value}")
    return ", ".join(parts)
