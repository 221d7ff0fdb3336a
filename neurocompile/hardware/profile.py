"""A hardware profile: the facts of one chip, each number with its unit, basis and source.

A profile holds facts and no choices, and nothing downstream asks for a chip by name: what matters about a chip is a
field here. A null number is unknown; a total that needs it is incomplete, never zero.
"""

from __future__ import annotations

import bisect
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from neurocompile.errors import ProfileError
from neurocompile.hardware.document import Document, read_document
from neurocompile.hardware.quantity import (
    Axons,
    Basis,
    Bits,
    Cores,
    Cycles,
    Duration,
    Energy,
    Entries,
    Frequency,
    MemoryWord,
    Messages,
    Neurons,
    Power,
    Quantity,
    Steps,
    Synapses,
    Tiles,
    Time,
    Width,
    WordBits,
    Words,
)
from neurocompile.hardware.record import Record, refusal
from neurocompile.resources import find_profile

Limit = Literal["neurons", "axons_in", "axons_out", "synaptic_memory_words", "fan_in", "thresholds"]
Overflow = Literal["wrap", "clip"]
Reset = Literal["none", "zero", "set", "subtract"]
Compare = Literal["above", "at_or_above"]
Order = Literal["integrate_first", "fire_first"]
SpikeValues = Literal["binary", "signed", "graded"]
Content = Literal["synapses", "state", "axons"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]  # shown in terminals: no control codes


class Topology(Record):
    """A mesh of tiles, each of a few cores."""

    tile_rows: Tiles
    tile_columns: Tiles
    cores_per_tile: Cores

    @property
    def tiles(self) -> int:
        """Tiles of one chip."""
        return self.tile_rows.count * self.tile_columns.count

    @property
    def cores(self) -> int:
        """Cores of one chip that may hold neurons."""
        return self.tiles * self.cores_per_tile.count


class Kind(Record):
    """Cores that hold other amounts than most; a null is that of all cores."""

    name: Text
    cores: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    neurons: Neurons = None
    axons_in: Axons = None
    axons_out: Axons = None
    synaptic_memory_words: Words = None
    fan_in: Synapses = None
    thresholds: Entries = None


class Limits(Record):
    """What one core can hold. A null does not limit: unknown, or if listed in ``no_such_limit``, known not to be."""

    neurons: Neurons
    axons_in: Axons
    axons_out: Axons
    synaptic_memory_words: Words
    fan_in: Synapses  # of one neuron
    thresholds: Entries  # distinct threshold values
    no_such_limit: tuple[Limit, ...] = ()
    kinds: Annotated[tuple[Kind, ...], Field(max_length=10)] = ()  # of the cores that are not as said above

    @model_validator(mode="after")
    def _no_limit_has_no_number(self) -> Self:
        for name in self.no_such_limit:
            if any(getattr(each, name) is not None for each in (self, *self.kinds)):
                raise refusal(f"{name} has a number and stands here too", "remove one of the two", key="no_such_limit")
        return self

    @model_validator(mode="after")
    def _each_core_is_of_one_kind(self) -> Self:
        names = [kind.name for kind in self.kinds]
        if len(names) != len(set(names)):
            raise refusal(f"kinds are named {', '.join(names)}", "give each a name of its own", key="kinds")
        cores = Counter(core for kind in self.kinds for core in kind.cores)
        if cores and max(cores.values()) > 1:
            raise refusal(f"core {cores.most_common(1)[0][0]} stands here twice", "name it once", key="kinds")
        return self


