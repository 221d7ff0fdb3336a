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
from neurocompile.errors import InputError, NeurocompileError
from neurocompile.frontend import papers
from neurocompile.frontend.agreement import check
from neurocompile.frontend.netx import is_hdf5, read_netx
from neurocompile.frontend.nir import CONVENTIONS, is_nir, read_nir
from neurocompile.frontend.presentation import Imported, from_module
from neurocompile.frontend.slayer import is_slayer, read_slayer
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Shape
from neurocompile.snn.checkpoint import from_document, load_document

#: samples on which a network is compared with what was read of it
_FEW = 4


@dataclass(frozen=True)
class Source:
    """A traced graph, the sample inputs (N, *shape) or (N, T, *shape) that came with it, if any, and what the user
    should know about how the network was read."""

    graph: Graph
    calibration: Array | None
    notes: tuple[str, ...] = ()


def read_checkpoint(
    path: Path,
    *,
    model: str | None = None,
    input_shape: Shape | None = None,
    timesteps: int | None = None,
    name: str | None = None,
    dt: float | None = None,
    conventions: str | None = None,
) -> Source:
    """Read our own checkpoint, one of the papers' code (see ``papers``), an HDF5 file of lava-dl's or NIR's (which its
    contents tell), or a bare state dict where ``model`` ("package.module:factory") makes the network.

    ``timesteps`` overrides what our checkpoint says; a bare state dict needs it and ``input_shape``. ``dt`` (seconds
    per time step) and ``conventions`` (of ``nir.CONVENTIONS``) are for NIR, which has time constants and no steps.
    """
    if is_hdf5(path):
        if model is not None:
            raise InputError(f"{path} is HDF5, which has its own architecture; drop --model {model}")
        if is_nir(path):
            return _read_nir(path, timesteps, dt, name, input_shape, conventions)
        _only_for_nir(str(path), dt, conventions)
        return Source(read_netx(path, timesteps=timesteps, name=name, input_shape=input_shape), None)
    _only_for_nir(str(path), dt, conventions)
    if model is None:
        document = load_document(path)
        if papers.recognise(document):
            called = name or path.stem
            graph = papers.read_papers(str(path), document, input_shape=input_shape, timesteps=timesteps, name=called)
            return Source(graph, None)
        checkpoint = from_document(path, document)
        shape = tuple(checkpoint.input_shape)
        if input_shape is not None and input_shape != shape:
            raise InputError(
                f"{path}: the checkpoint says input shape {shape}, --input-shape says {input_shape}; drop it"
            )
        calibration = None if checkpoint.calibration is None else checkpoint.calibration.numpy()
        steps = checkpoint.timesteps if timesteps is None else timesteps
        imported = from_module(checkpoint.model, shape, steps, name or checkpoint.name)
        return Source(imported.graph, calibration, imported.notes)
    if input_shape is None or timesteps is None:
        missing = "--input-shape (such as 1,8,8)" if input_shape is None else "--timesteps (such as 5)"
        raise InputError(f"{path}: a network made by --model {model} needs {missing} too")
    state = snn.load_state(path)
    module = _make(model)
    try:
        snn.load_into(module, state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if is_slayer(module):
        return Source(read_slayer(module, input_shape, timesteps, name or path.stem), None)
    imported = from_module(module, input_shape, timesteps, name or path.stem)
    few = np.random.default_rng(0).random((_FEW, *input_shape), np.float32)
    return Source(imported.graph, None, _checked(imported, few))


def _read_nir(
    path: Path, timesteps: int | None, dt: float | None, name: str | None, shape: Shape | None, conventions: str | None
) -> Source:
    if conventions is not None and conventions not in CONVENTIONS:
        raise InputError(f"--conventions is {conventions!r}; choose one of {', '.join(CONVENTIONS)}")
    chosen = CONVENTIONS[conventions or "nir"]
    graph, notes = read_nir(path, timesteps=timesteps, dt=dt, name=name, input_shape=shape, conventions=chosen)
    return Source(graph, None, tuple(notes))


def _only_for_nir(what: str, dt: float | None, conventions: str | None) -> None:
    for option, value in (("--dt", dt), ("--conventions", conventions)):
        if value is not None:
            raise InputError(f"{option} is for NIR files, and {what} is none; leave it out")


def read_module(module: nn.Module, example_input: object, timesteps: int, name: str) -> Source:
    """A module in memory and a batch of inputs, which gives the shape and the calibration data.

    The batch is what the module's ``forward`` takes: (N, *shape) for one step or for static inputs, or a sequence with
    time on any axis, such as (T, N, *shape).
    """
    batch = example_input.detach().cpu().float() if isinstance(example_input, Tensor) else example_input
    samples = np.asarray(batch)
    if samples.ndim > 1 and not len(samples):
        raise InputError(f"example_input has shape {samples.shape}: no samples; give at least one")
    if samples.ndim < 2:
        raise InputError(
            f"example_input has shape {samples.shape}; give a batch (N, features) or (N, channels, height, width)"
        )
    if is_slayer(module):
        shape = samples.shape[1:-1] if samples.ndim > 2 and samples.shape[-1] == timesteps else samples.shape[1:]
        return Source(read_slayer(module, shape, timesteps, name, example_input=samples), None)
    imported = from_module(module, samples.shape[1:], timesteps, name, batch=samples.shape)
    calibration = imported.layout.samples(samples, timesteps)
    return Source(imported.graph, calibration, _checked(imported, calibration[:_FEW]))


def _checked(imported: Imported, samples: Array) -> tuple[str, ...]:
    """The notes; GraphError where the network itself spikes otherwise on these samples."""
    if samples.dtype.kind != "f" or not np.isfinite(samples).all():
        return imported.notes  # they are refused later
    note = check(imported, samples)
    return imported.notes if note is None else (*imported.notes, note)


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
