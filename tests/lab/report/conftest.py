"""A synthetic report: invented figures in the shape of a real run, labelled as such wherever it shows."""

from collections.abc import Callable

import numpy as np
import pytest

from ripstop.lab.report.schema import (
    ARMS,
    ArmName,
    ArmRun,
    ArmSummary,
    Calibration,
    CalibrationPair,
    Dispatch,
    DroneMark,
    Happening,
    Hops,
    Interval,
    Live,
    Machine,
    Map,
    Outcome,
    Record,
    Report,
    RiskPoint,
    Scenario,
    Star,
    Step,
)

_STEPS = (
    ("Local detection", 0.04, "voltage 3.4 V against 22.1 ± 0.2 V (94 sigma); breaker opened"),
    ("Policy on the drones", 0.05, "payload capped at 0 kg; 3 hand-overs vetoed by their targets"),
    ("Telemetry", 0.06, "10 samples a second, before: 1 in 20 s"),
    ("Risk", 0.31, "load redistribution 0.74 (0.69 to 0.78), percolation 0.21"),
    ("Mitigation", 0.35, "priorities 2 to 5 pause near 7 pick-ups, 31 drones, lease 5 s"),
    ("Re-configuration", 0.36, "12 drones go through the hub `ground-station`"),
    ("Recovery", 14.2, "sensor replaced at +8 s; breaker closed; restrictions lifted"),
    ("Record", 14.9, "4 103 decisions in 158 segments verify"),
)
_EVENTS = (
    "anomaly.flagged",
    "action.vetoed",
    "sampler.hastened",
    "risk.entered",
    "intent.applied",
    "topology.changed",
    "breaker.closed",
    "record.verified",
)
_GROUNDED: dict[ArmName, float] = {
    "no fault": 0.0,
    "ungoverned": 0.74,
    "local": 0.011,
    "global": 0.045,
    "both": 0.007,
}
_DELIVERIES: dict[ArmName, float] = {
    "no fault": 763,
    "ungoverned": 387,
    "local": 741,
    "global": 702,
    "both": 750,
}


def _map(label: str, t_s: float, rng: np.random.Generator) -> Map:
    xs, ys = rng.uniform(300, 9700, (2, 150))
    xs[42], ys[42] = 4200.0, 5600.0
    near = np.hypot(xs - 4200, ys - 5600) < 2000
    after = label == "after"
    drones = tuple(
        DroneMark(
            f"drone-{i:03d}",
            float(xs[i]),
            float(ys[i]),
            "aborted"
            if i == 42 and after
            else "restricted"
            if near[i] and after
            else "waiting"
            if i % 11 == 0
            else "landed"
            if i % 17 == 0
            else "flying",
            float(rng.uniform(15, 95)),
        )
        for i in range(150)
    )
    pickups = ((4900.0, 6100.0, 1), (3800.0, 4700.0, 3), (5500.0, 5000.0, 4)) if label != "before" else ()
    members = tuple(drone.id for drone, close in zip(drones, near, strict=True) if close)
    return Map(
        label,
        t_s,
        10_000.0,
        (
            (1700.0, 1800.0),
            (5000.0, 1500.0),
            (8300.0, 2000.0),
            (1600.0, 8200.0),
            (5100.0, 8600.0),
            (8500.0, 8000.0),
        ),
        drones,
        "drone-042",
        pickups,
        tuple((x, y, 2000.0) for x, y in ((4200.0, 5600.0), (4900.0, 6100.0))) if after else (),
        Star("ground-station", members, 5100.0, 8600.0) if after else None,
    )


def _risks(rng: np.random.Generator) -> tuple[RiskPoint, ...]:
    points = []
    for t in np.arange(893.0, 917.0, 0.5):
        for model, peak in (("percolation", 0.24), ("load", 0.76)):
            level = peak if 900.2 < t < 908.5 else 0.02
            level = float(np.clip(level + rng.normal(0, 0.02), 0.0, 1.0))
            points.append(
                RiskPoint(float(t), "drone-042", model, level, max(level - 0.04, 0), level + 0.04, True)
            )
            if 901 < t < 909:
                points.append(
                    RiskPoint(float(t), "drone-042", model, level / 9, 0.0, level / 9 + 0.02, False)
                )
    return tuple(points)


