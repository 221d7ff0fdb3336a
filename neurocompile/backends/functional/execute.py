"""One batch through a plan, layer by layer.

A layer is computed for all time steps before the next begins: without recurrence, what a population sends at any step
depends on earlier populations alone. So all steps of a sample go through a product together, as frames of one batch;
and what is the same at every step (direct encoding, and stateless layers behind it) goes through once.

Inside, what populations send is (samples, steps or 1, neurons) with channels fastest; one step stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurocompile.backends.functional.plan import Layer, Plan
from neurocompile.backends.functional.products import Product
from neurocompile.backends.functional.somas import channels_first, channels_last
from neurocompile.ir.interpret import Trace, encode
from neurocompile.ir.nodes import ENCODERS, Array, DirectEncoder


@torch.inference_mode()
def execute(plan: Plan, samples: Array, first_sample: int, *, events: bool, given: Mapping[str, Array]) -> Trace:
    """Run checked samples (N, T or 1, *shape) float64. Events, if asked for, come in the plan's narrow integers.

    ``given``: events (N, T, *shape) of populations that are not computed, but send these.
    """
    graph, steps = plan.graph, plan.graph.timesteps
    sent: dict[str, Array] = {}
    kept: dict[str, Array] = {}
    outputs: dict[str, Array] = {}
    for name in graph.of_kind(*ENCODERS):
        values = encode(graph, name, samples, first_sample)
        same = samples.shape[1] == 1 and isinstance(graph.node(name), DirectEncoder)
        sent[name] = _inward(values[:, :1] if same else values, plan.dtypes[name])
    for index, layer in enumerate(plan.layers):
        if layer.dtype is None:
            outputs[layer.name] = _membranes(layer, sent, steps)
        else:
            replacement = given.get(layer.name)
            result = _spikes(layer, sent, steps) if replacement is None else _inward(replacement, layer.dtype)
            sent[layer.name] = result
            if layer.name in graph.outputs:
                sums = result.sum(axis=1, dtype=np.int64) * (steps // result.shape[1])
                outputs[layer.name] = channels_first(sums, layer.population.shape)
        for name in plan.finished(index) & sent.keys():
            values = sent.pop(name)
            if events:
                whole = np.broadcast_to(values, (len(values), steps, values.shape[2]))
                kept[name] = channels_first(whole, graph.shape(name))
    return Trace({name: outputs[name] for name in graph.outputs}, {name: kept[name] for name in plan.dtypes if events})


def _spikes(layer: Layer, sent: Mapping[str, Array], timesteps: int) -> Array:
    """What a layer sends."""
    sources = [sent[product.projection.source] for product in layer.products]
    count, steps = len(sources[0]), timesteps
    if layer.stateless:
        steps = max(source.shape[1] for source in sources)
    if layer.fused is not None:
        return _outward(layer.fused(_frames(layer.products[0], sources[0])), count)
    spikes = np.empty((count, steps, layer.population.neurons), layer.dtype)
    at_once, part = layer.parts(timesteps)
    for s in range(0, count, at_once):
        few = [source[s : s + at_once] for source in sources]
        state = layer.runner.begin(len(few[0]), whole=part >= steps)
        for t, x in _sums(layer, few, steps, part):
            now = spikes[s : s + at_once, t : t + part]
            layer.runner.advance(x, now.shape[1], now, state)
    return spikes


def _membranes(layer: Layer, sent: Mapping[str, Array], timesteps: int) -> Array:
    """The membrane of a readout after its last step, (N, *shape)."""
    sources = [sent[product.projection.source] for product in layer.products]
    count = len(sources[0])
    membranes = np.empty((count, *layer.population.shape), np.int64)
    at_once, part = layer.parts(timesteps)
    for s in range(0, count, at_once):
        few = [source[s : s + at_once] for source in sources]
        state = layer.runner.begin(len(few[0]), whole=part >= timesteps)
        for t, x in _sums(layer, few, timesteps, part):
            layer.runner.advance(x, min(part, timesteps - t), None, state)
        membranes[s : s + at_once] = state.membrane
    return membranes


def _sums(layer: Layer, sources: list[Array], steps: int, part: int) -> Iterator[tuple[int, Array]]:
    """The synaptic sums (samples, steps or 1, neurons) of each ``part`` of the presentation, and where it begins."""
    steady = {
        id(product): _outward(product(_frames(product, source)), len(source))
        for product, source in zip(layer.products, sources, strict=True)
        if source.shape[1] == 1
    }
    for t in range(0, steps, part):
        total: Array | None = None
        for product, source in zip(layer.products, sources, strict=True):
            term = steady.get(id(product))
            if term is None:
                term = _outward(product(_frames(product, source[:, t : t + part])), len(source))
            total = term if total is None else np.add(total, term, dtype=layer.sum_dtype, casting="unsafe")
        assert total is not None
        yield t, total


def _frames(product: Product, values: Array) -> Tensor:
    """(samples, steps, neurons) -> a tensor (samples * steps, *source shape), channels last in memory."""
    shape = product.projection.source_shape
    frames = torch.from_numpy(values.reshape(-1, values.shape[2]))
    if len(shape) == 1:
        return frames
    channels, height, width = shape
    return frames.view(-1, height, width, channels).permute(0, 3, 1, 2)


def _outward(frames: Tensor, samples: int) -> Array:
    """A tensor (samples * steps, *shape) -> (samples, steps, neurons), channels fastest."""
    flat = frames.permute(0, 2, 3, 1).reshape(len(frames), -1) if frames.ndim == 4 else frames
    values: Array = flat.numpy()
    return values.reshape(samples, -1, values.shape[1])


def _inward(values: Array, dtype: np.dtype[Any]) -> Array:
    """(N, steps, *shape) -> (N, steps, neurons) in ``dtype``, channels fastest."""
    flat = channels_last(values.reshape(-1, *values.shape[2:]).astype(dtype))
    return np.ascontiguousarray(flat).reshape(*values.shape[:2], -1)
