"""Our own layers, row by row: torch in float64 and the interpreter give the same spikes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from neurocompile import snn
from tests.frontend.frameworks.comparing import Numbers
from tests.frontend.frameworks.rows import OWN, Row
from tests.frontend.test_network import agree


@pytest.mark.parametrize("row", OWN, ids=str)
def test_rows(row: Row) -> None:
    net = nn.Sequential(*eval(row.code, {"snn": snn, "nn": nn, "torch": torch})).eval().double()
    numbers = Numbers(1, exact=True)
    numbers.fill(net)
    x = numbers.tensor(-1, 2, (3, *row.shape), step=1 / 8).double()
    sent = snn.record_spikes(net, x, 6)
    assert all(spikes.any() and not spikes.all() for spikes in sent.values())
    agree(net, x, 6)


def test_every_layer_of_ours_has_a_row() -> None:
    layers = {name for name in snn.__all__ if isinstance(kind := vars(snn)[name], type) and issubclass(kind, nn.Module)}
    abstract = {"Stateful", "WiredModule", "OneToOne"}  # the last is a connection of Recurrent
    assert layers - abstract == {row.layer for row in OWN}
