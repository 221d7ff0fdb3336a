"""Whatever happens to a run, it ends within seconds, says why, and leaves no process, no shared memory and no file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from networks import vgg

from neurocompile.backends.lava import LavaBackend, guard
from neurocompile.backends.lava.job import Job
from neurocompile.errors import BackendError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import encode

LAVA = LavaBackend()
pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(LAVA.unavailable() is not None, reason=str(LAVA.unavailable())),
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks for processes in /proc"),
]

_, GRAPH = vgg(3)
ROOT = Path(__file__).parents[2]


class Witness(threading.Thread):
    """Sees every process whose command line names ``folder``, and every segment of shared memory that they map."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = str(folder).encode()
        self.segments: set[str] = set()
        self.done = threading.Event()

    def processes(self) -> list[int]:
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.folder in (entry / "cmdline").read_bytes():  # a zombie has none
                    found.append(int(entry.name))
        return sorted(found)

    def children(self) -> list[int]:
        """All but the worker, which comes first."""
        return self.processes()[1:]

    def run(self) -> None:
        while not self.done.wait(0.02):
            for process in self.processes():
                with contextlib.suppress(OSError):
                    maps = Path(f"/proc/{process}/maps").read_text()
                    self.segments.update(re.findall(r"/dev/shm/psm_\w+", maps))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of a short name, as most are: Lava's sockets lie in it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """Watches a test, and judges it at its end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    watching = Witness(tmp_path)
    watching.start()
    begin = time.monotonic()
    yield watching
    took = time.monotonic() - begin
    watching.done.set()
    watching.join()
    assert watching.processes() == []
    assert watching.segments, "Lava never started, so this proves nothing"
    assert _left(watching.segments) == []
    assert list(tmp_path.glob("neurocompile-*")) == []
    assert took < 15


def _left(segments: set[str]) -> list[str]:
    return [segment for segment in list(segments) if Path(segment).exists()]


def job(folder: Path, graph: Graph = GRAPH, samples: int = 2000) -> Job:
    """A run of a minute or so, if nothing ends it."""
    values = np.random.default_rng(0).random((samples, 1, 1, 8, 8))
    return Job.create(folder, graph, {"pixels": encode(graph, "pixels", values)})


def at_step(step: int, act: Callable[[], object]) -> Callable[[int, int], None]:
    """A progress callback that acts once."""
    acted = []

    def progress(now: int, _: int) -> None:
        if now >= step and not acted:
            acted.append(True)
            act()

    return progress


@pytest.mark.usefixtures("witness")
def test_a_good_run_leaves_nothing():
    LAVA.run(GRAPH, np.ones((5, 1, 8, 8)))


@pytest.mark.usefixtures("witness")
def test_a_process_that_cannot_be_built(tmp_path):
    broken = job(tmp_path)
    broken.spikes("conv2").unlink()
    with pytest.raises(BackendError, match="process 'conv2' at step 0 of 6006: FileNotFoundError") as caught:
        guard.run(broken)
    assert "population.py" in str(caught.value.__cause__)


@pytest.mark.usefixtures("witness")
@pytest.mark.parametrize("at_once", [True, False])
def test_a_process_that_raises_while_it_runs(tmp_path, at_once):
    broken = job(tmp_path)
    if at_once:  # every process waits for this one
        np.save(broken.frames("pixels"), np.zeros((6000, 65), np.int32))
        where = "process 'pixels' at step [01] of 6006: AssertionError: .*Mismatch"
    else:
        np.save(broken.membranes("logits"), np.full((2000, 11), 0))
        where = "process 'logits' at step [89] of 6006: ValueError: could not broadcast"
    with pytest.raises(BackendError, match=where) as caught:
        guard.run(broken)
    assert "run_spk" in str(caught.value.__cause__)


def test_a_network_that_cannot_be_emitted(witness, tmp_path):
    broken = job(tmp_path)
    (tmp_path / "graph.safetensors").write_bytes(b"")
    witness.segments.add("none: Lava is never reached")
    with pytest.raises(BackendError, match="Lava ended with status 1 and no word") as caught:
        guard.run(broken)
    assert "safetensors" in str(caught.value.__cause__)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_is_killed(witness, number):
    def kill() -> None:
        os.kill(witness.children()[3], number)

    with pytest.raises(BackendError, match=f"it was killed by signal {number.value} "):
        LAVA.run(GRAPH, np.ones((2000, 1, 8, 8)), progress=at_step(20, kill))


def test_the_worker_itself_is_killed(witness):
    def kill() -> None:
        os.kill(witness.processes()[0], signal.SIGKILL)

    with pytest.raises(BackendError, match="Lava ended with status -9 and no word"):
        LAVA.run(GRAPH, np.ones((2000, 1, 8, 8)), progress=at_step(20, kill))


def test_a_run_that_stands_still(witness, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE_S", 2.0)

    def stop() -> None:
        os.kill(witness.children()[3], signal.SIGSTOP)

    with pytest.raises(BackendError, match=r"stood still for 2 s at step \d+ of 6006"):
        LAVA.run(GRAPH, np.ones((2000, 1, 8, 8)), progress=at_step(20, stop))


def test_a_worker_that_answers_no_signal(witness, monkeypatch):
    monkeypatch.setattr(guard, "PATIENCE_S", 2.0)

    def stop() -> None:
        for process in witness.processes():
            os.kill(process, signal.SIGSTOP)

    with pytest.raises(BackendError, match="stood still"):
        LAVA.run(GRAPH, np.ones((2000, 1, 8, 8)), progress=at_step(20, stop))


@pytest.mark.usefixtures("witness")
def test_a_run_that_takes_too_long():
    with pytest.raises(BackendError, match=r"ran for 2 s and reached step \d+ of 6006; raise the time limit"):
        LAVA.run(GRAPH, np.ones((2000, 1, 8, 8)), timeout_s=2)


@pytest.mark.usefixtures("witness")
def test_an_error_or_ctrl_c_in_the_caller():
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LAVA.run(GRAPH, np.ones((2000, 1, 8, 8)), progress=at_step(5, interrupt))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_caller_is_killed(witness, number):
    script = (
        "import numpy as np; from networks import vgg; from neurocompile.backends.lava import LavaBackend;"
        "LavaBackend().run(vgg(3)[1], np.ones((5000, 1, 8, 8)), progress=lambda step, steps: print(step, flush=True))"
    )
    paths = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    caller = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert caller.stdout is not None
    assert caller.stdout.readline()
    caller.send_signal(number)
    caller.stdout.close()
    assert caller.wait(10) != 0
    until = time.monotonic() + 5
    while time.monotonic() < until and (witness.processes() or _left(witness.segments)):
        time.sleep(0.05)


def test_a_temporary_folder_of_a_long_name_is_refused(tmp_path, monkeypatch):
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(InputError, match=r"characters, limit 71: .* set TMPDIR to a shorter path"):
        LAVA.run(GRAPH, np.ones((1, 1, 8, 8)))
