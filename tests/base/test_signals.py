"""A signal ends a command in time, whatever hangs, and takes its processes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from autogan_ray.base import signals
from tests.sessions import left_in

HEAD = """
import os, signal, subprocess, sys, time
from autogan_ray.base import signals

signals.PATIENCE_S, signals.SAME_S = {patience}, {same}
child = subprocess.Popen(["sleep", "600"])
def say(*words):
    print(*words, flush=True)
with signals.ended_by_signals():
"""


class Command:
    """A block of :func:`signals.ended_by_signals` in a process group of its own, with a child that sleeps."""

    def __init__(self, body: str, patience: float = 60.0, same: float = 0.0, shell: str = "") -> None:
        script = HEAD.format(patience=patience, same=same) + "\n".join(f"    {line}" for line in body.splitlines())
        python = [sys.executable, "-c", script]
        typed = ["sh", "-c", f'{shell} exec "$@"', "sh", *python] if shell else python
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(typed, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(word)

    def ended(self) -> tuple[int, str, str]:
        """Exit code, the rest of the output, and errors; none of the command's processes may be left."""
        assert self.process.stdin is not None and self.process.stdout is not None and self.process.stderr is not None
        with self.process:
            self.process.stdin.close()
            out, err = self.process.stdout.read(), self.process.stderr.read()
            code = self.process.wait(timeout=60)
        assert left_in(self.process.pid) == []
        return code, out, err


HANGS = """
while True:
    try:
        say("ready"), time.sleep(600)
    except KeyboardInterrupt:
        say("interrupted")
"""


def alone(command: Command, signum: int) -> None:
    command.process.send_signal(signum)


def group(command: Command, signum: int) -> None:
    os.killpg(command.process.pid, signum)


@pytest.mark.parametrize("send", [alone, group])
@pytest.mark.parametrize("signum", signals.SIGNALS)
def test_each_signal_is_a_keyboard_interrupt_and_ends_the_command_with_130(
    signum: signal.Signals, send: Callable[[Command, int], None]
) -> None:
    command = Command('try:\n    say("ready"), time.sleep(600)\nfinally:\n    print("tidied")')
    command.wait_for("ready")
    send(command, signum)
    assert command.ended() == (130, "tidied\n", "")


def test_processes_that_lost_their_parent_end_with_the_command() -> None:
    body = 'subprocess.run(["sh", "-c", "sleep 600 &"])\nsay("ready"), time.sleep(600)'
    command = Command(body)
    command.wait_for("ready")
    while left_in(command.process.pid).count("sleep") < 2:  # the second is still named sh when it begins
        time.sleep(0.01)
    alone(command, signal.SIGTERM)
    assert command.ended()[0] == 130


def test_a_second_signal_ends_a_command_that_hangs_at_once() -> None:
    command = Command(HANGS)
    command.wait_for("ready")
    alone(command, signal.SIGTERM)
    command.wait_for("interrupted")
    alone(command, signal.SIGTERM)
    assert command.ended()[0] == 130


def test_signals_that_come_together_are_one_and_leave_the_time_to_tidy_up() -> None:
    body = 'try:\n    say("ready"), time.sleep(600)\nexcept KeyboardInterrupt:\n    say("interrupted")\n'
    command = Command(body + '    sys.stdin.readline(), say("tidied")\n    sys.exit(130)', same=60.0)
    command.wait_for("ready")
    alone(command, signal.SIGTERM)
    command.wait_for("interrupted")
    for signum in (signal.SIGTERM, signal.SIGHUP):
        alone(command, signum)
    assert command.ended() == (130, "tidied\n", "")


def test_a_command_that_hangs_says_its_last_words_and_is_ended() -> None:
    body = 'with signals.last_words(lambda: say("outer")), signals.last_words(lambda: 1 / 0):\n'
    body += '    with signals.last_words(lambda: say("inner")):\n'
    body += "        with signals.last_words(print):\n            pass\n"
    command = Command(body + "\n".join(f"        {line}" for line in HANGS.splitlines()), patience=0.5)
    command.wait_for("ready")
    start = time.monotonic()
    alone(command, signal.SIGHUP)
    assert command.ended() == (130, "interrupted\nready\ninner\nouter\n", "") and time.monotonic() - start < 10


