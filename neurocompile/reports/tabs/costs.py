"""Summary, layers, energy."""

from __future__ import annotations

from neurocompile.reports import summary
from neurocompile.reports.data import Report
from neurocompile.reports.page import Block, Column, Columns, Facts, Figure, Key, Keys, Notes, Table, Text, charts
from neurocompile.reports.page.blocks import Value
from neurocompile.reports.page.svg import shown
from neurocompile.reports.wording import duration, energy, energy_delay, incomplete, number, spread, times

#: what the words for a number's origin mean, strongest first
MEANINGS: dict[str, str] = {
    "architectural": "a decision of the design, stated by the maker: exact",
    "measured": "measured on silicon",
    "simulated": "taken from a circuit model before silicon",
    "fitted": "chosen so that a model reproduces measurements",
    "derived": "computed from other published numbers",
    "assumed": "our choice, for want of a better one",
}
_OTHER_KEYS = {"total", "memory", "levels"}


def summary_tab(report: Report, absent: list[str]) -> list[Block]:
    """What the numbers stand on comes first; ``absent`` names what this report does not hold, and why."""
    blocks: list[Block] = [Notes(_notes(report), "What these numbers stand on"), Keys(_keys(report))]
    blocks += bases(report)
    blocks += [
        Columns([Facts("Cost", summary.cost_rows(report)), Facts("Work", summary.work_rows(report))]),
        Facts("Compared", summary.baseline_rows(report)),
        _utilisation(report),
    ]
    if absent:
        blocks.append(Text(f"Not in this report: {'; '.join(absent)}."))
    return blocks


def _notes(report: Report) -> list[str]:
    missing = [incomplete(report["missing"])] if report["missing"] else []
    return [*missing, *report["notes"], *(report.get("cycle") or {"notes": []})["notes"]]


def _keys(report: Report) -> list[Key]:
    total, samples, accuracy = report["energy_pj"]["total"], report.get("samples"), report.get("accuracy")
    keys = [
        Key("energy per sample", energy(total), f"weakest number: {report['weakest_basis'] or 'none'}")
        if total is not None
        else Key("energy per sample", f"≥ {energy(report['known_energy_pj'])}", "incomplete"),
        *_times(report),
        Key("cores", f"{report['cores']:,}", f"on {report['tiles']:,} tiles"),
        Key("spikes per sample", number(report["counters"]["spikes"]), f"{report['neurons']:,} neurons"),
    ]
    if samples and samples["energy_delay_pj_ns"]:
        keys.append(Key("energy × latency", energy_delay(samples["energy_delay_pj_ns"]["mean"]), "mean of the samples"))
    elif report["energy_delay_pj_ns"] is not None:
        keys.append(Key("energy × latency", energy_delay(report["energy_delay_pj_ns"]), "of the means"))
    if accuracy is not None:
        keys.append(Key("accuracy", f"{accuracy:.2%}", "of these samples"))
    return keys


def _times(report: Report) -> list[Key]:
    """Those of the cycle engine, where it has run."""
    cycle = report.get("cycle")
    if cycle:
        latency, unit, rate = cycle["latency"]["mean"], cycle["unit"], cycle["throughput_per_s"]
        return [
            Key("latency", shown(latency, unit), f"{cycle['timing']} timing, mean"),
            Key("throughput", "unknown" if rate is None else f"{number(rate)}/s", "samples, one after the other"),
        ]
    latency, rate = report["latency_ns"], report["throughput_per_s"]
    return [
        Key("latency", "unknown" if latency is None else duration(latency),
            "incomplete" if latency is None else f"{report['latency_steps']:,} steps, on mean counts"),
        Key("throughput", "unknown" if rate is None else f"{number(rate)}/s", "samples, one after the other"),
    ]  # fmt: skip


def bases(report: Report) -> list[Block]:
    """How much of the energy rests on what kind of number."""
    by_basis = report.get("energy_by_basis_pj") or {}
    known = sum(value or 0 for value in by_basis.values())
    if not known:
        return []
    order = [*MEANINGS, *sorted(set(by_basis) - set(MEANINGS))]
    rows = [
        (name, by_basis[name], (by_basis[name] or 0) / known, MEANINGS.get(name, ""))
        for name in order
        if name in by_basis
    ]
    first = max(rows, key=lambda row: row[2])
    table = Table(
        "Energy by basis",
        [Column("basis"), Column("energy", "pJ", bar=True), Column("share", "%"), Column("meaning")],
        rows,
        ("all that is known", known, 1.0, ""),
    )
    drawing = charts.bars([(name, value) for name, value, *_ in rows], "pJ")
    said = f"{first[2]:.0%} of the known energy rests on numbers that are {first[0]}."
    return [Figure("What is measured and what is assumed", drawing, said, table)]


