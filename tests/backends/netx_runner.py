"""Runs a netx file with lava-dl's own loader in Lava: ``python -m tests.backends.netx_runner net.net in.npz out.npz``.

``in.npz`` has ``events`` (samples, steps, *shape), or ``bias`` (*shape) for an input layer with neurons, and
``timesteps``, ``offset`` (of the resets), ``message_bits`` and ``layers`` (how many of the file's). ``out.npz`` gets
``spikes`` of the last layer, (steps + depth, neurons), channels first, and its ``membrane`` after the last step.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from tests.lava_dl import import_lava_dl


def reshape(array: np.ndarray[Any, Any], newshape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.reshape(array, newshape)


def mend() -> None:
    """What keeps Lava 0.10.0 from running here: a keyword that NumPy 2.4 no longer has, and threads of torch, which do
    not survive a fork. Either makes it hang without a word."""
    from lava.magma.core.process.ports.ports import ReshapePort
    from lava.proc.conv import utils

    ReshapePort.get_transform_func_fwd = lambda port: functools.partial(reshape, newshape=port.shape)
    ReshapePort.get_transform_func_bwd = lambda port: functools.partial(reshape, newshape=port.old_shape)
    utils.TORCH_IS_AVAILABLE = False


def main(net_file: str, given_file: str, result_file: str) -> None:
    hdf5 = import_lava_dl("netx.hdf5")
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    mend()
    given = np.load(given_file)
    timesteps, offset = int(given["timesteps"]), int(given["offset"])
    net = hdf5.Network(
        net_file,
        num_layers=int(given["layers"]),
        input_message_bits=int(given["message_bits"]),
        reset_interval=timesteps,
        reset_offset=offset,
    )
    if "bias" in given:
        net.in_layer.neuron.bias_mant.init = given["bias"].T
        steps = timesteps
    else:
        events = given["events"].reshape(-1, *given["events"].shape[2:])
        steps = len(events)
        # time last, and images as (width, height, channels); then silence until the last layer has done
        data = events.transpose(*range(events.ndim - 1, -1, -1)) if events.ndim > 2 else events.T
        silence = np.zeros((*data.shape[:-1], len(net)), data.dtype)
        source = io.source.RingBuffer(data=np.concatenate([data, silence], axis=-1))
        source.s_out.connect(net.inp)
    total = steps + len(net) - (1 - offset)
    sink = io.sink.RingBuffer(shape=net.out.shape, buffer=total)
    net.out.connect(sink.a_in)
    try:
        net.run(condition=RunSteps(num_steps=total), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        spikes = sink.data.get()
        membrane = net.layers[-1].neuron.v.get()
    finally:
        net.stop()
    np.savez(result_file, spikes=spikes.T.reshape(total, -1), membrane=np.asarray(membrane).T.ravel())


if __name__ == "__main__":
    main(*sys.argv[1:])
