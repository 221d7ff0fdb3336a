"""The sections of a report as texts: every rendering for people shows these, and lays them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neurocompile.reports.conversion import said
from neurocompile.reports.data import Report
from neurocompile.reports.wording import (
    duration,
    energy,
    energy_delay,
    incomplete,
    incomplete_energy,
    number,
    percent,
    spread,
    time_in,
    times,
)

Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A table: ``words`` of its columns, from the left, are text, the others are numbers. Pairs (what, value), an
    indent in which says that it is part of the one above, have no ``columns``."""

    title: str
    rows: Sequence[tuple[str, ...]]
    columns: tuple[str, ...] = ()
    words: int = 1
    notes: Sequence[str] = ()


def sections(report: Report, most: int | None = None) -> list[Section]:
    """All of a report; of cores and links the ``most`` busy ones, where that is given."""
    return [
        Section("Cost", cost_rows(report)),
        Section("Work", work_rows(report)),
        Section("Layers", [layer_cells(layer) for layer in report["layers"]], LAYER_COLUMNS, words=2),
        Section("Memory", [level_cells(level) for level in report["memory_levels"]], LEVEL_COLUMNS, words=2),
        *(cycle_sections(report["cycle"], most) if report.get("cycle") else []),
        Section("Compared", baseline_rows(report)),
    ]


def title(report: Report) -> str:
    steps = "1 time step" if report["timesteps"] == 1 else f"{report['timesteps']} time steps"
    return f"{report['program']} on {report['profile']}, {steps}"


def subtitle(report: Report) -> str:
    return f"per sample, mean over {report['activity']['data']}"


def cost_rows(report: Report) -> Rows:
    """Energy by part, time, and how good the numbers are."""
    parts = report["energy_pj"]
    rows = [("energy", total_energy(report))]
    for part in ("synapse", "soma", "noc", "memory", "host", "static"):
        if part == "host" and parts[part] == 0:
            continue  # most chips have none
        if part == "memory" and not parts["levels"]:
            rows.append(("  memory", "within the other parts"))
            continue
        rows.append((f"  {part}", energy(parts[part]) if parts[part] is not None else "incomplete"))
        if part == "memory" and len(parts["levels"]) > 1:
            rows += [
                (f"    {level}", energy(value) if value is not None else "incomplete")
                for level, value in parts["levels"].items()
            ]
    return [
        *rows,
        *_basis_rows(report),
        *_sample_rows(report),
        *_time_rows(report),
        ("weakest number used", report["weakest_basis"] or "none"),
        ("accuracy", accuracy(report)),
        ("cores", f"{report['cores']:,} (tiles: {report['tiles']:,})"),
        ("neurons", f"{report['neurons']:,}"),
    ]


def _basis_rows(report: Report) -> Rows:
    """How good the numbers are that the known energy comes from."""
    bases = {basis: value for basis, value in (report.get("energy_by_basis_pj") or {}).items() if value}
    whole = sum(bases.values())
    if not whole:
        return []
    told = (f"{percent(value / whole)} {basis}" for basis, value in bases.items())
    return [("  by basis of its numbers", ", ".join(told))]


def _sample_rows(report: Report) -> Rows:
    """The spread over samples, and energy times latency: its mean over samples, or that of the means."""
    samples, product, latency = report.get("samples") or {}, report["energy_delay_pj_ns"], report["latency_ns"]
    energies, products = samples.get("energy_pj"), samples.get("energy_delay_pj_ns")
    rows = [("  over samples", spread(energies, energy))] if energies else []
    if products:
        told = spread(products, energy_delay)
    elif product is not None:
        told = energy_delay(product)
    else:
        known = f" (at least {energy_delay(report['known_energy_pj'] * latency)})" if latency is not None else ""
        told = f"{incomplete(report['missing'])}{known}"
    return [*rows, ("energy × latency", told)]


def _time_rows(report: Report) -> Rows:
    latency, throughput, missing = report["latency_ns"], report["throughput_per_s"], report["missing_times"]
    steps = f"{report['latency_steps']} steps"
    return [
        ("latency", incomplete(missing) if latency is None else duration(latency)),
        ("", steps if latency is None else f"{steps} of {duration(report['step_ns'])}"),
        ("throughput", incomplete(missing) if throughput is None else f"{number(throughput)} samples/s"),
    ]


def accuracy(report: Report) -> str:
    """What the last run with labels found."""
    share = report.get("accuracy")
    return "unknown; --labels measures it" if share is None else percent(share)


def total_energy(report: Report) -> str:
    """The total, or what it lacks and the sum of what is known."""
    total = report["energy_pj"]["total"]
    if total is None:
        return incomplete_energy(report["missing_energies"], report["known_energy_pj"])
    return energy(total)


def work_rows(report: Report) -> Rows:
    """What the chip does, and with which memory."""
    counters, accesses = report["counters"], report["memory_accesses"]
    words = report["state_memory_words"]
    return [
        ("synaptic operations", number(counters["synaptic_ops"])),
        ("  with a value", number(counters["graded_synaptic_ops"])),
        ("neuron updates, active", number(counters["updates_active"])),
        ("  inactive", number(counters["updates_inactive"])),
        ("  without state", number(counters["updates_stateless"])),
        ("  of readouts", number(counters["updates_readout"])),
        ("spikes", number(counters["spikes"])),
        ("messages", number(counters["messages_in"])),
        ("memory accesses", f"{number(accesses['total'])} words"),
        ("  synapses", number(accesses["synapses"])),
        ("  state", number(accesses["state"])),
        ("state memory", "none: nothing is kept between steps" if report["stateless"] else f"{words:,} words"),
    ]


