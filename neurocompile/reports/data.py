"""A report as plain data: every renderer shows it, and nothing else. All counts, energies and times are per sample."""

from __future__ import annotations

from typing import Any

from neurocompile.costs.activity import Activity
from neurocompile.costs.ann_memory import ann_memory
from neurocompile.costs.baselines import (
    DenseAccesses,
    Prices,
    ann_energy_pj,
    ann_layers,
    papers_account_of,
)
from neurocompile.costs.counters import NUMBERS, Counters
from neurocompile.costs.estimate import Costs, LayerCosts, LevelCosts, estimate
from neurocompile.costs.per_sample import SampleCosts, chip_hash, sample_costs
from neurocompile.costs.pricing import PARTS, Bill
from neurocompile.costs.timed import Timed
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.mapping.limits import core_limits, joint_needs
from neurocompile.mapping.mapping import Mapping
from neurocompile.reports.timing import LISTED, evenly, spread

FORMAT = "neurocompile.report/1"
#: the time steps that a network of one step is compared with: the paper's start
MANY_STEPS = 5

Report = dict[str, Any]


def report_data(
    graph: Graph, mapping: Mapping, activity: Activity, profile: Profile, timed: Timed | None = None
) -> Report:
    """The report of a mapped graph: JSON data without NaN, null where a number of the profile is missing. ``timed``:
    a run whose times take the place of estimated ones."""
    costs = estimate(graph, mapping, activity, profile, timed)
    each = activity.each
    if each is not None and each.chip != chip_hash(graph, mapping, profile):
        each = None  # they were counted on another chip
    return {
        "format": FORMAT,
        "program": graph.name,
        "profile": profile.name,
        "profile_title": profile.title,
        "notes": [*profile.notes, *costs.notes],
        "complete": costs.complete,
        "missing": list(costs.missing),
        "missing_energies": list(costs.energy_pj.missing),
        "missing_times": list(costs.missing_times),
        "weakest_basis": costs.weakest_basis,
        "timesteps": graph.timesteps,
        "cores": mapping.cores,
        "tiles": mapping.tiles,
        "neurons": sum(layer.neurons for layer in costs.layers),
        "accuracy": activity.accuracy,
        "energy_pj": _energy(costs.energy_pj),
        "known_energy_pj": costs.known_energy_pj,
        "energy_by_basis_pj": costs.energy_pj.by_basis,
        "energy_delay_pj_ns": costs.energy_delay_pj_ns,
        "step_ns": costs.step_ns,
        "latency_steps": costs.latency_steps,
        "latency_ns": costs.latency_ns,
        "throughput_per_s": costs.throughput_per_s,
        "counters": {
            **_counters(costs.counters),
            "inputs": costs.inputs,
            "firings": costs.firings,
        },
        "memory_accesses": _accesses(costs.counters),
        "memory_traffic": [
            {"content": each.content, "level": each.level, "reads": each.reads, "writes": each.writes}
            for each in costs.counters.traffic
        ],
        "memory_levels": [_level(level) for level in costs.levels],
        "state_memory_words": costs.state_memory_words,
        "stateless": costs.stateless,
        "utilisation": _utilisation(mapping, profile),
        "layers": [_layer(layer, activity) for layer in costs.layers],
        "samples": each and _samples(sample_costs(each, costs, profile, timed)),
        "ann": _ann(graph, mapping, profile, costs),
        "papers": _papers(graph, activity, profile),
        "activity": {
            "data": activity.data,
            "samples": activity.samples,
            "timesteps": activity.timesteps,
            "spike_rates": {name: activity.rate(name) for name in activity.events},
        },
    }


def _energy(bill: Bill) -> dict[str, Any]:
    """By part; ``levels`` says which memories ``memory`` is the sum of."""
    parts = bill.parts
    return {
        "total": bill.total,
        **{part: parts[part] for part in ("synapse", "soma", "noc")},
        "memory": bill.memory,
        **{part: parts[part] for part in ("host", "static")},
        "levels": {part.partition(":")[2]: value for part, value in parts.items() if part not in PARTS},
    }


def _counters(counters: Counters) -> dict[str, float]:
    numbers: dict[str, float] = {name: getattr(counters, name) for name in NUMBERS}
    return {**numbers, "hops": counters.hops_east_west + counters.hops_north_south}


def _accesses(counters: Counters) -> dict[str, float]:
    """Words read and written."""
    synapses, state = counters.accesses("synapses"), counters.accesses("state")
    return {"synapses": synapses, "state": state, "total": synapses + state}


