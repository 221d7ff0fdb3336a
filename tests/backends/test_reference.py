import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Builder, dense, whole

from neurocompile.backends.reference import ReferenceBackend
from neurocompile.errors import InputError
from neurocompile.ir.bounds import exact_in_float64
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import DirectEncoder, FixedPoint, Input, Linear, Neuron, PoissonEncoder, Readout
from tests.networks import integer_networks, samples_for


def test_batches_and_first_sample_change_nothing():
    rng = np.random.default_rng(0)
    build = Builder("small", (12,), 3)
    hidden = build.soma("hidden", whole(Neuron, threshold=90), build.chain(
        build.encoder("poisson", PoissonEncoder(seed=1)), dense(rng, 20, 12)))  # fmt: skip
    build.soma("logits", whole(Readout), build.chain(hidden, dense(rng, 4, 20)), output=True)
    samples = rng.random((150, 12))
    backend = ReferenceBackend()
    assert backend.unavailable() is None
    for graph in build.pair():
        seen = []
        trace = backend.run(graph, samples, first_sample=9, progress=lambda done, total: seen.append((done, total)))  # noqa: B023
        whole_run = interpret(graph, samples, first_sample=9)
        for name, events in whole_run.events.items():
            np.testing.assert_array_equal(trace.events[name], events)
        np.testing.assert_array_equal(trace.outputs["logits"], whole_run.outputs["logits"])
        assert seen == [(64, 150), (128, 150), (150, 150)]
        with pytest.raises(InputError, match="no samples"):
            backend.run(graph, samples[:0])


@settings(max_examples=60)
@given(data=st.data())
def test_the_backend_gives_the_integers_of_the_interpreter(data: st.DataObject) -> None:
    """It may compute in float64, which must not show."""
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    expected, found = interpret(graph, samples, dtype=np.int64), ReferenceBackend().run(graph, samples)
    for mine, theirs in ((found.outputs, expected.outputs), (found.events, expected.events)):
        assert mine.keys() == theirs.keys()
        for name, values in theirs.items():
            assert mine[name].dtype == np.int64
            assert np.array_equal(mine[name], values), name


def test_sums_that_float64_could_round_are_computed_in_integers() -> None:
    """2**52 + 1 - 2**52: a graph whose sums are wide is not exact in float64, and is not computed there."""
    wide = Neuron(threshold=np.array(1), leak=np.array(4096), current_leak=np.array(0), bias=np.array(0),
                  reset_value=np.array(0), spikes="graded", max_payload=1 << 46,
                  fixed=FixedPoint(state_bits=40, accumulator_bits=53))  # fmt: skip
    nodes = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(scale=1.0, low=0, high=255), ("input",)),
        ("first", Linear(weight=np.eye(2, dtype=np.int8), weight_bits=8), ("encoder",)),
        ("wide", wide, ("first",)),
        ("second", Linear(weight=np.full((1, 2), 127, np.int8), weight_bits=8), ("wide",)),
        ("out", whole(Readout), ("second",)),
    ]  # fmt: skip
    graph = Graph("wide", "integer", 2, nodes, ("out",))
    assert not exact_in_float64(graph)
    samples = np.array([[3, 200]])
    assert np.array_equal(
        ReferenceBackend().run(graph, samples).outputs["out"], interpret(graph, samples).outputs["out"]
    )
