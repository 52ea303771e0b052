"""A run as lines and as bars."""

import io
import os

import pytest
from emit.small_graphs import sweep

from tlimb.run.progress import Event, Outcome, Progress, summary

DATA, _, PRETRAIN, FINETUNE, _ = (stage.digest for stage in sweep(1).stages)
EVENTS = (
    Event("begin", total=5, cached=2),
    Event("started", digest=PRETRAIN),
    Event("epoch", digest=PRETRAIN, epoch=4, epochs=10, metrics={"val.loss": 0.7, "val.auroc": 0.5213}),
    Event("finished", digest=PRETRAIN, metrics={"val.auroc": 0.75}),
    Event("retried", digest=FINETUNE, message="its process was ended by SIGKILL"),
    Event("failed", digest=FINETUNE, message="no [labels]"),
    Event("end", outcome=Outcome(done=(PRETRAIN,), cached=(DATA,), failed={FINETUNE: "no [labels]"})),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    with Progress(sweep(1), stream) as progress:
        for event in EVENTS:
            progress(event)
    return stream.getvalue()


def test_lines_where_there_is_no_terminal() -> None:
    assert shown(io.StringIO()).splitlines() == [
        "2 of 5 stages are finished already",
        f"[3/5] pretrain {PRETRAIN[:8]}  started",
        f"[3/5] pretrain {PRETRAIN[:8]}  epoch 4/10  val.auroc 0.5213",
        f"[3/5] pretrain {PRETRAIN[:8]}  finished  val.auroc 0.75",
        f"[4/5] finetune {FINETUNE[:8]}  is tried again: its process was ended by SIGKILL",
        f"[4/5] finetune {FINETUNE[:8]}  FAILED: no [labels]",
        "stages: 1 computed, 1 finished before, 1 failed",
    ]


@pytest.mark.parametrize("name", ["NO_COLOR", "CI"])
def test_lines_where_the_environment_asks_for_them(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert "\x1b" not in shown(Terminal())


def test_bars_in_a_terminal_keep_failures_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", os.environ.get("TERM") or "xterm")
    text = shown(Terminal())
    assert "FAILED: no [labels]" in text
    assert text.rstrip().endswith("stages: 1 computed, 1 finished before, 1 failed")


def test_a_metric_that_is_not_a_number_yet_is_left_out() -> None:
    stream = io.StringIO()
    with Progress(sweep(1), stream) as progress:
        progress(Event("epoch", digest=PRETRAIN, epoch=1, epochs=2, metrics={"val.auroc": None}))
    assert stream.getvalue().endswith("epoch 1/2\n")


def test_preparing_counts_images() -> None:
    stream = io.StringIO()
    with Progress(sweep(1), stream) as progress:
        progress(Event("epoch", digest=DATA, epoch=79, epochs=120))
    assert stream.getvalue().endswith("image 79/120\n")


def test_the_summary_says_when_it_was_interrupted() -> None:
    assert summary(Outcome(interrupted=True)).endswith("interrupted")
