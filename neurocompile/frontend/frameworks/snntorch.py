"""snnTorch 1.0: its neurons in the graph's terms.

One step of all of them: ``reset = fire(mem)``, the spikes of the step before; the state takes up this step's input and
gives up the reset; the spikes are fired. So a reset comes one step late, and the leak never acts on a threshold that is
subtracted. With ``reset_delay=False`` the reset is applied once more right after the spike, less what was applied: at
once, where no membrane passes two thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from neurocompile.errors import GraphError
from neurocompile.frontend.cells import Call, Cell, Handler
from neurocompile.frontend.frameworks.reading import arguments, comparison, exact, membrane, parameter, refusals
from neurocompile.ir.nodes import Array, Neuron, Reset, Shape

#: A membrane that is above the threshold after its reset is reset once more at the next step, and a spike of that step
#: then resets nothing. So it must pass two thresholds to fire again at once.
_TWICE = (
    "with reset_delay=False and reset by subtraction, snnTorch lets a neuron whose membrane was above two thresholds "
    "fire again only above two; the program's fires above one"
)

#: snnTorch's names of states, and ours
_STATES = {"spk": "spikes", "syn": "current", "mem": "membrane"}


def leaky(module: Any, shape: Shape) -> Cell:
    """``mem = beta*mem + x``. "zero" clears the membrane before the leak, so that the input of that step is kept."""
    return Cell(_neuron(module, shape, leak=_decay(module, "beta", shape), zero_keeps_input=True))


def lapicque(module: Any, shape: Shape) -> Cell:
    """``mem = (1 - dt/(R*C))*mem + R*(1/(R*C))*dt*x``: an RC circuit by Euler's rule."""
    resistance, capacitance, step = (exact(getattr(module, name)) for name in ("R", "C", "time_step"))
    leak = parameter(1 - step / (resistance * capacitance), shape, "R*C")
    if not ((leak >= 0) & (leak <= 1)).all():
        raise GraphError(
            f"its membrane is multiplied by 1 - time_step/(R*C), from {leak.min():.6g} to {leak.max():.6g}, which must "
            "lie in [0, 1]; choose R*C of at least time_step (beta of at least 0.368)"
        )
    gain = parameter(resistance * (1 / (resistance * capacitance)) * step, shape, "R*C")
    return Cell(_neuron(module, shape, leak=leak), gain=gain)


def synaptic(module: Any, shape: Shape) -> Cell:
    """``syn = alpha*syn + x``; ``mem = beta*mem + syn``. Resets touch the membrane only."""
    alpha, beta = _decay(module, "alpha", shape), _decay(module, "beta", shape)
    return Cell(_neuron(module, shape, leak=beta, current_leak=alpha))


def rleaky(module: Any, shape: Shape) -> Cell:
    """``mem = beta*mem + x + recurrent(spk)``."""
    return Cell(_neuron(module, shape, leak=_decay(module, "beta", shape)), connection=_recurrent(module))


def rsynaptic(module: Any, shape: Shape) -> Cell:
    """``syn = alpha*syn + x + recurrent(spk)``; ``mem = beta*mem + syn``."""
    if not module.reset_delay:
        raise GraphError("RSynaptic ignores reset_delay=False or fails with it; set reset_delay=True")
    return Cell(synaptic(module, shape).soma, connection=_recurrent(module))


def state_leaky(module: Any, shape: Shape) -> Cell:
    """``mem[t] = sum_k exp(-k/tau)*x[t - k]``, all steps at once: a neuron without reset."""
    leak = parameter(torch.exp(-1 / exact(module.tau)), shape, "beta")
    return Cell(Neuron(threshold=_threshold(module, shape), leak=leak, compare=_compare(module), reset="none"))


def _decay(module: Any, name: str, shape: Shape) -> Array:
    return parameter(exact(getattr(module, name)).clamp(0, 1), shape, name)


def _threshold(module: Any, shape: Shape) -> Array:
    threshold = parameter(module.threshold, shape, "threshold")
    if not (threshold > 0).all():
        raise GraphError(f"its threshold is {threshold.min():.6g}; thresholds must be positive")
    return threshold


def _compare(module: Any) -> Any:
    if module.state_quant:
        raise GraphError(
            "state_quant rounds the membrane to levels; set state_quant=False, the target has its own widths"
        )
    if module.inhibition:
        raise GraphError("inhibition lets only the largest membrane of a layer fire; set inhibition=False")
    return comparison(module.spike_grad)


def _recurrent(module: Any) -> Callable[[Tensor], Tensor]:
    if not bool((module.graded_spikes_factor == 1).all()):
        raise GraphError("graded_spikes_factor of a recurrent layer must be 1; multiply its recurrent weights instead")
    connection: Callable[[Tensor], Tensor] = module.recurrent
    return connection


