"""Incident logs: who failed when, and where it is known because of whom.

A file holds one incident a line, as JSON:

```json
{"failures": {"drone-3": 0, "drone-7": 12.5, "drone-9": 30}, "causes": {"drone-7": "drone-3"}}
```

Times are in any one unit, from any zero. `causes` may be left out, or name only what is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ripstop.core.errors import Place
from ripstop.risk.errors import RiskInputError
from ripstop.risk.inputs import as_number
from ripstop.risk.settings import check_share
from ripstop.risk.textfile import read_text

LARGEST = 1 << 28  # bytes
MOST_PAIRS = 1 << 21  # that are taken for edges, where no graph says which are


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident: the time at which each node failed, and the known causes.

    Attributes:
        failures: time by node; what failed at the same time is taken not to have caused each other.
        causes: by node, the node whose failure caused its own.

    Raises:
        RiskInputError: C0731, for a time that is no number, no failure at all, or a cause that did not fail
            before its effect.
    """

    failures: Mapping[Hashable, float]
    causes: Mapping[Hashable, Hashable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, given in (("failures", self.failures), ("causes", self.causes)):
            if not isinstance(given, Mapping):
                raise RiskInputError(f"`{name}` is `{given}`, expected a mapping of nodes", code="C0731")
        if not self.failures:
            raise RiskInputError("an incident has no failures, expected at least one", code="C0731")
        for node, t in self.failures.items():
            if not math.isfinite(as_number(t)):
                raise RiskInputError(f"`{node}` failed at `{t}`, expected a finite number", code="C0731")
        for effect, cause in self.causes.items():
            for node in (effect, cause):
                if not isinstance(node, Hashable) or node not in self.failures:
                    raise RiskInputError(
                        f"`{cause}` is said to have caused `{effect}`, but `{node}` did not fail",
                        code="C0731",
                    )
            if self.failures[cause] >= self.failures[effect]:
                raise RiskInputError(
                    f"`{cause}` is said to have caused `{effect}`, but did not fail before it",
                    code="C0731",
                    hint="check the order of the times",
                )


def read_incidents(path: str | Path) -> tuple[Incident, ...]:
    """Read a log of incidents, one JSON object a line; empty lines are passed over.

    Raises:
        RiskInputError: C0731, with the line.
    """
    text = read_text(path, LARGEST, "C0731", "JSON lines")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(_incident(line))
            except RiskInputError as error:
                error.place = Place(str(path), number, 1)
                raise
    if not found:
        raise RiskInputError(f"`{path}` has no incident, expected at least one", code="C0731")
    return tuple(found)


def _incident(line: str) -> Incident:
    try:
        document = json.loads(line, object_pairs_hook=_once)
    except RecursionError:
        raise RiskInputError("nested too deeply for an incident", code="C0731") from None
    except ValueError as error:
        raise RiskInputError(f"not a JSON incident: {str(error).lower()}", code="C0731") from None
    if not isinstance(document, dict) or not isinstance(document.get("failures"), dict):
        raise RiskInputError("expected an object with `failures`, times by node", code="C0731")
    unknown = [key for key in document if key not in ("failures", "causes")]
    if unknown:
        raise RiskInputError(f"unknown key `{unknown[0]}`, expected `failures` and `causes`", code="C0731")
    causes = document.get("causes", {})
    if not isinstance(causes, dict) or not all(isinstance(cause, str) for cause in causes.values()):
        raise RiskInputError("expected `causes` to be an object of node names", code="C0731")
    return Incident(document["failures"], causes)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def checked_incidents(incidents: Sequence[Incident]) -> Sequence[Incident]:
    """Give the incidents, if they are some.

    Raises:
        RiskInputError: C0731.
    """
    if not isinstance(incidents, Sequence) or isinstance(incidents, str):
        raise RiskInputError(f"`{incidents}` is no sequence of incidents", code="C0731")
    for one in incidents:
        if not isinstance(one, Incident):
            raise RiskInputError(
                f"`{one}` is no incident", code="C0731", hint="make one: Incident({node: time, ...})"
            )
    return incidents


def split_incidents(
    incidents: Sequence[Incident], held_out: float
) -> tuple[tuple[Incident, ...], tuple[Incident, ...]]:
    """Give the earlier incidents and the last `held_out` share of them, in the order of the log.

    Raises:
        RiskInputError: C0715 for a share that is none, C0731 if either part would be empty.
    """
    held_out = check_share("held out", held_out, "C0715")
    cut = round(len(checked_incidents(incidents)) * (1.0 - held_out))
    if not 0 < cut < len(incidents):
        raise RiskInputError(
            f"{len(incidents)} incident(s) cannot be split at a held-out share of {held_out:g}",
            code="C0731",
            hint="give more incidents, or hold none out: --held-out 0",
        )
    return tuple(incidents[:cut]), tuple(incidents[cut:])


def seen_pairs(incidents: Sequence[Incident]) -> list[tuple[Hashable, Hashable]]:
    """List every pair of nodes of which one failed before the other in some incident, once each.

    Raises:
        RiskInputError: C0731, for more than `MOST_PAIRS`: they grow with the square of an incident's size.
    """
    found: dict[tuple[Hashable, Hashable], None] = {}
    for incident in incidents:
        order = sorted(incident.failures.items(), key=lambda item: item[1])
        for i, (later, t) in enumerate(order):
            for earlier, before in order[:i]:
                if before < t:
                    found[(earlier, later)] = None
            if len(found) > MOST_PAIRS:
                raise RiskInputError(
                    f"more than {MOST_PAIRS} pairs of nodes failed one after the other",
                    code="C0731",
                    hint="give the graph whose edges are to be learned",
                )
    return list(found)


def seen_nodes(incidents: Sequence[Incident]) -> tuple[Hashable, ...]:
    """List every node that failed, once each, in the order of the log."""
    return tuple({node: None for incident in incidents for node in incident.failures})
