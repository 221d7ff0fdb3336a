"""A program as a YAML file for SANA-FE, an independent simulator of neuromorphic chips: the chip, the network on it.

Format: version 2 of SANA-FE's YAML (``architecture``, ``network``, ``mappings``), as the package sanafe 2.2 reads it;
its ``load_arch`` and ``load_net`` both take this one file. Learnt from its documentation and examples; none of its
code is here. ``docs/export.md`` says what is written and how to run it.

What makes the simulation exact. SANA-FE's ``leaky_integrate_fire`` soma computes in float64 ::

    u = trunc(64 * leak * u) / 64 + input;   s = u > threshold;   u = u - threshold (soft), = reset (hard), or as it is

which is the integer graph's arithmetic if one of its state units is 1/64: weights, thresholds and reset values are
divided by 64, and by nothing else. A spike takes one time step, and more with ``delay``, as in chip time.

- Input values reach the chip as one input neuron per bit, whose weights count for 1, 2, 4, …: SANA-FE's inputs are
  binary. Signed Poisson spikes take two. These neurons lie on cores of their own, "host".
- A reset by subtraction that does not leak is a synapse from the neuron to itself, which arrives one step later.
- A neuron that fires before it integrates fires there at the end of the step before; its spikes wait one step longer.
- A bias is a host neuron that spikes at the steps of the sample only: SANA-FE's own ``bias`` acts at every step, so
  that a soma would integrate before its phase and fire after it, and nothing there gives it a state to start from.
  Where the profile does not have the host send biases, a note says what these spikes add to SANA-FE's totals.
- Nothing clears a state: what a sample leaves decays through the steps that deeper somas still need.
- States neither wrap nor clip there; the quantizer has proved that ours never do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import yaml

from neurocompile.backends.export.base import Exportable
from neurocompile.backends.export.sanafe_chip import (
    UNIT_NEURONS,
    Prices,
    architecture,
    host_cores,
    host_tile,
    mesh,
    not_said,
    soma_unit,
    synapse_unit,
    tile_number,
)
from neurocompile.backends.export.sanafe_limits import check_population, check_size
from neurocompile.backends.export.sanafe_neurons import (
    UNIT,
    early,
    fires_at_rest,
    owes,
    settings,
    weight_unit,
)
from neurocompile.backends.export.synapses import synapses
from neurocompile.costs.counters import Counters
from neurocompile.costs.pricing import energy_pj
from neurocompile.costs.terms import Wiring
from neurocompile.hardware.profile import Bank, Host
from neurocompile.ir.interpret import check_samples, encode
from neurocompile.ir.nodes import (
    ANALOG,
    ENCODERS,
    Array,
    Neuron,
    Node,
    Readout,
    Shape,
)
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.mapping.banks import find_bank, main_bank
from neurocompile.mapping.biases import biases, flat, signs
from neurocompile.mapping.mapping import CoreSlice
from neurocompile.mapping.stored import is_sparse
from neurocompile.mapping.synapses import bit_planes, payload_bits

#: how the groups of host neurons end that are the biases of others
_BIAS = "__bias"


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
        self.prices = Prices(program.profile, self.warnings)
        for population in self.populations:
            check_population(population, self.somas)
        check_size(self.populations)
        encoders = self.graph.of_kind(*ENCODERS)
        self.groups = _group_names([*encoders, *(population.name for population in self.populations)])
        self.sources = [
            _Source(name, _factors(self.graph.node(name)), math.prod(self.graph.shape(name))) for name in encoders
        ]
        #: populations with a bias, each of which has a host neuron
        self.biased = [population for population in self.populations if biases(population).any()]
        self.units = {population.name: self._synapse_bank(population) for population in self.populations}

    @property
    def _steps(self) -> int:
        return self.graph.timesteps + self.program.phase_steps

    def notes(self) -> list[str]:
        phases = ", ".join(
            f"{self.groups[each.name]} {each.soma.phase - early(each.soma)}" for each in self.populations
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
        notes += self._of_inputs()
        if self.biased and self.program.profile.core.biases == "held":
            notes.append(self._what_biases_add())
        if lasting := [self.groups[each.name] for each in self.populations if self._goes_on(each)]:
            notes.append(f"{', '.join(lasting)} may fire after the sample, which SANA-FE counts; our chip is cleared")
        if missing := not_said(self.program.profile):
            notes.append(f"SANA-FE has no {', no '.join(missing)}: its totals leave them out")
        return [*notes, *self.warnings]

    def _of_inputs(self) -> list[str]:
        """How spikes of inputs reach the cores in another way than on our chip."""
        profile, notes = self.program.profile, []
        if profile.host is None and profile.topology is not None:
            notes.append("spikes of inputs cross the network from tile 0, where our chip has them at their cores")
        whole = [source.encoder for source in self.sources if bit_planes(self.graph.node(source.encoder), profile) == 1]
        if any(len(source.factors) > 1 for source in self.sources if source.encoder in whole):
            notes.append("inputs are sent bit by bit, where our chip sends a value as one spike")
        return notes

    def _what_biases_add(self) -> str:
        """What SANA-FE's totals have, and our chip does not, because biases are spikes."""
        core, host = self.program.profile.core, self.program.profile.host or Host(tile=0, message=None)
        sent = self.program.profile.model_copy(
            update={"core": core.model_copy(update={"biases": "sent"}), "host": host}
        )
        steps, numbers = self.graph.timesteps, Counter[str]()
        for term in Wiring(self.graph, self.program.mapping, sent).of_biases():
            numbers[term.number] += steps * int(term.each)
        del numbers["within_tile"]  # which SANA-FE has no price for
        energy = energy_pj(Counters.of(numbers), sent).known * 1e-12
        return (
            f"biases are spikes there, and none on our chip: take {steps * len(self.biased):,} firings, "
            f"{numbers['messages_in']:,} packets, {numbers['hops_east_west'] + numbers['hops_north_south']:,} hops, "
            f"{numbers['synaptic_ops']:,} synaptic events and {energy:.12g} J from SANA-FE's totals, "
            f"and the messages of *{_BIAS} from its times"
        )

    def _goes_on(self, population: Population) -> bool:
        """Whether it may fire after its last step of a sample, since spikes still arrive or it needs none."""
        phase = population.soma.phase
        if isinstance(population.soma, Readout) or phase == max(soma.phase for soma in self.somas.values()):
            return False
        sent = {each.source: self.somas[each.source].phase if each.source in self.somas else 0
                for each in population.projections}  # fmt: skip
        late = any(sent[each.source] + each.most_steps > phase for each in population.projections)
        return late or fires_at_rest(population)

    def _synapse_bank(self, population: Population) -> Bank | None:
        """The bank that prices the synapses into a population, of which SANA-FE has one for each target neuron."""
        profile = self.program.profile
        kinds = {find_bank(self.graph, population, each, profile) for each in population.projections}
        if len(kinds) > 1:
            self.warnings.append(
                f"{self.groups[population.name]} has synapses of {len(kinds)} kinds, which all cost as most of them"
            )
        return main_bank(self.graph, population, profile)

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
        edges = self._edges()
        first = next(edges, None)  # a network that was pruned to nothing has none
        file.write("  edges: []\n" if first is None else f"  edges:\n    - {first}\n")
        file.writelines(f"    - {line}\n" for line in edges)
        file.write("mappings:\n")
        file.writelines(f"  - {line}\n" for line in self._mappings())

    def _architecture(self) -> dict[str, Any]:
        profile = self.program.profile
        held: Counter[int] = Counter()
        for each in self.program.mapping.slices:
            held[each.core] += each.neurons
        tiles, neurons = self.program.mapping.tiles, max(held.values())
        return architecture(self.prices, _plain(profile.name), neurons, self._inputs, self._hosts, tiles)

    def _host_groups(self) -> list[tuple[str, int]]:
        """The groups on the host, and their neurons."""
        inputs = [(self.groups[source.encoder], len(source.factors) * source.size) for source in self.sources]
        return [*inputs, *((self._bias_group(population), 1) for population in self.biased)]

    @property
    def _inputs(self) -> int:
        return sum(neurons for _, neurons in self._host_groups())

    @property
    def _hosts(self) -> int:
        return host_cores(self.program.profile, self._inputs, self.program.mapping.cores)

    def _bias_group(self, population: Population) -> str:
        return f"{self.groups[population.name]}{_BIAS}"

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
            for start, stop, attributes in settings(population, self.graph.timesteps):
                yield f"        - {_range(start, stop)}: [soma: {{{attributes}}}]"

    def _edges(self) -> Iterator[str]:
        planes = {source.encoder: source for source in self.sources}
        for population in self.populations:
            target = self.groups[population.name]
            factors = signs(population) * weight_unit(population)
            for projection in population.projections:
                sources, targets, weights = synapses(projection)
                bank = find_bank(self.graph, population, projection, self.program.profile)
                if (bank and bank.zeros == "skipped") or is_sparse(projection, self.program.profile):
                    sources, targets, weights = (each[weights != 0] for each in (sources, targets, weights))
                values = weights * factors[targets]
                waits = _axon_steps(projection)[sources] + projection.steps - 1
                waits += early(self.somas.get(projection.source))
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
            if isinstance(population.soma, Neuron) and owes(population.soma):
                group, taken = self.groups[population.name], flat(population.soma.threshold, population.shape) * UNIT
                yield from (f"{group}.{j} -> {group}.{j}: [weight: {-each}]" for j, each in enumerate(taken.tolist()))
        for population in self.biased:
            bias, group, target = biases(population), self._bias_group(population), self.groups[population.name]
            for j in np.flatnonzero(bias).tolist():
                yield f"{group}.0 -> {target}.{j}: [weight: {float(bias[j]) * UNIT}]"

    def _mappings(self) -> Iterator[str]:
        profile = self.program.profile
        _, _, per_tile = mesh(profile)
        host, hosts, start = itertools.count(), self._hosts, host_tile(profile)
        for group, neurons in self._host_groups():
            for index in range(neurons):
                unit, core = divmod(next(host), hosts)
                address = f"{start}.{per_tile + core}"
                yield f'{group}.{index}: [core: "{address}", soma: "input[{unit}]", dendrite: "dendrites[0]"]'
        taken: Counter[int] = Counter()
        for population in self.populations:
            group, soma = self.groups[population.name], soma_unit(population.soma, self.graph.timesteps, profile)
            synapse = synapse_unit(self.units[population.name], profile)
            for each in self.program.mapping.of(population.name):
                address = f"{tile_number(each.tile, profile)}.{each.core % per_tile}"
                for start, stop, unit in _units(_runs(each, population.shape), taken[each.core]):
                    units = f'soma: "{soma}[{unit}]", dendrite: "dendrites[{unit}]", synapse: "{synapse}"'
                    yield f'{group}.{_range(start, stop)}: [core: "{address}", {units}]'
                taken[each.core] += each.neurons


# ------------------------------------------------------------------------------------------------------------- names


def _axon_steps(projection: Projection) -> Array:
    """How much longer than others the spikes of each source neuron take: (source neurons,)."""
    if projection.past is None:
        return np.zeros(math.prod(projection.source_shape), np.int64)
    return flat(projection.past.delays, projection.source_shape) - projection.past.steps


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


# --------------------------------------------------------------------------------------------- inputs and places


def _factors(encoder: Node) -> tuple[int, ...]:
    """What a spike of each plane of input neurons counts for."""
    if not isinstance(encoder, ANALOG):
        return (1, -1)
    bits = payload_bits(encoder)
    factors = [1 << bit for bit in range(bits)]
    if encoder.low < 0:
        factors[-1] = -factors[-1]
    return tuple(factors)


def _planes(encoder: Node, events: Array, source: _Source) -> Array:
    """bool (T, planes * size) of events (T, size)."""
    if isinstance(encoder, ANALOG):
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
