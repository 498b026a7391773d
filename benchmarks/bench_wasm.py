"""WebAssembly: sizes, host calls beside wasmtime-py's own, instantiation, fuel; medians, interleaved."""

from __future__ import annotations

import math
import random
import statistics
import time
import timeit

import wasmtime
from bars import judged, summary
from bench_policy import RULE_A, RULE_B, clauses

from ripstop.backends import compile as compile_policies
from ripstop.backends import emit
from ripstop.backends.edge import verdict_program
from ripstop.backends.wasm import WASM, build_module
from ripstop.backends.wasm.host import Call
from ripstop.policy import load

MOST_BYTES = {"a": 128, "c": 1300}
MOST_BYTES_WITH_EVIDENCE = {"c": 3000}
FUEL = 10**6


def race(tasks, number, rounds=15):
    """Give the median microseconds of processor time of each task, run in turns."""
    found = [
        [timeit.timeit(task, timer=time.process_time, number=number) / number * 1e6 for task in tasks]
        for _ in range(rounds)
    ]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def most_fuel(module, function):
    """Give the most fuel that a call took, over values of all sorts, without the unit for entering."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_fuel(FUEL)
    call = wasmtime.Instance(store, wasmtime.Module(engine, module.code), []).exports(store)["verdict"]
    rng = random.Random(1)
    spent = 0
    for _ in range(500):
        values = [rng.choice([0.1, 0.5, 0.9, 29.0, 400.0, math.nan]) for _ in function.program.inputs]
        store.set_fuel(FUEL)
        call(store, *values)
        spent = max(spent, FUEL - store.get_fuel() - 1)
    return spent


def main() -> None:
    pairs = clauses(2)
    chain = {"and": [{"or": pairs[index : index + 2]} for index in range(0, 50, 2)]}
    engine = wasmtime.Engine()
    print(
        f"{'rule':<6}{'bytes':>7}{'evid.':>7}{'bound':>7}{'fuel':>7}"
        f"{'call us':>9}{'Func us':>9}{'ratio':>7}{'dict us':>9}{'inst. us':>9}"
    )
    for title, rule in (("a", RULE_A), ("b", RULE_B), ("c", chain)):
        policy = load(rule)
        module = build_module([verdict_program([policy], WASM)])
        (function,) = module.functions
        call = Call(module, function, engine)
        values = [0.5] * len(function.program.inputs)
        compiled = compile_policies(policy, "wasm")
        context = {each.name: 0.5 for each in function.program.inputs}
        made = wasmtime.Module(engine, module.code)
        ours, theirs, whole, instance = race(
            [
                lambda call=call, values=values: call(values),
                lambda call=call, values=values: call.function(call.store, *values),
                lambda compiled=compiled, context=context: compiled.verdict(context),
                lambda made=made: wasmtime.Instance(wasmtime.Store(engine), made, []),
            ],
            300,
        )
        size, full, fuel = len(module.code), len(emit(policy, "wasm")), most_fuel(module, function)
        print(
            f"{title:<6}{size:>7}{full:>7}{function.instructions:>7}{fuel:>7}"
            f"{ours:9.2f}{theirs:9.1f}{theirs / ours:7.1f}{whole:9.2f}{instance:9.1f}"
        )
        bars = [
            ("fuel, of the bound", fuel / function.instructions, {"most": 1}),
            ("host call, times Func.__call__", theirs / ours, {"least": 10}),
            ("instantiated, us", instance, {"most": 100}),
        ]
        if title in MOST_BYTES:
            bars.append(("bytes", size, {"most": MOST_BYTES[title]}))
        if title in MOST_BYTES_WITH_EVIDENCE:
            bars.append(("bytes with evidence", full, {"most": MOST_BYTES_WITH_EVIDENCE[title]}))
        for what, found, bar in bars:
            print(f"      {what}: {found:.4g}   {judged(f'{title}: {what}', found, **bar)}")
    summary()


if __name__ == "__main__":
    main()
