"""What one core can hold: every limit of a core is named, read from the profile and refused here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Kind, Profile


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


@dataclass(frozen=True)
class CoreKind:
    """Cores with the same limits, by name, without those that they do not have. ``cores``: None for all others."""

    cores: tuple[int, ...] | None
    limits: dict[str, int]

    def pressure(self, needs: Mapping[str, int]) -> float:
        """The worst ratio of need to limit; up to 1 fits."""
        return max((needs[name] / limit for name, limit in self.limits.items()), default=0.0)

    @property
    def where(self) -> str:
        if self.cores is None:
            return "other cores"
        return f"core{'s' * (len(self.cores) > 1)} {'/'.join(map(str, sorted(self.cores)))}"


def core_kinds(profile: Profile) -> tuple[CoreKind, ...]:
    """The kinds of cores that the chip has, that of all others last. No topology: a core without bounds."""
    if profile.topology is None:
        return (CoreKind(None, {}),)
    named = profile.limits.kinds
    kinds = [CoreKind(kind.cores, _limits(profile, kind)) for kind in named]
    if sum(len(kind.cores) for kind in named) < profile.topology.cores:
        kinds.append(CoreKind(None, _limits(profile)))
    return tuple(kinds)


def core_limits(profile: Profile, core: int) -> dict[str, int]:
    """The limits of a core by name, without those that it does not have."""
    kinds = core_kinds(profile)
    return next((kind for kind in kinds if kind.cores and core in kind.cores), kinds[-1]).limits


def _limits(profile: Profile, kind: Kind | None = None) -> dict[str, int]:
    limits = {}
    for each in CORE_LIMITS:
        if each.name == "words_per_axon":
            quantity = profile.synapses.max_words_per_axon
        else:
            quantity = (kind and getattr(kind, each.name)) or getattr(profile.limits, each.name)
        if quantity is not None:
            limits[each.name] = quantity.count
    return limits


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
    """What to say where the ``needs`` of one neuron of ``population`` break a limit of every core: the worst."""
    kinds = core_kinds(profile)
    best = min(kinds, key=lambda kind: kind.pressure(needs))
    worst = max(
        (each for each in CORE_LIMITS if each.name in best.limits),
        key=lambda each: needs[each.name] / best.limits[each.name],
    )
    where = "" if len(kinds) == 1 else f" on {best.where}"
    return CapacityError(
        f"{population}: a core with a single neuron of it needs {needs[worst.name]:,} {worst.noun}, limit "
        f"{best.limits[worst.name]:,}{where} ({profile.name}); {worst.remedy}"
    )
