"""A network's one-step forward as plain data: which layers there are and how they are connected.

It is what a checkpoint stores in place of code, and what the compiler's frontend reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from neurocompile.errors import InputError
from neurocompile.snn.fields import Field, check, choice
from neurocompile.snn.layers import FUNCTIONS, LAYERS, Config

Op = Literal["input", "module", "function"]


@dataclass(frozen=True)
class ModuleSpec:
    """A layer: its type (a key of ``LAYERS``) and settings, plain data (pairs are lists)."""

    type: str
    config: Config


@dataclass(frozen=True)
class Step:
    """One operation of the forward pass.

    Attributes:
        name: unique; the module's dotted path (``path@2`` for its second call), or scope and function (``block.add``).
        op: "input" (the first step, exactly one), "module" or "function".
        target: the module's dotted path, or the function's name: add, flatten, avg_pool2d, adaptive_avg_pool2d,
            dropout; empty for the input.
        inputs: names of earlier steps; one, or two for add, none for the input.
        args: a function's settings, plain data; empty for the rest.
    """

    name: str
    op: Op
    target: str
    inputs: tuple[str, ...]
    args: Config


@dataclass(frozen=True)
class Wiring:
    """Layers by dotted path, steps in an order in which they can run, and the step that is the answer."""

    modules: Mapping[str, ModuleSpec]
    steps: tuple[Step, ...]
    output: str


def wiring_to_plain(wiring: Wiring) -> dict[str, Any]:
    """The wiring as nested dicts, lists, strings, numbers and booleans."""
    return {
        "modules": {path: {"type": spec.type, "config": dict(spec.config)} for path, spec in wiring.modules.items()},
        "steps": [
            {
                "name": step.name,
                "op": step.op,
                "target": step.target,
                "inputs": list(step.inputs),
                "args": dict(step.args),
            }
            for step in wiring.steps
        ],
        "output": wiring.output,
    }


_TEXT = Field("text that is not empty", lambda value: type(value) is str and value != "")
_TABLE = Field("a table", lambda value: type(value) is dict)
_LIST = Field("a list that is not empty", lambda value: type(value) is list and value != [])
_NAMES = Field("a list of names", lambda value: type(value) is list and all(type(name) is str for name in value))
_OP = choice("input", "module", "function")
_WIRING = {"modules": _TABLE, "steps": _LIST, "output": _TEXT}
_MODULE = {"type": _TEXT, "config": _TABLE}
_STEP = {
    "name": _TEXT,
    "op": _OP,
    "target": Field("text", lambda value: type(value) is str),
    "inputs": _NAMES,
    "args": _TABLE,
}


def wiring_from_plain(plain: object) -> Wiring:
    """The inverse of :func:`wiring_to_plain`, for data that nobody vouches for.

    Raises:
        InputError: anything is missing, unknown, of the wrong type, out of range or connected to nothing.
    """
    data = check("wiring", plain, _WIRING)
    modules = {path: _module(path, spec) for path, spec in data["modules"].items()}
    steps: dict[str, Step] = {}
    for number, item in enumerate(data["steps"]):
        step = _step(number, item, modules, steps)
        steps[step.name] = step
    called = [step.target for step in steps.values() if step.op == "module"]
    for path, spec in modules.items():
        if path not in called:
            raise InputError(f"wiring: layer {path} is never called; remove it or save the network anew")
        if LAYERS[spec.type].once and called.count(path) > 1:
            raise InputError(f"wiring: layer {path} ({spec.type}) keeps state and is called twice; give it a twin")
    if data["output"] not in steps:
        raise InputError(f"wiring: the output {data['output']!r} is no step; name one of the steps")
    return Wiring(modules, tuple(steps.values()), data["output"])


def _module(path: object, item: object) -> ModuleSpec:
    if type(path) is not str or not all(path.split(".")):
        raise InputError(f"wiring: {path!r} is not the dotted path of a layer; the file is damaged, save it anew")
    if any(hasattr(nn.Module, part) for part in path.split(".")):
        raise InputError(f"wiring: layer {path} bears the name of a method of nn.Module; rename it")
    spec = check(f"wiring: layer {path}", item, _MODULE)
    if spec["type"] not in LAYERS:
        raise InputError(f"wiring: layer {path} is of unknown type {spec['type']!r}; known are {', '.join(LAYERS)}")
    config = check(f"wiring: layer {path} ({spec['type']})", spec["config"], LAYERS[spec["type"]].fields)
    return ModuleSpec(spec["type"], config)


def _step(number: int, item: object, modules: Mapping[str, ModuleSpec], earlier: Mapping[str, Step]) -> Step:
    where = f"wiring: step {number}"
    data = check(where, item, _STEP)
    step = Step(data["name"], data["op"], data["target"], tuple(data["inputs"]), data["args"])
    where = f"{where} ({step.name})"
    if step.name in earlier:
        raise InputError(f"{where}: an earlier step has the same name; names must differ")
    if (step.op == "input") != (number == 0):
        raise InputError(f"{where}: the first step, and no other, is the input")
    for name in step.inputs:
        if name not in earlier:
            raise InputError(f"{where}: takes {name!r}, which no earlier step makes; order the steps as they run")
    if step.op == "module" and step.target not in modules:
        raise InputError(f"{where}: calls {step.target!r}, which is no layer; name one of the layers")
    if step.op == "function" and step.target not in FUNCTIONS:
        raise InputError(f"{where}: calls unknown function {step.target!r}; known are {', '.join(FUNCTIONS)}")
    wanted = {"input": 0, "module": 1, "function": 1}[step.op]
    if step.op == "function":
        wanted = FUNCTIONS[step.target].inputs
    if len(step.inputs) != wanted:
        raise InputError(f"{where}: has {len(step.inputs)} inputs, {step.target or 'the input'} takes {wanted}")
    check(where, step.args, FUNCTIONS[step.target].fields if step.op == "function" else {})
    return step
