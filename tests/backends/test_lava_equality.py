"""Lava gives every spike and every output of the interpreter, whatever the neuron, the layer or the input."""

from __future__ import annotations

import numpy as np
import pytest
from networks import Builder, conv, dense, vgg, weights, whole

from neurocompile.backends.lava import LavaBackend
from neurocompile.backends.lava.plan import plan
from neurocompile.errors import BackendError, CapacityError, GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import (
    Array,
    DctEncoder,
    DirectEncoder,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Linear,
    Neuron,
    PoissonEncoder,
    Readout,
    Recurrent,
    Scale,
    SumPool2d,
    Threshold,
)

RNG = np.random.default_rng(7)
LAVA = LavaBackend()
pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(LAVA.unavailable() is not None, reason=str(LAVA.unavailable())),
]

LOIHI = FixedPoint(fraction_bits=6)
NARROW = FixedPoint(state_bits=10, membrane_overflow="wrap", current_overflow="clip")
CHANNELS = np.array([50, 120, 400, 90, 333])
EACH = RNG.integers(20, 500, (5, 2, 2))

#: name -> what makes the neuron special. Where Lava's own LIF can say it, the name begins with "stock".
NEURONS = {
    "plain": {},
    "at or above": {"compare": "at_or_above", "threshold": 100},
    "fires first": {"order": "fire_first", "leak": 3500},
    "fires first, owing": {"order": "fire_first", "leak": 3500, "leaky_reset": False},
    "owing": {"leak": 3700, "leaky_reset": False, "fixed": LOIHI, "threshold": 64 * 90},
    "owing, signed, graded current": {"leaky_reset": False, "spikes": "signed", "current_leak": 2000},
    "sets": {"reset": "set", "reset_value": -30},
    "sets, signed": {"reset": "set", "reset_value": 12, "spikes": "signed"},
    "sets late": {"reset": "set", "leaky_reset": False},
    "sets late to a value, signed": {"reset": "set", "reset_value": 12, "spikes": "signed", "leaky_reset": False,
                                     "current_leak": 2000},
    "sets late, first": {"reset": "set", "reset_value": -30, "order": "fire_first", "leaky_reset": False},
    "least membrane": {"reset": "set", "membrane_min": -100},
    "least membranes": {"membrane_min": -CHANNELS, "leak": 3500, "spikes": "signed", "leaky_reset": False},
    "least membrane, first": {"membrane_min": -EACH, "leak": 3500, "order": "fire_first"},
    "never resets": {"reset": "none", "leak": 2048},
    "signed": {"spikes": "signed", "compare": "at_or_above"},
    "graded": {"spikes": "graded", "max_payload": 5, "threshold": 40},
    "graded, at or above, first": {"spikes": "graded", "compare": "at_or_above", "order": "fire_first"},
    "one spike": {"single_spike": True},
    "one spike, set": {"single_spike": True, "reset": "set", "order": "fire_first"},
    "channels": {"threshold": CHANNELS, "leak": CHANNELS * 8, "bias": CHANNELS - 200},
    "each": {"threshold": EACH, "leak": EACH * 8, "current_leak": EACH * 4, "bias": 300 - EACH},
    "wraps": {"fixed": NARROW, "threshold": 400, "bias": 40},
    "clips": {"fixed": FixedPoint(state_bits=10), "threshold": 510, "bias": -30},
    "other decay": {"fixed": FixedPoint(decay_bits=7), "leak": 100, "current_leak": 31},
    "threshold off the grid": {"fixed": LOIHI, "reset": "set", "threshold": 6401, "leak": 4000},
    "bias through the current": {"fixed": LOIHI, "reset": "set", "threshold": 6400, "current_leak": 9, "bias": 7},
    "stock": {"reset": "set"},
    "stock, at or above": {"reset": "set", "compare": "at_or_above", "bias": CHANNELS - 200},
    "stock, leaks": {"fixed": LOIHI, "reset": "set", "threshold": 6400, "leak": 3333, "current_leak": 1234},
    "stock, keeps its current": {"fixed": LOIHI, "reset": "set", "threshold": 64000, "current_leak": 4096},
    "stock, forgets": {"fixed": LOIHI, "reset": "set", "threshold": 6400, "leak": 0, "bias": EACH * 128 - 30000},
    "stock, off the grid": {"fixed": LOIHI, "reset": "set", "threshold": 6401, "bias": -640},
    "stock, few decay bits": {"fixed": FixedPoint(fraction_bits=6, decay_bits=5), "reset": "set", "threshold": 6400,
                              "leak": 29},
}  # fmt: skip


