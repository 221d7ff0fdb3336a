"""Modules made of lava-dl's SLAYER blocks -> the integer graph that they emulate.

SLAYER trains with quantized weights and integer states, so a module says its integers itself: those that its
``export_hdf5`` would write. Each block is recognised by the full name of its class, and nothing of lava-dl is imported.

A module's ``forward`` is run once, on a copy, to see in which order spikes go through the blocks. Every block sends its
spikes one step later (``delay_shift``); the graph's layers run within one step, so block k of it sends at step t what
the module's sends at t + k + 1. A presentation begins with all states zero, whatever ``persistent_state`` says, and for
each layer with its own first step, as on the chip (and as netx has it with ``reset_interval``). So the bias of a later
layer acts from its first input on; in SLAYER's forward it acts already while that is on its way.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.weight_norm import WeightNorm

from neurocompile.errors import GraphError
from neurocompile.frontend.cuba import FRACTION_BITS, INTEGRATOR, Chain, Cuba, conv, linear, pool, scale
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, DirectEncoder, Node, Shape

_SLAYER = "lava.lib.dl.slayer."
_BLOCK = f"{_SLAYER}block."
_CUBA = f"{_BLOCK}cuba."
_NEURON = f"{_SLAYER}neuron.cuba.Neuron"
_MEAN_ONLY, _WEIGHT_SCALE = (f"{_SLAYER}neuron.norm.{name}" for name in ("MeanOnlyBatchNorm", "WgtScaleBatchNorm"))

_REFUSED = {
    "ConvT": "transposed convolution is not compiled from SLAYER; use Conv",
    "Unpool": "unpooling is not compiled from SLAYER; use Conv",
    "TimeDecimation": "it changes the time step within the network; decimate the data instead",
}
_OTHER_NEURONS = {
    "sigma_delta": "sigma-delta neurons send changes of activations and no spikes",
    "rf": "resonate-and-fire neurons have a complex state",
    "rf_iz": "resonate-and-fire neurons have a complex state",
    "alif": "its neurons adapt their threshold",
    "adrf": "resonate-and-fire neurons have a complex state",
    "adrf_iz": "resonate-and-fire neurons have a complex state",
}


def is_slayer(module: nn.Module) -> bool:
    """Whether a block, a neuron or a synapse of lava-dl's SLAYER is in the module."""
    return any(name.startswith(_SLAYER) for each in module.modules() for name in _names(each))


def read_slayer(
    module: nn.Module, input_shape: Shape, timesteps: int, name: str, *, example_input: Array | None = None
) -> Graph:
    """The integer graph of a module that leads spikes (N, *input_shape, T) through a chain of CUBA blocks.

    ``example_input``: typical samples of any shape. Where nothing encodes the input, they tell its range: spikes (0 and
    1, as without them), or whole numbers. GraphError for all blocks that cannot be compiled, or where spikes do not go
    from each block to the next.
    """
    _check_blocks(module)
    calls = _follow(module, input_shape, timesteps, name)
    chain = Chain(name, timesteps)
    if _kind(calls[0].block) != "Input" or calls[0].block.neuron is None:
        chain.start(input_shape, _spikes(example_input, name))
    else:
        chain.start(input_shape, DirectEncoder(scale=_weight_scale(calls[0]) / 2, low=-128, high=127))
    for call in calls:
        if call.flattened:
            chain.flatten()
        _BLOCKS[_kind(call.block)](chain, call)
    return chain.finish()


def _spikes(example_input: Array | None, name: str) -> DirectEncoder | None:
    """The encoder of input that goes into the network as it is; None for spikes."""
    values = np.zeros(1) if example_input is None else np.asarray(example_input)
    if ((values == 0) | (values == 1)).all():
        return None
    whole = (values == np.rint(values)).all() and np.abs(values).max() <= 127
    if not whole:
        raise GraphError(
            f"{name}: its input goes into synapses as it is, so it must be spikes or whole numbers of -127 to 127; let "
            "the network begin with slayer.block.cuba.Input, which encodes it"
        )
    return DirectEncoder(limit=127.0, scale=1.0, low=-127 if values.min() < 0 else 0, high=127)


