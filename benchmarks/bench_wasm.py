"""WebAssembly: sizes, host calls beside wasmtime-py's own, instantiation; medians, interleaved."""

from __future__ import annotations

import statistics
import timeit

import wasmtime
from bench_policy import RULE_A, RULE_B, clauses

from ripstop.backends import compile as compile_policies
from ripstop.backends import emit
from ripstop.backends.edge import verdict_program
from ripstop.backends.wasm import WASM, build_module
from ripstop.backends.wasm.host import Call
from ripstop.policy import load


def race(tasks, number, rounds=15):
    """Give the median microseconds of each task, run in turns."""
    found = [[timeit.timeit(task, number=number) / number * 1e6 for task in tasks] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*found, strict=True)]


def main() -> None:
    pairs = clauses(2)
    chain = {"and": [{"or": pairs[index : index + 2]} for index in range(0, 50, 2)]}
    engine = wasmtime.Engine()
    print(
        f"{'rule':<6}{'bytes':>7}{'evid.':>7}{'bound':>7}"
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
        sizes = f"{len(module.code):>7}{len(emit(policy, 'wasm')):>7}{function.instructions:>7}"
        print(f"{title:<6}{sizes}{ours:9.2f}{theirs:9.1f}{theirs / ours:7.1f}{whole:9.2f}{instance:9.1f}")


if __name__ == "__main__":
    main()
