"""A NIR network -> a traced graph, and what the user should know about how it was read."""

from __future__ import annotations

import difflib
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurocompile.errors import GraphError, InputError, NeurocompileError
from neurocompile.frontend.nir.conventions import CONVENTIONS, Conventions
from neurocompile.frontend.nir.flatten import Network, edges_of, flatten
from neurocompile.frontend.nir.hdf5 import read_plain
from neurocompile.frontend.nir.layers import FIRING, INTEGRATING, MAKERS, Fields, Nodes, make
from neurocompile.frontend.nir.neurons import Step, per_step
from neurocompile.frontend.nir.wiring import feedback, reached
from neurocompile.ir.graph import Graph
from neurocompile.ir.metadata import KEY, fingerprint, from_metadata
from neurocompile.ir.nodes import Add, Array, DirectEncoder, Flatten, Input, Node, Readout, Recurrent, Shape
from neurocompile.ir.verify import verify

if TYPE_CHECKING:
    import nir


def read_nir(
    source: Path | nir.NIRGraph,
    *,
    timesteps: int | None = None,
    dt: float | None = None,
    name: str | None = None,
    input_shape: Shape | None = None,
    conventions: Conventions = CONVENTIONS["nir"],
) -> tuple[Graph, list[str]]:
    """(the network of a NIR file, or of a graph in memory; what the user should know about how it was read).

    ``dt``: seconds per time step; else what the file's metadata state as ``dt``, else that of ``conventions``, which
    are for what NIR does not say. ``input_shape`` where the file has none, or one with a batch in it. The graph is of
    stage "traced", but where neurocompile itself wrote the file: then it is the very graph that was written, and needs
    no ``timesteps``. Every soma computes its step from what the others send in the same step; only connections that
    close a cycle take a step.

    InputError where the file is not what it must be, or the network cannot be compiled: all its reasons, by node.
    """
    plain = read_plain(source) if isinstance(source, Path) else _in_memory(source)
    try:
        metadata = plain.get("metadata")
        metadata = metadata if isinstance(metadata, Mapping) else {}
        if KEY in metadata:
            return _written_by_us(plain, metadata, timesteps, name, input_shape)
        if timesteps is None:
            raise InputError("a NIR network does not say how many time steps it runs; give --timesteps (such as 25)")
        notes: list[str] = []
        step = Step(_time_step(metadata, dt, conventions, notes), conventions)
        title = name or (source.stem if isinstance(source, Path) else "nir")
        graph = _Reading(flatten(plain), step, notes).graph(title, timesteps, input_shape)
    except NeurocompileError as error:
        raise InputError(f"{source}: {error}" if isinstance(source, Path) else str(error)) from error
    except RecursionError:
        raise InputError(f"{source}: its nodes are nested too deep; flatten the network") from None
    return graph, notes


def _in_memory(graph: nir.NIRGraph) -> dict[str, Any]:
    try:
        plain = graph.to_dict()
    except (AttributeError, TypeError, ValueError, RuntimeError, AssertionError, KeyError) as error:
        raise InputError(
            f"this {type(graph).__name__} is no NIR graph that can be told ({error}); give a path or a nir.NIRGraph"
        ) from error
    return dict(plain)


def _written_by_us(
    plain: dict[str, Any], metadata: Mapping[str, Any], timesteps: int | None, name: str | None,
    input_shape: Shape | None,
) -> tuple[Graph, list[str]]:  # fmt: skip
    """The graph that the file's metadata hold, with another name or number of time steps where these are given."""
    nodes = plain.get("nodes")
    stated = {
        f"{node}/{key}": value
        for node, fields in (nodes.items() if isinstance(nodes, Mapping) else ())
        for key, value in (fields.items() if isinstance(fields, Mapping) else ())
        if isinstance(value, np.ndarray)
    }
    graph = from_metadata(metadata[KEY], stated, fingerprint({**plain, "edges": edges_of(plain)}))
    (entry,) = graph.of_kind(Input)
    if input_shape not in (None, graph.shape(entry)):
        raise InputError(f"it says input shape {graph.shape(entry)}, --input-shape says {input_shape}; drop it")
    notes = [f"written by neurocompile: its metadata give the graph of stage {graph.stage!r} as it was"]
    if timesteps not in (None, graph.timesteps):
        if graph.stage == "integer":
            raise InputError(
                f"its integers were made for {graph.timesteps} time steps, --timesteps says {timesteps}; drop it"
            )
        notes.append(f"it runs for {timesteps} time steps in place of {graph.timesteps}")
    triples = [(each, node, graph.inputs(each)) for each, node in graph.items()]
    return Graph(name or graph.name, graph.stage, timesteps or graph.timesteps, triples, graph.outputs), notes


