"""What is held against an agent, and how likely it makes its failure: the suspects of an assessment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ripstop.core.messages import Notice, Workload

_OPEN_STATES = frozenset({"open", "half_open", "forced_open"})


@dataclass(slots=True)
class _Record:
    alarm_us: int | None = None
    is_open: bool = False
    has_abandoned: bool = False


@dataclass(slots=True)
class EvidenceBook:
    """Evidence by agent, in the control plane's monotonic time; `alarm_us` is how long an alarm counts.

    `anomaly`: its monitor alarmed lately. `breaker_open`: it says so in beats or notices. `work_abandoned`:
    while active it takes nothing any more and has work left. Silence is no evidence.
    """

    weights: Mapping[str, float]
    alarm_us: int
    _records: dict[str, _Record] = field(default_factory=dict)

    def _of(self, agent: str) -> _Record:
        record = self._records.get(agent)
        if record is None:
            record = self._records[agent] = _Record()
        return record

    def alarm(self, agent: str, now_us: int) -> bool:
        """The agent's monitor alarmed; True where that is news."""
        record = self._of(agent)
        is_new = record.alarm_us is None or now_us - record.alarm_us > self.alarm_us
        record.alarm_us = now_us
        return is_new

    def breaker(self, agent: str, state: str) -> bool:
        """The agent's breaker is in this state; True where that is news. Closing it clears the alarms."""
        record = self._of(agent)
        is_open = state in _OPEN_STATES
        changed = record.is_open != is_open
        record.is_open = is_open
        if changed and not is_open:
            record.alarm_us = None
        return changed

    def notice(self, notice: Notice, now_us: int) -> bool:
        """Take an agent's notice; True where it changed what is held against it."""
        topic, _, event = notice.name.partition(".")
        if topic == "anomaly":
            return self.alarm(notice.agent, now_us)
        if topic == "breaker":
            state = notice.fields.get("to", {"opened": "open", "closed": "closed"}.get(event))
            return isinstance(state, str) and self.breaker(notice.agent, state)
        return False

    def workload(self, workload: Workload) -> bool:
        """Take an agent's report of its work; True where it has just abandoned it, or taken it up again."""
        record = self._of(workload.agent)
        # A landing with work left is no abandonment; giving up in the air is, and stays one on the ground.
        gives_up = workload.active and not record.is_open
        has_left = not workload.available and bool(workload.items)
        abandoned = has_left and (gives_up or record.has_abandoned)
        changed = abandoned != record.has_abandoned
        record.has_abandoned = abandoned
        return changed

    def suspicion(self, agent: str, now_us: int) -> tuple[float, str]:
        """Give the probability that the agent fails and the evidence that says so; (0, "") for none."""
        record = self._records.get(agent)
        if record is None:
            return 0.0, ""
        found = (
            (record.alarm_us is not None and now_us - record.alarm_us <= self.alarm_us, "anomaly"),
            (record.is_open, "breaker_open"),
            (record.has_abandoned, "work_abandoned"),
        )
        best = (0.0, "")
        for holds, name in found:
            if holds and self.weights.get(name, 0.0) > best[0]:
                best = (self.weights[name], name)
        return best

    def suspects(self, now_us: int) -> dict[str, float]:
        """Give every agent that something is held against, with its probability to fail, by id."""
        found = {agent: self.suspicion(agent, now_us)[0] for agent in sorted(self._records)}
        return {agent: probability for agent, probability in found.items() if probability > 0.0}