def _samples(costs: SampleCosts | None) -> dict[str, Any] | None:
    """Of all samples; those whose values are listed are evenly chosen."""
    if costs is None:
        return None
    listed = evenly(len(costs.energy_pj), LISTED)
    return {
        name: None if values is None else {**spread(values), "values": values[listed].tolist()}
        for name, values in vars(costs).items()
    }


def _level(costs: LevelCosts) -> dict[str, Any]:
    """A level of memory: its size is one memory's; ``fullest`` and ``share`` are of the one that holds most."""
    level = costs.level
    return {
        "name": level.name,
        "holds": list(level.holds),
        "per": level.per,
        "word_bits": level.word_bits and level.word_bits.count,
        "size_words": level.size_words and level.size_words.count,
        "words": costs.words,
        "fullest": costs.fullest,
        "share": costs.share,
        "reads": costs.reads,
        "writes": costs.writes,
        "energy_pj": costs.energy_pj,
        "time_ns": costs.time_ns,
        "energy_in_events": level.energy_in_events,
    }


def _layer(layer: LayerCosts, activity: Activity) -> dict[str, Any]:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "neurons": layer.neurons,
        "cores": layer.cores,
        "spikes_per_neuron": activity.rate(layer.name) if layer.name in activity.events else 0.0,
        **_counters(layer.counters),
        "memory_accesses": _accesses(layer.counters),
        "energy_pj": layer.energy_pj.total,
        "known_energy_pj": layer.energy_pj.known,
        "energy_parts_pj": _energy(layer.energy_pj),
        "missing": list(layer.energy_pj.missing),
    }


def _utilisation(mapping: Mapping, profile: Profile) -> dict[str, Any]:
    """Per limit, the core that comes closest to its own, and the populations there."""
    result: dict[str, Any] = {}
    for core, slices in mapping.by_core().items():
        needs = joint_needs(each.needs for each in slices)
        there = ", ".join(dict.fromkeys(each.population for each in slices))
        for name, limit in core_limits(profile, core).items():
            share = needs[name] / limit
            if name not in result or share > result[name]["share"]:
                result[name] = {"largest": needs[name], "limit": limit, "share": share, "population": there}
    return result


def _ann(graph: Graph, mapping: Mapping, profile: Profile, costs: Costs) -> dict[str, Any]:
    """The ANN of the same shape: its arithmetic, and beside it what its memory would take on this chip."""
    prices = Prices.of(profile)
    operations = [layer.operations for layer in ann_layers(graph)]
    energy, memory = ann_energy_pj(operations, prices), ann_memory(graph, mapping, profile)
    return {
        "macs": sum(operations),
        "energy_pj": energy,
        "prices": prices.profile,
        "basis": prices.basis,
        "energy_ratio": energy / costs.total_pj if costs.total_pj else None,
        "memory": memory and vars(memory).copy(),
        "energy_with_memory_pj": energy + memory.energy_pj if memory and memory.energy_pj is not None else None,
    }


def _papers(graph: Graph, activity: Activity, profile: Profile) -> dict[str, Any]:
    """Compute energy alone at measured spike rates, and memory accesses if everything was touched at every step.

    ``memory_accesses`` reads and writes membranes at every step; ``memory_fetches`` is the paper's count (IIR-SNN), in
    which they are fetched at every step but the first. See ``DenseAccesses``.
    """
    prices = Prices.of(profile)
    account = papers_account_of(graph, activity, prices)
    dense = DenseAccesses.of(graph)
    many = graph.timesteps if graph.timesteps > 1 else MANY_STEPS
    return {
        "scope": "compute only: multiplications and additions, without memory, network, neurons and waiting",
        "prices": prices.profile,
        "macs": account.macs,
        "additions": account.additions,
        "ann_energy_pj": account.ann_energy_pj,
        "snn_energy_pj": account.snn_energy_pj,
        "alpha": account.alpha,
        "weights": dense.weights,
        "membranes": dense.neurons,
        "memory_accesses": dense.at(graph.timesteps),
        "memory_accesses_at": {str(steps): dense.at(steps) for steps in sorted({1, graph.timesteps, many})},
        "compared_timesteps": many,
        "saved_by_one_step": dense.saved_by_one_step(many),
        "memory_fetches": dense.fetches_at(graph.timesteps),
        "fetches_saved_by_one_step": dense.fetches_saved_by_one_step(many),
    }
