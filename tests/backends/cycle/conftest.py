"""Both implementations, which each case by hand judges."""

from __future__ import annotations

import pytest

from neurocompile.backends.cycle import simulate
from tests.backends.cycle import slow
from tests.backends.cycle.cycle_cases import Run


@pytest.fixture(params=["engine", "slow"])
def run(request: pytest.FixtureRequest) -> Run:
    return {"engine": simulate, "slow": slow.simulate}[request.param]
