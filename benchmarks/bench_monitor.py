"""What the monitor finds and costs: the Numenta Anomaly Benchmark, held out; a second set; microseconds.

    python benchmarks/bench_monitor.py --data FOLDER [--draws 400] [--json]

FOLDER holds `nab/data` and `nab/labels` (or RIPSTOP_DATA names it). What is shown:

- **NAB** of `Monitor()` as it comes, each profile at its best threshold, as NAB is published.
- **held out**: 20 times half of the series choose the constants among random draws, and the threshold; the
  other half is scored. `fixed` keeps the shipped constants, which were chosen on all series, and chooses only
  the threshold inside; so it is too friendly by what was learned from the half.
- **recall** on made-up cloud series (`proxy_series`): the share of readings at 0.1 and 0.3 % false positives
- the same for an EWMA z-score, the rival that is hard to beat for its size.
- the cost of a reading, with NumPy's and numba's twin of the arithmetic held to the class itself.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from time import process_time

import nab
import numpy as np
from monitor_kernel import SHIPPED, draw, ewma_scores, kernel_scores

from ripstop.agent import Monitor

SPLITS, SEED = 20, 2026
MIN_US = 60_000_000


def monitor_scores(values: np.ndarray, t_us: np.ndarray) -> np.ndarray:
    observe = Monitor().observe
    return np.array([observe(v, t).score for v, t in zip(values.tolist(), t_us.tolist(), strict=True)])


def proxy_series(seed: int = 5, count: int = 120) -> list[tuple[np.ndarray, np.ndarray]]:
    """Series as cloud metrics are (seasons, tails, memory, bursts, rounding), with labelled faults put in."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        n = int(rng.integers(1400, 4000))
        season = rng.choice([0, 0.5, 1, 2])
        phase = 2 * np.pi * np.arange(n) / rng.choice([144, 288, 168]) + rng.uniform(0, 6)
        noise, kind = rng.standard_normal(n), rng.integers(4)
        if kind == 1:
            noise = np.exp(0.7 * noise) - 1.2
        elif kind == 2:
            memory, noise = rng.uniform(0.5, 0.98), noise.copy()
            for i in range(1, n):
                noise[i] = memory * noise[i - 1] + noise[i] * np.sqrt(1 - memory * memory)
        elif kind == 3:
            noise = noise * (rng.uniform(size=n) < 0.2)
        values = rng.uniform(2, 50) + season * np.sin(phase) + 0.5 * noise
        labels = np.zeros(n, bool)
        for _ in range(int(rng.integers(0, 6))):
            begin, length = int(rng.integers(n // 5, n - 60)), int(rng.choice([1, 1, 2, 3, 5, 15, 40]))
            jump = rng.uniform(1.5, 8) * rng.choice([-1, 1, 1]) * max(0.5, 0.7 * season)
            fault = slice(begin, begin + length)
            values[fault] = 0 if rng.uniform() < 0.15 else values[fault] + jump
            labels[fault] = True
        values = np.round(values) if rng.uniform() < 0.3 else values
        made.append((values * 10.0 ** rng.integers(-1, 4), labels))
    return made


def recall(scores: list[np.ndarray], labels: list[np.ndarray], share: float) -> float:
    """The share of labelled readings above the score that `share` of the others exceed; 15 % probation."""
    score = np.concatenate([s[int(0.15 * len(s)) :] for s in scores])
    label = np.concatenate([x[int(0.15 * len(x)) :] for x in labels])
    return float((score[label] > np.quantile(score[~label], 1 - share)).mean())


def held_out(series: list[nab.Series], draws: int) -> dict[str, float]:
    """Choose by one half, score the other."""
    rng = np.random.default_rng(SEED)
    pool = [draw(rng) for _ in range(draws)]
    fixed = [kernel_scores(one.values, SHIPPED) for one in series]
    splits = nab.halves(series, SPLITS, SEED)
    best = [(-1.0, np.inf, -1)] * SPLITS
    for number, constants in enumerate(pool):
        scores = [kernel_scores(one.values, constants) for one in series]
        for i, (chosen, _) in enumerate(splits):
            score, threshold = nab.best([series[k] for k in chosen], [scores[k] for k in chosen])
            best[i] = max(best[i], (score, threshold, number))
    nested, friendly = [], []
    for (_, threshold, number), (chosen, kept) in zip(best, splits, strict=True):
        kept_series = [series[k] for k in kept]
        scores = [kernel_scores(one.values, pool[number]) for one in kept_series]
        nested.append(nab.at(kept_series, scores, threshold))
        _, threshold = nab.best([series[k] for k in chosen], [fixed[k] for k in chosen])
        friendly.append(nab.at(kept_series, [fixed[k] for k in kept], threshold))
    return {
        "held out, constants and threshold chosen inside, mean": float(np.mean(nested)),
        "held out, constants and threshold chosen inside, deviation": float(np.std(nested)),
        "held out, constants fixed and threshold chosen inside, mean": float(np.mean(friendly)),
        "held out, constants fixed and threshold chosen inside, deviation": float(np.std(friendly)),
    }


def cost_us() -> float:
    rng = np.random.default_rng(1)
    values = (50.0 + rng.uniform(-0.3, 0.3, 20_000)).tolist()
    times = []
    for _ in range(5):
        observe = Monitor(low=0, high=100).observe
        for i in range(500):
            observe(values[i], i * MIN_US)
        began = process_time()
        for i in range(500, 20_000):
            observe(values[i], i * MIN_US)
        times.append((process_time() - began) / 19_500 * 1e6)
    return min(times)


def measure(folder: Path, draws: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    series = nab.load(folder / "nab")
    found = {
        "monitor": [monitor_scores(one.values, one.t_us) for one in series],
        "ewma .002": [ewma_scores(one.values, 0.002) for one in series],
    }
    for name, scores in found.items():
        for profile in nab.PROFILES:
            figures[f"NAB {profile}, {name}"] = nab.best(series, scores, profile)[0]
        figures[f"NAB standard at 1.0, {name}"] = nab.at(series, scores, 1.0)
        figures[f"NAB standard, its best threshold, {name}"] = nab.best(series, scores)[1]
    figures |= held_out(series, draws)
    made = proxy_series()
    labels = [label for _, label in made]
    clock = np.arange(4000) * MIN_US
    rivals = {
        "monitor": [monitor_scores(values, clock[: len(values)]) for values, _ in made],
        "ewma .002": [ewma_scores(values, 0.002) for values, _ in made],
    }
    for name, scores in rivals.items():
        for share in (0.001, 0.003):
            figures[f"recall at {share:.1%} false positives, {name}"] = recall(scores, labels, share)
    figures["a reading, us"] = cost_us()
    figures["state, bytes"] = float(len(Monitor().state()))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RIPSTOP_DATA", "data")))
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = measure(args.data, args.draws)
    if args.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:68} {figure:9.3f}")


if __name__ == "__main__":
    main()
