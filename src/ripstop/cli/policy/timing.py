"""`ripstop policy bench`: how long a policy's verdicts and decisions take on this machine."""

from __future__ import annotations

import argparse
import statistics
import timeit
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, whole
from ripstop.cli.output import print_json, print_table
from ripstop.cli.policy.arguments import add_policies, add_situation, loaded, read_situation
from ripstop.core.canonical import Json
from ripstop.core.decision import Verdict

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers

_EPILOG = """examples:
  ripstop policy bench policies/payload_limit.json --context '{"battery_percent": 25.0, "payload_kg": 0.5}'
  ripstop policy bench policies/drones --action accept_task --context @examples/context.json --rounds 50

The figures are medians over rounds in which everything that is measured takes its turn. Write numbers with a
decimal point where the agent has floats: integers are slower.

exit codes: 0 fine, 1 a file does not load, 2 usage
"""
_ROUND_S = 0.005  # how long one round of one measurement takes, about


def add_parser(commands: Subparsers) -> None:
    """Add the command."""
    parser = add_command(commands, "bench", "measure verdicts and decisions on a context", _EPILOG)
    add_policies(parser)
    parser.add_argument("--action", metavar="NAME", help="measure decisions about this action, too")
    parser.add_argument("--rounds", type=whole(1), default=31, metavar="N", help="rounds (default 31)")
    add_situation(parser)
    add_json(parser, "policies, rounds, median_ns: {verdict, decide, observe, ...}")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    from ripstop.backends import compile as compile_policies
    from ripstop.policy import reference

    policies = loaded(args)
    given = read_situation(args)
    context, trace, t_us = given.context, given.trace, given.t_us
    compiled = compile_policies(policies)
    state = given.observed(compiled)
    measured: dict[str, Callable[[], object]] = {"verdict": lambda: compiled.verdict(context, t_us)}
    if args.action:
        measured["decide"] = lambda: compiled.decide(args.action, context, t_us, state)
        measured["decide, by the reference"] = lambda: reference.decide(
            compiled.bundle, args.action, context, t_us, state
        )
    if trace:
        measured["observe"] = lambda: compiled.observe(state, trace[-1][1], trace[-1][0])
    medians = _medians(measured, args.rounds)
    if args.json:
        record: dict[str, Json] = {name: round(value, 1) for name, value in medians.items()}
        print_json({"policies": len(policies), "rounds": args.rounds, "median_ns": record})
        return 0
    rows = [(name, f"{value / 1000:.3f}") for name, value in medians.items()]
    print_table("", (f"median of {args.rounds} rounds", "µs"), rows)
    if compiled.verdict(context, t_us) is Verdict.UNKNOWN:
        print("the verdict on this context is unknown, so the exact evaluator was measured (see --context)")
    return 0


def _medians(measured: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Give each one's median nanoseconds a call, all of them run in turns."""
    timers = {name: timeit.Timer(function) for name, function in measured.items()}
    counts = {name: _count(timer) for name, timer in timers.items()}
    found: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(rounds):
        for name, timer in timers.items():
            found[name].append(timer.timeit(counts[name]) / counts[name] * 1e9)
    return {name: statistics.median(values) for name, values in found.items()}


def _count(timer: timeit.Timer) -> int:
    """Find how many calls make a round."""
    count = 1
    while (elapsed := min(timer.repeat(3, count))) < _ROUND_S / 4:  # the least disturbed of three
        count *= 4
    return max(1, round(count * _ROUND_S / max(elapsed, 1e-9)))
