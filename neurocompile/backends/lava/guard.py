"""Runs the Lava side of a job in a process group of its own and lets nothing of it survive.

The group's output comes through one pipe that all of its processes hold: the pipe's end tells that all have gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import neurocompile
from neurocompile import errors
from neurocompile.backends.base import Progress
from neurocompile.backends.lava.job import Job
from neurocompile.errors import BackendError, InputError

#: how long a run may stand still before it is taken to hang
PATIENCE_S = 60.0

#: a socket's path may have 104 characters on some systems, of which multiprocessing takes 33
_LONGEST_SCRATCH = 71

_POLL_S = 0.05
_LOG_BYTES = 1 << 16


def run(job: Job, *, timeout_s: float | None = None, progress: Progress | None = None) -> None:
    """Run ``job`` to its end. ``progress(step, steps)`` follows the time steps.

    BackendError, whose cause holds the full text, where a process fails, where no step ends for ``PATIENCE_S`` or where
    the run takes longer than ``timeout_s``. Whatever is raised, no process and no shared memory is left.
    """
    group = _Group(job)
    try:
        _follow(group, job, timeout_s, progress)
    finally:
        group.end()
    if group.worker.returncode or job.failure.exists():
        raise _failure(job, group)
    if progress:
        progress(job.steps, job.steps)


class _Group:
    """The worker, and the processes that it starts."""

    def __init__(self, job: Job) -> None:
        root = str(Path(neurocompile.__file__).parents[1])
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        scratch = str(job.folder)
        if len(scratch) > _LONGEST_SCRATCH:
            scratch = tempfile.gettempdir()
        if len(scratch) > _LONGEST_SCRATCH:
            raise InputError(
                f"the temporary folder {scratch} has {len(scratch)} characters, limit {_LONGEST_SCRATCH}: Lava's "
                "sockets lie in it; set TMPDIR to a shorter path"
            )
        self.worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "neurocompile.backends.lava.worker", str(job.folder), str(os.getpid())],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            # multiprocessing leaves the temporary folder of a killed process behind, so it goes into ours if it can
            env={**os.environ, **threads, "PYTHONPATH": paths, "TMPDIR": scratch},
        )  # fmt: skip
        self.log = b""

    def gone(self, wait_s: float) -> bool:
        """Wait at most ``wait_s`` for output; True where every process of the group has ended."""
        assert self.worker.stdout is not None
        if not select.select([self.worker.stdout], [], [], wait_s)[0]:
            return False
        chunk = os.read(self.worker.stdout.fileno(), _LOG_BYTES)
        self.log = (self.log + chunk)[-_LOG_BYTES:]
        return not chunk

    def end(self) -> None:
        """End every process: gently first, since the worker frees what it holds, then less so."""
        assert self.worker.stdout is not None
        first_s = 1.0
        if self.worker.poll() is None:
            first_s = 5.0
            self._signal(signal.SIGCONT)
            self.worker.terminate()
        for grace_s, number in ((first_s, signal.SIGTERM), (2.0, signal.SIGKILL), (2.0, signal.SIGKILL)):
            end = time.monotonic() + grace_s
            gone = False
            while not gone and time.monotonic() < end:
                gone = self.gone(_POLL_S)
            if gone:
                break
            # the resource tracker ignores SIGTERM and frees the shared memory when it is the last one left
            self._signal(number)
        self.worker.stdout.close()
        self.worker.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.worker.pid, number)


def _follow(group: _Group, job: Job, timeout_s: float | None, progress: Progress | None) -> None:
    """Watch a run until its worker has ended."""
    clock = np.load(job.clock, mmap_mode="r")
    begin = moved = time.monotonic()
    seen = 0
    while not group.gone(_POLL_S) and group.worker.poll() is None:
        now, step = time.monotonic(), int(clock[0])
        if step != seen:
            seen, moved = step, now
            if progress:
                progress(step, job.steps)
        if timeout_s is not None and now - begin > timeout_s:
            raise BackendError(
                f"Lava ran for {timeout_s:g} s and reached step {seen} of {job.steps}; "
                "raise the time limit or run fewer samples"
            )
        if now - moved > PATIENCE_S:
            raise BackendError(f"Lava stood still for {PATIENCE_S:g} s at step {seen} of {job.steps}; run it again")


def _failure(job: Job, group: _Group) -> errors.NeurocompileError:
    """What the worker wrote down, as an error."""
    log = group.log.decode(errors="replace").strip()
    try:
        report = json.loads(job.failure.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        error = BackendError(f"Lava ended with status {group.worker.returncode} and no word; run it again")
        error.__cause__ = RuntimeError(log or "no output")
        return error
    text = report["text"].strip()
    last = text.rpartition("\n")[2]
    kind = getattr(errors, report["kind"], None)
    if kind is not None:  # an error of ours, a sentence already
        return kind(last.partition(": ")[2])  # type: ignore[no-any-return]
    where = f"process {report['process']!r}" if report["process"] else "the network"
    step = int(np.load(job.clock)[0])
    error = BackendError(f"Lava failed in {where} at step {step} of {job.steps}: {last}")
    error.__cause__ = RuntimeError(text)
    return error