def zoo(timesteps: int = 5) -> tuple[Graph, Graph]:
    """Every neuron of NEURONS on one projection, each read by a readout of its own kind of spikes' sum."""
    build = Builder("zoo", (3, 2, 2), timesteps)
    chain = build.chain(build.encoder("pixels", DirectEncoder(scale=20.0, low=-20, high=20)), conv(RNG, 5, 3, 1, 1))
    for name, special in NEURONS.items():
        build.soma(name, whole(Neuron, **{"threshold": 700, **special}), chain, output=True)
    return build.pair()


def layers(timesteps: int = 4) -> tuple[Graph, Graph]:
    """Every operator, skips, several projections into a soma, and all kinds of spikes on the way."""
    build = Builder("layers", (4, 9, 9), timesteps)
    poisson = build.encoder("poisson", PoissonEncoder(gain=0.8, seed=5))
    direct = build.encoder("direct", DirectEncoder(scale=255.0, low=0, high=255))
    signed = build.soma(
        "signed",
        whole(Neuron, threshold=200, spikes="signed"),
        build.chain(poisson, conv(RNG, 6, 4, 3, 3, stride=(2, 1), padding=(1, 0))),
    )
    graded = build.soma(
        "graded",
        whole(Neuron, threshold=9000, spikes="graded", max_payload=300),
        build.chain(direct, conv(RNG, 6, 2, 3, 3, groups=2, dilation=(2, 1), padding=(2, 0), stride=(2, 1))),
    )
    both = build.soma(
        "both",
        whole(Neuron, threshold=500, bias=20),
        build.chain(signed, conv(RNG, 6, 1, 3, 3, groups=6, padding=(1, 1))),
        build.chain(graded, Scale(weight=weights(RNG, 6), weight_bits=8)),
    )
    pooled = build.soma(
        "pooled",
        whole(Neuron, threshold=300),
        build.chain(both, SumPool2d(kernel=(3, 3), stride=(2, 2), padding=(1, 1)), conv(RNG, 3, 6, 1, 1)),
        build.chain(
            direct,
            SumPool2d(kernel=(2, 2), stride=(2, 2)),
            SumPool2d(kernel=(2, 1), stride=(1, 1), padding=(1, 0)),
            conv(RNG, 3, 4, 3, 3, padding=(1, 1), stride=(2, 1)),
        ),
    )
    flat = build.soma(
        "flat", whole(Neuron, threshold=400, reset="set"), build.chain(pooled, Flatten(), dense(RNG, 20, 36))
    )
    gate = build.soma(
        "gate", whole(Neuron, threshold=900, reset="set"), build.chain(graded, conv(RNG, 2, 6, 5, 7), Flatten())
    )
    build.soma(
        "logits",
        whole(Readout, leak=3900, fixed=LOIHI, bias=11),
        build.chain(flat, dense(RNG, 7, 20)),
        build.chain(gate, dense(RNG, 7, 2)),
        build.chain(poisson, Flatten(), dense(RNG, 7, 324)),
        output=True,
    )
    return build.pair()


def thresholds() -> tuple[Graph, Graph]:
    """One time step: no state. The outputs spike."""
    build = Builder("thresholds", (3, 5, 5), 1)
    chain = build.chain(build.encoder("pixels", DirectEncoder(scale=15.0, low=0, high=15)), conv(RNG, 4, 3, 3, 3))
    four = np.array([-40, 300, 77, 1200])
    flip = np.array([True, False, False, True])
    somas = {
        "flipped": whole(Threshold, threshold=four, flip=flip, bias=four * 2),
        "flipped, at": whole(Threshold, threshold=four, flip=flip, compare="at_or_above"),
        "graded": whole(Threshold, threshold=np.abs(four), spikes="graded", max_payload=9),
        "signed": whole(Threshold, threshold=np.abs(four), spikes="signed"),
        "stock": whole(Threshold, threshold=250, bias=np.array([1, -2, 3, -4])),
        "stock, at": whole(Threshold, threshold=four, compare="at_or_above"),
    }
    ends = [build.soma(name, soma, chain) for name, soma in somas.items()]
    sums = [build.chain(end, Flatten(), dense(RNG, 6, 36)) for end in ends]
    build.soma("last", whole(Threshold, threshold=50), *sums, output=True)
    build.soma("logits", whole(Readout), *sums, output=True)
    return build.pair()


def apart() -> tuple[Graph, Graph]:
    """Two networks in one, on numbers that need 64-bit floats, states at their limits, and a spiking output."""
    build = Builder("apart", (40,), 6)
    wide = build.encoder("wide", DirectEncoder(scale=1000.0, low=-1000, high=1000))
    large = Linear(weight=weights(RNG, 30, 40, bits=12), weight_bits=12)
    build.soma("large", whole(Neuron, threshold=9_000_000, fixed=FixedPoint(32)), build.chain(wide, large), output=True)
    # the stock LIF's membrane is driven into its 24-bit limit
    bits = build.encoder("bytes", DirectEncoder(scale=25.0, low=0, high=25))
    full = Linear(weight=np.full((30, 40), 127) * RNG.choice([-1, 1], 30)[:, None], weight_bits=8)
    soma = whole(Neuron, threshold=64 * 131_000, fixed=LOIHI, reset="set")
    build.soma("stock, clips", soma, build.chain(bits, full), output=True)
    return build.pair()


