"""What turns synaptic input into spikes or results."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.nodes.base import (
    Array,
    Compare,
    Node,
    Order,
    Overflow,
    Reset,
    Shape,
    Spikes,
    check_number,
    check_parameter,
)


@dataclass(frozen=True)
class FixedPoint:
    """The integer arithmetic of one soma.

    States (membrane, current, threshold, bias, reset value) carry ``fraction_bits`` below the weight's unit: an input
    of one is ``1 << fraction_bits``. Leaks are fractions of ``2**decay_bits``; a decay truncates towards zero, as
    Loihi's does. States have ``state_bits`` (sign included) and wrap or clip where they would not fit; the sum of
    synaptic inputs has ``accumulator_bits`` and is proved never to overflow.
    """

    state_bits: int = 24
    fraction_bits: int = 0
    decay_bits: int = 12
    accumulator_bits: int = 24
    current_overflow: Overflow = "wrap"
    membrane_overflow: Overflow = "clip"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("state_bits", 2, 53),
            ("fraction_bits", 0, 16),
            ("decay_bits", 1, 16),
            ("accumulator_bits", 2, 53),
        ):
            if not low <= getattr(self, name) <= high:
                raise GraphError(f"FixedPoint.{name} is {getattr(self, name)}; it must be from {low} to {high}")
        # float64, which may run an integer graph, holds every integer of 53 bits
        for name, other in (("state_bits", "decay_bits"), ("accumulator_bits", "fraction_bits")):
            width = getattr(self, name) + getattr(self, other)
            if width > 53:
                raise GraphError(f"FixedPoint: {name} + {other} is {width}; their product must fit 53 bits")
        for name in ("current_overflow", "membrane_overflow"):
            if getattr(self, name) not in ("wrap", "clip"):
                raise GraphError(f"FixedPoint.{name} is {getattr(self, name)!r}; choose one of wrap, clip")

    @property
    def one(self) -> int:
        """A leak of one: nothing decays."""
        return 1 << self.decay_bits


@dataclass(frozen=True, eq=False, kw_only=True)
class Soma(Node):
    """What turns synaptic input into spikes or results: ``Neuron``, ``Threshold`` and ``Readout``.

    ``phase`` is the time step at which the soma sees the first step of a sample: 0 until the retime pass sets it.
    """

    phase: int = 0
    fixed: FixedPoint | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.phase < 0:
            raise GraphError(f"{self.kind}.phase is {self.phase}; it must be at least 0")

    def output_shape(self, *inputs: Shape) -> Shape:
        for name, array in self.arrays():
            check_parameter(self, name, array, inputs[0])
        return inputs[0]


def _check_leaks(node: Neuron | Readout) -> None:
    one = node.fixed.one if node.fixed else 1
    for name in ("leak", "current_leak"):
        leak = getattr(node, name)
        if leak.min() < 0 or leak.max() > one:
            raise GraphError(f"{node.kind}.{name} ranges from {leak.min()} to {leak.max()}; it must lie in [0, {one}]")


def _one() -> Array:
    return np.array(1.0)


def _zero() -> Array:
    return np.array(0.0)


def _false() -> Array:
    return np.array(False)


@dataclass(frozen=True, eq=False, kw_only=True)
class Neuron(Soma):
    """A leaky integrate-and-fire neuron, with every choice spelled out.

    One time step with input x, all state zero at the start of a sample::

        i = current_leak*i + x + bias
        order "integrate_first":                    order "fire_first" (fires on what the last step left):
            u = leak*u + i                              s = fire(u)
            if not leaky_reset: u = reset(u, last)      u = leak*reset(u, s) + i   if leaky_reset
            s = fire(u)                                 u = reset(leak*u + i, s)   otherwise
            if leaky_reset: u = reset(u, s)
        u = max(u, membrane_min)                    if there is a membrane_min

    where ``last`` is s of the step before (0 at the first).

    fire, by ``spikes``: "binary" 1 where u passes the threshold; "signed" also -1 where -u passes it; "graded" the
    number of k >= 1 for which u passes k*threshold, at most ``max_payload``. To pass is ``>`` or ``>=`` (``compare``).
    With ``single_spike`` a neuron that has fired in a presentation fires no more. reset: "subtract" u - threshold*s;
    "set" sign(s)*reset_value where s is not 0; "none" u. ``leaky_reset`` = False delays the reset of spikes of any kind
    to the next step, behind its leak and its input. So the leak does not act on what is subtracted (Eq. 2 of IIR-SNN,
    snnTorch), and "set" loses the next step's input to the membrane, but not the current that goes on (snnTorch's
    Synaptic and Lapicque). It does not go with "none".

    ``membrane_min`` <= 0 is what a membrane never begins a step below (Sinabs' ``min_v_mem``). It acts on what a step
    leaves: after its reset, or, where one fires first, after the integration, and behind the state's overflow. None:
    no such limit.
    """

    threshold: Array
    leak: Array = field(default_factory=_one)
    current_leak: Array = field(default_factory=_zero)
    bias: Array = field(default_factory=_zero)
    reset_value: Array = field(default_factory=_zero)
    membrane_min: Array | None = None
    order: Order = "integrate_first"
    compare: Compare = "above"
    reset: Reset = "subtract"
    leaky_reset: bool = True
    spikes: Spikes = "binary"
    max_payload: int = 255
    single_spike: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.threshold > 0).all():
            raise GraphError(f"Neuron.threshold has a value {self.threshold.min()}; thresholds must be positive")
        if not self.leaky_reset and self.reset == "none":
            raise GraphError("Neuron: leaky_reset=False delays a reset, but reset is 'none'; drop one of the two")
        if self.membrane_min is not None and self.membrane_min.max() > 0:
            raise GraphError(
                f"Neuron.membrane_min has a value {self.membrane_min.max()}; membranes begin at 0; 0 is the most"
            )
        if self.max_payload < 1:
            raise GraphError(f"Neuron.max_payload is {self.max_payload}; it must be at least 1")
        _check_leaks(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Soma):
    """A neuron without state, for networks of one time step: ``s = fire(x + bias)`` as ``Neuron``'s fire.

    ``flip`` (bool, per channel): the comparison points the other way, ``<`` for ``>`` and ``<=`` for ``>=``; a batch
    norm of negative scale does this. Only for binary spikes. The threshold may have any sign.
    """

    threshold: Array
    bias: Array = field(default_factory=_zero)
    flip: Array = field(default_factory=_false)
    compare: Compare = "above"
    spikes: Spikes = "binary"
    max_payload: int = 255

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spikes != "binary" and (self.flip.any() or not (self.threshold > 0).all()):
            raise GraphError(f"Threshold: {self.spikes} spikes need positive thresholds and no flipped comparison")


@dataclass(frozen=True, eq=False, kw_only=True)
class Readout(Soma):
    """Integrates and never fires; its result is its membrane after the last step.

    ``i = current_leak*i + x + bias``; ``u = leak*u + i``. ``unit`` (integer stage) is what an output of one stands
    for in the float network's units, so that ``result * unit`` is close to the float result.
    """

    leak: Array = field(default_factory=_one)
    current_leak: Array = field(default_factory=_zero)
    bias: Array = field(default_factory=_zero)
    unit: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "unit", self.unit)
        _check_leaks(self)
