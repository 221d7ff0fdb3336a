"""Reset to zero, because the user asked for it."""

from __future__ import annotations

import numpy as np

from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron, Readout
from neurocompile.passes.reset import ResetToZero
from tests.passes.helpers import lif, net


def test_every_neuron_resets_to_zero_and_keeps_the_rest() -> None:
    first = lif(0.5, leak=np.array(0.25), leaky_reset=False, spikes="signed", single_spike=True,
                membrane_min=np.array(-1.0))  # fmt: skip
    second = lif(1.0, reset="set", reset_value=np.array(0.75), order="fire_first")
    graph = net(("a", first, ("direct",)), ("b", second, ("a",)), ("out", Readout(), ("b",)))
    after = ResetToZero().run(graph)
    for name, before in (("a", first), ("b", second)):
        node = after.node(name)
        assert isinstance(node, Neuron)
        assert (node.reset, node.reset_value.item(), node.leaky_reset) == ("set", 0, True)
        kept = ("threshold", "leak", "bias", "order", "compare", "spikes", "single_spike", "membrane_min")
        assert all(getattr(node, field) is getattr(before, field) for field in kept)
    assert after.node("out") is graph.node("out")


def test_what_it_does() -> None:
    graph = net(("out", lif(1.0), ("direct",)), shape=(1,), steps=3)
    samples = np.array([2.5, 0, 0])[None, :, None]
    assert interpret(graph, samples).events["out"].ravel().tolist() == [1, 1, 0]
    assert interpret(ResetToZero().run(graph), samples).events["out"].ravel().tolist() == [1, 0, 0]
