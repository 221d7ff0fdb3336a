"""Neurons: LIF with each choice of §"what a neuron is" spelled out, IF, and the readout that never fires."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from neurocompile.errors import InputError
from neurocompile.snn.state import Stateful
from neurocompile.snn.surrogate import LinearSurrogate, Surrogate, measures, with_surrogate

Order = Literal["integrate_first", "fire_first"]
Compare = Literal["above", "at_or_above"]
Reset = Literal["subtract", "set", "none"]
Spikes = Literal["binary", "signed", "graded"]

MIN_THRESHOLD = 1e-3  # where clamp_parameters() stops a learned threshold


class _State(NamedTuple):
    i: Tensor
    """Synaptic current."""
    u: Tensor
    """Membrane."""
    last: Tensor
    """What the last step's spikes reset, at the next step (``leaky_reset=False``)."""
    fired: Tensor
    """Whether the neuron has fired in this presentation (kept for ``single_spike`` only)."""
    since: Tensor
    """Time steps since its last spike, infinite before the first (kept for surrogates of time only)."""


class LIF(Stateful):
    """A leaky integrate-and-fire layer; calling it runs one time step.

    With input x, membrane u, synaptic current i, threshold v, leak λ and current leak α::

        i = α·i + x
        order "integrate_first":                    order "fire_first":
            u = λ·u + i                                 s = fire(u)
            s = fire(u)                                 u = λ·reset(u, s) + i
            u = reset(u, s)
        u = max(u, membrane_min)                    if one is given

    All states are zero at the start of a presentation. ``leaky_reset=False`` puts the reset a step later, behind the
    leak and the input: integrate_first then takes ``u = reset(λ·u + i, s of the last step)``, ``s = fire(u)``, and
    fire_first ``u = reset(λ·u + i, s)``. So the leak does not act on a subtracted v·s (Eq. 2 of IIR-SNN), and with
    "set" the membrane loses the input of the step after a spike. It needs a reset.

    ``fire`` by ``spikes`` (with "above"; "at_or_above" puts ≥ for > and ≤ for <):

    - "binary": 1 where u > v;
    - "signed": 1 where u > v, -1 where u < -v;
    - "graded": how many integers k ≥ 1 have u > k·v, at most ``max_payload``.

    ``reset``: "subtract" gives u - v·s; "set" gives ``reset_value``·sign(s) where s ≠ 0; "none" leaves u.

    With ``single_spike`` a neuron fires once per presentation at most. In eval mode it is then shut off: later spikes
    do not happen, nor their resets, nor have they a gradient. In train mode it emits the very same spikes, but its
    membrane goes on: u is reset wherever it passes v, and every step has its gradient, so that learning does not end
    with the first spike (Datta et al. 2021, *Training energy-efficient deep spiking neural networks with single-spike
    hybrid input encoding*, Eqs. 6 to 8 and 19 to 23).

    The gradient of s is that of ``surrogate``, k·v being the firing level nearest to u: ``slope(u/v - k)`` with respect
    to u/v, or for surrogates of other quantities their slope with respect to u - k·v. The spike that a reset subtracts
    is a constant to autograd while the threshold in it is not, which is how Eq. 14 of IIR-SNN comes out.

    Args:
        membrane_min: what the membrane never begins a step below, at most 0; None for no such limit.
        threshold: v > 0; a number, a tensor (C,) with one value per channel, or one per neuron, e.g. (C, H, W).
        leak: λ in [0, 1]; the same shapes.
        current_leak: α in [0, 1]; the same shapes. 0 means no synaptic current is kept.
        learn_threshold, learn_leak: make it an ``nn.Parameter``. Call :func:`clamp_parameters` after each optimizer
            step, so that the value used in training is a legal one and is the value that is compiled.

    Shapes: x is (N, C), (N, C, H, W) or any (N, C, ...); the result has the shape of x and holds the spikes.

    Raises:
        InputError: an option or a value is out of range, a parameter's shape does not fit x, or the batch changed
            its shape within a presentation.
    """

    threshold: Tensor
    leak: Tensor
    current_leak: Tensor

    def __init__(
        self,
        threshold: float | Tensor = 1.0,
        leak: float | Tensor = 1.0,
        *,
        current_leak: float | Tensor = 0.0,
        order: Order = "integrate_first",
        compare: Compare = "above",
        reset: Reset = "subtract",
        reset_value: float = 0.0,
        leaky_reset: bool = True,
        spikes: Spikes = "binary",
        max_payload: int = 255,
        single_spike: bool = False,
        membrane_min: float | None = None,
        learn_threshold: bool = False,
        learn_leak: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        for option, value, choices in (
            ("order", order, Order),
            ("compare", compare, Compare),
            ("reset", reset, Reset),
            ("spikes", spikes, Spikes),
        ):
            if value not in get_args(choices):
                raise InputError(f"LIF: {option} is {value!r}; choose one of {', '.join(get_args(choices))}")
        if not leaky_reset and reset == "none":
            raise InputError("LIF: leaky_reset=False delays a reset, but reset is 'none'; drop one of the two")
        if membrane_min is not None and not -math.inf < membrane_min <= 0:
            raise InputError(f"LIF: membrane_min is {membrane_min}, limit 0 at most; membranes begin at 0")
        if max_payload < 1:
            raise InputError(f"LIF: max_payload is {max_payload}, limit 1 at least; give the largest graded spike")
        self.order, self.compare, self.reset, self.spikes = order, compare, reset, spikes
        self.reset_value = float(reset_value)
        self.leaky_reset = leaky_reset
        self.membrane_min = None if membrane_min is None else float(membrane_min)
        self.max_payload = max_payload
        self.single_spike = single_spike
        self.surrogate: Surrogate = LinearSurrogate() if surrogate is None else surrogate
        _store(self, "threshold", threshold, learn=learn_threshold)
        _store(self, "leak", leak, learn=learn_leak)
        _store(self, "current_leak", current_leak, learn=False)
        self.check()

    @property
    def u(self) -> Tensor | None:
        """The membrane after the last step, or None before the first."""
        return None if self.state is None else self.state.u

    def check(self, name: str = "LIF") -> None:
        """Raise InputError unless every threshold is above 0 and finite, and every leak within [0, 1]."""
        _check_range(self, name, "threshold", "above 0", lambda v: (v > 0) & v.isfinite())
        _check_leaks(self, name)

    def forward(self, x: Tensor) -> Tensor:
        v, lam, alpha = (spread(self, name, x) for name in ("threshold", "leak", "current_leak"))
        if self.state is None:
            zero = torch.zeros_like(x)
            never = torch.full_like(x, math.inf) if measures(self.surrogate) == "time" else zero
            self.state = _State(zero, zero, zero, zero, never)
        before: _State = self.state
        u, last = before.u, before.last
        _check_batch(self, x, u)

        i = alpha * before.i + x
        if self.order == "fire_first":
            s, passed, since = self._fire(u, v, before)
            u = lam * self._reset(u, passed, v) + i if self.leaky_reset else self._reset(lam * u + i, passed, v)
        else:
            u = lam * u + i if self.leaky_reset else self._reset(lam * u + i, last, v)
            s, passed, since = self._fire(u, v, before)
            if self.leaky_reset:
                u = self._reset(u, passed, v)
            last = passed
        if self.membrane_min is not None:
            u = u.clamp(min=self.membrane_min)
        fired = before.fired + s.detach().abs() if self.single_spike else before.fired
        self.state = _State(i, u, last, fired, since)
        return s

    def _fire(self, u: Tensor, v: Tensor, before: _State) -> tuple[Tensor, Tensor, Tensor]:
        """The spikes, those that reset the membrane, and the time steps since the last one."""
        z = u / v
        since = before.since
        # The comparison is made on u and v themselves: z is rounded, and training only needs its gradient.
        with torch.no_grad():
            if self.spikes == "binary":
                passed, level = self._reaches(u, v), torch.ones_like(u)
            elif self.spikes == "signed":
                passed, level = self._reaches(u, v) - self._reaches(-u, v), torch.where(z < 0, -1.0, 1.0)
            else:
                passed = self._count_levels(z, u, v)
                level = z.round().clamp(1, self.max_payload)
            spikes = passed * (before.fired == 0) if self.single_spike else passed
            measured = measures(self.surrogate)
            if measured == "time":
                since = torch.where(spikes != 0, 0.0, since + 1)
        distance = z - level if measured == "relative" else u - level * v
        s = with_surrogate(spikes, distance, since if measured == "time" else distance, self.surrogate)
        if self.single_spike and not self.training:
            return s * (before.fired == 0), spikes, since
        return s, passed, since

    def _reaches(self, u: Tensor, level: Tensor) -> Tensor:
        return (u > level if self.compare == "above" else u >= level).to(u.dtype)

    def _count_levels(self, z: Tensor, u: Tensor, v: Tensor) -> Tensor:
        """The largest k in 0..max_payload whose level k·v is reached: the quotient, mended where it was rounded."""
        k = z.floor().clamp(0, self.max_payload)
        k = torch.where(k > 0, k - 1 + self._reaches(u, k * v), k)
        return k + self._reaches(u, (k + 1) * v) * (k < self.max_payload)

    def _reset(self, u: Tensor, s: Tensor, v: Tensor) -> Tensor:
        if self.reset == "subtract":
            return u - v * s
        if self.reset == "set":
            return torch.where(s != 0, self.reset_value * s.sign(), u)
        return u

    def extra_repr(self) -> str:
        choices = [self.order, self.compare, f"reset={self.reset}", self.spikes]
        if not self.leaky_reset:
            choices.append("leaky_reset=False")
        if self.membrane_min is not None:
            choices.append(f"membrane_min={self.membrane_min:.4g}")
        if self.single_spike:
            choices.append("single_spike")
        return f"threshold={_brief(self.threshold)}, leak={_brief(self.leak)}, {', '.join(choices)}"


class IF(LIF):
    """Integrate-and-fire: :class:`LIF` with leak 1. Takes LIF's options other than ``leak`` and ``learn_leak``."""

    def __init__(
        self,
        threshold: float | Tensor = 1.0,
        *,
        current_leak: float | Tensor = 0.0,
        order: Order = "integrate_first",
        compare: Compare = "above",
        reset: Reset = "subtract",
        reset_value: float = 0.0,
        spikes: Spikes = "binary",
        max_payload: int = 255,
        single_spike: bool = False,
        membrane_min: float | None = None,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(
            threshold,
            1.0,
            current_leak=current_leak,
            order=order,
            compare=compare,
            reset=reset,
            reset_value=reset_value,
            spikes=spikes,
            max_payload=max_payload,
            single_spike=single_spike,
            membrane_min=membrane_min,
            learn_threshold=learn_threshold,
            surrogate=surrogate,
        )


class _ReadoutState(NamedTuple):
    i: Tensor
    u: Tensor


class Readout(Stateful):
    """The output layer: it integrates and never fires (IIR-SNN, Eq. 5, with leak 1).

    ``i = α·i + x``, ``u = λ·u + i``; each step returns u. The result of a network is u at the last step. λ is
    ``leak``, α ``current_leak``, both in [0, 1], shapes as for :class:`LIF`.

    Raises:
        InputError: as :class:`LIF` does.
    """

    leak: Tensor
    current_leak: Tensor

    def __init__(self, leak: float | Tensor = 1.0, current_leak: float | Tensor = 0.0) -> None:
        super().__init__()
        _store(self, "leak", leak, learn=False)
        _store(self, "current_leak", current_leak, learn=False)
        self.check()

    def check(self, name: str = "Readout") -> None:
        """Raise InputError unless every leak is within [0, 1]."""
        _check_leaks(self, name)

    def forward(self, x: Tensor) -> Tensor:
        lam, alpha = spread(self, "leak", x), spread(self, "current_leak", x)
        if self.state is None:
            zero = torch.zeros_like(x)
            self.state = _ReadoutState(zero, zero)
        before: _ReadoutState = self.state
        _check_batch(self, x, before.u)
        i = alpha * before.i + x
        after = _ReadoutState(i, u=lam * before.u + i)
        self.state = after
        return after.u

    def extra_repr(self) -> str:
        return f"leak={_brief(self.leak)}"


def clamp_parameters(model: nn.Module) -> None:
    """Bring learned thresholds back to 0.001 or more and learned leaks into [0, 1]; call after each optimizer step.

    Forward passes use these very values, so there is no reparametrisation between what was trained and what is saved.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LIF):
                module.threshold.clamp_(min=MIN_THRESHOLD)
                module.leak.clamp_(0, 1)


def _store(module: nn.Module, name: str, value: float | Tensor, *, learn: bool) -> None:
    tensor = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().clone()
    if learn:
        module.register_parameter(name, nn.Parameter(tensor))
    else:
        module.register_buffer(name, tensor)


def spread(module: nn.Module, name: str, x: Tensor) -> Tensor:
    """A parameter (), (C,) or of one neuron each, shaped to broadcast against x (N, C, ...); InputError where it does
    not fit."""
    value: Tensor = getattr(module, name)
    if value.ndim == 0 or value.shape == x.shape[1:]:
        return value
    if value.ndim == 1 and x.ndim >= 2 and value.shape[0] == x.shape[1]:
        trailing = [1] * (x.ndim - 2)
        return value.view(-1, *trailing)
    raise InputError(
        f"{type(module).__name__}: {name} has shape {tuple(value.shape)}, its input {tuple(x.shape)}; "
        f"give one value, one per channel {tuple(x.shape[1:2])} or one per neuron {tuple(x.shape[1:])}"
    )


def _check_batch(module: nn.Module, x: Tensor, u: Tensor) -> None:
    if x.shape != u.shape:
        raise InputError(
            f"{type(module).__name__}: input of shape {tuple(x.shape)} in a presentation begun with "
            f"{tuple(u.shape)}; call reset_state(model) before a new batch"
        )


def _check_leaks(module: LIF | Readout, name: str) -> None:
    for which in ("leak", "current_leak"):
        _check_range(module, name, which, "0 to 1", lambda value: (value >= 0) & (value <= 1))


def _check_range(module: nn.Module, name: str, which: str, limit: str, legal: Callable[[Tensor], Tensor]) -> None:
    value: Tensor = getattr(module, which).detach()
    if value.is_meta or bool(legal(value).all()):  # a tensor on the meta device has no values to judge
        return
    low, high = float(value.min()), float(value.max())
    spans = f"is {low:.6g}" if low == high else f"spans {low:.6g} to {high:.6g}"
    raise InputError(f"{name}: {which} {spans}, limit {limit}; call clamp_parameters(model) after each optimizer step")


def _brief(value: Tensor) -> str:
    return f"{float(value.detach()):.4g}" if value.ndim == 0 and not value.is_meta else str(tuple(value.shape))
