"""What the planner and the drones wish to do: asked here, settled by others, each at most once."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TakeOff:
    """A drone wants to leave its depot on a new tour."""

    serial: int
    agent: int


@dataclass(frozen=True, slots=True)
class Handover:
    """The planner wants to move a pending task from an aborted drone to another."""

    serial: int
    task: int
    origin: int
    target: int


class Occasion(enum.Enum):
    """Why a drone asks for a delivery."""

    LEG = "leg"  # it would fly to the pick-up now
    RESUME = "resume"  # the task had been deferred, and would fit again
    REVIEW = "review"  # may the task stay on its list? (asked when told to look again)


@dataclass(frozen=True, slots=True)
class StartDelivery:
    """A drone wants to do a delivery; refused, the task is (or stays) deferred."""

    serial: int
    agent: int
    task: int
    occasion: Occasion = Occasion.LEG


Request = TakeOff | Handover | StartDelivery


class Settled(enum.Enum):
    """What became of a request."""

    APPLIED = "applied"
    REFUSED = "refused"
    LAPSED = "lapsed"  # too late, or who asked is no longer there


class Desk:
    """The open requests: given out once, settled once, lapsing when nobody answers."""

    def __init__(self, answer_within_s: float) -> None:
        self._within = answer_within_s
        self._serial = 0
        self._open: dict[int, tuple[Request, float]] = {}
        self._fresh: list[int] = []
        self._tasks: dict[int, int] = {}

    def take_off(self, agent: int, t_s: float) -> None:
        """Ask for a take-off."""
        self._file(TakeOff(self._next(), agent), t_s)

    def hand_over(self, task: int, origin: int, target: int, t_s: float) -> None:
        """Ask for a hand-over."""
        self._file(Handover(self._next(), task, origin, target), t_s)

    def start(self, agent: int, task: int, t_s: float, occasion: Occasion = Occasion.LEG) -> None:
        """Ask for a delivery."""
        self._file(StartDelivery(self._next(), agent, task, occasion), t_s)

    def fresh(self) -> tuple[Request, ...]:
        """Give the open requests that have not been given out yet."""
        given = tuple(self._open[serial][0] for serial in self._fresh if serial in self._open)
        self._fresh.clear()
        return given

    def close(self, request: Request) -> bool:
        """Take a request off the desk; false when it is not (or no longer) there."""
        filed = self._open.get(request.serial)
        if filed is None or filed[0] != request:
            return False
        del self._open[request.serial]
        if not isinstance(request, TakeOff):
            self._tasks.pop(request.task, None)
        return True

    def expired(self, t_s: float) -> tuple[Request, ...]:
        """Take off the desk, and give, what nobody has answered in time."""
        old = tuple(request for request, filed_s in self._open.values() if t_s - filed_s > self._within)
        for request in old:
            self.close(request)
        return old

    def withdraw(self, agent: int) -> None:
        """Take off the desk whatever a drone has asked for itself or offered to others."""
        for request, _ in tuple(self._open.values()):
            asker = request.origin if isinstance(request, Handover) else request.agent
            if asker == agent:
                self.close(request)

    def awaits(self, task: int) -> bool:
        """Tell whether a request about a task is open."""
        return task in self._tasks

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _file(self, request: Request, t_s: float) -> None:
        self._open[request.serial] = (request, t_s)
        self._fresh.append(request.serial)
        if not isinstance(request, TakeOff):
            self._tasks[request.task] = request.serial
