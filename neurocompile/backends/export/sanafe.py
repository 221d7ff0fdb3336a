"""A program as a YAML file for SANA-FE, an independent simulator of neuromorphic chips: the chip, the network on it.

Format: version 2 of SANA-FE's YAML (``architecture``, ``network``, ``mappings``), as the package sanafe 2.2 reads it;
its ``load_arch`` and ``load_net`` both take this one file. Learnt from its documentation and examples; none of its
code is here. ``docs/export.md`` says what is written and how to run it.

What makes the simulation exact. SANA-FE's ``leaky_integrate_fire`` soma computes in float64 ::

    u = trunc(64 * leak * u) / 64 + input;   s = u > threshold;   u = u - threshold (soft), = reset (hard), or as it is

which is the integer graph's arithmetic if one of its state units is 1/64: weights, thresholds and reset values are
divided by 64, and by nothing else. A spike takes one time step, and more with ``delay``, as in chip time.

- Input values reach the chip as one input neuron per bit, whose weights count for 1, 2, 4, …: SANA-FE's inputs are
  binary. Signed Poisson spikes take two. These neurons lie on a core of their own, "host", which costs nothing.
- A reset by subtraction that does not leak is a synapse from the neuron to itself, which arrives one step later.
- A neuron that fires before it integrates fires there at the end of the step before; its spikes wait one step longer.
- A bias is a host neuron that spikes at the steps of the sample only: before its phase a soma must not integrate.
- States neither wrap nor clip there; the quantizer has proved that ours never do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml

from neurocompile.backends.export.base import Exportable
from neurocompile.backends.export.sanafe_chip import UNIT_NEURONS, architecture, mesh, soma_unit
from neurocompile.backends.export.synapses import flat, synapses
from neurocompile.errors import GraphError
from neurocompile.ir.interpret import check_samples, encode
from neurocompile.ir.nodes import (
    ENCODERS,
    Array,
    DirectEncoder,
    FixedPoint,
    Neuron,
    Node,
    Readout,
    Shape,
    Soma,
    Threshold,
)
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping.mapping import CoreSlice
from neurocompile.mapping.synapses import fan_out, full_box, payload_bits

#: a text file of so many lines is some hundred megabytes
MOST_SYNAPSES = 5_000_000
#: of a projection: one, and the longest delay of SANA-FE's delaying dendrite
MOST_STEPS = 6

#: what SANA-FE's somas count in
_UNIT = 1 / 64
#: of the integers that its somas convert to
_STATE_BITS = 32
#: more than any state, in SANA-FE's units
_NEVER = 1e9


def write_sanafe(program: Exportable, path: Path) -> list[str]:
    """Write ``program`` to ``path``; returns what the user must know to run it. GraphError: SANA-FE cannot say it."""
    export = _Export(program)
    with path.open("w", encoding="utf-8") as file:
        export.write(file)
    return export.notes()


def spike_trains(program: Exportable, sample: Array, number: int = 0) -> dict[str, Array]:
    """What each group of input neurons sends for one sample (*shape) or (T, *shape): bool (neurons, steps).

    ``number``: that of the sample, which stochastic encoders draw by.
    """
    return _Export(program).spike_trains(sample, number)


@dataclass(frozen=True)
class _Source:
    """An encoder's group: ``factors`` of its planes, each of which has a neuron for every value."""

    encoder: str
    factors: tuple[int, ...]
    size: int


