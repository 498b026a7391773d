"""How edges are put in order: counting sorts, for keys are small whole numbers."""

from __future__ import annotations

import numpy as np

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Counts, Indices


@kernel
def count_before(key: Indices, n: int) -> Counts:
    """Tell by key in 0 .. n how many entries have a lesser one, shape (n + 1,)."""
    start = np.zeros(n + 1, np.int64)
    for k in key:
        start[k + 1] += 1
    for v in range(n):
        start[v + 1] += start[v]
    return start


@kernel
def stable_order(key: Indices, n: int) -> Indices:
    """Give the order that sorts keys in 0 .. n - 1, those that are equal as they came."""
    place = count_before(key, n)
    order = np.empty(len(key), np.int32)
    for i in range(len(key)):
        order[place[key[i]]] = i
        place[key[i]] += 1
    return order
