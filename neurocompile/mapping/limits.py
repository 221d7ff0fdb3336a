"""What one core can hold: every limit of a core is named, read from the profile and refused here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Profile
from neurocompile.hardware.quantity import Quantity


@dataclass(frozen=True)
class CoreLimit:
    """A limit of one core: the need's name, what it counts, and what helps where a single neuron is too much."""

    name: str
    noun: str
    remedy: str


CORE_LIMITS = (
    CoreLimit("neurons", "neurons", "choose a chip with larger cores"),
    CoreLimit(
        "axons_in",
        "input axons",
        "give the layer fewer inputs (fewer channels, a smaller kernel, groups, fewer bits of analog input) or choose "
        "a chip with more input axons",
    ),
    CoreLimit(
        "axons_out",
        "output axons",
        "make the layers that it feeds smaller, so that they spread over fewer cores, or choose a chip with more "
        "output axons",
    ),
    CoreLimit(
        "synaptic_memory_words",
        "words of synaptic memory",
        "lower --bits, give the layer fewer inputs, or choose a chip with more synaptic memory",
    ),
    CoreLimit("words_per_axon", "words in one axon's list", "lower --bits or use a smaller kernel"),
    CoreLimit(
        "fan_in",
        "synapses into one neuron",
        "give the layer fewer inputs (fewer channels, a smaller kernel or groups) or choose a chip with more fan-in",
    ),
    CoreLimit("thresholds", "thresholds", "choose a chip with more thresholds per core"),
)


def core_limits(profile: Profile) -> dict[str, int]:
    """The limits of one core by name, without those that the chip does not have. No topology: a core without bounds."""
    if profile.topology is None:
        return {}
    quantities: dict[str, Quantity | None] = {
        each.name: getattr(profile.limits, each.name) for each in CORE_LIMITS if each.name != "words_per_axon"
    }
    quantities["words_per_axon"] = profile.synapses.max_words_per_axon
    return {name: quantity.count for name, quantity in quantities.items() if quantity is not None}


def cut_refusal(population: str, needs: Mapping[str, int], profile: Profile) -> CapacityError:
    """What to say where the ``needs`` of one neuron of ``population`` break a limit: the worst."""
    limits = core_limits(profile)
    worst = max(
        (each for each in CORE_LIMITS if each.name in limits), key=lambda each: needs[each.name] / limits[each.name]
    )
    return CapacityError(
        f"{population}: a core with a single neuron of it needs {needs[worst.name]:,} {worst.noun}, limit "
        f"{limits[worst.name]:,} ({profile.name}); {worst.remedy}"
    )
