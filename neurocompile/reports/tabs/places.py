"""Where: the chip's mesh, and which neurons fire."""

from __future__ import annotations

from typing import Any

from neurocompile.reports.data import Report
from neurocompile.reports.page import Block, Column, Figure, Table
from neurocompile.reports.page.maps import Spot, Way, core_map, link_map
from neurocompile.reports.page.svg import compact
from neurocompile.reports.page.traces import Firing, raster
from neurocompile.reports.tabs.timing import busy, core_name
from neurocompile.reports.wording import number


def chip_tab(report: Report) -> list[Block]:
    """How busy each core is, and what goes over each link."""
    cycle = report.get("cycle")
    if cycle is None or not cycle["cores"]:
        return []
    return [_load(cycle), _messages(cycle), *_traffic(cycle)]


def _load(cycle: dict[str, Any]) -> Figure:
    """Coloured by each core's share of the time in which it works."""
    shares = {core["core"]: busy(core) for core in cycle["cores"]}
    most = max((share or 0 for share in shares.values()), default=0) or 1
    spots = [
        _spot(cycle, core, (shares[core["core"]] or 0) / most, *_words(shares[core["core"]])) for core in cycle["cores"]
    ]
    table = Table(
        "Load of the cores",
        [
            Column("core"),
            Column("tile"),
            Column("row"),
            Column("column"),
            Column("layers"),
            Column("busy", "%", bar=True),
        ],
        [
            (
                core["core"],
                core["tile"],
                core["row"],
                core["column"],
                ", ".join(core["populations"]),
                shares[core["core"]],
            )
            for core in cycle["cores"]
        ],
    )
    fullest = max(cycle["cores"], key=lambda core: shares[core["core"]] or 0)
    said = "Percent of the run in which a core sends or receives, in its cell; the stronger the colour, the more. "
    said += "Squares are tiles, by row and column. "
    said += f"Busiest: core {core_name(fullest)}, {_words(shares[fullest['core']])[1]}."
    drawing = core_map(spots, cycle["mesh"]["cores_per_tile"], "Load of the cores on the mesh")
    return Figure("Load of the cores", drawing, said, table)


def _words(share: float | None) -> tuple[str, str]:
    return ("?", "unknown") if share is None else (f"{100 * share:.0f}", f"{share:.1%} busy")


def _spot(cycle: dict[str, Any], core: dict[str, Any], share: float, text: str, words: str) -> Spot:
    slot = core["core"] % cycle["mesh"]["cores_per_tile"]
    return Spot(core["row"], core["column"], slot, share, text, f"core {core_name(core)}: {words}")


def _messages(cycle: dict[str, Any]) -> Figure:
    def count(core: dict[str, Any]) -> int:
        return int(core["messages_in"] + core["messages_out"])

    most = max(map(count, cycle["cores"])) or 1
    spots = [
        _spot(cycle, core, count(core) / most, compact(count(core)),
              f"{core['messages_in']:,} messages in, {core['messages_out']:,} out")
        for core in cycle["cores"]
    ]  # fmt: skip
    table = Table(
        "Messages of the cores",
        [Column("core"), Column("layers"), Column("messages in"), Column("messages out"),
         Column("queue peak", "messages")],
        [(core["core"], ", ".join(core["populations"]), core["messages_in"], core["messages_out"], core["queue_peak"])
         for core in cycle["cores"]],
    )  # fmt: skip
    said = "Messages in and out of each core over the run; k and M are thousands and millions."
    return Figure("Messages of the cores", core_map(spots, cycle["mesh"]["cores_per_tile"], "Messages of the cores"),
                  said, table)  # fmt: skip


