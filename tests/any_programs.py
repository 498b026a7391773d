"""Random rules over the whole operator table, whatever their types; most are refused, few are alike."""

from __future__ import annotations

import math
import random

from ripstop.core.canonical import Json
from ripstop.policy.operators import ALIASES, OPERATORS

NAMES = ["a", "b", "c", "p", "flag", "mode", "name", "since", "near", "now", "zz"]
PATHS = [*NAMES, "near.0.load", "near.1", "", "accumulator", "current", "load", "a.b", 1, None]
STEPS: list[Json] = [
    ["a"],
    ["near", 0, "load"],
    ["near", -1],
    [[1], "a"],
    [[2], "b"],
    [],
    "b",
    [[-1], "index"],
]
LITERALS: list[Json] = [
    *(0, 1, -1, 2, 0.5, 10, 1e9, True, False, None, "", "x", "busy", "1", "a", "near", " 12 ", "1e3", "0x10"),
    *([], [1, 2], ["a"]),
]
ODD: list[object] = [
    *(None, math.nan, math.inf, -math.inf, True, "1", "x", "", "é", "\ud800", 10**400, 2**60, -0.0),
    *([], {}, [1, [2]], {"a": 1}),
]
CONDITIONS = [
    "<",
    "<=",
    ">",
    "==",
    "!=",
    "===",
    "in",
    "some",
    "all",
    "none",
    "!!",
    "exists",
    "missing",
    "within",
]


class AnyPrograms:
    """Draws rules and contexts."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def leaf(self) -> Json:
        pick = self.rng.random()
        if pick < 0.4:
            return {"var": self.rng.choice(PATHS)}
        if pick < 0.52:
            return {"var": [self.rng.choice(PATHS), self.rng.choice(LITERALS)]}
        return {"val": self.rng.choice(STEPS)} if pick < 0.6 else self.rng.choice(LITERALS)

    def value(self, depth: int) -> Json:
        if depth <= 0 or self.rng.random() < 0.3:
            return self.leaf()
        name = self.rng.choice([*OPERATORS, *ALIASES])
        if self.rng.random() < 0.05:
            return {name: self.value(depth - 1)}
        row = OPERATORS[ALIASES.get(name, name)]
        most = row.least + 3 if row.most is None else min(row.most, row.least + 3)
        return {name: [self.value(depth - 1) for _ in range(self.rng.randint(row.least, most))]}

    def rule(self, depth: int = 3) -> Json:
        pick = self.rng.random()
        if depth > 0 and pick < 0.4:
            parts = [self.rule(depth - 1) for _ in range(self.rng.randint(1, 3))]
            return {"!": parts[:1]} if pick < 0.1 else {self.rng.choice(["and", "or"]): parts}
        operands = [self.value(depth) for _ in range(self.rng.choice([1, 2, 2, 2, 3]))]
        return {self.rng.choice(CONDITIONS): operands}

    def context(self) -> dict[str, object]:
        return {name: self.sample(name) for name in NAMES if name != "now" and self.rng.random() < 0.9}

    def sample(self, name: str) -> object:
        rng = self.rng
        if rng.random() < 0.15:
            return rng.choice(ODD)
        records = [
            {"load": rng.choice([0, 0.25, 1]), "up": rng.random() < 0.5} for _ in range(rng.randint(0, 3))
        ]
        numbers: list[object] = [rng.randint(-12, 12), rng.uniform(-10, 10), 0.5, 0, 1]
        kinds: dict[str, list[object]] = {
            "flag": [True, False],
            "mode": ["idle", "busy"],
            "name": ["x", "abc"],
            "since": [0, 1.5, 4],
            "near": [records],
        }
        return rng.choice(kinds.get(name, numbers))
