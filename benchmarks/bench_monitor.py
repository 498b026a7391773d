"""What the monitor finds and costs: the Numenta Anomaly Benchmark, held out; a second set; microseconds.

    python benchmarks/bench_monitor.py --data FOLDER [--draws 400] [--json]

FOLDER holds `nab/data` and `nab/labels` (or RIPSTOP_DATA names it). What is shown:

- **NAB** of `Monitor()` as it comes, each profile at its best threshold, as NAB is published.
- **held out**: constants and threshold chosen by a part of the series, the rest scored: 20 times a half of
  each folder, and 4 times each quarter of the families of siblings, none of which is split. Chosen are, of
  random draws around round figures, the middle of the best twentieth; best is what earns most by thresholds
  around the best (`Ranking.choose`), and finds most of the made-up faults. `fixed` keeps the shipped
  constants, which this procedure chose from all series, and chooses only the threshold inside.
- **recall** on made-up cloud series (`proxy_series`): the share of readings at 0.1 and 0.3 % false positives;
  and on sensors' faults (`labelled.py`): the share of faults of which a reading stands out.
- the same for an EWMA z-score, the rival that is hard to beat for its size.
- the cost of a reading, beside that of a fixed piece of arithmetic in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from time import process_time

import labelled
import nab
import numpy as np
from bars import judged, summary
from monitor_kernel import SHIPPED, average, draw, ewma_scores, kernel_scores

from ripstop.agent import Monitor

SEED = 2026
MIN_US = 60_000_000
_BARS = {
    "held out by halves, standard, all: mean": {"least": 60.0},
    "held out by families, standard, all: mean": {"least": 60.0},
    "recall at 0.1% false positives, monitor": {"least": 0.5},
    "recall at 0.3% false positives, monitor": {"least": 0.65},
    "a reading, us": {"most": 1.5},
    "state, bytes": {"most": 64.0},
    "a reading in C, ns": {"most": 60.0},
    "state in C, bytes": {"most": 64.0},
}
_ELITE = 0.05
_RECALL_POINTS = 40.0  # of NAB: so much is a whole of recall worth at either rate


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


Splits = dict[str, list[nab.Split]]


class Search:
    """Draws of constants, and what each earns on any part of the series."""

    def __init__(self, series: list[nab.Series], draws: int) -> None:
        rng = np.random.default_rng(SEED)
        self._series = series
        self.pool = np.array([draw(rng) for _ in range(draws)])
        self.rankings = [self.ranking(constants) for constants in self.pool]
        made = proxy_series()
        clock = np.arange(4000) * 5 * MIN_US
        labels = [label for _, label in made]
        found = []
        for constants in self.pool:
            scores = [kernel_scores(values, clock[: len(values)], constants) for values, _ in made]
            found.append(sum(recall(scores, labels, share) for share in (0.001, 0.003)))
        self._bonus = _RECALL_POINTS * np.array(found)

    def ranking(self, constants: np.ndarray) -> nab.Ranking:
        """Rank all series' rows by the score of these constants."""
        return nab.Ranking(self._series, [kernel_scores(s.values, s.t_us, constants) for s in self._series])

    def choose(self, among: list[int] | None) -> np.ndarray:
        """Give the constants that some of the series would choose."""
        earned = [ranking.choose(among=among)[0] for ranking in self.rankings] + self._bonus
        best = np.argsort(-earned)[: max(1, round(_ELITE * len(earned)))]
        return average(self.pool[best])


def held_out(search: Search, splits: Splits) -> dict[str, float]:
    """Choose by one part, score the other."""
    fixed = search.ranking(SHIPPED)
    figures = {}
    for kind, parts in splits.items():
        found: dict[str, list[float]] = {}
        for chosen, kept in parts:
            fresh = search.ranking(search.choose(chosen))
            for name, ranking in (("all", fresh), ("fixed", fixed)):
                for profile in nab.PROFILES:
                    _, threshold = ranking.choose(profile, chosen)
                    score = ranking.at(threshold, profile, kept)
                    found.setdefault(f"{profile}, {name}", []).append(score)
        for name, scores in found.items():
            figures[f"held out by {kind}, {name}: mean"] = float(np.mean(scores))
            figures[f"held out by {kind}, {name}: deviation"] = float(np.std(scores))
    return figures


def events(made: list[labelled.Made], scores: list[np.ndarray], share: float) -> dict[str, float]:
    """The share of faults, by kind, of which a reading exceeds what `share` of the good readings exceed."""
    score, label = np.concatenate(scores), np.concatenate([one.label for one in made])
    is_late = np.concatenate([np.arange(len(one.values)) >= labelled.FIRST for one in made])
    threshold = np.quantile(score[is_late & ~label], 1 - share)
    found: dict[str, list[bool]] = {}
    for one, mine in zip(made, scores, strict=True):
        for begin, end in one.faults():
            found.setdefault(one.fault, []).append(bool((mine[begin:end] > threshold).any()))
    return {fault: float(np.mean(hits)) for fault, hits in found.items()}