def test_a_command_that_ends_well_in_spite_of_a_signal_keeps_its_exit_code() -> None:
    body = 'try:\n    say("ready"), time.sleep(600)\nexcept KeyboardInterrupt:\n    sys.exit('
    for end, code in (("0", 0), ("1", 130)):
        command = Command(f"{body}{end})")
        command.wait_for("ready")
        alone(command, signal.SIGTERM)
        assert command.ended()[0] == code


def test_nobody_has_to_read_what_is_printed() -> None:
    body = 'try:\n    say("ready"), time.sleep(600)\nexcept KeyboardInterrupt:\n    say("to nobody" * 10**5)'
    command = Command(body)
    command.wait_for("ready")
    assert command.process.stdout is not None and command.process.stderr is not None
    with command.process:
        command.process.stdout.close()
        alone(command, signal.SIGTERM)
        assert command.process.stderr.read() == "" and command.process.wait(timeout=60) == 130


def test_what_nohup_ignores_stays_ignored() -> None:
    command = Command('say("ready")\nsys.stdin.readline()', shell="trap '' HUP;")
    command.wait_for("ready")
    body = psutil.Process(command.process.pid)
    alone(command, signal.SIGHUP)
    assert body.is_running()
    alone(command, signal.SIGTERM)
    assert command.ended()[0] == 130


def test_a_signal_in_a_block_that_defers_it_is_raised_at_the_end_and_a_library_keeps_no_signal() -> None:
    body = """
def library(signum, frame):
    sys.exit(signum)
try:
    with signals.interrupts_deferred():
        os.kill(os.getpid(), signal.SIGINT)
        signal.signal(signal.SIGTERM, library)
        say("the end")
        1 / 0
except KeyboardInterrupt:
    say(signal.getsignal(signal.SIGTERM) is not library, signals.interrupted())
"""
    command = Command(body + 'sys.exit("still here")')
    assert command.ended() == (130, "the end\nTrue True\n", "")


def test_a_block_that_defers_signals_and_goes_on_is_not_waited_for() -> None:
    body = 'with signals.last_words(lambda: say("last words")), signals.interrupts_deferred():\n'
    command = Command(body + '    say("ready"), time.sleep(600)')
    command.wait_for("ready")
    start = time.monotonic()
    alone(command, signal.SIGTERM)
    assert command.ended() == (130, "last words\n", "") and time.monotonic() - start < 10


def test_a_lost_interrupt_is_raised_by_a_loop_that_asks() -> None:
    body = """
class Deaf:
    def __del__(self):  # Python ignores what is raised here
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
Deaf()
say("went on")
try:
    signals.check_interrupted()
except KeyboardInterrupt:
    say("heard")
"""
    code, out, err = Command(body).ended()
    assert (code, out) == (0, "went on\nheard\n"), err


def test_a_block_without_a_signal_changes_nothing() -> None:
    known = [signal.getsignal(each) for each in signals.SIGNALS]
    with pytest.raises(ZeroDivisionError), signals.ended_by_signals():
        raise ZeroDivisionError
    with signals.ended_by_signals(), signals.interrupts_deferred():
        signals.check_interrupted()
    assert [signal.getsignal(each) for each in signals.SIGNALS] == known and not signals.interrupted()


def test_a_time_limit_interrupts_its_block_alone() -> None:
    with signals.time_limit(60.0):
        assert not signals.time_is_up()
    with pytest.raises(KeyboardInterrupt), signals.time_limit(0.01):
        time.sleep(60)
    assert signals.time_is_up()
    with pytest.raises(KeyboardInterrupt):
        signals.check_interrupted()
    with signals.time_limit(None):
        signals.check_interrupted()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0.0
