"""The output layer that answers with membranes and spike times together, and the loss that trains it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurocompile.errors import InputError
from neurocompile.snn.neuron import LIF, Readout
from neurocompile.snn.state import Stateful


class _History(Stateful):
    """Keeps what it is given at each time step of a presentation."""

    def forward(self, u: Tensor) -> None:
        self.state = [*(self.state or []), u.detach()]


class TimedReadout(nn.Module):
    """An output layer whose neurons have a membrane and a spike time (Datta et al. 2021, *Training energy-efficient
    deep spiking neural networks with single-spike hybrid input encoding*, Eqs. 9 to 12 and 15 to 18).

    The membrane gathers its input without leak, ``U[t] = U[t-1] + x[t]``. The spike time T_l is the first step t, from
    1 on, with U[t] ≥ V and U[t-1] < V, and the last step T where there is none.

    Each step returns ``U[t] + (t - T_l)``, T_l as it stands. At the last step that is, but for one number per sample,
    the logarithm of ``softmax(U[T])·softmax(-T_l)``, of which Eq. 12 makes the loss, so its largest output is the
    network's decision. It is made of parts that every chip runs: behind ``crossing``, which fires once, a step after U
    has reached V, ``latch`` fires at every step, and its spikes are added into ``readout``.

    A network is trained with :func:`two_softmax_loss` after :func:`~neurocompile.snn.run` in train mode. In a network
    that was saved and loaded, this layer has become its parts: train on with the original, and ``load_into`` it.

    Args:
        threshold: V > 0; one number or one per output (C,). Call :func:`~neurocompile.snn.clamp_parameters` after
            each optimizer step.
        beta: how near to V, in units of the membrane, U must have been for T_l to have a gradient (Eq. 17).
        learn_threshold: make V an ``nn.Parameter``.

    Shapes: x and the result are (N, C).

    Raises:
        InputError: threshold or beta is not above 0.
    """

    def __init__(self, threshold: float | Tensor = 1.0, beta: float = 0.2, *, learn_threshold: bool = True) -> None:
        super().__init__()
        if not 0 < beta < math.inf:
            raise InputError(f"TimedReadout: beta is {beta!r}, limit above 0; Datta et al. take 0.2")
        self.beta = float(beta)
        self.crossing = LIF(
            threshold,
            order="fire_first",
            compare="at_or_above",
            reset="none",
            single_spike=True,
            learn_threshold=learn_threshold,
        )
        self.latch = LIF(0.5, reset="none")
        self.readout = Readout()
        self.history = _History()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.readout(x + self.latch(self.crossing(x)))
        if self.training:
            self.history(self.crossing.u)
        return answer

    @property
    def u(self) -> Tensor | None:
        """U after the last step (N, C), or None before the first; gradients flow through it."""
        return self.crossing.u

    @property
    def spike_times(self) -> Tensor:
        """T_l of the presentation so far (N, C), in time steps, with the gradient of Eq. 17 with respect to V::

            ∂T_l/∂V = Σ_{t<T} t·([U[t] ≥ V]·[|V - U[t-1]| < β] - [U[t-1] < V]·[|U[t] - V| < β]) + T·[|V - U[T]| < β]

        and none with respect to U.

        Raises:
            InputError: no step was run in train mode.
        """
        if self.history.state is None:
            raise InputError("TimedReadout: no time step was run in train mode; call run(model.train(), x, timesteps)")
        after = torch.stack(self.history.state)
        before = torch.cat([torch.zeros_like(after[:1]), after[:-1]])
        v = self.crossing.threshold
        with torch.no_grad():
            last = len(after)
            t = torch.arange(1, last + 1, device=after.device).view(-1, 1, 1)
            reached = after >= v
            near_before, near_after = (before - v).abs() < self.beta, (after - v).abs() < self.beta
            first = torch.where(reached & (before < v), t, last).amin(0).to(after.dtype)
            terms = t * (reached.int() * near_before - (before < v).int() * near_after)
            slope = terms[:-1].sum(0) + last * near_after[-1]
        return first + slope * (v - v.detach())

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


def two_softmax_loss(readout: TimedReadout, labels: Tensor) -> Tensor:
    """The mean over a batch of ``-log(softmax(U[T])·softmax(-T_l))`` at the labels (Datta et al. 2021, Eq. 12).

    Its derivative by U[T] is ``softmax(U[T]) - y`` for one-hot labels y, that by T_l is ``y - softmax(-T_l)``, as it
    follows from Eqs. 11 and 12. The paper prints the opposite sign for the latter, which would make the right output
    spike later.

    Args:
        readout: the output layer of a network that has just been run in train mode.
        labels: the right outputs (N,), integers.

    Raises:
        InputError: no step was run in train mode.
    """
    times = readout.spike_times
    u = readout.u
    assert u is not None  # there are spike times
    return F.cross_entropy(u, labels) + F.cross_entropy(-times, labels)


def hidden_neurons(model: nn.Module) -> dict[str, LIF]:
    """The LIF layers of ``model`` by name, without those that its output layer is made of."""
    parts = {part for module in model.modules() if isinstance(module, TimedReadout) for part in module.modules()}
    return {name: module for name, module in model.named_modules() if isinstance(module, LIF) and module not in parts}
