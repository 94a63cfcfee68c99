"""Signals that end a command early: what is there is kept, and the command ends within seconds, whatever hangs.

Ctrl-C is SIGINT, a scheduler sends SIGTERM, a terminal that closes sends SIGHUP; each comes to the command alone or to
all of its processes at once. The first raises KeyboardInterrupt in the main thread, so that the command tidies up and
ends by itself. A thread sees to it that this takes no longer than :data:`PATIENCE_S`: the main thread may wait in a
library for a process that the same signal has ended. A second signal ends the command at once.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, NoReturn

from autogan_ray.base.processes import adopt_orphans, kill_descendants

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
"""The exit code of a command that a signal has ended."""

PATIENCE_S = 8.0
"""How long after a signal the main thread may take to end the command."""
LAST_WORDS_S = 4.0
"""How long after that the last words may take."""
SAME_S = 1.0
"""Signals within this time are one: ``timeout`` sends SIGTERM twice, systemd may send SIGHUP after SIGTERM."""


@dataclass
class _State:
    signum: int | None = None
    time_is_up: bool = False
    deferred: bool = False
    raised: bool = False
    last_words: list[Callable[[], object]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


_state = _State()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets a signal end the block, and with it the process, with exit code :data:`INTERRUPTED`.

    The process ends without exit handlers, as those of a library may wait for what is gone, and takes the processes
    that it started with it. A block that comes to its end with exit code 0 in spite of the signal keeps that code.
    Signals that were ignored before (``nohup``) stay ignored. In another thread than the main thread nothing changes.
    """
    global _state
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    state = _state = _State()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = _handlers()
    for each, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(each, _interrupt)
    # Python writes a signal's number there at once, even while the main thread is in a library's code.
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, state), name="signals", daemon=True)
    watch.start()
    adopt_orphans(True)
    try:
        yield
    except BaseException as error:
        if state.signum is None:
            raise
        if not isinstance(error, SystemExit | KeyboardInterrupt | OSError):  # OSError: nobody reads what is printed
            traceback.print_exc()
        _end(0 if isinstance(error, SystemExit) and not error.code else INTERRUPTED)
    else:
        if state.signum is not None:
            _end(0)
    finally:
        adopt_orphans(False)
        signal.set_wakeup_fd(wakeup)
        for each, handler in before.items():
            signal.signal(each, handler)
        os.write(writer, b"\0")
        watch.join()
        os.close(reader)
        os.close(writer)


def _handlers() -> dict[signal.Signals, Any]:
    """The handlers of the signals, without those that were not installed from Python and could not be put back."""
    handlers = {each: signal.getsignal(each) for each in SIGNALS}
    return {each: handler for each, handler in handlers.items() if handler is not None}


def _interrupt(signum: int, frame: FrameType | None) -> None:
    _state.signum = signum
    if not _state.deferred and not _state.raised:
        _state.raised = True
        raise KeyboardInterrupt


def interrupted() -> bool:
    """Returns whether a signal is ending the command."""
    return _state.signum is not None


def check_interrupted() -> None:
    """Raises KeyboardInterrupt where a signal came, or the time is up.

    For loops that run for hours: Python ignores an exception that a signal raises in the midst of certain functions.
    """
    if _state.signum is not None or _state.time_is_up:
        raise KeyboardInterrupt


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defers the KeyboardInterrupt of a signal to the end of the block, whose own errors it then replaces.

    A block that goes on for longer than :data:`SAME_S` after a signal is not waited for: there is nothing to tidy up.
    A library that takes one of the signals for itself in the block does not get it, or only until the end of the block
    where it does so in C.
    """
    state, install, before = _state, signal.signal, _handlers()

    def ours_stay(signum: int, handler: Any) -> Any:
        return signal.getsignal(signum) if signum in SIGNALS else install(signum, handler)

    state.deferred = True
    signal.signal = ours_stay  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = install
        for each, handler in before.items():
            signal.signal(each, handler)
        state.deferred = False
        if state.signum is not None:
            state.raised = True
            raise KeyboardInterrupt


@contextmanager
def last_words(words: Callable[[], object]) -> Iterator[None]:
    """Has ``words`` called, in another thread, where a signal came and the main thread does not leave the block.

    Blocks may be nested; the words of the innermost block come first. The main thread leaves no block while words are
    being said, so that both do not write the same files.
    """
    state = _state
    state.last_words.append(words)
    try:
        yield
    finally:
        with state.lock:
            state.last_words.remove(words)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises KeyboardInterrupt in the block once the time is up (see :func:`time_is_up`); None sets no limit."""
    state = _state
    state.time_is_up = False

    def stop(signum: int, frame: FrameType | None) -> None:
        state.time_is_up = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def time_is_up() -> bool:
    """Returns whether the last :func:`time_limit` was reached."""
    return _state.time_is_up


def _watch(reader: int, state: _State) -> None:
    """Ends the process some seconds after a first signal, and at once at a second one."""
    while (signum := os.read(reader, 1)[0]) not in SIGNALS:
        if signum == 0:
            return
    state.signum, came = signum, time.monotonic()
    while (left := came + (SAME_S if state.deferred else PATIENCE_S) - time.monotonic()) > 0:
        if not select.select([reader], [], [], left)[0]:
            continue
        signum = os.read(reader, 1)[0]
        if signum == 0:
            return
        if signum in SIGNALS and time.monotonic() > came + SAME_S:
            _end_now()
    said = threading.Thread(target=_say, args=(state,), daemon=True)
    said.start()
    said.join(LAST_WORDS_S)
    _end_now()


def _say(state: _State) -> None:
    with state.lock:
        for words in reversed(state.last_words):
            with suppress(Exception):
                words()


def _end(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    _end_now(code)


def _end_now(code: int = INTERRUPTED) -> NoReturn:
    """Ends the process and those that it started; prints nothing, as the main thread may hold the output."""
    kill_descendants()
    os._exit(code)
