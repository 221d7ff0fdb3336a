"""The Lava side of a run: ``python -m neurocompile.backends.lava.worker FOLDER CALLER``.

Lava runs in a thread of this process and in the processes that it forks; when one of those dies, the others wait for it
for ever. So the main thread watches them and writes down the first failure. However the run ends, by result, by
failure, by SIGTERM or because process CALLER is no longer there, every child is killed: nothing of Lava outlives this.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from neurocompile.backends.lava import compat
from neurocompile.backends.lava.job import Job
from neurocompile.backends.lava.plan import plan

_POLL_S = 0.02


class ProcessError(Exception):
    """A Lava process failed. ``text`` is its own traceback, or what is known instead."""

    def __init__(self, process: str, text: str) -> None:
        super().__init__(process)
        self.process, self.text = process, text


class Run(threading.Thread):
    """Builds and runs the network of a job. ``actors``: the processes that Lava has started so far, by their pid."""

    def __init__(self, job: Job) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.actors: dict[int, Any] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._run_lava()
        except Exception as error:
            self.error = error

    def _run_lava(self) -> None:
        compat.enable()
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg
        from lava.magma.runtime.message_infrastructure import multiprocessing as infrastructure

        from neurocompile.backends.lava.emit import emit

        infrastructure.SystemProcess = self._actor_class(infrastructure.SystemProcess)
        processes = emit(plan(self.job.graph, use_stock=self.job.use_stock), self.job)
        first = next(iter(processes.values()))
        first.run(condition=RunSteps(num_steps=self.job.steps), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))

    def _actor_class(self, system_process: Any) -> Any:
        """Lava's process class, but it notes its name, and a failure's traceback where the main thread finds it."""
        run = self

        class Actor(system_process):  # type: ignore[misc]  # Lava has no types
            def __init__(self, *, target: Any, args: Any, kwargs: Any) -> None:
                super().__init__(target=target, args=args, kwargs=kwargs)
                self.label = getattr(kwargs["builder"], "proc_params", {}).get("name") or "the runtime service"

            def start(self) -> None:
                super().start()
                run.actors[self.pid] = self

            def run(self) -> None:
                try:
                    multiprocessing.Process.run(self)
                except BaseException:
                    note = run.job.folder / f"{os.getpid()}.part"
                    note.write_text(traceback.format_exc())
                    note.rename(note.with_suffix(".traceback"))  # all of it or nothing
                    os._exit(1)

        return Actor

    def check(self) -> None:
        """ProcessError where a process has failed."""
        actors = dict(self.actors)
        codes = {pid: _exit_code(pid, actor) for pid, actor in actors.items()}
        # a note is written before its process ends, hence looked for after the exit codes
        for note in self.job.folder.glob("*.traceback"):
            if actor := actors.get(int(note.stem)):
                raise ProcessError(actor.label, note.read_text())
        for pid, code in codes.items():
            if code > 0:
                raise ProcessError(actors[pid].label, f"it ended with status {code}")
            if code < 0:
                raise ProcessError(actors[pid].label, f"it was killed by signal {-code} ({signal.strsignal(-code)})")


def _exit_code(pid: int, actor: Any) -> int:
    """As ``Process.exitcode``, 0 while it runs; but a look that leaves the child to Lava's thread to wait for."""
    try:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # Lava was first
        with contextlib.suppress(ValueError):  # of a process object that Lava has closed
            return actor.exitcode or 0
        return 0
    if end is None:
        return 0
    return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


def watch(run: Run, caller: int) -> None:
    """Wait until the run has ended; ProcessError where it cannot end."""
    run.start()
    while run.is_alive():
        run.join(_POLL_S)
        run.check()
        if os.getppid() != caller:
            shutil.rmtree(run.job.folder, ignore_errors=True)
            sys.exit("the caller has gone")
    if run.error is not None:
        time.sleep(10 * _POLL_S)  # a process that failed first may still be writing its note
        run.check()
        raise run.error


def _kill_children() -> None:
    """All that multiprocessing started: Lava's processes and its server of shared memory, whose segments the resource
    tracker then frees."""
    for child in multiprocessing.active_children():
        with contextlib.suppress(ValueError, OSError):  # Lava's thread may be closing it right now
            child.kill()


def main(folder: Path, caller: int) -> int:
    job = Job.open(folder)
    try:
        watch(Run(job), caller)
    except ProcessError as failure:
        report = {"process": failure.process, "kind": "", "text": failure.text}
    except Exception as error:
        report = {"process": "", "kind": type(error).__name__, "text": traceback.format_exc()}
    else:
        return 0
    job.failure.write_text(json.dumps(report))
    return 1


if __name__ == "__main__":
    status = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides what Ctrl-C means
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    try:
        status = main(Path(sys.argv[1]), int(sys.argv[2]))
    except BaseException:
        traceback.print_exc()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            _kill_children()
        finally:
            sys.stderr.flush()
            os._exit(status)  # Lava's threads may never end