def _time_step(metadata: Mapping[str, Any], given: float | None, conventions: Conventions, notes: list[str]) -> float:
    """Seconds per time step, and where the number is from."""
    stated = metadata.get("dt")
    if stated is not None and given is None:
        number = np.asarray(stated)
        if number.dtype.kind not in "iuf" or number.size != 1 or not 0 < number.item() < math.inf:
            raise InputError(f"its metadata say dt = {stated!r:.40}, which must be positive seconds; give --dt")
        notes.append(f"one time step is {number.item():g} s, as the file states")
        return float(number.item())
    if given is None:
        notes.append(
            f"ASSUMED: one time step is {conventions.dt:g} s, for neither the file nor --dt states it; every leak "
            "depends on it, so give --dt if the network was trained with another"
        )
        return conventions.dt
    if not 0 < given < math.inf:
        raise InputError(f"--dt is {given}; it must be a positive number of seconds")
    besides = "" if stated is None else f" (the file's metadata say {stated})"
    notes.append(f"one time step is {given:g} s, as --dt says{besides}")
    return given


KNOWN = ("Input", "Output", *MAKERS)


@dataclass
class _Reading:
    """One import: the flat network, and what it becomes."""

    network: Network
    step: Step
    notes: list[str]
    sources: dict[str, tuple[str, ...]] = field(init=False)
    made: dict[str, Nodes] = field(init=False)
    shapes: dict[str, Shape] = field(init=False)

    def __post_init__(self) -> None:
        self.sources = self.network.sources()

    def of(self, *kinds: str) -> list[str]:
        return [name for name in sorted(self.sources) if self.network.parts[name].kind in kinds]

    def kind(self, name: str) -> str:
        return self.network.parts[name].kind

    def graph(self, title: str, timesteps: int, input_shape: Shape | None) -> Graph:
        unclear = bool(self.network.problems)
        self._check_kinds()
        if unclear:
            self.refuse()
        entry = self._entry()
        self._infer(entry, input_shape)
        self._check_ends()
        somas = self.of(*FIRING)
        enters = reached(self.sources, {*somas, *self.of(*INTEGRATING)})
        back = feedback(enters, somas, [entry])
        for source, target in sorted(back):
            self.notes.append(f"{source} -> {target} closes a cycle: its spikes arrive one time step later")
        self._tell_neurons()
        draft = _Emission(self, entry, {t: frozenset(s for s, b in back if b == t) for t in somas}, enters)
        outputs = draft.outputs()
        graph = Graph(title, "traced", timesteps, [(n, node, ins) for n, (node, ins) in draft.nodes.items()], outputs)
        verify(graph)
        return graph

    def _check_kinds(self) -> None:
        for name in sorted(self.sources):
            if self.kind(name) not in KNOWN:
                near = difflib.get_close_matches(self.kind(name), KNOWN, n=3, cutoff=0.0)
                self.problem(name, f"this type is not known; the nearest are {', '.join(near)}")

    def problem(self, name: str, reason: str) -> None:
        self.network.problems.append(f"{name} ({self.kind(name)}): {reason}")

    def refuse(self) -> None:
        """InputError with all problems, if there are any."""
        problems = sorted(self.network.problems)
        if problems:
            count = "one node" if len(problems) == 1 else f"{len(problems)} nodes"
            raise InputError(f"{count} of the NIR network cannot be compiled: {'; '.join(problems)}")

    def _entry(self) -> str:
        entries = [name for name in self.of("Input") if any(name in inputs for inputs in self.sources.values())]
        if len(entries) != 1:
            named = f" ({', '.join(entries)})" if entries else ""
            raise InputError(f"the network has {len(entries)} Input nodes that are read{named}; it must have one")
        return entries[0]

    # ------------------------------------------------------------------------------------------------------- shapes

    def _infer(self, entry: str, given: Shape | None) -> None:
        """The shape that every part gives, and the nodes that it becomes."""
        stated = self._stated_shape(entry)
        shape = given or stated
        if shape is None:
            raise InputError(f"{entry} (Input): its shape is not stated; give --input-shape (such as 2,34,34)")
        if given is not None and stated not in (None, given):
            self.notes.append(f"the input's shape is {given}, as --input-shape says (the file says {stated})")
        problems = self._walk(entry, shape)
        if given is None and len(shape) > 1 and shape[0] == 1 and (problems or self._flattened(entry)):
            without = self._walk(entry, shape[1:])
            if not without:
                self.notes.append(f"the input's shape {shape} has a batch of one in front: taken as {shape[1:]}")
            problems = without and self._walk(entry, shape)
        for name, reason in problems.items():
            self.problem(name, reason)
        self.refuse()

    def _flattened(self, entry: str) -> bool:
        """Whether weights that take a vector read the input, and would have to flatten it."""
        readers = [name for name, inputs in self.sources.items() if entry in inputs and self.made.get(name)]
        return any(isinstance(self.made[name][0][1], Flatten) for name in readers if self.kind(name) != "Flatten")

    def _stated_shape(self, entry: str) -> Shape | None:
        fields = Fields(self.network.parts[entry].fields, (), self.step)
        if fields.values.get("shape") is None:
            return None
        try:
            sizes = fields.integers("shape", np.size(fields.values["shape"]))
            Input(shape=sizes)
        except GraphError as error:
            raise InputError(f"{entry} (Input): {error}") from None
        return sizes

    def _walk(self, entry: str, shape: Shape) -> dict[str, str]:
        """Follow the network from its input, each part from what reaches it first; returns what is wrong, by part."""
        self.shapes, self.made = {entry: shape}, {}
        readers: dict[str, list[str]] = {name: [] for name in self.sources}
        for name, inputs in sorted(self.sources.items()):
            for source in inputs:
                readers[source].append(name)
        problems: dict[str, str] = {}
        queue = deque([entry])
        while queue:
            source = queue.popleft()
            for name in readers[source]:
                if name in self.shapes or name in problems or self.kind(name) not in MAKERS:
                    continue
                try:
                    self.made[name] = make(self.network.parts[name], self.shapes[source], self.step)
                    self.shapes[name] = _through(self.made[name], self.shapes[source])
                except GraphError as error:
                    problems[name] = str(error)
                else:
                    queue.append(name)
        return problems

    # --------------------------------------------------------------------------------------------------------- ends

    def _check_ends(self) -> None:
        read = {source for inputs in self.sources.values() for source in inputs}
        onward = {
            source
            for name, inputs in self.sources.items()
            for source in inputs
            if self.kind(name) != "Output" or len(inputs) > 1
        }
        for name, inputs in sorted(self.sources.items()):
            kind = self.kind(name)
            if kind == "Input":
                continue
            if not inputs:
                self.problem(name, "nothing leads to it; connect it or remove it")
            elif kind != "Output" and name not in self.shapes:
                self.problem(name, "no way leads to it from the input; connect it or remove it")
            elif kind in INTEGRATING and name in onward:
                self.problem(
                    name, "others read its membrane, and only spikes can be sent; let it spike (LIF), or end there"
                )
            elif kind != "Output" and name not in read:
                self.notes.append(f"nobody reads {name}: it is taken as an output")
        self.refuse()

    # -------------------------------------------------------------------------------------------------------- notes

    def _tell_neurons(self) -> None:
        choices = self.step.conventions
        leaky = self.of("LI", "LIF", "CubaLI", "CubaLIF")
        if leaky:
            rule = "1 - dt/tau (forward Euler)" if choices.rule == "euler" else "exp(-dt/tau) (exact)"
            self.notes.append(
                f"{_listed(leaky)}: per step the membrane keeps {rule} of itself, starts at v_leak, and sees the "
                "current of the same step"
            )
        unit = [n for n in self.of("I", "IF") if per_step(self._array(n, "r"))]
        if unit:
            self.notes.append(
                f"{_listed(unit)}: r = 1 is read as v = v + x per step, as Norse, Sinabs and snnTorch do; the "
                "equation would have dt*x"
            )
        if firing := self.of("IF", "LIF", "CubaLIF"):
            self.notes.append(f"{_listed(firing)}: {choices}; an IF starts at v_reset")
        for name in self.of("LI", "CubaLI"):
            rest = self._array(name, "v_leak")
            if rest.any():
                self.notes.append(f"{name}: its results are relative to v_leak; add {rest.ravel()[0]:g} to each")
        for name, nodes in sorted(self.made.items()):
            if len(nodes) > 1 and isinstance(nodes[0][1], Flatten):
                self.notes.append(f"{name}: a Flatten is put before it, because its weight takes a vector")

    def _array(self, name: str, key: str) -> Array:
        return Fields(self.network.parts[name].fields, self.shapes[name], self.step).array(key)