# ------------------------------------------------------------------------------------------------------- what is there


def _names(module: nn.Module) -> list[str]:
    """The full names of a module's class and of those that it is made from."""
    return [f"{cls.__module__}.{cls.__qualname__}" for cls in type(module).__mro__]


def _kind(block: nn.Module) -> str:
    """Dense, Conv, ...; or its full name where it is no CUBA block."""
    found = next(name for name in _names(block) if name.startswith(_BLOCK))
    return found.removeprefix(_CUBA)


def _is_block(module: nn.Module) -> bool:
    return any(name.startswith(_BLOCK) for name in _names(module))


def _check_blocks(module: nn.Module) -> None:
    """GraphError with all blocks that cannot be compiled, and why."""
    blocks = {path or type(module).__name__: each for path, each in module.named_modules() if _is_block(each)}
    if not blocks:
        raise GraphError(
            f"{type(module).__name__}: it has neurons or synapses of SLAYER outside of blocks; put them into "
            "slayer.block.cuba's"
        )
    refused = []
    for path, block in blocks.items():
        kind = _kind(block)
        if kind in _REFUSED:
            refused.append(f"{path} ({kind}): {_REFUSED[kind]}")
        elif kind not in _BLOCKS:
            family = kind.removeprefix(_BLOCK).split(".")[0]
            reason = _OTHER_NEURONS.get(family, "it is none of lava-dl 0.6.0's CUBA blocks")
            refused.append(f"{path} ({kind.removeprefix(_BLOCK)}): {reason}; use slayer.block.cuba")
        elif not type(block).forward.__module__.startswith(_BLOCK):
            refused.append(f"{path} ({type(block).__name__}): it has a forward of its own; leave that to the block")
        elif drawn := _drawn_later(block):
            refused.append(f"{path} ({kind}): its {drawn}; run the network once, then compile it")
    if refused:
        raise GraphError("; ".join(refused))


def _drawn_later(block: Any) -> str:
    """What a block draws at random when it runs for the first time, and has not drawn yet."""
    delay = getattr(block, "delay", None)
    if delay is not None and not delay.init:
        return "delays are drawn when it runs first (delay=True)"
    return (
        "decays are drawn when it runs first (shared_param=False)"
        if hasattr(getattr(block, "neuron", None), "current_decay_min")
        else ""
    )


# ---------------------------------------------------------------------------------------------------- which way it goes


@dataclass(frozen=True)
class _Call:
    """A block (of the copy, after its run), its path in the module, and whether what it reads was flattened before."""

    path: str
    block: Any
    flattened: bool


