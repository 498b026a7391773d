"""What a closed breaker costs a call, beside the breakers that others wrote: CPU time, best of nine rounds.

    pip install pybreaker circuitbreaker aiobreaker purgatory      (those that are absent are left out)
    python benchmarks/bench_breaker.py [--json]

Every one guards the same function with its defaults, by its cheapest way to make a call. The rounds of all
take turns, so that a busy machine is busy for each. `overhead` is what a call takes above the bare function.
Ours stands thrice: settled (the window is full of good calls), with every 50th call failing, and measuring
slow calls. The last two lines are four threads that each sleep 20 ms in a call: side by side they take 20 ms,
in a row 80.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import threading
from collections.abc import Callable
from time import perf_counter, process_time, sleep

from ripstop.agent import CircuitBreaker

ROUNDS, CALLS = 9, 20_000
Call = Callable[[], object]


def plain() -> int:
    return 1


async def waiting() -> int:
    return 1


def broken() -> None:
    raise OSError


def ours(**more: float) -> CircuitBreaker:
    breaker = CircuitBreaker(seed=1, **more)
    for _ in range(200):
        breaker.call(plain)
    return breaker


def failing_now_and_then(breaker: CircuitBreaker) -> Call:
    left = 50

    def call() -> object:
        nonlocal left
        left -= 1
        if left:
            return breaker.call(plain)
        left = 50
        try:
            return breaker.call(broken)
        except OSError:
            return None

    return call


def sync_candidates() -> dict[str, Call]:
    settled, timed = ours(), ours(slow_call_duration_s=1.0)
    found: dict[str, Call] = {
        "ripstop, settled": lambda: settled.call(plain),
        "ripstop, decorator": settled(plain),
        "ripstop, every 50th call fails": failing_now_and_then(ours()),
        "ripstop, measuring slow calls": lambda: timed.call(plain),
    }
    if module := _module("pybreaker"):
        rival = module.CircuitBreaker()
        found["pybreaker"] = lambda: rival.call(plain)
    if module := _module("circuitbreaker"):
        found["circuitbreaker"] = module.CircuitBreaker().decorate(plain)
    if module := _module("purgatory"):
        found["purgatory, decorator"] = module.SyncCircuitBreakerFactory()("radio")(plain)
    if module := _module("aiobreaker"):
        other = module.CircuitBreaker()
        found["aiobreaker"] = lambda: other.call(plain)
    return found


def async_candidates() -> dict[str, Callable[[], object]]:
    settled = ours()
    found: dict[str, Callable[[], object]] = {
        "ripstop, async": lambda: settled.call_async(waiting),
        "ripstop, async decorator": settled(waiting),
    }
    if module := _module("aiobreaker"):
        rival = module.CircuitBreaker()
        found["aiobreaker, async"] = lambda: rival.call_async(waiting)
    if module := _module("purgatory"):
        found["purgatory, async"] = _purgatory(module)
    if module := _module("circuitbreaker"):
        found["circuitbreaker, async"] = module.CircuitBreaker().decorate(waiting)
    return found


def _purgatory(module: object) -> Callable[[], object]:
    made = module.AsyncCircuitBreakerFactory()("radio")  # type: ignore[attr-defined]  # another's
    guarded: Callable[[], object] = made(waiting)
    return guarded


def _module(name: str):  # type: ignore[no-untyped-def]  # another's
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def time_us(call: Call) -> float:
    began = process_time()
    for _ in range(CALLS):
        call()
    return (process_time() - began) / CALLS * 1e6


async def time_async_us(call: Callable[[], object]) -> float:
    began = process_time()
    for _ in range(CALLS):
        await call()  # type: ignore[misc]  # an awaitable
    return (process_time() - began) / CALLS * 1e6


def side_by_side_ms(call: Callable[[Call], object]) -> float:
    """The wall time of four threads that sleep 20 ms inside a call."""
    threads = [threading.Thread(target=call, args=(lambda: sleep(0.02),)) for _ in range(4)]
    began = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (perf_counter() - began) * 1e3


def measure() -> dict[str, float]:
    calls = sync_candidates()
    waits = async_candidates()
    best = dict.fromkeys(["bare", *calls, "bare, async", *waits], float("inf"))
    for _ in range(ROUNDS):
        for name, call in [("bare", plain), *calls.items()]:
            best[name] = min(best[name], time_us(call))
        for name, wait in [("bare, async", waiting), *waits.items()]:
            best[name] = min(best[name], asyncio.run(time_async_us(wait)))
    figures = {f"overhead us, {name}": best[name] - best["bare"] for name in calls}
    figures |= {f"overhead us, {name}": best[name] - best["bare, async"] for name in waits}
    figures["four sleepers ms, ripstop"] = side_by_side_ms(ours().call)
    if module := _module("pybreaker"):
        figures["four sleepers ms, pybreaker"] = side_by_side_ms(module.CircuitBreaker().call)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = measure()
    if args.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:52} {figure:9.3f}")


if __name__ == "__main__":
    main()