def _utilisation(report: Report) -> Table:
    rows: list[tuple[Value, ...]] = [
        (name.replace("_", " "), each["largest"], each["limit"], each["share"], each["population"])
        for name, each in report["utilisation"].items()
    ]
    columns = [Column("limit of a core"), Column("largest need"), Column("limit"), Column("share", "%", bar=True),
               Column("layer")]  # fmt: skip
    return Table("How full the fullest core is", columns, rows)


# -------------------------------------------------------------------------------------------------------------- layers

_COUNTS = {
    "synaptic ops": "synaptic_ops",
    "graded synaptic ops": "graded_synaptic_ops",
    "active updates": "updates_active",
    "inactive updates": "updates_inactive",
    "stateless updates": "updates_stateless",
    "spikes": "spikes",
    "messages in": "messages_in",
}


def layers_tab(report: Report) -> list[Block]:
    """All layers with all their numbers; columns that are zero throughout are left out."""
    counts = {name: key for name, key in _COUNTS.items() if report["counters"][key]}
    all_layers = report["layers"]
    energies = [layer["energy_pj"] for layer in all_layers]
    whole = None if None in energies else sum(energies)
    columns = [Column("layer"), Column("kind"), Column("neurons"), Column("cores"), Column("energy", "pJ", bar=True),
               Column("spikes per neuron"), *(Column(name) for name in counts),
               Column("memory accesses", "words")]  # fmt: skip
    rows: list[tuple[Value, ...]] = [
        (
            layer["name"], layer["kind"], layer["neurons"], layer["cores"],
            "incomplete" if layer["energy_pj"] is None else layer["energy_pj"], layer["spikes_per_neuron"],
            *(layer[key] for key in counts.values()), layer["memory_accesses"]["total"],
        )
        for layer in all_layers
    ]  # fmt: skip
    total: tuple[Value, ...] = (
        "all layers", "", report["neurons"], "", "incomplete" if whole is None else whole, "",
        *(report["counters"][key] for key in counts.values()), report["memory_accesses"]["total"],
    )  # fmt: skip
    if whole is None:  # what is known of it stands beside
        known = [layer["known_energy_pj"] for layer in all_layers]
        columns.insert(5, Column("known energy", "pJ"))
        rows = [(*row[:5], value, *row[5:]) for row, value in zip(rows, known, strict=True)]
        total = (*total[:5], sum(known), *total[5:])
    note = "Means per sample. Static energy belongs to no layer; cores may be shared by layers."
    blocks: list[Block] = [Table("Layers", columns, rows, total, note)]
    lacking: list[tuple[Value, ...]] = [
        (each["name"], ", ".join(each["missing"])) for each in all_layers if each["missing"]
    ]
    if lacking:
        blocks.append(Table("What the profile does not say", [Column("layer"), Column("incomplete: needs")], lacking))
    return blocks


# -------------------------------------------------------------------------------------------------------------- energy


def parts_of(energies: Report) -> dict[str, float | None]:
    """The parts of an energy as they are charged: each memory level by its name."""
    parts: dict[str, float | None] = {}
    for name, value in energies.items():
        if name == "memory":
            parts |= {f"memory: {level}": each for level, each in energies["levels"].items()}
        elif name not in _OTHER_KEYS and (name != "host" or value != 0):  # most chips have none
            parts[name] = value
    return parts


def energy_tab(report: Report) -> list[Block]:
    parts = parts_of(report["energy_pj"])
    known = sum(value or 0 for value in parts.values())
    total = report["energy_pj"]["total"]
    rows: list[tuple[Value, ...]] = [
        (name, "incomplete" if value is None else value, None if value is None or not known else value / known)
        for name, value in parts.items()
    ]
    table = Table(
        "Energy by part",
        [Column("part"), Column("energy", "pJ", bar=True), Column("share of what is known", "%")],
        rows,
        ("all", "incomplete" if total is None else total, None if total is None else 1.0),
    )
    most = max(parts, key=lambda name: parts[name] or 0)
    said = f"Per sample: {summary.total_energy(report)}. {most} takes most"
    said += f", {(parts[most] or 0) / known:.0%}." if known else "."
    blocks: list[Block] = [Figure("By part", charts.bars(list(parts.items()), "pJ"), said, table)]
    blocks += [_by_layer(report), *_memory(report), *bases(report), *_spread(report), *_baselines(report)]
    return blocks