class _Export:
    def __init__(self, program: Exportable) -> None:
        self.program, self.graph = program, program.mapped
        self.populations = populations(self.graph)
        self.somas = {population.name: population.soma for population in self.populations}
        self.warnings: list[str] = []
        for population in self.populations:
            _check(population, self.somas)
        _check_size(self.populations)
        encoders = self.graph.of_kind(*ENCODERS)
        self.groups = _group_names([*encoders, *(population.name for population in self.populations)])
        self.sources = [
            _Source(name, _factors(self.graph.node(name)), math.prod(self.graph.shape(name))) for name in encoders
        ]
        #: populations with a bias, each of which has a host neuron
        self.biased = [population for population in self.populations if _bias(population).any()]

    @property
    def _steps(self) -> int:
        return self.graph.timesteps + self.program.phase_steps

    def notes(self) -> list[str]:
        phases = ", ".join(
            f"{self.groups[each.name]} {each.soma.phase - _early(each.soma)}" for each in self.populations
        )
        notes = [
            f"simulate {self._steps} time steps for a sample, and make the chip anew for the next; what a group sends "
            f"at step t of the sample stands at step t + its delay ({phases})",
            "outputs are the last potentials of the readouts, times 64",
        ]
        inputs = ", ".join(self.groups[source.encoder] for source in self.sources)
        if self.program.calibration is None:
            notes.append(f"no sample came with the program, so {inputs} is silent: give its neurons their spikes")
        else:
            notes.append(f"the spikes of {inputs} are those of the first calibration sample")
        renamed = [f"{name} is {group}" for name, group in self.groups.items() if group != name]
        if renamed:
            notes.append(f"names of groups have no dots: {', '.join(renamed)}")
        if self.program.profile.static_power_mw is not None:
            notes.append("static power is not in the file; SANA-FE has none")
        return [*notes, *self.warnings]

    def spike_trains(self, sample: Array, number: int = 0) -> dict[str, Array]:
        samples = check_samples(self.graph, np.asarray(sample)[None])
        trains = {}
        for source in self.sources:
            events = encode(self.graph, source.encoder, samples, number)[0].reshape(self.graph.timesteps, -1)
            trains[self.groups[source.encoder]] = _planes(self.graph.node(source.encoder), events, source).T
        return trains

    # --------------------------------------------------------------------------------------------------- the file

    def write(self, file: TextIO) -> None:
        file.write(
            f"# {self.program.name}, compiled for {self.program.profile.name}; see neurocompile's docs/export.md\n"
        )
        yaml.safe_dump(
            {"architecture": self._architecture()}, file, sort_keys=False, default_flow_style=None, width=200
        )
        file.write(f"network:\n  name: {_plain(self.program.name)}\n  groups:\n")
        file.writelines(f"{line}\n" for line in self._groups())
        file.write("  edges:\n")
        file.writelines(f"    - {line}\n" for line in self._edges())
        file.write("mappings:\n")
        file.writelines(f"  - {line}\n" for line in self._mappings())

    def _architecture(self) -> dict[str, Any]:
        profile = self.program.profile
        held: Counter[int] = Counter()
        for each in self.program.mapping.slices:
            held[each.core] += each.neurons
        inputs = sum(neurons for _, neurons in self._host_groups())
        return architecture(profile, _plain(profile.name), max(held.values()), inputs, self.warnings)

    def _host_groups(self) -> list[tuple[str, int]]:
        """The groups on the host, and their neurons."""
        inputs = [(self.groups[source.encoder], len(source.factors) * source.size) for source in self.sources]
        return [*inputs, *((self._bias_group(population), 1) for population in self.biased)]

    def _bias_group(self, population: Population) -> str:
        return f"{self.groups[population.name]}__bias"

    def _groups(self) -> Iterator[str]:
        calibration = self.program.calibration
        trains = {} if calibration is None else self.spike_trains(calibration[0])
        for source in self.sources:
            group = self.groups[source.encoder]
            yield from _group(group, "[]")
            if group in trains:
                yield from (f"        - {index}: [spikes: {_bits(train)}]" for index, train in enumerate(trains[group]))
            else:
                yield f"        - 0..{len(source.factors) * source.size - 1}: [spikes: [0]]"
        for population in self.biased:
            yield from _group(self._bias_group(population), "[]")
            wait = population.soma.phase - 1
            train = np.arange(wait + self.graph.timesteps) >= wait
            yield f"        - 0: [spikes: {_bits(train)}]"
        for population in self.populations:
            readout = isinstance(population.soma, Readout)
            log = "log_potential: true" if readout else "log_spikes: true"
            yield from _group(self.groups[population.name], f"[{log}]")
            for start, stop, settings in _settings(population, self.graph.timesteps):
                yield f"        - {_range(start, stop)}: [soma: {{{settings}}}]"

    def _edges(self) -> Iterator[str]:
        planes = {source.encoder: source for source in self.sources}
        for population in self.populations:
            target = self.groups[population.name]
            unit, signs = _weight_unit(population), _signs(population)
            for projection in population.projections:
                sources, targets, weights = synapses(projection)
                values = weights * signs[targets] * unit
                waits = _axon_steps(projection)[sources] + projection.steps - 1
                waits += _early(self.somas.get(projection.source))
                source = planes.get(projection.source, _Source(projection.source, (1,), 0))
                group = self.groups[projection.source]
                for plane, factor in enumerate(source.factors):
                    rows = zip(
                        (sources + plane * source.size).tolist(),
                        targets.tolist(),
                        (values * factor).tolist(),
                        [f", delay: {wait}" if wait else "" for wait in waits.tolist()],
                        strict=True,
                    )
                    yield from (f"{group}.{i} -> {target}.{j}: [weight: {value}{wait}]" for i, j, value, wait in rows)
        for population in self.populations:
            if isinstance(population.soma, Neuron) and _owes(population.soma):
                group, taken = self.groups[population.name], flat(population.soma.threshold, population.shape) * _UNIT
                yield from (f"{group}.{j} -> {group}.{j}: [weight: {-each}]" for j, each in enumerate(taken.tolist()))
        for population in self.biased:
            bias, group, target = _bias(population), self._bias_group(population), self.groups[population.name]
            for j in np.flatnonzero(bias).tolist():
                yield f"{group}.0 -> {target}.{j}: [weight: {float(bias[j]) * _UNIT}]"

    def _mappings(self) -> Iterator[str]:
        columns, rows, per_tile = mesh(self.program.profile)
        host = itertools.count()
        for group, neurons in self._host_groups():
            for index in range(neurons):
                core, unit = divmod(next(host), UNIT_NEURONS)
                yield f'{group}.{index}: [core: "0.{per_tile + core}", soma: "input[{unit}]", dendrite: "dendrites[0]"]'
        taken: Counter[int] = Counter()
        for population in self.populations:
            group, soma = self.groups[population.name], soma_unit(population.soma)
            for each in self.program.mapping.of(population.name):
                row, column = divmod(each.tile, columns)
                # SANA-FE counts tiles column by column
                address = f"{column * rows + row}.{each.core % per_tile}"
                for start, stop, unit in _units(_runs(each, population.shape), taken[each.core]):
                    place = f'[core: "{address}", soma: "{soma}[{unit}]", dendrite: "dendrites[{unit}]"]'
                    yield f"{group}.{_range(start, stop)}: {place}"
                taken[each.core] += each.neurons


