"""Networks that were trained in integers, as lava-dl's are: built, run and verified as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import Result

from neurocompile.backends.lava import LavaBackend
from neurocompile.driver import compile_graph, retarget
from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware.profile import load_profile
from neurocompile.hardware.target import load_target
from neurocompile.passes.scales import PERCENTILE
from neurocompile.program import Options, Program

pytest.importorskip("h5py", reason="h5py is not installed; run: pip install 'neurocompile[netx]'")

from neurocompile.frontend.netx import read_netx
from tests.netx_files import NEURON, dense, write

Cli = Callable[..., Result]


@pytest.fixture
def net(place: Path) -> Path:
    """Four inputs, three neurons, two neurons; its name has no suffix that tells what it is."""
    samples = np.random.default_rng(0).integers(0, 2, (6, 8, 4)).astype(np.float32)
    np.save(place / "spikes.npy", samples)
    return write(
        place / "trained", dense([[20, 30, -6, 2], [2, 4, 40, 8], [12, -50, 6, 60]]), dense([[30, 10, 6], [-20, 60, 2]])
    )


@pytest.fixture
def no_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LavaBackend, "unavailable", lambda _: "not today")


@pytest.mark.parametrize("target", ["loihi1-sim", "loihi2-sim"])
def test_build_knows_hdf5_by_its_first_bytes(cli: Cli, net: Path, target: str) -> None:
    result = cli("build", net, "--target", target, "--timesteps", 5, "--json").json
    assert (result["name"], result["timesteps"], result["bits"]) == ("trained", 5, 6)
    assert (result["quantizer"], result["scales"], result["percentile"]) == (None, None, None)
    assert result["weight_bits"] == {"0.dense.synapse": 6, "1.dense.synapse": 6}
    program = Program.load(result["program"])
    assert program.trained.hash == program.integer.hash == read_netx(net, timesteps=5).hash
    assert not program.quantized


def test_what_people_read(cli: Cli, net: Path) -> None:
    shown = cli("build", net, "--target", "loihi1-sim")
    assert "none: trained in integers" in shown.out
    assert "fewer weight bits" not in shown.out
    shown = cli("build", net, "--force", "--quiet", "--print-after", "quantize")
    assert shown.err == "note: the network came in integers, so no pass ran\n"
    assert "stage=integer" in cli("inspect", "build/trained-loihi1-sim", "--stage", "trained").out


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--bits", 4), "--bits is 4"),
        (("--quantizer", "mse"), "--quantizer is mse"),
        (("--scales", "channel"), "--scales is channel"),
        (("--reset", "zero"), "--reset is zero"),
    ],
)
def test_what_would_change_weights_or_neurons_is_refused(
    cli: Cli, net: Path, flags: tuple[Any, ...], named: str
) -> None:
    said = f"{named}, but 'trained' was trained in integers, which are compiled as they are; leave {flags[0]} out"
    cli("build", net, *flags).refused(said)


def test_a_percentile_too(net: Path) -> None:
    with pytest.raises(InputError, match="--percentile is 50"):
        compile_graph(read_netx(net), load_target("loihi2-sim"), options=Options(percentile=50.0))
    compile_graph(read_netx(net), load_target("loihi2-sim"), options=Options(percentile=PERCENTILE))


def test_a_shape_that_the_file_says(cli: Cli, net: Path) -> None:
    cli("build", net, "--input-shape", "7").refused("its weight has 12 values", "check the layers' shapes")


def test_run_report_and_compare(cli: Cli, net: Path) -> None:
    """On its calibration samples, and compiled for another chip."""
    cli("build", net, "--target", "loihi1-sim", "--calibration", "spikes.npy", "--quiet")
    functional, reference = (
        cli("run", "build/trained-loihi1-sim", "--input", "spikes.npy", "--backend", backend, "--json").json
        for backend in ("functional", "reference")
    )
    assert functional["spikes"] > 0
    assert functional["spike_hash"] == reference["spike_hash"]
    compared = cli("compare", "build/trained-loihi1-sim", "--profiles", "loihi2", "--limit", 3, "--json").json
    assert compared["reports"][0]["profile"] == "loihi2"


def test_retargeting_takes_the_integers_or_refuses_them(net: Path) -> None:
    program = compile_graph(read_netx(net), load_target("loihi1-sim"))
    other = retarget(program, load_profile("loihi2"))
    assert other.integer is program.trained
    wide = write(net.with_name("wide"), dense([[129, -127]], neuron={**NEURON, "vThMant": 200}))
    with pytest.raises(CapacityError, match=r"0.dense.synapse: its weights have 9 bits, and loihi2 stores 8"):
        compile_graph(read_netx(wide), load_target("loihi2-sim"))


@pytest.mark.usefixtures("no_lava")
def test_verify_compares_engines_and_says_that_there_is_no_float_network(cli: Cli, net: Path) -> None:
    cli("build", net, "--quiet")
    np.save("labels.npy", np.zeros(6, np.int64))
    verify = ("verify", "build/trained-loihi2-sim", "--input", "spikes.npy", "--labels", "labels.npy")
    drift = cli(*verify, "--json").json
    assert {name: engine["state"] for name, engine in drift["engines"].items()} == {
        "functional": "equal",
        "chip time": "equal",
        "lava": "unavailable",
    }
    assert (drift["layers"], drift["outputs"], drift["depth"], drift["widths"]) == ([], [], None, None)
    assert (drift["accuracy_float"], drift["output_agreement"], drift["bits"]) == (None, None, 6)
    assert 0 <= drift["accuracy_integer"] <= 1
    assert drift["saturation"]["weights"] == {"clipped_share": 0.0, "weights": 18}
    sentence = "trained in integers (6 bits), so there is no float network to drift from: 6 samples with"
    assert drift["conclusion"].startswith(sentence)
    shown = cli(*verify)
    assert sentence in " ".join(shown.out.split())
    assert "float against integer" not in shown.out


def test_refusals_name_the_layer(cli: Cli, net: Path) -> None:
    write(net, dense([[1]], neuron={**NEURON, "type": "SDNN"}))
    cli("build", net).refused("layer 0 (dense): its neurons are sigma-delta (SDNN), which send changes")
    net.write_bytes(net.read_bytes()[:300])
    cli("build", net).refused("cannot be read as a network of lava-dl")