def baseline_rows(report: Report) -> Rows:
    """The ANN and the papers' own accounts."""
    ann, papers = report["ann"], report["papers"]
    many = papers["compared_timesteps"]
    converted = report.get("conversion")
    return [
        *([("converted from an ANN", said(converted))] if converted else []),
        ("ANN of this shape", f"{energy(ann['energy_pj'])} for {number(ann['macs'])} MACs at {ann['prices']}'s prices"),
        ("  against this chip", times(ann["energy_ratio"])),
        ("compute only, as papers count", f"{energy(papers['snn_energy_pj'])} at {papers['prices']}'s prices"),
        ("  ANN over it (alpha)", times(papers["alpha"])),
        ("accesses if all is touched", f"{number(papers['memory_accesses'])} at T = {report['timesteps']}"),
        (f"  T = {many} over T = 1", times(papers["saved_by_one_step"])),
    ]


LAYER_COLUMNS = ("layer", "kind", "neurons", "cores", "spikes/neuron", "synaptic ops", "accesses", "energy")


def layer_cells(layer: Report) -> tuple[str, ...]:
    """One layer's row, as texts in the order of ``LAYER_COLUMNS``."""
    total = layer["energy_pj"]
    return (
        layer["name"],
        layer["kind"],
        number(layer["neurons"]),
        number(layer["cores"]),
        number(layer["spikes_per_neuron"]),
        number(layer["synaptic_ops"] + layer["graded_synaptic_ops"]),
        number(layer["memory_accesses"]["total"]),
        "incomplete" if total is None else energy(total),
    )


LEVEL_COLUMNS = ("memory", "holds", "words, fullest", "of", "used", "reads", "writes", "energy")


def level_cells(level: Report) -> tuple[str, ...]:
    """One level of memory, in the order of ``LEVEL_COLUMNS``: the words of its fullest memory, of how many."""
    incomplete = "incomplete" if level["energy_pj"] is None else energy(level["energy_pj"])
    return (
        level["name"],
        ", ".join(level["holds"]),
        number(level["fullest"]),
        number(level["size_words"]),
        percent(level["share"]),
        number(level["reads"]),
        number(level["writes"]),
        "in other parts" if level["energy_in_events"] else incomplete,
    )


# ----------------------------------------------------------------------------------------------------- the cycle engine


def cycle_sections(cycle: Report, most: int | None = None) -> list[Section]:
    """What the cycle engine timed: the run, then cores and links, the busiest first."""
    cores, links = _busiest(cycle["cores"], _busy, most), _busiest(cycle["links"], lambda link: link["busy"], most)
    sections = [
        Section("Cycle engine", cycle_rows(cycle), notes=cycle["notes"]),
        Section(f"Cores{_of(cores, cycle['cores'])}", [core_cells(each, cycle) for each in cores], CORE_COLUMNS, 2),
    ]
    if links:  # else all is on one tile
        rows = [link_cells(each, cycle) for each in links]
        sections.append(Section(f"Links{_of(links, cycle['links'])}", rows, LINK_COLUMNS))
    return sections


def cycle_rows(cycle: Report) -> Rows:
    time, step = time_in(cycle["unit"]), cycle["step"]
    every = "every message" if cycle["timing"] == "exact" else "counts per core, no network"
    throughput = cycle["throughput_per_s"]
    rows = [
        ("timed", f"{every}: {_count(cycle['samples'], 'sample')} in {_count(cycle['steps'], 'step')}"),
        ("whole run", time(cycle["total"])),
    ]
    if cycle["timing"] == "exact" and cycle["difference"] is not None:
        rows.append(("  without the network", f"{time(cycle['fast_total'])} (exact: {cycle['difference'] - 1:+.2%})"))
    rows += [("step", spread(step, time)), ("  its barrier", time(cycle["barrier"]))]
    if cycle["overruns"]:
        rows.append(("  longer than their tick", number(cycle["overruns"])))
    return [
        *rows,
        ("latency of a sample", spread(cycle["latency"], time)),
        ("throughput", "unknown: no time in seconds" if throughput is None else f"{number(throughput)} samples/s"),
    ]


CORE_COLUMNS = (
    "core", "populations", "busy", "sending", "receiving", "stalled", "idle", "messages\nin", "messages\nout",
    "queue\npeak",
)  # fmt: skip


def core_cells(core: Report, cycle: Report) -> tuple[str, ...]:
    """One core's row, in the order of ``CORE_COLUMNS``."""
    time = time_in(cycle["unit"])
    whole = _busy(core) + core["stalled"] + core["idle"]
    return (
        str(core["core"]),
        ", ".join(core["populations"]),
        percent(_busy(core) / whole if whole else 0),
        *(time(core[name]) for name in ("sending", "receiving", "stalled", "idle")),
        number(core["messages_in"]),
        number(core["messages_out"]),
        number(core["queue_peak"]),
    )


LINK_COLUMNS = ("link", "messages", "busy", "share", "waiting", "queue\npeak")


def link_cells(link: Report, cycle: Report) -> tuple[str, ...]:
    """One link's row, in the order of ``LINK_COLUMNS``; the share is of the whole run."""
    time, total = time_in(cycle["unit"]), cycle["total"]
    return (
        f"tile {link['from']} to {link['to']}",
        number(link["messages"]),
        time(link["busy"]),
        percent(link["busy"] / total if total else 0),
        time(link["wait"]),
        number(link["peak"]),
    )


def _busy(core: Report) -> float:
    return float(core["sending"] + core["receiving"])


def _busiest(items: Sequence[Report], busy: Callable[[Report], float], most: int | None) -> list[Report]:
    return sorted(items, key=busy, reverse=True)[:most]


def _of(shown: Sequence[Any], every: Sequence[Any]) -> str:
    return "" if len(shown) == len(every) else f": the busiest {len(shown)} of {len(every):,}"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
