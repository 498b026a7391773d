"""Units as products of powers of symbols: `m`, `m/s`, `kg*m^2/s^2`. No conversion, ever: kg is not g.

A symbol is opaque: `Wh` and `W*h` differ, so does `m` from `km`. What matters is that adding and comparing
need the same unit, and that multiplying and dividing give the product and the quotient.
"""

from __future__ import annotations

import re
from collections import Counter

from ripstop.core.recall import Recall
from ripstop.core.value import dataclass

_FACTOR = re.compile(r"(?P<symbol>[A-Za-z%°µΩ€$_][A-Za-z%°µΩ€$_]*)(?:\^(?P<power>-?[1-9][0-9]?))?\Z")


@dataclass(frozen=True, slots=True)
class Unit:
    """A product of symbols to integer powers, sorted by symbol; the empty product is dimensionless."""

    powers: tuple[tuple[str, int], ...] = ()

    def times(self, other: Unit, sign: int = 1) -> Unit:
        """Multiply by another unit, or divide by it when `sign` is -1."""
        total = Counter(dict(self.powers))
        for symbol, power in other.powers:
            total[symbol] += sign * power
        return Unit(tuple(sorted((symbol, power) for symbol, power in total.items() if power)))

    def __str__(self) -> str:
        over = [_factor(symbol, power) for symbol, power in self.powers if power > 0]
        under = [_factor(symbol, -power) for symbol, power in self.powers if power < 0]
        return "/".join(["*".join(over) or "1", *under]) if self.powers else "1"


def _factor(symbol: str, power: int) -> str:
    return symbol if power == 1 else f"{symbol}^{power}"


DIMENSIONLESS = Unit()
SECONDS = Unit((("s", 1),))


def parse_unit(text: str) -> Unit | None:
    """Read a unit as a vocabulary writes it; None when it is not one. `""` and `1` are dimensionless."""
    return _UNITS[text]


def _parse(text: str) -> Unit | None:
    unit, sign = DIMENSIONLESS, 1
    if text in ("", "1"):
        return unit
    for part in re.split(r"([*/·])", text):
        if part in ("*", "·", "/"):
            sign = -1 if part == "/" else 1
            continue
        factor = _FACTOR.match(part.strip())
        if factor is None and part.strip() != "1":
            return None
        if factor is not None:
            unit = unit.times(Unit(((factor["symbol"], int(factor["power"] or 1)),)), sign)
    return unit


_UNITS = Recall(_parse, len)  # a release names the same few for every policy
