"""Drawn policies and traces for devices, and what the reference decides along a trace."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator

from edge_programs import VOCABULARY, Programs
from ripstop.backends.python import Compiled
from ripstop.core.decision import Decision, Verdict
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import make_bundle, reference
from ripstop.policy.bundle import Bundle
from ripstop.policy.loader import load_vocabulary

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
WORDS = {"null": None, "true": True, "false": False, "nan": math.nan, "inf": math.inf, "-inf": -math.inf}
ODD = (
    "nan", "inf", "-inf", "1e400", "-1e400", "null", "true", "false", "busy", "idle", "x", "0x10", "1e", ".5",
    "+1", "nanx", "9007199254740993", "1e308", "-1.7976931348623157e308", "1e-320", "-0.0", "0", "007",
    "y" * 300,
)  # fmt: skip
_KEPT = ("a", "b", "c", "flag", "mode", "other", "name", "since")


def device_vocabulary() -> Vocabulary:
    """The edge vocabulary without what is more than the last reading of a signal."""
    document = VOCABULARY.to_json()
    document["signals"] = {name: document["signals"][name] for name in _KEPT}
    return load_vocabulary(document)


class DevicePrograms(Programs):
    """Draws policies that look at nothing but last readings."""

    def atom(self) -> object:
        while True:
            drawn = super().atom()
            text = json.dumps(drawn)
            if not any(f'"{word}"' in text for word in ("near", "e", "f", "previous", "chance", *_WINDOWS)):
                return drawn

    def document(self, number: int) -> dict[str, object]:
        made = {**super().document(number), "vocabulary": device_vocabulary().to_json()}
        return {name: value for name, value in made.items() if name != "budgets"}


class RememberingPrograms(DevicePrograms):
    """Draws policies that remember: windows over last readings, and budgets."""

    def atom(self) -> object:
        while True:
            drawn = Programs.atom(self)
            if not any(f'"{word}"' in json.dumps(drawn) for word in ("near", "e", "f", "chance")):
                return drawn

    def document(self, number: int) -> dict[str, object]:
        return {**Programs.document(self, number), "vocabulary": device_vocabulary().to_json()}


_WINDOWS = ("historically", "once", "since", "count_within")


def drawn_pair(
    rng: random.Random, rows: int, *, is_remembering: bool = False
) -> tuple[list[dict[str, object]], str]:
    """Draw policies and a trace along which each of two verdicts on `go` is met at least every tenth time."""
    drawer = RememberingPrograms(rng) if is_remembering else DevicePrograms(rng)
    while True:
        policies = [drawer.policy(number) for number in range(rng.choice([1, 1, 2, 3]))]
        if is_remembering and not any(each.program.windows or each.budgets for each in policies):
            continue
        text = drawn_trace(rng, rows)
        bundle = make_bundle(policies)
        met = Counter(made.verdict for _, action, made in expected(bundle, text) if action == "go")
        if sorted(met.values())[-2:-1] >= [0.1 * met.total()]:
            return [policy.to_json() for policy in policies], text


def drawn_trace(rng: random.Random, rows: int) -> str:
    """Draw a trace: sound values, odd ones, gaps, and time that mostly goes forward."""
    gaps, oddity = rng.choice([0.05, 0.3]), rng.choice([0.0, 0.02, 0.15])
    names = [*_KEPT, "p", "q", "stranger"]
    lines = ["# drawn", ",".join(["t_s", "action", *names])]
    t_s = 1000.0
    for _ in range(rows):
        t_s += rng.choice([0, 0.25, 1, 1, 2.5, 4, -1.5])
        action = rng.choice(["", "go", "go", "go", "stop", "land", "dance"])
        cells = [_cell(rng, name, gaps, oddity) for name in names]
        lines.append(",".join([f"{t_s:.6f}", action, *cells]))
    return "\n".join(lines) + "\n"


def _cell(rng: random.Random, name: str, gaps: float, oddity: float) -> str:
    if rng.random() < gaps:
        return ""
    if rng.random() < oddity:
        return rng.choice(ODD)
    texts = {"mode": ("idle", "busy", "away"), "other": ("idle", "gone"), "name": ("x", "abc")}
    if name in texts:
        return rng.choice(texts[name])
    if name == "flag":
        return rng.choice(["true", "false"])
    if name == "since":
        return repr(1000.0 + rng.uniform(0.0, 60.0))
    return repr(rng.choice([rng.randint(-12, 12), rng.uniform(-10.0, 10.0), 0.5, 2.5, 0.1, 1e9]))


def read_cell(cell: str) -> object:
    """Read a cell as docs/guide/devices.md describes it; only for cells that hold something."""
    if cell in WORDS:
        return WORDS[cell]
    return float(cell) if NUMBER.fullmatch(cell) else cell


def expected(bundle: Bundle, text: str) -> Iterator[tuple[str, str, Decision]]:
    """Give time, action and the reference's decision for each row that asks; what is allowed is done."""
    lines = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    names = lines[0][2:]
    compiled = Compiled(bundle)
    state = compiled.start()
    for when, action, *cells in lines[1:]:
        t_us = math.floor(float(when) * 1e6 + 0.5)
        spec = bundle.vocabulary.actions.get(action)
        given = {name: read_cell(cell) for name, cell in zip(names, cells, strict=True) if cell}
        asks_all = bundle.vocabulary.is_open and action
        parameters = set(given) if asks_all else set(spec.parameters) if spec else set()
        readings = {name: value for name, value in given.items() if name not in parameters}
        state = compiled.observe(state, readings, t_us)
        if action:
            context = {name: value for name, value in given.items() if name in parameters}
            decision = reference.decide(bundle, action, context, t_us, state)
            yield when, action, decision
            state = compiled.commit(state, decision, t_us) or state


def shown(decision: Decision) -> tuple[str, dict[str, tuple[float, float]]]:
    """Give a decision as the programs tell it."""
    words = {Verdict.DENY: "deny", Verdict.LIMIT: "limit", Verdict.ALLOW: "allow"}
    return words[decision.verdict], {
        limit.parameter: (
            -math.inf if limit.low is None else float(limit.low),
            math.inf if limit.high is None else float(limit.high),
        )
        for limit in decision.limits
    }


def parsed(line: str) -> tuple[str, str, tuple[str, dict[str, tuple[float, float]]]]:
    """Read a line that a program printed."""
    when, action, verdict, *limits = line.split(" ")
    bounds = {}
    for limit in limits:
        name, _, range_ = limit.partition("=")
        low, _, high = range_.partition("..")
        bounds[name] = (float(low or "-inf"), float(high or "inf"))
    return when, action, (verdict, bounds)
