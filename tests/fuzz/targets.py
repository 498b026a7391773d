"""What is fuzzed: each target takes bytes and may only end in the errors that are promised.

Coverage-guided, with atheris:      .venv/bin/python tests/fuzz/run.py loader -max_total_time=3600
Targets: loader (a policy's bytes), checker (JSON in the language's shape), wasm (any policy that the wasm
engine takes, any context, held to the reference). `regressions/` holds what was found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from ripstop.backends.wasm import WasmCompiled
from ripstop.core.errors import PolicyError
from ripstop.policy import PolicyRejectedError, load, make_bundle, reference
from ripstop.policy.operators import OPERATORS

NAMES = ("a", "b", "near", "mode", "now", "")
VALUES = (0, 1, -1, 0.5, 1e308, 2**53, True, False, None, "", "a", "1", [], [1, 2], {})
READINGS = (*VALUES, math.nan, math.inf, 10**400, {"load": 1}, [{"load": math.nan}])


class Reader:
    """Turns bytes into choices."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def below(self, count: int) -> int:
        """Give a number below `count`; 0 when the bytes are used up."""
        if self.at >= len(self.data):
            return 0
        self.at += 1
        return self.data[self.at - 1] % count

    def rule(self, depth: int = 0) -> object:
        """Give something in the shape of a rule."""
        kind = self.below(4)
        if kind == 0 or depth > 8 or self.at >= len(self.data):
            return VALUES[self.below(len(VALUES))]
        if kind == 1:
            return {"var": NAMES[self.below(len(NAMES))]}
        names = list(OPERATORS)
        args = [self.rule(depth + 1) for _ in range(self.below(4))]
        return {names[self.below(len(names))]: args if self.below(8) else (args or [None])[0]}

    def context(self) -> dict[str, object]:
        """Give a context."""
        return {name: READINGS[self.below(len(READINGS))] for name in NAMES[: self.below(len(NAMES))]}


def loader(data: bytes) -> None:
    """Load a policy's text."""
    try:
        load(data.decode("utf-8", "surrogateescape"))
    except PolicyError:
        return


def checker(data: bytes) -> None:
    """Load JSON in the shape of a rule, and decide with what loads."""
    reader = Reader(data)
    try:
        policy = load(json.dumps(reader.rule()))
    except PolicyError:
        return
    reference.decide(make_bundle([policy]), "go", reader.context())


def wasm(data: bytes) -> None:
    """Run a rule as a module; where the engine takes it, it says what the reference says."""
    reader = Reader(data)
    try:
        policy = load(json.dumps(reader.rule()))
        compiled = WasmCompiled(make_bundle([policy]))
    except (PolicyRejectedError, PolicyError):
        return
    context = reader.context()
    assert compiled.verdict(context) is reference.verdict(policy, context)
    found = compiled.decide("go", context)
    expected = reference.decide(compiled.bundle, "go", context)
    assert (found.verdict, list(found.evidence)) == (expected.verdict, list(expected.evidence))


TARGETS: dict[str, Callable[[bytes], None]] = {"loader": loader, "checker": checker, "wasm": wasm}