def _through(nodes: Nodes, shape: Shape) -> Shape:
    for _, node in nodes:
        shape = node.output_shape(shape)
    return shape


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


@dataclass
class _Emission:
    """The graph's nodes, made on demand. What a soma reads through a connection that leads back goes through a
    ``Recurrent`` right behind its sender; linear parts on the way are doubled where others read them without."""

    reading: _Reading
    entry: str
    #: per soma, those whose spikes it gets one step later
    late: dict[str, frozenset[str]]
    enters: Mapping[str, frozenset[str]]
    nodes: dict[str, tuple[Node, tuple[str, ...]]] = field(default_factory=dict)
    values: dict[tuple[str, frozenset[str]], str] = field(default_factory=dict)

    def outputs(self) -> tuple[str, ...]:
        reading = self.reading
        read = {source for inputs in reading.sources.values() for source in inputs}
        self.nodes[self.entry] = (Input(shape=reading.shapes[self.entry]), ())
        self.values[self.entry, frozenset()] = self.add(f"{self.entry}.encoder", DirectEncoder(), (self.entry,))
        for soma in reading.of(*FIRING, *INTEGRATING):
            self.values[soma, frozenset()] = soma
        ends = {name: self.result(name, reading.sources[name]) for name in reading.of("Output")}
        ends |= {
            name: self.result(f"{name}.total", (name,))
            for name in sorted(reading.shapes)
            if name not in read and name != self.entry
        }
        for soma in reading.of(*FIRING, *INTEGRATING):
            self.chain(soma, self.late.get(soma, frozenset()))
        return tuple(dict.fromkeys(ends.values()))

    def result(self, name: str, sources: tuple[str, ...]) -> str:
        """The soma that gives what ``sources`` sum up to: the one there is, or a readout that sums over time."""
        if len(sources) == 1 and self.reading.kind(sources[0]) in (*FIRING, *INTEGRATING):
            return sources[0]
        self.reading.notes.append(f"{name}: what it reads is no neuron, so it is summed over all time steps")
        return self.add(name, Readout(), (self.total(name, sources, frozenset()),), own=True)

    def total(self, name: str, sources: tuple[str, ...], late: frozenset[str]) -> str:
        values = tuple(self.value(source, late) for source in sources)
        return values[0] if len(values) == 1 else self.add(f"{name}.sum", Add(), values)

    def value(self, name: str, late: frozenset[str]) -> str:
        """The node that gives what part ``name`` gives, with the spikes of ``late`` as they were one step before."""
        reading = self.reading
        if reading.kind(name) in (*FIRING, *INTEGRATING, "Input"):
            late &= {name}
            if late and (name, late) not in self.values:
                node = Recurrent(shape=reading.shapes[name])
                self.values[name, late] = self.add(f"{name}.before", node, (name,))
            return self.values[name, late]
        late &= self.enters[name]
        if (name, late) not in self.values:
            self.values[name, late] = self.chain(name, late)
        return self.values[name, late]

    def chain(self, name: str, late: frozenset[str]) -> str:
        value = self.total(name, self.reading.sources[name], late)
        for suffix, node in self.reading.made[name]:
            value = self.add(f"{name}{suffix}", node, (value,), own=not suffix)
        return value

    def add(self, name: str, node: Node, inputs: tuple[str, ...], *, own: bool = False) -> str:
        """Add ``node`` under ``name``, or under ``name.2``, ``name.3`` … where that is taken: by another node, or in
        the file, unless it is the node's ``own`` name there."""
        unique, count = name, 2
        while unique in self.nodes or (unique in self.reading.sources and not (own and unique == name)):
            unique, count = f"{name}.{count}", count + 1
        self.nodes[unique] = (node, inputs)
        return unique
