"""What the command line shows while it works: progress bars, and signals turned into an orderly end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.text import Text

from neurocompile.reports.wording import plain

#: a bar appears for work that goes on for longer than this
_PATIENCE_S = 1.0


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that rich is handling: the command line knows what to do

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Texts from files steer no terminal: what cannot be printed stands as its escape."""
        for segment in super().render(renderable, options):
            text = "\n".join(map(plain, segment.text.split("\n")))
            yield segment if segment.control or text == segment.text else Segment(text, segment.style)


stdout = _Console(highlight=False)
stderr = _Console(stderr=True, highlight=False)


class _Rate(ProgressColumn):
    """How many of its units a task does per second, over the last half minute."""

    def render(self, task: Task) -> Text:
        rate, unit = task.speed, task.fields["unit"]
        return Text("" if rate is None else f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s")


class Bars:
    """Progress bars on stderr, one per piece of work, that appear when the work takes more than a moment."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet or not stderr.is_terminal
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
        )

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def task(self, label: str, unit: str = "") -> _Task:
        """A callback for work whose progress is counted in ``unit``."""
        return _Task(self._progress, label, unit, self.quiet)


class _Task:
    """A progress callback ``(done, total)``."""

    def __init__(self, progress: Progress, label: str, unit: str, quiet: bool) -> None:
        self._progress, self._label, self._unit, self._quiet = progress, label, unit, quiet
        self._task: int | None = None
        self._start = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if self._quiet or (self._task is None and time.monotonic() - self._start < _PATIENCE_S):
            return
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(self._label, total=total, unit=self._unit)
        self._progress.update(self._task, completed=done, total=total)  # type: ignore[arg-type]
        if done >= total:
            self._progress.remove_task(self._task)  # type: ignore[arg-type]
            self._task, self._start = None, time.monotonic()


@contextmanager
def orderly_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the program as Ctrl-C does: by an exception, so that nothing is left behind."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    # Windows has no SIGHUP
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
