import numpy as np
import pytest
from networks import Builder, dense, whole

from neurocompile.backends.reference import ReferenceBackend
from neurocompile.errors import InputError
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron, PoissonEncoder, Readout


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