def _neuron(
    module: Any, shape: Shape, *, leak: Array, current_leak: Array | None = None, zero_keeps_input: bool = False
) -> Neuron:
    """``zero_keeps_input``: whether a late reset to zero spares the input of the step at which it comes."""
    # the function is chosen when the layer is made; the buffer reset_mechanism_val, which can be loaded, comes too late
    found = getattr(module.state_function, "__name__", "")
    reset: Reset
    match found.removeprefix("_base_"), getattr(module, "reset_delay", True):
        case "int", _:
            reset, leaky_reset = "none", True
        case "sub", True:
            reset, leaky_reset = "subtract", False
        case "zero", True:
            reset, leaky_reset = "set", zero_keeps_input
        case "zero", False:
            reset, leaky_reset = "set", True
        case "sub", False:
            reset, leaky_reset = "subtract", True  # up to two thresholds: see _TWICE
        case _:
            raise GraphError(f"its state function is {found or 'not one of snnTorch'}; use the layer as it is made")
    return Neuron(
        threshold=_threshold(module, shape),
        leak=leak,
        current_leak=parameter(0.0, shape, "") if current_leak is None else current_leak,
        compare=_compare(module),
        reset=reset,
        leaky_reset=leaky_reset,
    )


def _stepping(cell: Callable[[Any, Shape], Cell], *states: str) -> Handler:
    """A layer that is called once per step, with its ``states`` or keeping them; it returns its spikes, and them."""

    def handle(call: Call) -> Any:
        module: Any = call.module
        x, *given = arguments(call, "input_", *states)
        try:
            made = cell(module, tuple(x.shape[1:]))
        except GraphError as error:
            call.refuse(str(error))
        if not getattr(module, "reset_delay", True) and isinstance(made.soma, Neuron) and made.soma.reset == "subtract":
            call.note(_TWICE)
        fired = call.step(made, x, _passed(call, x, given))
        kept = {name: getattr(fired, _STATES[name]) for name in states}
        if not getattr(module, "reset_delay", True):
            kept["mem"] = membrane(made, fired)
        for name, state in kept.items():  # networks may read them as attributes
            setattr(module, name, state)
        kept.pop("spk", None)
        spikes = _graded(module, fired.spikes)
        return spikes if module.init_hidden and not module.output else (spikes, *kept.values())

    return handle


def _passed(call: Call, x: Tensor, given: list[Tensor | None]) -> tuple[Tensor | None, ...] | None:
    module: Any = call.module
    tensors = [state for state in given if state is not None]
    if not tensors:
        return None
    if module.init_hidden:
        call.refuse("it has init_hidden=True and is given its state; pass the input alone, or set init_hidden=False")
    # a state of another shape, such as the empty one that reset_mem() gives before the first step, is dropped for zeros
    return tuple(state if state.shape == x.shape else None for state in tensors)


def _graded(module: Any, spikes: Tensor) -> Tensor:
    factor = module.graded_spikes_factor
    return spikes if bool((factor == 1).all()) else spikes * factor


def _state_leaky(call: Call) -> Any:
    (x,) = arguments(call, "input_")
    return _parallel(call, x)


def _linear_leaky(call: Call) -> Any:
    module: Any = call.module
    (x,) = arguments(call, "input_")
    return _parallel(call, module.linear(x))


def _parallel(call: Call, x: Tensor) -> Any:
    """(T, N, channels), all steps at once. Spikes are multiplied by the factor twice, as snnTorch does."""
    module: Any = call.module
    steps = module.kernel_truncation_steps
    if steps is not None and steps < x.shape[0]:
        call.refuse(f"kernel_truncation_steps={steps} forgets earlier steps; set it to None or to the time steps")
    try:
        fired = call.sequence(state_leaky(module, tuple(x.shape[2:])), x, 0)
    except GraphError as error:
        call.refuse(str(error))
    if not module.output:
        return fired.membrane
    return _graded(module, _graded(module, fired.spikes)), fired.membrane


_PARALLEL = (
    "it clips membranes at zero and mixes them by a matrix; use StateLeaky, or Leaky with reset_mechanism='none'"
)
_LSTM = "its gates multiply states by each other; use RSynaptic or RLeaky"

TABLE: dict[str, Handler] = {
    "snntorch._neurons.leaky.Leaky": _stepping(leaky, "mem"),
    "snntorch._neurons.lapicque.Lapicque": _stepping(lapicque, "mem"),
    "snntorch._neurons.synaptic.Synaptic": _stepping(synaptic, "syn", "mem"),
    "snntorch._neurons.rleaky.RLeaky": _stepping(rleaky, "spk", "mem"),
    "snntorch._neurons.rsynaptic.RSynaptic": _stepping(rsynaptic, "spk", "syn", "mem"),
    "snntorch._neurons.stateleaky.StateLeaky": _state_leaky,
    "snntorch._neurons.linearleaky.LinearLeaky": _linear_leaky,
    **refusals("snntorch._neurons.alpha", {"Alpha": "its membrane is the difference of two currents; use Synaptic"}),
    **refusals(
        "snntorch._neurons.deltaleaky", {"DeltaLeaky": "it fires on changes of its membrane (sigma-delta); use Leaky"}
    ),
    **refusals("snntorch._neurons.leakyparallel", {"LeakyParallel": _PARALLEL}),
    **refusals("snntorch._neurons.leakykernel", {"LeakyKernel": _PARALLEL}),
    **refusals("snntorch._neurons.leakyunroll", {"LeakyParallel": _PARALLEL}),
    **refusals(
        "snntorch._neurons.associative",
        {"AssociativeLeaky": "its leaks depend on its input; use StateLeaky or Synaptic"},
    ),
    **refusals("snntorch._neurons.slstm", {"SLSTM": _LSTM}),
    **refusals("snntorch._neurons.sconv2dlstm", {"SConv2dLSTM": _LSTM}),
}