def cost() -> dict[str, float]:
    """Microseconds of processor time a reading, and of a piece of plain arithmetic in alternation with it."""
    rng = np.random.default_rng(1)
    values = (50.0 + rng.uniform(-0.3, 0.3, 20_000)).tolist()
    readings, plain = [], []
    for _ in range(7):
        observe = Monitor(low=0, high=100).observe
        for i in range(500):
            observe(values[i], i * MIN_US)
        began = process_time()
        for i in range(500, 20_000):
            observe(values[i], i * MIN_US)
        between = process_time()
        level = 0.0
        for _ in range(10):
            for value in values:
                level += 0.01 * (value - level)
        readings.append((between - began) / 19_500 * 1e6)
        plain.append((process_time() - between) / 10 / len(values) * 1e6)
    return {"a reading, us": min(readings), "an exponentially weighted mean in a loop, us": min(plain)}


def cost_in_c() -> dict[str, float]:
    """Nanoseconds of a reading in C (examples/c/monitor.c); nothing where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    source = Path(__file__).parents[1] / "examples" / "c"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "score"
        files = [source / "score.c", source / "monitor.c"]
        build = [compiler, "-O2", f"-I{source}", *files, "-o", made, "-lm"]
        subprocess.run(build, check=True)  # noqa: S603 - the compiler and files of this repository
        said = [_timed_in_c(made) for _ in range(5)]
    return {"a reading in C, ns": min(ns for ns, _ in said), "state in C, bytes": said[0][1]}


def _timed_in_c(program: Path) -> tuple[float, float]:
    run = subprocess.run([program, "2000000"], capture_output=True, text=True, check=True)  # noqa: S603 - built above
    words = run.stdout.split()
    return float(words[0]), float(words[4])


def measure(folder: Path, draws: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    series = nab.load(folder / "nab")
    found = {
        "monitor": [monitor_scores(one.values, one.t_us) for one in series],
        "ewma .002": [ewma_scores(one.values, 0.002) for one in series],
    }
    for name, scores in found.items():
        ranking = nab.Ranking(series, scores)
        for profile in nab.PROFILES:
            figures[f"NAB {profile}, {name}"] = ranking.best(profile)[0]
        figures[f"NAB standard at 1.0, {name}"] = ranking.at(1.0)
    search = Search(series, draws)
    splits = {"halves": nab.halves(series, 20, SEED), "families": nab.families(series, 4, 4, SEED)}
    figures |= held_out(search, splits)
    figures |= {f"chosen from all, {i}": float(c) for i, c in enumerate(search.choose(None))}
    figures |= recalls()
    figures |= cost()
    figures |= cost_in_c()
    figures["state, bytes"] = float(len(Monitor().state()))
    return figures


def recalls() -> dict[str, float]:
    """What is found of made-up faults, at regular and at irregular sampling."""
    figures = {}
    made = proxy_series()
    labels = [label for _, label in made]
    clock = np.arange(4000) * 5 * MIN_US
    rivals = {
        "monitor": [monitor_scores(values, clock[: len(values)]) for values, _ in made],
        "ewma .002": [ewma_scores(values, 0.002) for values, _ in made],
    }
    for name, scores in rivals.items():
        for share in (0.001, 0.003):
            figures[f"recall at {share:.1%} false positives, {name}"] = recall(scores, labels, share)
    for pace in ("regular", "irregular"):
        faults = list(labelled.make(7, 2, irregular=pace == "irregular"))
        rivals = {
            "monitor": [monitor_scores(one.values, one.t_us) for one in faults],
            "ewma .002": [ewma_scores(one.values, 0.002) for one in faults],
        }
        for name, scores in rivals.items():
            for fault, share in events(faults, scores, 0.003).items():
                figures[f"{fault}s found at 0.3% false positives, {pace}, {name}"] = share
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RIPSTOP_DATA", "data")))
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not (args.data / "nab").is_dir():
        parser.exit(
            message=f"left out: `{args.data}` holds no `nab`; name its folder by --data or RIPSTOP_DATA\n"
        )
    figures = measure(args.data, args.draws)
    if args.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        bar = judged(name, figure, **_BARS[name]) if name in _BARS else ""
        print(f"{name:68} {figure:9.3f}   {bar}".rstrip())
    summary()


if __name__ == "__main__":
    main()
