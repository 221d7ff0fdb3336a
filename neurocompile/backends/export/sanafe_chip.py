"""A profile as the ``architecture`` of SANA-FE's YAML: tiles, cores, and what each event costs."""

from __future__ import annotations

from typing import Any

from neurocompile.costs.memory import is_stateful
from neurocompile.hardware.profile import Bank, Cost, Profile
from neurocompile.ir.nodes import Readout, Soma

#: what one of SANA-FE's dendrites or LIF somas can hold; a core has as many as its neurons need
UNIT_NEURONS = 1024

#: more messages than any path ever holds, for chips whose buffers are not known
_UNBOUNDED = 1 << 20

#: (J, s)
_Price = tuple[float, float]
_FREE: _Price = (0.0, 0.0)


def mesh(profile: Profile) -> tuple[int, int, int]:
    """(columns, rows, cores per tile); a chip without a mesh is one core."""
    topology = profile.topology
    if topology is None:
        return 1, 1, 1
    return topology.tile_columns.count, topology.tile_rows.count, topology.cores_per_tile.count


def tile_number(tile: int, profile: Profile) -> int:
    """SANA-FE's number of one of our tiles: it counts them column by column."""
    columns, rows, _ = mesh(profile)
    row, column = divmod(tile, columns)
    return column * rows + row


def host_tile(profile: Profile) -> int:
    """SANA-FE's number of the tile where spikes of inputs start."""
    return tile_number(profile.host.tile if profile.host else 0, profile)


def soma_unit(soma: Soma, timesteps: int, profile: Profile) -> str:
    """The soma units of a core that compute this kind: they differ in price."""
    if not is_stateful(soma, timesteps):
        return "stateless"
    readout = isinstance(soma, Readout) and profile.events.neuron_update_readout is not None
    return "readout" if readout else "lif"


def synapse_unit(bank: Bank | None, profile: Profile) -> str:
    """The synapse unit of a core that has a bank's price; None: that of the chip's events."""
    return "synapses" if bank is None else f"bank{profile.banks.index(bank)}"


class Prices:
    """A profile's numbers by SANA-FE's names. It knows no unknown numbers: they are 0, and ``warnings`` say so."""

    def __init__(self, profile: Profile, warnings: list[str]) -> None:
        self.profile, self.warnings = profile, warnings

    def price(self, key: str, cost: Cost | None) -> _Price:
        """What an event costs; one that the chip does not have costs nothing."""
        if cost is None:
            return _FREE
        time = self.profile.time_of(cost)
        if cost.energy_pj is None:
            self._unknown(f"{key}.energy_pj")
        if time is None:
            self._unknown(f"{key}.time_ns" if cost.cycles is None else "clock.frequency_mhz")
        energy_pj = 0.0 if cost.energy_pj is None else cost.energy_pj.value
        return energy_pj * 1e-12, 0.0 if time is None else time.value * 1e-9

    def event(self, name: str) -> _Price:
        return self.price(f"events.{name}", getattr(self.profile.events, name))

    def synapse(self, bank: Bank | None) -> _Price:
        if bank is None:
            return self.event("synaptic_op")
        return self.price(f"banks.{bank.name}.synaptic_op", bank.synaptic_op)

    def hop(self, axis: str) -> _Price:
        """``axis``: east_west or north_south."""
        noc = self.profile.noc
        return self.price(f"noc.hop_{axis}", None if noc is None else getattr(noc, f"hop_{axis}"))

    def _unknown(self, key: str) -> None:
        warning = f"{key} is unknown in {self.profile.name} and counts as 0 in the file"
        if warning not in self.warnings:
            self.warnings.append(warning)


