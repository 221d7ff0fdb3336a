"""Results as people read them: a table in the terminal, and the tables in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cases import CASES, THREADS
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = dict[str, Any]

COLUMNS = ("case", "against", "ours", "theirs", "ratio", "want", "met", "our peak", "their peak", "date")
_DASH = "–"


def cells(row: Row) -> tuple[str, ...]:
    ratio, want = row["ratio"], row["want"]
    return (
        row["case"],
        row["against"],
        _seconds(row["ours_seconds"]),
        _seconds(row["theirs_seconds"]),
        _DASH if ratio is None else f"{ratio:.2f}x",
        _DASH if want is None else f"{want:g}x",
        {True: "yes", False: "no", None: _DASH}[row["met"]],
        _size(row["ours_peak_bytes"]),
        _size(row["theirs_peak_bytes"]),
        row["date"],
    )


def show(rows: list[Row], console: Console) -> None:
    table = Table(title=escape(machine()), title_justify="left", title_style="")
    shown = [index for index, column in enumerate(COLUMNS) if column not in ("against", "date")]
    for index in shown:
        table.add_column(COLUMNS[index], justify="right" if index else "left", no_wrap=not index, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cells(row)[index]) for index in shown))
    console.print(table)
    for row in rows:
        for note in row["notes"]:
            console.print(f"{row['case']}: {note}", markup=False, soft_wrap=True)


def chip_note(seconds: list[float], told: list[Row]) -> str:
    """What ours and theirs, which timed a network on a chip, did in their ``seconds``."""
    events = told[0]["synaptic_events"]
    ours, theirs = (f"{events / each / 1e6:.3g}" for each in seconds)
    on_chip = " and ".join(f"{each['chip_seconds'] * 1e6:,.1f} us" for each in told)
    return (
        f"{events:,} synaptic events, of which ours deals with {ours} million per second and theirs with {theirs}; the "
        f"chip takes {on_chip}"
    )


def machine() -> str:
    """What the numbers depend on, in a line. Nothing in it names a host."""
    versions = ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name)))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, {_system()}; Python {platform.python_version()}, "
        f"{versions}; {THREADS} threads on each side"
    )


_PACKAGES = ("torch", "numba", "numpy", "snntorch", "spikingjelly", "lava-nc", "sanafe")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    """The model, and the vector instructions that decide the speed of bytes."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", text, re.MULTILINE)
    known = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX"}
    have = [word for flag, word in known.items() if flags and flag in flags[1].split()]
    return f"{model[1].strip() if model else platform.machine()} ({', '.join(have) or 'no vector extensions known'})"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


# ----------------------------------------------------------------------------------------------------------- the page


def write_page(page: Path, rows: list[Row], limits: Row | None) -> None:
    """Put the tables between their markers; what people wrote around them stays."""
    text = page.read_text(encoding="utf-8")
    text = _between(text, "results", _results(rows))
    if limits:
        text = _between(text, "limits", _limits(limits, rows))
    page.write_text(text, encoding="utf-8")


def _between(text: str, name: str, body: str) -> str:
    begin, end = f"<!-- {name}: begin, written by make bench -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the page must hold {begin!r} and then {end!r}, once each")
    return f"{text[: text.index(begin)]}{begin}\n\n{body}\n{text[text.index(end) :]}"


def _results(rows: list[Row]) -> str:
    lines = [f"Measured on: {machine()}.", "", *_markdown(COLUMNS, [cells(row) for row in rows])]
    notes = [f"- `{row['case']}`: {note}" for row in rows for note in row["notes"]]
    return "\n".join([*lines, *([""] if notes else []), *notes, ""])


def _limits(limits: Row, rows: list[Row]) -> str:
    known = [
        ("float32, matrices of 2048 x 2048", f"{limits['fp32_gemm_gops']:,.0f} Gop/s"),
        ("u8 x s8, matrices of 2048 x 2048", f"{limits['bytes_gemm_gops']:,.0f} Gop/s"),
        ("u8 x s8, convolution 256 to 256 channels, 3 x 3", f"{limits['bytes_conv_gops']:,.0f} Gop/s"),
        ("reading memory", f"{limits['read_bytes_per_s'] / 1e9:.1f} GB/s"),
    ]
    lines = [
        f"Measured on {limits['date']} with {THREADS} threads; a multiplication and an addition are two operations.",
        "",
        *_markdown(("limit", "measured"), known),
        "",
        *_markdown(("case", "operations", "weights", "at the limits", "measured", "share"), _shares(limits, rows)),
    ]
    return "\n".join([*lines, ""])


def _shares(limits: Row, rows: list[Row]) -> list[tuple[str, ...]]:
    """How much of each case's time the limits explain: all operations at the better u8 x s8 rate, or reading all
    weights once, whichever takes longer."""
    table = []
    for row in rows:
        case, work = CASES.get(row["case"]), row.get("work")
        if case is None or not work or not row["ours_seconds"]:
            continue
        computing = work["operations"] / 1e9 / max(limits["bytes_gemm_gops"], limits["bytes_conv_gops"])
        reading = work["weight_bytes"] / limits["read_bytes_per_s"]
        least = max(computing, reading)
        table.append(
            (
                row["case"],
                f"{work['operations'] / 1e9:.2f} Gop",
                f"{work['weight_bytes'] / 1e6:.1f} MB",
                f"{_seconds(least)} ({'computing' if least == computing else 'reading weights'})",
                _seconds(row["ours_seconds"]),
                f"{least / row['ours_seconds']:.0%}",
            )
        )
    return table


def _markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    table = [columns, ("---",) * len(columns), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return _DASH
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _size(count: int | None) -> str:
    if count is None:
        return _DASH
    return f"{count / (1 << 30):.2f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
