"""Generated networks, placements, profiles and spikes: the engine and the slow simulator agree in every tick.

What neurons send is drawn, not computed: the engine must time whatever it is told to.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile.backends.cycle import simulate
from neurocompile.backends.cycle.result import CycleRun, Timing
from neurocompile.costs.memory import is_stateful
from neurocompile.hardware import Profile, Quantity
from neurocompile.hardware.record import Record
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ANALOG, ENCODERS, SPIKING, Array, Conv2d, DirectEncoder, Linear, Recurrent
from neurocompile.ir.populations import populations
from neurocompile.mapping.limits import CORE_LIMITS
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.synapses import Box
from tests.backends.cycle import slow
from tests.backends.cycle.cycle_cases import Net, chip, cost, dense, level, neuron, noc, quantity, readout, single
from tests.backends.cycle.slow_facts import Facts
from tests.networks import mapped_networks

SLOTS = 512  # of a core


@dataclasses.dataclass(frozen=True)
class Case:
    """All that a run is made of."""

    graph: Graph
    mapping: Mapping
    profile: Profile
    events: dict[str, Array]
    awake: dict[str, Array]
    leftover: dict[str, Array]

    def run(self, timing: Timing = "exact") -> CycleRun:
        states = {"awake": self.awake, "leftover": self.leftover} if self.profile.core.active == "state" else {}
        return simulate(self.graph, self.mapping, self.profile, self.events, timing=timing, **states)

    def slow_run(self) -> CycleRun:
        return slow.simulate(
            self.graph, self.mapping, self.profile, self.events, awake=self.awake, leftover=self.leftover
        )

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002
        """What Hypothesis prints: enough to see what happens, without the bases of every number."""
        lines = [f"{name}: {node.kind} of {', '.join(self.graph.inputs(name))}" for name, node in self.graph.items()]
        lines += [f"{each.population} {each.box} on {each.core}" for each in self.mapping.slices]
        lines += [f"{name}: {values.tolist()}" for name, values in self.events.items()]
        lines += [f"{name}: {_short(getattr(self.profile, name))}" for name in PARTS]
        printer.text("\n".join(("", *lines)))


PARTS = ("topology", "core", "events", "noc", "host", "banks", "memory", "barrier", "tick_ns")


def _short(value: Any) -> Any:
    """A part of a profile, of which quantities are just their numbers and nulls are left out."""
    if isinstance(value, Quantity):
        return value.value
    if isinstance(value, Record):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return {name: _short(field) for name, field in fields.items() if field is not None}
    return [_short(each) for each in value] if isinstance(value, tuple) else value


# -------------------------------------------------------------------------------------------------------- strategies


@st.composite
def small_networks(draw: DrawFn) -> Graph:
    """A few neurons in up to four populations, joined all to all or one to one, forwards and backwards, with delays."""
    encoder = DirectEncoder(scale=1.0, low=draw(st.sampled_from((0, -4))), high=draw(st.sampled_from((1, 3))))
    sizes = {"code": draw(st.integers(1, 4))}
    sizes |= {f"l{place}": draw(st.integers(1, 6)) for place in range(draw(st.integers(1, 4)))}
    net = Net(sizes["code"], draw(st.sampled_from((1, 1, 2, 3))), encoder)
    names = list(sizes)
    for place, name in enumerate(names[1:], start=1):
        sources = [(draw(st.sampled_from(names[:place] if place > 1 else ["code"])), draw(st.integers(0, 2)))
                   for _ in range(draw(st.integers(1, 2)))]  # fmt: skip
        if draw(st.booleans()):
            sources.append((draw(st.sampled_from(names[place:])), 4))  # no loop has more projections than that
        chains = []
        for source, late in sources:
            one_to_one = sizes[source] == sizes[name] and draw(st.booleans())
            weights = single(sizes[name]) if one_to_one else dense(sizes[name], sizes[source])
            chains.append((source, *([Recurrent(shape=(sizes[source],), steps=late)] if late else []), weights))
        net.add(name, *chains, soma=neuron(bias=np.array(draw(st.sampled_from((0, 0, 1))))))
    if draw(st.booleans()):
        net.add("out", (names[-1], dense(2, sizes[names[-1]])), soma=readout())
    return net.graph


@st.composite
def crowds(draw: DrawFn) -> Graph:
    """Many neurons that send to few, and get something back in between."""
    many, few = draw(st.integers(6, 12)), draw(st.integers(1, 3))
    net = Net(1, draw(st.sampled_from((1, 2))))
    net.add("many", ("code", dense(many, 1)), ("few", Recurrent(shape=(few,), steps=2), dense(many, few)))
    return net.add("few", ("many", dense(few, many))).graph


@st.composite
def times(draw: DrawFn) -> float:
    """Mostly small whole numbers, so that much happens at once."""
    return draw(st.sampled_from((0, 1, 1, 2, 2, 3, 5, 0.75, 7.000001)))


@st.composite
def profiles(draw: DrawFn, *, crowded: bool = False) -> Profile:
    """``crowded``: messages are bound to get into each other's way."""
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    mesh = (pick(1, 2, 3), 3 if crowded else pick(1, 2, 3), pick(1, 1, 2))
    events: dict[str, Any] = {name: draw(times()) for name in ("neuron_update_active", "neuron_update_inactive")}
    for name in ("neuron_update_stateless", "neuron_update_readout", "spike_out", "axon_out", "axon_in", "synaptic_op",
                 "graded_synaptic_op"):  # fmt: skip
        if pick(True, True, False):
            events[name] = draw(times())
    banks = [
        {
            "name": name, "source": pick("input", "itself", "others", "any"),
            "target": pick("neurons", "readouts", "any"), "zeros": pick("stored", "skipped"),
            "weights": pick("any", "dense", "sparse", "shared"),
            **{each: cost(draw(times())) if pick(True, False) else None
               for each in ("source_visit", "message", "synaptic_op")},
        }
        for name in pick((), (), ("one",), ("one", "two"))
    ]  # fmt: skip
    host = {"tile": draw(st.integers(0, mesh[0] * mesh[1] - 1)), "message": cost(draw(times()))}
    network = noc(draw(times()), south=draw(times()), within=draw(times()), link=pick(None, 0, 1, 2, 4),
                  buffers=pick(None, 1, 1, 2, 3))  # fmt: skip
    narrow = noc(pick(1, 2, 3), south=pick(1, 2), within=pick(0, 1), link=pick(1, 2, 3), buffers=pick(None, 1, 2))
    memory = [level(holds, read=pick(None, 1), write=pick(None, 2), included=pick(True, False, False))
              for holds in pick((), ("synapses", "state"), ("state",))]  # fmt: skip
    return chip(
        mesh, **events, banks=banks, memory=memory,
        noc=pick(network, network, network, None) if not crowded else narrow,
        host=pick(None, host, host | {"message": None}),
        core={
            "overlap": pick(True, False), "visits": pick("mapped", "mapped", "slots", "active"),
            "fetch": pick("list", "list", "row"), "active": pick("input", "state"), "biases": pick("held", "sent"),
        },
        barrier=pick(None, {"points": [{"tiles": n, "time_ns": quantity(3 * n, "ns")} for n in (1, 10)]}),
        tick_ns=pick(None, None, quantity(20, "ns")),
        limits__neurons=quantity(SLOTS, "neurons"),
        numerics__payload_bits=quantity(pick(0, 8), "bits"),
        synapses__shared_kernels=pick(True, False),
        synapses__index_bits=pick(None, quantity(4, "bits")),
    )  # fmt: skip


