"""Runs a netx file with lava-dl's own loader in Lava: ``python -m tests.backends.netx_runner net.net in.npz out.npz``.

``in.npz`` has ``events`` (samples, steps, *shape, channels first), or ``bias`` (*shape) where the input layer has
neurons, ``message_bits`` and ``offset``. ``out.npz`` gets the spikes of every layer, (steps + depth, neurons) as Lava orders
them with channels first, and ``membrane``, the last layer's after its last step.
"""

from __future__ import annotations

import sys

import numpy as np

from tests.lava_dl import import_lava_dl


def main(net_file: str, given_file: str, result_file: str) -> None:
    hdf5 = import_lava_dl("netx.hdf5")
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    given = np.load(given_file)
    timesteps, offset = int(given["timesteps"]), int(given["offset"])
    net = hdf5.Network(
        net_file, input_message_bits=int(given["message_bits"]), reset_interval=timesteps, reset_offset=offset
    )
    if "bias" in given:
        net.in_layer.neuron.bias_mant.init = given["bias"].T
        steps = timesteps * int(given["samples"])
    else:
        events = given["events"].reshape(-1, *given["events"].shape[2:])
        steps = len(events)
        # time last, and images as (width, height, channels); then silence until the last layer has done
        data = events.transpose(*range(events.ndim - 1, -1, -1)) if events.ndim > 2 else events.T
        silence = np.zeros((*data.shape[:-1], len(net)), data.dtype)
        source = io.source.RingBuffer(data=np.concatenate([data, silence], axis=-1))
        source.s_out.connect(net.inp)
    total = steps + len(net) - (1 - offset)
    sinks = []
    for layer in net.layers:
        sink = io.sink.RingBuffer(shape=layer.out.shape, buffer=total)
        layer.out.connect(sink.a_in)
        sinks.append(sink)
    try:
        net.run(condition=RunSteps(num_steps=total), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        spikes = [sink.data.get() for sink in sinks]
        membrane = net.layers[-1].neuron.v.get()
    finally:
        net.stop()
    found = {f"layer{index}": each.T.reshape(total, -1) for index, each in enumerate(spikes)}
    np.savez(result_file, **found, membrane=np.asarray(membrane).T.ravel())


if __name__ == "__main__":
    main(*sys.argv[1:])
