"""Random policies and contexts inside the edge profile, from a seed: fast enough for a million pairs."""

from __future__ import annotations

import math
import random

from ripstop.policy import PolicyRejectedError, load
from ripstop.policy.loader import load_vocabulary

VOCABULARY = load_vocabulary(
    {
        "name": "edge",
        "signals": {
            "a": {"type": "number", "range": [-10, 10], "max_age_s": 5},
            "b": {"type": "number"},
            "c": {"type": "number", "range": [0, None]},
            "flag": {"type": "boolean"},
            "mode": {"type": "string", "values": ["idle", "busy", "away"]},
            "other": {"type": "string", "values": ["idle", "gone"]},
            "name": {"type": "string"},
            "tag": {"type": "string", "max_age_s": 2},
            "since": {"type": "timestamp"},
            "e": {"type": "estimate", "range": [-50, 50]},
            "f": {"type": "estimate"},
            "near": {
                "type": "list",
                "size": 3,
                "fields": {"load": {"type": "number", "range": [0, 1]}, "up": {"type": "boolean"}},
            },
        },
        "actions": {
            "go": {"parameters": {"p": {"type": "number", "range": [0, 100]}, "q": {"type": "number"}}},
            "stop": {"parameters": {"p": {"type": "number"}}},
            "land": {},
        },
        "failsafe": ["stop", "land"],
    }
)
ACTIONS = ("go", "stop", "land")
LITERALS = (0, 1, -1, 2, 0.5, 3.25, 10, -10, 100, 1e9, 2**53, 1e308, 0.1)
ORDERS = ("<", "<=", ">", ">=")


def generator(seed: int) -> random.Random:
    """Give the generator of a run; chance here is a search, not a secret."""
    return random.Random(seed)  # noqa: S311 (as it says)


def var(name: str) -> dict[str, object]:
    return {"var": name}


class Programs:
    """Draws policies."""

    def __init__(self, rng: random.Random, *, remainder: bool = False) -> None:
        self.rng = rng
        self.divisions = ["/", "%"] if remainder else ["/"]

    def number(self, depth: int) -> object:
        pick = self.rng.random()
        if depth <= 0 or pick < 0.45:
            return var(self.rng.choice("abcp"))
        if pick < 0.6:
            return self.rng.choice(LITERALS)
        if pick < 0.82:
            operands = [self.number(depth - 1) for _ in range(self.rng.randint(1, 3))]
            return {self.rng.choice(["+", "-", "*", "min", "max"]): operands}
        if pick < 0.9:
            return {self.rng.choice(self.divisions): [self.number(depth - 1), self.number(depth - 1)]}
        if pick < 0.94:
            return {"var": ["c", self.rng.choice(LITERALS)]}
        if pick < 0.97:
            return {"??": [var("b"), self.rng.choice(LITERALS)]}
        return {"if": [self.condition(1), self.number(depth - 1), self.number(depth - 1)]}

    def body(self) -> object:
        load_ = {self.rng.choice(ORDERS): [var("load"), self.rng.choice([0, 0.25, 0.5, 1])]}
        outer = {"<": [var("load"), {"val": [[2], "a"]}]}
        return self.rng.choice(
            [load_, var("up"), {"and": [var("up"), load_]}, {"or": [load_, {"!": [var("up")]}]}, outer]
        )

    def atom(self) -> object:
        pick = self.rng.random()
        if pick < 0.5:
            ops = [*ORDERS, "==", "!=", "===", "!=="]
            return {self.rng.choice(ops): [self.number(2) for _ in range(self.rng.choice([2, 2, 2, 3]))]}
        if pick < 0.56:
            return self.temporal()
        if pick < 0.6:
            return self.chance()
        if pick < 0.68:
            return {self.rng.choice(["all", "some", "none"]): [var("near"), self.body()]}
        return self.rng.choice(
            [
                var("flag"),
                {"==": [var("mode"), "busy"]},
                {"!==": [var("mode"), var("other")]},
                {"<": [var("mode"), var("other")]},
                {"!==": [var("name"), "x"]},
                {"in": [var("mode"), ["idle", "away"]]},
                {"in": [var("a"), [1, 2, 3]]},
                {"in": [var("flag"), [True]]},
                {"within": [var("since"), var("now"), 3]},
                {">": [{"-": [var("now"), var("since")]}, 2]},
                {"exists": "a"},
                {"!": [{"missing": ["a", "name"]}]},
                {"<": [{"min": [{"%": [7, 4]}, 2] if "%" in self.divisions else [1]}, var("c")]},
                {"<": [{"if": [{"and": [var("flag"), {">": [var("a"), 0]}]}, var("b"), 1]}, 2]},
                {"==": [{"<": [var("a"), 1]}, var("flag")]},
            ]
        )

    def temporal(self) -> object:
        signal = var(self.rng.choice("abc"))
        held = {self.rng.choice(ORDERS): [signal, self.rng.choice([0, 1, 2, 0.5])]}
        seconds = self.rng.choice([0.5, 2, 5])
        if self.rng.random() < 0.3:
            held = {self.rng.choice(["and", "or"]): [held, self.rng.choice([self.temporal(), self.looked()])]}
        return self.rng.choice(
            [
                {self.rng.choice(["historically", "once"]): [held, seconds]},
                {"since": [held, var("flag"), seconds]},
                {">": [{"count_within": [held, seconds, 3]}, 1]},
                {"<": [{"previous": signal}, signal]},
                {"!": [{"previous": var("flag")}]},
            ]
        )

    def looked(self) -> object:
        """Give what a window looks at beside numbers: a text, an estimate, a list, absence."""
        near = {self.rng.choice(["all", "some"]): [var("near"), self.body()]}
        texts = [{"==": [var("mode"), "busy"]}, {"!=": [{"previous": var("mode")}, "idle"]}]
        missing = {"missing": self.rng.choice([["b", "c"], ["tag"]])}
        return self.rng.choice([*texts, near, self.chance(), {"exists": "a"}, {"!": [missing]}])

    def chance(self) -> object:
        scaled = {"*": [var("e"), self.rng.choice([2, -0.5, 1e200])]}
        left = self.rng.choice(
            [var("e"), var("f"), scaled, {"-": [var("e"), var("f")]}, {"+": [var("f"), var("a")]}]
        )
        right = self.rng.choice([0, 3, var("b"), {"/": [var("f"), 4]}])
        return {"chance": [{self.rng.choice(ORDERS): [left, right]}, self.rng.choice([0.5, 0.9, 0.001])]}

    def condition(self, depth: int) -> object:
        pick = self.rng.random()
        if depth <= 0 or pick < 0.35:
            return self.atom()
        count = self.rng.choice([1, 2, 3, 4] if depth > 1 else [1, 2, 3, 4, 9])
        parts = [self.condition(depth - 1) for _ in range(count)]
        if pick < 0.75:
            return {self.rng.choice(["and", "or"]): parts}
        if pick < 0.85:
            return {"!": [parts[0]]}
        if pick < 0.88:
            return self.rng.choice([True, False])
        return {"if": [*parts, self.condition(depth - 1)]}

    def document(self, number: int) -> dict[str, object]:
        guards = self.rng.choice([["go"], ["go"], ["go", "stop"]])
        made = {
            "ripstop": 1,
            "id": f"p{number}",
            "tier": "safety",
            "vocabulary": VOCABULARY.to_json(),
            "guards": guards,
            "effect": self.rng.choice(["require", "forbid"]),
            "rule": self.condition(3),
            "on_unknown": self.rng.choice(["deny", "deny", "allow", {"last_valid": {"max_age_s": 3}}]),
        }
        if self.rng.random() < 0.5 and guards == ["go"]:
            made["limits"] = [
                {"when": self.condition(1), "limit": {self.rng.choice("pq"): self.bounds()}}
                for _ in range(self.rng.randint(1, 3))
            ]
        if self.rng.random() < 0.1:
            made["budgets"] = [self.budget() for _ in range(self.rng.randint(1, 2))]
        return made

    def budget(self) -> dict[str, object]:
        if self.rng.random() < 0.5:
            return {"at_most": self.rng.randint(1, 4), "within_s": self.rng.choice([0.5, 3, 60])}
        bucket = {"tokens": self.rng.choice([1, 5, 0.3]), "refill_per_s": self.rng.choice([0.1, 2])}
        return {**bucket, "cost": self.rng.choice([1, 0.7, "p"])}

    def bounds(self) -> dict[str, float]:
        made: dict[str, float] = {"max": self.rng.choice([0, 1, 5])}
        return {**made, "min": self.rng.choice([-1, 0])} if self.rng.random() < 0.5 else made

    def policy(self, number: int):
        """Draw until the checker accepts (a condition may divide by a literal zero, or repeat itself)."""
        while True:
            try:
                return load(self.document(number))
            except PolicyRejectedError:
                continue


