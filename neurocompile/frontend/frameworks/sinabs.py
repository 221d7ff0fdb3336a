"""Sinabs 3.1: its neurons in the graph's terms.

One step, with ``a = exp(-1/tau_mem)`` (1 for an IAF), ``c = 1 - a`` where ``norm_input`` (else 1), and, where there is
a ``tau_syn``, ``b = exp(-1/tau_syn)``::

    i = b*(i + x)   or   i = x
    v = a*v + c*i;   spikes = fire(v);   v = reset(v, spikes);   v = max(v, min_v_mem)

Our current is ``c*i``, so that the gain of the input is ``c*b``. ``fire`` counts how often the threshold goes into v
(MultiSpike, without limit; MaxSpike, with one), or is 1 where v has reached it (SingleSpike). All spikes of one step
travel as one number, at most 255 where Sinabs has no limit.

Layers are given all time steps, (N, T, ...), those with "Squeeze" in their name (N*T, ...). The layers around them
(Repeat, Merge, FlattenTime, UnflattenTime, ChannelShift, Network) are plain Python around torch's and need no entry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

from neurocompile.errors import GraphError
from neurocompile.frontend.cells import Call, Cell, Handler
from neurocompile.frontend.frameworks.reading import arguments, exact, parameter, refusals
from neurocompile.ir.nodes import Array, Neuron, Readout, Shape

_ACTIVATION = "sinabs.activation"
_UNLIMITED = 255  # spikes of one step, as one byte


def spiking(module: Any, shape: Shape) -> Cell:
    """IAF and LIF, with and without recurrent connection."""
    if module.spike_fn is None:
        return integrating(module, shape)
    if module.spike_threshold is None:
        raise GraphError("it has a spike_fn, but spike_threshold is None; give it a threshold")
    if module.min_v_mem is not None and bool((module.min_v_mem > 0).any()):
        raise GraphError(f"min_v_mem is {float(module.min_v_mem.max()):g}, and its membrane begins at 0; lower it to 0")
    leak, synaptic, gain = _decays(module, shape)
    soma = Neuron(
        threshold=parameter(module.spike_threshold, shape, "spike_threshold"),
        leak=leak,
        current_leak=synaptic,
        compare="at_or_above",
        membrane_min=None if module.min_v_mem is None else parameter(module.min_v_mem, shape, "min_v_mem"),
        **_spikes(module.spike_fn),
        **_reset(module.reset_fn, module.spike_threshold),
    )
    return Cell(soma, gain=gain, connection=_returning(module))


def integrating(module: Any, shape: Shape) -> Cell:
    """ExpLeak, and a LIF without spike_fn: it never fires, and gives its membrane."""
    if module.min_v_mem is not None:
        raise GraphError("min_v_mem of a layer that never fires; set min_v_mem=None, or use LIF, which has it")
    leak, synaptic, gain = _decays(module, shape)
    return Cell(Readout(leak=leak, current_leak=synaptic), gain=gain, connection=_returning(module))


def _decays(module: Any, shape: Shape) -> tuple[Array, Array, Array | None]:
    """Leak, current leak and gain, from the very float32 numbers that Sinabs multiplies by."""
    alpha, synaptic = module.alpha_mem_calculated, module.alpha_syn_calculated
    gain = exact(1 - alpha if module.norm_input else 1.0)
    if synaptic is not None:
        gain = gain * exact(synaptic)
    factor = parameter(gain, shape, "tau_syn" if synaptic is not None else "tau_mem")
    return (
        parameter(alpha, shape, "tau_mem"),
        parameter(0.0 if synaptic is None else synaptic, shape, "tau_syn"),
        None if (factor == 1).all() else factor,
    )


def _spikes(spike_fn: Any) -> dict[str, Any]:
    """How often a neuron may fire in one step. ``spike_fn`` is a class, or an instance of MaxSpike."""
    name = _name(spike_fn)
    if name == f"{_ACTIVATION}.spike_generation.SingleSpike":
        return {"spikes": "binary"}
    if name not in (f"{_ACTIVATION}.spike_generation.MultiSpike", f"{_ACTIVATION}.spike_generation.MaxSpike"):
        raise GraphError(f"its spike_fn is {name}; use SingleSpike, MultiSpike or MaxSpike")
    most = getattr(spike_fn, "max_num_spikes_per_bin", None)
    if most is None:
        return {"spikes": "graded", "max_payload": _UNLIMITED}
    if most < 1 or most != int(most):
        raise GraphError(f"max_num_spikes_per_bin is {most}; give a whole number from 1")
    return {"spikes": "binary"} if most == 1 else {"spikes": "graded", "max_payload": int(most)}


def _is_unlimited(soma: Neuron | Readout, module: Any) -> bool:
    graded = isinstance(soma, Neuron) and soma.spikes == "graded"
    return graded and getattr(module.spike_fn, "max_num_spikes_per_bin", None) is None


def _reset(reset_fn: Any, threshold: Tensor) -> dict[str, Any]:
    name = _name(reset_fn)
    if name == f"{_ACTIVATION}.reset_mechanism.MembraneSubtract":
        value = reset_fn.subtract_value
        if value is not None and not bool((exact(value) == exact(threshold)).all()):
            raise GraphError(f"it subtracts {value} and not its threshold; use MembraneSubtract()")
        return {"reset": "subtract"}
    if name == f"{_ACTIVATION}.reset_mechanism.MembraneReset":
        if bool(exact(reset_fn.reset_value).any()):
            raise GraphError(
                f"Sinabs adds reset_value={reset_fn.reset_value} to silent neurons too; use MembraneReset()"
            )
        return {"reset": "set"}
    raise GraphError(f"its reset_fn is {name}; use MembraneSubtract or MembraneReset")


def _name(thing: Any) -> str:
    """The full name of a class or function, or of an instance's class."""
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _returning(module: Any) -> Callable[[Tensor], Tensor] | None:
    """The recurrent connection: at the first step nothing comes through it, not even a bias."""
    connect = getattr(module, "rec_connect", None)
    if connect is None:
        return None
    for part in connect.modules():
        bias = getattr(part, "bias", None)
        if getattr(part, "running_mean", None) is not None or (isinstance(bias, Tensor) and bool(bias.any())):
            raise GraphError(
                f"the {type(part).__name__} in its rec_connect adds a constant, but not at the first step; make it "
                "with bias=False, without batch norm"
            )

    def connection(spikes: Tensor) -> Tensor:
        returned: Tensor = connect(spikes.flatten(0, 1))
        return returned.reshape(spikes.shape)

    return connection


