"""Say in a sentence what was measured for a reason, with its quantity and unit, and the range."""

import math
from typing import Final

from pipeline.reasons.registry import Measure

_UNITS: Final = {"1/s": "per second", "px/s2": "px/s²"}  # as analysts read them

OF_PEOPLE: Final = "legitimate sessions"
OF_ACCOUNT: Final = "this account's enrolled sessions"


def measured_in_words(measure: Measure, value: float, low: float, high: float, whose: str) -> str:
    """Return the quantity, the value with its unit, and between what `whose` sessions range."""
    of = f" of {measure.share_of}" if measure.share_of else ""
    unit = "%" if measure.share_of else _UNITS.get(measure.unit, measure.unit)
    own, first, last = (
        _two_digits(100 * number if measure.share_of else number) for number in (value, low, high)
    )
    quantity = measure.words[0].upper() + measure.words[1:]
    return (
        f"{quantity}: {own} {unit}".rstrip() + f"{of}; {whose}: {first} to {last} {unit}".rstrip()
    )


def _two_digits(number: float) -> str:
    """Return a number with two significant digits, and no fewer before the point."""
    if not number:
        return "0"
    digits = 1 - math.floor(math.log10(abs(number)))
    rounded = round(number, digits)
    return f"{rounded:,.{max(digits, 0)}f}"
