"""Spiking networks in PyTorch: layers to train with, conversion from ANNs, and checkpoints that compile.

A network is an ``nn.Module`` whose ``forward`` is one time step; its layers keep the state. :func:`run` presents a
batch for a number of steps, :func:`save` writes what ``neurocompile build`` reads.
"""

from neurocompile.snn import models
from neurocompile.snn.build import WiredModule, build_module
from neurocompile.snn.checkpoint import Checkpoint, load, load_into, load_state, save
from neurocompile.snn.conversion import balance_thresholds, fuse_batchnorm, replace_relu, set_thresholds
from neurocompile.snn.dropout import TimeConstantDropout
from neurocompile.snn.efficiency import (
    FLOAT32_45NM,
    INT32_45NM,
    LayerOperations,
    OperationEnergy,
    SpikeCounts,
    ann_energy_pj,
    count_operations,
    count_spikes,
    energy_ratio,
    snn_energy_pj,
)
from neurocompile.snn.encoders import DctEncoder, DirectEncoder, HybridEncoder, PoissonEncoder
from neurocompile.snn.neuron import IF, LIF, Readout, clamp_parameters
from neurocompile.snn.pruning import Pruning, prune_by_magnitude
from neurocompile.snn.recurrent import OneToOne, Recurrent
from neurocompile.snn.running import record_spikes, run, truncated_bptt
from neurocompile.snn.state import Stateful, detach_state, reset_state
from neurocompile.snn.surrogate import (
    ArctanSurrogate,
    ExponentialSurrogate,
    LinearSurrogate,
    MembraneLinearSurrogate,
    StdbSurrogate,
    Surrogate,
)
from neurocompile.snn.timed import TimedReadout, two_softmax_loss
from neurocompile.snn.tracing import trace
from neurocompile.snn.wiring import ModuleSpec, Step, Wiring, wiring_from_plain, wiring_to_plain

__all__ = [
    "FLOAT32_45NM",
    "IF",
    "INT32_45NM",
    "LIF",
    "ArctanSurrogate",
    "Checkpoint",
    "DctEncoder",
    "DirectEncoder",
    "ExponentialSurrogate",
    "HybridEncoder",
    "LayerOperations",
    "LinearSurrogate",
    "MembraneLinearSurrogate",
    "ModuleSpec",
    "OneToOne",
    "OperationEnergy",
    "PoissonEncoder",
    "Pruning",
    "Readout",
    "Recurrent",
    "SpikeCounts",
    "Stateful",
    "StdbSurrogate",
    "Step",
    "Surrogate",
    "TimeConstantDropout",
    "TimedReadout",
    "WiredModule",
    "Wiring",
    "ann_energy_pj",
    "balance_thresholds",
    "build_module",
    "clamp_parameters",
    "count_operations",
    "count_spikes",
    "detach_state",
    "energy_ratio",
    "fuse_batchnorm",
    "load",
    "load_into",
    "load_state",
    "models",
    "prune_by_magnitude",
    "record_spikes",
    "replace_relu",
    "reset_state",
    "run",
    "save",
    "set_thresholds",
    "snn_energy_pj",
    "trace",
    "truncated_bptt",
    "two_softmax_loss",
    "wiring_from_plain",
    "wiring_to_plain",
]
