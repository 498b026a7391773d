"""What the ledger costs who decides, and how many decisions a second it brings to the disk.

    python benchmarks/bench_ledger.py [--folder FOLDER] [--json]

The ledger's cost on the caller's path is `Agent.request` (decide and record) less `Agent.decide`, in turns:
for a caller with pauses (a thousand decisions a second) and for one without, who pays for the batches as
well. Throughput is from the first decision to the last sync, with a real fsync for each batch; the rivals
decide the same and keep what the ledger keeps: SQLite (WAL, synchronous FULL, a transaction a batch) and a
file of JSON lines with fsync. Neither chains its records, nor finds one that was changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from time import perf_counter, process_time, sleep

from bars import judged, summary

from ripstop import Agent
from ripstop.agent import NodeSettings
from ripstop.core.decision import Decision

POLICY = Path(__file__).parents[1] / "policies" / "payload_limit.json"
CONTEXT = {"payload_kg": 0.5}
ROUNDS = 5
Keep = Callable[[Decision], object]


@contextmanager
def agent(folder: Path | None, personal: tuple[str, ...] = ()) -> Iterator[Agent]:
    settings = NodeSettings("drone-1", personal=personal)
    with Agent("drone-1", POLICY, ledger=folder, settings=settings) as made:
        made.observe(battery_percent=81.3)
        yield made


def times_us(call: Callable[[], object], number: int, pause_s: float) -> list[float]:
    found = []
    for _ in range(number):
        began = perf_counter()
        call()
        found.append((perf_counter() - began) * 1e6)
        if pause_s:
            sleep(pause_s)
    return found


def caller(folder: Path, pause_s: float, number: int) -> dict[str, float]:
    """What a decision and its record cost in one thread, in microseconds."""
    decided, recorded = [], []
    with agent(folder) as made:
        for _ in range(ROUNDS):  # in turns
            decided += times_us(lambda: made.decide("accept_task", **CONTEXT), number, pause_s)
            recorded += times_us(lambda: made.request("accept_task", CONTEXT), number, pause_s)
    p99 = sorted(recorded)[len(recorded) * 99 // 100]
    return {
        "decide, median": median(decided),
        "decide and record, median": median(recorded),
        "the ledger's part, median": median(recorded) - median(decided),
        "the ledger's part, mean": mean(recorded) - mean(decided),
        "decide and record, 99th percentile": p99,
    }


def rate(decide: Callable[[], Decision], keep: Keep, sync: Callable[[], object], batch: int) -> float:
    """Durable decisions a second."""
    count = max(1, 16_384 // batch) if batch > 1 else 1000
    began = perf_counter()
    for _ in range(count):
        for _ in range(batch):
            keep(decide())
        sync()
    return count * batch / (perf_counter() - began)


def ours(folder: Path, batch: int, personal: tuple[str, ...] = ()) -> tuple[float, float]:
    """Decisions a second, and CPU microseconds of each, all threads taken together."""
    with agent(folder, personal) as made:
        cpu = process_time()
        found = rate(
            lambda: made.request("accept_task", CONTEXT)[0], lambda decision: None, made.flush, batch
        )
        count = batch * max(1, 16_384 // batch) if batch > 1 else 1000
        return found, (process_time() - cpu) / count * 1e6


def sqlite(folder: Path, batch: int) -> float:
    table = sqlite3.connect(folder / "rival.db", isolation_level=None)
    table.execute("PRAGMA journal_mode = WAL")
    table.execute("PRAGMA synchronous = FULL")
    table.execute("CREATE TABLE IF NOT EXISTS decisions (number INTEGER PRIMARY KEY, record TEXT)")
    rows: list[tuple[str]] = []

    def commit() -> None:
        table.execute("BEGIN")
        table.executemany("INSERT INTO decisions (record) VALUES (?)", rows)
        table.execute("COMMIT")
        rows.clear()

    with agent(None) as made:
        found = rate(
            lambda: made.decide("accept_task", **CONTEXT),
            lambda decision: rows.append((json.dumps(decision.to_json()),)),
            commit,
            batch,
        )
    table.close()
    return found


def lines(folder: Path, batch: int) -> float:
    with (folder / "rival.jsonl").open("ab") as file, agent(None) as made:

        def sync() -> None:
            file.flush()
            os.fdatasync(file.fileno())

        return rate(
            lambda: made.decide("accept_task", **CONTEXT),
            lambda decision: file.write(json.dumps(decision.to_json()).encode() + b"\n"),
            sync,
            batch,
        )


def measure(within: Path) -> dict[str, dict[str, float]]:
    figures = {
        "a caller with pauses of 1 ms (us)": caller(within / "paced", 0.001, 400),
        "a caller without pauses (us)": caller(within / "driven", 0.0, 4000),
    }
    for batch in (1, 64, 256, 1024):
        found: dict[str, list[float]] = {}
        for _ in range(3):  # in turns
            with tempfile.TemporaryDirectory(dir=within) as name:
                folder = Path(name)
                per_s, cpu_us = ours(folder / "ledger", batch)
                found.setdefault("ripstop", []).append(per_s)
                veiled_per_s, _ = ours(folder / "veiled", batch, ("payload_kg",))
                found.setdefault("ripstop, a personal value each", []).append(veiled_per_s)
                found.setdefault("ripstop, CPU us a decision", []).append(-cpu_us)
                found.setdefault("SQLite", []).append(sqlite(folder, batch))
                found.setdefault("JSON lines", []).append(lines(folder, batch))
        figures[f"durable decisions a second, in batches of {batch}"] = {
            name: abs(max(values)) for name, values in found.items()
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; the working folder by default")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder or Path.cwd()) as name:
        figures = measure(Path(name))
    if args.json:
        print(json.dumps(figures))
        return
    for title, found in figures.items():
        print(title)
        for name, figure in found.items():
            print(f"    {name:40} {figure:12,.1f} {bar(title, name, figure)}")
    summary()


def bar(title: str, name: str, figure: float) -> str:
    if name.startswith("the ledger's part"):
        return judged(f"{title}: {name}", figure, most=10)
    if name == "ripstop" and not title.endswith(" 1"):
        return judged(title, figure, least=20_000)
    return ""


if __name__ == "__main__":
    main()
