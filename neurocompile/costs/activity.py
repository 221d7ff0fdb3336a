"""What a network did on some data: facts of the network and the data alone, so that one run prices it on every chip."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from neurocompile.costs.memory import is_stateful
from neurocompile.errors import InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, linear
from neurocompile.ir.nodes import (
    ANALOG,
    ENCODERS,
    MOVES,
    SPIKING,
    Array,
    Conv2d,
    HybridEncoder,
    Linear,
    Node,
    Scale,
    Soma,
    per_channel,
)
from neurocompile.ir.populations import Projection, populations
from neurocompile.mapping.synapses import payload_bits

#: which counts of a neuron: of its events, of those that are values or spikes where it sends both, or of set bits
Kind = Literal["events", "values", "spikes", "bits"]

FORMAT = "neurocompile.activity/3"
#: the first knows of no single samples, the first two of no spikes beside values
_FORMATS = ("neurocompile.activity/1", "neurocompile.activity/2", FORMAT)
_JSON, _TENSORS = "activity.json", "activity.safetensors"
_LARGEST_JSON_BYTES = 1 << 24
_KINDS = ("events", "spikes", "bits", "active")
_MOST_COUNTED = 1 << 53  # of one sample, beyond which a float64 would no longer be exact
_BATCH_NEURONS = 1 << 22  # neuron-steps looked at together


class _Header(BaseModel):
    """The JSON half of a saved activity: everything but the arrays, whose names it lists."""

    model_config = ConfigDict(extra="forbid", strict=True)

    format: str
    data: str
    samples: Annotated[int, Field(ge=1, le=1 << 40)]
    timesteps: Annotated[int, Field(ge=1, le=1 << 20)]
    events: list[str]
    spikes: list[str] = []
    bits: list[str]
    active: list[str]
    correct: Annotated[int, Field(ge=0)] | None = None
    each: list[str] = []
    chip: str = ""
    sha256: str


class Watch(Protocol):
    """Who looks on while a batch is counted."""

    def sent(self, kind: Kind, name: str, values: Array) -> None:
        """Of ``name`` (N, T, *shape), whether each neuron sent something of that kind; or the number of set "bits"."""

    def active(self, name: str, first: int, flags: Array) -> None:
        """Active updates of ``name``, bool (n*T, *shape) or what broadcasts to it, of n samples from ``first`` on. All
        that is told of a sample adds up."""


@dataclass(frozen=True)
class EachSample:
    """What each sample did on one ``chip`` (a hash of network, mapping and profile): int64 (samples,) by the names of
    ``Counters.flat``."""

    chip: str
    counters: Mapping[str, Array]

    def __add__(self, other: EachSample) -> EachSample:
        """The samples of both; what is not counted in one of them did not happen there."""
        mine, theirs = (np.zeros_like(next(iter(part.counters.values()))) for part in (self, other))
        return EachSample(
            self.chip,
            {
                name: np.concatenate([self.counters.get(name, mine), other.counters.get(name, theirs)])
                for name in dict.fromkeys((*self.counters, *other.counters))
            },
        )


@dataclass(frozen=True)
class Activity:
    """Counts summed over ``samples`` samples of ``timesteps`` steps each, every array int64 over its node's shape.

    ``events``: per encoder and spiking soma, how often each of its neurons sent something other than zero.
    ``spikes``: per hybrid encoder, how many of these were spikes; the rest were values, at the first step.
    ``bits``: per encoder of integers, the set bits of what it sent, which is what a chip without graded spikes sends in
    its place: those of the two's complement for a direct encoder of signed values, else those of the magnitude.
    ``active``: per soma that keeps state (T > 1), its neurons' active updates: the steps in which an event arrived
    within the neuron's receptive field (whatever the weight, stored or not), or the neuron fired, or a bias drove it. A
    leak on its own leaves an update inactive. A delayed event arrives so many steps later; one that would arrive when
    the next sample has begun is dropped, and makes no update active.
    ``data`` says what the samples were. ``correct``: how many got the class of their label; None without labels.
    ``each``: what each of them did, if that was counted.
    """

    data: str
    samples: int
    timesteps: int
    events: Mapping[str, Array]
    bits: Mapping[str, Array]
    active: Mapping[str, Array]
    correct: int | None = None
    each: EachSample | None = None
    spikes: Mapping[str, Array] = field(default_factory=dict)

    @property
    def accuracy(self) -> float | None:
        """The share of samples that got their label's class; None where there were no labels."""
        return None if self.correct is None else self.correct / self.samples

    @property
    def digest(self) -> str:
        """A hash of all counts."""
        return hashlib.sha256(self._tensors()).hexdigest()

    @classmethod
    def of(cls, graph: Graph, trace: Trace, data: str = "unnamed data", watch: Watch | None = None) -> Activity:
        """Count a run of ``graph``; a trace in chip time has the same layout, so it gives the same counts."""
        sent = {name: trace.events[name] for name in graph.of_kind(*ENCODERS, *SPIKING)}
        fired = {name: values != 0 for name, values in sent.items()}
        samples = len(next(iter(sent.values())))
        bits = {
            name: _bits(graph, name, sent[name])
            for name in graph.of_kind(*ENCODERS)
            if _is_whole(graph, name, sent[name])
        }
        values, spikes = {}, {}
        for name in graph.of_kind(HybridEncoder):
            values[name], spikes[name] = fired[name].copy(), fired[name].copy()
            values[name][:, 1:] = spikes[name][:, 0] = False
        if watch is not None:
            told: tuple[tuple[Kind, dict[str, Array]], ...] = (
                ("events", fired), ("values", values), ("spikes", spikes), ("bits", bits),
            )  # fmt: skip
            for kind, by_name in told:
                for name, each in by_name.items():
                    watch.sent(kind, name, each)
        return cls(
            data,
            samples,
            graph.timesteps,
            events={name: _count(_in_turn(flags)) for name, flags in fired.items()},
            bits={name: values.sum(axis=(0, 1), dtype=np.int64) for name, values in bits.items()},
            active=_active(graph, fired, samples, watch),
            spikes={name: _count(_in_turn(flags)) for name, flags in spikes.items()},
        )

    def __add__(self, other: Activity) -> Activity:
        """Both batches together; InputError where they are not of one network."""
        for kind in _KINDS:
            mine, theirs = getattr(self, kind), getattr(other, kind)
            if {name: array.shape for name, array in mine.items()} != {n: a.shape for n, a in theirs.items()}:
                raise InputError(f"activity of {self.data!r} and of {other.data!r}: {kind} differ in names or shapes; "
                                 "add runs of one network only")  # fmt: skip
        if self.timesteps != other.timesteps:
            raise InputError(f"activity of {self.timesteps} and {other.timesteps} steps; add runs of one network only")
        return Activity(
            self.data if self.data == other.data else f"{self.data} + {other.data}",
            self.samples + other.samples,
            self.timesteps,
            **{
                kind: {name: array + getattr(other, kind)[name] for name, array in getattr(self, kind).items()}
                for kind in _KINDS
            },
            correct=None if self.correct is None or other.correct is None else self.correct + other.correct,
            each=self.each + other.each if self.each and other.each and self.each.chip == other.each.chip else None,
        )

    def sent(self, kind: Kind, name: str) -> Array:
        """The counts of one kind."""
        if kind == "values":
            values: Array = self.events[name] - self.spikes[name]
            return values
        counts: Array = getattr(self, kind)[name]
        return counts

    def rate(self, name: str) -> float:
        """Mean number of events per neuron of ``name`` per sample, over all steps (the papers' spike rate)."""
        return float(self.events[name].mean()) / self.samples

    def spike_rate(self, name: str) -> float:
        """The same without what a hybrid encoder sends as values."""
        return float(self.spikes.get(name, self.events[name]).mean()) / self.samples

    def check(self, graph: Graph) -> None:
        """InputError unless these are counts of ``graph``, or of one with the same nodes and shapes."""
        senders = graph.of_kind(*ENCODERS, *SPIKING)
        somas = [each.name for each in populations(graph) if is_stateful(each.soma, graph.timesteps)]
        for kind, names in (("events", senders), ("spikes", graph.of_kind(HybridEncoder)), ("active", somas)):
            found = {name: array.shape for name, array in getattr(self, kind).items()}
            if found != {name: graph.shape(name) for name in names}:
                raise InputError(f"activity of {self.data!r} is not of network {graph.name!r}: {kind} differ in names "
                                 "or shapes; run the network again")  # fmt: skip
        if self.timesteps != graph.timesteps:
            raise InputError(f"activity of {self.data!r} has {self.timesteps} steps, network {graph.name!r} "
                             f"{graph.timesteps}; run the network again")  # fmt: skip
        encoders = {name: graph.shape(name) for name in graph.of_kind(*ENCODERS)}
        if any(encoders.get(name) != array.shape for name, array in self.bits.items()):
            raise InputError(f"activity of {self.data!r} has bits that network {graph.name!r} does not; run it again")
        if graph.stage in ("integer", "mapped") and set(self.bits) != set(encoders):
            raise InputError(f"activity of {self.data!r} is of a float network, {graph.name!r} is not; run it again")

    @property
    def _arrays(self) -> dict[str, Mapping[str, Array]]:
        return {
            **{kind: getattr(self, kind) for kind in _KINDS},
            "each": self.each.counters if self.each else {},
        }

    def _tensors(self) -> bytes:
        return save_tensors(
            {f"{kind}/{name}": np.ascontiguousarray(array).reshape(array.shape)
             for kind, arrays in self._arrays.items() for name, array in arrays.items()}
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write ``activity.safetensors``, then ``activity.json`` with its hash: a torn pair is refused on reading."""
        tensors = self._tensors()
        header = _Header(
            format=FORMAT,
            data=self.data,
            samples=self.samples,
            timesteps=self.timesteps,
            events=list(self.events),
            spikes=list(self.spikes),
            bits=list(self.bits),
            active=list(self.active),
            correct=self.correct,
            each=list(self._arrays["each"]),
            chip=self.each.chip if self.each else "",
            sha256=hashlib.sha256(tensors).hexdigest(),
        )
        _replace(folder / _TENSORS, tensors)
        _replace(folder / _JSON, (header.model_dump_json(indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> Activity:
        """Read what ``save`` wrote; InputError where a file is missing, damaged or of another version."""
        header = _read_header(folder / _JSON)
        path = folder / _TENSORS
        try:
            raw = path.read_bytes()
            tensors = load_tensors(raw)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: {error}; run the network again") from None
        names = {kind: getattr(header, kind) for kind in (*_KINDS, "each")}
        if hashlib.sha256(raw).hexdigest() != header.sha256:
            raise InputError(f"{path} does not belong to {_JSON}; run the network again")
        if set(tensors) != {f"{kind}/{name}" for kind in names for name in names[kind]}:
            raise InputError(f"{path}: its arrays are not those that {_JSON} names; run the network again")
        if header.correct is not None and header.correct > header.samples:
            raise InputError(f"{folder / _JSON}: {header.correct} of {header.samples} samples got their class, which "
                             "cannot be; run the network again")  # fmt: skip
        most = header.samples * header.timesteps
        for name, array in tensors.items():
            if name.startswith("each/"):
                limit, shape = _MOST_COUNTED, (header.samples,)
            else:
                limit, shape = most * 64 if name.startswith("bits/") else most, array.shape
            if array.shape != shape or array.dtype != np.int64 or (array < 0).any() or (array > limit).any():
                raise InputError(f"{path}: {name} is no count of at most {limit}; run the network again")
            array.setflags(write=False)
        arrays = {kind: {name: tensors[f"{kind}/{name}"] for name in names[kind]} for kind in names}
        for name, spikes in arrays["spikes"].items():
            events = arrays["events"].get(name)
            if events is None or events.shape != spikes.shape or (spikes > events).any():
                raise InputError(f"{path}: {name} has more spikes than events; run the network again")
        counters = arrays.pop("each")
        each = EachSample(header.chip, counters) if counters else None
        return cls(header.data, header.samples, header.timesteps, **arrays, correct=header.correct, each=each)


def _count(flags: Array) -> Array:
    """bool (N, *shape) -> int64 (*shape)."""
    total = np.zeros(flags.shape[1:], np.int64)
    for start in range(0, len(flags), 255):  # as many as a byte can count, and bytes add up several times as fast
        total += np.add.reduce(flags[start : start + 255].view(np.uint8), axis=0, dtype=np.uint8)
    return total


def _is_whole(graph: Graph, name: str, values: Array) -> bool:
    node = graph.node(name)
    return values.dtype.kind in "iu" or not isinstance(node, ANALOG) or node.scale is not None


def _bits(graph: Graph, name: str, values: Array) -> Array:
    """Set bits of each of the values."""
    node, whole = graph.node(name), values.astype(np.int64)
    if isinstance(node, ANALOG) and node.low < 0:
        whole = whole & ((1 << payload_bits(node)) - 1)
    planes: Array = np.bitwise_count(np.abs(whole))
    return planes


def _active(graph: Graph, fired: Mapping[str, Array], samples: int, watch: Watch | None) -> dict[str, Array]:
    """Per soma with state, in batches, so that the memory it takes does not grow with the number of samples."""
    counts = {}
    for population in populations(graph):
        if not is_stateful(population.soma, graph.timesteps):
            continue
        bias = np.broadcast_to(_biased(population.soma, population.shape), population.shape)
        if bias.all():
            counts[population.name] = np.full(population.shape, samples * graph.timesteps)
            if watch is not None:
                watch.active(
                    population.name, 0, np.ones((samples * graph.timesteps, *(1 for _ in bias.shape)), np.bool_)
                )
            continue
        total = np.zeros(population.shape, np.int64)
        sources = [fired[projection.source] for projection in population.projections]
        batch = max(1, _BATCH_NEURONS // (graph.timesteps * max(source[0, 0].size for source in sources)))
        for start in range(0, samples, batch):
            span = slice(start, min(start + batch, samples))
            first, *others = (
                reached(projection, _in_turn(projection.arriving(source[span])))
                for projection, source in zip(population.projections, sources, strict=True)
            )
            arrived = functools.reduce(np.logical_or, others, first)
            told = [arrived]
            if population.name in fired:
                told.append(_in_turn(fired[population.name][span]) & ~arrived)
            for flags in told:
                total += _count(flags)
                if watch is not None:
                    watch.active(population.name, start, flags & ~bias if bias.any() else flags)
            if watch is not None and bias.any():
                always = np.broadcast_to(bias, (len(told[0]), *population.shape))
                watch.active(population.name, start, always)
        counts[population.name] = np.where(bias, samples * graph.timesteps, total)
    return counts


def _in_turn(values: Array) -> Array:
    """(N, T, *shape) -> (N*T, *shape)."""
    return values.reshape(-1, *values.shape[2:])


def _biased(soma: Soma, shape: tuple[int, ...]) -> Array:
    return per_channel(np.asarray(getattr(soma, "bias", 0.0)) != 0, shape)


def reached(projection: Projection, sent: Array) -> Array:
    """Which neurons have a sending neuron in their receptive field: bool (N, *source_shape) -> bool that broadcasts to
    (N, *shape). Channels of a population that see the same channels of its source are told once."""
    weighted, operators = projection.weighted, projection.operators
    place = operators.index(weighted)
    before, behind = operators[:place], operators[place + 1 :]
    if before and isinstance(before[0], MOVES):
        sent, before = linear(before[0], sent), before[1:]
    groups = weighted.groups if isinstance(weighted, Conv2d) else 1
    if not isinstance(weighted, Scale):
        # which channel of those that are seen together sends makes no difference, nor do pools mix channels
        sent = np.logical_or.reduce(sent.reshape(len(sent), groups, -1, *sent.shape[2:]), axis=2)
    for node in before:
        if not (isinstance(node, MOVES) and isinstance(weighted, Linear)):  # whose inputs all count alike
            sent = _touched(node, sent)
    match weighted:
        case Conv2d():
            window = weighted.weight.shape[2:]
            ones = dataclasses.replace(weighted, weight=np.ones((groups, 1, *window), np.float32), bias=None)
            sent = _touched(ones, sent)
        case Linear():
            sent = np.logical_or.reduce(sent.reshape(len(sent), -1), axis=1, keepdims=True)
    if not isinstance(weighted, Scale) and (groups > 1 or behind):
        sent = np.repeat(sent, len(weighted.weight) // groups, axis=1)
    for node in behind:
        sent = linear(node, sent)
    return sent


def _touched(node: Node, sent: Array) -> Array:
    values: Array = sent.astype(np.float32)
    touched: Array = linear(node, values) > 0
    return touched


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def _read_header(path: Path) -> _Header:
    try:
        if path.stat().st_size > _LARGEST_JSON_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes, at most {_LARGEST_JSON_BYTES} make sense")
        plain = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: {error}; run the network to get its activity") from None
    version = plain.get("format") if isinstance(plain, dict) else None
    if version not in _FORMATS:
        raise InputError(f"{path}: format is {version!r:.60}, this version reads {FORMAT!r}; run the network again")
    try:
        return _Header.model_validate(plain)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(f"{path}: {where}: {fault['msg']}; run the network again") from None
