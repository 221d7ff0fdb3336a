"""A file on disk -> a traced graph. Whatever the file holds, nothing in it is executed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError, NeurocompileError
from neurocompile.frontend.network import from_module, from_wiring
from neurocompile.frontend.netx import is_netx, read_netx
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Shape


@dataclass(frozen=True)
class Source:
    """A traced graph, and the sample inputs (N, *shape) that came with it, if any."""

    graph: Graph
    calibration: Array | None


def read_checkpoint(
    path: Path,
    *,
    model: str | None = None,
    input_shape: Shape | None = None,
    timesteps: int | None = None,
    name: str | None = None,
) -> Source:
    """Read our own checkpoint, a network of lava-dl's (HDF5, which its first bytes tell), or a bare state dict where
    ``model`` ("package.module:factory") makes the network.

    ``timesteps`` overrides what our checkpoint says; a bare state dict needs it and ``input_shape``.
    """
    if is_netx(path):
        if model is not None:
            raise InputError(f"{path} is HDF5, a network of lava-dl; it has its own architecture, drop --model {model}")
        return Source(read_netx(path, timesteps=timesteps, name=name, input_shape=input_shape), None)
    if model is None:
        checkpoint = snn.load(path)
        shape = tuple(checkpoint.input_shape)
        if input_shape is not None and input_shape != shape:
            raise InputError(
                f"{path}: the checkpoint says input shape {shape}, --input-shape says {input_shape}; drop it"
            )
        calibration = None if checkpoint.calibration is None else checkpoint.calibration.numpy()
        steps = checkpoint.timesteps if timesteps is None else timesteps
        wiring, state = checkpoint.wiring, checkpoint.model.state_dict()
        return Source(from_wiring(wiring, state, shape, steps, name or checkpoint.name), calibration)
    if input_shape is None or timesteps is None:
        missing = "--input-shape (such as 1,8,8)" if input_shape is None else "--timesteps (such as 5)"
        raise InputError(f"{path}: a network made by --model {model} needs {missing} too")
    state = snn.load_state(path)
    module = _make(model)
    try:
        snn.load_into(module, state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Source(from_module(module, input_shape, timesteps, name or path.stem), None)


def read_module(module: nn.Module, example_input: object, timesteps: int, name: str) -> Source:
    """A module in memory and a batch of inputs, which gives the shape and the calibration data: (N, *shape), or
    (N, timesteps, *shape) where the network takes no sample of shape (timesteps, *shape)."""
    batch = example_input.detach().cpu().float() if isinstance(example_input, Tensor) else example_input
    batch = np.asarray(batch)
    if batch.ndim < 2:
        raise InputError(
            f"example_input has shape {batch.shape}; give a batch (N, features) or (N, channels, height, width)"
        )
    try:
        graph = from_module(module, batch.shape[1:], timesteps, name)
    except GraphError:
        if batch.ndim < 3 or batch.shape[1] != timesteps:
            raise
        graph = from_module(module, batch.shape[2:], timesteps, name)
    return Source(graph, batch)


def _make(spec: str) -> nn.Module:
    """Call ``package.module:factory``, which the user names and vouches for."""
    module_name, colon, factory_name = spec.partition(":")
    if not colon or not module_name or not factory_name:
        raise InputError(f"--model is {spec!r}; it must be package.module:factory, such as mynets.vgg:make")
    # as `python -m` does: the user's own modules are looked for where the user stands
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is no part of our output
            factory = getattr(importlib.import_module(module_name), factory_name)
            network = factory()
    except NeurocompileError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"--model {spec}: {type(error).__name__}: {error}; check the name and that it imports"
        ) from error
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)
    if not isinstance(network, nn.Module):
        raise InputError(f"--model {spec} gave a {type(network).__name__}; the factory must return a torch.nn.Module")
    return network
