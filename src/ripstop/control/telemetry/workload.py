"""What a report of work must be before anything is computed from it: one agent's figures concern all."""

from __future__ import annotations

from ripstop.core.errors import WireError
from ripstop.core.messages import Item, Workload

MOST_ITEMS = 1000
_FARTHEST_M = 1e9  # beyond any fleet on Earth, and its square is still a number
_MOST = 1e12
_DEAREST_PER_M = 1e6
_COUNT = 2**31 - 1


def check_workload(work: Workload) -> None:
    """Check that every figure is one, and within what it can be.

    Raises:
        WireError: W0209 with the first that is not.
    """
    _check("x_m", work.x_m, -_FARTHEST_M, _FARTHEST_M)
    _check("y_m", work.y_m, -_FARTHEST_M, _FARTHEST_M)
    _check("spare", work.spare, -_MOST, _MOST)
    _check("cost_per_m", work.cost_per_m, 0.0, _DEAREST_PER_M)
    _check("slots", work.slots, -_COUNT, _COUNT)
    _check("number of items", len(work.items), 0, MOST_ITEMS)
    for item in work.items:
        _check_item(item)


def _check_item(item: Item) -> None:
    _check("priority", item.priority, -_COUNT, _COUNT)
    _check("load", item.load, 0.0, _MOST)
    for name in ("pickup_x_m", "pickup_y_m", "drop_x_m", "drop_y_m"):
        _check(name, getattr(item, name), -_FARTHEST_M, _FARTHEST_M)


def _check(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # so NaN is none, too
        raise WireError(f"`{name}` is {value:g}, expected {least:g} to {most:g}", code="W0209")
