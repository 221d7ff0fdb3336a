"""What docs/decisions/0011-cycle-engine.md says, a second time: slow, obvious, in whole ticks, one object per message.

Nothing here is clever: at every instant all that could end, go or begin is looked at again.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurocompile.backends.cycle.result import Cores, CycleRun, Links, Timeline
from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, Array
from neurocompile.mapping.mapping import Mapping
from neurocompile.mapping.synapses import box_index
from tests.backends.cycle.slow_facts import TICKS, Facts

HOST = -1
Link = tuple[int, int]  # from tile to tile


def simulate(
    graph: Graph,
    mapping: Mapping,
    profile: Profile,
    events: Map[str, Array],
    *,
    awake: Map[str, Array] | None = None,
    leftover: Map[str, Array] | None = None,
) -> CycleRun:
    facts = Facts(graph, mapping, profile, events, awake or {}, leftover or {})
    steps = [Step(facts, t) for t in range(facts.steps)]
    fast = [step.fast() for step in steps]
    for step in steps:
        step.run()
    ends = [step.end for step in steps]
    whole = [max(end + facts.barrier, facts.tick) for end in ends]
    fast_whole = [max(end + facts.barrier, facts.tick) for end in fast]
    total, engines = sum(whole), 2 if profile.core.overlap else 1
    cores = {core: [step.cores[core] for step in steps] for core in facts.cores}
    sums = {
        name: [sum(getattr(each, name) for each in cores[core]) for core in facts.cores]
        for name in ("sending", "receiving", "stalled", "messages_out", "messages_in", "queue_wait")
    }
    idle = [
        engines * total - sum(parts) for parts in zip(sums["sending"], sums["receiving"], sums["stalled"], strict=True)
    ]
    used = sorted({link for step in steps for link, wire in step.wires.items() if wire.messages})
    wires = {link: [step.wires[link] for step in steps if link in step.wires] for link in used}
    carried = [sum(wire.messages for wire in wires[link]) for link in used]
    starts = [0, *itertools.accumulate(whole)]
    result_steps = [n * facts.timesteps + facts.timesteps - 1 + facts.depth for n in range(facts.samples)]
    sample_end = [starts[t + 1] for t in result_steps]
    return CycleRun(
        profile=profile.name,
        timing="exact",
        unit="cycles" if facts.in_cycles else "ns",
        unit_ns=facts.unit_ns,
        samples=facts.samples,
        timesteps=facts.timesteps,
        depth=facts.depth,
        step_time=real(whole),
        fast_step_time=real(fast_whole),
        barrier=facts.barrier / TICKS,
        overruns=sum(end + facts.barrier > facts.tick for end in ends) if facts.tick else 0,
        engines=engines,
        cores=Cores(
            core=np.array(facts.cores),
            tile=np.array([facts.tile[core] for core in facts.cores]),
            sending=real(sums["sending"]),
            receiving=real(sums["receiving"]),
            stalled=real(sums["stalled"]),
            idle=real(idle),
            messages_out=np.array(sums["messages_out"]),
            messages_in=np.array(sums["messages_in"]),
            queue_peak=np.array([max(each.queue_peak for each in cores[core]) for core in facts.cores]),
            queue_wait=real(sums["queue_wait"]),
        ),
        links=Links(
            source=np.array([a for a, _ in used], np.int64),
            target=np.array([b for _, b in used], np.int64),
            messages=np.array(carried, np.int64),
            busy=real([count * facts.link_time for count in carried]),
            wait=real([sum(wire.wait for wire in wires[link]) for link in used]),
            peak=np.array([max(wire.peak for wire in wires[link]) for link in used], np.int64),
        ),
        timeline=Timeline(
            first_step=0,
            start=real(starts[:-1]),
            length=real(whole),
            sending_end=real([[step.cores[core].sending_end for core in facts.cores] for step in steps]),
            receiving_start=real([[step.cores[core].receiving_start for core in facts.cores] for step in steps]),
            receiving_end=real([[step.cores[core].receiving_end for core in facts.cores] for step in steps]),
        ),
        sample_latency=real([end - starts[n * facts.timesteps] for n, end in enumerate(sample_end)]),
        sample_end=real(sample_end),
        visits=facts.visits,
    )


def real(ticks: Any) -> Array:
    result: Array = np.array(ticks, np.float64) / TICKS
    return result


# -------------------------------------------------------------------------------------------------- when it happens


@dataclass(eq=False)
class Message:
    number: int
    target: int  # a core
    handling: int
    way: list[Link]  # still before it
    due: int | None = None  # when it comes out of the link it is in, or arrives within its tile
    able: int | None = None  # since when it could go on
    arrival: int = 0
    placeless: bool = False


Buffer = list[Message]  # the first is the head


@dataclass(eq=False)
class Wire:
    """A link, and the buffer behind it."""

    free_at: int = 0
    buffer: Buffer = field(default_factory=list)
    messages: int = 0
    wait: int = 0
    peak: int = 0


@dataclass(eq=False)
class CoreState:
    overlap: bool
    jobs: list[tuple[int, Message | None]]  # (work, what is then handed over); the last without a message
    visits: int  # to sources
    work_due: int | None = None
    waiting: Message | None = None  # for the network
    ahead: bool = False  # the next job has to wait until a handling ends
    sent: bool = False
    handling_due: int | None = None
    queue: list[Message] = field(default_factory=list)
    places: int = 0  # taken
    sending: int = 0
    receiving: int = 0
    stalled: int = 0
    messages_out: int = 0
    messages_in: int = 0
    queue_peak: int = 0
    queue_wait: int = 0
    sending_end: int = 0
    receiving_start: int = 0
    receiving_end: int = 0

    def __post_init__(self) -> None:
        self.sending, self.receiving = sum(work for work, _ in self.jobs), self.visits
        self.messages_out, self.receiving_end = len(self.jobs) - 1, self.visits
        self.work_due = self.jobs[0][0] + (0 if self.overlap else self.visits)
        self.handling_due = self.visits if self.overlap else None

    @property
    def begins(self) -> bool:
        """Whether it now takes a message out of its queue."""
        free = self.handling_due is None and (self.overlap or self.sent or self.waiting is not None)
        return free and bool(self.queue)

    @property
    def stalls(self) -> bool:
        return self.waiting is not None and (self.overlap or self.handling_due is None)

    def next_job(self, now: int) -> None:
        """The message that waited is gone."""
        self.waiting, self.jobs = None, self.jobs[1:]
        if self.handling_due is None or self.overlap:
            self.work_due = now + self.jobs[0][0]
        else:
            self.ahead = True

    def end_work(self, now: int) -> None:
        self.work_due, (_, self.waiting) = None, self.jobs[0]
        if self.waiting:
            self.waiting.able = now
        else:
            self.sent, self.sending_end = True, now

    def begin_handling(self, now: int) -> None:
        message = min(self.queue, key=lambda each: (each.arrival, each.number))
        self.queue.remove(message)
        if not message.placeless:
            self.places -= 1
            self.queue_wait += now - message.arrival
        if not self.visits and not self.messages_in:
            self.receiving_start = now
        self.messages_in += 1
        self.receiving += message.handling
        self.handling_due = now + message.handling

    def end_handling(self, now: int) -> None:
        self.handling_due, self.receiving_end = None, now
        if self.ahead:
            self.ahead, self.work_due = False, now + self.jobs[0][0]

    def take_place(self) -> None:
        self.places += 1
        self.queue_peak = max(self.queue_peak, self.places)

    def arrive(self, message: Message, now: int) -> None:
        message.arrival = now
        self.queue.append(message)


class Step:
    """One chip step, from time 0."""

    def __init__(self, facts: Facts, t: int) -> None:
        self.facts, self.t, self.end, self.now = facts, t, 0, 0
        self.numbers = itertools.count()
        self.cores = {core: self.core(core) for core in facts.cores}
        self.wires: dict[Link, Wire] = defaultdict(Wire)
        self.within: list[Message] = []  # on their way within a tile
        self.host = self.entering()
        if facts.profile.host is None:
            for message in self.host:
                message.placeless, message.due = True, None
                self.cores[message.target].arrive(message, 0)
            self.host = []

    # what the step consists of

    def core(self, core: int) -> CoreState:
        facts, profile = self.facts, self.facts.profile
        jobs: list[tuple[int, Message | None]] = []
        work = neurons = 0
        for index, each in enumerate(facts.mapping.slices):
            if each.core != core:
                continue
            shape, fired = facts.graph.shape(each.population), facts.fired(each.population, self.t)
            for number in np.arange(len(fired)).reshape(shape)[box_index(each.box)].ravel().tolist():
                kind, time = facts.update(each, number, self.t)
                facts.visits[index, kind] += 1
                work, neurons = work + time, neurons + 1
                if fired[number]:
                    work += facts.ticks(profile.events.spike_out)
                    for target in facts.goes_to[each.population][number]:
                        work += facts.ticks(profile.events.axon_out)
                        handling = facts.handling(each.population, number, target)
                        jobs.append((work, self.message(each.tile, target, handling)))
                        work = 0
        slots = profile.limits.neurons.count if profile.core.visits == "slots" and profile.limits.neurons else 0
        if slots > neurons:
            work += (slots - neurons) * facts.ticks(profile.events.neuron_update_inactive)
        return CoreState(profile.core.overlap, [*jobs, (work, None)], facts.source_visits(core))

    def message(self, tile: int, target: int, handling: int) -> Message:
        return Message(next(self.numbers), target, handling, route(tile, self.facts.tile[target], self.facts.profile))

    def entering(self) -> Buffer:
        """What comes from off the chip, with the times at which it does."""
        facts, host = self.facts, self.facts.profile.host
        tile, each = (host.tile, facts.ticks(host.message)) if host else (0, 0)
        wanted = [
            (name, neuron, target)
            for name in facts.graph.of_kind(*ENCODERS)
            for neuron, value in enumerate(facts.fired(name, self.t).tolist())
            if value
            for _ in range(facts.copies(name, int(value)))
            for target in facts.goes_to[name][neuron]
        ]
        begins = self.t % facts.timesteps == 0
        entering = [(target, facts.handling(name, neuron, target, begins=begins)) for name, neuron, target in wanted]
        for population in facts.biased:
            if facts.own_step(population.name, self.t + min(1, population.soma.phase)):
                brought = {core: facts.bias_handling(population, core) for core in facts.cores}
                entering += [(core, handling) for core, handling in brought.items() if handling is not None]
        earlier: Counter[int] = Counter()  # for each core
        turns = []
        for target, handling in entering:
            turns.append((earlier[target], target, handling))
            earlier[target] += 1
        buffer = [self.message(tile, target, handling) for _, target, handling in sorted(turns)]
        for place, message in enumerate(buffer):
            message.due = (place + 1) * each
        return buffer

    def fast(self) -> int:
        """The largest core's sums."""
        received = {name: core.visits for name, core in self.cores.items()}
        for message in self.messages():
            received[message.target] += message.handling
        if self.facts.profile.core.overlap:
            return max(max(core.sending, received[name]) for name, core in self.cores.items())
        return max(core.sending + received[name] for name, core in self.cores.items())

    def messages(self) -> list[Message]:
        """All of them, before the run."""
        inside = [message for core in self.cores.values() for _, message in core.jobs if message]
        return [*inside, *self.host, *(message for core in self.cores.values() for message in core.queue)]

    # the run

    def run(self) -> None:
        while dues := self.dues():
            for core in self.cores.values():
                core.stalled += (min(dues) - self.now) * core.stalls
            self.now = min(dues)
            self.end_what_is_due()
            self.go_and_begin()
        for core in self.cores.values():
            assert core.sent, "a message is never taken"
            self.end = max(self.end, core.sending_end, core.receiving_end)
        assert not any(self.buffers()), "a message never arrives"
        assert not any(core.queue for core in self.cores.values()), "a message is never handled"

    def buffers(self) -> list[Buffer]:
        return [self.host, *(wire.buffer for wire in self.wires.values())]

    def dues(self) -> list[int]:
        """When something ends, or a busy link is free again."""
        works = [due for core in self.cores.values() for due in (core.work_due, core.handling_due)]
        ways = [message.due for message in itertools.chain(self.within, *self.buffers())]
        links = [wire.free_at for wire in self.wires.values() if wire.free_at > self.now]
        return [due for due in (*works, *ways, *links) if due is not None]

    def end_what_is_due(self) -> None:
        now = self.now
        working = [core for core in self.cores.values() if core.work_due == now]
        handling = [core for core in self.cores.values() if core.handling_due == now]
        for core in working:
            core.end_work(now)
        for core in handling:
            core.end_handling(now)
        for message in itertools.chain(*self.buffers()):
            message.due = None if message.due == now else message.due
        for message in [message for message in self.within if message.due == now]:
            self.within.remove(message)
            self.cores[message.target].arrive(message, now)

    def go_and_begin(self) -> None:
        while True:
            while able := [message for message in self.heads() if self.can_go(message)]:
                self.go(min(able, key=lambda each: (each.able, each.number)))
            beginners = [core for core in self.cores.values() if core.begins]
            if not beginners:
                return
            for core in beginners:
                core.begin_handling(self.now)

    def heads(self) -> list[Message]:
        """What wants to go on: since when, is told by ``able``."""
        heads = [buffer[0] for buffer in self.buffers() if buffer and buffer[0].due is None]
        for message in heads:
            message.able = self.now if message.able is None else message.able
        return [core.waiting for core in self.cores.values() if core.waiting] + heads

    def can_go(self, message: Message) -> bool:
        most = self.facts.places
        if message.way:
            wire = self.wires[message.way[0]]
            return wire.free_at <= self.now and (most is None or len(wire.buffer) < most)
        return most is None or self.cores[message.target].places < most

    def go(self, message: Message) -> None:
        now, noc, target = self.now, self.facts.profile.noc, self.cores[message.target]
        travelled = any(message in wire.buffer for wire in self.wires.values())
        self.leave(message)
        if message.way:
            link, message.way = message.way[0], message.way[1:]
            wire = self.wires[link]
            assert message.able is not None
            assert noc is not None
            wire.wait += now - message.able
            wire.messages += 1
            wire.free_at = now + self.facts.link_time
            wire.buffer.append(message)
            wire.peak = max(wire.peak, len(wire.buffer))
            message.able = None
            along_row = same_row(*link, self.facts.profile)
            message.due = now + self.facts.ticks(noc.hop_east_west if along_row else noc.hop_north_south)
            return
        target.take_place()
        if travelled:
            target.arrive(message, now)
        else:
            message.due = now + (self.facts.ticks(noc.within_tile) if noc else 0)
            self.within.append(message)

    def leave(self, message: Message) -> None:
        for buffer in self.buffers():
            if message in buffer:
                buffer.remove(message)
        for core in self.cores.values():
            if core.waiting is message:
                core.next_job(self.now)


def columns_of(profile: Profile) -> int:
    return profile.topology.tile_columns.count if profile.topology else 1


def same_row(a: int, b: int, profile: Profile) -> bool:
    return a // columns_of(profile) == b // columns_of(profile)


def route(a: int, b: int, profile: Profile) -> list[Link]:
    """The links from tile to tile: along the row first."""
    if profile.noc is None:
        return []
    columns, way = columns_of(profile), []
    while a != b:
        (row, column), (to_row, to_column) = divmod(a, columns), divmod(b, columns)
        if column != to_column:
            column += 1 if to_column > column else -1
        else:
            row += 1 if to_row > row else -1
        way.append((a, row * columns + column))
        a = way[-1][1]
    return way
