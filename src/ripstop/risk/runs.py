"""What sampled worlds showed: counted, handed on and added up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.shapes import Tally


@dataclass(frozen=True, eq=False)
class Counts:
    """What some worlds showed.

    Attributes:
        worlds: how many.
        hits: by node, the worlds in which its cascade counts.
        mass: by node, the sum of its cascades' masses; what it holds where `expected` was not asked is open.
        before: what happens before anything fails: in how many worlds something does, and the sum of the
            masses lost by that; empty in models in which nothing can.
    """

    worlds: int
    hits: NDArray[np.int64]
    mass: NDArray[np.int64]
    before: NDArray[np.int64]


class Run(Protocol):
    """Worlds sampled so far under one model, and what they showed."""

    @property
    def trials(self) -> int:
        """Worlds sampled so far."""
        ...

    @property
    def hits(self) -> NDArray[np.int64]:
        """Worlds in which each node's cascade exceeded theta."""
        ...

    @property
    def before(self) -> NDArray[np.int64]:
        """What happens before anything fails, as `Counts` has it."""
        ...

    @property
    def expected_share(self) -> NDArray[np.float64] | None:
        """Each node's mean share failed."""
        ...

    def extend(self, trials: int) -> None:
        """Sample on until `trials` worlds are done; all but the last call ask for multiples of 64."""
        ...

    def fresh(self) -> Run:
        """Give the same model on the same graph, nothing counted."""
        ...


class CountedRun(ABC):
    """A model laid out, which counts any worlds of its stream; counts of others can be added."""

    def __init__(self, nodes: int) -> None:
        self.trials = 0
        self.tally = empty_tally(nodes)
        self.before = np.zeros(0, np.int64)

    @property
    def hits(self) -> NDArray[np.int64]:
        """Worlds in which each node's cascade exceeded theta."""
        return self.tally.hits

    @property
    def mass(self) -> NDArray[np.int64]:
        """The sum of the masses of each node's cascades."""
        return self.tally.mass

    @property
    @abstractmethod
    def expected_share(self) -> NDArray[np.float64] | None:
        """Each node's mean share failed."""

    @abstractmethod
    def sample(self, first: int, last: int) -> None:
        """Count worlds `first` to `last` - 1; `first` begins a block of 64."""

    def extend(self, trials: int) -> None:
        """Sample on until `trials` worlds are done; all but the last call ask for multiples of 64."""
        self.sample(self.trials, trials)
        self.trials = trials

    def fresh(self) -> Self:
        """Give the same model on the same graph, nothing counted."""
        other = copy(self)
        other.trials = 0
        other.tally = empty_tally(len(self.tally.hits))
        other.before = np.zeros_like(self.before)
        return other

    def add(self, counts: Counts) -> None:
        """Add what worlds showed that were counted elsewhere."""
        self.tally.hits[:] += counts.hits
        self.tally.mass[:] += counts.mass
        self.before += counts.before
        self.trials += counts.worlds


def empty_tally(n: int) -> Tally:
    """Give a tally of nothing for n nodes."""
    return Tally(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(4, np.int64), np.zeros(1, np.uint64))
