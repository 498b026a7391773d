"""Forecasts of crossings: how well they rank, how their bands hold, how fast they are, beside rivals.

    pip install statsmodels
    python benchmarks/bench_forecast.py [--data FOLDER] [--series taxi,cpu] [--epochs 30] [--part adapting]

FOLDER holds `nab/data` (or RIPSTOP_DATA names it); without it two generated series are left. Each series is
cut once: the first three quarters are given to training (which cuts them again, to fit, select, calibrate and
decide on promotion), the last quarter is seen by nothing. Shown there, 60 samples in and 30 ahead, is the
area under the curve for "crosses the limit within 30 samples", over windows that have not crossed; the limit
is the 90 % quantile of what was fitted on, or 20 % of a battery. Rivals in the same run: persistence, the
straight line through the window (Prometheus' `predict_linear`), and statsmodels' AutoReg of order 60. All get
their probability in the same way, from their own errors on the calibration part. "LSTM+AR" is the network
whether or not it was promoted, "served" what `read_model` answers: the network where it was, else the AR.

Adapting: probabilities by the AR alone, as calibrated and adapted to errors that were seen by then, for the
limit above and for six more: quantiles .75, .9 and .97 of what is unseen, and the same from below.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ripstop.core.errors import ConfigurationError
from ripstop.risk.calibration import auc, brier
from ripstop.risk.forecast import (
    Forecaster,
    Limit,
    Training,
    Watch,
    fit,
    fit_each,
    read_model,
    train,
    write_model,
)
from ripstop.risk.forecast.adaptation import Adaptation, joined
from ripstop.risk.forecast.autoregression import Autoregression, rolled
from ripstop.risk.forecast.evaluation import score
from ripstop.risk.forecast.forecaster import PATHS, errors_of
from ripstop.risk.forecast.record import Score
from ripstop.risk.forecast.series import Windows, windows_of

WINDOW, HORIZON = 60, 30
SEEN = 0.75
NAB = {
    "temperature": "realKnownCause/machine_temperature_system_failure",
    "cpu": "realKnownCause/cpu_utilization_asg_misconfiguration",
    "taxi": "realKnownCause/nyc_taxi",
    "cpu-2": "realAWSCloudwatch/ec2_cpu_utilization_5f5533",
    "office": "realKnownCause/ambient_temperature_system_failure",
}


@dataclass(frozen=True)
class Case:
    """One metric: its name, its histories, its limit (by default a quantile)."""

    name: str
    histories: list[np.ndarray]
    limit: Limit | None = None


def battery(drones: int = 6, samples: int = 3000) -> Case:
    """Charge in percent: flown down under gusts, changed for a full one somewhere between 14 and 6 %."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(drones):
        charge, gust, change, values = 100.0, 0.0, 10.0, []
        for _ in range(samples):
            gust = 0.97 * gust + rng.normal(0, 0.06)
            charge -= max(0.35 * (1.0 + gust), 0.0)
            if charge < change:
                charge, change = 100.0 - rng.uniform(0, 5), rng.uniform(6, 14)
            values.append(charge + rng.normal(0, 0.3))
        rows.append(np.array(values))
    return Case("battery", rows, Limit(20.0, "below"))


def working_days(days: int = 140) -> Case:
    """Half-hourly demand: two kinds of day, each with its shape, that the night before gives away."""
    rng = np.random.default_rng(2)
    hour = np.arange(48) / 2.0
    busy = np.exp(-((hour - 8.5) ** 2) / 3) + 1.2 * np.exp(-((hour - 18) ** 2) / 4)
    lazy = 0.9 * np.exp(-((hour - 14) ** 2) / 14) + 0.7 * np.exp(-((hour - 1) ** 2) / 3)
    shapes = [lazy if day % 7 in (5, 6) else busy for day in range(days)]
    values = np.concatenate(shapes) * rng.normal(1, 0.05, days).repeat(48)
    return Case("working days", [values + rng.normal(0, 0.05, len(values))])


def recorded(folder: Path) -> list[Case]:
    found = []
    for name, path in NAB.items():
        file = folder / "nab" / "data" / f"{path}.csv"
        if file.exists():
            with file.open() as lines:
                found.append(Case(name, [np.array([float(row["value"]) for row in csv.DictReader(lines)])]))
    return found


@dataclass(frozen=True)
class Parts:
    """What a model is judged with, standardised: calibration windows, and windows nothing has seen."""

    select_by: Windows
    calibrate: Windows
    unseen: Windows

    @staticmethod
    def of(case: Case, model: Forecaster) -> Parts:
        whole = [(row - model.mean[0]) / model.scale[0] for row in case.histories]
        seen = [row[: int(SEEN * len(row))] for row in whole]
        pasts, futures = [], []
        for row in whole:
            last = row[int(SEEN * len(row)) - WINDOW :]
            views = np.lib.stride_tricks.sliding_window_view(last, WINDOW + HORIZON)
            pasts.append(views[:, :WINDOW])
            futures.append(views[:, WINDOW:])
        past, future = np.concatenate(pasts), np.concatenate(futures)
        unseen = Windows(past, future, np.zeros(len(past), np.int64))
        return Parts(
            windows_of(seen, 1, WINDOW, HORIZON),
            windows_of(seen, 2, WINDOW, HORIZON).thinned(PATHS),
            unseen,
        )


