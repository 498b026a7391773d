"""The words of a report, one line each."""

from __future__ import annotations

from typing import Final

GLOSSARY: Final[tuple[tuple[str, str], ...]] = (
    ("acknowledgement", "A drone's answer that it verified an intent and applied it."),
    ("arm", "One way to fly the same shift: the same seed, with other layers of governance switched on."),
    ("bar", "What a figure has to reach to be called met; set before the run."),
    (
        "breaker",
        "A switch on the drone: it opens on an anomaly, and while open the drone takes no new tasks.",
    ),
    ("Brier score", "Mean squared error of a forecast probability: 0 is perfect, 0.25 is a coin."),
    ("cascade", "A seed in which more than the share theta of the airborne fleet was grounded."),
    ("dispatch", "One signed intent on its way to all its targets and back."),
    ("global layer", "The ground: estimates the risk of a cascade, and restricts a region when it is high."),
    ("grounded", "Aborted and out of service until the end of the shift."),
    ("intent", "What the ground wants of a scope as one signed value; nothing else commands a drone."),
    ("interval", "Where the figure lies as far as these seeds or trials can tell."),
    ("lease", "How long a restriction lasts unless the ground renews it."),
    ("load redistribution", "A risk model in which a failed drone's work is added to its neighbours' work."),
    (
        "local layer",
        "On the drone: policies decide before each action, a monitor and a breaker watch its signals.",
    ),
    (
        "mesh, star",
        "Drones hand over directly to each other, or each hand-over goes through a hub that checks it.",
    ),
    ("p50, p95", "Half, and 95 in 100, of the targets were at least as quick."),
    (
        "percolation",
        "A risk model in which a failure passes along each edge once, with the edge's probability.",
    ),
    ("restricted", "Flying, with some of its work paused by an intent."),
    ("seed", "The number from which all chance of a run is drawn; the same seed gives the same run."),
    ("veto", "An action that a policy refused before it happened."),
)
