"""The monitor in C scores as the Python class does, but for ends of ranges, kept there in half the bits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bench_monitor
from monitor_kernel import SHIPPED, kernel_scores

C = Path(__file__).resolve().parents[2] / "examples" / "c"
CC = shutil.which("gcc") or shutil.which("clang")
pytestmark = pytest.mark.skipif(CC is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("score") / "score"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsanitize=address,undefined"]
    sources = [C / "score.c", C / "monitor.c"]
    subprocess.run([str(CC), *flags, f"-I{C}", *sources, "-o", made, "-lm"], check=True, timeout=60)
    return made


def scores(program: Path, values: np.ndarray, t_us: np.ndarray) -> np.ndarray:
    text = "\n".join(f"{t} {v!r}" for v, t in zip(values.tolist(), t_us.tolist(), strict=True))
    run = subprocess.run([program], input=text, capture_output=True, text=True, check=True, timeout=60)
    return np.array([float(line) for line in run.stdout.split()])


def test_on_made_up_series_it_scores_as_the_class_does(program):
    ours, wanted = [], []
    for number, (values, _) in enumerate(bench_monitor.proxy_series(seed=21, count=30)):
        t_us = np.arange(len(values)) * bench_monitor.MIN_US * (1, 5, 60)[number % 3]
        ours.append(scores(program, values, t_us))
        wanted.append(kernel_scores(values, t_us, SHIPPED))
    ours, wanted = np.concatenate(ours), np.concatenate(wanted)
    assert np.isfinite(ours).all()
    away = np.abs(ours - wanted)
    # Most readings differ by single precision alone, news by the half-long ends of ranges.
    assert np.quantile(away, 0.9) < 1e-4
    assert np.quantile(away, 0.99) < 0.05
    assert ((ours >= 1.0) == (wanted >= 1.0)).mean() > 0.999


@pytest.mark.parametrize("value", [0.0, 12.5, -3.0, 1e15, 1e-30])
def test_a_constant_scores_nothing_for_days(program, value):
    t_us = np.arange(3000) * 5 * bench_monitor.MIN_US
    assert scores(program, np.full(3000, value), t_us).max() == 0.0


def test_huge_and_odd_values_leave_the_score_a_number(program):
    rng = np.random.default_rng(3)
    values = rng.choice([1e38, -1e38, 1e17, -1e17, 0.0, 1e-38, 5.0, np.nan, np.inf, -np.inf], 4000)
    found = scores(program, values, np.sort(rng.integers(0, 10**14, 4000)))
    assert (found >= 0.0).all()
    assert (np.isinf(found) == ~(np.abs(values) < 1e18)).all()


def test_it_takes_as_many_bytes_as_it_says(program):
    run = subprocess.run([program, "1000"], capture_output=True, text=True, check=True, timeout=60)
    assert " 64 bytes " in run.stdout
