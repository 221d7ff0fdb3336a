"""Lava's own Conv process on some frames, to compare ours with. Run as a script: Lava wants a process of its own.

    python stock_conv.py IN.npz OUT.npz

IN: ``frames`` (steps, channels, height, width) integers, ``weight`` (out, in / groups, height, width), ``stride``,
``padding``, ``dilation``, ``groups``, ``keep``. OUT: ``seconds``, the time of all steps without start-up; if ``keep``
also ``sums`` (steps, out, height, width), what Conv sends for each frame. It does so one step later. Reading them costs
Lava some 30 us a number.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback

import numpy as np

from neurocompile.backends.lava import compat


def main() -> None:
    compat.enable()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.conv.process import Conv
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    given = np.load(sys.argv[1])
    frames, weight = given["frames"], given["weight"]
    # Lava's axes are (width, height, channels), and its convolution flips the kernel as torch's does not
    source = Source(data=np.ascontiguousarray(frames.transpose(3, 2, 1, 0)))
    layer = Conv(
        weight=np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)),
        input_shape=frames.shape[:0:-1],
        stride=tuple(int(size) for size in given["stride"][::-1]),
        padding=tuple(int(size) for size in given["padding"][::-1]),
        dilation=tuple(int(size) for size in given["dilation"][::-1]),
        groups=int(given["groups"]),
        num_message_bits=8,
    )
    source.s_out.connect(layer.s_in)
    sink = Sink(shape=layer.a_out.shape, buffer=len(frames) + 1) if given["keep"] else None
    if sink:
        layer.a_out.connect(sink.a_in)
    config = Loihi2SimCfg(select_tag="fixed_pt")
    try:
        layer.run(condition=RunSteps(1), run_cfg=config)
        start = time.perf_counter()
        layer.run(condition=RunSteps(len(frames)), run_cfg=config)
        found = {"seconds": np.array(time.perf_counter() - start)}
        if sink:
            # a sink's step t lies at t - 1; a frame of step t leaves the convolution at t + 1
            found["sums"] = sink.data.get()[..., 1:].transpose(3, 2, 1, 0).astype(np.int64)
    except Exception:
        # after a failure Lava's stop() waits for ever; its children end with this process
        traceback.print_exc()
        os._exit(1)
    layer.stop()
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
