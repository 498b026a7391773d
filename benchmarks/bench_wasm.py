"""WebAssembly: sizes, host calls beside wasmtime-py's own, instantiation, fuel; medians, interleaved.

Then policies that remember: one sample's update by the module's own memory (the call alone, and from a dict),
by C99 on this machine, by the python engine's tracker, by reelay's dense monitor (`pip install reelay`).
"""

from __future__ import annotations

import math
import random
import statistics
import time
import timeit

import wasmtime
from bars import judged, summary
from bench_policy import RULE_A, RULE_B, clauses, reelays, tracked

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


WINDOWS_S = (10, 300, 3000)
SAMPLES = 300


def remembering(window_s):
    """Give a policy with one window, and what a device of each engine does with samples of one second."""
    vocabulary = {"name": "bench", "signals": {"x": {"type": "number"}}, "actions": {"go": {}}}
    rule = {"historically": [{"<": [{"var": "x"}, 0.9]}, window_s]}
    document = {"ripstop": 1, "id": "w", "vocabulary": vocabulary, "guards": ["go"], "rule": rule}
    policy = load(document)
    return policy, {engine: compile_policies(policy, engine).device() for engine in ("wasm", "c99")}


def updating(device, samples, *, is_bare):
    """Give what takes all samples, from dicts or as the numbers that the code is called with."""
    clock = [0]
    board = device._board

    def run():
        t_us = clock[0]
        for sample in samples:
            t_us += 1_000_000
            if is_bare:
                board.observe(t_us, 1, (sample["x"],))
            else:
                device.observe(sample, t_us)
        clock[0] = t_us

    return run


def windows() -> None:
    rng = random.Random(1)
    samples = [{"x": rng.random()} for _ in range(SAMPLES)]
    made = [remembering(window_s) for window_s in WINDOWS_S]
    kinds = {
        "wasm call": [updating(devices["wasm"], samples, is_bare=True) for _, devices in made],
        "c99 call": [updating(devices["c99"], samples, is_bare=True) for _, devices in made],
        "wasm, dict": [updating(devices["wasm"], samples, is_bare=False) for _, devices in made],
        "tracker": [tracked(compile_policies(policy), samples) for policy, _ in made],
    }
    others = [reelays(window_s, samples) for window_s in WINDOWS_S]
    if others[0]:
        kinds["reelay dense"] = [each[0] for each in others]
    raced = race([run for runs in kinds.values() for run in runs], 3)
    count = len(WINDOWS_S)
    times = {name: raced[count * i : count * (i + 1)] for i, name in enumerate(kinds)}
    print(f"\n{'temporal update, us':<22}" + "".join(f"{name:>14}" for name in kinds))
    for index, window_s in enumerate(WINDOWS_S):
        row = "".join(f"{column[index] / SAMPLES:14.2f}" for column in times.values())
        print(f"{window_s:>7} s{'':13}" + row)
        if others[0]:
            gain = times["reelay dense"][index] / times["wasm call"][index]  # below 1: the way from Python
            print(f"      wasm call, times reelay: {gain:.2f}")
    growth = times["wasm call"][-1] / times["wasm call"][0]
    print(f"      wasm, 3,000 s times 10 s: {growth:.2f}   {judged('wasm: window', growth, most=1.1)}")
    device = made[0][1]["wasm"]
    module, state = device._board.module, device.memory.whole.size_bytes
    print(f"      module {len(module.code)} bytes, state {state}; bounds {dict(module.bounds)}")


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
    windows()
    summary()


if __name__ == "__main__":
    main()
