"""One batch through a plan, layer by layer.

A layer is computed for all time steps before the next begins: without recurrence, what a population sends at any step
depends on earlier populations alone. So all steps of a sample go through a product together, as frames of one batch;
and what is the same at every step (direct encoding, and stateless layers behind it) goes through once. The layers of a
loop are computed together, step by step.

Inside, what populations send is (samples, steps or 1, neurons) with channels fastest; one step stands for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurocompile.backends.functional.plan import Layer, Plan, loops
from neurocompile.backends.functional.products import Product, channels_second
from neurocompile.backends.functional.somas import channels_first, channels_last
from neurocompile.ir.interpret import Trace, encode
from neurocompile.ir.nodes import ENCODERS, Array, DirectEncoder


def execute(plan: Plan, samples: Array, first_sample: int, *, events: bool, given: Mapping[str, Array]) -> Trace:
    """Run checked samples (N, T or 1, *shape) float64. Events, if asked for, come in the plan's narrow integers.

    ``given``: events (N, T, *shape) of populations that are not computed, but send these.
    """
    graph, steps = plan.graph, plan.graph.timesteps
    sent: dict[str, Array] = {}
    kept: dict[str, Array] = {}
    outputs: dict[str, Array] = {}
    for name in graph.of_kind(*ENCODERS):
        if name in given:
            sent[name] = inward(given[name], plan.dtypes[name])
            continue
        values = encode(graph, name, samples, first_sample)
        same = samples.shape[1] == 1 and isinstance(graph.node(name), DirectEncoder)
        sent[name] = inward(values[:, :1] if same else values, plan.dtypes[name])
    for index, group in enumerate(plan.groups):
        if loops(group):
            results = _together(group, len(samples), sent, steps, given)
        else:
            (layer,) = group
            results = {layer.name: _alone(layer, sent, steps, given)}
        for layer in group:
            result, shape = results[layer.name], layer.population.shape
            if not layer.sends:
                outputs[layer.name] = channels_first(result[:, -1], shape)
                continue
            sent[layer.name] = result
            if layer.name in graph.outputs:
                sums = result.sum(axis=1, dtype=np.int64) * (steps // result.shape[1])
                outputs[layer.name] = channels_first(sums, shape)
        for name in plan.finished[index] & sent.keys():
            values = sent.pop(name)
            if events:
                kept[name] = channels_first(_every_step(values, steps), graph.shape(name))
    return Trace({name: outputs[name] for name in graph.outputs}, {name: kept[name] for name in plan.dtypes if events})


def _alone(layer: Layer, sent: Mapping[str, Array], timesteps: int, given: Mapping[str, Array]) -> Array:
    """What a layer sends in a whole presentation; a readout's last membrane, as one step."""
    if layer.name in given:
        return inward(given[layer.name], layer.dtype)
    sources = [arriving(product, sent, timesteps) for product in layer.products]
    count, steps = len(sources[0]), timesteps
    if layer.stateless:
        steps = max(source.shape[1] for source in sources)
    if layer.fused is not None:
        return _outward(layer.fused(_frames(layer.products[0], sources[0])), count)
    result = np.empty((count, steps if layer.sends else 1, layer.population.neurons), layer.dtype)
    at_once, part = layer.parts(steps)
    for s in range(0, count, at_once):
        few = [source[s : s + at_once] for source in sources]
        state = layer.runner.begin(len(few[0]), whole=part >= steps)
        # what is the same at every step is multiplied once
        steady = [sums(product, source) if source.shape[1] == 1 else None
                  for product, source in zip(layer.products, few, strict=True)]  # fmt: skip
        for t in range(0, steps, part):
            terms = [
                sums(product, source[:, t : t + part]) if same is None else same
                for product, source, same in zip(layer.products, few, steady, strict=True)
            ]
            now = result[s : s + at_once, t : t + part] if layer.sends else result[s : s + at_once]
            _advance(layer, terms, min(part, steps - t), now, state)
    return result


