"""Somas made ready to run for a batch: the loops where float64 is proved exact for them, else the interpreter's steps.

Synaptic sums come as (samples, steps or 1, neurons), what is sent goes out as (samples, steps, neurons), and among the
neurons of a map channels vary fastest, as the products of ``products.py`` lay them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from neurocompile.backends.functional import loops
from neurocompile.backends.functional.products import narrowest
from neurocompile.ir.bounds import Interval, state_range
from neurocompile.ir.interpret import SomaState
from neurocompile.ir.nodes import Array, FixedPoint, Neuron, Shape, Soma, Threshold, magnitude
from neurocompile.ir.populations import Population

# sums and states of so many bits, and a few of them added, stay below 2**53, where float64 ends to hold every integer
_SAFE_BITS = 50


class SomaRunner(Protocol):
    """One soma, stepped for a batch."""

    @property
    def arithmetic(self) -> str: ...

    def begin(self, samples: int, *, whole: bool) -> Any:
        """The state of a presentation that begins; ``whole`` where one ``advance`` will run all of its steps."""

    def advance(self, x: Array, steps: int, sent: Array, state: Any) -> None:
        """Run ``steps`` time steps and write what is sent at each. A readout writes its membrane; that of the last step
        alone, where ``sent`` has room for one."""


def sent_dtype(soma: Soma) -> np.dtype[Any]:
    """The narrowest integers that hold what a soma sends."""
    assert isinstance(soma, (Neuron, Threshold))
    if soma.spikes == "signed":
        return np.dtype(np.int8)
    return narrowest(0, soma.max_payload if soma.spikes == "graded" else 1)


def make_runner(population: Population, arriving: Interval, timesteps: int) -> SomaRunner:
    """The fastest exact runner of an integer soma whose sums of one step lie in ``arriving``."""
    soma, shape, fixed = population.soma, population.shape, population.soma.fixed
    if fixed is None:
        return Interpreted(soma, shape, "int64")
    widest = max(arriving.bits + fixed.fraction_bits, fixed.state_bits)
    if isinstance(soma, Neuron) and soma.reset == "set":
        # a value that is reset to may decay before it is cut to the state's width
        widest = max(widest, magnitude(soma.reset_value).bit_length() + fixed.decay_bits)
    largest = max(magnitude(array) for _, array in soma.arrays())
    if widest > _SAFE_BITS or largest >= 1 << _SAFE_BITS:
        return Interpreted(soma, shape, "int64")
    if isinstance(soma, Neuron):
        states = state_range(population, arriving, timesteps)
        return NeuronLoop.of(soma, fixed, shape, never_overflows=max(each.bits for each in states) <= fixed.state_bits)
    if isinstance(soma, Threshold):
        return ThresholdLoop.of(soma, shape)
    return Interpreted(soma, shape, "float64")


def physical(parameter: Array, shape: Shape) -> Array:
    """A parameter as float64 (1,), (channels,) or (neurons,), channels fastest."""
    if parameter.ndim == len(shape) > 1:
        parameter = np.moveaxis(parameter, 0, -1)
    return np.atleast_1d(parameter.astype(np.float64).reshape(-1))


def _row(soma: Neuron | Threshold, name: str, shape: Shape) -> Array:
    return physical(getattr(soma, name), shape)


_SPIKES = {"binary": loops.BINARY, "signed": loops.SIGNED, "graded": loops.GRADED}
_RESETS = {"subtract": loops.SUBTRACT, "set": loops.SET, "none": loops.NONE}


@dataclass(frozen=True)
class NeuronLoop:
    parameters: Array
    neurons: int
    rule: loops.Rule
    plain: bool  # as ``loops.run_plain_neurons`` takes them
    arithmetic: str = "float64"

    @classmethod
    def of(cls, soma: Neuron, fixed: FixedPoint, shape: Shape, *, never_overflows: bool) -> NeuronLoop:
        rows = [
            _row(soma, "threshold", shape),
            _row(soma, "leak", shape) / fixed.one,
            _row(soma, "current_leak", shape) / fixed.one,
            _row(soma, "bias", shape),
            _row(soma, "reset_value", shape),
            np.zeros(1) if soma.membrane_min is None else physical(soma.membrane_min, shape),
        ]
        rule = loops.Rule(
            unit=float(1 << fixed.fraction_bits),
            fire_first=soma.order == "fire_first",
            at_or_above=soma.compare == "at_or_above",
            spikes=_SPIKES[soma.spikes],
            max_payload=float(soma.max_payload),
            reset=_RESETS[soma.reset],
            leaky_reset=soma.leaky_reset,
            single_spike=soma.single_spike,
            half=float(1 << (fixed.state_bits - 1)),
            wrap_current=fixed.current_overflow == "wrap",
            wrap_membrane=fixed.membrane_overflow == "wrap",
            decays=bool((soma.leak != fixed.one).any()),
            current_decays=bool(soma.current_leak.any()),
            has_minimum=soma.membrane_min is not None,
        )
        usual = (soma.order, soma.spikes, soma.reset) == ("integrate_first", "binary", "subtract")
        plain = usual and never_overflows and not (rule.single_spike or rule.current_decays or rule.has_minimum)
        neurons = int(np.prod(shape))
        return cls(loops.layout(rows, neurons), neurons, rule, plain)

    def begin(self, samples: int, *, whole: bool) -> Array:
        return loops.no_states() if whole else np.zeros((samples, loops.STATES, self.neurons))

    def advance(self, x: Array, steps: int, sent: Array, state: Array) -> None:  # noqa: ARG002
        rule = self.rule
        if self.plain and not len(state):
            loops.run_plain_neurons(x, sent, self.parameters, rule.unit, float(rule.at_or_above), rule.leaky_reset)
        else:
            loops.run_neurons(x, sent, state, self.parameters, rule)


@dataclass(frozen=True)
class ThresholdLoop:
    parameters: Array
    at_or_above: bool
    spikes: int
    max_payload: float
    arithmetic: str = "float64"

    @classmethod
    def of(cls, soma: Threshold, shape: Shape) -> ThresholdLoop:
        sign = np.where(physical(soma.flip, shape) != 0, -1.0, 1.0)
        rows = [_row(soma, "threshold", shape), sign, _row(soma, "bias", shape)]
        return cls(
            loops.layout(rows, int(np.prod(shape))),
            soma.compare == "at_or_above",
            _SPIKES[soma.spikes],
            float(soma.max_payload),
        )

    def begin(self, samples: int, *, whole: bool) -> None:
        """Nothing is kept from one step to the next."""

    def advance(self, x: Array, steps: int, sent: Array, state: None) -> None:  # noqa: ARG002
        loops.run_thresholds(x, sent, self.parameters, self.at_or_above, self.spikes, self.max_payload)


@dataclass(frozen=True)
class Interpreted:
    """The interpreter's own steps: readouts, which are small, and whatever float64 might not hold."""

    soma: Soma
    shape: Shape
    arithmetic: str

    def begin(self, samples: int, *, whole: bool) -> SomaState:  # noqa: ARG002
        return SomaState(self.soma, self.shape, samples, np.dtype(self.arithmetic))

    def advance(self, x: Array, steps: int, sent: Array, state: SomaState) -> None:
        for t in range(steps):
            frame = x[:, min(t, x.shape[1] - 1)]
            values = state.step(channels_first(frame, self.shape).astype(self.arithmetic))
            sent[:, min(t, sent.shape[1] - 1)] = channels_last(values)


