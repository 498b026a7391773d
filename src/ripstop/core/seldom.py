"""What repeats is told at once, then ever more seldom, with how often it happened: a storm makes no other."""

from __future__ import annotations

from ripstop.core.value import dataclass

_LEAST_US = 1_000_000
_MOST_US = 600_000_000
_MOST_KEYS = 256


@dataclass(slots=True)
class _Kind:
    told_us: int
    last_us: int
    wait_us: int = _LEAST_US
    untold: int = 0


class Seldom:
    """Judges, by kind, whether what happens now is told: after 1 s, 2 s, 4 s, up to ten minutes.

    A kind that stayed away for as long as it was to wait is new again. At most 256 kinds are remembered,
    those that came last.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}

    def take(self, kind: str, now_us: int) -> int:
        """Take note that it happened; gives how often since it was last told, 0 where it is not told now.

        Args:
            kind: what happens.
            now_us: monotonic time.
        """
        known = self._kinds.pop(kind, None)
        if known is None or now_us - known.last_us >= known.wait_us:
            times = 1 + (known.untold if known is not None else 0)
            known = _Kind(now_us, now_us)
        elif now_us - known.told_us < known.wait_us:
            known.last_us, known.untold, times = now_us, known.untold + 1, 0
        else:
            times = known.untold + 1
            known = _Kind(now_us, now_us, min(2 * known.wait_us, _MOST_US))
        self._kinds[kind] = known  # the last one now: a dict keeps the order of insertion
        if len(self._kinds) > _MOST_KEYS:
            del self._kinds[next(iter(self._kinds))]
        return times
