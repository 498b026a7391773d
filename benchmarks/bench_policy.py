"""Verdicts, decisions and windows of the python engine beside the rivals, in one run; medians, interleaved.

`pip install datalogic-py reelay` for the rivals; without them their columns stay empty. Times are of the
process's own processor time, so that other work on the machine disturbs less. Each figure that has a bar is
printed with it.

Rules: a = "battery < 30 implies payload <= 1"; b = "cpu >= .9 and not restarted within 300 s"; c = 50 clauses
over 20 signals; d = `all` over 20 neighbours. `bare` is the hand-written function, `guarded` one that checks
for NaN first, `sound` one that refuses what a policy refuses: infinities too, and what is no list.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Mapping
from itertools import product
from math import isfinite, prod

from bars import judged, summary

from ripstop.backends import Compiled
from ripstop.backends import compile as compile_policies
from ripstop.core.canonical import Json
from ripstop.policy import load

Context = Mapping[str, Json]

RULE_A = {"if": [{"<": [{"var": "battery"}, 30]}, {"<=": [{"var": "payload"}, 1.0]}, True]}
RULE_B = {"and": [{">=": [{"var": "cpu"}, 0.9]}, {"!": [{"<": [{"var": "since"}, 300]}]}]}
RULE_D = {"all": [{"var": "near"}, {"<": [{"var": "load"}, 0.9]}]}


def bare_a(c):
    return c["payload"] <= 1.0 if c["battery"] < 30 else True


def guarded_a(c):
    battery = c["battery"]
    if battery != battery:
        return None
    if battery < 30:
        payload = c["payload"]
        return None if payload != payload else payload <= 1.0
    return True


def sound_a(c):
    battery = c["battery"]
    if not isfinite(battery):
        return None
    if battery < 30:
        payload = c["payload"]
        return payload <= 1.0 if isfinite(payload) else None
    return True


def bare_b(c):
    return c["cpu"] >= 0.9 and not c["since"] < 300


def guarded_b(c):
    cpu = c["cpu"]
    if cpu != cpu:
        return None
    if cpu >= 0.9:
        since = c["since"]
        return None if since != since else not since < 300
    return False


def sound_b(c):
    cpu = c["cpu"]
    if not isfinite(cpu):
        return None
    if cpu >= 0.9:
        since = c["since"]
        return not since < 300 if isfinite(since) else None
    return False


def bare_d(c):
    return all(each["load"] < 0.9 for each in c["near"])


def guarded_d(c):
    for each in c["near"]:
        load_ = each["load"]
        if load_ != load_:
            return None
        if not load_ < 0.9:
            return False
    return True


def sound_d(c):
    near = c["near"]
    if type(near) is not list:
        return None
    for each in near:
        load_ = each["load"]
        if not isfinite(load_):
            return None
        if not load_ < 0.9:
            return False
    return bool(near)


def clauses(seed: int) -> list[dict[str, Json]]:
    rng = random.Random(seed)
    return [
        {rng.choice(["<", ">"]): [{"var": f"s{index % 20}"}, rng.choice([0.2, 0.8])]} for index in range(50)
    ]


def satisfying(chain: Json) -> dict[str, Json]:
    """Find values for which every clause of the chain holds, two signals at a time: they share clauses."""
    values: dict[str, Json] = {}
    for index in range(0, 20, 2):
        pair = (f"s{index}", f"s{index + 1}")
        tests = [by_hand(each) for each in chain["and"] if f"'{pair[0]}'" in str(each)]
        both = product((0.1, 0.5, 0.9), repeat=2)
        values |= next(
            found for one in both if all(test(found := dict(zip(pair, one, strict=True))) for test in tests)
        )
    return values


def by_hand(rule: Json) -> Callable[[Context], bool]:
    def source(part: Json) -> str:
        ((name, args),) = part.items()
        if name in ("and", "or"):
            return f"({f' {name} '.join(map(source, args))})"
        return f'c["{args[0]["var"]}"] {name} {args[1]}'

    return eval(f"lambda c: {source(rule)}")  # noqa: S307 (our own rule)


def guarded_by_hand(chain: Json, bad: str = "{0} != {0}") -> Callable[[Context], bool | None]:
    """Give the function for a chain of alternatives that looks for what is bad wherever it reads."""
    lines = ["def guarded(c):"]
    for part in chain["and"]:
        for depth, test in enumerate(part["or"], 1):
            ((name, ((read, limit))),) = test.items()
            value, space = read["var"], "    " * depth
            lines += [f'{space}{value} = c["{value}"]', f"{space}if {bad.format(value)}:"]
            lines += [f"{space}    return None", f"{space}if not {value} {name} {limit}:"]
        lines.append(f"{space}    return False")
    space_of: dict[str, Callable[..., bool | None]] = {"isfinite": isfinite}
    exec("\n".join([*lines, "    return True"]), space_of)  # type: ignore[arg-type]  # noqa: S102 (our own rule)
    return space_of["guarded"]


def race(functions: list[Callable[[Context], object]], context: Context, number: int = 3000) -> list[float]:
    """Give the median nanoseconds of each, run in turns."""
    rounds = []
    for _ in range(31):
        taken = []
        for function in functions:
            begin = time.process_time_ns()
            for _ in range(number):
                function(context)
            taken.append((time.process_time_ns() - begin) / number)
        rounds.append(taken)
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def rivals(rule: Json) -> list[Callable[[Context], object]]:
    """Give datalogic-py on a dict context, as our engine takes it; and on data that was parsed before."""
    try:
        import datalogic_py
    except ImportError:
        return []
    compiled = datalogic_py.Engine().compile(json.dumps(rule))
    handles: dict[int, object] = {}

    def parsed(context: Context) -> object:
        return compiled.evaluate_data(handles.get(id(context)) or prepare(context))

    def prepare(context: Context) -> object:
        handles[id(context)] = datalogic_py.DataHandle(json.dumps(context))
        return handles[id(context)]

    return [compiled.evaluate, parsed]


def verdicts() -> None:
    pairs = clauses(2)
    chain = {"and": [{"or": pairs[index : index + 2]} for index in range(0, 50, 2)]}
    rng = random.Random(3)
    wide = [{f"s{index}": rng.random() for index in range(20)} for _ in range(2)]
    near = [{"load": index / 30} for index in range(20)]
    by_hands = {
        "a": (RULE_A, bare_a, guarded_a, sound_a),
        "b": (RULE_B, bare_b, guarded_b, sound_b),
        "c": (chain, by_hand(chain), guarded_by_hand(chain), guarded_by_hand(chain, "not isfinite({0})")),
        "d": (RULE_D, bare_d, guarded_d, sound_d),
    }
    cases: list[tuple[str, Context]] = [
        ("a deny", {"battery": 20.0, "payload": 2.5}),
        ("a allow, low", {"battery": 20.0, "payload": 0.5}),
        ("a allow, high", {"battery": 50.0, "payload": 2.5}),
        ("a integers", {"battery": 20, "payload": 1}),
        ("b allow", {"cpu": 0.95, "since": 400.0}),
        ("b recent", {"cpu": 0.95, "since": 200.0}),
        ("b idle", {"cpu": 0.5, "since": 200.0}),
        ("c and of 25 or", wide[0]),
        ("c another", wide[1]),
        ("c all true", satisfying(chain)),
        ("d true", {"near": near}),
        ("d false at once", {"near": [{"load": 1.0}, *near]}),
    ]
    heads = ["bare ns", "guarded", "sound", "ours", "of bare", "of guarded", "of sound"]
    heads += ["datalogic", "times it", "pre-parsed"]
    print(
        f"{'rule':<18}" + "".join(f"{head:>11}" for head in heads) + "   bars: of bare, of guarded, times it"
    )
    gains: list[float] = []
    for title, context in cases:
        rule, bare, guarded, sound = by_hands[title[0]]
        verdict = compile_policies(load(rule)).verdict
        assert len({bool(function(context)) for function in (verdict, bare, guarded, sound)}) == 1
        others = rivals(rule)
        ours_ns, *rest_ns = race([verdict, bare, guarded, sound, *others], context, 1000)
        hand_ns, rival_ns = rest_ns[:3], rest_ns[3:]
        share, of_guarded, of_sound = (each / ours_ns for each in hand_ns)
        row = [f"{each:.0f}" for each in (*hand_ns, ours_ns)]
        row += [f"{each:.2f}" for each in (share, of_guarded, of_sound)]
        bars = [
            judged(f"{title}: of bare", share, least=0.7 if title[0] == "d" else 0.8),
            judged(f"{title}: of guarded", of_guarded, least=1),
        ]
        if rival_ns:
            gains.append(rival_ns[0] / ours_ns)
            row += [f"{rival_ns[0]:.0f}", f"{gains[-1]:.2f}", f"{rival_ns[1]:.0f}"]
            bars.append(judged(f"{title}: times datalogic-py", gains[-1], least=1.3))
        print(f"{title:<18}" + "".join(f"{cell:>11}" for cell in row) + "   " + ", ".join(bars))
    if gains:
        mean = prod(gains) ** (1 / len(gains))
        verdict_of_all = judged("geometric mean over datalogic-py", mean, least=2)
        print(f"geometric mean over datalogic-py: {mean:.2f}   {verdict_of_all}")


def policy(number: int, action: str) -> dict[str, Json]:
    return {
        "ripstop": 1,
        "id": f"p{number}",
        "vocabulary": "drone",
        "guards": [action],
        "rule": {
            "or": [{"<": [{"var": "task_priority"}, number + 1]}, {">=": [{"var": "battery_percent"}, 20]}]
        }
        if action == "accept_task"
        else {"<": [{"var": "battery_percent"}, 90]},
        "limits": [{"when": {"<": [{"var": "battery_percent"}, 20]}, "limit": {"payload_kg": {"max": 1}}}],
    }


def decisions() -> None:
    task = {"payload_kg": 0.5, "task_priority": 2, "margin_after_wh": 5.0, "reserve_wh": 4.0}
    lines: list[str] = []
    runs: list[Callable[[Context], object]] = []
    for count in (10, 100, 1000):
        policies = [load(policy(n, "accept_task" if n < 10 else "take_off")) for n in range(count)]
        compiled = compile_policies(policies)
        full = compiled.observe(compiled.start(), {"battery_percent": 55.0}, 0)
        low = compiled.observe(compiled.start(), {"battery_percent": 15.0}, 0)
        for title, state in (("allowed", full), ("a limit active", low)):
            lines.append(f"{count:>5} policies, 10 guard: {title}")
            runs.append(lambda _, s=state, f=compiled.decide: f("accept_task", task, 1, s))
    rest: list[tuple[str, Callable[[Context], object]]] = [
        (
            "a parameter absent (exact evaluator)",
            lambda _: compiled.decide("accept_task", {"payload_kg": 0.5}, 1, full),
        ),
        (
            "observe three signals",
            lambda _: compiled.observe(full, {"battery_percent": 55.0, "x_m": 1.0, "y_m": 2.0}, 2),
        ),
    ]
    times = [ns / 1000 for ns in race(runs, {}, 500)]
    print(f"\n{'decide, with evidence':<42}{'us':>8}")
    for title, taken_us in zip(lines, times, strict=True):
        print(f"{title:<42}{taken_us:8.2f}   {judged(title, taken_us, most=5)}")
    growth = (times[4] + times[5]) / (times[0] + times[1])
    bar = judged("decision at 1,000 policies, times that at 10", growth, most=1.1)
    print(f"{'1,000 policies, times 10':<42}{growth:8.2f}   {bar}")
    for (title, _), taken_ns in zip(rest, race([run for _, run in rest], {}, 50), strict=True):
        print(f"{title:<42}{taken_ns / 1000:8.2f}")


def windows() -> None:
    """Time one update of "at no time in the window above 0.9", for windows of several lengths in turns."""
    vocabulary: Json = {
        "name": "v",
        "signals": {"x": {"range": [0, 1], "max_age_s": 5}},
        "actions": {"go": {}},
    }
    samples = [{"x": 0.95 if index % 97 == 0 else 0.5} for index in range(1000)]
    spans, compiled = (10, 300, 3000), []
    for window in spans:
        rule = {"historically": [{"<": [{"var": "x"}, 0.9]}, window]}
        document: Json = {"ripstop": 1, "id": "p", "vocabulary": vocabulary, "rule": rule}
        compiled.append(compile_policies(load(document)))
    kinds: dict[str, list[Callable[[], None]]] = {
        "tracker us": [tracked(each, samples) for each in compiled],
        "observe": [observed(each, samples) for each in compiled],
        "decide": [decided(each) for each in compiled],
    }
    others = [reelays(window, samples) for window in spans]
    if others[0]:
        kinds |= {"reelay dense": [each[0] for each in others], "discrete": [each[1] for each in others]}
    raced = race([lambda _, run=run: run() for runs in kinds.values() for run in runs], {}, 3)
    times = [[ns / len(samples) / 1000 for ns in raced[at : at + 3]] for at in range(0, len(raced), 3)]
    print(f"\n{'temporal update':<18}" + "".join(f"{head:>14}" for head in [*kinds, "times dense"]))
    for index, window in enumerate(spans):
        row = "".join(f"{kind[index]:14.2f}" for kind in times)
        if others[0]:
            gain = times[3][index] / times[0][index]
            row += f"{gain:14.2f}   {judged(f'window {window} s: times reelay', gain, least=2)}"
        print(f"{window:>5} s" + " " * 11 + row)
    growth = times[0][-1] / times[0][0]
    bar = judged("tracker at a window of 3,000 s, times that at 10 s", growth, most=1.1)
    print(f"tracker, 3,000 s times 10 s: {growth:.2f}   {bar}")


def tracked(compiled: Compiled, samples: list[dict[str, float]]) -> Callable[[], None]:
    tracker, clock = compiled.track(), [0]

    def run() -> None:
        t_us, observe = clock[0], tracker.observe
        for sample in samples:
            t_us += 1_000_000
            observe(sample, t_us)
        clock[0] = t_us

    return run


def observed(compiled: Compiled, samples: list[dict[str, float]]) -> Callable[[], None]:
    states = [compiled.start()]

    def run() -> None:
        state = states[0]
        t_us = max(0, state.t_us)
        for sample in samples:
            t_us += 1_000_000
            state = compiled.observe(state, sample, t_us)
        states[0] = state

    return run


def decided(compiled: Compiled) -> Callable[[], None]:
    state = compiled.start()
    for second in range(4000):
        state = compiled.observe(state, {"x": 0.5}, second * 1_000_000)

    def run() -> None:
        for _ in range(1000):
            compiled.decide("go", {}, state.t_us, state)

    return run


def reelays(window: int, samples: list[dict[str, float]]) -> list[Callable[[], None]]:
    try:
        import reelay
    except ImportError:
        return []
    pattern = f"historically[0:{window}]{{x < 0.9}}"
    dense, clock = reelay.dense_timed_monitor(pattern=pattern), [0]
    discrete = reelay.discrete_timed_monitor(pattern=pattern, condense=False)

    def run() -> None:
        t, update = clock[0], dense.update
        for sample in samples:
            t += 1
            update({"time": t, **sample})
        clock[0] = t

    def run_discrete() -> None:
        update = discrete.update
        for sample in samples:
            update(sample)

    return [run, run_discrete]


if __name__ == "__main__":
    verdicts()
    decisions()
    windows()
    summary()