def _traffic(cycle: dict[str, Any]) -> list[Block]:
    links, columns, unit = cycle["links"], cycle["mesh"]["columns"], cycle["unit"]
    if not links:
        return []
    tiles = {(core["row"], core["column"]): str(core["tile"]) for core in cycle["cores"]}
    places = {core["tile"]: (core["row"], core["column"]) for core in cycle["cores"]}

    def place(tile: int) -> tuple[int, int]:
        row, column = divmod(tile, columns)  # tiles without neurons are passed through
        return places.get(tile, (row, column))

    most = max(link["messages"] for link in links) or 1
    ways = [
        Way(place(link["from"]), place(link["to"]), (link["messages"] / most) ** 0.5, link["messages"],
            f"tile {link['from']} to {link['to']}: {link['messages']:,} messages")
        for link in links
    ]  # fmt: skip
    busiest = max(links, key=lambda link: link["messages"])
    said = "Messages over each link during the run: the wider the arrow, the more; boxes are tiles with their numbers. "
    said += f"Most go from tile {busiest['from']} to {busiest['to']}: {busiest['messages']:,}."
    table = Table(
        "Links",
        [Column("from tile"), Column("to tile"), Column("messages", bar=True), Column("busy", unit),
         Column("wait", unit), Column("peak", "messages")],
        [(link["from"], link["to"], link["messages"], link["busy"], link["wait"], link["peak"]) for link in links],
    )  # fmt: skip
    return [Figure("Traffic of the links", link_map(ways, tiles, "Traffic of the links of the mesh"), said, table)]


# -------------------------------------------------------------------------------------------------------------- spikes


def spikes_tab(report: Report) -> list[Block]:
    """The raster of one sample."""
    shown = report.get("raster")
    if not shown or not shown["populations"]:
        return []
    firing = [
        Firing(each["name"], each["neurons"], each["shown"], [(step, neuron) for step, neuron in each["spikes"]])
        for each in shown["populations"]
    ]
    table = Table(
        "Spikes by layer",
        [Column("layer"), Column("neurons"), Column("spikes"), Column("spikes per neuron"), Column("neurons shown"),
         Column("spikes drawn"), Column("first of them", "step")],
        [
            (each.name, each.neurons, population["total"], population["total"] / max(1, each.neurons), each.shown,
             len(each.spikes), min(each.spikes, default=(None, 0))[0])
            for each, population in zip(firing, shown["populations"], strict=True)
        ],
    )  # fmt: skip
    total = sum(population["total"] for population in shown["populations"])
    said = f"Sample {shown['sample']}: {number(total)} spikes of {number(shown['steps'])} time steps. Each band is a "
    said += (
        "layer, each row in it a neuron, each mark a spike; below a layer's name stands how many of its neurons are "
    )
    said += "shown, evenly chosen."
    drawing = raster(firing, max(1, shown["steps"]))
    return [Figure("Spike raster", drawing, said, table, _explored(firing, max(1, shown["steps"])))]


def _explored(firing: list[Firing], steps: int) -> dict[str, Any]:
    """A band for each population with an axis of its own, so that neurons keep their numbers."""
    heights = [max(20, each.shown) for each in firing]
    share = 1 / (sum(heights) + 10 * len(firing))
    height = min(1600, max(400, 70 + 3 * sum(heights)))
    gap = 1 if height * share >= 2.5 else 0
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"showlegend": False, "height": height}
    top = 1.0
    for index, (each, high) in enumerate(zip(firing, heights, strict=True)):
        name = "" if index == 0 else str(index + 1)
        apart = (each.neurons - 1) / max(1, each.shown - 1) or 1.0  # of neurons that are evenly chosen
        data.append(
            {
                "type": "heatmap",
                "name": each.name,
                "x": list(range(steps)),
                "y": [round(row * apart) for row in range(each.shown)],
                "sparse": [[step, round(neuron / apart)] for step, neuron in each.spikes],
                "xgap": 1,
                "ygap": gap,
                "yaxis": f"y{name}",
                "hovertemplate": "step %{x}, neuron %{y}",
            }
        )
        bottom = max(0.0, top - (high + 10) * share)
        layout[f"yaxis{name}"] = {
            "title": {"text": each.name, "font": {"size": 11}},
            "domain": [bottom + 10 * share, top],
            "range": [each.neurons - 0.5, -0.5],
            "nticks": 4,
        }
        top = bottom
    axis = {"title": {"text": "time step"}, "anchor": data[-1]["yaxis"], "dtick": max(1, -(-steps // 12))}
    return {"data": data, "layout": {**layout, "xaxis": axis}}
