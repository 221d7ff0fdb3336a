"""Lava gives every spike and every output of the interpreter on generated networks, with stock processes and without.

The whole path is under test: traced graph, all passes, quantization, chip time, processes, streaming.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.backends.lava import LavaBackend
from neurocompile.ir.interpret import interpret
from tests.networks import mapped_networks, samples_for

pytestmark = [
    pytest.mark.lava,
    pytest.mark.slow,
    pytest.mark.skipif(LavaBackend().unavailable() is not None, reason=str(LavaBackend().unavailable())),
]


# few examples: every one starts Lava, which takes some 0.4 s
@settings(max_examples=30)
@given(data=st.data(), stock=st.booleans())
def test_lava_equals_the_interpreter(data: st.DataObject, stock: bool) -> None:
    integer, mapped = data.draw(mapped_networks())
    samples = data.draw(samples_for(integer))
    expected = interpret(integer, samples)
    found = LavaBackend(use_stock=stock).run(mapped, samples, timeout_s=60)
    assert found.outputs.keys() == expected.outputs.keys()
    assert found.events.keys() == expected.events.keys()
    for name, values in expected.outputs.items():
        np.testing.assert_array_equal(found.outputs[name], values, err_msg=f"output {name}")
    for name, events in expected.events.items():
        np.testing.assert_array_equal(found.events[name], events, err_msg=f"events of {name}")
