"""Swing models and telemetry in JSON files.

```json
{"buses": [{"id": "north", "inertia": 0.1, "damping": 0.05, "power": 1.0, "reserve": 0.5},
           {"id": "south", "damping": 0.05, "power": -1.0}],
 "lines": [["north", "south", 2.0]]}
```

With `telemetry` (`t_s`, and by bus `power`, `frequency_hz` or `angle_rad`) the model is identified: a bus
then has `id`, `reserve` and whether it is a `machine` (by default it is), and a line is a pair of buses;
without `lines` all pairs may be joined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ripstop.core.errors import Place
from ripstop.risk.errors import RiskInputError
from ripstop.risk.identification import Identified, Telemetry, identify
from ripstop.risk.inputs import checked_names
from ripstop.risk.swing import SwingModel, swing_model
from ripstop.risk.textfile import read_json

LARGEST = 1 << 28  # bytes
KEYS = ("buses", "lines", "telemetry")
GIVEN = ("id", "inertia", "damping", "power", "reserve")
MEASURED = ("id", "machine", "reserve")
SERIES = ("t_s", "power", "frequency_hz", "angle_rad")


def read_swing(path: str | Path, confidence: float = 0.95) -> SwingModel | Identified:
    """Read a model, or telemetry from which one is identified.

    Raises:
        RiskInputError: C0701 for a file that cannot be read or is of another form; C0702 for a bus; C0742 to
            C0744 for what is in it.
    """
    document = read_json(path, LARGEST, "C0701")
    try:
        return swing_from_json(document, confidence)
    except RiskInputError as error:
        error.place = Place(str(path), 1, 1)
        raise


def swing_from_json(document: object, confidence: float = 0.95) -> SwingModel | Identified:
    """Build a model, or identify one, from parsed JSON.

    Raises:
        RiskInputError: as `read_swing`.
    """
    whole = _object("the file", document, KEYS)
    measured = "telemetry" in whole
    rows = whole.get("buses")
    if not isinstance(rows, list) or not rows:
        raise RiskInputError("expected `buses` to be a list of one or more", code="C0701")
    buses = [_object("a bus", row, MEASURED if measured else GIVEN) for row in rows]
    if any(not isinstance(bus.get("id"), str | int) for bus in buses):
        raise RiskInputError("a bus has no `id`, expected a name", code="C0702")
    place = {name: i for i, name in enumerate(checked_names(bus["id"] for bus in buses))}
    if any(not isinstance(bus.get("machine", True), bool) for bus in buses):
        raise RiskInputError("`machine` is no truth, expected true or false", code="C0701")
    reserve = [bus.get("reserve", math.inf) for bus in buses]
    ends, stiffness = _lines(whole.get("lines"), place, width=2 if measured else 3)
    if measured:
        return identify(
            _telemetry(whole["telemetry"], place),
            ends,
            machines=[bus.get("machine", True) for bus in buses],
            reserve=reserve,
            confidence=confidence,
        )
    inertia, damping, power = ([bus.get(key, 0.0) for bus in buses] for key in GIVEN[1:4])
    return swing_model(ends or [], stiffness, inertia, damping, power, reserve).named(place)


def _lines(
    rows: object, place: Mapping[object, int], width: int
) -> tuple[list[tuple[int, int]] | None, list[Any]]:
    if rows is None:
        return None, []
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != width for row in rows):
        form = "two buses and a stiffness" if width == 3 else "two buses"
        raise RiskInputError(f"expected `lines` to be a list of {form} each", code="C0701")
    ends = []
    for row in rows:
        for name in row[:2]:
            if not isinstance(name, str | int) or name not in place:
                raise RiskInputError(f"a line ends at `{name}`, which is no bus", code="C0702")
        ends.append((place[row[0]], place[row[1]]))
    return ends, [row[2] for row in rows if width == 3]


def _telemetry(given: object, place: Mapping[object, int]) -> Telemetry:
    series = _object("`telemetry`", given, SERIES)
    times = series.get("t_s")
    if not isinstance(times, list):
        raise RiskInputError("expected `t_s` to be a list of times", code="C0743")
    columns = {}
    for name in SERIES[1:]:
        if name not in series and name != "power":
            continue
        by_bus = _object(f"`{name}`", series.get(name), tuple(str(bus) for bus in place))
        columns[name] = [by_bus.get(str(bus)) for bus in place]
        for bus, values in zip(place, columns[name], strict=True):
            if not isinstance(values, list) or len(values) != len(times):
                raise RiskInputError(
                    f"bus `{bus}` has no `{name}` for each of {len(times)} times", code="C0743"
                )
    turned = {name: [list(row) for row in zip(*values, strict=True)] for name, values in columns.items()}
    return Telemetry(times, **turned, buses=place)


def _object(what: str, given: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise RiskInputError(f"expected {what} to be an object", code="C0701")
    unknown = [key for key in given if key not in keys]
    if unknown:
        raise RiskInputError(
            f"{what} has the unknown key `{unknown[0]}`, expected one of {', '.join(keys)}", code="C0701"
        )
    return given
