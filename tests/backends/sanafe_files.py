"""What a SANA-FE file says, run by a few lines of Python: SANA-FE's rules as its documentation states them.

Independent of the writer: it sees nothing but the file. ``tests/backends/test_export_sanafe.py`` runs the same files in
SANA-FE itself where that is installed.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

Address = tuple[str, int]


def read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    assert "&id" not in text, "SANA-FE reads no aliases"
    plain: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return plain


def span(text: object) -> range:
    first, _, last = str(text).partition("..")
    return range(int(first), int(last or first) + 1)


def neurons(document: dict[str, Any]) -> dict[Address, dict[str, Any]]:
    """The attributes of every neuron; those of its soma are not nested."""
    found: dict[Address, dict[str, Any]] = {}
    for group in document["network"]["groups"]:
        for entry in group["neurons"]:
            ((key, attributes),) = entry.items()
            merged: dict[str, Any] = {}
            for each in [*group["attributes"], *attributes]:
                merged |= each
            merged |= merged.pop("soma", {})
            for index in span(key):
                assert (group["name"], index) not in found
                found[group["name"], index] = merged
    return found


def edges(document: dict[str, Any]) -> list[tuple[Address, Address, float, int]]:
    """(source, target, weight, delay)."""
    found = []
    for entry in document["network"]["edges"]:
        ((key, attributes),) = entry.items()
        match = re.fullmatch(r"(\w+)\.(\d+) -> (\w+)\.(\d+)", key)
        assert match, key
        merged: dict[str, Any] = {}
        for each in attributes:
            merged |= each
        source, target = (match[1], int(match[2])), (match[3], int(match[4]))
        found.append((source, target, merged["weight"], merged.get("delay", 0)))
    return found


def mappings(document: dict[str, Any]) -> dict[Address, tuple[str, str]]:
    """(core, soma unit) of every neuron; each is mapped once."""
    found: dict[Address, tuple[str, str]] = {}
    for entry in document["mappings"]:
        ((key, attributes),) = entry.items()
        group, _, indices = key.partition(".")
        core, soma = attributes[0]["core"], attributes[1]["soma"]
        for index in span(indices):
            assert (group, index) not in found
            found[group, index] = (core, soma)
    return found


def simulate(document: dict[str, Any], steps: int) -> tuple[list[set[Address]], list[dict[Address, float]]]:
    """The spikes and the potentials of each time step."""
    everyone = neurons(document)
    reached = defaultdict(list)
    for source, target, weight, delay in edges(document):
        reached[source].append((target, weight, delay))
    potential = dict.fromkeys((address for address, each in everyone.items() if "threshold" in each), 0.0)
    arriving: list[dict[Address, float]] = [defaultdict(float) for _ in range(steps + 8)]
    spikes, potentials = [], []
    for t in range(steps):
        fired = set()
        for address, each in everyone.items():
            if "spikes" in each:
                if t < len(each["spikes"]) and each["spikes"][t]:
                    fired.add(address)
                continue
            u = math.trunc(potential[address] * each["leak_decay"] * 64) / 64 + arriving[t][address]
            if u > each["threshold"]:
                fired.add(address)
                u = {"soft": u - each["threshold"], "hard": each["reset"], "none": u}[each["reset_mode"]]
            potential[address] = u
        for address in fired:
            for target, weight, delay in reached[address]:
                arriving[t + 1 + delay][target] += weight
        spikes.append(fired)
        potentials.append(dict(potential))
    return spikes, potentials
