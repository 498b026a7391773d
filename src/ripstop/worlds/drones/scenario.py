"""A scenario: a city, a fault, a shift; read from a mapping such as `scenarios/drones.yaml` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ripstop.core.errors import ConfigurationError
from ripstop.worlds.drones.city import City
from ripstop.worlds.faults import Fault, make_fault

Scalar = str | int | float | bool | None
Node = Scalar | Sequence["Node"] | Mapping[str, "Node"]

CHOICES = ("busiest", "drawn")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """When a gauge fails, how, and whose.

    `choice` is `busiest` (the airborne drone with the most pending tasks), `drawn` (by the seed, one airborne
    drone with at least one pending task) or a drone's number. `replaced_after_s` says when a runner may put a
    sound gauge in (None: not in this shift); the world does nothing about it by itself.
    """

    at_s: float = 900.0
    faults: tuple[Fault, ...] = ()
    choice: str | int = "busiest"
    replaced_after_s: float | None = None

    def moved(self, at_s: float) -> FaultPlan:
        """Give the same fault at another time."""
        later_s = at_s - self.at_s
        faults = tuple(replace(fault, start_s=fault.start_s + later_s) for fault in self.faults)
        return replace(self, at_s=at_s, faults=faults)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A city with its fault and the length of the shift.

    `tuning_seeds` chose the numbers; results are reported on `reporting_seeds` alone.
    """

    city: City
    fault: FaultPlan
    end_s: float = 2_400.0
    tick_s: float = 1.0
    tuning_seeds: tuple[int, ...] = ()
    reporting_seeds: tuple[int, ...] = ()

    @classmethod
    def from_mapping(cls, document: Mapping[str, Node], city: str) -> Scenario:
        """Read the scenario of one of the document's cities.

        Raises:
            ConfigurationError: a key that is unknown or missing, a value of the wrong kind or out of range.
        """
        _only(document, {"scenario", "cities", "fault", "shift", "seeds"}, "a scenario")
        cities = _mapping(document, "cities")
        if city not in cities:
            raise ConfigurationError(
                f"expected a city of the scenario, got `{city}`",
                code="C0320",
                hint="one of " + ", ".join(cities),
            )
        settings = {key: _number(_mapping(cities, city), key) for key in _mapping(cities, city)}
        shift = _mapping(document, "shift")
        _only(shift, {"end_s", "tick_s"}, "`shift`")
        seeds = _mapping(document, "seeds")
        _only(seeds, {"tuning", "reporting"}, "`seeds`")
        return cls(
            city=City.from_mapping(city, settings),
            fault=_fault_plan(_mapping(document, "fault")),
            end_s=_positive(shift, "end_s"),
            tick_s=_positive(shift, "tick_s"),
            tuning_seeds=_seeds(seeds, "tuning"),
            reporting_seeds=_seeds(seeds, "reporting"),
        )


def _fault_plan(node: Mapping[str, Node]) -> FaultPlan:
    _only(node, {"at_s", "choice", "replaced_after_s", "gauge"}, "`fault`")
    at_s = _positive(node, "at_s")
    choice = node.get("choice")
    if isinstance(choice, bool) or not (choice in CHOICES or (isinstance(choice, int) and choice >= 0)):
        raise ConfigurationError(
            f"fault needs `busiest`, `drawn` or a drone's number as `choice`, got `{choice}`", code="C0321"
        )
    gauge = node.get("gauge")
    if not isinstance(gauge, Sequence) or isinstance(gauge, str) or not gauge:
        raise ConfigurationError("fault needs a list of faults as `gauge`", code="C0322")
    faults = []
    for item in gauge:
        if not isinstance(item, Mapping):
            raise ConfigurationError(f"expected a mapping in `gauge`, got `{item}`", code="C0322")
        numbers = {key: _number(item, key) for key in item if key != "kind"}
        faults.append(make_fault(str(item.get("kind")), at_s, **numbers))
    replaced = node.get("replaced_after_s")
    return FaultPlan(
        at_s=at_s,
        faults=tuple(faults),
        choice=choice if isinstance(choice, int) else str(choice),
        replaced_after_s=None if replaced is None else _positive(node, "replaced_after_s"),
    )


def _only(node: Mapping[str, Node], known: set[str], what: str) -> None:
    for key in node:
        if key not in known:
            raise ConfigurationError(
                f"expected a key of {what}, got `{key}`",
                code="C0323",
                hint="one of " + ", ".join(sorted(known)),
            )


def _mapping(node: Mapping[str, Node], key: str) -> Mapping[str, Node]:
    value = node.get(key)
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"scenario needs a mapping `{key}`, got `{value}`", code="C0324")
    return value


def _number(node: Mapping[str, Node], key: str) -> float:
    value = node.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"scenario needs a number `{key}`, got `{value}`", code="C0325")
    return value


def _positive(node: Mapping[str, Node], key: str) -> float:
    value = _number(node, key)
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"scenario needs a positive number `{key}`, got `{value}`", code="C0325")
    return float(value)


def _seeds(node: Mapping[str, Node], key: str) -> tuple[int, ...]:
    """Read seeds: a list, or a mapping `{first, count}`."""
    value = node.get(key)
    if isinstance(value, Mapping):
        first, count = _number(value, "first"), _number(value, "count")
        return tuple(range(int(first), int(first) + int(count)))
    if isinstance(value, Sequence) and not isinstance(value, str):
        seeds = tuple(seed for seed in value if isinstance(seed, int) and not isinstance(seed, bool))
        if len(seeds) == len(value):
            return seeds
    raise ConfigurationError(f"scenario needs a list of seeds `{key}`, got `{value}`", code="C0326")
