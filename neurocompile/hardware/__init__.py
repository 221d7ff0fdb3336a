"""Facts of chips (profiles) and choices about them (targets), read strictly from YAML."""

from neurocompile.hardware.profile import (
    Barrier,
    Cost,
    Events,
    Level,
    Limits,
    NeuronModel,
    Noc,
    Numerics,
    Profile,
    SynapseFormat,
    Topology,
    json_schema,
    load_profile,
    profile_to_dict,
)
from neurocompile.hardware.quantity import BASES, Basis, Quantity, weakest_basis
from neurocompile.hardware.target import Options, Target, load_target

__all__ = [
    "BASES",
    "Barrier",
    "Basis",
    "Cost",
    "Events",
    "Level",
    "Limits",
    "NeuronModel",
    "Noc",
    "Numerics",
    "Options",
    "Profile",
    "Quantity",
    "SynapseFormat",
    "Target",
    "Topology",
    "json_schema",
    "load_profile",
    "load_target",
    "profile_to_dict",
    "weakest_basis",
]
