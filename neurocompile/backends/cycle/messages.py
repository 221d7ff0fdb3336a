"""The messages of one chip step, and what each core has to do for them: sums alone, no network yet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurocompile.backends.compiled import compiled
from neurocompile.ir.nodes import Array


class Load(NamedTuple):
    """The messages of a step, core by core in the order of sending; the host last, to each core in turn."""

    first: Array  # int64 (C + 2,): of each core's messages
    target: Array  # int32 (M,): index of the receiving core
    made: Array  # int64 (M,): ticks of its core's work since the message before
    handled: Array  # int64 (M,): ticks of the receiving core's work
    tail: Array  # int64 (C + 1,): ticks of work after a core's last message
    sending: Array  # int64 (C + 1,): ticks
    receiving: Array  # int64 (C + 1,): ticks, without source visits
    arriving: Array  # int64 (C + 1,): messages


class Work(NamedTuple):
    """What ``plan.Plan`` says, as the loops take it."""

    neurons: Array
    axon_start: Array
    axon_core: Array
    axon_ticks: Array
    visit: Array
    active: Array
    empty_slots: Array
    axon_out: Array
    spike_out: int


@compiled
def load_of(fired: Array, updated: Array, work: Work) -> Load:
    """``fired`` uint8 (neurons,): messages per core of each neuron; ``updated`` bool (neurons of the chip,)."""
    cores = len(work.neurons) - 1
    chip = work.neurons[cores - 1]
    total = 0
    for n in range(len(fired)):
        total += fired[n] * (work.axon_start[n + 1] - work.axon_start[n])
    first = np.zeros(cores + 1, np.int64)
    target = np.empty(total, np.int32)
    made = np.empty(total, np.int64)
    handled = np.empty(total, np.int64)
    tail = np.zeros(cores, np.int64)
    sending = np.zeros(cores, np.int64)
    receiving = np.zeros(cores, np.int64)
    arriving = np.zeros(cores, np.int64)
    count = 0
    for c in range(cores):
        first[c] = count
        ticks = 0
        for n in range(work.neurons[c], work.neurons[c + 1]):
            if n < chip:
                ticks += work.active[n] if updated[n] else work.visit[n]
                if fired[n]:
                    ticks += work.spike_out
            for _ in range(fired[n]):
                for a in range(work.axon_start[n], work.axon_start[n + 1]):
                    ticks += work.axon_out[c]
                    to = work.axon_core[a]
                    target[count], made[count], handled[count] = to, ticks, work.axon_ticks[a]
                    sending[c] += ticks
                    receiving[to] += work.axon_ticks[a]
                    arriving[to] += 1
                    ticks = 0
                    count += 1
        tail[c] = ticks + work.empty_slots[c]
        sending[c] += tail[c]
    first[cores] = count
    _take_turns(target[first[cores - 1] :], handled[first[cores - 1] :], cores)
    return Load(first, target, made, handled, tail, sending, receiving, arriving)


@compiled
def _take_turns(target: Array, handled: Array, cores: int) -> None:
    """Order the host's messages, which are all made alike: the first ones for each core, then the second ones, …"""
    start = np.zeros(cores + 1, np.int64)
    for to in target:
        start[to + 1] += 1
    start = np.cumsum(start)
    by_core, place = np.empty_like(handled), start[:-1].copy()
    for m in range(len(target)):
        by_core[place[target[m]]] = handled[m]
        place[target[m]] += 1
    place[:] = start[:-1]
    waiting = np.flatnonzero(start[1:] > start[:-1])
    m = 0
    while len(waiting) > 0:
        for c in waiting:
            target[m], handled[m] = c, by_core[place[c]]
            place[c] += 1
            m += 1
        waiting = waiting[place[waiting] < start[waiting + 1]]
