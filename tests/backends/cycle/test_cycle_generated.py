"""Generated networks, placements, profiles and spikes: the engine and the slow simulator agree in every tick.

What neurons send is drawn, not computed: the engine must time whatever it is told to.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile.backends.cycle import simulate
from neurocompile.backends.cycle.result import CycleRun
from neurocompile.costs.memory import is_stateful
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array, DirectEncoder, Recurrent
from neurocompile.ir.populations import populations
from neurocompile.mapping.limits import CORE_LIMITS
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.mapping.synapses import Box
from tests.backends.cycle import slow
from tests.backends.cycle.cycle_cases import Net, chip, cost, dense, level, neuron, noc, quantity, readout, single
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

    def __repr__(self) -> str:
        profile, nodes = self.profile, [f"{name}: {node.kind}{inputs}" for name, node, inputs in triples(self.graph)]
        slices = [f"{each.population}{each.box} on {each.core}" for each in self.mapping.slices]
        sent = [f"{name}: {values.tolist()}" for name, values in self.events.items()]
        facts = [
            part.model_dump_json(exclude_none=True) for part in (profile.core, profile.events, profile.noc) if part
        ]
        return "\n".join(("", *nodes, *slices, *sent, *facts, f"{profile.host} {profile.banks} {profile.memory}"))

    def run(self, **changes: Any) -> CycleRun:
        case = dataclasses.replace(self, **{key: value for key, value in changes.items() if key != "timing"})
        timing = {"timing": changes["timing"]} if "timing" in changes else {}
        awake = {"awake": case.awake, "leftover": case.leftover} if case.profile.core.active == "state" else {}
        return simulate(case.graph, case.mapping, case.profile, case.events, **timing, **awake)

    def slow_run(self) -> CycleRun:
        return slow.simulate(
            self.graph, self.mapping, self.profile, self.events, awake=self.awake, leftover=self.leftover
        )


def triples(graph: Graph) -> list[tuple[str, Any, tuple[str, ...]]]:
    return [(name, node, graph.inputs(name)) for name, node in graph.items()]


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
def times(draw: DrawFn) -> float:
    """Mostly small whole numbers, so that much happens at once."""
    return draw(st.sampled_from((0, 1, 1, 2, 2, 3, 5, 0.75, 7.000001)))


@st.composite
def profiles(draw: DrawFn) -> Profile:
    pick = lambda *options: draw(st.sampled_from(options))  # noqa: E731
    mesh = (pick(1, 2, 3), pick(1, 2, 3), pick(1, 1, 2))
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
    memory = [level(holds, read=pick(None, 1), write=pick(None, 2), included=pick(True, False, False))
              for holds in pick((), ("synapses", "state"), ("state",))]  # fmt: skip
    return chip(
        mesh, **events, banks=banks, memory=memory,
        noc=pick(network, network, network, None),
        host=pick(None, host, host | {"message": None}),
        core={
            "overlap": pick(True, False), "visits": pick("mapped", "mapped", "slots", "active"),
            "fetch": pick("list", "list", "row"), "active": pick("input", "state"),
        },
        barrier=pick(None, {"points": [{"tiles": n, "time_ns": quantity(3 * n, "ns")} for n in (1, 10)]}),
        tick_ns=pick(None, None, quantity(20, "ns")),
        limits__neurons=quantity(SLOTS, "neurons"),
        numerics__payload_bits=quantity(pick(0, 8), "bits"),
        synapses__shared_kernels=pick(True, False),
    )  # fmt: skip


@st.composite
def boxes(draw: DrawFn, shape: tuple[int, ...]) -> list[Box]:
    """A shape cut along one axis, in up to three."""
    axis = draw(st.integers(0, len(shape) - 1))
    cuts = sorted(draw(st.sets(st.integers(1, shape[axis] - 1), max_size=2))) if shape[axis] > 1 else []
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
def cases(draw: DrawFn, graphs: st.SearchStrategy[Graph], samples: int) -> Case:
    graph, profile = draw(graphs), draw(profiles())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, rate = draw(st.integers(1, samples)), draw(st.sampled_from((0.1, 0.5, 0.9)))
    lead = (count, graph.timesteps)
    events = {}
    for name in graph.of_kind(*ENCODERS, *SPIKING):
        node, size = graph.node(name), (*lead, *graph.shape(name))
        low, high = (node.low, node.high) if isinstance(node, DirectEncoder) else (-1, 1)
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


def assert_conserved(run: CycleRun, case: Case) -> None:
    cores, total = run.cores, sum(ticks(run.step_time))
    parts = [ticks(each) for each in (cores.sending, cores.receiving, cores.stalled, cores.idle)]
    assert all(part >= 0 for each in (*parts, ticks(cores.queue_wait), ticks(run.links.wait)) for part in each)
    assert [sum(each) for each in zip(*parts, strict=True)] == [run.engines * total] * len(cores.core)
    assert run.engines == (2 if case.profile.core.overlap else 1)
    # an exact step is as long as any of the sums that it contains
    assert all(exact >= fast for exact, fast in zip(run.step_time, run.fast_step_time, strict=True))
    assert (run.timeline.length >= run.timeline.sending_end.max(axis=1) + run.barrier - 1e-9).all()
    assert (run.timeline.length >= run.timeline.receiving_end.max(axis=1) + run.barrier - 1e-9).all()
    noc = case.profile.noc
    link_time = noc.link_time_ns.value if noc and noc.link_time_ns else 0
    assert all(busy <= run.total + len(run.step_time) * link_time for busy in run.links.busy)
    if noc and noc.buffer_messages:
        assert all(peak <= noc.buffer_messages.count for peak in (*run.links.peak, *cores.queue_peak))
    # messages sent and entered are messages received; every neuron is visited at every step
    assert int(cores.messages_in.sum() - cores.messages_out.sum()) >= 0
    steps = len(run.step_time)
    assert run.visits.sum(axis=1).tolist() == [each.neurons * steps for each in case.mapping.slices]
    assert run.total > 0 or not any(ticks(run.step_time))


def assert_agreement(case: Case) -> None:
    run = case.run()
    assert_same(run, case.slow_run())
    assert_conserved(run, case)


@settings(max_examples=200)
@given(cases(small_networks(), samples=3), st.sampled_from((1, 50, 1 << 24)))
def test_small_networks(case: Case, laid_out_at_once: int) -> None:
    with mock.patch("neurocompile.backends.cycle.engine._CHUNK", laid_out_at_once):
        assert_agreement(case)


@settings(max_examples=40)
@given(cases(mapped_networks(depth=2, timesteps=2).map(lambda pair: pair[1]), samples=2))
def test_generated_networks(case: Case) -> None:
    assert_agreement(case)
