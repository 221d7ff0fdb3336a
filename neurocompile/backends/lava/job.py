"""The folder through which the caller and the Lava side exchange a run: graph in, spikes and results out.

Arrays are plain .npy files. The Lava side maps those that it writes, so nothing is lost or copied when it ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import SPIKING, Array, Neuron, Readout, Soma, Threshold
from neurocompile.ir.saved import from_plain, to_plain


@dataclass(frozen=True)
class Job:
    """One run of ``samples`` samples of a mapped graph."""

    folder: Path
    graph: Graph
    samples: int
    use_stock: bool

    @classmethod
    def create(cls, folder: Path, graph: Graph, encoded: Mapping[str, Array], *, use_stock: bool = True) -> Job:
        """Write all that a run needs. ``encoded``: per encoder, what it sends, (N, T, *shape)."""
        job = cls(folder, graph, len(next(iter(encoded.values()))), use_stock)
        structure, arrays = to_plain(graph)
        save_file(arrays, folder / "graph.safetensors")
        job._about.write_text(json.dumps({"graph": structure, "samples": job.samples, "use_stock": use_stock}))
        for name, events in encoded.items():
            np.save(job.frames(name), events.reshape(job.samples * graph.timesteps, -1).astype(np.int32))
        for name, node in graph.items():
            size = int(np.prod(graph.shape(name)))
            if isinstance(node, SPIKING):
                _zeros(job.spikes(name), (job.samples * graph.timesteps, size), _spike_type(node))
            elif isinstance(node, Readout):
                _zeros(job.membranes(name), (job.samples, size), np.dtype(np.int64))
        _zeros(job.clock, (1,), np.dtype(np.int64))
        return job

    @classmethod
    def open(cls, folder: Path) -> Job:
        about = json.loads((folder / "job.json").read_text())
        graph = from_plain(about["graph"], load_file(folder / "graph.safetensors"))
        return cls(folder, graph, about["samples"], about["use_stock"])

    @property
    def _about(self) -> Path:
        return self.folder / "job.json"

    @property
    def clock(self) -> Path:
        """int64 (1,): the time step that the sources have reached."""
        return self.folder / "clock.npy"

    @property
    def failure(self) -> Path:
        """What the Lava side says of its failure, JSON; absent after a good run."""
        return self.folder / "failure.json"

    def frames(self, encoder: str) -> Path:
        """int32 (N * T, size): what an encoder sends."""
        return self._array("frames", encoder)

    def spikes(self, soma: str) -> Path:
        """(N * T, size): what a spiking soma sent."""
        return self._array("spikes", soma)

    def membranes(self, readout: str) -> Path:
        """int64 (N, size): a readout's membrane after the last step of each sample."""
        return self._array("membranes", readout)

    def _array(self, what: str, name: str) -> Path:
        # numbered, since a node's name need not be a file's
        return self.folder / f"{what}{list(self.graph).index(name)}.npy"

    @property
    def steps(self) -> int:
        """Time steps of the run: all samples, and the way of the last one through the network."""
        phases = [node.phase for _, node in self.graph.items() if isinstance(node, Soma)]
        return self.samples * self.graph.timesteps + max(phases)

    def trace(self, encoded: Mapping[str, Array]) -> Trace:
        """The result of a finished run."""
        graph, steps = self.graph, self.graph.timesteps
        events = {
            name: np.load(self.spikes(name)).astype(np.int64).reshape(self.samples, steps, *graph.shape(name))
            for name in graph.of_kind(*SPIKING)
        }
        outputs: dict[str, Array] = {}
        for name in graph.outputs:
            if name in events:
                outputs[name] = events[name].sum(axis=1)
            else:
                outputs[name] = np.load(self.membranes(name)).reshape(self.samples, *graph.shape(name))
        return Trace(outputs, {**encoded, **events})


def _zeros(path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
    """A file of zeros, without holding them in memory."""
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _spike_type(node: Neuron | Threshold) -> np.dtype[np.generic]:
    """The narrowest type that holds what a soma sends."""
    return np.min_scalar_type(-node.max_payload - 1) if node.spikes == "graded" else np.dtype(np.int8)
