"""A model's ``forward`` is one time step; these run whole presentations."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neurocompile.errors import InputError
from neurocompile.snn.encoders import HybridEncoder, PoissonEncoder
from neurocompile.snn.neuron import LIF, Readout
from neurocompile.snn.state import detach_state, reset_state


def run(model: nn.Module, x: Tensor, timesteps: int, *, time_axis: bool = False) -> Tensor:
    """Present a batch for ``timesteps`` steps, from zero state, and return the network's answer (N, ...).

    The answer is what the last step returned if the model contains a :class:`Readout` (its membrane has gathered the
    whole presentation), else the sum over the steps of what was returned: the spike counts.

    The states are left as the last step made them. Gradients flow through all steps (BPTT).

    Args:
        x: (N, ...) shown again at each step; with ``time_axis`` (N, T, ...), whose slice t is shown at step t.

    Raises:
        InputError: timesteps is not a positive integer, or x has another number of steps.
    """
    outputs = _steps(model, x, timesteps, time_axis)
    answer = next(outputs)
    gathers = _gathers(model)
    for output in outputs:
        answer = output if gathers else answer + output
    return answer


def truncated_bptt(
    model: nn.Module,
    x: Tensor,
    loss: Callable[[Tensor], Tensor],
    timesteps: int,
    window: int,
    *,
    time_axis: bool = False,
) -> tuple[Tensor, Tensor]:
    """Backpropagation through time that never looks back further than ``window`` steps (Rathi et al. 2020, §2.2).

    A presentation as :func:`run` makes it. After ``window`` steps, twice as many, ..., and after the last step,
    ``loss`` is taken of the network's answer so far, its gradients are added to those of the parameters, and the states
    go on as constants, so that memory is needed for one window. Clear the gradients before, and step the optimizer
    after. A window of all ``timesteps`` gives the gradients of ``loss(run(...)).backward()``.

    Args:
        loss: of an answer (N, ...) to a number, as ``lambda answer: cross_entropy(answer, labels)``.
        window: steps, 1 or more.

    Returns:
        The answer after the last step, detached, and the sum of the losses.

    Raises:
        InputError: timesteps or window is not a positive integer, or x has another number of steps.
    """
    if type(window) is not int or window < 1:
        raise InputError(f"window is {window!r}; give a whole number of steps, 1 or more")
    total = x.new_zeros(())
    answer: Tensor | None = None
    gathers = _gathers(model)
    for step, output in enumerate(_steps(model, x, timesteps, time_axis), start=1):
        answer = output if answer is None or gathers else answer + output
        if step % window == 0 or step == timesteps:
            part = loss(answer)
            part.backward()  # type: ignore[no-untyped-call]
            total = total + part.detach()
            answer = answer.detach()
            detach_state(model)
    assert answer is not None  # there is a step
    return answer, total


def record_spikes(model: nn.Module, x: Tensor, timesteps: int, *, time_axis: bool = False) -> dict[str, Tensor]:
    """The spikes of every spiking layer (neurons, Poisson and hybrid encoders), by module name: tensors (N, T, ...).

    What a hybrid encoder sends at its first step are values and no spikes: that step is zero here.

    Runs without gradients, in the mode (train or eval) the model is in; arguments as for :func:`run`.
    """
    spikes: dict[str, list[Tensor]] = {}
    handles: list[RemovableHandle] = []
    for name, module in model.named_modules():
        if isinstance(module, LIF | PoissonEncoder | HybridEncoder):
            heard = spikes.setdefault(name, [])
            handles.append(module.register_forward_hook(lambda _module, _x, s, heard=heard: heard.append(s.detach())))
    try:
        with torch.no_grad():
            for _ in _steps(model, x, timesteps, time_axis):
                pass
    finally:
        for handle in handles:
            handle.remove()
    stacked = {name: torch.stack(steps, dim=1) for name, steps in spikes.items() if steps}
    for name, sent in stacked.items():
        if isinstance(model.get_submodule(name), HybridEncoder):
            sent[:, 0] = 0
    return stacked


def check_hybrid(model: nn.Module, timesteps: int) -> None:
    """InputError where a hybrid encoder of ``model`` codes pictures in another number of steps."""
    for name, module in model.named_modules():
        if isinstance(module, HybridEncoder) and module.timesteps != timesteps:
            raise InputError(
                f"{name or 'model'}: codes a picture in {module.timesteps} time steps, and the presentation has "
                f"{timesteps}; give timesteps={module.timesteps}, or make it with HybridEncoder(timesteps={timesteps})"
            )


def check_timesteps(timesteps: int) -> None:
    """Raise InputError unless there is a whole number of time steps, 1 or more."""
    if type(timesteps) is not int or timesteps < 1:
        raise InputError(f"timesteps is {timesteps!r}; give a whole number of steps, 1 or more")


def _gathers(model: nn.Module) -> bool:
    """Whether the network's output has gathered the whole presentation by itself."""
    return any(isinstance(module, Readout) for module in model.modules())


def _steps(model: nn.Module, x: Tensor, timesteps: int, time_axis: bool) -> Iterator[Tensor]:
    check_timesteps(timesteps)
    if time_axis and (x.ndim < 2 or x.shape[1] != timesteps):
        raise InputError(
            f"x: shape {tuple(x.shape)} does not hold {timesteps} steps on its second axis; "
            "give (N, timesteps, ...) or leave out time_axis"
        )
    check_hybrid(model, timesteps)
    reset_state(model)
    for t in range(timesteps):
        yield model(x[:, t] if time_axis else x)