class SynapseFormat(Record):
    """How synapses lie in memory.

    One axon's list is cut into blocks of up to ``block_synapses`` (null: never cut). A block is its header and its
    entries, rounded up to whole memory words.
    """

    word_bits: MemoryWord
    block_synapses: Synapses
    block_header_bits: Bits
    index_bits: WordBits  # per entry of a sparse list; null: lists are dense only
    max_words_per_axon: Words
    shared_kernels: bool  # a convolution's kernel is stored once per core, not once per position

    def axon_words(self, synapses: int, weight_bits: int, *, sparse: bool = False) -> int:
        """Memory words of one axon's list: Σ over its blocks of ⌈(entries·bits + header) / word⌉.

        ``weight_bits`` is the width of an entry without its index: weight, and delay and tag if the list stores them.
        Source: nengo-loihi's and NxTF's mapping rules.
        """
        if synapses < 0 or weight_bits < 1:
            raise ValueError(f"axon_words of {synapses} synapses at {weight_bits} bits")
        if synapses == 0:
            return 0
        entry_bits = weight_bits
        if sparse:
            if self.index_bits is None:
                raise ProfileError("synapses.index_bits is null, so a sparse list has no size; store it dense")
            entry_bits += self.index_bits.count
        block = synapses if self.block_synapses is None else self.block_synapses.count
        full, rest = divmod(synapses, block)
        return full * self._block_words(block, entry_bits) + (self._block_words(rest, entry_bits) if rest else 0)

    def _block_words(self, entries: int, entry_bits: int) -> int:
        return -(-(entries * entry_bits + self.block_header_bits.count) // self.word_bits.count)


class ExponentRange(Record):
    """The powers of two by which a core may scale its weights, both ends included."""

    minimum: Annotated[int, Field(ge=-64, le=64)]
    maximum: Annotated[int, Field(ge=-64, le=64)]
    basis: Basis
    source: Text

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.minimum > self.maximum:
            raise refusal(f"minimum {self.minimum} is above maximum {self.maximum}", "swap them", key="minimum")
        return self


class Numerics(Record):
    """Integer formats. Widths include the sign unless said otherwise; *state units* are those of the membrane.

    A membrane holds ``weight << fraction_bits``; leaks are fractions of 2^``decay_bits``. A threshold is a multiple of
    2^``threshold_step_bits`` state units. A bias is ±(2^``bias_bits`` - 1) at most (the sign is apart), times a power
    of two from 2^0 to 2^``bias_exponent_max``, in state units.
    """

    weight_bits: Width  # the widest weight
    weight_exponent_range: ExponentRange | None  # null: no scaling
    state_bits: Width
    fraction_bits: Bits
    fraction_bits_fixed: bool  # false: a program may choose; fraction_bits is then the suggestion
    decay_bits: Bits
    threshold_bits: Width  # of the magnitude if not threshold_signed, else with the sign
    threshold_signed: bool
    threshold_step_bits: Bits
    bias_bits: Bits
    bias_exponent_max: Bits
    accumulator_bits: Width  # one step's sum of weights, before fraction bits
    current_overflow: Overflow
    membrane_overflow: Overflow
    payload_bits: Bits  # of a graded spike; 0: spikes carry no value

    @property
    def threshold_range(self) -> tuple[int, int]:
        """Least and greatest threshold that can be stored, in state units."""
        step = 1 << self.threshold_step_bits.count
        if not self.threshold_signed:
            return 0, (1 << self.threshold_bits.count) - step
        half = 1 << (self.threshold_bits.count - 1)
        return -half, half - step


class NeuronModel(Record):
    """What a neuron of this chip can be told to do. ``zero`` resets to 0, ``set`` to any value."""

    resets: tuple[Reset, ...]
    compares: tuple[Compare, ...]
    orders: tuple[Order, ...]
    spikes: tuple[SpikeValues, ...]
    leaky_reset: tuple[bool, ...]  # true: the leak also acts on the reset; false: the reset comes a step later
    single_spike: bool  # a neuron can be told to fire at most once per presentation
    max_delay_steps: Steps  # of a spike, besides the one step that it takes
    membrane_min: bool = False  # a membrane can be told not to fall below a value


class Cost(Record):
    """What one event costs; a null is unknown. A clocked chip may say ``cycles`` in place of a time."""

    energy_pj: Energy
    time_ns: Time
    cycles: Cycles = None

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.time_ns is not None and self.cycles is not None:
            raise refusal("time_ns and cycles are both given", "keep one of them", key="cycles")
        return self


class Core(Record):
    """How a core works through a time step.

    ``overlap``: neurons are updated and their messages sent while messages are received; if not, one engine does both.
    ``visits``: the neurons that are looked at in a step: those that are there (``mapped``), all that could be
    (``slots``, of which ``limits.neurons`` says the number), or those whose update is active.
    ``fetch``: a message costs its synapses (``list``), or all that could be there (``row``: one for each slot).
    ``active``: what makes an update active: an event that arrives, a spike that is sent or a bias (``input``), or a
    state other than zero as well (``state``).
    ``biases``: neurons add their own at the steps of a sample (``held``), or the host sends them (``sent``), since they
    would act at every step: at each step of a sample a message to each core, with a synaptic op for each neuron.
    """

    overlap: bool = False
    visits: Literal["mapped", "slots", "active"] = "mapped"
    fetch: Literal["list", "row"] = "list"
    active: Literal["input", "state"] = "input"
    biases: Literal["held", "sent"] = "held"


class Bank(Record):
    """Synapses of one kind that have prices of their own, such as those of a memory for input weights alone.

    It holds the projections that come ``source`` (from encoders, from the population itself, or from others), end in
    neurons or readouts, and whose ``weights`` are stored so: in kernels that neurons share, in dense lists (all neurons
    have a synapse from each source) or in sparse ones. A null event costs nothing; one left to ``Events`` is not in a
    bank at all.
    """

    name: Text
    source: Literal["input", "itself", "others", "any"]
    target: Literal["neurons", "readouts", "any"]
    weights: Literal["shared", "dense", "sparse", "any"] = "any"
    zeros: Literal["stored", "skipped"]  # whether a weight of zero takes a synaptic operation
    source_visit: Cost | None  # each source neuron, at every step, whether it fires or not
    message: Cost | None  # a source neuron that fires, beside ``Events.axon_in``
    synaptic_op: Cost | None


class Events(Record):
    """What each event costs. A null event is none of this chip's: its cost is part of another's."""

    synaptic_op: Cost | None  # one weight added
    graded_synaptic_op: Cost | None = None  # one weight times a payload
    neuron_update_active: Cost | None  # a neuron that got input, or whose state changed
    neuron_update_inactive: Cost | None  # a neuron that is only visited
    neuron_update_stateless: Cost | None = None  # a comparison, with nothing kept
    neuron_update_readout: Cost | None = None  # a neuron that never fires
    spike_out: Cost | None = None  # a neuron that fires
    axon_out: Cost | None = None  # a message that is sent to one core
    axon_in: Cost | None = None  # a message that is received

    @property
    def graded_op(self) -> Cost | None:
        """A weight times a payload; a plain synaptic op where the chip makes no difference."""
        return self.graded_synaptic_op or self.synaptic_op

    @property
    def stateless_update(self) -> Cost | None:
        """A neuron without state; an active update where the chip makes no difference."""
        return self.neuron_update_stateless or self.neuron_update_active


class Level(Record):
    """A memory. Of the levels that hold a content, the first in the file that is large enough is used."""

    name: Text
    holds: tuple[Content, ...]
    per: Literal["core", "chip"]
    word_bits: WordBits
    size_words: Words
    read: Cost  # one word
    write: Cost  # one word
    energy_in_events: bool  # true: events already include the accesses, energy and time, which must not be added again


class Noc(Record):
    """The mesh between tiles: what one spike message costs per hop, and within its own tile.

    A message is on its way for the hop's time, and keeps others from entering a link for ``link_time_ns`` (null: not
    known, links are taken never to be busy). ``buffer_messages`` wait behind each link and before each core (null: not
    known, as many as there are).
    """

    routing: Literal["xy"]
    hop_east_west: Cost
    hop_north_south: Cost
    within_tile: Cost
    link_time_ns: Time = None
    buffer_messages: Messages = None


class Host(Record):
    """Where messages from off the chip enter the mesh, and what each costs there (null: nothing of its own)."""

    tile: Annotated[int, Field(ge=0, lt=1 << 24)]
    message: Cost | None


class BarrierPoint(Record):
    """How long the barrier takes when this many tiles take part."""

    tiles: Annotated[int, Field(ge=1, le=1 << 24)]
    time_ns: Duration


class Barrier(Record):
    """The synchronisation that ends a time step. No energy: static power covers waiting."""

    points: Annotated[tuple[BarrierPoint, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        tiles = [point.tiles for point in self.points]
        if tiles != sorted(set(tiles)):
            raise refusal(f"tiles are {tiles}, expected ascending", "sort the points and keep one each", key="points")
        return self

    @property
    def max_tiles(self) -> int:
        """The largest number of tiles that the points speak of."""
        return self.points[-1].tiles

    def barrier_ns(self, tiles: int) -> float:
        """Time (ns) with ``tiles`` tiles, linear between the points; ProfileError outside of them."""
        first = self.points[0].tiles
        if not first <= tiles <= self.max_tiles:
            known = f"known from {first} to {self.max_tiles} tiles"
            raise ProfileError(f"barrier: {tiles} tiles, {known}; use fewer tiles or add a point to barrier.points")
        right = bisect.bisect_left(self.points, tiles, key=lambda point: point.tiles)
        b = self.points[right]
        if b.tiles == tiles:
            return float(b.time_ns.value)
        a = self.points[right - 1]
        share = (tiles - a.tiles) / (b.tiles - a.tiles)
        return a.time_ns.value + share * (b.time_ns.value - a.time_ns.value)


class Clock(Record):
    """A global clock; a null frequency is unknown."""

    frequency_mhz: Frequency


class Operations(Record):
    """Arithmetic on its own, for accounts that price nothing but multiplications and additions."""

    mac_energy_pj: Energy
    add_energy_pj: Energy


class Profile(Record):
    """The facts of one chip."""

    format: Literal["neurocompile.profile/1"]
    name: Name
    title: Text
    notes: tuple[Text, ...]  # the first lines of every report
    topology: Topology | None  # null: one core without bounds
    limits: Limits
    synapses: SynapseFormat
    numerics: Numerics
    neuron: NeuronModel
    events: Events
    memory: tuple[Level, ...]
    noc: Noc | None
    barrier: Barrier | None
    static_power_mw: Power  # of one chip
    clock: Clock | None  # null: asynchronous
    ops: Operations
    core: Core = Core()
    banks: tuple[Bank, ...] = ()  # the first that holds a projection counts
    host: Host | None = None  # null: messages from off the chip appear at the cores that they are for
    tick_ns: Time = None  # a time step lasts at least so long; null: steps follow one another at once
    core_power_mw: Power = None  # of each core in use, beside static_power_mw; null: none of its own

    def time_of(self, cost: Cost) -> Quantity | None:
        """Time (ns) of an event; None where it is unknown, or the frequency by which cycles become time."""
        if cost.cycles is None:
            return cost.time_ns
        if self.clock is None or self.clock.frequency_mhz is None:
            return None
        time_ns = cost.cycles.value * 1e3 / self.clock.frequency_mhz.value
        return cost.cycles.model_copy(update={"value": time_ns, "unit": "ns"})

    @model_validator(mode="after")
    def _keys_that_need_each_other(self) -> Self:
        if self.core.visits == "slots" or self.core.fetch == "row":
            if self.limits.neurons is None:
                raise refusal("cores work through all slots, and their number is null", "give it", key="limits")
            if any(kind.neurons for kind in self.limits.kinds):
                problem = "cores work through all slots, so that kinds cannot differ in neurons"
                raise refusal(problem, "leave these out", key="limits")
        largest = max((core for kind in self.limits.kinds for core in kind.cores), default=-1)
        if largest >= (self.topology.cores if self.topology else 0):
            problem = f"limits.kinds has core {largest}, which is none of the chip's"
            raise refusal(problem, "count from 0", key="limits")
        if self.host is not None and self.host.tile >= (self.topology.tiles if self.topology else 1):
            raise refusal(f"host.tile is {self.host.tile}, which is none of the chip's", "count from 0", key="host")
        return self

    @model_validator(mode="after")
    def _levels_have_names_of_their_own(self) -> Self:
        names = [level.name for level in self.memory]
        if len(names) != len(set(names)):
            raise refusal(f"levels are named {', '.join(names)}", "give each a name of its own", key="memory")
        return self

    @classmethod
    def from_mapping(cls, data: object, where: str = "profile") -> Self:
        """Read plain data, such as the copy saved in a program; ``where`` names its origin in errors."""
        return cls.from_document(Document(where, data))


def load_profile(name_or_path: str | Path) -> Profile:
    """A shipped profile by name, or a YAML file by path; ProfileError says file, line, key and remedy."""
    return Profile.from_document(read_document(find_profile(name_or_path)))


def profile_faults(path: Path) -> tuple[str, ...]:
    """What is wrong with a profile file, a sentence each with file, line, key and remedy; none where all is well."""
    try:
        return Profile.faults(read_document(path))
    except ProfileError as error:  # it is not the YAML that is read here
        return (str(error),)


def profile_to_dict(profile: Profile, *, as_given: bool = False) -> dict[str, Any]:
    """Plain JSON data from which :meth:`Profile.from_mapping` makes an equal profile.

    ``as_given``: only the keys that its file has, so that it stays the same when later versions know more of them.
    """
    return profile.model_dump(mode="json", exclude_unset=as_given)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a profile file, for editors; the reader also refuses what a schema cannot say."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Profile.model_json_schema()}
