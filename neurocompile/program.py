"""A compiled program, in memory and on disk.

A program folder holds ``program.json`` (what it is: target and profile as used, graphs, phases, mapping, hashes) and
``tensors.safetensors`` (every array). The same input gives the same bytes. It is written to a temporary folder beside
its place and renamed, so a killed build leaves nothing half-made.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from neurocompile.costs.activity import Activity
from neurocompile.errors import GraphError, InputError, NeurocompileError
from neurocompile.hardware.document import Document
from neurocompile.hardware.profile import Profile, profile_to_dict
from neurocompile.hardware.target import Target
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Neuron, Readout, Soma
from neurocompile.ir.populations import populations
from neurocompile.ir.saved import from_plain, to_plain
from neurocompile.ir.verify import verify
from neurocompile.mapping.mapping import Mapping
from neurocompile.passes.retime import Retime

FORMAT = "neurocompile.program"
VERSION = 1
_LARGEST_JSON_BYTES = 1 << 28


@dataclass(frozen=True)
class Program:
    """A network compiled for a target.

    ``trained``: the traced float graph. ``integer``: what the chip computes, one time step for all layers.
    ``calibration``: sample inputs (N, *shape), if the checkpoint or the user gave any.
    """

    name: str
    target: Target
    profile: Profile
    trained: Graph
    integer: Graph
    mapping: Mapping
    calibration: Array | None = None

    @cached_property
    def mapped(self) -> Graph:
        """The integer graph in chip time, with its delays and phases."""
        delay = self.profile.neuron.max_delay_steps
        graph = Retime(None if delay is None else delay.count).run(self.integer)
        verify(graph)
        return graph

    @property
    def phase_steps(self) -> int:
        """Time steps from the input to the last soma: the depth of the pipeline."""
        return max(node.phase for _, node in self.mapped.items() if isinstance(node, Soma))

    @property
    def stateless(self) -> bool:
        """Whether no soma keeps anything from one time step to the next."""
        somas = [node for _, node in self.integer.items() if isinstance(node, Soma)]
        return self.integer.timesteps == 1 and not any(isinstance(node, Neuron) for node in somas)

    def summary(self) -> dict[str, Any]:
        """Facts for people and for ``--json``."""
        all_populations = populations(self.integer)
        return {
            "name": self.name,
            "target": self.target.name,
            "profile": self.profile.name,
            "graph_hash": self.integer.hash,
            "timesteps": self.integer.timesteps,
            "stateless": self.stateless,
            "populations": len(all_populations),
            "neurons": sum(population.neurons for population in all_populations),
            "synapses": sum(
                synapses(projection.apply, projection.source_shape, projection.weighted)
                for population in all_populations
                for projection in population.projections
            ),
            "cores": self.mapping.cores,
            "phase_steps": self.phase_steps,
        }
