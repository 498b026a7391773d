"""What a shift came to: who was grounded, what was delivered, minute by minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abort:
    """One broken-off mission.

    `true_margin_wh` is the energy it really had beyond the way home at that moment; `lifted_s` is when the
    abort was lifted, or None.
    """

    agent: int
    t_s: float
    reason: str
    true_margin_wh: float
    lifted_s: float | None = None


@dataclass(frozen=True, slots=True)
class Minute:
    """The fleet at the end of a minute."""

    t_s: float
    airborne: int
    grounded: int
    delivered: int
    deferred: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The shift so far.

    `grounded_share` is of the drones airborne when the fault began, the faulty one included;
    `grounded_share_others` leaves it out of both counts; `grounded_share_fleet` is of all drones, those that
    took off later included. A drone whose abort was lifted is not grounded.
    """

    agents: int
    faulty: int | None
    airborne_at_fault: int
    grounded: int
    grounded_share: float
    grounded_share_others: float
    grounded_share_fleet: float
    exhausted: int
    deliveries: int
    deliveries_by_priority: tuple[int, ...]
    undelivered_held: int
    handovers: int
    refused: int
    deferred_task_s: float
    aborts: tuple[Abort, ...]
    minutes: tuple[Minute, ...]
