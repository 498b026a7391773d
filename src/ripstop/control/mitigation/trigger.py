"""A playbook's trigger: JSON-Logic over the risk report, besides `low >= enter`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError, Place
from ripstop.policy import JsonLogicError, apply

FIELDS = (
    "probability", "low", "high", "enter", "exit", "theta", "suspects", "airborne", "fault_probability",
    "expected_share", "other_probability", "other_low", "other_high",
    "margin_is_short", "margin_is_known", "damping_low", "headroom_low",
)  # fmt: skip


class Trigger:
    """A checked trigger; it reads the fields of `FIELDS` and nothing else."""

    def __init__(self, rule: Mapping[str, object], place: Place | None = None) -> None:
        """Check the rule against a report of zeros.

        Raises:
            ConfigurationError: C0202 for an unknown field or an expression that cannot be evaluated.
        """
        self._rule = cast(Json, rule)  # a playbook is read from JSON or YAML
        place = place or Place(pointer="/trigger")
        for name in _variables(rule):
            if name not in FIELDS:
                raise ConfigurationError(
                    f"the risk report has no `{name}`", code="C0202", hint="known: " + ", ".join(FIELDS),
                    place=place,
                )  # fmt: skip
        try:
            apply(self._rule, dict.fromkeys(FIELDS, 0.0))
        except JsonLogicError as error:
            raise ConfigurationError(
                f"the trigger cannot be evaluated: {error}", code="C0202", place=place
            ) from error

    def holds(self, report: Mapping[str, float]) -> bool:
        """Whether a report fulfils it; an evaluation that fails does not."""
        try:
            return bool(apply(self._rule, dict(report)))
        except JsonLogicError:
            return False  # e.g. a division by a zero that only occurs now: no reason to step in


def _variables(rule: object) -> Iterator[object]:
    if isinstance(rule, Mapping):
        for operator, operands in rule.items():
            if operator in ("var", "val"):
                yield operands[0] if isinstance(operands, list | tuple) and operands else operands
            else:
                yield from _variables(operands)
    elif isinstance(rule, list | tuple):
        for item in rule:
            yield from _variables(item)
