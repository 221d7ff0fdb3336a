"""Side-by-side measurements, each pair in one run on one machine: ratios hold where single times do not.

    python benchmarks/bench.py [--case NAME] [--repeat N]

Writes build/bench/results.json, a list of {case, against, ours_seconds, theirs_seconds, ratio, want, met,
ours_peak_bytes, theirs_peak_bytes, date, notes, work}, and the tables of docs/benchmarks.md. Seconds are medians over
the repeats; a ratio is theirs / ours, the median over the pairs. A row that cannot be measured has nulls. Running one
case replaces its row and keeps the others. docs/benchmarks.md says how it is measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import report
from cases import CASES, NETWORKS, OUT, ROOT, Case
from child import Child, SideError, start
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from neurocompile.console import orderly_signals

PAGE = ROOT / "docs" / "benchmarks.md"
_HALVES = ("fuzz-0", "fuzz-1")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure side by side.")
    parser.add_argument("--case", choices=[*CASES, "limits"], metavar="NAME", help="one case (default: all)")
    parser.add_argument("--repeat", type=_positive, help="how often each side runs (default: by case)")
    chosen = parser.parse_args()
    console = Console(highlight=False)
    failures = []
    for name in (*CASES, "limits"):
        if chosen.case not in (None, name):
            continue
        console.print(f"{name} ...", style="dim")
        try:
            if name == "limits":
                _save_limits(_limits(console))
            else:
                _save(_measure(CASES[name], chosen.repeat or CASES[name].repeat, console))
        except SideError as error:
            failures.append(f"error: {error}")
            if name in CASES:
                _save(_row(CASES[name], notes=[str(error).partition("; its log")[0]]))
    rows, limits = _rows(), _read(OUT / "limits.json")
    report.write_page(PAGE, rows, limits)
    if chosen.case != "limits":
        report.show([row for row in rows if chosen.case in (None, row["case"])], console)
    console.print("results: build/bench/results.json; tables: docs/benchmarks.md", markup=False, soft_wrap=True)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"is {value}, limit 1 at least")
    return value


# ---------------------------------------------------------------------------------------------------------- measuring


def _measure(case: Case, repeat: int, console: Console) -> report.Row:
    if case.ours == "fuzz":
        return _fuzz(case, console)
    with start("network", case.name) as child:
        child.hear()
        made = child.run()
    notes = []
    if case.network and case.network.trained:
        with start("agreement", case.name) as child:
            child.hear()
            notes.append(_agreement(child.run()))
    row = _pair(case, repeat, notes)
    if case.network:
        row["work"] = _work(case, made)
    if case.most_bytes:
        row["met"] = row["ours_peak_bytes"] <= case.most_bytes
        row["notes"].append(
            f"building it (weights, thresholds, passes) peaked at {made['peak_bytes'] / (1 << 30):.2f} GiB; its passes "
            f"took {made['compile_seconds']:.0f} s"
        )
    return row


def _turn(child: Child) -> dict[str, Any]:
    """One run that follows another of its own side: the first meets the caches of the other side, whose OpenMP threads
    still spin on a core that it needs. Runs of a second and more do not notice."""
    first = child.run()
    return child.run() if first["seconds"] < 1 else first


def _pair(case: Case, repeat: int, notes: list[str]) -> report.Row:
    """Both sides set up, then run in turns, never both at a time."""
    with ExitStack() as stack:
        sides: list[Child] = []
        for what in ("ours", "theirs") if case.theirs else ("ours",):
            child = stack.enter_context(start(what, case.name))
            facts = child.hear()
            if "fastest" in facts:
                way = facts["fastest"]
                child = stack.enter_context(start(what, case.name, way))
                facts = child.hear()
                notes.append(f"their fastest way: {way}")
            if "rate" in facts:
                notes.append(f"theirs fires {facts['rate']:.4f} times per neuron and step")
            sides.append(child)
        runs = [[_turn(child) for child in sides] for _ in range(repeat)]
    told = [list(each) for each in zip(*runs, strict=True)]
    digests = {json.dumps(run["digest"]) for side in told for run in side if "digest" in run}
    if len(digests) > 1:
        raise SideError(
            f"{case.name}: the two sides differ in spikes or outputs; compare them with neurocompile verify"
        )
    seconds = [[run["seconds"] for run in side] for side in told]
    medians = [statistics.median(side) for side in seconds]
    peaks = [side[-1]["peak_bytes"] for side in told]
    if "synaptic_events" in told[0][-1]:
        notes.append(report.chip_note(medians, [side[-1] for side in told]))
    ratio = None
    if case.theirs:
        ratio = statistics.median(theirs / ours for ours, theirs in zip(*seconds, strict=True))
    return _row(
        case,
        ours_seconds=medians[0],
        theirs_seconds=medians[1] if case.theirs else None,
        ratio=ratio,
        met=None if ratio is None or case.want is None else ratio >= case.want,
        ours_peak_bytes=peaks[0],
        theirs_peak_bytes=peaks[1] if case.theirs else None,
        notes=notes,
    )


def _agreement(found: dict[str, float]) -> str:
    return (
        f"ours fires {found['rate']:.4f} times per neuron and step, the float network {found['float_rate']:.4f}; "
        f"{found['equal']:.2%} of all neurons and steps agree ({found['least_equal']:.2%} in the layer that agrees "
        f"least), and {found['shared']:.1%} of the spikes that either sends are sent by both"
    )


def _work(case: Case, made: dict[str, Any]) -> dict[str, int]:
    """Operations of one run: what directly encoded input feeds is the same at every step, and computed once."""
    assert case.network is not None
    macs = made["first_macs"] + case.network.timesteps * made["later_macs"]
    return {"operations": 2 * case.batch * macs, "weight_bytes": made["weight_bytes"]}


def _fuzz(case: Case, console: Console) -> report.Row:
    """Two processes, each with half of the networks."""
    done = {"networks": 0, "ours_seconds": 0.0, "theirs_seconds": 0.0}
    with ExitStack() as stack:
        halves = [stack.enter_context(start(what, case.name)) for what in _HALVES]
        for half in halves:
            half.hear()
        bar = stack.enter_context(Progress(console=console, transient=True))
        task = bar.add_task("networks", total=NETWORKS)
        while done["networks"] < NETWORKS:
            for half in halves:
                half.tell()
            for half in halves:
                told = half.hear()
                done = {key: value + told[key] for key, value in done.items()}
            bar.update(task, completed=done["networks"])
    note = f"{done.pop('networks'):,} different networks, none with a mismatch; seconds are totals of each engine"
    return _row(case, **done, met=True, notes=[note])


def _limits(console: Console) -> dict[str, Any]:
    with start("limits", "limits") as child:
        child.hear()
        found = {**child.run(), "date": _today()}
    del found["peak_bytes"]
    table = Table(title="limits of this machine", title_justify="left")
    for name, value in found.items():
        table.add_row(name, f"{value:,.0f}" if isinstance(value, float) else str(value))
    console.print(table)
    return found


# ------------------------------------------------------------------------------------------------------------ keeping


def _row(case: Case, **found: Any) -> report.Row:
    keys = ("ours_seconds", "theirs_seconds", "ratio")
    peaks = ("ours_peak_bytes", "theirs_peak_bytes")
    row: report.Row = {
        "case": case.name,
        "against": case.against,
        **dict.fromkeys(keys),
        "want": case.want,
        "met": None,
        **dict.fromkeys(peaks),
        "date": _today(),
        "notes": [],
        "work": None,
    }
    return row | found


def _save(row: report.Row) -> None:
    """Put ``row`` where its case has been, at once, so that nothing measured is lost."""
    rows = {each["case"]: each for each in _rows()} | {row["case"]: row}
    ordered = [rows[name] for name in CASES if name in rows]
    _write(OUT / "results.json", ordered)


def _save_limits(found: dict[str, Any]) -> None:
    _write(OUT / "limits.json", found)


def _rows() -> list[report.Row]:
    """The rows that are there; those of an older kind, or of cases that are gone, are left out."""
    known = set(_row(next(iter(CASES.values()))))
    return [row for row in _read(OUT / "results.json") or [] if set(row) == known and row["case"] in CASES]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=1) + "\n")
    new.replace(path)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


if __name__ == "__main__":
    try:
        with orderly_signals():
            raise SystemExit(main())
    except KeyboardInterrupt:
        print("error: interrupted; the rows that are finished are kept", file=sys.stderr)
        raise SystemExit(130) from None