# ------------------------------------------------------------------------------------------------- what can be said


def _check(population: Population, somas: Mapping[str, Soma]) -> None:
    """GraphError unless SANA-FE's soma and delays can do what this population does."""
    soma, name = population.soma, population.name
    fixed = soma.fixed or FixedPoint()

    def refuse(what: str, remedy: str) -> None:
        raise GraphError(f"{name}: {what}, which SANA-FE cannot say; {remedy}")

    if isinstance(soma, (Neuron, Threshold)) and soma.spikes != "binary":
        refuse(f"sends {soma.spikes} spikes", "train it with binary ones, or use --format json")
    if isinstance(soma, (Neuron, Readout)) and np.any(soma.current_leak != 0):
        refuse("has a synaptic current that decays", "train it with current_leak=0, or use --format json")
    if isinstance(soma, Neuron):
        if soma.single_spike:
            refuse("fires at most once", "train it with single_spike=False, or use --format json")
        if soma.membrane_min is not None:
            refuse("has a floor for its membrane", "train it without membrane_min, or use --format json")
        if soma.reset == "set" and not soma.leaky_reset:
            refuse("is reset to a value one step late", "train it with leaky_reset=True, or use --format json")
        if soma.reset == "subtract" and soma.compare == "at_or_above" and not _owes(soma):
            refuse("fires at its threshold, subtracts it and lets that leak", "train it with compare='above'")
    if fixed.state_bits > _STATE_BITS:
        refuse(f"has states of {fixed.state_bits} bits, limit {_STATE_BITS}", "choose a chip with narrower ones")
    if soma.phase < 1 and _bias(population).any():
        # all that it reads is late, so it starts with the sample; a bias is a spike, which takes a step
        refuse("has a bias at the very first step", "train it without bias, or delay what it reads by one step less")
    for projection in population.projections:
        steps = projection.most_steps + _early(somas.get(projection.source))
        if steps > MOST_STEPS:
            refuse(
                f"its projection {projection.name} takes {steps} time steps, limit {MOST_STEPS}",
                "shorten the delay or the skip connection",
            )


