"""The graph as it is found: nodes by what they compute, layers of neurons with their input at every time step.

A network that is followed through T time steps does the same T times. So nodes are kept by content: what is computed at
step t from the same nodes with the same weights is the same node, and the time loop rolls itself up. What a layer reads
of an earlier step is led through a ``Recurrent`` node.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.frontend.tracing.symbolic import Refusal
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ENCODERS,
    Add,
    Array,
    BatchNorm,
    DirectEncoder,
    Input,
    Neuron,
    Node,
    Readout,
    Recurrent,
    Shape,
    Soma,
)
from neurocompile.ir.verify import verify


@dataclass
class Layer:
    """A layer of neurons: its soma and, for every time step so far, the node that fed it."""

    soma: Neuron | Readout
    shape: Shape
    inputs: list[str] = field(default_factory=list)


class Recorder:
    """``input_name``: what the network calls its input of ``shape``. ``timesteps``: T. ``static``: whether it is given
    without time, the same at every step."""

    def __init__(self, input_name: str, shape: Shape, timesteps: int, *, static: bool) -> None:
        self.input_name, self.timesteps = input_name, timesteps
        self._static = {input_name} if static else set()
        self.nodes: dict[str, tuple[Node, tuple[str, ...]]] = {input_name: (Input(shape=shape), ())}
        self.shapes: dict[str, Shape] = {input_name: shape}
        self.layers: dict[str, Layer] = {}
        self._names: dict[Hashable, str] = {}
        self._zeros: set[str] = set()
        self._digests: dict[int, tuple[Array, str]] = {}

    def emit(self, name: str, node: Node, inputs: tuple[str, ...]) -> str:
        """The node that computes this: one that is there already, or a new one of this name (``name@2``, ...)."""
        if not isinstance(node, ENCODERS):
            inputs = tuple(self.encoded(source) for source in inputs)
        key = (name, self._content(node), inputs)
        if key not in self._names:
            known = () if isinstance(node, Recurrent) else inputs
            try:
                shape = node.output_shape(*(self.shapes[source] for source in known))
            except GraphError as error:
                raise GraphError(f"{name}: {error}") from None
            unique = self.free(name)
            self.nodes[unique], self.shapes[unique] = (node, inputs), shape
            self._names[key] = unique
            timed = isinstance(node, (Recurrent, *ENCODERS)) and not isinstance(node, DirectEncoder)
            if not timed and self._static.issuperset(inputs):
                self._static.add(unique)
        return self._names[key]

    def free(self, name: str) -> str:
        """``name``, or ``name@2``, ``name@3`` … where that is taken."""
        if not name.isprintable():
            raise GraphError(f"layer {name!r:.60}: its name is not printable text; rename it")
        unique, count = name, 1
        while unique in self.nodes or unique in self.layers:
            count += 1
            unique = f"{name}@{count}"
        return unique

    def encoded(self, name: str) -> str:
        """The input's values reach a network through an encoder: directly, unless the network has one of its own."""
        return self.emit(f"{name}.encoder", DirectEncoder(), (name,)) if name == self.input_name else name

    def zero(self, shape: Shape) -> str:
        """A stand-in for zeros, from which states start; never part of the graph."""
        name = f"zeros of shape {shape}"
        self._zeros.add(name)
        self.nodes[name], self.shapes[name] = (Input(shape=shape), ()), shape
        return name

    def is_zero(self, name: str) -> bool:
        """Whether nothing but such zeros leads here."""
        return name in self._zeros

    def past(self, name: str) -> str:
        """What ``name`` was one time step before: linear nodes of what neurons sent then."""
        node, inputs = self.nodes.get(name, (None, ()))
        if name in self._static:
            return name
        if name in self.layers or isinstance(node, ENCODERS):
            return self.emit(f"{name}.before", Recurrent(shape=self.shapes[name]), (name,))
        if node is None or isinstance(node, (Recurrent, Input)):
            raise Refusal(
                f"reads what {name} gave more than one time step before; keep to the step before, and let a layer "
                "without reset, such as neurocompile.snn.Readout, keep a sum that leaks"
            )
        return self.emit(_base(name), node, tuple(self.past(source) for source in inputs))

    def same(self, one: str, other: str) -> bool:
        """Whether two nodes are the same once states are at rest: at a first step, nothing has been sent before."""
        return one == other or self._at_rest(one) == self._at_rest(other)

    def _at_rest(self, name: str) -> Counter[Hashable]:
        """The summands of a node when everything that came before is zero."""
        node, inputs = self.nodes.get(name, (None, ()))
        if name in self._zeros or isinstance(node, Recurrent):
            return Counter()
        if isinstance(node, Add):
            return sum((self._at_rest(source) for source in inputs), Counter[Hashable]())
        if node is None or len(inputs) != 1 or isinstance(node, (Soma, *ENCODERS)):
            return Counter([name])
        below = self._at_rest(inputs[0])
        if not below and not _has_constant(node):
            return Counter()
        return Counter([(self._content(node), frozenset(below.items()))])

    def _content(self, node: Node) -> Hashable:
        values = []
        for each in dataclasses.fields(node):
            value = getattr(node, each.name)
            values.append(self._digest(value) if isinstance(value, np.ndarray) else value)
        return (node.kind, *values)

    def _digest(self, array: Array) -> str:
        # keyed by identity, for weights are many; the array is kept, so that nothing else gets its number
        if id(array) not in self._digests:
            content = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()
            self._digests[id(array)] = (array, f"{array.dtype}{array.shape}{content}")
        return self._digests[id(array)][1]

    def finish(self, name: str, outputs: tuple[str, ...]) -> Graph:
        """The traced graph of what the outputs need. GraphError where a layer's input is not the same at every step."""
        feeding = {layer: self._feeding(layer) for layer in self.layers}
        needed, waiting = set(outputs), list(outputs)
        while waiting:
            current = waiting.pop()
            sources = (feeding[current],) if current in feeding else self.nodes[current][1]
            waiting += [source for source in sources if source not in needed]
            needed.update(sources)
        called = _renamed([each for each in self.nodes if each in needed], keep=set(self.layers))
        triples = []
        for each, unique in called.items():
            node, inputs = self.nodes[each]
            sources = (feeding[each],) if each in feeding else inputs
            triples.append((unique, node, tuple(called[source] for source in sources)))
        graph = Graph(name, "traced", self.timesteps, triples, tuple(called[output] for output in outputs))
        verify(graph)
        return graph

    def start(self, name: str, layer: Layer) -> None:
        """Enter a layer of neurons under a name that is free."""
        if not name.isprintable():
            raise GraphError(f"layer {name!r:.60}: its name is not printable text; rename it")
        self.layers[name] = layer
        self.shapes[name] = layer.shape

    def place(self, name: str) -> None:
        """Give a layer its place among the nodes: behind what feeds it."""
        if name not in self.nodes:
            self.nodes[name] = (self.layers[name].soma, ())

    def _feeding(self, name: str) -> str:
        *earlier, last = self.layers[name].inputs
        for step, source in enumerate(earlier):
            if not self.same(source, last):
                raise GraphError(
                    f"{name}: its input at time step {step} ({source}) is not made as that at step {len(earlier)} "
                    f"({last}); let every time step do the same, and start states at zero"
                )
        return last


def _base(name: str) -> str:
    return name.split("@")[0]


def _renamed(names: list[str], keep: set[str]) -> dict[str, str]:
    """Names counted anew, ``fc``, ``fc@2``: what was found on the way and is not needed takes none."""
    called: dict[str, str] = {}
    taken = set(keep)
    for name in names:
        unique, count = name if name in keep else _base(name), 1
        while name not in keep and unique in taken:
            count += 1
            unique = f"{_base(name)}@{count}"
        taken.add(unique)
        called[name] = unique
    return called


def _has_constant(node: Node) -> bool:
    """Whether a linear node adds something of its own."""
    bias = node.shift if isinstance(node, BatchNorm) else getattr(node, "bias", None)
    return bias is not None and bool(np.any(bias))