def _by_layer(report: Report) -> Figure:
    by_layer = [(layer["name"], parts_of(layer["energy_parts_pj"])) for layer in report["layers"]]
    names = list(dict.fromkeys(name for _, parts in by_layer for name, value in parts.items() if value != 0))
    rows = [(layer, [parts.get(name, 0.0) for name in names]) for layer, parts in by_layer]
    table = Table(
        "Energy by layer and part",
        [Column("layer"), *(Column(name, "pJ") for name in names), Column("known", "pJ", bar=True)],
        [
            (
                layer,
                *("incomplete" if value is None else value for value in values),
                sum(value or 0 for value in values),
            )
            for layer, values in rows
        ],
    )
    said = "What each layer takes, without the static energy of the chip. ≥ marks a sum that lacks an unknown part."
    return Figure("By layer", charts.stacked(rows, names, "pJ"), said, table)


def _memory(report: Report) -> list[Block]:
    """Each level of memory: how full, how often accessed, and what that takes where it is charged by itself."""
    if not report["memory_levels"]:
        return _accesses(report)
    rows: list[tuple[Value, ...]] = [
        (
            each["name"], ", ".join(each["holds"]), each["per"], each["fullest"], each["size_words"], each["share"],
            each["reads"], each["writes"],
            "in other parts" if each["energy_in_events"]
            else "incomplete" if each["energy_pj"] is None else each["energy_pj"],
        )
        for each in report["memory_levels"]
    ]  # fmt: skip
    columns = [Column("level"), Column("holds"), Column("one per"), Column("used by the fullest", "words"),
               Column("size", "words"), Column("used", "%", bar=True), Column("reads", "words"),
               Column("writes", "words"), Column("energy", "pJ", bar=True)]  # fmt: skip
    note = "“In other parts”: the profile's energy of an operation already includes its memory."
    return [Table("By memory level", columns, rows, note=note)]


def _accesses(report: Report) -> list[Block]:
    """On a chip that describes no memory."""
    rows = [(each["content"], each["reads"], each["writes"]) for each in report["memory_traffic"]]
    columns = [Column("content"), Column("reads", "words"), Column("writes", "words")]
    note = "The profile describes no level of memory: what accesses take is within the energy of the operations."
    return [Table("Memory accesses", columns, rows, note=note)] if rows else []


def _spread(report: Report) -> list[Block]:
    """From sample to sample."""
    samples = report.get("samples")
    each = samples["energy_pj"] if samples else None
    values = [value for value in each["values"] or [] if value is not None] if each else []
    if each is None or len(values) < 2:
        return []
    edges, counts = charts.distribution(values)
    table = Table(
        "Samples by energy",
        [Column("from", "pJ"), Column("to", "pJ"), Column("samples")],
        list(zip(edges, edges[1:], counts, strict=False)),
    )
    drawing = charts.histogram(values, "pJ", "energy of a sample")
    said = f"{spread(each, energy)}; mean ± standard deviation. Columns say how many samples."
    return [Figure("From sample to sample", drawing, said, table)]


def _baselines(report: Report) -> list[Block]:
    """The ANN on this technology, and, well apart, the papers' account of arithmetic alone."""
    ann, papers, total = report["ann"], report["papers"], report["energy_pj"]["total"]
    rows = [("this network on this chip", total if total is not None else report["known_energy_pj"]),
            ("ANN of the same shape, arithmetic only", ann["energy_pj"])]  # fmt: skip
    table = Table("Against the ANN of the same shape", [Column("what"), Column("energy", "pJ")], rows)
    said = (
        f"The ANN's {number(ann['macs'])} multiply-accumulates at the prices of {ann['prices']}, with no memory and no "
    )
    said += f"chip around them; that is {times(ann['energy_ratio'])} the energy of this network with all of the chip."
    if total is None:
        said += " The energy of this network is incomplete: what is known of it is shown."
    apart = (
        "This account leaves out memory, network, static energy and neurons: it belongs beside other papers' numbers, "
    )
    apart += "and never beside the energies above."
    return [
        Figure("Against the ANN of the same shape", charts.bars(rows, "pJ"), said, table),
        Notes([apart], "Compute only, as papers count it"),
        Facts(
            "",
            [
                ("additions and multiply-accumulates", f"{number(papers['additions'])} and {number(papers['macs'])}"),
                ("spiking, compute only", f"{energy(papers['snn_energy_pj'])} at the prices of {papers['prices']}"),
                ("ANN, compute only", energy(papers["ann_energy_pj"])),
                ("ANN over spiking (alpha)", times(papers["alpha"])),
                (
                    "memory accesses if all is touched",
                    f"{number(papers['memory_accesses'])} at T = {report['timesteps']}",
                ),
                (f"  T = {papers['compared_timesteps']} over T = 1", times(papers["saved_by_one_step"])),
            ],
        ),
    ]