def loops(timesteps: int = 5) -> tuple[Graph, Graph]:
    """Spikes that come back: to neighbours, one to one, all to all, and between two populations side by side."""
    build = Builder("loops", (2, 5, 5), timesteps)
    pixels = build.encoder("pixels", DirectEncoder(scale=20.0, low=-20, high=20))
    image, vector = Recurrent(shape=(3, 5, 5)), Recurrent(shape=(12,))
    near = build.soma(
        "near",
        whole(Neuron, threshold=700, leak=3500),
        build.chain(pixels, conv(RNG, 3, 2, 3, 3, padding=(1, 1))),
        build.chain("near", image, conv(RNG, 3, 3, 3, 3, padding=(1, 1))),
        build.chain("near", image, Scale(weight=weights(RNG, 3), weight_bits=8)),
    )
    for name, other in (("left", "right"), ("right", "left")):
        build.soma(
            name,
            whole(Neuron, threshold=300, reset="set", spikes="signed" if name == "left" else "binary"),
            build.chain(near, Flatten(), dense(RNG, 12, 75)),
            build.chain(name, vector, dense(RNG, 12, 12)),
            build.chain(other, vector, dense(RNG, 12, 12)),
            output=True,
        )
    return build.pair()


def late(timesteps: int = 6) -> tuple[Graph, Graph]:
    """Delays forward, of one number and of each neuron's own; and back from further on, as late as the way is long."""
    build = Builder("late", (2, 5, 5), timesteps)
    pixels = build.encoder("pixels", DirectEncoder(scale=20.0, low=-20, high=20))
    image = Recurrent(shape=(2, 5, 5), steps=0, axon_steps=RNG.permutation(50).reshape(2, 5, 5) % 8)
    channels = Recurrent(shape=(3, 5, 5), steps=1, axon_steps=np.array([2, 0, 1]))
    back = Recurrent(shape=(12,), steps=2, axon_steps=np.arange(12) % 3)
    near = build.soma(
        "near",
        whole(Neuron, threshold=700, leak=3500),
        build.chain(pixels, image, conv(RNG, 3, 2, 3, 3, padding=(1, 1))),
    )
    middle = build.soma(
        "middle",
        whole(Neuron, threshold=300, reset="set"),
        build.chain(near, Flatten(), dense(RNG, 12, 75)),
        build.chain("last", back, dense(RNG, 12, 12)),
    )
    build.soma(
        "last",
        whole(Neuron, threshold=200, reset="set"),
        build.chain(middle, dense(RNG, 12, 12)),
        build.chain(near, channels, Flatten(), dense(RNG, 12, 75)),
        build.chain(middle, Recurrent(shape=(12,), steps=4), Scale(weight=weights(RNG, 12), weight_bits=8)),
        output=True,
    )
    return build.pair()


def coded(timesteps: int = 5) -> tuple[Graph, Graph]:
    """Pictures laid out in time: a value and then a spike; and frequencies, of which signed spikes are made."""
    build = Builder("coded", (2, 4, 6), timesteps)
    hybrid = build.encoder(
        "hybrid", HybridEncoder(timesteps=timesteps, minimum=-1.0, maximum=1.0, scale=64.0, low=-127, high=127)
    )
    parts = build.encoder("parts", DctEncoder(block=2, scale=127.0, low=-127, high=127))
    signed = build.soma(
        "signed",
        whole(Neuron, threshold=40, spikes="signed"),
        build.chain(parts, Scale(weight=np.array([1, 2]), weight_bits=8)),
    )
    middle = build.soma(
        "middle",
        whole(Neuron, threshold=9000, leak=3900, leaky_reset=False, single_spike=True),
        build.chain(hybrid, conv(RNG, 3, 2, 3, 3, padding=(1, 1))),
    )
    build.soma(
        "logits",
        whole(Readout, fixed=LOIHI),
        build.chain(middle, Flatten(), dense(RNG, 4, 72)),
        build.chain(signed, Flatten(), dense(RNG, 4, 48)),
        output=True,
    )
    return build.pair()


def assert_same(got: Trace, want: Trace) -> None:
    assert got.outputs.keys() == want.outputs.keys()
    assert got.events.keys() == want.events.keys()
    for ours, theirs in ((got.outputs, want.outputs), (got.events, want.events)):
        for name, array in theirs.items():
            assert ours[name].dtype == array.dtype
            np.testing.assert_array_equal(ours[name], array, err_msg=name)


