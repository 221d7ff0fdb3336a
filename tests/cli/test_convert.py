"""``neurocompile build --convert``, with a reader of networks of our own in front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_cases import Result

from neurocompile import driver
from tests.anns import from_torch, small_ann

Cli = Callable[..., Result]
SHAPE = (1, 8, 8)


@pytest.fixture
def ann(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every checkpoint is ``small_ann``; samples lie in ``x8.npy``."""
    graph = from_torch(small_ann(), SHAPE, 8)
    source = SimpleNamespace(graph=graph, calibration=None, notes=())
    monkeypatch.setattr(driver, "frontend", lambda: SimpleNamespace(read_checkpoint=lambda *_, **__: source))
    np.save(place / "x8.npy", np.random.default_rng(0).uniform(0, 1, (5, *SHAPE)).astype(np.float32))
    return place


CONVERT = ("build", "ann.pt", "--out", "p", "--convert", "--calibration", "x8.npy")


@pytest.mark.usefixtures("ann")
def test_build_says_what_is_lost(cli: Cli) -> None:
    shown = cli(*CONVERT)
    assert "converted from an ANN: " in shown.out
    assert "of 5 calibration samples get the ANN's class in 8 time steps" in shown.out
    built = cli(*CONVERT, "--force", "--json", "--print-after", "convert")
    assert built.json["conversion"]["samples"] == 5
    assert "-- after convert" in built.err
    assert cli("verify", "p", "--quick", "--json").json["conversion"]["output_error"] < 0.5
    assert "converted from an ANN" in cli("report", "p").out
    assert "Relu" in cli("inspect", "p", "--stage", "trained").out


@pytest.mark.usefixtures("ann")
def test_every_choice_reaches_the_network(cli: Cli) -> None:
    hashes = {cli(*CONVERT, "--force", "--json").json["graph_hash"]}
    for choice in (
        ("--balance", "max"), ("--balance", "sequential"), ("--balance-percentile", 50), ("--balance-per", "channel"),
        ("--encoder", "poisson"), ("--no-shift",),
    ):  # fmt: skip
        hashes.add(cli(*CONVERT, "--force", "--json", *choice).json["graph_hash"])
    assert len(hashes) == 7


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--calibration", "x8.npy"), ("2: a ReLU sends values", "build --convert --calibration FILE.npy")),
        (("--convert",), ("there are none; give some (build --calibration FILE.npy)",)),
        (("--balance", "max"), ("--balance says how --convert works; give both, or leave it out",)),
        (("--balance-percentile", 9), ("--balance-percentile says how --convert works",)),
        (("--balance-per", "layer"), ("--balance-per says how --convert works",)),
        (("--encoder", "direct"), ("--encoder says how --convert works",)),
        (("--no-shift",), ("--no-shift says how --convert works",)),
        (("--convert", "--balance", "best"), ("balance is 'best'; choose one of max, percentile, sequential",)),
        (("--convert", "--balance-per", "x"), ("per is 'x'; choose one of layer, channel",)),
        (("--convert", "--encoder", "x"), ("encoder is 'x'; choose one of direct, poisson",)),
        (("--convert", "--balance-percentile", 101), ("percentile is 101",)),
        (
            ("--convert", "--balance", "max", "--balance-percentile", 9),
            ("--balance-percentile is for --balance percentile; give both, or leave it out",),
        ),
    ],
)
def test_refusals(words: tuple[object, ...], parts: tuple[str, ...], cli: Cli, place: Path) -> None:
    cli("build", "ann.pt", "--out", "p", *words).refused(*parts)
    assert not (place / "p").exists()


def test_a_spiking_network_is_not_converted(cli: Cli) -> None:
    cli("build", "tiny.pt", "--out", "p", "--convert").refused("has no ReLU to convert; build it without --convert")
