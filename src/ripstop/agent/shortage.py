"""What becomes of records while the disk is short of room or takes nothing: routine permissions are counted.

They stand in the ledger as one record for a run of them, `summary` (core.journal); denials and events stay
records of their own. While nothing can be written, at most `MOST_KEPT` records wait in memory; what comes
after them is counted in the run, too.
"""

from __future__ import annotations

from collections import Counter

from ripstop.core.canonical import Json
from ripstop.core.decision import Decision, Verdict
from ripstop.core.journal import RecordKind
from ripstop.core.wire.chain import genesis, link

MOST_KEPT = 1024
MOST_TALLIES = 256
_OTHERS = ("", "", "", "")


class Shortage:
    """Says which records are counted in place of being kept, and counts them.

    Args:
        agent: whose decisions they are; the digest of a run begins with it.
        durable: whether each decision must be on stable storage before its action, so that a run in memory
            is no record of it.
    """

    def __init__(self, agent: str, *, durable: bool) -> None:
        self._agent = agent
        self._durable = durable
        self.is_short = self.is_failing = False
        self.is_on = False
        self.counted = 0
        self._kept = 0
        self._begin()

    def _begin(self) -> None:
        self.count = 0
        self._first_us = self._last_us = 0
        self._digest = genesis(self._agent)
        self._tallies: Counter[tuple[str, str, str, str]] = Counter()
        self._others: Counter[str] = Counter()

    def set(self, *, is_short: bool | None = None, is_failing: bool | None = None) -> None:
        """Take note of how the disk is."""
        if is_short is not None:
            self.is_short = is_short
        if is_failing is not None:
            self.is_failing = is_failing
            self._kept = 0
        self.is_on = self.is_failing or (self.is_short and not self._durable)

    def takes(self, kind: RecordKind, decision: Decision | None, entry: bytes, t_us: int) -> bool:
        """Count a record, if it is one that is counted now."""
        is_routine = decision is not None and decision.verdict is Verdict.ALLOW and not decision.reasons
        if not is_routine:
            if not self.is_failing:
                return False
            self._kept += 1
            if self._kept <= MOST_KEPT:
                return False
        self.count += 1
        self.counted += 1
        self._first_us = self._first_us or t_us
        self._last_us = t_us
        self._digest = link(self._digest, self.count, entry)
        if decision is None:
            self._others[kind.value] += 1
            return True
        tally = (decision.action, decision.verdict.word, decision.release, decision.intent)
        known = tally in self._tallies or len(self._tallies) < MOST_TALLIES
        self._tallies[tally if known else _OTHERS] += 1
        return True

    def take_summary(self) -> dict[str, Json] | None:
        """Give the body of the run's record, and begin a new run; None where nothing was counted."""
        if not self.count:
            return None
        names = ("action", "verdict", "release", "intent")
        body: dict[str, Json] = {
            "count": self.count,
            "first_us": self._first_us,
            "last_us": self._last_us,
            "digest": self._digest.hex(),
            "decisions": [
                {**dict(zip(names, tally, strict=True)), "count": count}
                for tally, count in self._tallies.items()
            ],
            "others": dict(self._others),
        }
        self._begin()
        return body
