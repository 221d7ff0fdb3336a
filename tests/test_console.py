"""What a progress bar shows of long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from neurocompile import console


def bar(monkeypatch: pytest.MonkeyPatch, unit: str) -> str:
    """What is drawn for 3,000 of 9,000 after one more second of 1,500 each."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    now = iter(range(10**6))
    monkeypatch.setattr(console, "stderr", screen)
    monkeypatch.setattr(console, "_PATIENCE_S", -1.0)
    with console.Bars(quiet=False) as bars:
        bars._progress.get_time = lambda: float(next(now))
        bars._progress.live.auto_refresh = False
        task = bars.task("running", unit)
        for done in (0, 1500, 3000):
            task(done, 9000)
        bars._progress.refresh()
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_done_rate_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bar(monkeypatch, "samples")
    assert "3000/9000" in shown
    assert "samples/s" in shown
    assert "0:00:" in shown
