"""Small networks and profiles for the tests of mapping."""

from __future__ import annotations

import copy
import dataclasses
import functools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from neurocompile.hardware import Profile, load_profile, profile_to_dict
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Conv2d,
    DirectEncoder,
    FixedPoint,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    Soma,
    SumPool2d,
)
from neurocompile.ir.populations import Projection, populations
from neurocompile.ir.verify import verify
from neurocompile.mapping.synapses import Box

Triple = tuple[str, Node, tuple[str, ...]]

LIMITS = {
    "neurons": "neurons",
    "axons_in": "axons",
    "axons_out": "axons",
    "synaptic_memory_words": "words",
    "fan_in": "synapses",
    "thresholds": "entries",
}


def quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "basis": "assumed", "source": "a test"}


@functools.cache
def shipped(name: str) -> dict[str, Any]:
    return profile_to_dict(load_profile(name))


def a_profile(
    *,
    base: str = "loihi2",
    cores: int | None = None,
    limits: dict[str, int | None] | None = None,
    kinds: list[tuple[list[int], dict[str, int]]] | None = None,
    **parts: Any,
) -> Profile:
    """A shipped profile with some parts replaced. ``limits``: by name, without the others; ``kinds``: cores, limits."""
    plain = copy.deepcopy(shipped(base))
    if cores is not None:
        plain["topology"] = {
            "tile_rows": quantity(1, "tiles"),
            "tile_columns": quantity(-(-cores // 4), "tiles"),
            "cores_per_tile": quantity(min(cores, 4), "cores"),
        }
    if limits is not None:
        plain["limits"] = dict.fromkeys(LIMITS) | {"no_such_limit": []}
        for name, value in limits.items():
            if name == "words_per_axon":
                plain["synapses"]["max_words_per_axon"] = value and quantity(value, "words")
            else:
                plain["limits"][name] = value and quantity(value, LIMITS[name])
    plain["limits"]["kinds"] = [
        {"name": f"kind {index}", "cores": its_cores}
        | {name: quantity(value, LIMITS[name]) for name, value in its_limits.items()}
        for index, (its_cores, its_limits) in enumerate(kinds or [])
    ]
    for part, fields in parts.items():
        plain[part].update(fields)
    return Profile.from_mapping(plain)


FIXED = FixedPoint(state_bits=24, fraction_bits=6, accumulator_bits=22)


def neuron(**fields: Any) -> Neuron:
    return Neuron(**{"threshold": np.array(640), "leak": np.array(4096), "current_leak": np.array(0),
                     "bias": np.array(0), "reset_value": np.array(0), "fixed": FIXED} | fields)  # fmt: skip


def readout() -> Readout:
    return Readout(leak=np.array(4096), current_leak=np.array(0), bias=np.array(0), fixed=FIXED)


def weights(*shape: int) -> np.ndarray[Any, Any]:
    return np.resize(np.array([3, -2, 0, 5, 1], np.int16), shape)


def conv(outputs: int, inputs: int, kernel: int = 3, **fields: Any) -> Conv2d:
    shape = (outputs, inputs // fields.get("groups", 1), kernel, kernel)
    return Conv2d(weight=weights(*shape), weight_bits=8, **{"padding": (kernel // 2, kernel // 2)} | fields)


def dense(outputs: int, inputs: int) -> Linear:
    return Linear(weight=weights(outputs, inputs), weight_bits=8)


def build(triples: list[Triple], outputs: tuple[str, ...], timesteps: int = 4) -> Graph:
    graph = Graph("net", "integer", timesteps, triples, outputs)
    verify(graph)
    return graph


def one_layer(
    shape: tuple[int, ...], chain: list[Node], soma: Soma | None = None, encoder: Node | None = None
) -> Graph:
    """Input, encoder, ``chain``, soma."""
    direct = DirectEncoder(scale=1.0, low=0, high=1)
    triples: list[Triple] = [("x", Input(shape=shape), ()), ("code", encoder or direct, ("x",))]
    for index, node in enumerate(chain):
        triples.append((f"op{index}", node, (triples[-1][0],)))
    triples.append(("lif", soma or readout(), (triples[-1][0],)))
    return build(triples, ("lif",))


@functools.cache
def residual(encoder: Node | None = None) -> Graph:
    """Two convolutions with a skip connection between, pooling, and a classifier."""
    threshold = np.arange(640, 640 + 64 * 4, 64)
    return build(
        [
            ("x", Input(shape=(2, 6, 6)), ()),
            ("code", encoder or PoissonEncoder(), ("x",)),
            ("c1", conv(4, 2), ("code",)),
            ("n1", neuron(threshold=threshold), ("c1",)),
            ("c2", conv(4, 4, groups=2), ("n1",)),
            ("skip", Scale(weight=np.full(4, 7), weight_bits=8), ("n1",)),
            ("sum", Add(), ("c2", "skip")),
            ("n2", neuron(threshold=np.resize(threshold, (4, 6, 6))), ("sum",)),
            ("pool", SumPool2d(kernel=(2, 2), stride=(2, 2)), ("n2",)),
            ("c3", conv(6, 4, stride=(2, 2)), ("pool",)),
            ("n3", neuron(), ("c3",)),
            ("flat", Flatten(), ("n3",)),
            ("fc", dense(10, 24), ("flat",)),
            ("out", readout(), ("fc",)),
        ],
        ("out",),
    )


@functools.cache
def recurrent() -> Graph:
    """A convolution whose neurons reach each other by a convolution, then a layer of neurons joined all to all."""
    return build(
        [
            ("x", Input(shape=(2, 4, 4)), ()),
            ("code", PoissonEncoder(), ("x",)),
            ("c1", conv(4, 2), ("code",)),
            ("n1.before", Recurrent(shape=(4, 4, 4)), ("n1",)),
            ("n1.back", conv(4, 4), ("n1.before",)),
            ("n1.sum", Add(), ("c1", "n1.back")),
            ("n1", neuron(), ("n1.sum",)),
            ("flat", Flatten(), ("n1",)),
            ("fc", dense(12, 64), ("flat",)),
            ("n2.before", Recurrent(shape=(12,)), ("n2",)),
            ("n2.back", dense(12, 12), ("n2.before",)),
            ("n2.sum", Add(), ("fc", "n2.back")),
            ("n2", neuron(), ("n2.sum",)),
        ],
        ("n2",),
    )


def projection_of(graph: Graph, soma: str = "lif") -> Projection:
    (population,) = (each for each in populations(graph) if each.name == soma)
    return population.projections[0]


def with_ones(projection: Projection) -> Projection:
    """The same projection with all weights one."""
    nodes = tuple(
        dataclasses.replace(node, weight=np.ones_like(node.weight)) if hasattr(node, "weight") else node
        for node in projection.nodes
    )
    return dataclasses.replace(projection, nodes=nodes)


@st.composite
def pairs(draw: st.DrawFn, low: int, high: int) -> tuple[int, int]:
    return draw(st.integers(low, high)), draw(st.integers(low, high))


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> Box:
    starts = [draw(st.integers(0, extent - 1)) for extent in shape]
    return tuple((start, draw(st.integers(start + 1, extent))) for start, extent in zip(starts, shape, strict=True))


@st.composite
def projections(draw: st.DrawFn) -> tuple[Graph, Box]:
    """A graph of one small random projection, and a random box of its soma."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    shape: tuple[int, ...] = (groups * draw(st.integers(1, 2)), *draw(pairs(4, 7)))
    chain: list[Node] = []
    if draw(st.integers(0, 4)) == 0:
        shape = (draw(st.integers(1, 8)),)
    now = shape
    if len(shape) == 3 and draw(st.integers(0, 2)) == 0:
        # the population has other axes than what its pools and weights read
        chain.append(Reshape(shape=shape))
        shape = (shape[0], shape[1] * shape[2]) if draw(st.booleans()) else (shape[0] * shape[1], shape[2])
    for _ in range(draw(st.integers(0, 2)) if len(now) == 3 else 0):
        kernel = draw(pairs(1, 3))
        if any(size > extent for size, extent in zip(kernel, now[1:], strict=True)):
            continue
        padding = tuple(draw(st.integers(0, size // 2)) for size in kernel)
        stride = kernel if draw(st.booleans()) else draw(pairs(1, 3))
        chain.append(SumPool2d(kernel=kernel, stride=stride, padding=padding))
        now = chain[-1].output_shape(now)
    kind = draw(st.sampled_from(["conv", "linear", "scale"])) if len(now) == 3 else "linear"
    if len(now) == 3 and (kind == "linear" or (kind == "scale" and draw(st.booleans()))):
        chain.append(Flatten())
        now = chain[-1].output_shape(now)
    if kind == "conv":
        kernel, dilation = draw(pairs(1, 3)), draw(pairs(1, 2))
        reach = [step * (size - 1) + 1 for size, step in zip(kernel, dilation, strict=True)]
        padding = tuple(
            draw(st.integers(max(0, -(-(size - extent) // 2)), 2 if size <= extent + 4 else size))
            for size, extent in zip(reach, now[1:], strict=True)
        )
        weight = weights(groups * draw(st.integers(1, 3)), now[0] // groups, *kernel)
        chain.append(
            Conv2d(
                weight=weight,
                stride=draw(pairs(1, 3)),
                padding=padding,
                dilation=dilation,
                groups=groups,
                upsample=draw(st.sampled_from(((1, 1), (1, 1), (2, 2), (3, 2)))),
                end_padding=draw(st.sampled_from(((0, 0), (0, 0), (1, 0), (2, 1)))),
                weight_bits=8,
            )
        )
    elif kind == "linear":
        chain.append(dense(draw(st.integers(1, 6)), now[0]))
    else:
        size = draw(st.sampled_from([(), (now[0],), now]))
        chain.append(Scale(weight=weights(*size), weight_bits=8))
    now = chain[-1].output_shape(now)
    behind = draw(st.sampled_from(("", "flat", "line", "turned", "more")))
    if len(now) == 3 and behind:
        shapes = {"line": (now[0], now[1] * now[2]), "turned": (now[1], now[2], now[0]), "more": (*now[:2], 1, now[2])}
        chain.append(Reshape(shape=shapes[behind]) if behind in shapes else Flatten())
        now = chain[-1].output_shape(now)
    if draw(st.integers(0, 2)) == 0:
        chain.append(PadChannels(before=draw(st.integers(0, 3)), after=draw(st.integers(0, 3))))
        now = chain[-1].output_shape(now)
    return one_layer(shape, chain), draw(boxes(now))
