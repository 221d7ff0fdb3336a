"""What each sample of a data set costs, and not only their mean.

All that a chip does is linear in the events of its neurons (see ``terms``). So what one event of each neuron causes is
worked out once, as a row of counters; neurons whose events cause the same share one, of which there are few. A sample's
counters are then its events times these rows. They are whole numbers, and sum up to those of all samples exactly.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping as Map
from dataclasses import dataclass

import numpy as np

from neurocompile.costs.activity import EachSample, Kind
from neurocompile.costs.counters import Counters
from neurocompile.costs.estimate import Costs
from neurocompile.costs.memory import is_stateful
from neurocompile.costs.pricing import energy_pj
from neurocompile.costs.terms import Wiring
from neurocompile.costs.timed import Timed
from neurocompile.hardware import Profile, profile_to_dict
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.mapping import synapses
from neurocompile.mapping.mapping import Mapping

_BATCH_NEURONS = 1 << 22  # neuron-steps looked at together


def chip_hash(graph: Graph, mapping: Mapping, profile: Profile) -> str:
    """What counters of single samples are of: this mapped graph on this chip, and no other."""
    plain = [graph.hash, mapping.to_plain(), profile_to_dict(profile)]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Rows:
    """Rows of counters, and for each of a sender's neurons the number of the row that one event of it adds."""

    labels: Array  # int32 (neurons,)
    rows: Array  # int64 (rows, columns)