def _owes(soma: Soma) -> bool:
    """Whether the reset may come one step later, because the leak does not act on it."""
    return (
        isinstance(soma, Neuron)
        and soma.reset == "subtract"
        and (not soma.leaky_reset or bool(np.all(soma.leak == (soma.fixed or FixedPoint()).one)))
    )


def _axon_steps(projection: Projection) -> Array:
    """How much longer than others the spikes of each source neuron take: (source neurons,)."""
    if projection.past is None:
        return np.zeros(math.prod(projection.source_shape), np.int64)
    return flat(projection.past.delays, projection.source_shape) - projection.past.steps


def _early(soma: Soma | None) -> int:
    """How many steps before its own a neuron fires in SANA-FE."""
    return int(isinstance(soma, Neuron) and soma.order == "fire_first")


def _check_size(everyone: Sequence[Population]) -> None:
    counts = {
        projection.name: int(fan_out(projection, full_box(population.shape)).sum())
        for population in everyone
        for projection in population.projections
    }
    if sum(counts.values()) > MOST_SYNAPSES:
        largest = max(counts, key=counts.__getitem__)
        raise GraphError(
            f"{largest}: {counts[largest]:,} synapses, {sum(counts.values()):,} in all, limit {MOST_SYNAPSES:,}: "
            "SANA-FE has one line for each; export a smaller network"
        )


def _group_names(names: Iterable[str]) -> dict[str, str]:
    """Names that SANA-FE takes, which have no dots in them, each another."""
    taken: dict[str, str] = {}
    for name in names:
        plain = _plain(name)
        free = (plain if count == 1 else f"{plain}_{count}" for count in itertools.count(1))
        taken[name] = next(each for each in free if each not in taken.values())
    return taken


