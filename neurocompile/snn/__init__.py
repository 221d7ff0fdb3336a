"""Spiking networks in PyTorch: layers to train with, conversion from ANNs, and checkpoints that compile.

A network is an ``nn.Module`` whose ``forward`` is one time step; its layers keep the state. :func:`run` presents a
batch for a number of steps, :func:`save` writes what ``neurocompile build`` reads.
"""

from neurocompile.snn import models
from neurocompile.snn.build import WiredModule, build_module
from neurocompile.snn.checkpoint import Checkpoint, load, load_into, load_state, save
from neurocompile.snn.conversion import fuse_batchnorm, replace_relu, set_thresholds
from neurocompile.snn.dropout import TimeConstantDropout
from neurocompile.snn.encoders import DctEncoder, DirectEncoder, HybridEncoder, PoissonEncoder
from neurocompile.snn.neuron import IF, LIF, Readout, clamp_parameters
from neurocompile.snn.recurrent import OneToOne, Recurrent
from neurocompile.snn.running import record_spikes, run
from neurocompile.snn.state import Stateful, reset_state
from neurocompile.snn.surrogate import ArctanSurrogate, LinearSurrogate, Surrogate
from neurocompile.snn.tracing import trace
from neurocompile.snn.wiring import ModuleSpec, Step, Wiring, wiring_from_plain, wiring_to_plain

__all__ = [
    "IF",
    "LIF",
    "ArctanSurrogate",
    "Checkpoint",
    "DctEncoder",
    "DirectEncoder",
    "HybridEncoder",
    "LinearSurrogate",
    "ModuleSpec",
    "OneToOne",
    "PoissonEncoder",
    "Readout",
    "Recurrent",
    "Stateful",
    "Step",
    "Surrogate",
    "TimeConstantDropout",
    "WiredModule",
    "Wiring",
    "build_module",
    "clamp_parameters",
    "fuse_batchnorm",
    "load",
    "load_into",
    "load_state",
    "models",
    "record_spikes",
    "replace_relu",
    "reset_state",
    "run",
    "save",
    "set_thresholds",
    "trace",
    "wiring_from_plain",
    "wiring_to_plain",
]
