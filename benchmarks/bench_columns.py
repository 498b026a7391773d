"""Ten thousand recorded contexts: NumPy columns beside the hand-written loop and datalogic.

Two loops: the hand-written function over dict contexts, and a comprehension over the zipped columns.
datalogic is given its contexts as JSON texts, one by one: its Python package has no batch. Times are of the
process's own processor time, medians of interleaved rounds. A loop leaves rule c where it is settled, so it
depends on the data: once they are random (settled after 3 of 25 parts, mostly), once all of c holds.
"""

from __future__ import annotations

import json
import random
import statistics
import time
import timeit

import numpy as np
from bars import judged, summary
from bench_policy import RULE_A, RULE_B, bare_a, bare_b, clauses, satisfying
from bench_policy import by_hand as of_dicts

from ripstop.backends import compile as compile_policies
from ripstop.policy import load

ROWS = 10_000
ROUNDS, ROUND_S = 11, 0.02  # of each task, about


def source(part):
    ((name, args),) = part.items()
    if name in ("and", "or"):
        return f"({f' {name} '.join(map(source, args))})"
    if name == "!":
        return f"(not {source(args[0])})"
    return f"{args[0]['var']} {name} {args[1]}"


def by_hand(names, text):
    """Give the loop over columns that a person would write."""
    listed = ", ".join(names)
    return eval(f"lambda {listed}: [{text} for {listed} in zip({listed})]")  # noqa: S307 (our own rule)


def rival(rule, contexts):
    """Give datalogic's way; nothing where it is not installed."""
    try:
        import datalogic_py
    except ImportError:
        return lambda: None
    compiled = datalogic_py.Engine().compile(json.dumps(rule))
    texts = [json.dumps(context) for context in contexts]
    return lambda: [compiled.evaluate_str(text) for text in texts]


def main() -> None:
    rng = random.Random(1)
    pairs = clauses(2)
    chain = {"and": [{"or": pairs[index : index + 2]} for index in range(0, 50, 2)]}
    cases = [
        ("a", RULE_A, {"battery": 100, "payload": 3}, "payload <= 1.0 if battery < 30 else True", bare_a),
        ("b", RULE_B, {"cpu": 1, "since": 600}, source(RULE_B), bare_b),
        ("c", chain, {f"s{index}": 1 for index in range(20)}, source(chain), of_dicts(chain)),
        ("c held", chain, satisfying(chain), source(chain), of_dicts(chain)),
    ]
    print(f"{'':<8}{'ns a row':>27}{'verdict alone, times':>34}{'with evidence, times':>30}")
    print(
        f"{'rule':<8}{'dicts':>9}{'zip':>9}{'rival':>9}{'ns':>10}{'dicts':>8}{'zip':>8}{'rival':>8}"
        f"{'ns':>14}{'dicts':>8}{'zip':>8}   bars on the zipped loop, the rival, with evidence"
    )
    for title, rule, spans, text, bare in cases:
        is_held = title == "c held"
        columns = {
            name: [span * (1 if is_held else rng.random()) for _ in range(ROWS)]
            for name, span in spans.items()
        }
        arrays = {name: np.array(column) for name, column in columns.items()}
        contexts = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        compiled = compile_policies(load(rule), "columns")
        loop, lists = by_hand(list(columns), text), list(columns.values())
        assert (compiled.verdicts(arrays) == 2).tolist() == list(map(bool, loop(*lists)))
        tasks = [
            lambda bare=bare, contexts=contexts: [bare(context) for context in contexts],
            lambda loop=loop, lists=lists: loop(*lists),
            rival(rule, contexts),
            lambda compiled=compiled, arrays=arrays: compiled.verdicts(arrays),
            lambda compiled=compiled, arrays=arrays: compiled.decisions("go", arrays),
        ]
        timers = [timeit.Timer(task, timer=time.process_time) for task in tasks]
        counts = [max(1, round(ROUND_S / (timer.timeit(3) / 3 + 1e-9))) for timer in timers]
        rounds = [
            [timer.timeit(count) / count for timer, count in zip(timers, counts, strict=True)]
            for _ in range(ROUNDS)
        ]
        medians = [statistics.median(column) / ROWS * 1e9 for column in zip(*rounds, strict=True)]
        dicts, zipped, other, fast, full = medians
        bars = [judged(f"{title}: verdict alone, times the loop", zipped / fast, least=20)]
        if tasks[2]() is not None:  # without the rival there is nothing but an empty call
            bars.append(judged(f"{title}: verdict alone, times datalogic", other / fast, least=40))
        bars.append(judged(f"{title}: with evidence, times the loop", zipped / full, least=5))
        print(
            f"{title:<8}{dicts:9.1f}{zipped:9.1f}{other:9.0f}"
            f"{fast:10.2f}{dicts / fast:8.1f}{zipped / fast:8.1f}{other / fast:8.1f}"
            f"{full:14.1f}{dicts / full:8.1f}{zipped / full:8.1f}   " + ", ".join(bars)
        )
    summary()


if __name__ == "__main__":
    main()
