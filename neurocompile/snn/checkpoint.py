"""Networks on disk: tensors and plain data, written whole or not at all, and read without trusting them.

A checkpoint is what ``torch.save`` makes of one dict::

    {"format": "neurocompile.checkpoint", "version": 1, "name": str, "wiring": plain data, "state_dict": tensors,
     "timesteps": int, "input_shape": [int, ...], "calibration": tensor (n, *input_shape) or None,
     "metadata": plain data}

Every file is opened with ``torch.load(weights_only=True)``, which makes no object that could run code.
"""

from __future__ import annotations

import copy
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurocompile.errors import GraphError, InputError
from neurocompile.snn.build import WiredModule, build_module
from neurocompile.snn.fields import COUNT, Field, check
from neurocompile.snn.neuron import LIF, Readout
from neurocompile.snn.running import check_hybrid, run
from neurocompile.snn.state import reset_state
from neurocompile.snn.tracing import trace
from neurocompile.snn.wiring import Wiring, wiring_from_plain, wiring_to_plain

FORMAT = "neurocompile.checkpoint"
VERSION = 1

_DEPTH = 16  # of metadata

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True)
class Checkpoint:
    """A network that was saved, ready to run.

    Attributes:
        name: what the network is called.
        model: the network, rebuilt, in eval mode on the CPU, with the state-dict keys of the original.
        timesteps: steps per presentation.
        input_shape: shape of one sample, without batch or time axis.
        calibration: sample inputs (n, *input_shape), or None.
        metadata: what the author wrote beside it.
    """

    name: str
    model: WiredModule
    timesteps: int
    input_shape: tuple[int, ...]
    calibration: Tensor | None
    metadata: dict[str, Plain]

    @property
    def wiring(self) -> Wiring:
        """The network's layers and connections as plain data."""
        return self.model.wiring


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    timesteps: int,
    input_shape: Sequence[int],
    name: str | None = None,
    sample_input: Tensor | None = None,
    metadata: Mapping[str, Plain] | None = None,
) -> None:
    """Write ``model`` with its architecture, so that :func:`load` and the compiler need none of its code.

    The network is traced, rebuilt and run on one sample beforehand: what is written is known to give the very outputs
    of ``model`` in eval mode. The same network gives the same bytes.

    Args:
        timesteps: steps per presentation, 1 or more.
        input_shape: shape of one sample without batch or time axis: (C, H, W) or (F,).
        name: the network's name; the file's name without its ending if left out.
        sample_input: a few typical inputs (n, *input_shape), kept for calibrating the quantizer.
        metadata: anything made of dicts with text keys, lists, text, numbers, booleans and None.

    Raises:
        GraphError: the network contains what cannot be described (see :func:`trace`), or does not run on input_shape.
        InputError: a parameter is NaN, infinite or out of its range, or an argument is not what it must be.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file in it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: folder {path.parent} does not exist; create it first")
    plain = wiring_to_plain(trace(model))
    state = {
        f"{module}.{key}": value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for module in plain["modules"]
        for key, value in model.get_submodule(module).state_dict().items()
    }
    document = {
        "format": FORMAT,
        "version": VERSION,
        "name": path.stem if name is None else name,
        "wiring": plain,
        "state_dict": state,
        "timesteps": timesteps,
        "input_shape": list(input_shape),
        "calibration": None if sample_input is None else sample_input.detach().cpu().contiguous().clone(),
        "metadata": {} if metadata is None else dict(metadata),
    }
    checkpoint = _read(f"{type(model).__name__}", document)
    check_hybrid(model, checkpoint.timesteps)
    _compare(model, checkpoint)

    # A neighbour opened by us, not tempfile's: those are readable by their owner only, and stay so when renamed.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(document, file)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint written by :func:`save`.

    Raises:
        InputError: the file is missing, is no PyTorch file, holds pickled objects, or anything in it is missing,
            unknown, of the wrong type or shape, NaN or infinite.
    """
    return from_document(path, load_document(path))


