"""NIR's neurons, which are differential equations, as somas, which have time steps.

Per step of ``dt`` seconds and input x, with ``rate = dt/tau`` (forward Euler) or ``1 - exp(-dt/tau)`` (exact)::

    I, IF           v = v + r*dt*x
    LI, LIF         v = (1 - rate)*v + rate*(v_leak + r*x)
    CubaLI(F)       i = (1 - rate_syn)*i + rate_syn*w_in*x;  v = (1 - rate_mem)*v + rate_mem*(v_leak + r*i)

The membrane sees the current of the same step. State starts at rest, i = 0 and v = v_leak, or v_reset in an IF, which
has no v_leak (as it does in Norse and SpikingJelly). A soma's membrane is kept relative to that, and a spiking one's in
units of the gain (r*rate, say) that its input is multiplied by, which changes none of its spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.frontend.nir.conventions import Conventions
from neurocompile.ir.nodes import Array, Neuron, Node, Readout, Scale, Shape, Threshold

#: so many units in the last place may a product like (tau/dt)*(dt/tau), which exporters write to say 1, be off
_ROUNDING_ULPS = 4

Parameter = Callable[[str], Array]


@dataclass(frozen=True)
class Step:
    """A time step of ``dt`` seconds, and how to read what NIR does not say."""

    dt: float
    conventions: Conventions

    def rate(self, tau: Array, what: str) -> Array:
        """The part of the membrane that leaks away in a step, in tau's own precision, as exporters compute it."""
        if not (tau > 0).all():
            raise GraphError(f"{what} is {_shown(tau.min())}; time constants must be positive")
        steps = self.dt / tau
        if self.conventions.rule == "exact":
            lost: Array = -np.expm1(-steps)
            return lost
        if (steps > 1).any():
            raise GraphError(
                f"{what} is {_shown(tau.min())} s, below the time step of {self.dt:g} s; give a --dt of at most that"
            )
        return steps


@dataclass(frozen=True)
class Dynamics:
    """``leak`` and ``current_leak`` per step, ``gain`` of the input, ``rest``: where the membrane starts."""

    leak: Array
    current_leak: Array
    gain: Array
    rest: Array


def dynamics(kind: str, parameter: Parameter, step: Step) -> Dynamics:
    """What the equations of ``kind`` are in time steps. ``parameter(name)`` gives an array that broadcasts."""
    zero = np.zeros(())
    if kind in ("I", "IF"):
        r = parameter("r")
        start = parameter("v_reset") if kind == "IF" and step.conventions.reset == "set" else zero
        return Dynamics(np.ones(()), zero, _near_one(r if per_step(r) else r * step.dt), start)
    if kind in ("LI", "LIF"):
        leak, gain = _leaky(parameter("tau"), parameter("r"), step, "tau")
        return Dynamics(leak, zero, gain, parameter("v_leak"))
    leak, gain = _leaky(parameter("tau_mem"), parameter("r"), step, "tau_mem")
    current_leak, current_gain = _leaky(parameter("tau_syn"), parameter("w_in"), step, "tau_syn")
    return Dynamics(leak, current_leak, gain.astype(np.float64) * current_gain, parameter("v_leak"))


def per_step(r: Array) -> bool:
    """Whether an integrator's r is 1 throughout. Norse, Sinabs and snnTorch mean ``v = v + x`` by that, whatever the
    time step is; the equation itself would have dt*x, and those who mean the equation write r = 1/dt."""
    return bool((r == 1).all())


def _leaky(tau: Array, r: Array, step: Step, what: str) -> tuple[Array, Array]:
    """(leak, gain). What never leaks has an infinite tau, and r = tau/dt where it means a gain of one."""
    endless = np.isinf(tau) & np.isinf(r)
    if (np.isinf(r) & ~endless).any():
        raise GraphError(f"r is infinite, but {what} is not; give finite resistances")
    rate = step.rate(tau, what)
    with np.errstate(invalid="ignore"):
        gain = np.where(endless, rate.dtype.type(1), _near_one(r * rate))
    return 1 - rate, gain


def _near_one(gain: Array) -> Array:
    rounding = _ROUNDING_ULPS * np.finfo(gain.dtype).eps
    result: Array = np.where(np.abs(gain - 1) <= rounding, gain.dtype.type(1), gain)
    return result


def soma(kind: str, parameter: Parameter, shape: Shape, step: Step) -> list[tuple[str, Node]]:
    """The nodes, as (what to append to the name, node): a Scale where the input has a gain that a soma has no field
    for, then the soma. GraphError where the parameters say what no soma does."""
    choices = step.conventions

    def kept(values: Array) -> Array:
        return compact(np.asarray(values, np.float64), shape)

    if kind == "Threshold":
        return [("", Threshold(threshold=kept(parameter("threshold")), compare=choices.compare))]
    found = dynamics(kind, parameter, step)
    gain, rest = found.gain.astype(np.float64), found.rest.astype(np.float64)
    leaks: dict[str, Any] = {"leak": kept(found.leak), "current_leak": kept(found.current_leak)}
    if kind in ("I", "LI", "CubaLI"):
        if np.unique(rest).size > 1:
            raise GraphError("v_leak differs between its neurons, and a readout starts at 0; subtract it beforehand")
        return _scaled(gain, shape, Readout(**leaks))
    before, unit = (gain, np.ones(())) if (gain <= 0).any() else (np.ones(()), gain)
    threshold = (parameter("v_threshold").astype(np.float64) - rest) / unit
    if not (threshold > 0).all():
        start = "v_reset" if kind == "IF" else "v_leak"
        raise GraphError(f"v_threshold is not above {start}, so that it fires without input; raise v_threshold")
    if choices.reset == "subtract" and rest.any():
        raise GraphError("v_leak is not 0, with which a reset by subtraction is not what NIR says; make it 0")
    reset = (parameter("v_reset").astype(np.float64) - rest) / unit if choices.reset == "set" else np.zeros(())
    neuron = Neuron(
        threshold=kept(threshold),
        reset_value=kept(reset),
        compare=choices.compare,
        reset=choices.reset,
        leaky_reset=choices.leaky_reset,
        spikes=choices.spikes,
        max_payload=choices.max_payload,
        **leaks,
    )
    return _scaled(before, shape, neuron)


def _scaled(gain: Array, shape: Shape, node: Neuron | Readout) -> list[tuple[str, Node]]:
    if (gain == 1).all():
        return [("", node)]
    return [(".gain", Scale(weight=compact(gain, shape))), ("", node)]


def fitted(values: Array, shape: Shape, what: str) -> Array:
    """``values`` so that they broadcast against ``shape``: one for all, one per channel, or one per neuron."""
    if values.size == 1:
        return values.reshape(())
    while values.ndim > len(shape) and values.shape[0] == 1:
        values = values[0]
    if values.shape == shape[:1]:
        return values.reshape(-1, *(1,) * (len(shape) - 1))
    if values.ndim == len(shape) and all(one in (1, other) for one, other in zip(values.shape, shape, strict=True)):
        return values
    raise GraphError(f"{what} has shape {values.shape}, but its input has {shape}; they must be the same")


def compact(values: Array, shape: Shape) -> Array:
    """``values``, which broadcast against ``shape``: one where all are the same, else one per channel where that says
    the same, else all of them."""
    full = np.broadcast_to(values, shape)
    flat = full.reshape(shape[0], -1)
    if (flat == flat[0, 0]).all():
        return flat[:1, 0].reshape(())
    return flat[:, 0].copy() if (flat == flat[:, :1]).all() else full.copy()


def _shown(number: Any) -> str:
    return f"{float(number):g}"
