"""Takes telemetry frames in: what is sound goes into the rings, what is not is counted by its reason.

Defined for each sample, in this order:
    foreign     the frame speaks for another agent than the subject's, or under another vocabulary
    unknown     the signal's index is not in the vocabulary
    invalid     NaN, infinite, or outside the declared range: quarantined, it trains nothing
    future      sensed further ahead of the ground's clock than `SKEW_US`
    repeated    same agent, signal and time as the last one: dropped
    late        older than the last one of its signal: dropped, the order of a ring is the order of time
    stale       accepted, but older than the signal's max age on arrival: counted; a reader sees its time
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ripstop.core.errors import WireError
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.frame import FLAG_ALARM, SAMPLE, Frame, decode_frame

from .rings import SampleRings, Window

SKEW_US = 60_000_000
_MANY = 16
_SAMPLE = np.dtype([("t_us", "<i8"), ("value", "<f8"), ("agent", "<u2"), ("signal", "<u2"), ("flags", "<u4")])
assert _SAMPLE.itemsize == SAMPLE.size  # noqa: S101 - the frame's layout, twice declared


class Telemetry:
    """The fleet's readings as they arrive. `counts` tells samples by what became of them."""

    def __init__(self, vocabulary: Vocabulary, depth: int = 64) -> None:
        self.signals = tuple(sorted(vocabulary.signals))
        self.counts: Counter[str] = Counter()
        self._digest = bytes.fromhex(vocabulary.digest)
        specs = [vocabulary.signals[name] for name in self.signals]
        self._low = [-np.inf if s.low is None else s.low for s in specs]
        self._high = [np.inf if s.high is None else s.high for s in specs]
        self._age_us = [np.inf if s.max_age_s is None else s.max_age_s * 1e6 for s in specs]
        self._rings = SampleRings(max(1, len(specs)), depth)
        self._rows: dict[str, int] = {}
        self._columns = {name: column for column, name in enumerate(self.signals)}
        self._alarms: dict[str, int] = {}

    def take(self, agent: str, data: bytes, now_us: int) -> int:
        """Take a frame that arrived on an agent's own subject; gives the number of samples accepted.

        Raises:
            WireError: W0301 where the bytes are not a frame.
        """
        frame = decode_frame(data)
        if frame.vocabulary != self._digest or frame.agents != (agent,):
            self.counts["foreign"] += frame.count
            return 0
        row = self._rows.get(agent)
        if row is None:
            row = self._rows[agent] = self._rings.add_agent()
        if frame.count < _MANY:
            accepted = self._few(agent, row, frame, now_us)
        else:
            accepted = self._many(agent, row, frame, now_us)
        self.counts["accepted"] += accepted
        return accepted

    def _few(self, agent: str, row: int, frame: Frame, now_us: int) -> int:
        """Take a short frame sample by sample: that is sooner done than to set arrays up."""
        rings, counts = self._rings, self.counts
        first, known, latest_us = row * rings.signals, len(self.signals), now_us + SKEW_US
        accepted = 0
        for t_us, value, sender, signal, flags in frame.rows():
            if sender != 0:
                counts["foreign"] += 1
            elif signal >= known:
                counts["unknown"] += 1
            elif not self._low[signal] <= value <= self._high[signal] or value - value != 0.0:  # infinite
                counts["invalid"] += 1
            elif t_us > latest_us:
                counts["future"] += 1
            elif t_us <= (last_us := rings.last_time(first + signal)):
                counts["repeated" if t_us == last_us else "late"] += 1
            else:
                if now_us - t_us > self._age_us[signal]:
                    counts["stale"] += 1
                if flags & FLAG_ALARM:
                    self._alarms[agent] = max(t_us, self._alarms.get(agent, 0))
                rings.put(first + signal, t_us, value, flags)
                accepted += 1
        return accepted

    def _many(self, agent: str, row: int, frame: Frame, now_us: int) -> int:
        samples = np.frombuffer(frame.data, dtype=_SAMPLE, offset=frame.offset)
        kept = self._keep(samples["agent"] == 0, samples, "foreign")
        kept = self._keep(kept["signal"] < len(self.signals), kept, "unknown")
        signal, value = kept["signal"], kept["value"]
        sound = np.isfinite(value) & (value >= np.take(self._low, signal))
        sound &= value <= np.take(self._high, signal)
        kept = self._keep(sound, kept, "invalid")
        kept = self._keep(kept["t_us"] <= now_us + SKEW_US, kept, "future")
        kept = kept[np.lexsort((kept["t_us"], kept["signal"]))]
        accepted = 0
        for number in np.unique(kept["signal"]):
            accepted += self._run(agent, row, int(number), kept[kept["signal"] == number], now_us)
        return accepted

    def _keep(self, good: NDArray[np.bool_], samples: NDArray[np.void], reason: str) -> NDArray[np.void]:
        if not good.all():
            self.counts[reason] += int((~good).sum())
            samples = samples[good]
        return samples

    def _run(self, agent: str, row: int, signal: int, run: NDArray[np.void], now_us: int) -> int:
        ring = row * self._rings.signals + signal
        last = self._rings.last_time(ring)
        run = self._keep(run["t_us"] >= last, run, "late")
        fresh = np.ones(len(run), dtype=np.bool_)
        fresh[1:] = run["t_us"][1:] != run["t_us"][:-1]
        fresh &= run["t_us"] != last
        run = self._keep(fresh, run, "repeated")
        if not len(run):
            return 0
        self.counts["stale"] += int((now_us - run["t_us"] > self._age_us[signal]).sum())
        alarmed = run["t_us"][run["flags"] & FLAG_ALARM != 0]
        if len(alarmed):
            self._alarms[agent] = max(int(alarmed[-1]), self._alarms.get(agent, 0))
        times, values, flags = run["t_us"].tolist(), run["value"].tolist(), run["flags"].tolist()
        self._rings.put_run(ring, list(zip(times, values, flags, strict=True)))
        return len(run)

    def last(self, agent: str, signal: str) -> tuple[int, float] | None:
        """Give the last reading of a signal as (t_us, value)."""
        ring = self._ring(agent, signal)
        return None if ring is None else self._rings.last(ring)

    def last_alarm(self, agent: str) -> int | None:
        """Give the time of the last reading that the agent's own monitor flagged."""
        return self._alarms.get(agent)

    def window(self, agent: str, signal: str, since_us: int) -> Window | None:
        """Give an agent's readings of a signal since a time, as far as they are kept."""
        ring = self._ring(agent, signal)
        return None if ring is None else self._rings.window(ring, since_us)

    def _ring(self, agent: str, signal: str) -> int | None:
        row, column = self._rows.get(agent), self._columns.get(signal)
        return None if row is None or column is None else row * self._rings.signals + column


__all__ = ["SKEW_US", "Telemetry", "WireError"]