def make_live(*, reached: int = 8) -> Live:
    """Invent a live part in which the first `reached` steps were reached."""
    rng = np.random.default_rng(3)
    steps = tuple(
        Step(i, name, True, wall, detail)
        if i <= reached
        else Step(i, name, False, None, "", "the risk stayed below the threshold (0.12 < 0.3)")
        for i, (name, wall, detail) in enumerate(_STEPS, 1)
    )
    dispatches = tuple(
        Dispatch(t, n, 0.21, 4.1, 9.8, 0.31, 0.9, 7.0 + t / 200, 21.0, 21.0 + t / 100, 44.0)
        for t, n in ((900.4, 150), (903.1, 150), (911.8, 150))
    )
    timeline = tuple(
        Happening(900.0 + wall, name, "drone-042", detail)
        for name, (_, wall, detail) in zip(_EVENTS, _STEPS, strict=True)
    )
    maps = tuple(
        _map(label, t, np.random.default_rng(5))
        for label, t in zip(("before", "at the fault", "after"), (890, 900, 903), strict=True)
    )
    return Live(
        seed=7,
        agents=150,
        faulty="drone-042",
        fault_t_s=900.0,
        steps=steps,
        fault_to_last_ack_s=0.43 if reached >= 6 else None,
        bar_s=2.0,
        dispatches=dispatches if reached >= 5 else (),
        risks=_risks(rng),
        timeline=timeline[:reached],
        maps=maps,
        messages={"beat": 812, "frame": 1431, "work": 402, "ack": 450, "segment": 158, "peer": 37},
        hops=Hops(mesh=25, star=12),
        record=Record(4103, 158, verified=True),
    )


def _arm(arm: ArmName, rng: np.random.Generator) -> ArmSummary:
    centre, done = _GROUNDED[arm], _DELIVERIES[arm]
    runs = []
    for seed in range(100, 106):
        share = float(
            np.clip(centre + rng.normal(0, 0.12 if centre > 0.1 else 0.004), 0 if not centre else 0.007, 1)
        )
        times = np.arange(0.0, 2401.0, 20.0)
        grown = share / (1 + np.exp(-(times - 1300) / 110)) * (times > 900)
        runs.append(
            ArmRun(
                seed,
                share,
                float(round(done + rng.normal(0, 12))),
                float(round(rng.uniform(20, 60))) if arm in ("local", "both") else 0.0,
                float(rng.uniform(900, 3000)) if arm in ("global", "both") else 0.0,
                float(rng.uniform(150, 240)),
                share > 0.2,
                tuple((float(t), float(v)) for t, v in zip(times, grown, strict=True)),
            )
        )

    def interval(values: list[float]) -> Interval:
        return Interval(float(np.mean(values)), float(np.min(values)), float(np.max(values)))

    return ArmSummary(
        arm,
        interval([run.grounded_share for run in runs]),
        interval([run.deliveries for run in runs]),
        interval([run.vetoes for run in runs]),
        interval([run.restricted_s for run in runs]),
        interval([run.speed for run in runs]),
        tuple(runs),
    )


def make_outcome(arms: tuple[ArmName, ...] = ARMS) -> Outcome:
    """Invent an outcome with six seeds."""
    rng = np.random.default_rng(4)
    pairs = tuple(
        CalibrationPair(
            seed, float(rng.beta(2, 5)), float(rng.beta(8, 2)), float(rng.uniform(0.3, 0.95)), True
        )
        if seed % 4
        else CalibrationPair(
            seed, float(rng.beta(1, 9)), float(rng.beta(2, 6)), float(rng.uniform(0, 0.1)), False
        )
        for seed in range(100, 119)
    )
    return Outcome(
        tuple(range(100, 106)),
        tuple(_arm(arm, rng) for arm in arms),
        Calibration(pairs, 0.40, 0.06),
        (
            "With both layers the fleet made 13 deliveries fewer than without the fault (750 against 763).",
            "41 hand-overs a shift were vetoed; 6 of them would have been carried without trouble.",
        ),
    )


def make_report(live: Live | None, outcome: Outcome | None) -> Report:
    """Put a report around the parts."""
    return Report(
        id="synthetic-fixture",
        made_us=1_760_000_000_000_000,
        version="0.1.0",
        command="ripstop demo drones --seed 7 (SYNTHETIC: invented figures)",
        machine=Machine("an invented processor", 2, "3.11.9"),
        scenario=Scenario(
            "drones (synthetic)", 150, "wide", "the airborne drone with the most tasks", 0.2, 0.3
        ),
        live=live,
        outcome=outcome,
    )


@pytest.fixture(scope="session")
def report() -> Report:
    return make_report(make_live(), make_outcome())


@pytest.fixture(scope="session")
def variants() -> dict[str, Callable[[], Report]]:
    """Minimal and odd reports, each of which must still make a page and tables."""
    return {
        "live only": lambda: make_report(make_live(), None),
        "outcome only": lambda: make_report(None, make_outcome()),
        "no step reached": lambda: make_report(make_live(reached=0), None),
        "below the threshold": lambda: make_report(make_live(reached=3), make_outcome()),
        "one arm": lambda: make_report(None, make_outcome(("both",))),
        "nothing": lambda: make_report(None, None),
    }
