"""Load redistribution on a plain graph: a failed node's load moves to its neighbours and may overload them.

Theory of operation. Every (first node, world) is a cascade of its own. Loads are valid only where a stamp
says so, so that a cascade costs what it touches and nothing is cleared in between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Counts, Indices, Tally, Unsigned

Floats = NDArray[np.float64]


class Grid(NamedTuple):
    """A loaded graph: out-edges by node with the weight in which a load is shared out, loads, masses."""

    start: Counts
    neighbour: Unsigned
    weight: Floats
    load: Floats
    mass: Counts


class Wave(NamedTuple):
    """What changes within a cascade; an entry by node counts only where its stamp is the cascade's."""

    load: Floats
    loaded_in: Counts
    failed_in: Counts
    failed: Indices
    touched: Indices
    touched_in: Counts


def make_wave(n: int) -> Wave:
    """Allocate for n nodes."""
    return Wave(
        load=np.zeros(n, np.float64),
        loaded_in=np.zeros(n, np.int64),
        failed_in=np.zeros(n, np.int64),
        failed=np.zeros(n, np.int32),
        touched=np.zeros(n, np.int32),
        touched_in=np.zeros(n, np.int64),
    )


@kernel
def share_out(grid: Grid, wave: Wave, v: int, stamp: int, touched: int) -> int:
    """Move a failed node's load to its surviving neighbours; give how many are touched by now."""
    total = 0.0
    for i in range(grid.start[v], grid.start[v + 1]):
        if wave.failed_in[grid.neighbour[i]] != stamp:
            total += grid.weight[i]
    if total == 0.0:
        return touched
    load = wave.load[v] if wave.loaded_in[v] == stamp else grid.load[v]
    for i in range(grid.start[v], grid.start[v + 1]):
        u = grid.neighbour[i]
        if wave.failed_in[u] == stamp or grid.weight[i] == 0.0:
            continue
        if wave.loaded_in[u] != stamp:
            wave.loaded_in[u] = stamp
            wave.load[u] = grid.load[u]
        wave.load[u] += load * grid.weight[i] / total
        if wave.touched_in[u] != stamp:
            wave.touched_in[u] = stamp
            wave.touched[touched] = u
            touched += 1
    return touched


@kernel
def play(grid: Grid, wave: Wave, capacity: Floats, world: int, start: tuple[int, int]) -> int:
    """Play one cascade, round by round; give how many nodes failed, listed in `wave.failed`.

    `start`: the first node, and the stamp of this cascade.
    """
    first, stamp = start
    wave.failed[0] = first
    wave.failed_in[first] = stamp
    done, count = 0, 1
    while done < count:
        touched, last = 0, count
        while done < last:
            touched = share_out(grid, wave, wave.failed[done], stamp, touched)
            done += 1
        for i in range(touched):
            u = wave.touched[i]
            wave.touched_in[u] = 0
            if wave.load[u] > capacity[world, u]:
                wave.failed_in[u] = stamp
                wave.failed[count] = u
                count += 1
    return count


@kernel
def run_worlds(grid: Grid, wave: Wave, capacity: Floats, need: int, tally: Tally) -> None:
    """Play every first node in each world, a row of `capacity`, and add what is counted to `tally`.

    The last row holds the least capacity of each node in these worlds: where nothing more fails with it,
    nothing does in any of them.
    """
    n = len(grid.mass)
    worlds = len(capacity) - 1
    stamp = 0
    for first in range(n):
        stamp += 1
        if play(grid, wave, capacity, worlds, (first, stamp)) == 1:
            tally.mass[first] += worlds * grid.mass[first]
            if grid.mass[first] >= need:
                tally.hits[first] += worlds
            continue
        for world in range(worlds):
            stamp += 1
            count = play(grid, wave, capacity, world, (first, stamp))
            mass = 0
            for k in range(count):
                mass += grid.mass[wave.failed[k]]
            tally.mass[first] += mass
            if mass >= need:
                tally.hits[first] += 1
