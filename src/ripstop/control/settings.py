"""What a control plane is told at its start: fleet, cadences, bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ripstop.core.errors import ConfigurationError
from ripstop.core.subjects import check_id

from .allowance import LEDGER_BYTES_S
from .mitigation.playbook import Playbook


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Cadences in seconds; `beat_s` and `work_s` are what the agents were told.

    The fleet is assessed every `incident_s` at first, when something is wrong; where nothing changes the
    interval stretches by half each time, up to `calm_s`. Every `survey_s` all agents are ranked by
    percolation (0: never). An alarm of an agent's monitor counts as evidence for `alarm_s`.
    Of one agent's ledger at most `ledger_bytes_s` are taken, on average; the rest waits at the agent.
    `assess_cost_s`, `plan_cost_s` and `identify_cost_s` are what virtual time charges for a computation.
    """

    fleet: str
    beat_s: float = 5.0
    work_s: float = 10.0
    tick_s: float = 5.0
    incident_s: float = 1.0
    calm_s: float = 10.0
    survey_s: float = 60.0
    alarm_s: float = 15.0
    assess_cost_s: float = 0.05
    plan_cost_s: float = 0.1
    identify_cost_s: float = 0.3
    ledger_bytes_s: int = LEDGER_BYTES_S
    seed: int = 0

    def check(self, playbook: Playbook) -> None:
        """Refuse cadences that cannot work together.

        Raises:
            ConfigurationError: C0101 for a fleet's name that is no id, C0211 for beats or ticks without a
                time between them or ledgers of which nothing would be taken, C0210 for a lease that would be
                over before the beats and ticks that renew it have made their round.
        """
        check_id(self.fleet)
        if self.ledger_bytes_s < 1:
            raise ConfigurationError("`ledger_bytes_s` must be 1 or more", code="C0211")
        for name in ("beat_s", "tick_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigurationError(f"`{name}` must be a number of seconds above 0", code="C0211")
        least = 2.0 * self.beat_s + 1.0
        if playbook.lease_s < least:
            raise ConfigurationError(
                f"a lease of {playbook.lease_s:g} s is too short for beats every {self.beat_s:g} s, "
                f"expected at least {least:g} s",
                code="C0210",
                hint="lengthen `lease_s` in the playbook, or let the agents beat more often",
            )