class SampleCounter:
    """Counts sample by sample while ``Activity.of`` looks at batches: give it ``begin(samples)`` as its ``watch``.

    ``graph`` is mapped. CapacityError where a memory of the chip is too small for it.
    """

    def __init__(self, graph: Graph, mapping: Mapping, profile: Profile) -> None:
        self._chip = chip_hash(graph, mapping, profile)
        self._timesteps = graph.timesteps
        wiring = Wiring(graph, mapping, profile)
        fixed: dict[str, int] = {}
        senders: dict[tuple[str, str], dict[str, Array]] = {}
        for sender in wiring.senders:
            for kind in wiring.kinds(sender):
                senders[kind, sender] = self._caused(wiring, sender, kind, fixed)
        active = {name: self._updates(wiring, name, fixed) for name in wiring.populations}
        for term in wiring.of_biases():
            _add(fixed, {term.number: int(term.each) * self._timesteps})
        for _, slots in wiring.empty_slots():
            _add(fixed, {"updates_inactive": slots * self._timesteps})
        updates = [row for rows in active.values() for row in rows]
        names = dict.fromkeys((*fixed, *(name for sums in senders.values() for name in sums), *_names(updates)))
        self._names = tuple(names)
        self._fixed = self._row(fixed)
        self._senders = {key: self._classes(sums) for key, sums in senders.items() if sums}
        self._active = {name: [(self._row(dict(row)), boxes) for row, boxes in rows.items()]
                        for name, rows in active.items() if rows}  # fmt: skip
        self._shapes = {name: population.shape for name, population in wiring.populations.items()}
        self._parts: list[Array] = []

    def begin(self, samples: int) -> SampleCounter:
        """The next batch has so many samples."""
        self._parts.append(np.tile(self._fixed, (samples, 1)))
        return self

    def sent(self, kind: Kind, name: str, values: Array) -> None:
        """``values`` (N, T, *shape): whether each neuron sent something of that kind, or how many set bits."""
        rows = self._senders.get((kind, name))
        if rows is None:
            return
        samples, neurons = len(values), math.prod(values.shape[2:])
        batch = max(1, _BATCH_NEURONS // (self._timesteps * neurons))
        for start in range(0, samples, batch):
            part = values[start : start + batch].reshape(-1, neurons)
            size, kinds = len(part) // self._timesteps, len(rows.rows)
            if kinds == 1:
                counts = part.reshape(size, -1).sum(axis=1, dtype=np.int64)[:, None]
            else:
                steps, which = np.nonzero(part)
                # each sample's rows have numbers of their own
                places = (steps // self._timesteps) * kinds + rows.labels[which]
                weights = None if part.dtype == np.bool_ else part[steps, which]
                counts = np.bincount(places, weights, size * kinds).astype(np.int64).reshape(size, kinds)
            self._parts[-1][start : start + size] += counts @ rows.rows

    def active(self, name: str, first: int, flags: Array) -> None:
        """``flags`` (n*T, *shape), or what broadcasts to that: active updates of n samples from the ``first`` on."""
        shape = self._shapes[name]
        for row, boxes in self._active.get(name, []):
            if boxes is None:  # flags that are told once count as often as they stand for
                counts = _per_sample(flags, self._timesteps) * (math.prod(shape) // math.prod(flags.shape[1:]))
            else:
                whole = np.broadcast_to(flags, (len(flags), *shape))
                parts = (whole[(slice(None), *synapses.box_index(box))] for box in boxes)
                counts = np.sum([_per_sample(part, self._timesteps) for part in parts], axis=0)
            self._parts[-1][first : first + len(counts)] += counts[:, None] * row

    def result(self) -> EachSample:
        """The counters of all samples so far."""
        whole = np.concatenate(self._parts)
        return EachSample(self._chip, {name: whole[:, place].copy() for place, name in enumerate(self._names)})

    # -------------------------------------------------------------------------------------------------- preparation

    def _caused(self, wiring: Wiring, sender: str, kind: Kind, fixed: dict[str, int]) -> dict[str, Array]:
        """What one event of a kind of each neuron adds to each counter; ``fixed`` gets what comes without any."""
        sums: dict[str, Array] = {}
        for term in wiring.of(sender, kind):
            if term.every_step:
                _add(fixed, {term.number: int(term.each.sum()) * self._timesteps})
            elif term.each.any():
                total = sums.setdefault(term.number, np.zeros(wiring.graph.shape(sender), np.int64))
                total[() if term.box is None else synapses.box_index(term.box)] += term.each
        return sums

    def _updates(
        self, wiring: Wiring, name: str, fixed: dict[str, int]
    ) -> dict[tuple[tuple[str, int], ...], list[synapses.Box] | None]:
        """What one active update in place of an inactive one adds, with the boxes of neurons of which that is true
        (None: all); ``fixed`` gets what comes with none active."""
        stateful = is_stateful(wiring.populations[name].soma, self._timesteps)
        slices = wiring.mapping.of(name)
        boxes: dict[tuple[tuple[str, int], ...], list[synapses.Box]] = {}
        for each in slices:
            updates = each.neurons * self._timesteps
            _add(fixed, wiring.updates(each, 0, updates, 0) if stateful else wiring.updates(each, 0, 0, updates))
            row = tuple((number, by) for number, by in wiring.updates(each, 1, -1, 0).items() if by)
            if row and stateful:
                boxes.setdefault(row, []).append(each.box)
        return {row: None if len(where) == len(slices) else where for row, where in boxes.items()}

    def _row(self, numbers: Map[str, int]) -> Array:
        return np.array([numbers.get(name, 0) for name in self._names], np.int64)

    def _classes(self, sums: dict[str, Array]) -> _Rows:
        """Neurons with equal rows get one number."""
        labels = np.zeros(next(iter(sums.values())).size, np.int64)
        for column in sums.values():
            values, which = np.unique(column, return_inverse=True)
            _, labels = np.unique(labels * len(values) + which.ravel(), return_inverse=True)
        _, examples = np.unique(labels, return_index=True)
        rows = np.zeros((len(examples), len(self._names)), np.int64)
        for name, column in sums.items():
            rows[:, self._names.index(name)] = column.ravel()[examples]
        return _Rows(labels.astype(np.int32), rows)


def _add(total: dict[str, int], more: Map[str, int]) -> None:
    for name, number in more.items():
        total[name] = total.get(name, 0) + number


def _names(rows: list[tuple[tuple[str, int], ...]]) -> list[str]:
    return [name for row in rows for name, _ in row]


def _per_sample(flags: Array, timesteps: int) -> Array:
    """bool (n*T, ...) -> int64 (n,): how many are true."""
    counts: Array = np.count_nonzero(flags.reshape(len(flags) // timesteps, -1), axis=1)
    return counts.astype(np.int64)


@dataclass(frozen=True)
class SampleCosts:
    """Of each sample, float64 (samples,): its energy, and that times its latency (None where that is unknown)."""

    energy_pj: Array
    energy_delay_pj_ns: Array | None


def sample_costs(each: EachSample, costs: Costs, profile: Profile, timed: Timed | None = None) -> SampleCosts | None:
    """The costs of each sample, of which ``costs`` are the mean; None where their energy is incomplete.

    What samples do not differ in is shared out evenly: static energy and, where a run was ``timed``, the updates while
    the chip fills and drains. A sample's latency is the timed run's, or else the mean of all.
    """
    if costs.total_pj is None:
        return None
    energy = np.zeros(len(next(iter(each.counters.values()))))
    for name, counts in each.counters.items():
        price = energy_pj(Counters.of({name: 1.0}), profile)
        if price.missing:
            return None
        energy += price.known * counts
    energy += costs.total_pj - energy.mean()
    latency = None if costs.latency_ns is None else np.full(len(energy), costs.latency_ns)
    if timed is not None and timed.latency_ns is not None and len(timed.latency_ns) == len(energy):
        latency = timed.latency_ns
    return SampleCosts(energy, None if latency is None else energy * latency)
