"""The ladder of local responses: warn, limit, hold, return, land, stop; one fixed order, and no flapping.

A *condition* is on or off. A *response* ties it to a rung, once it has been on for `after_s`. The ladder
stands on the highest rung that a condition demands: it climbs at once and comes down only after a dwell
during which nothing demanded so much. Each time it has to climb again soon after it came down the dwell
doubles, up to `dwell_max_s`; after so long without a demand it is short again. So whatever a condition does,
there are at most log2(dwell_max_s / dwell_s) + 2 + 3,600 / dwell_max_s descents in an hour, with at most one
climb a rung between two of them.

References:
    PX4 Autopilot, Safety configuration: the failsafe order (warn, hold, return, land, ...), its delay before
    a failsafe acts, deferral by the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum

from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError
from ripstop.core.value import dataclass

from .given import check_kinds, refusing


class Rung(IntEnum):
    """How far the agent goes by itself; each rung includes those below it.

    WARN tells. LIMIT puts the declared limits on. HOLD denies everything but failsafes. RETURN orders the
    vocabulary's failsafe actions in their order, LAND the last one, STOP (latched) all of them again.
    """

    CLEAR = 0
    WARN = 1
    LIMIT = 2
    HOLD = 3
    RETURN = 4
    LAND = 5
    STOP = 6

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Response:
    """What a condition demands once it has been on for `after_s` without a break.

    The agent's own conditions are `anomaly` (a watched signal alarms), `breaker` (it is not closed), `ledger`
    (records cannot be kept) and `link` (no round trip to the ground since the connection was lost). With a
    `policy`, a document, the condition is on while that denies by what was observed; RETURN and LAND need one
    of tier safety. Any other name is a condition that the application tells.
    """

    condition: str
    rung: Rung
    after_s: float = 0.0
    policy: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """The responses, and how long the ladder dwells.

    `limits` are what LIMIT puts on, as a policy document writes them: `{"payload_kg": {"max": 0.5}}`.
    `deferral_max_s` is for how long in all the application may put off one RETURN, `takeover_max_s` for how
    long an operator may take an action over at a time.
    """

    responses: tuple[Response, ...] = ()
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    dwell_s: float = 30.0
    dwell_max_s: float = 1800.0
    deferral_max_s: float = 60.0
    takeover_max_s: float = 600.0

    __refuse__ = refusing("a ladder", "C0374")

    def __post_init__(self) -> None:
        check_kinds("a ladder", self, "C0374")
        if not 0.0 < self.dwell_s <= self.dwell_max_s:
            raise ConfigurationError("a ladder needs 0 < `dwell_s` <= `dwell_max_s`", code="C0374")
        for response in self.responses:
            if not Rung.CLEAR < response.rung < Rung.STOP:
                raise ConfigurationError(
                    f"condition `{response.condition}` demands `{response.rung.name.lower()}`, "
                    "expected one of warn, limit, hold, return, land",
                    code="C0375",
                    hint="the stop switch is pulled by hand or by a token, never by a condition",
                )
            if not response.after_s >= 0.0:
                raise ConfigurationError(f"`after_s` of `{response.condition}` is below 0", code="C0374")


class Ladder:
    """Where the agent stands on the ladder; times are monotonic microseconds."""

    def __init__(self, settings: LadderSettings) -> None:
        self.rung = Rung.CLEAR
        self.cause = ""
        self._responses = settings.responses
        self._dwell_us = round(settings.dwell_s * 1e6)
        self._dwell_max_us = round(settings.dwell_max_s * 1e6)
        self._wait_us = self._dwell_us
        self._on_us: dict[str, int] = {}
        self._lower_us: int | None = None  # since when less than this rung is demanded
        self._came_down_us: int | None = None

    def set(self, condition: str, is_on: bool, now_us: int) -> None:
        """Say whether a condition is on."""
        if is_on:
            self._on_us.setdefault(condition, now_us)
        else:
            self._on_us.pop(condition, None)

    def is_on(self, condition: str) -> bool:
        """Whether a condition is on."""
        return condition in self._on_us

    def step(self, now_us: int) -> bool:
        """Go where the conditions demand; say whether the rung has changed."""
        demanded, cause = self._demand(now_us)
        if demanded >= self.rung:
            self._lower_us = None
            if demanded == self.rung:
                return False
            self._climb(now_us)
        else:
            if self._lower_us is None:
                self._lower_us = now_us
            if now_us - self._lower_us < self._wait_us:
                return False
            self._lower_us = None
            self._came_down_us = now_us
        self.rung, self.cause = demanded, cause
        return True

    def _climb(self, now_us: int) -> None:
        if self._came_down_us is None:
            return
        calm_us, self._came_down_us = now_us - self._came_down_us, None
        is_soon = calm_us < self._dwell_max_us
        self._wait_us = min(2 * self._wait_us, self._dwell_max_us) if is_soon else self._dwell_us

    def _demand(self, now_us: int) -> tuple[Rung, str]:
        demanded, cause = Rung.CLEAR, ""
        for response in self._responses:
            since_us = self._on_us.get(response.condition)
            if since_us is None or now_us - since_us < response.after_s * 1e6:
                continue
            if response.rung > demanded:
                demanded, cause = response.rung, response.condition
        return demanded, cause

    @property
    def next_us(self) -> int | None:
        """When the rung may change by time alone; None: not before a condition changes."""
        ends = [
            since_us + round(response.after_s * 1e6)
            for response in self._responses
            if response.rung > self.rung and (since_us := self._on_us.get(response.condition)) is not None
        ]
        if self._lower_us is not None:
            ends.append(self._lower_us + self._wait_us)
        return min(ends, default=None)
