"""Chance constraints: a linear comparison of independent normal estimates, without a square root.

With D = left - right ~ N(d, v), `P(D < 0) >= p` is `-d >= z * sqrt(v)` for the quantile z of p. Both sides
are squared with their signs: `-d * |d| >= z * |z| * v`. Where v = 0 it is the comparison itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass
from ripstop.policy.values import JsonLogicError, invalid_arguments, not_a_number, tidy, to_number

if TYPE_CHECKING:
    from ripstop.policy.evaluate import Machine, Scope

COMPARISONS = ("<", "<=", ">", ">=")


def signed_square_quantile(probability: float) -> float:
    """Give z|z| for the standard normal quantile z of a probability between 0 and 1."""
    from statistics import NormalDist  # late: only policies that use it pay for the import

    z = NormalDist().inv_cdf(probability)
    return z * abs(z)


def holds(op: str, mean: float, variance: float, square: float) -> bool:
    """Tell whether `D op 0` has the probability whose signed square quantile is given."""
    if variance == 0:
        return {"<": mean < 0, "<=": mean <= 0, ">": mean > 0, ">=": mean >= 0}[op]
    favour = -mean if op in ("<", "<=") else mean
    return tidy(favour * abs(favour)) >= tidy(square * variance)


@dataclass(slots=True)
class _Linear:
    """A mean, and how much of each estimate is in it."""

    mean: float
    shares: dict[str, float] = field(default_factory=dict)

    def plus(self, other: _Linear, sign: float) -> _Linear:
        shares = dict(self.shares)
        for name, share in other.shares.items():
            shares[name] = shares[name] + sign * share if name in shares else sign * share
        return _Linear(tidy(self.mean + sign * other.mean), shares)

    def scaled(self, factor: float) -> _Linear:
        return _Linear(
            tidy(self.mean * factor), {name: tidy(share * factor) for name, share in self.shares.items()}
        )

    def divided(self, divisor: float) -> _Linear:
        if divisor == 0:
            raise not_a_number("a division by zero")
        return _Linear(
            tidy(self.mean / divisor), {name: tidy(share / divisor) for name, share in self.shares.items()}
        )


@dataclass(slots=True)
class _Weighing:
    """One evaluation of a chance constraint; collects the deviations of the estimates that it meets."""

    machine: Machine
    scope: Scope
    deviations: dict[str, float] = field(default_factory=dict)

    def linear(self, rule: Json) -> _Linear:
        """Evaluate one side."""
        name = next(iter(rule)) if isinstance(rule, Mapping) and len(rule) == 1 else ""
        if isinstance(rule, Mapping) and name in ("+", "-", "*", "/"):
            raw = rule[name]
            parts = [self.linear(item) for item in (raw if isinstance(raw, list | tuple) else (raw,))]
            if not parts:
                raise invalid_arguments(f"`{name}` needs an argument")
            return self._combined(name, parts)
        value = self.machine.run(rule, self.scope)
        if not isinstance(value, Mapping) or "mean" not in value:
            return _Linear(to_number(value))
        deviation = tidy(to_number(value.get("sd")))
        if deviation < 0:
            raise not_a_number("a negative deviation")
        raw_name = rule.get(name, name) if isinstance(rule, Mapping) else name
        key = str(raw_name[0] if isinstance(raw_name, list | tuple) and raw_name else raw_name)
        self.deviations[key] = deviation
        return _Linear(tidy(to_number(value["mean"])), {key: 1})

    def _combined(self, name: str, parts: list[_Linear]) -> _Linear:
        total, *rest = parts
        if name == "-" and not rest:
            return total.scaled(-1)
        if name == "/" and not rest:
            total, rest = _Linear(1), parts
        for part in rest:
            if name in ("+", "-"):
                total = total.plus(part, 1 if name == "+" else -1)
            elif part.shares and (name == "/" or total.shares):
                raise invalid_arguments(f"`{name}` of estimates is not linear")
            elif name == "/":
                total = total.divided(part.mean)
            else:
                total = part.scaled(total.mean) if part.shares else total.scaled(part.mean)
        return total

    def variance(self, difference: _Linear) -> float:
        total: float = 0
        for name, share in difference.shares.items():
            deviation = tidy(share * self.deviations[name])
            total = tidy(total + tidy(deviation * deviation))
        return total


def weigh(machine: Machine, raw: Json, scope: Scope) -> Json:
    """Evaluate `{"chance": [comparison, probability]}`.

    Raises:
        JsonLogicError: `Invalid Arguments` where it is none, `NaN` for a negative or infinite deviation.
    """
    args = raw if isinstance(raw, list | tuple) else ()
    comparison, probability = args if len(args) == 2 else (None, None)
    op = next(iter(comparison), "") if isinstance(comparison, Mapping) else ""
    sides = comparison[op] if isinstance(comparison, Mapping) and op in COMPARISONS else ()
    is_number = isinstance(probability, int | float) and not isinstance(probability, bool)
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not is_number:
        raise invalid_arguments("`chance` needs one comparison and a probability")
    if not isinstance(probability, int | float) or not 0 < probability < 1:
        raise JsonLogicError("Invalid Arguments", "a probability lies between 0 and 1")
    weighing = _Weighing(machine, scope)
    difference = weighing.linear(sides[0]).plus(weighing.linear(sides[1]), -1)
    square = signed_square_quantile(probability)
    return holds(op, difference.mean, weighing.variance(difference), square)
