"""What one core can hold: every limit of a core is named, read from the profile and refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Profile
from neurocompile.hardware.quantity import Quantity


@dataclass(frozen=True)
class CoreLimit:
    """A limit of one core: the need's name, what it counts, and what helps where a single neuron is too much.

    ``summed``: whether pieces that share a core add up; of the others the largest counts.
    """

    name: str
    noun: str
    remedy: str
    summed: bool = True


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
    CoreLimit("words_per_axon", "words in one axon's list", "lower --bits or use a smaller kernel", summed=False),
    CoreLimit(
        "fan_in",
        "synapses into one neuron",
        "give the layer fewer inputs (fewer channels, a smaller kernel or groups) or choose a chip with more fan-in",
        summed=False,
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


def joint_needs(pieces: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """What pieces with these needs take of the core that they share.

    Sums are upper bounds: a source neuron that reaches two of the pieces, a threshold that two of them have, and a
    neuron that reaches two pieces on another core are counted twice, though one axon or entry does.
    """
    needs = list(pieces)
    return {
        each.name: (sum if each.summed else max)(piece.get(each.name, 0) for piece in needs) for each in CORE_LIMITS
    }


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
