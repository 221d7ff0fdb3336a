"""Norse 1.1: its neurons in the graph's terms.

With ``m = dt*tau_mem_inv`` and ``s = dt*tau_syn_inv``, one step of a LIF or LI is ``i' = i + x``;
``v = v + m*(v_leak - v + i')``; ``i = (1 - s)*i'``; and for a LIF ``z = v - v_th > 0``, which sets v to ``v_reset``. So
the input enters the membrane at once. Our membrane is ``v - v_leak``, which starts at 0, our current ``m*i'``.
A cell takes one step, (N, ...), other modules all of them, (T, N, ...); all return their output and a tuple of states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import functional

from neurocompile.errors import GraphError
from neurocompile.frontend.cells import Call, Cell, Handler
from neurocompile.frontend.frameworks.reading import arguments, exact, membrane, parameter, refusals
from neurocompile.ir.nodes import Neuron, Readout, Shape

_STEPS = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")


class VoltageState(NamedTuple):
    """What a layer without synaptic current holds."""

    v: Tensor


class CurrentState(NamedTuple):
    """What a layer with synaptic current holds."""

    v: Tensor
    i: Tensor


class RecurrentState(NamedTuple):
    """What a recurrent layer holds."""

    z: Tensor
    v: Tensor
    i: Tensor


def leaky(module: Any, shape: Shape) -> Cell:
    """LIF: hard reset, and a synaptic current that decays."""
    p, rate = module.p, _rate(module, "tau_mem_inv")
    soma = _soma(p, shape, start=p.v_leak, leak=1 - rate, current_leak=1 - _rate(module, "tau_syn_inv"))
    return Cell(soma, gain=parameter(rate, shape, "tau_mem_inv"))


def leaky_box(module: Any, shape: Shape) -> Cell:
    """LIFBox: a LIF without synaptic current, whose reset may be by subtraction."""
    p, rate = module.p, _rate(module, "tau_mem_inv")
    soma = _soma(p, shape, start=p.v_leak, leak=1 - rate, current_leak=0.0)
    method = f"{getattr(p.reset_method, '__module__', '')}.{getattr(p.reset_method, '__qualname__', '')}"
    if method == "norse.torch.functional.reset.reset_subtract":
        if bool(exact(p.v_leak).any()):
            raise GraphError(
                "reset_subtract with a v_leak that is not 0 subtracts more than is above rest; set v_leak=0"
            )
        soma = replace(soma, reset="subtract", reset_value=parameter(0.0, shape, "v_reset"))
    elif method != "norse.torch.functional.reset.reset_value":
        raise GraphError(f"its reset_method is {method}; use reset_value or reset_subtract")
    return Cell(soma, gain=parameter(rate, shape, "tau_mem_inv"))


def integrate(module: Any, shape: Shape) -> Cell:
    """IAF: ``v = v + x`` from ``v_reset``."""
    return Cell(_soma(module.p, shape, start=module.p.v_reset, leak=1.0, current_leak=0.0))


def readout(module: Any, shape: Shape) -> Cell:
    """LI: a LIF that never fires."""
    rate = _rate(module, "tau_mem_inv")
    soma = _readout(module, shape, leak=1 - rate, current_leak=1 - _rate(module, "tau_syn_inv"))
    return Cell(soma, gain=parameter(rate, shape, "tau_mem_inv"))


def readout_box(module: Any, shape: Shape) -> Cell:
    """LIBox: a LI without synaptic current."""
    rate = _rate(module, "tau_mem_inv")
    return Cell(_readout(module, shape, leak=1 - rate, current_leak=0.0), gain=parameter(rate, shape, "tau_mem_inv"))


def _rate(module: Any, name: str) -> Tensor:
    rate = exact(getattr(module.p, name)) * exact(module.dt)
    if not bool(((rate >= 0) & (rate <= 1)).all()):
        raise GraphError(f"dt*{name} is {float(rate.max()):.6g}; it must lie in [0, 1], so choose a smaller dt")
    return rate


def _soma(p: Any, shape: Shape, *, start: Any, leak: Any, current_leak: Any) -> Neuron:
    if p.method not in _STEPS:
        raise GraphError(f"its spike function is {p.method!r}, not a step; use method='super'")
    threshold = exact(p.v_th) - exact(start)
    if not bool((threshold > 0).all()):
        raise GraphError(f"v_th is {float(threshold.min()):.6g} above its membrane's start; it must lie above it")
    return Neuron(
        threshold=parameter(threshold, shape, "v_th"),
        leak=parameter(leak, shape, "tau_mem_inv"),
        current_leak=parameter(current_leak, shape, "tau_syn_inv"),
        compare="above",
        reset="set",
        reset_value=parameter(exact(p.v_reset) - exact(start), shape, "v_reset"),
    )


def _readout(module: Any, shape: Shape, *, leak: Any, current_leak: Any) -> Readout:
    if bool(exact(module.p.v_leak).any()):
        raise GraphError("its v_leak is added to all its results; set v_leak=0 and add it to the results")
    return Readout(
        leak=parameter(leak, shape, "tau_mem_inv"), current_leak=parameter(current_leak, shape, "tau_syn_inv")
    )


def _layer(
    cell: Callable[[Any, Shape], Cell], *, several: bool, state: Any, weighted: bool = False, recurrent: bool = False
) -> Handler:
    """``several``: it takes all time steps. ``state``: what it returns besides its output. ``weighted``, ``recurrent``:
    it has input weights and recurrent ones."""

    def handle(call: Call) -> Any:
        module: Any = call.module
        x, given = arguments(call, "input_tensor", "state")
        if getattr(module, "record_states", False):
            call.refuse("record_states=True keeps every state; set it to False")
        if weighted:
            with call.named(f"{call.path}.linear"):
                x = functional.linear(x, module.input_weights)
        try:
            made = cell(module, tuple(x.shape[2 if several else 1 :]))
        except GraphError as error:
            call.refuse(str(error))
        if recurrent:
            made = replace(made, connection=lambda spikes: functional.linear(spikes, module.recurrent_weights))
        passed = _passed(module.p, given)
        fired = call.sequence(made, x, 0, passed) if several else call.step(made, x, passed)
        left = {"z": fired.spikes, "v": membrane(made, fired), "i": fired.current}
        # its state after the last step, in our terms
        return fired.spikes, state(**{name: left[name][-1] if several else left[name] for name in state._fields})

    return handle


def _passed(p: Any, state: Any) -> tuple[Tensor | None, ...]:
    """The tensors of a state in our terms: at the start, v is ``v_leak`` (``v_reset`` of an IAF), and ours 0. Without a
    state, a call starts anew."""
    if state is None:
        return (None,)
    start = exact(p.v_leak if hasattr(p, "v_leak") else p.v_reset)
    return tuple(
        exact(getattr(state, name)) - start if name == "v" and type(state.v) is Tensor else getattr(state, name)
        for name in ("z", "v", "i")
        if hasattr(state, name)
    )


def _exponential_filter(call: Call) -> Any:
    """ExpFilter: ``y = parameter*y + linear(x)``, without a state that is passed on."""
    module: Any = call.module
    (x,) = arguments(call, "input_tensor")
    soma = Readout(leak=exact(module.parameter).numpy())
    return call.sequence(Cell(soma), module.linear(x), 0, name=f"{call.path}.filter").spikes


def _every_step(call: Call) -> Any:
    """LConv2d: a Conv2d at every time step, written as a Conv3d."""
    module: Any = call.module
    (x,) = arguments(call, "input_tensor")
    stride, padding, dilation = (each[:2] for each in (module.stride, module.padding, module.dilation))
    y: Any = functional.conv2d(x.flatten(0, 1), module.weight[..., 0], None, stride, padding, dilation, module.groups)
    return y.unflatten(0, tuple(x.shape[:2]))


def _regularization(call: Call) -> Any:
    """RegularizationCell passes spikes through; what it counts is for training."""
    spikes, _ = arguments(call, "z", "s")
    return spikes, call.module.state


_CURVED = "its membrane follows an exponential or a square of itself; use LIF"
_REFRACTORY = "it is silent for some steps behind a spike; use LIF"
_ADAPTIVE = "its threshold rises with every spike; use LIF"
_CONDUCTANCE = "its inputs change how fast its membrane decays; use LIF"
_COUPLED = "its neurons' membranes are coupled with each other; use LIFRecurrentCell"
_STOCHASTIC = (
    "it draws from torch's random numbers, which no chip repeats; take it out and use neurocompile.snn.PoissonEncoder, "
    "or --encoder poisson"
)
_TIMED = "it makes time steps out of one sample; take it out, encode beforehand and give samples as (N, T, ...)"

_MODULE = "norse.torch.module"

TABLE: dict[str, Handler] = {
    f"{_MODULE}.lif.LIFCell": _layer(leaky, several=False, state=CurrentState),
    f"{_MODULE}.lif.LIF": _layer(leaky, several=True, state=CurrentState),
    f"{_MODULE}.lif.LIFRecurrentCell": _layer(
        leaky, several=False, state=RecurrentState, weighted=True, recurrent=True
    ),
    f"{_MODULE}.lif.LIFRecurrent": _layer(leaky, several=True, state=RecurrentState, weighted=True, recurrent=True),
    f"{_MODULE}.lif_box.LIFBoxCell": _layer(leaky_box, several=False, state=VoltageState),
    f"{_MODULE}.iaf.IAFCell": _layer(integrate, several=False, state=VoltageState),
    f"{_MODULE}.iaf.IAF": _layer(integrate, several=True, state=VoltageState),
    f"{_MODULE}.leaky_integrator.LICell": _layer(readout, several=False, state=CurrentState),
    f"{_MODULE}.leaky_integrator.LI": _layer(readout, several=True, state=CurrentState),
    f"{_MODULE}.leaky_integrator.LILinearCell": _layer(readout, several=False, state=CurrentState, weighted=True),
    f"{_MODULE}.leaky_integrator_box.LIBoxCell": _layer(readout_box, several=False, state=VoltageState),
    f"{_MODULE}.exp_filter.ExpFilter": _exponential_filter,
    f"{_MODULE}.conv.LConv2d": _every_step,
    f"{_MODULE}.regularization.RegularizationCell": _regularization,
    **refusals(
        f"{_MODULE}.lif_ex", dict.fromkeys(("LIFExCell", "LIFEx", "LIFExRecurrentCell", "LIFExRecurrent"), _CURVED)
    ),
    **refusals(
        f"{_MODULE}.lif_adex",
        dict.fromkeys(("LIFAdExCell", "LIFAdEx", "LIFAdExRecurrentCell", "LIFAdExRecurrent"), _CURVED),
    ),
    **refusals(
        f"{_MODULE}.lif_adex_refrac",
        dict.fromkeys(("LIFAdExRefracCell", "LIFAdExRefracRecurrentCell", "LIFAdExRefracRecurrent"), _CURVED),
    ),
    **refusals(
        f"{_MODULE}.izhikevich",
        dict.fromkeys(("IzhikevichCell", "Izhikevich", "IzhikevichRecurrentCell", "IzhikevichRecurrent"), _CURVED),
    ),
    **refusals(
        f"{_MODULE}.lif_refrac",
        dict.fromkeys(("LIFRefracCell", "LIFRefracRecurrentCell", "LIFRefracRecurrent"), _REFRACTORY),
    ),
    **refusals(f"{_MODULE}.lsnn", dict.fromkeys(("LSNNCell", "LSNN", "LSNNRecurrentCell", "LSNNRecurrent"), _ADAPTIVE)),
    **refusals(f"{_MODULE}.coba_lif", {"CobaLIFCell": _CONDUCTANCE}),
    **refusals(f"{_MODULE}.lif_mc", {"LIFMCRecurrentCell": _COUPLED}),
    **refusals(f"{_MODULE}.lif_mc_refrac", {"LIFMCRefracRecurrentCell": _COUPLED}),
    **refusals(f"{_MODULE}.lif_correlation", {"LIFCorrelation": "its weights learn as it runs; use LIFRecurrentCell"}),
    **refusals(
        f"{_MODULE}.encode",
        {
            **dict.fromkeys(
                ("PoissonEncoder", "PoissonEncoderStep", "SignedPoissonEncoder", "SignedPoissonEncoderStep"),
                _STOCHASTIC,
            ),
            **dict.fromkeys(
                ("ConstantCurrentLIFEncoder", "PopulationEncoder", "SpikeLatencyLIFEncoder", "SpikeLatencyEncoder"),
                _TIMED,
            ),
        },
    ),
    **refusals(
        f"{_MODULE}.receptive_field",
        {"TemporalReceptiveField": "its time constants add an axis to its input; use LIF with tau_mem_inv per channel"},
    ),
    **refusals(
        f"{_MODULE}.spikes_to_times_decoder",
        {"SpikesToTimesDecoder": "it sorts spike times; use the spikes themselves"},
    ),
}
