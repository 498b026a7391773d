"""Load redistribution by item: a failed node hands its items over, and who takes too much fails in turn.

Theory of operation. Each world has its own margins (the declared ones plus noise) and is played cycle by
cycle from the same frozen state. Items hang in one linked list a node, in the order of the arrays, so that a
world is set up by copying a few short arrays and an item moves in constant time. Nothing comes back within a
world: slots, margins and takers only shrink, so an item that finds no taker once never finds one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel
from ripstop.risk.kernels.shapes import Counts, Indices

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
NONE = -1


class ItemState(NamedTuple):
    """A fleet frozen at one moment, mitigations already applied.

    `head`, `tail`, `next`: the items of each node as linked lists. `targets`, `cost`: shape (items,
    choices), nearest first. `room`: what each node can still spend. `takes`: eligible nodes. `checked`:
    nodes that take an item only if `reserve` is left afterwards. `movable`: items that may change hands.
    `limits`: most items that a node hands over in a cycle, most cycles (0: no limit).
    """

    head: Indices
    tail: Indices
    next: Indices
    targets: Indices
    cost: Floats
    room: Floats
    reserve: Floats
    slots: Indices
    takes: Flags
    checked: Flags
    movable: Flags
    mass: Counts
    limits: Counts


class ItemOutcome(NamedTuple):
    """By world: mass failed, items moved and dropped, cycles. By node: worlds in which it failed."""

    mass: Counts
    moved: Counts
    dropped: Counts
    cycles: Counts
    failures: Counts


class Play(NamedTuple):
    """What changes while one world is played. `failed` lists nodes in the order in which they failed.

    `figures`: items moved, items dropped, cycles.
    """

    head: Indices
    tail: Indices
    next: Indices
    room: Floats
    slots: Indices
    is_failed: Flags
    failed: Indices
    touched: Indices
    touched_in: Counts
    figures: Counts


def make_play(state: ItemState) -> Play:
    """Allocate for one fleet; used again for every world."""
    n = len(state.room)
    return Play(
        head=np.zeros(n, np.int32),
        tail=np.zeros(n, np.int32),
        next=np.zeros(len(state.next), np.int32),
        room=np.zeros(n, np.float64),
        slots=np.zeros(n, np.int32),
        is_failed=np.zeros(n, np.bool_),
        failed=np.zeros(n, np.int32),
        touched=np.zeros(n, np.int32),
        touched_in=np.zeros(n, np.int64),
        figures=np.zeros(3, np.int64),
    )


@kernel
def taker_of(state: ItemState, play: Play, item: int) -> int:
    """Give the place of the first choice that can take an item, -1 if there is none."""
    for choice in range(state.targets.shape[1]):
        j = state.targets[item, choice]
        if j < 0 or play.is_failed[j] or not state.takes[j] or play.slots[j] <= 0:
            continue
        if state.checked[j] and play.room[j] - state.cost[item, choice] < state.reserve[j]:
            continue
        return choice
    return NONE


@kernel
def give(state: ItemState, play: Play, item: int, choice: int) -> int:
    """Hang an item to its taker's list and charge the taker; give the taker."""
    j = int(state.targets[item, choice])
    play.slots[j] -= 1
    play.room[j] -= state.cost[item, choice]
    play.next[item] = NONE
    if play.head[j] == NONE:
        play.head[j] = item
    else:
        play.next[play.tail[j]] = item
    play.tail[j] = item
    return j


@kernel
def hand_over(state: ItemState, play: Play, count: int, cycle: int) -> int:
    """Let each of the first `count` failed nodes hand over in one cycle; give how many nodes took any."""
    touched = 0
    for k in range(count):
        v = play.failed[k]
        given = 0
        while given < state.limits[0] and play.head[v] != NONE:
            item = play.head[v]
            play.head[v] = play.next[item]
            if not state.movable[item]:
                continue
            choice = taker_of(state, play, item)
            if choice == NONE:
                play.figures[1] += 1
                continue
            given += 1
            play.figures[0] += 1
            j = give(state, play, item, choice)
            if play.touched_in[j] != cycle:
                play.touched_in[j] = cycle
                play.touched[touched] = j
                touched += 1
    return touched


@kernel
def play_world(state: ItemState, play: Play, noise: Floats, world: int, count: int) -> int:
    """Play one world from its first `count` failed nodes; give how many failed in the end.

    A node fails at the end of a cycle in which it took something, when what it has left plus its noise is
    below zero: the model tells what the first failure causes, so a node that took nothing stays.
    """
    cycle = 0
    idle = 0  # failed nodes before this place have nothing left to hand over
    while state.limits[1] == 0 or cycle < state.limits[1]:
        while idle < count and play.head[play.failed[idle]] == NONE:
            idle += 1
        if idle == count:
            break
        cycle += 1
        touched = hand_over(state, play, count, cycle)
        for i in range(touched):
            j = play.touched[i]
            if play.room[j] + noise[world, j] < 0.0:
                play.is_failed[j] = True
                play.failed[count] = j
                count += 1
    play.figures[2] = cycle
    return count


@kernel
def set_up(state: ItemState, play: Play, failing: Indices) -> None:
    """Put the frozen state back, with the given nodes failed."""
    # Loops, for copies of slices take numba five times as long to compile.
    for v in range(len(state.room)):
        play.head[v] = state.head[v]
        play.tail[v] = state.tail[v]
        play.room[v] = state.room[v]
        play.slots[v] = state.slots[v]
        play.is_failed[v] = False
        play.touched_in[v] = 0
    for item in range(len(state.next)):
        play.next[item] = state.next[item]
    for i in range(len(play.figures)):
        play.figures[i] = 0
    for k in range(len(failing)):
        play.failed[k] = failing[k]
        play.is_failed[failing[k]] = True


@kernel
def run_worlds(state: ItemState, play: Play, failing: Indices, noise: Floats, outcome: ItemOutcome) -> None:
    """Play one world for each row of `noise`, all from the same failing nodes."""
    for world in range(noise.shape[0]):
        set_up(state, play, failing)
        count = play_world(state, play, noise, world, len(failing))
        outcome.mass[world] = 0
        for k in range(count):
            v = play.failed[k]
            outcome.mass[world] += state.mass[v]
            outcome.failures[v] += 1
        outcome.moved[world] = play.figures[0]
        outcome.dropped[world] = play.figures[1]
        outcome.cycles[world] = play.figures[2]
