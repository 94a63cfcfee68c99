"""What a trial says in its process: on its output, and to the driver."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest

from autogan_ray.tune.trial_voice import TrialVoice


def said(voice: TrialVoice) -> list[str]:
    return [text for _, text in voice.take()]


def test_a_line_is_printed_at_once_and_taken_once(capsys: pytest.CaptureFixture[str]) -> None:
    voice = TrialVoice()
    voice.say("one")
    printed = capsys.readouterr()
    assert printed.out.endswith("Z one\n") and printed.err == printed.out
    assert said(voice) == ["one"] and said(voice) == []


def test_warnings_and_log_records_of_the_trial_are_said_and_those_of_others_are_not() -> None:
    voice, logger = TrialVoice(), logging.getLogger("some.library")
    before = warnings.showwarning
    with warnings.catch_warnings(), voice.heard():
        warnings.simplefilter("default")  # tests take warnings for errors
        for _ in range(2):
            warnings.warn("odd", UserWarning, stacklevel=1)  # a place is told once
        logger.warning("%s is old", "this")
        logger.info("nothing")
    assert warnings.showwarning is before
    logger.warning("after")
    odd, old = said(voice)
    assert odd.startswith("warning: UserWarning: odd (") and old == "warning: some.library: this is old"


@pytest.mark.parametrize(
    ("error", "end"),
    [(None, "ends"), (SystemExit(), "ends, as the driver stopped it"), (KeyError("lr"), "ends by KeyError")],
)
def test_a_trial_is_marked_at_its_begin_and_at_its_end(
    error: BaseException | None, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        with TrialVoice("digits", "t0003").heard():
            if error:
                raise error
    except BaseException as raised:
        assert raised is error
    out = capsys.readouterr().out.splitlines()
    assert out[0].endswith("==== digits t0003 begins") and out[-1].endswith(f"==== digits t0003 {end}")
    assert ("Traceback" in "".join(out)) == isinstance(error, KeyError)


def test_the_lines_that_no_report_took_are_there_after_an_error() -> None:
    voice = TrialVoice()
    with pytest.raises(ValueError), voice.heard():
        voice.say("last words")
        raise ValueError("odd")
    ((_, text),) = voice.take()
    assert text == "last words"


def test_a_library_that_warns_at_every_step_is_counted_and_not_kept() -> None:
    voice = TrialVoice()
    for number in range(TrialVoice.MOST + 7):
        voice.say(f"{number}" * 1000)
    lines = said(voice)
    assert len(lines) == TrialVoice.MOST + 1 and lines[-1] == "and 7 more lines"
    assert max(map(len, lines)) <= TrialVoice.LONGEST


def test_a_process_without_an_output_ends_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> None:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stdout", Closed())
    with TrialVoice().heard():
        pass