def images(graph: Graph, count: int) -> Array:
    shape = graph.shape("input")
    return np.random.default_rng(count).uniform(-1, 1, (count, *shape))


@pytest.mark.parametrize("use_stock", [True, False], ids=["stock", "own"])
@pytest.mark.parametrize(
    "network", [zoo, layers, thresholds, apart, loops, late, coded], ids=lambda network: network.__name__
)
def test_every_spike_and_output_equals_the_interpreter(network, use_stock):
    logical, mapped = network()
    samples = images(mapped, 6)
    trace = LavaBackend(use_stock=use_stock).run(mapped, samples, first_sample=3)
    assert_same(trace, interpret(logical, samples, first_sample=3))
    assert_same(trace, interpret(mapped, samples, first_sample=3))
    quiet = [name for name, events in trace.events.items() if len(np.unique(events)) == 1]
    assert not quiet, "these never change, so they prove nothing"


def stock_blocks(graph: Graph, *, use_stock: bool = True) -> list[str]:
    """The names of the blocks whose process Lava ships."""
    blocks = plan(graph, use_stock=use_stock).blocks
    return [block.name for block in blocks if block.kind in ("Dense", "LIFReset")]


@pytest.mark.parametrize("network", [zoo, thresholds, apart], ids=lambda network: network.__name__)
def test_stock_neurons_stand_where_they_can(network):
    _, mapped = network()
    stock = {name for name in stock_blocks(mapped) if isinstance(mapped.node(name), (Neuron, Threshold))}
    able = {name for name in mapped.of_kind(Neuron, Threshold) if name.startswith("stock") or name == "last"}
    assert stock == able
    assert not stock_blocks(mapped, use_stock=False)


def test_a_sample_may_differ_at_every_step_and_progress_ends_at_the_total():
    logical, mapped = vgg(3)
    samples = np.random.default_rng(3).random((4, 3, 1, 8, 8))
    seen = []
    trace = LAVA.run(mapped, samples, progress=lambda step, steps: seen.append((step, steps)))
    assert_same(trace, interpret(logical, samples))
    assert seen[-1] == (4 * 3 + 6, 4 * 3 + 6)
    assert seen == sorted(seen)


@pytest.mark.parametrize("use_stock", [True, False], ids=["stock", "own"])
def test_a_sample_does_not_feel_what_the_last_one_sends_back(use_stock):
    _, mapped = loops(2)
    samples = images(mapped, 5)
    together = LavaBackend(use_stock=use_stock).run(mapped, samples)
    for number in range(5):
        alone = interpret(mapped, samples[number : number + 1])
        for name, events in alone.events.items():
            np.testing.assert_array_equal(together.events[name][number : number + 1], events, err_msg=name)


def test_lavas_own_synapses_never_stand_where_sums_must_be_dropped():
    _, mapped = loops()
    notes = {block.name: block for block in plan(mapped).blocks if "dropped" in block.note}
    assert {block.kind for block in notes.values()} == {"Projection"}
    assert {block.reads for block in notes.values()} == {("left",), ("right",)}
    assert "right" in stock_blocks(mapped)


def test_a_plan_prints_one_line_per_process():
    _, mapped = vgg(3)
    lines = str(plan(mapped)).splitlines()
    assert len(lines) == 14
    assert lines[1].endswith("float32, delay 1; not Dense: it is not one matrix")


def test_sums_of_more_than_32_bits_are_refused_by_name():
    build = Builder("heavy", (40,), 2)
    wide = build.encoder("wide", DirectEncoder(scale=1.0, low=0, high=100_000))
    heavy = Linear(weight=weights(RNG, 30, 40, bits=16), weight_bits=16)
    fixed = FixedPoint(state_bits=40, accumulator_bits=50)
    build.soma("sum", whole(Readout, fixed=fixed), build.chain(wide, heavy), output=True)
    with pytest.raises(CapacityError, match=r"sum: its input needs 3\d bits, but Lava's ports carry 32"):
        LAVA.run(build.pair()[1], np.ones((2, 40)))


def test_what_lava_cannot_run_is_told_before_it_starts(monkeypatch):
    logical, mapped = vgg(2)
    with pytest.raises(GraphError, match="stage 'integer'"):
        LAVA.run(logical, np.ones((1, 1, 8, 8)))
    with pytest.raises(InputError, match="no samples"):
        LAVA.run(mapped, np.ones((0, 1, 8, 8)))
    monkeypatch.setattr("neurocompile.backends.lava.compat.VERSION", "0.9")
    assert "lava-nc 0.10.0 is installed" in (LAVA.unavailable() or "")
    with pytest.raises(BackendError, match=r"proved on 0\.9; run: pip install"):
        LAVA.run(mapped, np.ones((1, 1, 8, 8)))
