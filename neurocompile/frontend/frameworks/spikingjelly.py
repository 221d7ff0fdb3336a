"""SpikingJelly 2.0: its neurons in the graph's terms.

One step of all of them: charge; ``spike = v - v_threshold >= 0``; reset, to ``v_reset`` ("hard") or by subtracting the
threshold where ``v_reset`` is None ("soft"). The membrane starts at ``v_reset`` (0 where it is None) and leaks towards
it: ours is ``v - v_reset``. In step mode "m" a layer is given all time steps, (T, N, ...).

The layers of ``spikingjelly.activation_based.layer`` are plain Python around torch's and need no entry, save a few.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from neurocompile.errors import GraphError
from neurocompile.frontend.cells import Call, Cell, Handler
from neurocompile.frontend.frameworks.reading import arguments, comparison, exact, membrane, parameter, refusals
from neurocompile.ir.nodes import Neuron, Readout, Shape, Spikes


def integrate(module: Any, shape: Shape) -> Cell:
    """IFNode: ``v + x``. SimpleIFNode starts at 0, whatever ``v_reset`` is, and is the same otherwise."""
    return _cell(module, shape, leak=1.0, rest=None)


def leaky(module: Any, shape: Shape) -> Cell:
    """LIFNode: ``v - (v - v_reset)/tau + x``; ``decay_input`` divides x by tau too. SimpleLIFNode starts at 0."""
    gain = 1 / module.tau if module.decay_input else 1.0
    return _cell(module, shape, leak=1 - 1 / module.tau, gain=gain, rest=module.v_reset)


def parametric(module: Any, shape: Shape) -> Cell:
    """ParametricLIFNode: LIFNode with ``1/tau = sigmoid(w)``."""
    rate = exact(module.w.detach().sigmoid())
    return _cell(module, shape, leak=1 - rate, gain=rate if module.decay_input else 1.0, rest=module.v_reset)


def current_based(module: Any, shape: Shape) -> Cell:
    """CUBALIFNode: ``c = c_decay*c + x``; ``v = v_decay*v + c``."""
    return _cell(module, shape, leak=module.v_decay, current_leak=module.c_decay, rest=0.0)


def ternary_integrate(module: Any, shape: Shape) -> Cell:
    """TernaryIFNode: IFNode that also fires -1, where ``-v`` passes the threshold."""
    return _cell(module, shape, leak=1.0, rest=None, spikes="signed")


def ternary_leaky(module: Any, shape: Shape) -> Cell:
    """TernaryLIFNode: LIFNode that also fires -1, where ``-v`` passes the threshold."""
    gain = 1 / module.tau if module.decay_input else 1.0
    return _cell(module, shape, leak=1 - 1 / module.tau, gain=gain, rest=module.v_reset, spikes="signed")


def silent_integrate(module: Any, shape: Shape) -> Cell:  # noqa: ARG001 - as the others
    """NonSpikingIFNode: ``v + x``."""
    return Cell(Readout())


def silent_leaky(module: Any, shape: Shape) -> Cell:
    """NonSpikingLIFNode: ``v + (x - v)/tau``."""
    return Cell(Readout(leak=parameter(1 - 1 / module.tau, shape, "tau")), gain=parameter(1 / module.tau, shape, "tau"))


def _cell(
    module: Any,
    shape: Shape,
    *,
    leak: Any,
    rest: float | None,
    current_leak: float = 0.0,
    gain: Any = 1.0,
    spikes: Spikes = "binary",
) -> Cell:
    """``rest``: where the membrane leaks to; None: 0, or nowhere."""
    hard = module.v_reset is not None
    start = float(module.get_reset_value("v"))
    decays: dict[str, Any] = {
        "leak": parameter(leak, shape, "tau"),
        "current_leak": parameter(current_leak, shape, "c_decay"),
    }
    factor = parameter(gain, shape, "tau")
    threshold = exact(module.v_threshold)
    infinite = bool(torch.isinf(threshold).any())
    if infinite and not hard:
        raise GraphError("v_threshold=inf with v_reset=None makes its membrane NaN; use v_reset=0.0")
    if start and (infinite or spikes == "signed" or not hard or rest not in (None, start)):
        raise GraphError(f"its membrane starts at {start:g}, where it does not rest; use v_reset=0.0 or None")
    if not start and rest:
        raise GraphError(
            f"its membrane starts at 0 and leaks towards v_reset={rest:g}; use LIFNode, which starts there"
        )
    scale = None if (factor == 1).all() else factor
    if infinite:
        return Cell(Readout(**decays), gain=scale)
    if not bool((threshold > start).all()):
        raise GraphError(f"v_threshold={float(threshold.min()):g} is not above {start:g}, where its membrane starts")
    soma = Neuron(
        **decays,
        threshold=parameter(threshold - start, shape, "v_threshold"),
        compare=comparison(module.surrogate_function),
        reset="set" if hard else "subtract",
        reset_value=parameter(module.v_reset - start if hard else 0.0, shape, "v_reset"),
        spikes=spikes,
    )
    return Cell(soma, gain=scale)


def _neuron(cell: Callable[[Any, Shape], Cell]) -> Handler:
    def handle(call: Call) -> Any:
        module: Any = call.module
        several = module.step_mode == "m"
        (x,) = arguments(call, "x_seq" if several else "x")
        if getattr(module, "_neuron_precision", None) is not None:
            call.refuse("its state has a reduced precision; set none, the target has its own widths")
        try:
            made = cell(module, tuple(x.shape[2 if several else 1 :]))
        except GraphError as error:
            call.refuse(str(error))
        fired = call.sequence(made, x, 0) if several else call.step(made, x)
        # networks read the membrane of a layer whose threshold is infinite as its attribute
        left = membrane(made, fired)
        module.v = left[-1] if several else left
        if several and getattr(module, "store_v_seq", False):
            module.v_seq = left
        return torch.zeros(tuple(x.shape)) if isinstance(made.soma, Readout) else fired.spikes

    return handle


def _silent(cell: Callable[[Any, Shape], Cell]) -> Handler:
    """Layers that never fire and give their membrane, decoded over all time steps."""

    def handle(call: Call) -> Any:
        module: Any = call.module
        (x,) = arguments(call, "x_seq")
        try:
            membrane = call.sequence(cell(module, tuple(x.shape[2:])), x, 0).membrane
        except GraphError as error:
            call.refuse(str(error))
        match module.decode:
            case "last_mem":
                return membrane[-1]
            case "max-mem" | "max-abs-mem":
                call.refuse(f"decode={module.decode!r} looks for the largest membrane of all steps; use 'last_mem'")
            case "mean-mem":
                return membrane.mean(0)
        return list(membrane)

    return handle


def _voting(call: Call) -> Any:
    """VotingLayer: the mean of each group of neighbouring features, as weights."""
    module: Any = call.module
    (x,) = arguments(call, "x")
    features, group = x.shape[-1], module.voting_size
    weight = torch.eye(features // group).repeat_interleave(group, dim=1) / group
    if features % group:
        weight = torch.nn.functional.pad(weight, (0, features % group))
    return functional.linear(x, weight)


def _linear_recurrent(call: Call) -> Any:
    """LinearRecurrentContainer: ``y = sub_module(rc(cat(x, y)))``, with the weights of x and of y apart."""
    module: Any = call.module
    (x,) = arguments(call, "x_seq" if module.step_mode == "m" else "x")
    inputs, weight = module.rc.out_features, module.rc.weight

    def step(now: Tensor) -> Tensor:
        if module.y is None or type(module.y) is Tensor:  # the latter: left by a run
            module.y = torch.zeros(now.shape[0], module.sub_module_out_features)
        with call.named(f"{call.path}.rc"):
            current = functional.linear(now, weight[:, :inputs], module.rc.bias)
        with call.named(f"{call.path}.rc.before"):
            back = functional.linear(module.y, weight[:, inputs:])
        with call.named(f"{call.path}.rc.sum"):
            current = current + back
        module.y = module.sub_module(current)
        return module.y  # type: ignore[no-any-return]

    return torch.stack([step(now) for now in x]) if module.step_mode == "m" else step(x)


def _element_wise_recurrent(call: Call) -> Any:
    """ElementWiseRecurrentContainer is followed, but without what a run has left."""
    module: Any = call.module
    if type(module.y) is Tensor:
        module.y = None
    return type(module).forward(module, *call.args, **call.kwargs)


def _time_last(call: Call) -> Any:
    """TLastSeqToANNContainer: stateless layers at every step of (N, ..., T)."""
    module: Any = call.module
    (x,) = arguments(call, "x_seq")
    steps = x.movedim(-1, 0)
    y = steps.flatten(0, 1)
    for part in module:
        y = part(y)
    return y.unflatten(0, tuple(steps.shape[:2])).movedim(0, -1)


def _dropout(call: Call) -> Any:
    return call.args[0]


def _delay(call: Call) -> Any:
    if call.module._delay_steps:
        call.refuse("it holds spikes back for several steps; remove it, or set delay_steps=0")
    return call.args[0]


_OF_ALL_STEPS = "its weights join all time steps; use LIFNode or ParametricLIFNode"
_CURVED = "its charge is no linear function of the membrane; use LIFNode or ParametricLIFNode"
_ADAPTIVE = "a second state changes its membrane; use LIFNode or CUBALIFNode"
_COMES_BACK = "its spikes come back through a convolution of its own; use LinearRecurrentContainer"
_NOISE = "it adds noise in training; use the same neuron without noise"
_STOCHASTIC = (
    "it draws from torch's random numbers, which no chip repeats; take it out and use neurocompile.snn.PoissonEncoder, "
    "or --encoder poisson"
)
_TIMED = "when it fires is coded in the step; take it out, encode the samples beforehand and give them as (N, T, ...)"
_ATTENTION = "it multiplies activations by each other; use layers of fixed weights"
_PER_STEP = "it has other parameters at every time step; use BatchNorm2d or ThresholdDependentBatchNorm2d"

_NEURON = "spikingjelly.activation_based.neuron"
_LAYER = "spikingjelly.activation_based.layer"

TABLE: dict[str, Handler] = {
    f"{_NEURON}.integrate_and_fire.IFNode": _neuron(integrate),
    f"{_NEURON}.integrate_and_fire.SimpleIFNode": _neuron(integrate),
    f"{_NEURON}.integrate_and_fire.NonSpikingIFNode": _silent(silent_integrate),
    f"{_NEURON}.lif.LIFNode": _neuron(leaky),
    f"{_NEURON}.lif.SimpleLIFNode": _neuron(leaky),
    f"{_NEURON}.lif.NonSpikingLIFNode": _silent(silent_leaky),
    f"{_NEURON}.plif.ParametricLIFNode": _neuron(parametric),
    f"{_NEURON}.lif_variants.CUBALIFNode": _neuron(current_based),
    f"{_NEURON}.ternary.TernaryIFNode": _neuron(ternary_integrate),
    f"{_NEURON}.ternary.TernaryLIFNode": _neuron(ternary_leaky),
    # these two are LIFNode but for what training needs
    f"{_NEURON}.online_learning.OTTTLIFNode": _neuron(leaky),
    f"{_NEURON}.online_learning.SLTTLIFNode": _neuron(leaky),
    f"{_LAYER}.container.TLastSeqToANNContainer": _time_last,
    f"{_LAYER}.container.LinearRecurrentContainer": _linear_recurrent,
    f"{_LAYER}.container.ElementWiseRecurrentContainer": _element_wise_recurrent,
    f"{_LAYER}.misc.VotingLayer": _voting,
    f"{_LAYER}.misc.Delay": _delay,
    f"{_LAYER}.dropout.Dropout": _dropout,
    f"{_LAYER}.dropout.Dropout2d": _dropout,
    **refusals(
        f"{_NEURON}.integrate_and_fire",
        {
            "HalfThresholdIFNode": "its membrane starts at half its threshold; use IFNode",
            "ActivationAwareIFNode": "it fires at another value than it subtracts; use IFNode",
        },
    ),
    **refusals(f"{_NEURON}.ilif", {"ILIFNode": "its spike counts are rounded to the nearest; use LIFNode"}),
    **refusals(f"{_NEURON}.nonlinear_if", {"QIFNode": _CURVED, "EIFNode": _CURVED}),
    **refusals(f"{_NEURON}.adapt", {"IzhikevichNode": _CURVED}),
    **refusals(f"{_NEURON}.resonate", {"RAFNode": "its two states turn into each other; use LIFNode"}),
    **refusals(
        f"{_NEURON}.lif_variants",
        {
            "GatedLIFNode": "its input has another weight at every time step; use ParametricLIFNode",
            "KLIFNode": "it clips its membrane at zero before it fires; use ParametricLIFNode",
            "ComplementaryLIFNode": _ADAPTIVE,
            "LIAFNode": "it sends analog values of its membrane; use LIFNode",
        },
    ),
    **refusals(f"{_NEURON}.psn", {"PSN": _OF_ALL_STEPS, "MaskedPSN": _OF_ALL_STEPS, "SlidingPSN": _OF_ALL_STEPS}),
    **refusals(f"{_NEURON}.mpbn", {"MPBNLIFNode": "it normalises its membrane; put a BatchNorm before a LIFNode"}),
    **refusals(
        f"{_NEURON}.dsr",
        dict.fromkeys(("DSRIFNode", "DSRLIFNode"), "it fires at alpha thresholds and subtracts one; use IFNode"),
    ),
    **refusals(
        f"{_NEURON}.inter_layer_connection",
        dict.fromkeys(("ILCIFNode", "ILCLIFNode", "ILCCUBALIFNode"), _COMES_BACK),
    ),
    **refusals(
        f"{_NEURON}.noisy",
        dict.fromkeys(("NoisyCUBALIFNode", "NoisyILCCUBALIFNode", "NoisyNonSpikingIFNode"), _NOISE),
    ),
    **refusals(
        f"{_NEURON}.few_spike",
        dict.fromkeys(
            ("FewSpikeNode", "OutlierAwareThresholdNode", "HGNode"), "its thresholds change with the step; use IFNode"
        ),
    ),
    **refusals(f"{_NEURON}.flexsn", {"FlexSN": "its step is a function of the user's; use LIFNode or IFNode"}),
    **refusals(f"{_NEURON}.spikezip", {"STBIFNode": "it takes back spikes up to what it has sent; use TernaryIFNode"}),
    **refusals(f"{_LAYER}.stateless_wrapper", {"GroupNorm": "it normalises by each sample; use BatchNorm2d"}),
    **refusals(
        f"{_LAYER}.misc",
        {
            "SynapseFilter": "how it decays depends on its input; use CUBALIFNode, whose current decays",
            "SpikeCountToBinary": "it spreads a step over several; remove it",
            "TemporalBinSum": "it joins several steps to one; remove it",
        },
    ),
    **refusals(
        f"{_LAYER}.bn",
        {
            "NeuNorm": "it divides by activity; use BatchNorm2d",
            **dict.fromkeys((f"TemporalEffectiveBatchNorm{d}d" for d in (1, 2, 3)), _PER_STEP),
            **dict.fromkeys((f"BatchNormThroughTime{d}d" for d in (1, 2, 3)), _PER_STEP),
        },
    ),
    **refusals(
        f"{_LAYER}.dropout", {"DropConnectLinear": "it averages over random weights, even in inference; use Linear"}
    ),
    **refusals(
        f"{_LAYER}.attention",
        dict.fromkeys(
            (
                "TemporalWiseAttention", "MultiDimensionalAttention", "SpikingSelfAttention", "QKAttention",
                "TokenQKAttention", "ChannelQKAttention", "SpikeDrivenSelfAttention",
            ),
            _ATTENTION,
        ),
    ),
    **refusals(
        "spikingjelly.activation_based.encoding",
        {
            "PoissonEncoder": _STOCHASTIC,
            "PopSpikeEncoderRandom": _STOCHASTIC,
            "PopSpikeEncoderDeterministic": _TIMED,
            "PopEncoder": _TIMED,
            "LatencyEncoder": _TIMED,
            "PeriodicEncoder": _TIMED,
            "WeightedPhaseEncoder": _TIMED,
        },
    ),
    **refusals(
        "spikingjelly.activation_based.rnn",
        dict.fromkeys(
            (
                "SpikingLSTMCell", "SpikingLSTM", "SpikingGRUCell", "SpikingGRU", "SpikingVanillaRNNCell",
                "SpikingVanillaRNN",
            ),
            "its gates multiply states by each other, or its spikes have no membrane; use LinearRecurrentContainer",
        ),
    ),
    **refusals(
        "spikingjelly.activation_based.lava_exchange",
        {"CubaLIFNode": "it rounds its state in steps of 1/64; use CUBALIFNode"},
    ),
}  # fmt: skip
