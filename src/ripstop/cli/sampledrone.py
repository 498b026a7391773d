"""The sample drone of `ripstop agent`: a battery whose sensor can lie, a place, and a list of deliveries."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field

from ripstop.agent.voice import Burden
from ripstop.core.messages import Item

_SOURCE_V = (10.5, 12.6)  # a 3-cell lithium-polymer pack, empty and full
_DRAIN_PERCENT_S = 0.05
_FAULT = 0.15  # what a broken sensor reads of the charge
_PACK_WH = 50.0
_RESERVE_WH = 5.0
_WH_PER_M = 0.01
_CITY_M = 1000.0
_FLIGHT_M = 500.0  # from a pick-up to its drop
_PAYLOADS_KG = (0.4, 0.8, 1.6)
_SLOTS = 10  # tasks that it can hold at most
_DELIVERY_S = 30

WATCHED = ("battery_percent", "battery_v")


def _share(*words: object) -> float:
    """Give a number in [0, 1) that is always the same for these words."""
    digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


@dataclass(frozen=True, slots=True)
class Fault:
    """When the battery's sensor begins to lie, and for how long; seconds of the flight, None for never."""

    begins_s: float | None = None
    lasts_s: float | None = None

    def holds(self, flown_s: float) -> bool:
        """Whether the sensor lies now."""
        if self.begins_s is None or flown_s < self.begins_s:
            return False
        return self.lasts_s is None or flown_s < self.begins_s + self.lasts_s


@dataclass(slots=True)
class SampleDrone:
    """A drone that hovers over a place of its own in a city of a square kilometre, one tick a second.

    It has `most_tasks` deliveries on its list at most; each takes energy that its spare energy no longer has.
    """

    name: str
    charge_percent: float
    most_tasks: int = 0
    fault: Fault = field(default_factory=Fault)
    tick: int = 0
    offers: int = 0
    tasks: tuple[Item, ...] = ()

    # ---- what its sensors read ----------------------------------------------------------------------------

    @property
    def home_m(self) -> tuple[float, float]:
        """Where it hovers, metres east and north."""
        return _CITY_M * _share(self.name, "x"), _CITY_M * _share(self.name, "y")

    def percent(self) -> float:
        """The charge as the sensor reads it, with a little ripple, so that it is seen to be alive."""
        true = max(0.0, self.charge_percent - _DRAIN_PERCENT_S * self.tick)
        ripple = 0.1 * ((self.tick * 7919) % 11 - 5) / 5
        reading = (true + ripple) * (_FAULT if self.fault.holds(self.tick) else 1.0)
        return min(100.0, max(0.0, reading))

    def readings(self) -> dict[str, float]:
        """Everything that it senses in this second."""
        percent, (x_m, y_m) = self.percent(), self.home_m
        empty, full = _SOURCE_V
        return {
            "battery_percent": percent,
            "battery_v": empty + (full - empty) * percent / 100.0,
            "spare_wh": self.spare_wh(),
            "reserve_wh": _RESERVE_WH,
            "x_m": x_m + math.sin(self.tick / 7.0),  # it sways in the wind
            "y_m": y_m + math.cos(self.tick / 7.0),
            "payload_kg": 0.0,
        }

    def spare_wh(self, *more: Item) -> float:
        """What is left above the reserve after its tasks, and after these besides."""
        wh = _PACK_WH * self.percent() / 100.0
        return wh - _RESERVE_WH - _WH_PER_M * self._route_m((*self.tasks, *more))

    def _route_m(self, tasks: tuple[Item, ...]) -> float:
        """Give the length of its way: to each pick-up and drop in turn."""
        at, length_m = self.home_m, 0.0
        for task in tasks:
            pickup, drop = (task.pickup_x_m, task.pickup_y_m), (task.drop_x_m, task.drop_y_m)
            length_m += math.dist(at, pickup) + math.dist(pickup, drop)
            at = drop
        return length_m

    @property
    def may_deliver(self) -> bool:
        """Whether a delivery could be made in this second: every half minute, at a time of its own."""
        return (self.tick + int(_DELIVERY_S * _share(self.name, "turn"))) % _DELIVERY_S == 0

    # ---- what it carries ----------------------------------------------------------------------------------

    def burden(self, *, takes_work: bool) -> Burden:
        """What the ground is told of its work."""
        x_m, y_m = self.home_m
        free = max(0, _SLOTS - len(self.tasks))
        return Burden(takes_work, True, x_m, y_m, self.spare_wh(), _WH_PER_M, free, self.tasks)

    def next_offer(self) -> Item:
        """Give the delivery that it is offered next: a pick-up nearby, a drop half a kilometre on."""
        self.offers += 1
        number = self.offers
        x_m, y_m = self.home_m
        pickup = (x_m + 200.0 * (_share(self.name, number, "x") - 0.5),
                  y_m + 200.0 * (_share(self.name, number, "y") - 0.5))  # fmt: skip
        turn = math.tau * _share(self.name, number, "to")
        drop = (pickup[0] + _FLIGHT_M * math.cos(turn), pickup[1] + _FLIGHT_M * math.sin(turn))
        payload_kg = _PAYLOADS_KG[number % len(_PAYLOADS_KG)]
        return Item(f"{self.name}/{number}", 1 + number % 5, payload_kg, *pickup, *drop)

    def delivery(self, task: Item) -> dict[str, float]:
        """The context of `start_delivery`."""
        return {
            "payload_kg": task.load,
            "task_priority": task.priority,
            "pickup_x_m": task.pickup_x_m,
            "pickup_y_m": task.pickup_y_m,
        }

    def acceptance(self, task: Item) -> dict[str, float]:
        """The context of `accept_task`."""
        return {
            **self.delivery(task),
            "margin_after_wh": self.spare_wh(task) + _RESERVE_WH,
            "reserve_wh": _RESERVE_WH,
            "drop_x_m": task.drop_x_m,
            "drop_y_m": task.drop_y_m,
        }

    def take(self, task: Item) -> None:
        """Put a delivery on the list, while it has room; without a list it is as good as made."""
        if len(self.tasks) < self.most_tasks:
            self.tasks = (*self.tasks, task)

    def deliver(self, task: Item) -> None:
        """Strike a delivery off the list: it has been made."""
        self.tasks = tuple(other for other in self.tasks if other is not task)
