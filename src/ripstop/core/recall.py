"""What a pure function made of small things, remembered: few of them, and none that is large.

`functools.lru_cache` bounds how many results it keeps, not what they weigh: a thousand key sets of a megabyte
each would stay for good. Here what is large is made anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recall(dict[K, V]):
    """`recall[key]` gives `make(key)`, from memory where it can.

    A full memory begins anew. Any thread may ask: at worst a result is made twice.

    Args:
        make: pure; what it raises is raised, and not remembered.
        weigh: says how large a key is, such as its characters.
        most: how many results are kept.
        most_weight: the largest key that is remembered.
    """

    def __init__(
        self, make: Callable[[K], V], weigh: Callable[[K], int], *, most: int = 1024, most_weight: int = 1024
    ) -> None:
        super().__init__()
        self._make = make
        self._weigh = weigh
        self._most = most
        self._most_weight = most_weight

    def __missing__(self, key: K) -> V:
        """Make what is not remembered."""
        made = self._make(key)
        if self._weigh(key) <= self._most_weight:
            if len(self) >= self._most:
                self.clear()
            self[key] = made
        return made


def characters(names: tuple[str, ...]) -> int:
    """Weigh a set of keys: its characters, and one for each key."""
    return sum(map(len, names)) + len(names)
