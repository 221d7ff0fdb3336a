"""One side of a case in a process of its own, told by its parent when to run: JSON lines over two pipes.

As a script: ``python child.py WHAT CASE [WAY]``. It answers once when it is set up and warm, then once for every line
"run". What libraries print goes to a log file.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cases import OUT, ROOT, THREADS

#: how to get what only the rivals need; their own requirements would bring other builds of torch
REMEDIES = {
    "snntorch": "pip install --no-deps snntorch==1.0.0",
    "spikingjelly": "pip install --no-deps spikingjelly==2.0.0",
    "loguru": "pip install loguru",
    "tqdm": "pip install tqdm",
    "sanafe": "pip install sanafe==2.2.9",
}

#: what a child gets to end in, before it is killed
_GRACE_S = 10.0


class SideError(Exception):
    """A side failed; the message is one sentence, with paths from the root of the repository."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence.replace(f"{ROOT}{os.sep}", ""))


# ------------------------------------------------------------------------------------------------- in the child


@dataclass(frozen=True)
class Side:
    """``run`` does the work once and returns what is to be told of it, "seconds" among it. ``facts`` are told once.
    ``warm_ups``: runs before the first that counts. ``whole``: whether this process does all the work, so that its
    peak memory is that of the side."""

    run: Callable[[], dict[str, Any]]
    facts: Callable[[], dict[str, Any]] = dict
    warm_ups: int = 2
    whole: bool = True


#: a side's ways to do its work, of which the fastest counts
Ways = dict[str, Callable[[], Side]]


def clocked(work: Callable[[], Any], told: Callable[[Any], dict[str, Any]] = lambda _: {}) -> Callable[[], Any]:
    """``work`` with its seconds; ``told`` of its result is outside the time."""

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, **told(result)}

    return run


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def serve(find: Callable[[], Ways], way: str | None) -> None:
    """Be the child: set up, warm up, and run whenever the parent says so, until its pipe ends.

    Of several ways and none named, the fastest is found and told, and nothing more is done: the peak of a process that
    has tried them all is not that of the fastest.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever is printed is no answer

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")

    try:
        ways = find()
        if way is None and len(ways) > 1:
            answer(fastest=_fastest(ways))
            return
        side = (ways[way] if way else next(iter(ways.values())))()
        for _ in range(side.warm_ups):
            side.run()
        answer(**side.facts())
        for _ in sys.stdin:
            told = side.run()
            answer(**{"peak_bytes": peak_bytes() if side.whole else None, **told})
    except Exception as error:
        traceback.print_exc()
        answer(error=_sentence(error))
    except KeyboardInterrupt:
        pass  # the parent ends us


def _fastest(ways: Ways) -> str:
    """Each way alone in memory, its best of three."""
    best: dict[str, float] = {}
    for name, make in ways.items():
        side = make()
        side.run()
        best[name] = min(side.run()["seconds"] for _ in range(3))
        print(f"{name}: {best[name]:.4f} s")
    return min(best, key=lambda name: best[name])


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name in REMEDIES:
        return f"{error.name} is missing; {REMEDIES[error.name]}"
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# ------------------------------------------------------------------------------------------------ in the parent


class Child:
    """The parent's end of a child. As a context, it leaves no process behind."""

    def __init__(self, name: str, command: list[str]) -> None:
        """``command``: a script and its arguments, of which the script calls ``serve``."""
        self.log = OUT / "logs" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(THREADS))
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self.log.open("wb") as log:
            # a session of its own: Ctrl-C reaches the parent alone, which ends its children
            self._process = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True, env={**os.environ, **threads, "PYTHONPATH": paths},
            )  # fmt: skip
        self.name = name

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        for number, grace_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
                break
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def tell(self) -> None:
        """Have it run once. SideError where it has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what it said last, if anything, is heard next
            self._process.stdin.write("run\n")
            self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Its next answer. SideError where it failed or has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            why = ", as the system does when memory runs out" if status == -signal.SIGKILL else ""
            raise SideError(f"{self.name} {how}{why}; its log is {self.log}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SideError(f"{self.name}: {answer['error']}; its log is {self.log}")
        return answer

    def run(self) -> dict[str, Any]:
        self.tell()
        return self.hear()


def start(what: str, case: str, way: str | None = None) -> Child:
    """The child that does ``what`` for a case: "ours", "theirs" or another name of ``sides.ways``."""
    name = f"{case}-{what}-chosen" if way else f"{case}-{what}"
    return Child(name, [str(Path(__file__)), what, case, *([way] if way else [])])


def main() -> None:
    what, case, *way = sys.argv[1:]
    # as an exception, so that what we have started in turn (Lava) is not left behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serve(lambda: importlib.import_module("sides").ways(what, case), way[0] if way else None)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is done; an orderly end may take a moment


if __name__ == "__main__":
    main()
