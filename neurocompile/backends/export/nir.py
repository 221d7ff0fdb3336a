"""A graph as a NIR network (https://neuroir.org): what other tools can read, and all the rest as metadata.

NIR's nodes hold what NIR can say, so that other tools find a sensible network: weights (the integers of an integer
graph), time constants of which a forward Euler step of ``dt`` makes the leaks again, thresholds and reset values in the
weights' unit. Whatever else a graph says (how neurons reset, when they fire, encoders, fixed-point widths …) stands in
``metadata["neurocompile"]`` (see ``ir/metadata.py``), of which the importer makes the very same graph again.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from neurocompile.backends.export.nir_nodes import Said, Speaker
from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.metadata import KEY, fingerprint, to_metadata
from neurocompile.ir.nodes import (
    ENCODERS,
    Add,
    Array,
    Concat,
    Conv2d,
    DirectEncoder,
    Dropout,
    Flatten,
    Identity,
    Linear,
    Neuron,
    Node,
    Readout,
    Recurrent,
    Reshape,
    per_channel,
)

if TYPE_CHECKING:
    import nir

#: seconds; what the exporters of other tools take where they are not told
DEFAULT_DT = 1e-4


class Compiled(Protocol):
    """What is needed of a compiled program."""

    @property
    def trained(self) -> Graph: ...
    @property
    def integer(self) -> Graph: ...


def write_nir(program: Compiled, path: Path, *, trained: bool = False, dt: float = DEFAULT_DT) -> list[str]:
    """Write the integer graph of ``program``, or the ``trained`` float graph, as a NIR file; ``dt``: seconds per step.

    Returns what the user should know. Nothing is left half-written. InputError or GraphError where it cannot be said.
    """
    network, notes = _export(program.trained if trained else program.integer, dt)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".neurocompile-") as folder:
        fresh = Path(folder) / "network.nir"
        _nir().write(fresh, network)
        fresh.replace(path)
    return notes


def to_nir(graph: Graph, *, dt: float) -> nir.NIRGraph:
    """``graph`` (any stage but "mapped") as a NIR graph in memory, with its metadata."""
    return _export(graph, dt)[0]


def _nir() -> Any:
    try:
        import nir
    except ImportError:
        raise InputError("writing NIR needs the package nir; pip install nir") from None
    return nir


def _export(graph: Graph, dt: float) -> tuple[nir.NIRGraph, list[str]]:
    nir = _nir()
    if not 0 < dt < math.inf:
        raise InputError(f"--dt is {dt}; it must be a positive number of seconds")
    if graph.stage == "mapped":
        raise GraphError(f"graph {graph.name!r} is in chip time, which NIR cannot say; export the integer graph")
    writer = _Writer(graph, Speaker(nir, dt))
    writer.write()
    # nir's own check of shapes is wrong for some convolutions, so it decides nothing here
    network = nir.NIRGraph(writer.nodes, sorted(writer.edges), type_check=False)
    stated = [
        f"{name}/{each}"
        for name, node in graph.items()
        for each, array in node.arrays()
        if getattr(writer.nodes.get(name), each, None) is array
    ]
    network.metadata = {"dt": dt, KEY: to_metadata(graph, stated, fingerprint(network.to_dict()))}
    try:
        network.infer_types()
        network.check_types()
    except (ValueError, AssertionError) as error:
        writer.notes.append(
            f"nir's own check of shapes fails ({error}), as that of nir 1.0 does for grouped convolutions and kernels "
            "that are not square; read the file with nir.read(path, type_check=False)"
        )
    return network, writer.notes


@dataclass(frozen=True)
class _End:
    """Where a value comes from: a NIR node, and the Recurrent nodes that it has passed, if any."""

    node: str
    late: str | None = None


@dataclass
class _Writer:
    graph: Graph
    speaker: Speaker
    nodes: dict[str, Any] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: nodes that are none in NIR: their readers read what they read
    passing: set[str] = field(default_factory=set)
    #: convolutions of images of height one, between two reshapes, and the length of their signals
    signals: dict[str, int] = field(default_factory=dict)
    #: the NIR nodes that put the parts of a Concat in their places, whose sum it is
    parts: dict[str, list[str]] = field(default_factory=dict)
    #: NIR nodes that what enters a node goes through first
    doors: dict[str, str] = field(default_factory=dict)

    def write(self) -> None:
        self._find_passing()
        self._find_signals()
        self._add_nodes(self._place_biases())
        self._add_edges()
        graph = self.graph
        for soma in graph.outputs:
            name = self._free("output" if len(graph.outputs) == 1 else f"output.{soma}")
            self.nodes[name] = self.speaker.nir.Output(output_type=np.array(graph.shape(soma)))
            self.edges.append((soma, name))

    def _free(self, name: str) -> str:
        unique, count = name, 2
        while unique in self.nodes or unique in self.graph:
            unique, count = f"{name}.{count}", count + 1
        return unique

    # ---------------------------------------------------------------------------------- what is no node, or another

    def _find_passing(self) -> None:
        for name, node in self.graph.items():
            if isinstance(node, Recurrent):
                passes = self._leads_back(name) and bool((_late_steps(node) == 1).all())
            elif isinstance(node, DirectEncoder):
                passes = node.scale is None
            else:
                passes = isinstance(node, (Add, Identity, Dropout, *ENCODERS))
            if passes:
                self.passing.add(name)
            if isinstance(node, ENCODERS) and not isinstance(node, DirectEncoder):
                self.notes.append(f"{name}: NIR has no encoders; other tools must feed the network with what it sends")

    def _leads_back(self, recurrent: str) -> bool:
        """Whether all that read it lead to what it reads, so that NIR too has a cycle here."""
        (sender,) = self.graph.inputs(recurrent)
        found, waiting = set(), [sender]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.graph.inputs(name)
        return found.issuperset(self.graph.consumers(recurrent))

    def _find_signals(self) -> None:
        graph = self.graph
        for name in graph.of_kind(Conv2d):
            node, (before,), after = graph.node(name), graph.inputs(name), graph.consumers(name)
            assert isinstance(node, Conv2d)
            flat = (node.weight.shape[2], node.stride[0], node.padding[0], node.dilation[0]) == (1, 1, 0, 1)
            reshapes = [each for each in (before, *after) if isinstance(graph.node(each), Reshape)]
            if not flat or len(reshapes) != 2 or len(after) != 1 or graph.consumers(before) != (name,):
                continue
            (source,) = graph.inputs(before)
            channels, height, length = graph.shape(before)
            if height == 1 and graph.shape(source) == (channels, length) and len(graph.shape(after[0])) == 2:
                self.signals[name] = length
                self.passing |= set(reshapes)

    def _place_biases(self) -> dict[str, Array]:
        """Per weighted node, the bias (out_channels,) of the soma behind it, which NIR's somas have no field for."""
        placed: dict[str, Array] = {}
        homeless = []
        for name, node in self.graph.items():
            if not isinstance(node, (Neuron, Readout)) or not node.bias.any():
                continue
            shape = self.graph.shape(name)
            one = 1 << node.fixed.fraction_bits if node.fixed else 1
            full = np.broadcast_to(per_channel(node.bias.astype(np.float64) / one, shape), shape)
            home = self._home(self.graph.inputs(name)[0], name)
            rows = None if home is None else full.reshape(self.graph.shape(home)[0], -1)
            if home is None or rows is None or (rows != rows[:, :1]).any():
                homeless.append(name)
            else:
                placed[home] = rows[:, 0].copy()
        if homeless:
            self.notes.append(f"{', '.join(homeless)}: NIR cannot say the bias here; other tools will not know of it")
        return placed

    def _home(self, name: str, reader: str) -> str | None:
        """The weighted node that feeds ``reader`` alone through ``name``, if there is one."""
        graph = self.graph
        if graph.consumers(name) != (reader,) or graph.inputs(reader).count(name) != 1:
            return None
        if isinstance(graph.node(name), (Linear, Conv2d)):
            return name
        if isinstance(graph.node(name), (Add, Flatten, Reshape, Identity, Dropout)):
            homes = (self._home(source, name) for source in graph.inputs(name))
            return next((home for home in homes if home is not None), None)
        return None

    # -------------------------------------------------------------------------------------------------------- nodes

    def _add_nodes(self, biases: dict[str, Array]) -> None:
        problems, unsaid = [], dict[str, list[str]]()
        for name in self.graph:
            if not name or "/" in name or not name.strip("."):
                problems.append(f"{name!r}: this name cannot stand in an HDF5 file, rename it")
            elif name not in self.passing:
                try:
                    if isinstance(self.graph.node(name), Concat):
                        self._place_parts(name)
                        continue
                    said = self._say(name, biases.get(name))
                except GraphError as error:
                    problems.append(f"{name}: {error}")
                    continue
                self.nodes[name] = said.node
                if said.before is not None:
                    self.doors[name] = self._free(f"{name}.sign")
                    self.nodes[self.doors[name]] = said.before
                for words in said.unsaid:
                    unsaid.setdefault(words, []).append(name)
        if problems:
            raise GraphError(f"the network cannot be said in NIR: {'; '.join(problems)}")
        for words, names in unsaid.items():
            self.notes.append(f"{', '.join(names)}: {words}, which only neurocompile reads back")

    def _place_parts(self, name: str) -> None:
        start = 0
        self.parts[name] = []
        for source in self.graph.inputs(name):
            shape = self.graph.shape(source)
            part = self._free(f"{name}.{len(self.parts[name])}")
            self.nodes[part] = self.speaker.placed(shape, start, self.graph.shape(name))
            self.parts[name].append(part)
            start += shape[0]

    def _say(self, name: str, bias: Array | None) -> Said:
        node, shape = self.graph.node(name), self.graph.shape(name)
        if isinstance(node, Recurrent):
            return Said(self._delay(name, closes_cycle=self._leads_back(name)))
        if name in self.signals:
            assert isinstance(node, Conv2d)
            return Said(self.speaker.convolution_of_signals(node, self.signals[name], bias))
        before = [self.graph.shape(source) for source in self.graph.inputs(name)]
        return self.speaker.say(node, before[0] if before else (), shape, bias)

    def _delay(self, recurrent: str, *, closes_cycle: bool) -> Any:
        """The delay that ``recurrent`` is, less the step that a cycle of NIR's takes (see the importer)."""
        shape = self.graph.shape(recurrent)
        steps = per_channel(_late_steps(self.graph.node(recurrent)), shape) - closes_cycle
        return self.speaker.nir.Delay(delay=np.broadcast_to(np.maximum(steps, 0), shape) * self.speaker.dt)

    # -------------------------------------------------------------------------------------------------------- edges

    def _ends(self, name: str, late: str | None = None) -> list[_End]:
        """The NIR nodes that give, in sum, what ``name`` gives."""
        if name in self.parts:
            return [_End(part) for part in self.parts[name]]
        if name not in self.passing:
            return [_End(name, late)]
        late = name if isinstance(self.graph.node(name), Recurrent) else late
        return [end for source in self.graph.inputs(name) for end in self._ends(source, late)]

    def _add_edges(self) -> None:
        """What reads the same twice reads it through a Scale, for NIR's edges stand once. Where the one comes a step
        later, its Recurrent becomes a delay of one step."""
        inputs = {name: self.graph.inputs(name) for name in self.graph if name not in {*self.passing, *self.parts}}
        for name, parts in self.parts.items():
            inputs |= {part: (source,) for part, source in zip(parts, self.graph.inputs(name), strict=True)}
        ends: dict[str, Counter[str]] = {}
        for name, sources in inputs.items():
            found = [end for source in sources for end in self._ends(source)]
            counts = Counter(end.node for end in found)
            clashes = {end.late for end in found if end.late is not None and counts[end.node] > 1}
            if clashes:
                for late in clashes:
                    self.passing.remove(late)
                    self.nodes[late] = self._delay(late, closes_cycle=False)
                return self._add_edges()
            ends[name] = counts
        for name, counts in ends.items():
            door = self.doors.get(name, name)
            if door != name:
                self.edges.append((door, name))
            for source, count in counts.items():
                if count == 1:
                    self.edges.append((source, door))
                    continue
                scale = self._free(f"{source}.to.{name}")
                whole = next((each for each, parts in self.parts.items() if source in parts), source)
                self.nodes[scale] = self.speaker.nir.Scale(scale=np.full(self.graph.shape(whole), float(count)))
                self.edges += [(source, scale), (scale, door)]
        return None


def _late_steps(node: Node) -> Array:
    """How many steps the spikes take that a Recurrent brings: one for all, one per channel, or one per neuron."""
    axons: Array | None = getattr(node, "axon_steps", None)
    steps: Array = np.asarray(getattr(node, "steps", 1) + (np.int64(0) if axons is None else axons.astype(np.int64)))
    return steps
