"""The rows that every rendering shows above its layers: (what, value), each as text."""

from __future__ import annotations

from neurocompile.reports.conversion import said
from neurocompile.reports.data import Report
from neurocompile.reports.wording import duration, energy, incomplete, incomplete_energy, number, times

Rows = list[tuple[str, str]]


def title(report: Report) -> str:
    steps = "1 time step" if report["timesteps"] == 1 else f"{report['timesteps']} time steps"
    return f"{report['program']} on {report['profile']}, {steps}"


def subtitle(report: Report) -> str:
    return f"per sample, mean over {report['activity']['data']}"


def cost_rows(report: Report) -> Rows:
    """Energy by part, time, and how good the numbers are."""
    parts, times_missing = report["energy_pj"], report["missing_times"]
    rows = [("energy", total_energy(report))]
    for part in ("synapse", "soma", "noc", "memory", "static"):
        if part == "memory" and not parts["levels"]:
            rows.append(("  memory", "within the other parts"))
            continue
        rows.append((f"  {part}", energy(parts[part]) if parts[part] is not None else "incomplete"))
        if part == "memory" and len(parts["levels"]) > 1:
            rows += [
                (f"    {level}", energy(value) if value is not None else "incomplete")
                for level, value in parts["levels"].items()
            ]
    latency, throughput = report["latency_ns"], report["throughput_per_s"]
    return [
        *rows,
        ("latency", incomplete(times_missing) if latency is None else duration(latency)),
        (
            "",
            f"{report['latency_steps']} steps" + (f" of {duration(report['step_ns'])}" if latency is not None else ""),
        ),
        ("throughput", incomplete(times_missing) if throughput is None else f"{number(throughput)} samples/s"),
        ("weakest number used", report["weakest_basis"] or "none"),
        ("cores", f"{report['cores']:,} (tiles: {report['tiles']:,})"),
        ("neurons", f"{report['neurons']:,}"),
    ]


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
