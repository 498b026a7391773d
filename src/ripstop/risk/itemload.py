"""The state that load redistribution by item starts from, and what a mitigation does to it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_array, checked_names, is_name
from ripstop.risk.kinds import Kind
from ripstop.risk.settings import check_whole

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemLoad:
    """A fleet frozen at one moment: who holds which items, who could take them, and at what cost.

    Costs and margins share one unit (watt-hours, say). Lists and arrays are taken; what is given is copied,
    checked and made read-only. n nodes, m items, k choices an item.

    Attributes:
        nodes: names, each once; all arrays by node follow their order.
        item_owner: shape (m,), position of the node that holds the item.
        targets: shape (m, k), positions of who could take the item, first choice first; -1 fills up.
        cost: shape (m, k), what the item costs that target.
        margin: shape (n,), what each node has to spare with the items it holds.
        sigma: standard deviation of the margin, shape (n,) or one for all.
        slots: how many more items a node can hold, shape (n,) or one for all.
        own_cost: shape (m,) or one for all, what the owner gets back when the item is paused.
        eligible: nodes that may take items at all, shape (n,).
        reserve: margin that a checked taker must keep, shape (n,) or one for all.
        consequence: what each node's failure weighs; equal unless given.
        per_cycle: items that a failed node hands over in one cycle, at most.
        cycles: stop after so many cycles; 0 plays to the end.

    Raises:
        RiskInputError: C0702 or C0721.
    """

    nodes: tuple[Hashable, ...]
    item_owner: Ints
    targets: Ints
    cost: Floats
    margin: Floats
    sigma: Floats | float = 0.0
    slots: Ints | int = np.iinfo(np.int32).max
    own_cost: Floats | float = 0.0
    eligible: Flags | bool = True
    reserve: Floats | float = 0.0
    consequence: Floats | float = 1.0
    per_cycle: int = 2
    cycles: int = 0

    def __post_init__(self) -> None:
        names = checked_names(self.nodes)
        object.__setattr__(self, "nodes", names)
        n, m = len(names), as_array(self.item_owner).size
        self._set("item_owner", np.int32, (m,), low=0, high=n - 1)
        table = as_array(self.targets)
        choices = table.shape[1] if table.ndim == 2 else 0
        self._set("targets", np.int32, (m, choices), low=-1, high=n - 1)
        self._set("cost", np.float64, (m, choices), low=0.0)
        self._set("own_cost", np.float64, (m,), low=0.0)
        self._set("margin", np.float64, (n,))
        self._set("sigma", np.float64, (n,), low=0.0)
        self._set("reserve", np.float64, (n,))
        self._set("consequence", np.float64, (n,), low=0.0)
        self._set("slots", np.int32, (n,), low=0)
        self._set("eligible", np.bool_, (n,))
        check_whole("per_cycle", self.per_cycle, "C0721", least=1, below=1 << 31)
        check_whole("cycles", self.cycles, "C0721", least=0, below=1 << 31)

    def _set(
        self,
        name: str,
        kind: type[np.generic],
        shape: tuple[int, ...],
        *,
        low: float = -np.inf,
        high: float = np.inf,
    ) -> None:
        object.__setattr__(
            self, name, checked_array(name, getattr(self, name), kind, shape, limits=(low, high))
        )

    def index(self, node: Hashable) -> int:
        """Give a node's position.

        Raises:
            RiskInputError: C0702, if there is no such node.
        """
        place = self._position().get(node) if is_name(node) else None
        if place is None:
            raise RiskInputError(f"there is no node `{node}` in the load state", code="C0702")
        return place

    def _position(self) -> dict[Hashable, int]:
        return {name: i for i, name in enumerate(self.nodes)}


LOAD = Kind("a load state", ItemLoad)


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadMitigation:
    """What a set of measures changes in a load state. Without any, nothing.

    Attributes:
        name: what a comparison calls it.
        paused: items, shape (m,), that are put off: not handed over, their cost back in the owner's margin.
        checked: nodes, shape (n,) or all, that take an item only if their reserve is left afterwards: a hub
            that checks each hand-over, or an admission rule on the node.
        isolated: nodes, shape (n,), that neither give nor take.
    """

    name: str = "none"
    paused: Flags | None = field(default=None)
    checked: Flags | bool = False
    isolated: Flags | None = None


MITIGATION = Kind("a measure on a load state", LoadMitigation)


def checked_array(
    name: str,
    values: ArrayLike,
    kind: type[np.generic],
    shape: tuple[int, ...],
    *,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> NDArray[np.generic]:
    """Give a read-only copy of the wanted kind and shape; one value stands for all.

    Raises:
        RiskInputError: C0721, with the name and the first wrong value.
    """
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise RiskInputError(f"`{name}` are not all numbers", code="C0721") from None
    if given.size == 0 and 0 in shape:
        given = np.zeros(shape)
    if given.ndim and given.shape != shape:
        raise RiskInputError(f"`{name}` has shape {given.shape}, expected {shape}", code="C0721")
    low, high = limits
    wrong = given[~(np.isfinite(given) & (given >= low) & (given <= high))]
    if wrong.size:
        raise RiskInputError(
            f"`{name}` has {wrong.flat[0]:g}, expected finite numbers"
            + (f" from {low:g}" if np.isfinite(low) else "")
            + (f" to {high:g}" if np.isfinite(high) else ""),
            code="C0721",
        )
    whole = np.issubdtype(kind, np.integer)
    if whole and (given != np.floor(given)).any():
        raise RiskInputError(f"`{name}` has a fraction, expected whole numbers", code="C0721")
    most = np.iinfo(np.int32).max
    array = np.ascontiguousarray(
        np.broadcast_to(np.minimum(given, most) if whole else given, shape), dtype=kind
    )
    array = array.copy()
    array.setflags(write=False)
    return array
