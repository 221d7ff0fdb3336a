"""Files of lava-dl's network exchange, written as SLAYER's ``export_hdf5`` writes them, and generated chains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from neurocompile.frontend.cuba import FRACTION_BITS, INTEGRATOR, Chain, Cuba, conv, linear, scale
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, DirectEncoder

NEURON: dict[str, Any] = {
    "type": "CUBA", "iDecay": 4096, "vDecay": 1024, "vThMant": 25, "refDelay": 1, "gradedSpike": False
}  # fmt: skip


def dense(weight: Any, /, **fields: Any) -> dict[str, Any]:
    weight = np.array(weight, np.float32)
    out, features = weight.shape
    return {"type": "dense", "shape": [out], "inFeatures": features, "outFeatures": out, "weight": weight,
            "neuron": NEURON, **fields}  # fmt: skip


def convolution(weight: Any, shape: tuple[int, ...], /, **fields: Any) -> dict[str, Any]:
    weight = np.array(weight, np.float32)
    return {
        "type": "conv", "shape": shape, "inChannels": weight.shape[1], "outChannels": len(weight),
        "kernelSize": weight.shape[2:4], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1,
        "weight": weight, "neuron": NEURON, **fields,
    }  # fmt: skip


def write(path: Path, *layers: dict[str, Any], timesteps: int | None = 8) -> Path:
    """A file of these layers. A field that is None is left out; ``neuron`` is a dictionary of fields."""
    with h5py.File(path, "w") as file:
        file.create_group("layer")
        for index, layer in enumerate(layers):
            group = file.create_group(f"layer/{index}")
            for key, value in layer.items():
                if value is None:
                    continue
                if key == "type":
                    group.create_dataset("type", (1,), "S10", [value.encode()])
                elif isinstance(value, dict):
                    for name, each in value.items():
                        group.create_dataset(f"{key}/{name}", data=each)
                else:
                    group.create_dataset(key, data=value)
        if timesteps is not None:
            file.create_dataset("simulation/tSample", data=timesteps)
    return path


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """Chains of all layers that lava-dl's netx loads, in integers."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    chain = Chain("chain", draw(st.sampled_from([1, 4, 7])))
    image = draw(st.booleans())
    shape = (2, draw(st.integers(4, 6)), draw(st.integers(4, 6))) if image else (draw(st.integers(1, 6)),)

    def neuron(*, memory: bool) -> Cuba:
        decay = draw(st.sampled_from([0, 1024, 4095, 4096])) if memory else 4096
        return Cuba(np.array(decay), np.array(draw(st.sampled_from([0, 123, 4096]))), draw(st.sampled_from([0, 7, 40])))

    def bias(size: int) -> Array:
        return rng.integers(-20, 21, size) << FRACTION_BITS

    def weights(*sizes: int) -> Array:
        weight = 2 * rng.integers(-20, 21, sizes)
        weight.flat[0], weight.flat[-1] = 38, -38  # of both signs, which the loader needs
        return weight

    if draw(st.integers(0, 2)) == 0:
        chain.start(shape, DirectEncoder(scale=36.0, low=-127, high=127))
        soma = neuron(memory=False)
        chain.layer("in", [("in.weight", scale(np.array(1)))], soma, bias=np.array(34 << FRACTION_BITS))
    else:
        chain.start(shape)
    if image:
        for index in range(draw(st.integers(0, 2))):
            name, channels = f"image{index}", chain.shape[0]
            operator = conv(weights(3, channels, 3, 3), padding=(1, 1), stride=draw(st.sampled_from([(1, 1), (2, 1)])))
            biased = draw(st.booleans())
            chain.layer(name, [(f"{name}.w", operator)], neuron(memory=not biased), bias=bias(3) if biased else None)
        chain.flatten()
    count = draw(st.integers(1, 2))
    for index in range(count):
        name, (features,) = f"dense{index}", chain.shape
        size, biased, recurs = draw(st.integers(2, 5)), draw(st.booleans()), draw(st.booleans())
        late = index < count - 1 and not biased and not recurs and draw(st.booleans())
        chain.layer(
            name,
            [(f"{name}.w", linear(weights(size, features)))],
            neuron(memory=not biased),
            bias=bias(size) if biased else None,
            recurrent=weights(size, size) if recurs else None,
            delays=rng.integers(0, 4, draw(st.sampled_from([1, size]))) if late else None,
        )
    end = draw(st.sampled_from(["", "", "integrate", "average"]))
    if end == "integrate":
        chain.layer("out", [("out.w", linear(weights(2, chain.shape[0])))], INTEGRATOR)
    elif end == "average" and chain.shape[0] % 2 == 0:
        chain.average("out", 2)
    return chain.finish()
