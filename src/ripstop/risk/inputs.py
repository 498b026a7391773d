"""What goes into a risk graph, checked: names, ends, weights and quantities."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ripstop.core.errors import Place
from ripstop.risk.errors import RiskInputError

S = TypeVar("S", bound=np.generic)
QUANTITIES = ("consequence", "load", "capacity")
MOST_SUM = 1e300  # of a quantity; beyond it sums are no numbers


def frozen(array: NDArray[S]) -> NDArray[S]:
    """Make an array read-only, and give it."""
    array.setflags(write=False)
    return array


def checked_names(
    values: Iterable[Hashable], noun: str = "nodes", *, code: str = "C0702", once: bool = True
) -> tuple[Hashable, ...]:
    """Give names one after the other; `once`: no two alike.

    Raises:
        RiskInputError: with `code`.
    """
    if not is_row(values):
        raise RiskInputError(f"`{noun}` are `{str(values)[:60]}`, expected names", code=code)
    names = tuple(values)
    seen: set[Hashable] = set()
    for name in names:
        if not is_name(name):
            raise RiskInputError(
                f"`{noun}` hold `{str(name)[:60]}`, expected a name: text or a number", code=code
            )
        if once and name in seen:
            raise RiskInputError(f"`{name}` stands twice among the {noun}", code=code, hint="give each once")
        seen.add(name)
    return names


def as_numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Give the values as floats; what is no number becomes NaN, which no check lets pass."""
    try:
        given = np.asarray(values)
    except ValueError:
        return np.full(len(values) if isinstance(values, Sequence) else 0, np.nan)
    if given.dtype.kind in "iuf":
        return np.array(given, np.float64)
    return np.array([as_number(value) for value in given.ravel().tolist()], np.float64).reshape(given.shape)


def is_row(value: object) -> bool:
    """Tell whether a value holds others, one after the other: an array of no dimension does not."""
    try:
        iter(value)  # type: ignore[call-overload]  # what is asked
    except TypeError:
        return False
    return True


def is_name(value: object) -> bool:
    """Tell whether a value can be a name: NumPy's records say that they can, and cannot."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def as_array(values: ArrayLike) -> NDArray[Any]:
    """Give the values as an array; rows of different lengths become None, which no check lets pass."""
    try:
        return np.asarray(values)
    except ValueError:
        return np.array(None, dtype=object)


def as_number(value: object) -> float:
    """Give a real number as a float, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def checked_ends(ends: ArrayLike, n: int) -> NDArray[np.int32]:
    """Give the ends as positions, if they are some."""
    places = as_array(ends)
    if places.size == 0:
        return np.zeros((0, 2), np.int32)
    if places.ndim != 2 or places.shape[1] != 2 or places.dtype.kind not in "iu":
        raise RiskInputError(
            f"`ends` has shape {places.shape}, expected whole numbers, two for each edge", code="C0703"
        )
    wrong = np.flatnonzero(((places < 0) | (places >= n)).any(axis=1))
    if len(wrong):
        raise RiskInputError(
            f"edge {wrong[0]} has ends {places[wrong[0]].tolist()}, expected positions in 0..{n - 1}",
            code="C0703",
        )
    return places.astype(np.int32)


def checked_weights(
    name: str, values: ArrayLike, ends: NDArray[np.int32], names: tuple[Hashable, ...]
) -> NDArray[np.float64]:
    """Give one probability an edge."""
    p = as_numbers(values)
    if p.shape != (len(ends),):
        raise RiskInputError(
            f"`{name}` has shape {p.shape}, expected one weight for each of {len(ends)} edges", code="C0704"
        )
    wrong = np.flatnonzero(~((p >= 0.0) & (p <= 1.0)))
    if len(wrong):
        first = int(wrong[0])
        source, target = (names[i] for i in ends[first])
        raise no_probability((source, target), name, shown(values, first))
    return p


def no_probability(
    ends: tuple[Hashable, Hashable], name: str, value: str, place: Place | None = None
) -> RiskInputError:
    """Make the error of a weight that is none; `value` is as an error shows it."""
    return RiskInputError(
        f"edge `{ends[0]}` to `{ends[1]}` has `{name}` {value}, expected a probability in 0..1",
        code="C0704",
        place=place,
        hint="a weight is the probability that a failure at one end causes one at the other",
    )


def shown(values: ArrayLike, at: int) -> str:
    """Give a value as an error shows it."""
    value = np.asarray(values, dtype=object)[at]
    if value is None or isinstance(value, bool | str):
        return f"`{json.dumps(value, ensure_ascii=False)}`"
    text = str(value)
    return f"{value:g}" if isinstance(value, float) else f"`{text[:40]}{'...' * (len(text) > 40)}`"


def refuse_misspelt(node: Hashable, attributes: Mapping[str, object]) -> None:
    """Refuse a number under a name that was surely meant for a quantity; other attributes say nothing.

    Raises:
        RiskInputError: C0706.
    """
    for name, value in attributes.items():
        if name in QUANTITIES or not isinstance(name, str) or math.isnan(as_number(value)):
            continue
        near = difflib.get_close_matches(name.lower(), QUANTITIES, 1, 0.82)
        near += [known for known in QUANTITIES if sorted(known) == sorted(name.lower())]
        if near:
            raise RiskInputError(
                f"node `{node}` has `{name}`, which is not known of a node",
                code="C0706",
                hint=f"did you mean `{near[0]}`?",
            )


def checked_quantities(
    quantities: Mapping[str, ArrayLike] | None, names: tuple[Hashable, ...]
) -> dict[str, NDArray[np.float64]]:
    """Give the quantities of the nodes by name."""
    checked: dict[str, NDArray[np.float64]] = {}
    if quantities is None:
        return checked
    if not isinstance(quantities, Mapping):
        raise RiskInputError(f"`quantities` are `{quantities}`, expected values by name", code="C0706")
    for name, values in quantities.items():
        if name not in QUANTITIES:
            raise RiskInputError(
                f"`{name}` is not known of a node, expected one of {', '.join(QUANTITIES)}", code="C0706"
            )
        q = as_numbers(values)
        if q.shape != (len(names),):
            raise RiskInputError(
                f"`{name}` has shape {q.shape}, expected one value for each of {len(names)} nodes",
                code="C0706",
            )
        wrong = np.flatnonzero(~(np.isfinite(q) & (q >= 0.0)))
        if len(wrong):
            first = int(wrong[0])
            raise RiskInputError(
                f"node `{names[first]}` has `{name}` {shown(values, first)}, "
                "expected a finite number, 0 or more",
                code="C0706",
            )
        if float(q.max(initial=0.0)) * len(q) > MOST_SUM:
            raise RiskInputError(
                f"`{name}` is up to {q.max():g} for each of {len(q)} nodes, expected sums below {MOST_SUM:g}",
                code="C0706",
                hint="give it in a larger unit",
            )
        checked[name] = frozen(q)
    return checked