def rival(model: Forecaster, parts: Parts, matrix: np.ndarray, limit: Limit) -> Score:
    ar = Autoregression(matrix[None], (0,), (0.0,))
    paths, spread_of = ((w.future - ar.predict(w.past))[None] for w in (parts.calibrate, parts.select_by))
    other = Forecaster(WINDOW, HORIZON, 1.0, model.mean, model.scale, ar, errors_of(paths, spread_of))
    return score(other, parts.unseen, limit, 0.9)


def persistence() -> np.ndarray:
    matrix = np.zeros((WINDOW + 1, HORIZON))
    matrix[WINDOW - 1] = 1.0
    return matrix


def straight_line() -> np.ndarray:
    t = np.arange(WINDOW + HORIZON)[:, None] ** np.arange(2)
    return np.vstack([(t[WINDOW:] @ np.linalg.pinv(t[:WINDOW])).T, np.zeros(HORIZON)])


def auto_reg(case: Case, model: Forecaster) -> np.ndarray | None:
    """Coefficients that statsmodels finds on the same part of the first history, rolled forward."""
    try:
        from statsmodels.tsa.ar_model import AutoReg
    except ModuleNotFoundError:
        return None
    row = case.histories[0]
    row = (row[: int(0.55 * SEEN * len(row))] - model.mean[0]) / model.scale[0]
    found = AutoReg(row, WINDOW).fit().params
    return rolled(np.append(found[:0:-1], found[0])[None], WINDOW, HORIZON)[0]


def bench_accuracy(cases: list[Case], epochs: int) -> None:
    print("area under the curve for crossing the limit within 30 samples; coverage of the 90 % band")
    print(
        f"{'series':13} {'windows':>8} {'cross':>6} | {'persist':>7} {'linear':>7} {'AutoReg':>7} {'AR':>7} "
        f"{'LSTM+AR':>7} {'served':>7} | {'cover':>6} {'adapt':>6} | train s"
    )
    for case in cases:
        seen = [row[: int(SEEN * len(row))] for row in case.histories]
        start = time.perf_counter()
        made = train(seen, settings=Training(epochs=epochs), metric=case.name, limit=case.limit)
        spent = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            write_model(made.model, made.weights, Path(folder) / "m.onnx")
            served = read_model(Path(folder) / "m.onnx")
        record = served.record
        assert record is not None
        limit, parts = Limit(record.limit, record.side), Parts.of(case, served)
        forced = replace(served, record=None)
        library = auto_reg(case, served)
        scores = [
            rival(served, parts, persistence(), limit),
            rival(served, parts, straight_line(), limit),
            None if library is None else rival(served, parts, library, limit),
            score(served.without_network(), parts.unseen, limit, 0.9),
            score(forced, parts.unseen, limit, 0.9),
            score(served, parts.unseen, limit, 0.9),
        ]
        last = scores[-1]
        shown = " ".join("      -" if s is None or s.auc is None else f"{s.auc:7.3f}" for s in scores)
        print(
            f"{case.name:13} {last.asked:8} {last.crossings:6} | {shown} | {last.coverage:6.1%} "
            f"{adapted(served, case):6.1%} | {spent:.0f}"
        )
        print(f"{'':13} {'promoted' if record.promoted else 'not promoted'}: {record.reason}", flush=True)


def adapted(model: Forecaster, case: Case) -> float:
    """The share of unseen paths that adaptive bands held, one forecast a horizon."""
    least = min(len(row) for row in case.histories)
    rows = np.array([row[-least:] for row in case.histories])
    watch, limit = Watch(model, range(len(rows))), Limit(0.0)
    first = int(SEEN * least)
    for column in rows[:, first - WINDOW : first].T:
        watch.observe(column)
    for k, column in enumerate(rows[:, first:].T):
        if k % HORIZON == 0:
            watch.forecast(limit)
        watch.observe(column)
    return watch.coverage or float("nan")


def asked_of(case: Case, unseen: list[np.ndarray]) -> list[Limit]:
    """The case's limit, and the quantiles of what is unseen on both sides."""
    seen = np.concatenate([row[: round(0.55 * int(SEEN * len(row)))] for row in case.histories])
    known = np.concatenate([row[WINDOW:] for row in unseen])
    quantiles = [np.quantile(known, q) for q in (0.75, 0.9, 0.97, 0.25, 0.1, 0.03)]
    sides = ["above"] * 3 + ["below"] * 3
    more = [Limit(float(q), side) for q, side in zip(quantiles, sides, strict=True)]
    return [case.limit or Limit(float(np.nanquantile(seen, 0.9))), *more]