ODD = (None, math.nan, math.inf, -math.inf, True, "1", "busy", "", [], {}, 10**400, 2**60, -0.0)


class Contexts:
    """Draws contexts, many of them sound."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def number(self) -> float:
        rng = self.rng
        if rng.random() < 0.05:  # seldom: generated Python leaves what is beyond 2^53 to the exact evaluator
            return rng.choice([1e-320, 1e308])
        return rng.choice([rng.randint(-12, 12), rng.uniform(-10, 10), 0.5, 0.0, 2.5, 1])

    def records(self) -> list[object]:
        rng = self.rng
        made = []
        for _ in range(rng.choice([0, 1, 2, 3, 3, 4])):
            record: dict[str, object] = {
                "load": rng.choice([0, 0.25, 0.5, 0.75, 1]),
                "up": rng.random() < 0.5,
            }
            if rng.random() < 0.1:
                record[rng.choice(["load", "up"])] = rng.choice([None, math.nan, 2, "x", True])
            if rng.random() < 0.05:
                del record["load"]
            made.append(record if rng.random() > 0.02 else 3)
        return made

    def sound(self, name: str) -> object:
        rng = self.rng
        if name in "bq":
            return self.number()
        if name == "p":  # mostly inside its range, else policies about it never get far
            return rng.choice([rng.randint(0, 100), rng.uniform(0, 10), 0.5, 1, 5, self.number()])
        if name == "a":
            return rng.choice([rng.uniform(-10, 10), rng.randint(-10, 10)])
        if name == "c":
            return rng.choice([0, 0.5, 3, 1e6])
        if name == "flag":
            return rng.random() < 0.5
        if name == "since":
            return rng.choice([0, 1.5, 4])
        if name in "ef":
            return {
                "mean": self.number(),
                "sd": rng.choice([0, 0.5, 2, 1, 1e160, -1 if rng.random() < 0.1 else 3]),
            }
        if name == "near":
            return self.records()
        texts = {"mode": ["idle", "busy", "away"], "other": ["idle", "gone"], "name": ["x", "abc"]}
        return rng.choice({**texts, "tag": ["x", "x", ""]}[name])

    def context(self) -> dict[str, object]:
        rng = self.rng
        badness = rng.choice([0.0, 0.0, 0.0, 0.1, 0.4])
        made = {}
        for name in (*VOCABULARY.signals, "p", "q"):
            if rng.random() < badness:
                if rng.random() < 0.5:
                    made[name] = rng.choice(ODD)
            else:
                made[name] = self.sound(name)
        return made