def _layer(cell: Callable[[Any, Shape], Cell], *, squeezed: bool = False) -> Handler:
    def handle(call: Call) -> Any:
        module: Any = call.module
        (x,) = arguments(call, "input_data")
        if squeezed:
            x = x.reshape(module.batch_size, module.num_timesteps, *x.shape[1:])
        try:
            made = cell(module, tuple(x.shape[2:]) or (1,))
        except GraphError:
            # parameters have no shape to fit where time is on another axis, which this finds out and tells
            call.sequence(Cell(Readout()), x, 1)
            raise
        if _is_unlimited(made.soma, module):
            call.note(f"Sinabs sets no limit to the spikes of one step; the program sends {_UNLIMITED} at most")
        spikes = call.sequence(made, x, 1).spikes
        return spikes.flatten(0, 1) if squeezed else spikes

    return handle


def _sum_pool(call: Call) -> Any:
    """SumPool2d: torch's LPPool2d of norm 1."""
    module: Any = call.module
    (x,) = arguments(call, "input")
    size = module.kernel_size
    height, width = (size, size) if isinstance(size, int) else size
    return functional.avg_pool2d(x, (height, width), module.stride, 0, module.ceil_mode) * (height * width)


def _relu(call: Call) -> Any:
    """NeuromorphicReLU, which stands for spiking neurons while the analog network is trained."""
    (x,) = arguments(call, "inp")
    if call.module.quantize:
        call.refuse("it rounds its output down; give the network that sinabs.from_torch.from_model makes of this one")
    return functional.relu(x)


def _quantize(call: Call) -> Any:
    (x,) = arguments(call, "data")
    if call.module.quantize:
        call.refuse("it rounds its input down; set quantize=False, since spikes are whole numbers")
    return x


def _crop(call: Call) -> Any:
    module: Any = call.module
    (x,) = arguments(call, "binary_input")
    if any((module.top_crop, module.bottom_crop, module.left_crop, module.right_crop)):
        call.refuse("it cuts off rows or columns; crop the samples beforehand")
    return x


_ADAPTIVE = "its threshold rises with every spike; use LIF"
_STOCHASTIC = (
    "it draws from torch's random numbers, which no chip repeats; take it out and use neurocompile.snn.PoissonEncoder, "
    "or --encoder poisson"
)

_LAYERS = "sinabs.layers"

TABLE: dict[str, Handler] = {
    f"{_LAYERS}.iaf.IAF": _layer(spiking),
    f"{_LAYERS}.iaf.IAFRecurrent": _layer(spiking),
    f"{_LAYERS}.iaf.IAFSqueeze": _layer(spiking, squeezed=True),
    f"{_LAYERS}.lif.LIF": _layer(spiking),
    f"{_LAYERS}.lif.LIFRecurrent": _layer(spiking),
    f"{_LAYERS}.lif.LIFSqueeze": _layer(spiking, squeezed=True),
    f"{_LAYERS}.exp_leak.ExpLeak": _layer(integrating),
    f"{_LAYERS}.exp_leak.ExpLeakSqueeze": _layer(integrating, squeezed=True),
    f"{_LAYERS}.pool2d.SumPool2d": _sum_pool,
    f"{_LAYERS}.neuromorphic_relu.NeuromorphicReLU": _relu,
    f"{_LAYERS}.quantize.QuantizeLayer": _quantize,
    f"{_LAYERS}.crop2d.Cropping2dLayer": _crop,
    **refusals(f"{_LAYERS}.alif", dict.fromkeys(("ALIF", "ALIFRecurrent", "ALIFSqueeze"), _ADAPTIVE)),
    **refusals(
        f"{_LAYERS}.pool2d",
        {"SpikingMaxPooling2dLayer": "it lets through whoever has fired most so far; use SumPool2d, or nn.MaxPool2d"},
    ),
    **refusals(f"{_LAYERS}.to_spike", dict.fromkeys(("Img2SpikeLayer", "Sig2SpikeLayer"), _STOCHASTIC)),
}
