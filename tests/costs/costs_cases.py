"""A tiny network and a little made-up chip, small enough to work out every number by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from neurocompile.costs.activity import Activity
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import DirectEncoder, FixedPoint, Input, Linear, Neuron, Readout, Threshold
from neurocompile.ir.verify import verify
from neurocompile.passes.retime import Retime

FIXED = FixedPoint(state_bits=18, accumulator_bits=12)  # fits Loihi, with its six fraction bits
#: the first sample makes hidden neurons 0 and 2 fire at their second step, the second sample is dark
SAMPLES = np.array([[3.0, 0.0], [0.0, 0.0]])


def quantity(value: float, unit: str, basis: str = "simulated") -> dict[str, Any]:
    return {"value": value, "unit": unit, "basis": basis, "source": "made up"}


def cost(energy_pj: float | None, time_ns: float | None, basis: str = "simulated") -> dict[str, Any]:
    return {
        "energy_pj": None if energy_pj is None else quantity(energy_pj, "pJ", basis),
        "time_ns": None if time_ns is None else quantity(time_ns, "ns", basis),
    }


def _bits(value: int) -> dict[str, Any]:
    return quantity(value, "bits", "architectural")


def _level(name: str, holds: str, read: float, write: float) -> dict[str, Any]:
    return {
        "name": name,
        "holds": [holds],
        "per": "core",
        "word_bits": _bits(16),
        "size_words": quantity(64, "words", "architectural"),
        "read": cost(read, None),
        "write": cost(write, None),
        "energy_in_events": False,
    }


CHIP: dict[str, Any] = {
    "format": "neurocompile.profile/1",
    "name": "toy",
    "title": "A toy",
    "notes": ["Every number is made up."],
    "topology": {
        "tile_rows": quantity(1, "tiles"),
        "tile_columns": quantity(2, "tiles"),
        "cores_per_tile": quantity(1, "cores"),
    },
    "limits": {
        "neurons": quantity(8, "neurons"),
        "axons_in": None,
        "axons_out": None,
        "synaptic_memory_words": None,
        "fan_in": None,
        "thresholds": None,
        "no_such_limit": [],
    },
    "synapses": {
        "word_bits": _bits(16),
        "block_synapses": None,
        "block_header_bits": _bits(4),
        "index_bits": None,
        "max_words_per_axon": None,
        "shared_kernels": True,
    },
    "numerics": {
        "weight_bits": _bits(8),
        "weight_exponent_range": {"minimum": 0, "maximum": 7, "basis": "architectural", "source": "made up"},
        "state_bits": _bits(24),
        "fraction_bits": _bits(0),
        "fraction_bits_fixed": False,
        "decay_bits": _bits(12),
        "threshold_bits": _bits(24),
        "threshold_signed": True,
        "threshold_step_bits": _bits(0),
        "bias_bits": _bits(24),
        "bias_exponent_max": _bits(0),
        "accumulator_bits": _bits(24),
        "current_overflow": "wrap",
        "membrane_overflow": "clip",
        "payload_bits": _bits(0),
    },
    "neuron": {
        "resets": ["none", "zero", "set", "subtract"],
        "compares": ["above", "at_or_above"],
        "orders": ["integrate_first", "fire_first"],
        "spikes": ["binary"],
        "leaky_reset": [True, False],
        "single_spike": True,
        "max_delay_steps": None,
    },
    "events": {
        "synaptic_op": cost(1, 2),
        "graded_synaptic_op": None,
        "neuron_update_active": cost(10, 5),
        "neuron_update_inactive": cost(4, 3),
        "neuron_update_stateless": None,
        "spike_out": cost(7, 6),
        "axon_in": cost(0.5, 1),
    },
    "memory": [_level("weights", "synapses", 0.25, 0.25), _level("states", "state", 0.5, 0.75)],
    "noc": {
        "routing": "xy",
        "hop_east_west": cost(2, 1),
        "hop_north_south": cost(3, 1),
        "within_tile": cost(1, 1),
    },
    "barrier": {
        "points": [
            {"tiles": 1, "time_ns": quantity(10, "ns", "measured")},
            {"tiles": 2, "time_ns": quantity(20, "ns", "measured")},
        ]
    },
    "static_power_mw": quantity(1, "mW", "measured"),
    "clock": None,
    "ops": {"mac_energy_pj": None, "add_energy_pj": None},
}


def chip(**changes: Any) -> Profile:
    """The toy with some values replaced, by dotted key with ``__`` for the dot: ``events__axon_in=None``."""
    data = copy.deepcopy(CHIP)
    for key, value in changes.items():
        *path, last = key.split("__")
        place: Any = data
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = value
    return Profile.from_mapping(data)


def tiny(timesteps: int = 2) -> Graph:
    """2 inputs -> 3 neurons -> 2 readouts, at the integer stage; without state if ``timesteps`` is 1.

    The input 3 needs two bits. The threshold 5 is passed by 3 + 3, not by 3 alone.
    """
    encoder = DirectEncoder(scale=1.0, low=0, high=3)
    one = np.array(FIXED.one)
    hidden = (
        Threshold(threshold=np.array(2), bias=np.array(0), compare="at_or_above", fixed=FIXED)
        if timesteps == 1
        else Neuron(
            threshold=np.array(5),
            leak=one,
            current_leak=np.array(0),
            bias=np.array(0),
            reset_value=np.array(0),
            reset="set",
            compare="at_or_above",
            fixed=FIXED,
        )
    )
    readout = Readout(leak=one, current_leak=np.array(0), bias=np.array(0), fixed=FIXED)
    graph = Graph(
        "tiny",
        "integer",
        timesteps,
        [
            ("input", Input(shape=(2,)), ()),
            ("encoder", encoder, ("input",)),
            ("fc1", Linear(weight=np.array([[1, 0], [0, 1], [1, 1]]), weight_bits=4), ("encoder",)),
            ("hidden", hidden, ("fc1",)),
            ("fc2", Linear(weight=np.array([[1, 1, 0], [0, 1, 1]]), weight_bits=4), ("hidden",)),
            ("readout", readout, ("fc2",)),
        ],
        ("readout",),
    )
    verify(graph)
    return graph


def mapped(graph: Graph) -> Graph:
    result = Retime().run(graph)
    verify(result)
    return result


def activity(graph: Graph, samples: np.ndarray[Any, Any] = SAMPLES) -> Activity:
    return Activity.of(graph, interpret(graph, samples), "two samples")
