"""A profile as the ``architecture`` of SANA-FE's YAML: tiles, cores, and what each event costs."""

from __future__ import annotations

from typing import Any

from neurocompile.hardware.profile import Cost, Profile

#: what SANA-FE's own Loihi has; profiles do not say
_LINK_BUFFERS = 16

#: (J, s)
_Price = tuple[float, float]
_FREE: _Price = (0.0, 0.0)


def mesh(profile: Profile) -> tuple[int, int, int]:
    """(columns, rows, cores per tile); a chip without a mesh is one core."""
    topology = profile.topology
    if topology is None:
        return 1, 1, 1
    return topology.tile_columns.count, topology.tile_rows.count, topology.cores_per_tile.count


def architecture(profile: Profile, name: str, neurons: int, inputs: int, warnings: list[str]) -> dict[str, Any]:
    """The chip, and on its first tile one core more, "host", with a soma for each of ``inputs`` input neurons.

    ``neurons``: what a core takes where the profile has no limit. SANA-FE knows no unknown numbers: they become 0, and
    ``warnings`` say so.
    """
    columns, rows, per_tile = mesh(profile)
    prices = _Prices(profile, warnings)
    limit = profile.limits.neurons
    most = neurons if limit is None else limit.count
    host = _core("host[0..0]", inputs, _FREE, _FREE, [_soma(f"input[0..{inputs - 1}]", _FREE, _FREE, _FREE, "input")])

    def tile(span: str, *more: dict[str, Any]) -> dict[str, Any]:
        # made anew each time: what stands in two places would be written as a YAML alias, which SANA-FE does not read
        core = prices.core(f"core[0..{per_tile - 1}]", most)
        return {"name": f"tile[{span}]", "attributes": prices.hops(), "core": [core, *more]}

    tiles = [tile("0..0", host)]
    if columns * rows > 1:
        tiles.append(tile(f"1..{columns * rows - 1}"))
    attributes: dict[str, Any] = {"topology": "mesh", "width": columns, "height": rows}
    attributes |= {"link_buffer_size": _LINK_BUFFERS, **prices.barrier()}
    return {"name": name, "attributes": attributes, "tile": tiles}


class _Prices:
    """A profile's numbers by SANA-FE's names."""

    def __init__(self, profile: Profile, warnings: list[str]) -> None:
        self.profile, self.warnings = profile, warnings

    def _price(self, key: str, cost: Cost | None) -> _Price:
        """What an event costs; one that the chip does not have costs nothing."""
        if cost is None:
            return _FREE
        if cost.energy_pj is None:
            self._unknown(f"{key}.energy_pj")
        if cost.time_ns is None:
            self._unknown(f"{key}.time_ns")
        energy_pj = 0.0 if cost.energy_pj is None else cost.energy_pj.value
        time_ns = 0.0 if cost.time_ns is None else cost.time_ns.value
        return energy_pj * 1e-12, time_ns * 1e-9

    def _unknown(self, key: str) -> None:
        warning = f"{key} is unknown in {self.profile.name} and counts as 0 in the file"
        if warning not in self.warnings:
            self.warnings.append(warning)

    def hops(self) -> dict[str, float]:
        noc, prices = self.profile.noc, {}
        for way in ("north", "east", "south", "west"):
            axis = "east_west" if way in ("east", "west") else "north_south"
            price = self._price(f"noc.hop_{axis}", None if noc is None else getattr(noc, f"hop_{axis}"))
            prices[f"energy_{way}_hop"], prices[f"latency_{way}_hop"] = price
        return prices

    def barrier(self) -> dict[str, Any]:
        if self.profile.barrier is None:
            return {"sync_model": "fixed", "latency_sync": 0.0}
        points = {point.tiles: point.time_ns.value * 1e-9 for point in self.profile.barrier.points}
        return {"sync_model": "table", "latency_sync": points}

    def core(self, name: str, neurons: int) -> dict[str, Any]:
        events = self.profile.events
        visited = self._price("events.neuron_update_inactive", events.neuron_update_inactive)
        active = self._price("events.neuron_update_active", events.neuron_update_active)
        stateless = self._price("events.neuron_update_stateless", events.stateless_update)
        spike = self._price("events.spike_out", events.spike_out)
        more = max(active[0] - visited[0], 0.0), max(active[1] - visited[1], 0.0)
        somas = [_soma("lif", visited, more, spike), _soma("stateless", stateless, _FREE, spike)]
        axon_in = self._price("events.axon_in", events.axon_in)
        return _core(name, neurons, axon_in, self._price("events.synaptic_op", events.synaptic_op), somas)


def _core(name: str, neurons: int, axon_in: _Price, synapse: _Price, somas: list[dict[str, Any]]) -> dict[str, Any]:
    # the buffer between two time steps lies in the dendrite, where delays are
    layout = {"buffer_position": "dendrite", "buffer_inside_unit": True, "max_neurons_supported": neurons}
    return {
        "name": name,
        "attributes": layout,
        "axon_in": [_unit("axons_in", energy_message_in=axon_in[0], latency_message_in=axon_in[1])],
        "synapse": [
            _unit("synapses", model="current_based", energy_process_spike=synapse[0], latency_process_spike=synapse[1])
        ],
        "dendrite": [_unit("dendrites", model="accumulator_with_delay", energy_update=0.0, latency_update=0.0)],
        "soma": somas,
        "axon_out": [_unit("axons_out", energy_message_out=0.0, latency_message_out=0.0)],
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
