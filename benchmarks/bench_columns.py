"""Ten thousand recorded contexts: NumPy columns beside the hand-written loop and datalogic.

The loop runs over the columns as the engine does (a list for each signal); datalogic is given its contexts
as JSON texts, one by one: its Python package has no batch.
"""

from __future__ import annotations

import json
import random
import statistics
import timeit

import numpy as np
from bench_policy import RULE_A, RULE_B, clauses

from ripstop.backends import compile as compile_policies
from ripstop.policy import load

ROWS = 10_000


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
    """Give datalogic's way, or None where it is not installed."""
    try:
        import datalogic_py
    except ImportError:
        return None
    compiled = datalogic_py.Engine().compile(json.dumps(rule))
    texts = [json.dumps(context) for context in contexts]
    return lambda: [compiled.evaluate_str(text) for text in texts]


def main() -> None:
    rng = random.Random(1)
    pairs = clauses(2)
    chain = {"and": [{"or": pairs[index : index + 2]} for index in range(0, 50, 2)]}
    cases = [
        ("a", RULE_A, {"battery": 100, "payload": 3}, "payload <= 1.0 if battery < 30 else True"),
        ("b", RULE_B, {"cpu": 1, "since": 600}, source(RULE_B)),
        ("c", chain, {f"s{index}": 1 for index in range(20)}, source(chain)),
    ]
    print(
        f"{'rule':<6}{'loop ns':>9}{'verdict':>9}{'x loop':>8}{'evidence':>10}{'x loop':>8}"
        f"{'rival':>9}{'x rival':>9}"
    )
    for title, rule, spans, text in cases:
        columns = {name: [rng.random() * span for _ in range(ROWS)] for name, span in spans.items()}
        arrays = {name: np.array(column) for name, column in columns.items()}
        contexts = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        compiled = compile_policies(load(rule), "columns")
        loop = by_hand(list(columns), text)
        lists = list(columns.values())
        assert (compiled.verdicts(arrays) == 2).tolist() == list(map(bool, loop(*lists)))
        tasks = [
            lambda loop=loop, lists=lists: loop(*lists),
            lambda compiled=compiled, arrays=arrays: compiled.verdicts(arrays),
            lambda compiled=compiled, arrays=arrays: compiled.decisions("go", arrays),
        ]
        other = rival(rule, contexts)
        rounds = [
            [timeit.timeit(task, number=5) / 5 / ROWS * 1e9 for task in (*tasks, *([other] if other else []))]
            for _ in range(11)
        ]
        loop_ns, fast, full, *rest = [statistics.median(column) for column in zip(*rounds, strict=True)]
        shown = f"{rest[0]:9.0f}{rest[0] / fast:9.1f}" if rest else f"{'-':>9}{'-':>9}"
        print(
            f"{title:<6}{loop_ns:9.1f}{fast:9.2f}{loop_ns / fast:8.1f}"
            f"{full:10.1f}{loop_ns / full:8.1f}{shown}"
        )


if __name__ == "__main__":
    main()
