"""The plumbing of ``make bench``: children, rows and tables. Nothing here is timed."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("child")
    monkeypatch.setattr(module, "OUT", tmp_path)
    return module


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("bench")
    monkeypatch.setattr(module, "OUT", tmp_path)
    return module


def _script(folder: Path, body: str) -> list[str]:
    """A child whose ways are what ``body`` says."""
    path = folder / "side.py"
    path.write_text(
        f"import os, sys\nsys.path.insert(0, {str(FOLDER)!r})\nfrom child import Side, clocked, serve\n"
        f"{body}\nserve(lambda: WAYS, sys.argv[1] if sys.argv[1:] else None)\n"
    )
    return [str(path)]


def test_child_tells_seconds_and_peak(child: ModuleType, tmp_path: Path) -> None:
    body = "WAYS = {'': lambda: Side(clocked(lambda: print('noise')), lambda: {'rate': 0.5})}"
    with child.Child("one", _script(tmp_path, body)) as one:
        assert one.hear() == {"rate": 0.5}
        told = one.run()
    assert told["seconds"] >= 0
    assert told["peak_bytes"] > 1 << 20
    assert one._process.poll() is not None


def test_of_several_ways_the_fastest_is_told(child: ModuleType, tmp_path: Path) -> None:
    body = "WAYS = {name: lambda s=s: Side(lambda: {'seconds': s}) for name, s in (('slow', 2.0), ('quick', 1.0))}"
    command = _script(tmp_path, body)
    with child.Child("scout", command) as scout:
        assert scout.hear() == {"fastest": "quick"}
    with child.Child("chosen", [*command, "quick"]) as chosen:
        chosen.hear()
        assert chosen.run()["seconds"] == 1.0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def make(): raise ValueError('no such thing\\nmore')\nWAYS = {'': make}", "one: ValueError: no such thing;"),
        (
            "def make(): raise ModuleNotFoundError(name='snntorch')\nWAYS = {'': make}",
            "snntorch is missing; pip install",
        ),
        ("WAYS = {'': lambda: os._exit(3)}", "one ended with status 3;"),
        ("WAYS = {'': lambda: os.kill(os.getpid(), 9)}", "one was killed by SIGKILL, as the system does"),
    ],
)
def test_a_failing_child_gives_one_sentence(child: ModuleType, tmp_path: Path, body: str, sentence: str) -> None:
    with child.Child("one", _script(tmp_path, body)) as one, pytest.raises(child.SideError, match=sentence):
        one.hear()


def test_a_hanging_child_is_ended(child: ModuleType, tmp_path: Path) -> None:
    with child.Child(
        "one", _script(tmp_path, "WAYS = {'': lambda: Side(lambda: __import__('time').sleep(600))}")
    ) as one:
        pass
    assert one._process.poll() is not None


def test_rows_are_replaced_one_by_one(bench: ModuleType, tmp_path: Path) -> None:
    first, second = list(bench.CASES.values())[:2]
    bench._save(bench._row(second, ratio=2.0))
    bench._save(bench._row(first, ratio=3.0))
    bench._save(bench._row(second, ratio=4.0))
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [(row["case"], row["ratio"]) for row in rows] == [(first.name, 3.0), (second.name, 4.0)]
    assert {"against", "ours_seconds", "theirs_seconds", "want", "ours_peak_bytes", "theirs_peak_bytes"} <= set(rows[0])


def test_the_page_keeps_its_words(bench: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(bench.PAGE.read_text())
    words = [line for line in page.read_text().splitlines() if line.startswith(("#", "**"))]
    case = next(iter(bench.CASES.values()))
    row = bench._row(case, ours_seconds=0.1, theirs_seconds=0.3, ratio=3.0, met=True, ours_peak_bytes=1 << 30,
                     work={"operations": 10**9, "weight_bytes": 10**6}, notes=["a note"])  # fmt: skip
    limits = {"fp32_gemm_gops": 1.0, "bytes_gemm_gops": 100.0, "bytes_conv_gops": 50.0, "read_bytes_per_s": 1e9,
              "date": "2026-01-01"}  # fmt: skip
    for _ in range(2):
        bench.report.write_page(page, [row], limits)
    text = page.read_text()
    assert text.count("| 100 ms | 300 ms | 3.00x | 3x | yes | 1.00 GiB |") == 1
    assert text.count(f"- `{case.name}`: a note") == 1
    assert text.count("10 ms (computing) | 100 ms | 10% |") == 1
    assert [line for line in text.splitlines() if line.startswith(("#", "**"))] == words


def test_a_page_without_its_markers_is_refused(bench: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words\n")
    with pytest.raises(ValueError, match="results: begin"):
        bench.report.write_page(page, [], None)


def test_the_machine_names_no_host(bench: ModuleType) -> None:
    import socket

    assert socket.gethostname() not in bench.report.machine()


def test_every_case_has_its_sides() -> None:
    cases, sides = importlib.import_module("cases"), importlib.import_module("sides")
    for case in cases.CASES.values():
        assert case.ours == "fuzz" or case.ours in sides.SIDES
        assert case.theirs is None or case.theirs in sides.SIDES
