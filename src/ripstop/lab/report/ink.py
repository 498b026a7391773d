"""The colours of the charts by their part, for paper and for a page that is light or dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

from ripstop.lab.report.schema import ArmName, DroneState, Map


@dataclass(frozen=True, slots=True)
class Ink:
    """One colour for each part that a colour plays.

    The hues are Okabe and Ito's, which people with colour-blindness tell apart; every use has a shape too.
    """

    text: str
    quiet: str
    rule: str
    card: str
    blue: str
    orange: str
    red: str
    green: str
    purple: str
    grey: str


PAPER: Final = Ink(
    text="#1b2430",
    quiet="#566272",
    rule="#d5dbe3",
    card="#ffffff",
    blue="#0069a8",
    orange="#9a5b00",
    red="#b53407",
    green="#00795b",
    purple="#8a4b8f",
    grey="#7b8794",
)

# Colours that no drawing uses, so that they can be found in an SVG and given the page's own variables.
PAGE: Final = Ink(*(f"#fe{index:02x}dc" for index in range(len(fields(Ink)))))
_VARIABLES: Final = {getattr(PAGE, field.name): f"var(--{field.name})" for field in fields(Ink)}
_FOUND: Final = re.compile("|".join(_VARIABLES))


def recolour(svg: str) -> str:
    """Put the page's colour variables where a drawing made with `PAGE` has its colours."""
    return _FOUND.sub(lambda match: _VARIABLES[match.group()], svg)


@dataclass(frozen=True, slots=True)
class Mark:
    """How something is drawn: Matplotlib's marker, the name of a colour of `Ink`, filled or hollow, size."""

    marker: str
    colour: str
    hollow: bool = False
    size: float = 1.0


DRONES: Final[dict[DroneState, Mark]] = {
    "waiting": Mark("o", "grey", hollow=True, size=0.7),
    "landed": Mark("s", "grey", size=0.8),
    "flying": Mark("o", "blue"),
    "restricted": Mark("D", "orange", size=1.2),
    "aborted": Mark("X", "red", size=2.6),
}

ARM_MARKS: Final[dict[ArmName, Mark]] = {
    "no fault": Mark("s", "grey"),
    "ungoverned": Mark("X", "red"),
    "local": Mark("o", "blue"),
    "global": Mark("D", "purple"),
    "both": Mark("^", "green"),
}

MODELS: Final[tuple[Mark, ...]] = (
    Mark("o", "blue"),
    Mark("D", "orange"),
    Mark("^", "purple"),
    Mark("s", "green"),
)


def on_maps(maps: Sequence[Map]) -> tuple[tuple[str, Mark], ...]:
    """Give the legend of what is on at least one of the maps: names and marks."""
    states = {drone.state for fleet in maps for drone in fleet.drones}
    rest = (
        (any(fleet.depots for fleet in maps), "depot", Mark("^", "text", hollow=True)),
        (any(fleet.pickups for fleet in maps), "waiting pick-up", Mark("*", "purple")),
        (any(fleet.circles for fleet in maps), "work paused within", Mark("circle", "orange", hollow=True)),
        (any(fleet.star for fleet in maps), "hub", Mark("h", "purple")),
        (bool(maps), "faulty drone", Mark("ring", "text", hollow=True)),
    )
    drones = tuple((state, mark) for state, mark in DRONES.items() if state in states)
    return drones + tuple((name, mark) for is_shown, name, mark in rest if is_shown)
