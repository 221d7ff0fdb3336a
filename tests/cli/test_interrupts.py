"""Ctrl-C, SIGTERM and killed children: the right status, one sentence, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_cases import INPUT_SHAPE, leftovers, start

from neurocompile.backends.lava import LavaBackend
from neurocompile.program import Program

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
LAVA = LavaBackend().unavailable()
NOTHING = "error: interrupted; nothing was left behind\n"


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files. Its path is short: Lava's sockets lie in it, and theirs may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="nc-") as folder:
        yield Path(folder)


def _start(place: Path, temporary: Path, *words: object) -> subprocess.Popen[str]:
    return start(*words, cwd=place, env={**os.environ, "TMPDIR": str(temporary)})


def _offspring(root: int) -> list[int]:
    """All processes below ``root``."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


def _alive(processes: list[int]) -> list[int]:
    alive = []
    for process in processes:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                alive.append(process)
    return alive


def _await_lava(process: subprocess.Popen[str], count: int) -> list[int]:
    """Wait until Lava has started ``count`` processes below its worker."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        offspring = _offspring(process.pid)
        if len(offspring) >= count + 1:
            return offspring
        time.sleep(0.05)
    raise AssertionError("Lava did not start")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_build(place: Path, temporary: Path, number: int) -> None:
    """In the middle: the user's factory is at work. The program that was to be replaced is as it was."""
    before = {path.name: path.read_bytes() for path in (place / "program").iterdir()}
    process = _start(
        place, temporary, "build", "state.pt", "--model", "usernets:sleeps", "--input-shape", "1,6,6",
        "--timesteps", 2, "--out", "program", "--force", "--json",
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "asleep\n"
    begin = time.monotonic()
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", NOTHING)
    assert time.monotonic() - begin < 10
    assert {path.name: path.read_bytes() for path in (place / "program").iterdir()} == before
    assert leftovers(place) == [*temporary.iterdir()] == []


def test_build_at_any_moment(place: Path, temporary: Path) -> None:
    """Wherever the signal falls, what is there is a whole program: the old one or the new one."""
    for delay_s in (0.0, 0.01, 0.02, 0.04):
        process = _start(
            place, temporary, "build", "tiny.pt", "--out", "program", "--force", "--print-after", "quantize"
        )
        assert process.stderr is not None
        assert process.stderr.readline() == "-- after quantize\n"
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err
        # -SIGINT: the work was done, and Python was on its way out
        assert process.returncode in (0, -signal.SIGINT) or (process.returncode == 130 and err.endswith(NOTHING))
        assert Program.load(place / "program").name == "tiny"
        assert leftovers(place) == [*temporary.iterdir()] == []


@pytest.mark.parametrize("backend", ["functional", "reference"])
def test_run_in_this_process(place: Path, temporary: Path, backend: str) -> None:
    np.lib.format.open_memmap(place / "many.npy", mode="w+", dtype=np.float32, shape=(4_000_000, *INPUT_SHAPE))
    before = (place / "program/activity.json").read_bytes()
    process = _start(
        place, temporary, "run", "program", "--input", "many.npy", "--backend", backend, "--save", "out.npz"
    )
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", NOTHING)
    assert (place / "program/activity.json").read_bytes() == before
    assert not (place / "out.npz").exists()
    assert leftovers(place) == [*temporary.iterdir()] == []


@pytest.mark.lava
@pytest.mark.skipif(LAVA is not None, reason=str(LAVA))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_in_lava(place: Path, temporary: Path, number: int) -> None:
    np.save(place / "many.npy", np.zeros((20_000, *INPUT_SHAPE), np.float32))
    process = _start(place, temporary, "run", "program", "--input", "many.npy", "--backend", "lava")
    offspring = _await_lava(process, 3)
    begin = time.monotonic()
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", NOTHING)
    assert time.monotonic() - begin < 15
    assert _alive(offspring) == []
    assert leftovers(place) == [*temporary.iterdir()] == []


@pytest.mark.lava
@pytest.mark.skipif(LAVA is not None, reason=str(LAVA))
def test_killed_child_of_lava(place: Path, temporary: Path) -> None:
    np.save(place / "many.npy", np.zeros((20_000, *INPUT_SHAPE), np.float32))
    process = _start(place, temporary, "run", "program", "--input", "many.npy", "--backend", "lava", "--json")
    offspring = _await_lava(process, 3)
    time.sleep(1)
    begin = time.monotonic()
    os.kill(_offspring(process.pid)[-1], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("error: Lava ")
    assert err.count("\n") == 1
    assert time.monotonic() - begin < 15
    assert _alive(offspring) == []
    assert leftovers(place) == [*temporary.iterdir()] == []


@pytest.mark.lava
@pytest.mark.skipif(LAVA is not None, reason=str(LAVA))
def test_lava_that_takes_too_long(place: Path, temporary: Path) -> None:
    target = place / "hurry.yaml"
    target.write_text(
        "format: neurocompile.target/1\nname: hurry\ntitle: hurry\nprofile: loihi2\nbackend: lava\n"
        "options:\n  lava_timeout_s: 2\n"
    )
    np.save(place / "many.npy", np.zeros((20_000, *INPUT_SHAPE), np.float32))
    build = _start(place, temporary, "build", "tiny.pt", "--target", "hurry.yaml", "--out", "p", "--quiet")
    assert (*build.communicate(timeout=30), build.returncode) == ("", "", 0)
    process = _start(place, temporary, "run", "p", "--input", "many.npy", "--backend", "lava")
    offspring = _await_lava(process, 1)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("error: Lava ran for 2 s and reached step ")
    assert _alive(offspring) == []
    assert leftovers(place) == [*temporary.iterdir()] == []