def from_document(path: str | os.PathLike[str], document: object) -> Checkpoint:
    """As :func:`load`, of what :func:`load_document` found in the file at ``path``."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        tensors = _find_state(document)
        what = f"a bare state dict ({len(tensors)} tensors)" if tensors else "something else"
        raise InputError(
            f"{path}: holds {what}, not a neurocompile checkpoint; save the network with "
            "neurocompile.snn.save(model, path, ...), or give its code: --model package.module:factory"
        )
    return _read(str(path), document)


def load_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a bare state dict, or of the entry "state_dict" of a dict that has one; other entries are ignored.

    Raises:
        InputError: as :func:`load`, or there is no state dict in the file.
    """
    state = _find_state(load_document(path))
    if not state:
        raise InputError(
            f"{path}: holds no state dict; save model.state_dict() with torch.save, "
            "or the whole network with neurocompile.snn.save(model, path, ...)"
        )
    check_tensors(str(path), state)
    return state


def load_into(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy ``state`` into ``model``; every name and shape must be the same on both sides.

    Raises:
        InputError: naming the tensors that are missing, unexpected, or of another shape or kind.
    """
    expected = model.state_dict()
    _match(type(model).__name__, expected, state)
    model.load_state_dict(dict(state))


def load_document(path: str | os.PathLike[str]) -> object:
    """Whatever ``torch.save`` wrote into a file, as long as it is tensors and plain data.

    Raises:
        InputError: the file is missing, is no PyTorch file, or holds pickled objects.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the checkpoint file itself")
    if not path.is_file():
        raise InputError(f"{path}: does not exist; check the path")
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read ({problem.strerror}); check its permissions") from problem
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old file formats: nothing that the user could act on here
            document: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises half a dozen types for files that are damaged or are something else
        pickled = re.search(r"GLOBAL (\S+)", str(problem))
        if pickled:
            raise InputError(
                f"{path}: holds a pickled Python object ({pickled[1]}), which could run any code when opened; "
                "save the network with neurocompile.snn.save(model, path, ...), or save model.state_dict() and "
                "give its code: --model package.module:factory"
            ) from problem
        if "TorchScript" in str(problem):
            raise InputError(
                f"{path}: is a TorchScript archive; save the network with neurocompile.snn.save(model, path, ...)"
            ) from problem
        raise InputError(f"{path}: is not a PyTorch file, or is cut short; copy or save it again") from problem
    return document


def _find_state(document: object) -> dict[str, Tensor] | None:
    if isinstance(document, dict) and isinstance(document.get("state_dict"), dict):
        document = document["state_dict"]
    if not isinstance(document, dict) or not document:
        return None
    if all(isinstance(key, str) and isinstance(value, Tensor) for key, value in document.items()):
        return dict(document)
    return None


_ANY = Field("", lambda _: True)
_NAME = Field("text that is not empty", lambda value: type(value) is str and value != "")
_TENSORS = Field(
    "a dict of tensors",
    lambda value: isinstance(value, dict) and all(type(k) is str and isinstance(t, Tensor) for k, t in value.items()),
)
_DOCUMENT = {
    "format": _ANY,
    "version": Field(f"the number {VERSION}", lambda value: type(value) is int and value == VERSION),
    "name": _NAME,
    "wiring": _ANY,
    "state_dict": _TENSORS,
    "timesteps": COUNT,
    "input_shape": Field(
        "a list of one to four sizes from 1",
        lambda value: type(value) is list and 1 <= len(value) <= 4 and all(map(COUNT.accepts, value)),
    ),
    "calibration": Field("a tensor or nothing", lambda value: value is None or isinstance(value, Tensor)),
    "metadata": Field("a dict with text keys", lambda value: type(value) is dict),
}


def _read(where: str, document: Mapping[str, Any]) -> Checkpoint:
    """Check everything in a document and build its network."""
    version = document.get("version")
    if type(version) is int and version > VERSION:
        raise InputError(f"{where}: checkpoint version {version} is newer than {VERSION}; upgrade neurocompile")
    check(where, document, _DOCUMENT)
    _check_plain(f"{where}: metadata", document["metadata"])
    input_shape = tuple(document["input_shape"])
    calibration = document["calibration"]
    if calibration is not None:
        check_tensors(where, {"calibration": calibration})
        if not calibration.is_floating_point() or tuple(calibration.shape[1:]) != input_shape or not len(calibration):
            raise InputError(
                f"{where}: calibration input is {calibration.dtype} of shape {tuple(calibration.shape)}; "
                f"give floating-point samples (n, {', '.join(map(str, input_shape))})"
            )
    # Nothing is allocated for the sizes that the file claims until its tensors prove to have them.
    with torch.device("meta"):
        model = build_module(wiring_from_plain(document["wiring"]))
    state = document["state_dict"]
    check_tensors(where, state)
    _match(where, model.state_dict(), state)
    model.load_state_dict(state, assign=True)
    for name, module in model.named_modules():
        if isinstance(module, LIF | Readout):
            module.check(name)
    model.eval()
    return Checkpoint(
        document["name"], model, document["timesteps"], input_shape, calibration, dict(document["metadata"])
    )


def check_tensors(where: str, state: Mapping[str, Tensor]) -> None:
    """Every tensor is an ordinary one, holds as much as it claims, and is finite."""
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.is_meta:
            kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device}"
            raise InputError(f"{where}: tensor {name} is {kind}; save it dense, real and from the CPU")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(
                f"{where}: tensor {name} claims {tensor.numel()} values and holds "
                f"{tensor.untyped_storage().nbytes() // tensor.element_size()}; save tensor.contiguous()"
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            count = int((~tensor.isfinite()).sum())
            raise InputError(
                f"{where}: tensor {name} has {count} of {tensor.numel()} values NaN or infinite; "
                "save the network as it was before training diverged"
            )


def _match(where: str, expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    for complaint, names in (
        ("lacks", expected.keys() - state.keys()),
        ("has unexpected", state.keys() - expected.keys()),
    ):
        if names:
            raise InputError(
                f"{where}: the state dict {complaint} {len(names)} tensors ({_some(names)}); "
                "it must come from the very architecture"
            )
    for name, tensor in expected.items():
        given = state[name]
        if given.shape != tensor.shape:
            raise InputError(
                f"{where}: tensor {name} has shape {tuple(given.shape)}, the network needs {tuple(tensor.shape)}; "
                "it must come from the very architecture"
            )
        if given.is_floating_point() != tensor.is_floating_point():
            raise InputError(f"{where}: tensor {name} is {given.dtype}, the network needs {tensor.dtype}; save it so")


def _some(names: set[str]) -> str:
    shown = sorted(names)[:4]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


def _check_plain(where: str, value: object, depth: int = 0) -> None:
    if depth > _DEPTH:
        raise InputError(f"{where[:80]}...: is nested more than {_DEPTH} deep; flatten it")
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise InputError(f"{where}: key {key!r} is not text; keys must be")
            _check_plain(f"{where}.{key}", item, depth + 1)
    elif type(value) is list:
        for number, item in enumerate(value):
            _check_plain(f"{where}[{number}]", item, depth + 1)
    elif type(value) is float and not isfinite(value):
        raise InputError(f"{where}: {value} is not a finite number; leave it out")
    elif value is not None and type(value) not in (str, int, float, bool):
        raise InputError(
            f"{where}: a {type(value).__name__} is not plain data; use dicts, lists, text, numbers, booleans and None"
        )


def _compare(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Run one sample through the model and through what was made of it: the outputs must be the same bits."""
    original = copy.deepcopy(model).cpu().eval()
    parameter = next((value for value in checkpoint.model.state_dict().values() if value.is_floating_point()), None)
    dtype = torch.float32 if parameter is None else parameter.dtype
    if checkpoint.calibration is None:
        sample = torch.linspace(0, 1, torch.Size(checkpoint.input_shape).numel()).reshape(1, *checkpoint.input_shape)
    else:
        sample = checkpoint.calibration[:1]
    sample = sample.to(dtype)
    try:
        with torch.no_grad():
            wanted = run(original, sample, checkpoint.timesteps)
            made = run(checkpoint.model, sample, checkpoint.timesteps)
    except (RuntimeError, ValueError, InputError) as problem:
        raise GraphError(
            f"{checkpoint.name}: does not run on an input of shape {checkpoint.input_shape}: "
            f"{str(problem).splitlines()[0]}; give the shape of one sample, without the batch axis"
        ) from problem
    reset_state(checkpoint.model)
    if not torch.equal(wanted, made):
        raise GraphError(
            f"{checkpoint.name}: the traced network answers otherwise than the original; avoid operations in place "
            "on tensors that are used again"
        )