def _together(
    group: tuple[Layer, ...], count: int, sent: Mapping[str, Array], steps: int, given: Mapping[str, Array]
) -> dict[str, Array]:
    """What the layers of a loop send: all of them step by step."""
    names = {layer.name for layer in group}
    results: dict[str, Array] = {}
    outer: dict[int, Array] = {}
    for layer in group:
        shape = (count, steps if layer.sends else 1, layer.population.neurons)
        forced = given.get(layer.name)
        results[layer.name] = np.zeros(shape, layer.dtype) if forced is None else inward(forced, layer.dtype)
        for product in layer.products:
            if product.projection.source not in names:
                outer[id(product)] = arriving(product, sent, steps)
    layers = [(layer, layer.runner.begin(count, whole=False)) for layer in group if layer.name not in given]
    for t in range(steps):
        for layer, state in layers:
            terms = []
            for product in layer.products:
                if id(product) in outer:
                    source = outer[id(product)]
                    now = source[:, t : t + 1] if source.shape[1] > 1 else source
                else:
                    now = _arriving_at(product, results[product.projection.source], t)
                terms.append(sums(product, now))
            result = results[layer.name]
            _advance(layer, terms, 1, result[:, t : t + 1] if layer.sends else result, state)
    return results


def arriving(product: Product, sent: Mapping[str, Array], steps: int) -> Array:
    """What the source of a product sends, or of what it has sent, what arrives at every step."""
    values = sent[product.projection.source]
    if not product.projection.past:
        return values
    values = _every_step(values, steps)
    arrived = np.zeros(values.shape, values.dtype)
    for delay, neurons in product.delays:
        if delay < steps:
            arrived[:, delay:, neurons] = values[:, : steps - delay, neurons]
    return arrived


def _arriving_at(product: Product, values: Array, t: int) -> Array:
    """What arrives at step t of what the source of a product has sent."""
    if len(product.delays) == 1 and (at := t - product.delays[0][0]) >= 0:
        return values[:, at : at + 1]
    arrived = np.zeros_like(values[:, :1])
    for delay, neurons in product.delays:
        if delay <= t:
            arrived[:, 0, neurons] = values[:, t - delay, neurons]
    return arrived


def _every_step(values: Array, steps: int) -> Array:
    return np.broadcast_to(values, (len(values), steps, values.shape[2]))


def sums(product: Product, source: Array) -> Array:
    return _outward(product(_frames(product, source)), len(source))


def _advance(layer: Layer, terms: list[Array], steps: int, sent: Array, state: Any) -> None:
    """Give a soma the sum of its products; ``sent`` is where the steps' spikes belong."""
    total = terms[0]
    for term in terms[1:]:
        total = np.add(total, term, dtype=layer.sum_dtype, casting="unsafe")
    # the loops are compiled for arrays without gaps
    whole = sent if sent.flags.c_contiguous else np.empty(sent.shape, sent.dtype)
    layer.runner.advance(total, steps, whole, state)
    if whole is not sent:
        sent[:] = whole


def _frames(product: Product, values: Array) -> Tensor:
    """(samples, steps, neurons) -> a tensor (samples * steps, *source shape), channels last in memory."""
    channels, *others = product.projection.source_shape
    return channels_second(torch.from_numpy(values.reshape(-1, values.shape[2])).view(-1, *others, channels))


def _outward(frames: Tensor, samples: int) -> Array:
    """A tensor (samples * steps, *shape) -> (samples, steps, neurons), channels fastest."""
    values: Array = frames.movedim(1, -1).reshape(len(frames), -1).numpy()
    return values.reshape(samples, -1, values.shape[1])


def inward(values: Array, dtype: np.dtype[Any]) -> Array:
    """(N, steps, *shape) -> (N, steps, neurons) in ``dtype``, channels fastest."""
    flat = channels_last(values.reshape(-1, *values.shape[2:]).astype(dtype))
    return np.ascontiguousarray(flat).reshape(*values.shape[:2], -1)