def host_cores(profile: Profile, inputs: int, cores: int) -> int:
    """How many cores the ``inputs`` input neurons lie on, in turn, of a program of so many ``cores``.

    Our host has all messages ready at once. SANA-FE's *detailed* model lets the messages of one core wait for each
    other, wherever they go, so that a host of one core would keep the others waiting; as many as the program has do
    not. Where a message takes the host time, they are as few as can hold the neurons, one file as ours is.
    """
    fewest = -(-inputs // UNIT_NEURONS)
    message = profile.host.message if profile.host else None
    in_file = message is not None and (time := profile.time_of(message)) is not None and time.value > 0
    return fewest if in_file else max(fewest, min(inputs, cores))


def architecture(prices: Prices, name: str, neurons: int, inputs: int, hosts: int, tiles: int) -> dict[str, Any]:
    """The chip, and on the host's tile ``hosts`` cores more, "host", for ``inputs`` input neurons in turn.

    ``neurons``: how many the fullest core holds; cores have units for so many. ``tiles``: how many the program takes,
    which decides the barrier; SANA-FE's own count would take in the host, and step where ours is a line.
    """
    profile = prices.profile
    columns, rows, per_tile = mesh(profile)
    each = -(-inputs // hosts)
    free = [_soma(f"input[0..{each - 1}]", _FREE, _FREE, _FREE, "input")]  # an input soma holds one neuron
    message = prices.price("host.message", profile.host.message if profile.host else None)
    host = _core(f"host[0..{hosts - 1}]", each, _FREE, [("synapses", _FREE)], free, message)

    def tile(span: range, *more: dict[str, Any]) -> list[dict[str, Any]]:
        if not span:
            return []
        # made anew each time: what stands in two places would be written as a YAML alias, which SANA-FE does not read
        core = _chip_core(prices, f"core[0..{per_tile - 1}]", neurons)
        return [{"name": f"tile[{span[0]}..{span[-1]}]", "attributes": _hops(prices), "core": [core, *more]}]

    at = host_tile(profile)
    spans = tile(range(at)) + tile(range(at, at + 1), host) + tile(range(at + 1, columns * rows))
    buffer = profile.noc.buffer_messages if profile.noc else None
    attributes: dict[str, Any] = {"topology": "mesh", "width": columns, "height": rows}
    attributes |= {"link_buffer_size": buffer.count if buffer else _UNBOUNDED}
    barrier_ns = profile.barrier.barrier_ns(tiles) if profile.barrier else 0.0
    attributes |= {"sync_model": "fixed", "latency_sync": barrier_ns * 1e-9}
    return {"name": name, "attributes": attributes, "tile": spans}


def not_said(profile: Profile) -> list[str]:
    """What the profile prices and SANA-FE has no place for, which is missing from its totals."""
    banks = [f"banks.{bank.name}" for bank in profile.banks if bank.message or bank.source_visit]
    inside = profile.noc.within_tile if profile.noc else None
    found = {
        "static power": profile.static_power_mw is not None and profile.static_power_mw.value > 0,
        "power of cores": profile.core_power_mw is not None,
        "ways within a tile": inside is not None
        and any(cost is None or cost.value for cost in (inside.energy_pj, inside.time_ns)),
        f"messages and source visits of {', '.join(banks)}": bool(banks),
        "slots that are visited without a neuron": profile.core.visits == "slots",
        "neurons that are not visited": profile.core.visits == "active",
        "rows that are read whole": profile.core.fetch == "row",
        "sending that waits for receiving": not profile.core.overlap,
        "words of memory": any(not level.energy_in_events for level in profile.memory),
        "ticks": profile.tick_ns is not None,
    }  # fmt: skip
    return [what for what, is_there in found.items() if is_there]


def _hops(prices: Prices) -> dict[str, float]:
    found = {}
    for way, axis in (("north", "north_south"), ("east", "east_west"), ("south", "north_south"), ("west", "east_west")):
        found[f"energy_{way}_hop"], found[f"latency_{way}_hop"] = prices.hop(axis)
    return found


def _chip_core(prices: Prices, name: str, neurons: int) -> dict[str, Any]:
    events = prices.profile.events
    visited, active = prices.event("neuron_update_inactive"), prices.event("neuron_update_active")
    more = max(active[0] - visited[0], 0.0), max(active[1] - visited[1], 0.0)
    stateless = prices.event("neuron_update_stateless") if events.neuron_update_stateless else active
    spike = prices.event("spike_out")
    units = f"[0..{-(-neurons // UNIT_NEURONS) - 1}]"
    somas = [_soma(f"lif{units}", visited, more, spike), _soma(f"stateless{units}", stateless, _FREE, spike)]
    if events.neuron_update_readout:
        somas.append(_soma(f"readout{units}", prices.event("neuron_update_readout"), _FREE, spike))
    banks = [None, *prices.profile.banks]
    synapses = [(synapse_unit(bank, prices.profile), prices.synapse(bank)) for bank in banks]
    return _core(name, neurons, prices.event("axon_in"), synapses, somas, prices.event("axon_out"))


def _core(
    name: str,
    neurons: int,
    axon_in: _Price,
    synapses: list[tuple[str, _Price]],
    somas: list[dict[str, Any]],
    axon_out: _Price,
) -> dict[str, Any]:
    # the buffer between two time steps lies in the dendrite, where delays are
    layout = {"buffer_position": "dendrite", "buffer_inside_unit": True, "max_neurons_supported": neurons}
    dendrites = f"dendrites[0..{-(-neurons // UNIT_NEURONS) - 1}]"
    return {
        "name": name,
        "attributes": layout,
        "axon_in": [_unit("axons_in", energy_message_in=axon_in[0], latency_message_in=axon_in[1])],
        "synapse": [
            _unit(unit, model="current_based", energy_process_spike=price[0], latency_process_spike=price[1])
            for unit, price in synapses
        ],
        "dendrite": [_unit(dendrites, model="accumulator_with_delay", energy_update=0.0, latency_update=0.0)],
        "soma": somas,
        "axon_out": [_unit("axons_out", energy_message_out=axon_out[0], latency_message_out=axon_out[1])],
    }


def _unit(name: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "attributes": attributes}


def _soma(
    name: str, access: _Price, update: _Price, spike: _Price, model: str = "leaky_integrate_fire"
) -> dict[str, Any]:
    attributes: dict[str, Any] = {"model": model}
    for event, (energy, latency) in (("access_neuron", access), ("update_neuron", update), ("spike_out", spike)):
        attributes |= {f"energy_{event}": energy, f"latency_{event}": latency}
    return {"name": name, "attributes": attributes}