def channels_first(flat: Array, shape: Shape) -> Array:
    """(..., neurons) with channels fastest -> (..., *shape)."""
    channels, *others = shape
    return np.moveaxis(flat.reshape(*flat.shape[:-1], *others, channels), -1, -len(shape))


def channels_last(values: Array) -> Array:
    """(samples, *shape) -> (samples, neurons) with channels fastest."""
    return np.moveaxis(values, 1, -1).reshape(len(values), -1)


def fused_limit(soma: Threshold, exponent: int, most: int) -> tuple[Array, Array] | None:
    """A binary threshold on sums that carry ``2**exponent``, as ``sign * sum > limit`` of the bare sums, which lie
    within +-``most``: sign and limit int64, () or (channels,). None where it cannot be said channel by channel."""
    parts = soma.threshold, soma.bias, soma.flip
    if soma.spikes != "binary" or any(part.ndim > 1 for part in parts):
        return None
    if max(map(magnitude, parts)) >= 1 << 62:
        return None  # their difference might leave int64
    threshold, bias, flip = (part.astype(np.int64) for part in parts)
    sign = np.where(flip != 0, -1, 1)
    limit = sign * (threshold - bias) - (0 if soma.compare == "above" else 1)
    return sign, np.clip(limit >> exponent, -most - 1, most)
