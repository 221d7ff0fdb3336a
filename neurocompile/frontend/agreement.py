"""Does the graph do what the network does? Both run on some samples, and their spikes are compared.

What was read wrong would otherwise shift without a word: a layer that a subclass changed, a hook, a state that does not
start at zero.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurocompile.errors import GraphError
from neurocompile.frontend.frameworks import TABLE
from neurocompile.frontend.presentation import Imported
from neurocompile.frontend.tracing.symbolic import Value, leaves
from neurocompile.frontend.tracing.tracer import Watched, find_handler, restored
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import SPIKING, Array, Conv2d, Linear
from neurocompile.snn.state import reset_state

#: multiplications that a comparison may take: some seconds
_MOST_PRODUCTS = 4e9
#: by how much the network itself is faster than the interpreter
_FASTER = 20
#: single precision may decide otherwise where a membrane is very near its threshold: so many neurons may differ
_SHARE = 0.02


def compare(imported: Imported, samples: Array) -> dict[str, tuple[int, int]]:
    """Per layer, how many neurons (of all samples) ever spike otherwise than in the network, and of how many.

    ``samples``: (N, *shape) or (N, T, *shape). A layer is judged on what the network's own layers before it sent.
    """
    graph = imported.graph
    samples = samples.astype(np.float64)
    own = spikes_of(imported, samples)
    found = interpret(graph, samples).events
    counts = {name: _differing(found[name], spikes) for name, spikes in own.items()}
    first = next((name for name in graph.of_kind(*SPIKING) if counts.get(name, (0, 1))[0]), None)
    if first is not None:
        given = {name: spikes.astype(np.float64) for name, spikes in own.items() if name != first}
        counts[first] = _differing(interpret(graph, samples, given=given).events[first], own[first])
    return counts


def check(imported: Imported, samples: Array) -> str | None:
    """GraphError where the graph does not do what the network does; a note where that could not be tried."""
    graph = imported.graph
    affordable = int(_MOST_PRODUCTS / max(1, _products(graph)))
    if not affordable:
        return "the network is too large to be compared with what was read; compare some spikes of your own"
    if len(samples) > affordable:
        samples = samples[:affordable]
    try:
        counts = compare(imported, samples)
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as problem:
        text = (str(problem).splitlines() or [type(problem).__name__])[0]
        return f"the network could not be run on {len(samples)} samples to compare it with what was read ({text:.100})"
    for name in graph.of_kind(*SPIKING):
        differing, total = counts.get(name, (0, 1))
        if differing > max(1, _SHARE * total):
            raise GraphError(
                f"{name}: {differing} of {total} neurons spike otherwise than in the network itself, so it was not "
                "read as it is meant; use the layer without changes of its own, and start all states at zero"
            )
        if differing:
            return None  # whatever follows may differ for this reason alone
    return None


def spikes_of(imported: Imported, samples: Array) -> dict[str, Array]:
    """What each layer of the network itself sends: (N, T, *shape)."""
    # some networks take no other batch than the one that they were followed with
    size = imported.batch
    if size * _products(imported.graph) > _FASTER * _MOST_PRODUCTS:
        size = len(samples)
    parts = [_spikes_of_batch(imported, samples[start : start + size], size) for start in range(0, len(samples), size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _spikes_of_batch(imported: Imported, samples: Array, size: int) -> dict[str, Array]:
    """The same for at most ``size`` samples; where there are fewer, they are repeated to fill the batch."""
    batch = np.resize(samples, (size, *samples.shape[1:]))
    seen: dict[str, list[Array]] = {name: [] for name in imported.watched if name in imported.graph}
    with _listening(imported, seen):
        imported.run(batch)
    spiking = set(imported.graph.of_kind(*SPIKING))
    steps = imported.graph.timesteps
    return {
        name: _in_order(np.stack(arrays), imported.watched[name].value, len(batch), steps)[: len(samples)]
        for name, arrays in seen.items()
        if name in spiking and arrays
    }


@contextlib.contextmanager
def _listening(imported: Imported, seen: dict[str, list[Array]]) -> Iterator[None]:
    module = imported.module
    with restored(module), torch.no_grad():
        reset_state(module)
        module.eval()
        for path, part in module.named_modules():
            names = [name for name in seen if imported.watched[name].path == path]
            if find_handler(TABLE, part) is not None:
                _reset(part)
            if names:
                part.forward = _tapped(part, [(imported.watched[name], seen[name]) for name in names])
        yield


def _tapped(part: nn.Module, taps: list[tuple[Watched, list[Array]]]) -> Callable[..., Any]:
    original = part.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        for watched, seen in taps:
            item = leaves(result)[watched.position]
            if isinstance(item, Tensor):
                seen.append(item.detach().cpu().double().numpy())
        return result

    return forward


def _reset(part: nn.Module) -> None:
    """Let a framework's layer forget what it did before; only layers that a table knows come here."""
    for name in ("reset_mem", "reset_states", "reset"):
        method = getattr(part, name, None)
        if callable(method):
            method()
            return
    # ours are reset with the whole network


def _in_order(calls: Array, value: Value, batch: int, steps: int) -> Array:
    """What the calls of a layer gave, as (N, T, *shape)."""
    labels = [label for labels in value.axes for label in labels]
    rank = sum(isinstance(label, int) for label in labels)
    if "T" not in labels:
        return np.moveaxis(calls, 0, 1)
    (whole,) = calls
    lengths: dict[Any, int] = {"N": batch, "T": steps}
    sizes = iter(size for size, labels in zip(whole.shape, value.axes, strict=True) if isinstance(labels[0], int))
    single = whole.reshape([next(sizes) if isinstance(label, int) else lengths[label] for label in labels])
    ordered: Array = single.transpose([labels.index(label) for label in ("N", "T", *range(rank))])
    return ordered


def _differing(found: Array, own: Array) -> tuple[int, int]:
    per_neuron = (found != own).any(axis=1)
    return int(per_neuron.sum()), per_neuron.size


def _products(graph: Graph) -> float:
    """Multiplications of a sample's presentation."""
    total = 0
    for name, node in graph.items():
        if isinstance(node, (Conv2d, Linear)):
            total += math.prod(graph.shape(name)) * math.prod(node.weight.shape[1:])
    return float(total * graph.timesteps)
