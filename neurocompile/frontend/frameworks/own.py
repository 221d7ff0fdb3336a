"""The layers of ``neurocompile.snn``."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from neurocompile.frontend.cells import Call, Cell, Handler, values
from neurocompile.ir.nodes import DctEncoder, DirectEncoder, HybridEncoder, Neuron, PoissonEncoder, Readout
from neurocompile.snn.layers import FUNCTIONS


def _neuron(module: Any) -> Neuron:
    lowest = module.membrane_min
    return Neuron(
        threshold=values(module.threshold),
        leak=values(module.leak),
        current_leak=values(module.current_leak),
        reset_value=np.asarray(module.reset_value, np.float64),
        membrane_min=None if lowest is None else np.asarray(lowest, np.float64),
        order=module.order,
        compare=module.compare,
        reset=module.reset,
        leaky_reset=module.leaky_reset,
        spikes=module.spikes,
        max_payload=module.max_payload,
        single_spike=module.single_spike,
    )


def _lif(call: Call) -> Tensor:
    return call.step(Cell(_neuron(call.module)), call.args[0]).spikes


def _readout(call: Call) -> Tensor:
    module: Any = call.module
    soma = Readout(leak=values(module.leak), current_leak=values(module.current_leak))
    return call.step(Cell(soma), call.args[0]).spikes


def _recurrent(call: Call) -> Tensor:
    module: Any = call.module
    cell = Cell(_neuron(module.neuron), connection=module.connection)
    return call.step(cell, call.args[0], name=f"{call.path}.neuron").spikes


def _direct(call: Call) -> Tensor:
    module: Any = call.module
    return call.encode(DirectEncoder(limit=float(module.limit)), call.args[0])


def _hybrid(call: Call) -> Tensor:
    module: Any = call.module
    encoder = HybridEncoder(timesteps=module.timesteps, minimum=module.low, maximum=module.high)
    return call.encode(encoder, call.args[0])


def _dct(call: Call) -> Tensor:
    module: Any = call.module
    return call.encode(DctEncoder(block=module.block, limit=module.limit), call.args[0])


def _poisson(call: Call) -> Tensor:
    module: Any = call.module
    return call.encode(PoissonEncoder(gain=float(module.gain), seed=int(module.seed)), call.args[0])


def _wired(call: Call) -> Tensor:
    """A network read from a checkpoint: its nodes bear the names of its steps."""
    module: Any = call.module
    values: dict[str, Tensor] = {}
    for step in module.wiring.steps:
        inputs = [values[name] for name in step.inputs]
        if step.op == "input":
            values[step.name] = call.args[0]
        elif step.op == "module":
            values[step.name] = module.get_submodule(step.target)(*inputs)
        else:
            with call.named(step.name):
                values[step.name] = FUNCTIONS[step.target].call(inputs, step.args, False)
    return values[module.wiring.output]


TABLE: dict[str, Handler] = {
    "neurocompile.snn.neuron.LIF": _lif,
    "neurocompile.snn.neuron.Readout": _readout,
    "neurocompile.snn.recurrent.Recurrent": _recurrent,
    "neurocompile.snn.encoders.DirectEncoder": _direct,
    "neurocompile.snn.encoders.HybridEncoder": _hybrid,
    "neurocompile.snn.encoders.DctEncoder": _dct,
    "neurocompile.snn.encoders.PoissonEncoder": _poisson,
    "neurocompile.snn.build.WiredModule": _wired,
}