def _follow(module: nn.Module, input_shape: Shape, timesteps: int, name: str) -> list[_Call]:
    """The blocks in the order in which spikes go through them; GraphError where they go otherwise."""
    twin = _copied(module)
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand((1, *input_shape, timesteps), generator=generator) < 0.5).float()
    calls: list[tuple[str, nn.Module, Tensor, Tensor]] = []

    def record(path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(block: nn.Module, args: tuple[Any, ...], result: Any) -> None:
            calls.append((path, block, args[0], result[0] if isinstance(result, tuple) else result))

        return hook

    blocks = {path: each for path, each in twin.named_modules() if _is_block(each)}
    for path, block in blocks.items():
        block.register_forward_hook(record(path or type(module).__name__))
    try:
        with torch.no_grad():
            twin(spikes.clone())
    except Exception as error:
        raise GraphError(
            f"{name}: its forward fails on spikes of shape {tuple(spikes.shape)} ({type(error).__name__}: {error}); "
            "check --input-shape and --timesteps"
        ) from error
    for path in blocks:
        times = sum((path or type(module).__name__) == called for called, *_ in calls)
        if times != 1:
            raise GraphError(f"{path}: it is called {times} times in one run, must be once; give each block one place")
    chain, before = [], ("the input", spikes)
    for path, block, read, sent in calls:
        flattened = _same(before[1], read)
        if flattened is None:
            raise GraphError(
                f"{path}: it does not read what {before[0]} sends, but something that was made of it or came from "
                "elsewhere; let spikes go from each block to the next, in one chain"
            )
        chain.append(_Call(path, block, flattened))
        before = (path, sent)
    return chain


def _copied(module: nn.Module) -> nn.Module:
    """A copy on the CPU, ready to infer: its run leaves no trace in the module."""
    with torch.no_grad():
        for each in module.modules():
            for hook in each._forward_pre_hooks.values():
                if isinstance(hook, WeightNorm):
                    hook(each, None)  # a weight that remembers its gradient cannot be copied; this computes it anew
    try:
        return copy.deepcopy(module).cpu().eval()
    except RuntimeError as error:
        raise GraphError(
            f"{type(module).__name__}: it cannot be copied ({error}); run it under torch.no_grad(), then compile it"
        ) from error


def _same(sent: Tensor, read: Tensor) -> bool | None:
    """Whether spikes were flattened between two blocks; None where they are not the same."""
    if read.ndim < 3 or read.shape[-1] != sent.shape[-1] or read.numel() != sent.numel():
        return None
    flattened = read.shape != sent.shape
    if flattened and read.shape[1:-1].numel() != read.shape[1]:
        return None
    shared = read.data_ptr() == sent.data_ptr()
    if not torch.equal(read, sent.reshape(read.shape)) or not (shared or read.any()):
        return None
    return flattened


# -------------------------------------------------------------------------------------------------------------- blocks


def _input(chain: Chain, call: _Call) -> None:
    """``x`` in steps of 2 / scale, times a weight and plus a bias of the same steps, into the current."""
    block = call.block
    if block.neuron is None:
        return
    neuron, bias = _neuron(call)
    weight = 1 if block.weight is None else int(_quantized(call, block.pre_hook_fx, block.weight)[0])
    offset = np.zeros((), np.int64)
    if block.bias is not None:
        offset = _quantized(call, block.pre_hook_fx, block.bias)[0] << FRACTION_BITS
    if not weight:
        raise GraphError(f"{call.path}: its weight is 0, so that no sample would count; train it")
    # x is the code times 2 / scale; a state's unit is 1 / (64 * scale)
    unit = 1 << FRACTION_BITS
    factor, rest = (2 * unit, 0) if block.weight is None else divmod(2 * unit * weight, _weight_scale(call))
    if rest:
        raise GraphError(f"{call.path}: its weight times its input has fractions of a state; use scale=64")
    fraction = min(neuron.fraction_bits, (factor & -factor).bit_length() - 1)
    operator = scale(np.array(factor >> fraction))
    chain.layer(
        call.path, [(_synapse(call), operator)], replace(neuron, fraction_bits=fraction), bias=bias, current_bias=offset
    )


def _flatten(chain: Chain, call: _Call) -> None:  # noqa: ARG001 - it has no parameters
    chain.flatten()


def _average(chain: Chain, call: _Call) -> None:
    chain.average(call.path, call.block.num_outputs)


def _dense(chain: Chain, call: _Call) -> None:
    weight = _synaptic(call, call.block.synapse)
    shape = chain.shape
    if len(shape) == 3 and weight.shape[1:4] != shape:
        operator: Node = conv(weight[..., 0])  # it goes over the image
    else:
        chain.flatten()
        operator = linear(weight.reshape(len(weight), -1))
    neuron, bias = _neuron(call)
    chain.layer(call.path, [(_synapse(call), operator)], neuron, bias=bias, delays=_delays(call))


def _affine(chain: Chain, call: _Call) -> None:
    """Its result is its voltage; without dynamics the sum of its input over time, as netx has it."""
    chain.flatten()
    weight = _synaptic(call, call.block.synapse)
    neuron, bias = _neuron(call) if call.block.dynamics else (INTEGRATOR, None)
    chain.unit = 1 / (_weight_scale(call) << FRACTION_BITS)
    operator = linear(weight.reshape(len(weight), -1))
    chain.layer(call.path, [(_synapse(call), operator)], replace(neuron, threshold=None), bias=bias)


def _conv(chain: Chain, call: _Call) -> None:
    synapse = call.block.synapse
    operator = conv(
        _synaptic(call, synapse)[..., 0],
        stride=synapse.stride[:2],
        padding=synapse.padding[:2],
        dilation=synapse.dilation[:2],
        groups=synapse.groups,
    )
    neuron, bias = _neuron(call)
    chain.layer(call.path, [(_synapse(call), operator)], neuron, bias=bias, delays=_delays(call))


def _pool(chain: Chain, call: _Call) -> None:
    synapse = call.block.synapse
    weight, kernel = _synaptic(call, synapse), synapse.kernel_size[:2]
    if synapse.stride[:2] != kernel or any(synapse.padding) or set(synapse.dilation) != {1}:
        raise GraphError(
            f"{call.path}: SLAYER pools across the borders of channels where windows overlap, are apart or are padded; "
            "give it stride=None, padding=0 and dilation=1"
        )
    if (weight != weight.flat[0]).any():
        raise GraphError(f"{call.path}: its weights differ; a pool has one weight")
    neuron, bias = _neuron(call)
    operators = pool(call.path, int(weight.flat[0]), kernel, chain.shape)
    chain.layer(call.path, operators, neuron, bias=bias, delays=_delays(call))


def _recurrent(chain: Chain, call: _Call) -> None:
    _check_bias(call)
    weight, back = (_synaptic(call, each) for each in (call.block.input_synapse, call.block.recurrent_synapse))
    _recur(chain, call, weight, back.reshape(len(back), -1), None, _delays(call))


def _kwta(chain: Chain, call: _Call) -> None:
    """K winners: every neuron excites itself, inhibits all others, and has a bias that lets K of them fire."""
    _check_bias(call)
    block = call.block
    neurons, quantize = block.num_neurons, block.neuron.quantize_8bit
    block.clamp()
    back = _quantized(call, quantize, (1 + block.self_excitation) * torch.eye(neurons) - 1)
    level = block.neuron.threshold * (neurons - 2 * block.num_winners) / neurons / block.neuron.w_scale
    bias = _quantized(call, quantize, torch.FloatTensor([level]))[0] << FRACTION_BITS
    _recur(chain, call, _synaptic(call, block.synapse), back, bias, None)


def _recur(
    chain: Chain, call: _Call, weight: Array, back: Array, current_bias: Array | None, delays: Array | None
) -> None:
    chain.flatten()
    neuron, bias = _neuron(call)
    chain.layer(
        call.path,
        [(_synapse(call), linear(weight.reshape(len(weight), -1)))],
        neuron,
        bias=bias,
        current_bias=current_bias,
        recurrent=back,
        delays=delays,
    )


_BLOCKS: dict[str, Callable[[Chain, _Call], None]] = {
    "Input": _input,
    "Flatten": _flatten,
    "Average": _average,
    "Dense": _dense,
    "Affine": _affine,
    "Conv": _conv,
    "Pool": _pool,
    "Recurrent": _recurrent,
    "KWTA": _kwta,
}


# ------------------------------------------------------------------------------------------------------------- numbers


def _synapse(call: _Call) -> str:
    return f"{call.path}.synapse"


def _weight_scale(call: _Call) -> int:
    """What a weight of one is in the device's numbers."""
    neuron = call.block.neuron
    if _NEURON not in _names(neuron):
        raise GraphError(f"{call.path}: its neuron is a {type(neuron).__name__}; use slayer.neuron.cuba.Neuron")
    size: int = neuron.w_scale
    if size < 2 or size & (size - 1) or neuron.s_scale != size << FRACTION_BITS or neuron.p_scale != 4096:
        raise GraphError(f"{call.path}: its neurons have scale={size}; give a power of two, such as 64")
    return size


def _neuron(call: _Call) -> tuple[Cuba, Array | None]:
    """The block's neurons, and the bias that their norm amounts to, in units of the state."""
    neuron = call.block.neuron
    size = _weight_scale(call)
    if neuron.graded_spike:
        raise GraphError(f"{call.path}: its spikes carry the voltage; train with graded_spike=False")
    decays = [
        np.rint(each.detach().clamp(0, 4096).double().numpy()).astype(np.int64).squeeze()
        for each in (neuron.current_decay, neuron.voltage_decay)
    ]
    threshold = None if neuron.threshold is None or neuron.threshold < 0 else int(neuron.threshold * size)
    cuba = Cuba(decays[0], decays[1], threshold)
    if neuron.norm is None:
        return cuba, None
    names = _names(neuron.norm)
    if _MEAN_ONLY not in names and _WEIGHT_SCALE not in names:
        raise GraphError(f"{call.path}: its norm is a {type(neuron.norm).__name__}; use MeanOnlyBatchNorm")
    bias = -_quantized(call, neuron.norm.pre_hook_fx, neuron.norm.running_mean) << FRACTION_BITS
    bias = bias.reshape(()) if bias.size == 1 else bias
    if _WEIGHT_SCALE not in names:
        return cuba, bias
    shift = int(np.log2(float(neuron.norm.std(neuron.norm.running_var))))
    if shift and decays[0].min() < 4096:
        raise GraphError(
            f"{call.path}: its WgtScaleBatchNorm divides by {2.0**shift:g} what is not its input, but a current that "
            "keeps a part of itself; use MeanOnlyBatchNorm, or current_decay=1"
        )
    # without memory in the current, the input itself enters the membrane, in another unit
    return replace(cuba, fraction_bits=FRACTION_BITS - shift), bias >> shift if shift > 0 else bias << -shift


def _synaptic(call: _Call, synapse: Any) -> Array:
    """Whole weights, (out, in, height, width, 1)."""
    hook = synapse.pre_hook_fx
    if hook is None:
        raise GraphError(
            f"{call.path}: its weights are not quantized; leave out pre_hook_fx, or set it to neuron.quantize_8bit"
        )
    return _quantized(call, hook, synapse.weight)


def _quantized(call: _Call, hook: Any, values: Tensor) -> Array:
    """What the hook makes of ``values``, in the device's numbers; GraphError unless these are whole, and those that
    the forward uses."""
    size = _weight_scale(call)
    try:
        with torch.no_grad():
            used, whole = hook(values.detach()), hook(values.detach(), descale=True)
    except Exception as error:
        raise GraphError(
            f"{call.path}: its pre_hook_fx fails ({type(error).__name__}: {error}); use neuron.quantize_8bit"
        ) from error
    numbers: Array = whole.double().numpy()
    if not np.isfinite(numbers).all():
        raise GraphError(f"{call.path}: it has parameters that are NaN or infinite; train it again")
    if (numbers != np.rint(numbers)).any() or (numbers != used.double().numpy() * size).any():
        raise GraphError(f"{call.path}: its pre_hook_fx does not quantize to whole numbers; use neuron.quantize_8bit")
    return numbers.astype(np.int64)


def _delays(call: _Call) -> Array | None:
    delay = call.block.delay
    if delay is None:
        return None
    steps: Array = np.floor(delay.delay.detach().clamp(0, delay.max_delay).double().numpy()).astype(np.int64)
    return steps


def _check_bias(call: _Call) -> None:
    if call.block.bias is not None:
        raise GraphError(f"{call.path}: it has a bias that nothing quantizes; use a norm instead")
