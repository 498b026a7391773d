"""How many messages does telemetry take, and how late does the ground learn that a threshold was crossed?

    python benchmarks/bench_sampler.py [--data FOLDER] [--json]

FOLDER holds `nab/data` (or RIPSTOP_DATA names it); without it the battery is left. Four traces: a battery
that drains through flights, and three real ones (a machine's temperature, a processor's load, taxi
passengers), each sensed every second, linearly interpolated between its rows, with sensor noise of 0.2 % of
the range. One threshold each: 30 % of charge, of the others the nine-tenths quantile; `crossings/h` is how
often it is crossed, noise included: nobody that is not late sends fewer. Beside
`ripstop.agent.sampler`, on the same readings:

- every reading: what it costs never to be late;
- every tenth reading;
- three intervals: 1, 5 or 60 s by the distance from the threshold (5 %, 15 % of the range);
- send on delta: a dead band of 2 % of the range around the last value sent, and a heartbeat of 60 s.

`delay` is the longest that the ground's last value was on the wrong side of the threshold, in sensing
intervals, the first of which nobody can avoid; `error` the largest difference, in % of the range.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ripstop.agent.sampler import Sampler
from ripstop.core.vocabulary import SignalSpec

SECOND = 1_000_000
HOURS = 24
REAL = {
    "machine temperature": "realKnownCause/machine_temperature_system_failure.csv",
    "processor load": "realAWSCloudwatch/ec2_cpu_utilization_ac20cd.csv",
    "taxi passengers": "realKnownCause/nyc_taxi.csv",
}
Sender = Callable[[float, int], bool]


@dataclass(frozen=True)
class Trace:
    name: str
    values: np.ndarray
    low: float
    high: float
    threshold: float


def battery() -> np.ndarray:
    """A day of flights: half an hour down to 20 % with a wavering load, then ten minutes on the charger."""
    down = 100.0 - 80.0 * np.arange(1800) / 1800 - 2.0 * np.sin(np.arange(1800) / 45.0) ** 2
    up = np.linspace(down[-1], 100.0, 600)
    return np.tile(np.concatenate((down, up)), HOURS * 3600 // 2400)


def real(path: Path) -> np.ndarray:
    """Read a series' first day, second by second."""
    with path.open() as file:
        rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
    times = np.array([datetime.fromisoformat(t).replace(tzinfo=UTC).timestamp() for t, _ in rows])
    seconds = times[0] + np.arange(HOURS * 3600)
    return np.interp(seconds, times, [value for _, value in rows])


def traces(folder: Path, rng: np.random.Generator) -> Iterator[Trace]:
    found = {"battery": battery()}
    if (folder / "nab").is_dir():
        found |= {name: real(folder / "nab" / "data" / file) for name, file in REAL.items()}
    for name, clean in found.items():
        low, high = float(clean.min()), float(clean.max())
        noisy = clean + rng.normal(0.0, 0.002 * (high - low), len(clean))
        threshold = 30.0 if name == "battery" else float(np.quantile(clean, 0.9))
        yield Trace(name, np.clip(noisy, low, high), low, high, threshold)


# ---- the rivals ---------------------------------------------------------------------------------------


def every(seconds: int) -> Callable[[Trace], Sender]:
    return lambda trace: lambda value, second: second % seconds == 0


def three_intervals(trace: Trace) -> Sender:
    due = 0

    def is_sent(value: float, second: int) -> bool:
        nonlocal due
        if second < due:
            return False
        away = abs(value - trace.threshold) / (trace.high - trace.low)
        due = second + (1 if away < 0.05 else 5 if away < 0.15 else 60)
        return True

    return is_sent


def on_delta(trace: Trace) -> Sender:
    band, last, at = 0.02 * (trace.high - trace.low), np.inf, 0

    def is_sent(value: float, second: int) -> bool:
        nonlocal last, at
        if abs(value - last) <= band and second - at < 60:
            return False
        last, at = value, second
        return True

    return is_sent


def ours(trace: Trace) -> Sender:
    spec = SignalSpec("x", low=trace.low, high=trace.high)
    sampler = Sampler({"x": spec}, thresholds={"x": (trace.threshold,)})
    return lambda value, second: bool(sampler.pick({"x": value}, second * SECOND, second * SECOND))


SENDERS = {
    "every reading": every(1),
    "every tenth reading": every(10),
    "three intervals": three_intervals,
    "send on delta": on_delta,
    "ripstop": ours,
}


def measure(trace: Trace, sender: Sender) -> dict[str, float]:
    """Send a trace; give messages an hour, the longest delay in readings, the largest error in percent."""
    width, messages, wrong, delay, error = trace.high - trace.low, 0, 0, 0, 0.0
    known = float(trace.values[0])
    for second, value in enumerate(map(float, trace.values)):
        if sender(value, second):
            messages += 1
            known = value
        wrong = wrong + 1 if (known >= trace.threshold) != (value >= trace.threshold) else 0
        delay, error = max(delay, wrong), max(error, abs(value - known))
    return {"messages/h": messages / HOURS, "delay": 1.0 + delay, "error": 100.0 * error / width}


def crossings(trace: Trace) -> float:
    sides = trace.values >= trace.threshold
    return float((sides[1:] != sides[:-1]).sum()) / HOURS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RIPSTOP_DATA", "data")))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {
        trace.name: {name: measure(trace, make(trace)) for name, make in SENDERS.items()}
        | {"crossings/h": {"": crossings(trace)}}
        for trace in traces(args.data, np.random.default_rng(args.seed))
    }
    if args.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        crossed = figures.pop("crossings/h")
        print(f"{name:34} {'messages/h':>10} {'delay':>7} {'error %':>8}   crossings/h {crossed['']:.0f}")
        for sender, held in figures.items():
            print(f"  {sender:32} {held['messages/h']:10.1f} {held['delay']:7.0f} {held['error']:8.2f}")


if __name__ == "__main__":
    main()
