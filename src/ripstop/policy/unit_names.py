"""The units that everybody knows, to tell a misspelt one (`kgg`, `Kg`, `secnods`) from one of somebody's own.

Any symbol is a unit (`units.py`). One that is not in this table, but is spelt nearly like one that is, gets a
lint: it would differ from all others, silently.
"""

from __future__ import annotations

import re

from ripstop.core.recall import Recall
from ripstop.policy.diagnostics import distance
from ripstop.policy.units import parse_unit

# The SI Brochure (2019), tables 2, 4 and 8, with the prefixes in use; what computers, vehicles and grids add.
_SYMBOLS = """
    s m g K A cd mol rad sr Hz N Pa J W C V F S T H Wb lm lx Bq Gy Sv Ω Ohm ohm L l t d h min kat Np
    cm dm hm cl dl kg hPa bar mbar Ah mAh Wh VA var VAr eV dB dBm B bit bps byte bytes fps rpm bpm
    % ppm ppb pu ° deg °C °F degC degF px pixel pixels percent EUR USD € $ ft in mi kn knot knots nmi
"""
_WORDS = """
    second minute hour day meter metre gram kilogram liter litre degree celsius kelvin volt watt ampere joule
    newton pascal radian count item
"""
_SMALL, _LARGE = ("n", "u", "µ", "m"), ("k", "M", "G", "T")
_WITH_SMALL = ("s", "g", "A", "V", "W", "F", "H", "L", "l", "m", "Hz", "N", "J", "Pa", "Ω")
_WITH_LARGE = ("B", "bit", "bps", "W", "Wh", "VA", "var", "eV", "m", "Hz", "N", "J", "V", "Pa", "Ω")
_KNOWN = frozenset(
    [
        *_SYMBOLS.split(),
        *(f"{word}{end}" for word in _WORDS.split() for end in ("", "s")),
        *(f"{prefix}{symbol}" for prefix in _SMALL for symbol in _WITH_SMALL),
        *(f"{prefix}{symbol}" for prefix in _LARGE for symbol in _WITH_LARGE),
    ]
)
_LONG = 5  # letters of a word that a slip still leaves recognisable
_SYMBOL = re.compile(r"[A-Za-z%°µΩ€$_]+")


def meant_unit(text: str) -> str:
    """Give the unit that was probably meant by one that holds a misspelt symbol; else an empty text."""
    return _MEANT[text]


def _meant(text: str) -> str:
    unit = parse_unit(text)
    slips = {} if unit is None else {symbol: _spelt(symbol) for symbol, _ in unit.powers}
    return _SYMBOL.sub(lambda found: slips.get(found[0]) or found[0], text) if any(slips.values()) else ""


def _spelt(symbol: str) -> str:
    """Give the known symbol that a misspelt one stands for; none for one that is known, or like no other."""
    if symbol in _KNOWN or len(symbol) > 2 * max(map(len, _KNOWN)):
        return ""
    pairs = range(len(symbol) - 1)
    swapped = [symbol[:at] + symbol[at + 1] + symbol[at] + symbol[at + 2 :] for at in pairs]
    for near in (re.sub(r"(.)\1+", r"\1", symbol), *swapped):
        if near in _KNOWN:
            return near
    same = sorted(known for known in _KNOWN if known.lower() == symbol.lower())
    if same:
        return max(same, key=lambda known: sum(a == b for a, b in zip(known, symbol, strict=True)))
    words = sorted(known for known in _KNOWN if len(known) >= _LONG <= len(symbol))
    return next((word for word in words if distance(word, symbol) == 1), "")


_MEANT = Recall(_meant, len)