def _plain(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return plain if plain[:1].isalpha() else f"n{plain}"


# ------------------------------------------------------------------------------------------------------- the neurons


def _fraction_bits(population: Population) -> int:
    """Of the state below the weight's unit; a neuron without state compares the sum itself."""
    fixed = population.soma.fixed
    return 0 if fixed is None or isinstance(population.soma, Threshold) else fixed.fraction_bits


def _weight_unit(population: Population) -> float:
    return (1 << _fraction_bits(population)) * _UNIT


def _signs(population: Population) -> Array:
    """-1 for neurons whose comparison points the other way, which looks at what is negated on both sides."""
    soma = population.soma
    flips = soma.flip if isinstance(soma, Threshold) else np.array(False)
    return np.where(flat(flips, population.shape), -1, 1)


def _bias(population: Population) -> Array:
    """Per neuron, in state units; that of a neuron without state stands in its threshold."""
    soma = population.soma
    return flat(soma.bias if isinstance(soma, (Neuron, Readout)) else np.array(0), population.shape)


def _settings(population: Population, timesteps: int) -> Iterator[tuple[int, int, str]]:
    """(start, stop, attributes) of runs of neurons that are the same."""
    thresholds, leaks, resets, mode = _soma(population, timesteps)
    rows = np.stack([np.broadcast_to(each, population.neurons) for each in (thresholds, leaks, resets)], axis=1)
    starts = [0, *(np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1).tolist(), len(rows)]
    for start, stop in itertools.pairwise(starts):
        threshold, leak, reset = rows[start].tolist()
        yield start, stop, f"threshold: {threshold}, leak_decay: {leak}, reset_mode: {mode}, reset: {reset}"


def _soma(population: Population, timesteps: int) -> tuple[Array, Array, Array, str]:
    """Thresholds, leaks, reset values (per neuron or one for all) and the mode of resetting, in SANA-FE's units."""
    soma, shape, zero = population.soma, population.shape, np.array(0.0)
    one = soma.fixed.one if soma.fixed else 1
    match soma:
        case Threshold():
            crossing = flat(soma.threshold, shape).astype(np.int64) - flat(soma.bias, shape)
            return (crossing * _signs(population) - _equal(soma)) * _UNIT, zero, zero, "hard"
        case Readout():
            # in a single step nothing leaks, and what came before the sample must not count
            return np.array(_NEVER), zero if timesteps == 1 else flat(soma.leak, shape) / one, zero, "none"
        case Neuron():
            threshold = (flat(soma.threshold, shape).astype(np.int64) - _equal(soma)) * _UNIT
            mode = "none" if _owes(soma) else {"subtract": "soft", "set": "hard", "none": "none"}[soma.reset]
            return threshold, flat(soma.leak, shape) / one, flat(soma.reset_value, shape) * _UNIT, mode
    raise AssertionError(f"{soma.kind} is not a soma")


def _equal(soma: Neuron | Threshold) -> int:
    """What an integer threshold is lowered by, so that ``>`` means ``>=``."""
    return int(soma.compare == "at_or_above")


def _factors(encoder: Node) -> tuple[int, ...]:
    """What a spike of each plane of input neurons counts for."""
    if not isinstance(encoder, DirectEncoder):
        return (1, -1)
    bits = payload_bits(encoder)
    factors = [1 << bit for bit in range(bits)]
    if encoder.low < 0:
        factors[-1] = -factors[-1]
    return tuple(factors)


def _planes(encoder: Node, events: Array, source: _Source) -> Array:
    """bool (T, planes * size) of events (T, size)."""
    if isinstance(encoder, DirectEncoder):
        planes = [(events.astype(np.int64) >> bit) & 1 == 1 for bit in range(len(source.factors))]
    else:
        planes = [events > 0, events < 0]
    return np.concatenate(planes, axis=1)


def _runs(each: CoreSlice, shape: Shape) -> list[tuple[int, int]]:
    """The ranges of a slice's neurons in the row-major order of their population."""
    indices = np.arange(math.prod(shape)).reshape(shape)[tuple(slice(*span) for span in each.box)].ravel()
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(indices, breaks)]


def _units(runs: Iterable[tuple[int, int]], taken: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, unit) of ``runs`` on a core whose units already hold ``taken`` neurons."""
    for start, stop in runs:
        while start < stop:
            unit, used = divmod(taken, UNIT_NEURONS)
            until = min(stop, start + UNIT_NEURONS - used)
            yield start, until, unit
            taken += until - start
            start = until


def _group(name: str, attributes: str) -> Iterator[str]:
    yield f"    - name: {name}"
    yield f"      attributes: {attributes}"
    yield "      neurons:"


def _range(start: int, stop: int) -> str:
    return str(start) if stop == start + 1 else f"{start}..{stop - 1}"


def _bits(train: Array) -> str:
    return f"[{', '.join(map(str, train.astype(int).tolist()))}]"