def foretold(model: Forecaster, row: np.ndarray, limit: Limit) -> np.ndarray:
    """P(crosses) as calibrated and as adapted by then, and what came, for windows that had not crossed."""
    views = np.lib.stride_tricks.sliding_window_view(row, WINDOW + HORIZON)
    past, future = model.standardised(views[:, :WINDOW]), views[:, WINDOW:]
    ahead = model.predict(past)
    wrong = (future - model.mean[0]) / model.scale[0] - ahead
    adaptation, going_by = Adaptation(model.errors, 1), []
    for settled in range(0, len(views), HORIZON):
        going_by.append(adaptation.now(limit.side))
        adaptation.update(wrong[settled : settled + 1], going_by[-1].widths)
    by = joined([going_by[k // HORIZON] for k in range(len(views))])
    told = [model.answer(past, ahead, limit, tuple(range(len(past))), 0.9, a).probability for a in (None, by)]
    crosses = (limit.signed(future) >= 0.0).any(axis=1)
    return np.stack([*told, crosses])[:, limit.signed(views[:, WINDOW - 1]) < 0.0]


def bench_adapting(cases: list[Case]) -> None:
    print("P(crosses) as calibrated -> adapted: Brier score, area under the curve, mean of limits")
    for case in cases:
        model = fit([row[: int(SEEN * len(row))] for row in case.histories])
        unseen = [row[int(SEEN * len(row)) - WINDOW :] for row in case.histories]
        found = []
        for limit in asked_of(case, unseen):
            fixed, adapted, happened = np.concatenate([foretold(model, row, limit) for row in unseen], axis=1)
            if 0 < happened.sum() < len(happened):
                found.append([f(p, happened) for f in (brier, auc) for p in (fixed, adapted)])
        old, new, before, after = np.mean(found, axis=0)
        print(f"{case.name:13} {old:.4f} -> {new:.4f}   {before:.3f} -> {after:.3f}", flush=True)


def bench_speed(series: int = 10_000, own: int = 1_000) -> None:
    rng = np.random.default_rng(3)
    print("serving, one core: probability, time and band of each series")
    try:
        short = train(working_days().histories, settings=Training(epochs=1))
    except ConfigurationError as error:
        print(f"no training here: {error}")
    else:
        with tempfile.TemporaryDirectory() as folder:
            write_model(short.model, short.weights, Path(folder) / "m.onnx")
            network = replace(read_model(Path(folder) / "m.onnx"), record=None)
        windows = network.mean[0] + network.scale[0] * rng.normal(size=(series, WINDOW)).cumsum(axis=1) / 8
        limit = Limit(float(network.mean[0] + 2 * network.scale[0]))
        for name, model in (("LSTM + AR", network), ("AR of the metric", network.without_network())):
            spent = cpu_s(lambda m=model: m.forecast(windows, limit), 5)
            print(f"  {name:22} {series / spent:10,.0f} series/s, {series:,} at once", flush=True)
    history = rng.normal(size=(own, 600)).cumsum(axis=1)
    each = fit_each(history, horizon=HORIZON)
    spent = cpu_s(lambda: each.forecast(history[:, -WINDOW:], Limit(20.0)), 3)
    print(f"  {'an AR for each series':22} {own / spent:10,.0f} series/s, {own:,} at once")
    some = history[:500]
    ours = cpu_s(lambda: fit_each(some, horizon=HORIZON).forecast(some[:, -WINDOW:], Limit(20.0)), 1) / 500
    print(f"fitting and serving one history of 600 samples: {1e3 * ours:.2f} ms (order and penalty chosen)")
    try:
        from statsmodels.tsa.ar_model import AutoReg
    except ModuleNotFoundError:
        return
    theirs = cpu_s(lambda: [AutoReg(row, WINDOW).fit().forecast(HORIZON) for row in some[:20]], 1) / 20
    print(f"  statsmodels AutoReg(60), fit and forecast: {1e3 * theirs:.2f} ms, {theirs / ours:.1f} times")


def cpu_s(call: Callable[[], object], runs: int) -> float:
    call()
    best = float("inf")
    for _ in range(runs):
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RIPSTOP_DATA", "data")))
    parser.add_argument("--series", help="names, with commas between; all by default")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--part", choices=("accuracy", "adapting", "speed"), help="one of them")
    args = parser.parse_args()
    cases = [battery(), working_days(), *recorded(args.data)]
    if args.series is not None:
        cases = [case for case in cases if case.name in args.series.split(",")]
    if args.part in (None, "accuracy"):
        try:
            bench_accuracy(cases, args.epochs)
        except ConfigurationError as error:
            print(f"no training here: {error}")
    if args.part in (None, "adapting"):
        bench_adapting(cases)
    if args.part in (None, "speed"):
        bench_speed()


if __name__ == "__main__":
    main()
