"""A number that says its unit, how it was come by and where it was read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from neurocompile.hardware.record import NUMBER_TRAP, Record, refusal, shown

Basis = Literal["architectural", "measured", "simulated", "fitted", "derived", "assumed"]
"""How a number was come by, strongest first.

``architectural``: a design decision stated by the maker, exact by nature, so that multiplying by it weakens nothing;
``measured``: on silicon; ``simulated``: from a circuit model before silicon; ``fitted``: a parameter chosen so that a
model reproduces measurements; ``derived``: computed from other published numbers; ``assumed``: our choice.
"""
BASES: tuple[Basis, ...] = get_args(Basis)

_LARGEST = 10**18
_COUNTED = frozenset(
    {"axons", "bits", "bytes", "cores", "entries", "messages", "neurons", "steps", "synapses", "tiles", "words"}
)


def weakest_basis(bases: Iterable[Basis]) -> Basis:
    """The basis of a total whose terms have these bases; ValueError if there are no terms."""
    return max(bases, key=BASES.index)


def _number(value: Any) -> Any:
    if isinstance(value, str):
        raise refusal(f"found the text {shown(value)}, expected a number", NUMBER_TRAP)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(f"found {shown(value)}, expected a number", "write the number, or make the whole quantity null")
    if isinstance(value, float) and not math.isfinite(value):
        raise refusal(f"found {value}, expected a finite number", "make the whole quantity null if it is unknown")
    if not 0 <= value <= _LARGEST:
        raise refusal(f"found {shown(value)}, expected 0 to {_LARGEST:.0e}", "check the sign and the unit")
    return value


class Quantity(Record):
    """One number of a profile; an unknown number is a bare null instead."""

    value: Annotated[int | float, BeforeValidator(_number)]
    unit: str
    basis: Basis
    source: Annotated[str, Field(min_length=1)]

    @property
    def count(self) -> int:
        """The value of a quantity whose unit counts things (bits, words, cores, ...)."""
        return int(self.value)


@dataclass(frozen=True)
class Unit:
    """The unit that a field wants, and the range that makes sense there (both ends included)."""

    name: str
    minimum: int = 0
    maximum: int = _LARGEST

    def check(self, quantity: Quantity | None) -> Quantity | None:
        if quantity is None:
            return None
        if quantity.unit != self.name:
            raise refusal(f"unit {shown(quantity.unit)}, expected {self.name!r}", "convert the value", key="unit")
        if self.name in _COUNTED and not isinstance(quantity.value, int):
            raise refusal(f"found {quantity.value}, expected a whole number of {self.name}", "round it", key="value")
        if not self.minimum <= quantity.value <= self.maximum:
            limits = f"{self.minimum} to {self.maximum} {self.name}"
            raise refusal(f"found {quantity.value}, expected {limits}", "correct the value", key="value")
        return quantity

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {"minimum": self.minimum, "maximum": self.maximum}
        if self.name in _COUNTED:
            number["multipleOf"] = 1
        return {
            **handler(schema),
            "description": f"a quantity in {self.name}, from {self.minimum} to {self.maximum}",
            "properties": {"unit": {"const": self.name}, "value": number},  # null has none
        }


# Nullable: a null says "unknown".
Energy = Annotated[Quantity | None, Unit("pJ")]
Time = Annotated[Quantity | None, Unit("ns")]
Cycles = Annotated[Quantity | None, Unit("cycles")]  # may be a fraction: a mean
Power = Annotated[Quantity | None, Unit("mW")]
Frequency = Annotated[Quantity | None, Unit("MHz")]
Neurons = Annotated[Quantity | None, Unit("neurons", 1)]
Axons = Annotated[Quantity | None, Unit("axons", 1)]
Words = Annotated[Quantity | None, Unit("words", 1)]
Synapses = Annotated[Quantity | None, Unit("synapses", 1)]
Messages = Annotated[Quantity | None, Unit("messages", 1, 1 << 20)]
Entries = Annotated[Quantity | None, Unit("entries", 1)]
Steps = Annotated[Quantity | None, Unit("steps")]
WordBits = Annotated[Quantity | None, Unit("bits", 1, 4096)]

# Never null: without them there is nothing to compute with.
Duration = Annotated[Quantity, Unit("ns")]
Tiles = Annotated[Quantity, Unit("tiles", 1, 4096)]
Cores = Annotated[Quantity, Unit("cores", 1, 4096)]
Width = Annotated[Quantity, Unit("bits", 1, 64)]
Bits = Annotated[Quantity, Unit("bits", 0, 64)]
MemoryWord = Annotated[Quantity, Unit("bits", 1, 4096)]