@st.composite
def pruned(draw: DrawFn, graph: Graph) -> Graph:
    """``graph``, or the same with weights of zero: most of all of them, and all of some."""
    if draw(st.booleans()):
        return graph
    rng, draft = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), graph.edit()
    for name in graph.of_kind(Conv2d, Linear):
        node = graph.node(name)
        assert isinstance(node, (Conv2d, Linear))
        kept = rng.random(node.weight.shape) < rng.choice((0.0, 0.2, 0.4, 1.0))
        draft.replace(name, dataclasses.replace(node, weight=node.weight * kept))
    return draft.finish()


@st.composite
def boxes(draw: DrawFn, shape: tuple[int, ...]) -> list[Box]:
    """A shape cut along one axis, in up to four."""
    axis = draw(st.integers(0, len(shape) - 1))
    cuts = sorted(draw(st.sets(st.integers(1, shape[axis] - 1), max_size=3))) if shape[axis] > 1 else []
    whole = [(0, extent) for extent in shape]
    return [
        (*whole[:axis], (start, stop), *whole[axis + 1 :])
        for start, stop in itertools.pairwise([0, *cuts, shape[axis]])
    ]


@st.composite
def mappings(draw: DrawFn, graph: Graph, profile: Profile) -> Mapping:
    """Every slice on some core."""
    topology = profile.topology
    assert topology is not None
    needs = dict.fromkeys((limit.name for limit in CORE_LIMITS), 1)
    slices = []
    for population in populations(graph):
        for box in draw(boxes(population.shape)):
            core = draw(st.integers(0, topology.cores - 1))
            slices.append(CoreSlice(population.name, box, core, core // topology.cores_per_tile.count, needs))
    return Mapping(profile.name, tuple(slices))


@st.composite
def cases(draw: DrawFn, graphs: st.SearchStrategy[Graph], samples: int, *, crowded: bool = False) -> Case:
    graph, profile = draw(graphs), draw(profiles(crowded=crowded))
    graph = draw(pruned(graph))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, rate = draw(st.integers(1, samples)), draw(st.sampled_from((0.8, 1.0) if crowded else (0.1, 0.5, 0.9)))
    lead = (count, graph.timesteps)
    events = {}
    for name in graph.of_kind(*ENCODERS, *SPIKING):
        node, size = graph.node(name), (*lead, *graph.shape(name))
        low, high = (node.low, node.high) if isinstance(node, ANALOG) else (-1, 1)
        events[name] = rng.integers(low, high, size, endpoint=True) * (rng.random(size) < rate)
    stateful = [each for each in populations(graph) if is_stateful(each.soma, graph.timesteps)]
    depth = max(each.soma.phase for each in populations(graph))
    awake = {each.name: rng.random((*lead, *each.shape)) < 0.3 for each in stateful}
    leftover = {each.name: rng.random((depth - each.soma.phase, *each.shape)) < 0.3 for each in stateful}
    return Case(graph, draw(mappings(graph, profile)), profile, events, awake, leftover)


# ------------------------------------------------------------------------------------------------------------ checks


def ticks(values: Any) -> list[Any]:
    return np.rint(np.asarray(values) * 10**6).astype(np.int64).tolist()


def links(run: CycleRun) -> dict[tuple[int, int], tuple[int, ...]]:
    each = run.links
    rows = zip(each.source, each.target, each.messages, ticks(each.busy), ticks(each.wait), each.peak, strict=True)
    return {(int(a), int(b)): tuple(map(int, numbers)) for a, b, *numbers in rows}


def assert_same(engine: CycleRun, judge: CycleRun) -> None:
    for name in ("profile", "unit", "unit_ns", "samples", "timesteps", "depth", "overruns", "engines"):
        assert getattr(engine, name) == getattr(judge, name), name
    for name in ("step_time", "fast_step_time", "barrier", "sample_latency", "sample_end"):
        assert ticks(getattr(engine, name)) == ticks(getattr(judge, name)), name
    for field in dataclasses.fields(engine.cores):
        assert ticks(getattr(engine.cores, field.name)) == ticks(getattr(judge.cores, field.name)), field.name
    assert links(engine) == links(judge)
    assert engine.visits.tolist() == judge.visits.tolist()
    line = engine.timeline
    window = slice(line.first_step, line.first_step + len(line.start))
    assert len(line.start) >= 1
    for name in ("start", "length", "sending_end", "receiving_start", "receiving_end"):
        assert ticks(getattr(line, name)) == ticks(getattr(judge.timeline, name)[window]), name


def entering(case: Case) -> int:
    """Messages from off the chip."""
    facts = Facts(case.graph, case.mapping, case.profile, case.events, case.awake, case.leftover)
    samples, timesteps = next(iter(case.events.values())).shape[:2]
    cores = {each.core for each in case.mapping.slices}
    biased = sum(facts.bias_handling(each, core) is not None for each in facts.biased for core in cores)
    return samples * timesteps * biased + sum(
        facts.copies(name, int(value)) * len(facts.goes_to[name][neuron])
        for name in case.graph.of_kind(*ENCODERS)
        for values in case.events[name].reshape(-1, *case.graph.shape(name))
        for neuron, value in enumerate(values.ravel())
        if value
    )


def assert_conserved(run: CycleRun, case: Case) -> None:
    cores, total, steps = run.cores, sum(ticks(run.step_time)), len(run.step_time)
    parts = [ticks(each) for each in (cores.sending, cores.receiving, cores.stalled, cores.idle)]
    assert min(min(each) for each in (*parts, ticks(cores.queue_wait))) >= 0
    assert min(ticks(run.links.wait), default=0) >= 0
    assert [sum(each) for each in zip(*parts, strict=True)] == [run.engines * total] * len(cores.core)
    assert cores.messages_in.sum() == cores.messages_out.sum() + entering(case)
    assert run.visits.sum(axis=1).tolist() == [each.neurons * steps for each in case.mapping.slices]
    # a step is as long as any core's sums, its ends and its barrier; no link carries two messages at once
    assert all(exact >= fast for exact, fast in zip(ticks(run.step_time), ticks(run.fast_step_time), strict=True))
    line, barrier = run.timeline, ticks(run.barrier)
    for ends in (line.sending_end, line.receiving_end):
        assert all(
            length >= end + barrier for length, end in zip(ticks(line.length), ticks(ends.max(axis=1)), strict=True)
        )
    noc = case.profile.noc
    if noc and noc.link_time_ns:
        assert all(busy <= total + steps * ticks(noc.link_time_ns.value) for busy in ticks(run.links.busy))
    if noc and noc.buffer_messages:
        assert max((*run.links.peak, *cores.queue_peak)) <= noc.buffer_messages.count


def assert_agreement(case: Case) -> None:
    run = case.run()
    assert_same(run, case.slow_run())
    assert_conserved(run, case)


#: without the phase that explains, which traces every line
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
SMALL = cases(small_networks(), samples=3)


@settings(max_examples=200, phases=PHASES)
@given(SMALL, st.sampled_from((1, 50, 1 << 24)))
def test_small_networks(case: Case, laid_out_at_once: int) -> None:
    with mock.patch("neurocompile.backends.cycle.engine._CHUNK", laid_out_at_once):
        assert_agreement(case)


@settings(max_examples=100, phases=PHASES)
@given(cases(crowds(), samples=2, crowded=True))
def test_crowded_networks(case: Case) -> None:
    assert_agreement(case)


@settings(max_examples=40, phases=PHASES)
@given(cases(mapped_networks(depth=2, timesteps=2).map(lambda pair: pair[1]), samples=2))
def test_generated_networks(case: Case) -> None:
    assert_agreement(case)


@settings(max_examples=40, phases=PHASES)
@given(SMALL, st.data())
def test_a_placement_changes_no_counter(case: Case, data: st.DataObject) -> None:
    """Nor does what the network takes. Each core works as much as before, wherever it lies."""
    topology = case.profile.topology
    assert topology is not None
    moved = data.draw(st.permutations(range(topology.cores)))
    slices = tuple(
        dataclasses.replace(each, core=moved[each.core], tile=moved[each.core] // topology.cores_per_tile.count)
        for each in case.mapping.slices
    )
    other = dataclasses.replace(case, mapping=dataclasses.replace(case.mapping, slices=slices))
    free = dataclasses.replace(case, profile=case.profile.model_copy(update={"noc": None, "host": None}))
    run = case.run()
    for changed, place in ((other.run(), moved), (free.run(), range(topology.cores))):
        assert run.visits.tolist() == changed.visits.tolist()
        order = [changed.cores.core.tolist().index(place[core]) for core in run.cores.core]
        for name in ("sending", "receiving", "messages_in", "messages_out"):
            assert ticks(getattr(run.cores, name)) == ticks(getattr(changed.cores, name)[order]), name


@settings(max_examples=40, phases=PHASES)
@given(SMALL)
def test_fast_timing(case: Case) -> None:
    """The sums of the exact mode, and no network."""
    exact, fast = case.run(), case.run("fast")
    assert (exact.timing, fast.timing) == ("exact", "fast")
    assert ticks(fast.step_time) == ticks(fast.fast_step_time) == ticks(exact.fast_step_time)
    for name in ("core", "sending", "receiving", "messages_in", "messages_out"):
        assert ticks(getattr(fast.cores, name)) == ticks(getattr(exact.cores, name)), name
    assert exact.visits.tolist() == fast.visits.tolist()
    assert not fast.cores.stalled.any()
    parts = [ticks(each) for each in (fast.cores.sending, fast.cores.receiving, fast.cores.idle)]
    assert [sum(each) for each in zip(*parts, strict=True)] == [fast.engines * sum(ticks(fast.step_time))] * len(
        parts[0]
    )
