"""Multilevel splitting: cascades that are stopped at each level of failed mass and continued many times.

Theory of operation. A cascade is revealed edge by edge from one failed node; its state is who failed and
whose edges are still to be looked at. The chance to reach a far level is the product of the chances to get
from each level to the next, each of which is large enough to be counted. Every particle of a stage starts
from a state, drawn at random, in which the level before was reached. With levels fixed beforehand the product
is unbiased.

References:
    Garvels (2000), The splitting method in rare event simulation, thesis, Twente (fixed effort).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Counts, Indices, Network
from ripstop.risk.kernels.words import FULL, GOLDEN, STRIDE, mix


class Particles(NamedTuple):
    """Cascades on the way, a row each.

    `queue[:tail]`: who failed, in order; the edges of `queue[head]` are revealed up to the `cursor`-th.
    `mass`: of those who failed.
    """

    failed: NDArray[np.bool_]
    queue: Indices
    head: Indices
    tail: Indices
    cursor: Indices
    mass: Counts


def make_particles(count: int, n: int) -> Particles:
    """Allocate so many particles for n nodes."""
    return Particles(
        failed=np.zeros((count, n), np.bool_),
        queue=np.zeros((count, n), np.int32),
        head=np.zeros(count, np.int32),
        tail=np.zeros(count, np.int32),
        cursor=np.zeros(count, np.int32),
        mass=np.zeros(count, np.int64),
    )


@kernel
def start(network: Network, particles: Particles, origin: int) -> None:
    """Put every particle at its beginning: only `origin` has failed."""
    for p in range(len(particles.head)):
        for v in range(len(network.mass)):
            particles.failed[p, v] = False
        particles.failed[p, origin] = True
        particles.queue[p, 0] = origin
        particles.head[p] = 0
        particles.tail[p] = 1
        particles.cursor[p] = 0
        particles.mass[p] = network.mass[origin]


@kernel
def copy_particle(source: Particles, p: int, goal: Particles, q: int) -> None:
    """Copy particle p of the source over particle q of the goal."""
    for v in range(source.failed.shape[1]):
        goal.failed[q, v] = source.failed[p, v]
    for i in range(source.tail[p]):
        goal.queue[q, i] = source.queue[p, i]
    goal.head[q] = source.head[p]
    goal.tail[q] = source.tail[p]
    goal.cursor[q] = source.cursor[p]
    goal.mass[q] = source.mass[p]


@kernel
def advance(network: Network, particles: Particles, p: int, level: int, state: np.uint64) -> bool:
    """Reveal edges until the failed mass is `level` or more; False, if the cascade dies out before."""
    out = network.out
    while particles.head[p] < particles.tail[p]:
        v = particles.queue[p, particles.head[p]]
        for i in range(out.start[v] + particles.cursor[p], out.start[v + 1]):
            u = out.neighbour[i]
            if particles.failed[p, u]:
                continue
            threshold = network.threshold[out.edge[i]]
            state += GOLDEN
            if mix(state) >= threshold and threshold != FULL:
                continue
            particles.failed[p, u] = True
            particles.queue[p, particles.tail[p]] = u
            particles.tail[p] += 1
            particles.mass[p] += network.mass[u]
            if particles.mass[p] >= level:
                particles.cursor[p] = i + 1 - out.start[v]
                return True
        particles.cursor[p] = 0
        particles.head[p] += 1
    return False


@kernel
def run_stage(
    network: Network, entrance: Particles, reached: Particles, key: np.uint64, task: tuple[int, int]
) -> int:
    """Continue particles from states drawn out of the first few of `entrance` up to a level.

    Those that reach it stand first in `reached`; gives how many. `task`: the level, and how many states there
    are to draw from. A particle that dies out leaves its last mass in its place of `reached.mass`.
    """
    level, states = task
    count = 0
    for p in range(len(reached.head)):
        stream = mix(key + np.uint64(p + 1) * STRIDE)
        drawn = int(mix(stream) % np.uint64(states))
        copy_particle(entrance, drawn, reached, count)
        if advance(network, reached, count, level, stream):
            count += 1
    return count


@kernel
def run_out(
    network: Network, entrance: Particles, reached: Particles, key: np.uint64, task: tuple[int, int]
) -> None:
    """As `run_stage`, but keep every particle's mass where it died out or reached the level."""
    level, states = task
    for p in range(len(reached.head)):
        stream = mix(key + np.uint64(p + 1) * STRIDE)
        drawn = int(mix(stream) % np.uint64(states))
        copy_particle(entrance, drawn, reached, p)
        advance(network, reached, p, level, stream)
