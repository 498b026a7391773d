"""What is fuzzed: each target takes bytes and may only end in the errors that are promised.

Coverage-guided, with atheris:      .venv/bin/python tests/fuzz/run.py loader -max_total_time=3600
Targets: loader (a file's bytes: JSON, YAML or the readable form), checker (JSON in the language's shape),
codec (lowered programs, damaged), plain (JSON-Logic by itself), wasm (any policy that the wasm engine
takes, any context, held to the reference). `regressions/` holds what was found.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from ripstop.backends.wasm import WasmCompiled
from ripstop.core.errors import PolicyError
from ripstop.policy import JsonLogicError, Policy, PolicyRejectedError, apply, load, make_bundle, reference
from ripstop.policy.codec import decode, encode
from ripstop.policy.lower import lower
from ripstop.policy.operators import OPERATORS
from ripstop.policy.verify import IrError

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


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Give a folder that lives as long as the process."""
    return tempfile.TemporaryDirectory()


SUFFIXES = (".json", ".yaml", ".rule")


def read(content: bytes, suffix: str = ".json") -> Policy:
    """Load a policy from a file that holds these bytes."""
    path = Path(folder().name) / f"p{suffix}"
    path.write_bytes(content)
    return load(path)


def drawn(reader: Reader) -> Policy:
    """Load a drawn rule."""
    return read(json.dumps(reader.rule()).encode())


def loader(data: bytes) -> None:
    """Load a file; its first byte chooses the form."""
    try:
        policy = read(data[1:], SUFFIXES[(data[0] if data else 0) % len(SUFFIXES)])
    except PolicyError:
        return
    reference.decide(make_bundle([policy]), "go", {})


def codec(data: bytes) -> None:
    """Damage a lowered program: it is refused, or is the same after another round."""
    reader = Reader(data)
    try:
        policy = drawn(reader)
    except PolicyError:
        return
    record = json.loads(json.dumps(encode(lower(policy.program))))
    for _ in range(reader.below(4)):
        damage(record, reader)
    try:
        lowered = decode(record)
    except IrError:
        return
    again = encode(lowered)
    assert encode(decode(again)) == again


def damage(value: object, reader: Reader) -> None:
    """Put something else at a place in a JSON value."""
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[reader.below(len(keys))]
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or not reader.below(4):
            value[key] = copy.deepcopy((*VALUES, *OPERATORS)[reader.below(len(VALUES) + len(OPERATORS))])
            return
        value = inner


def checker(data: bytes) -> None:
    """Load JSON in the shape of a rule, and decide with what loads."""
    reader = Reader(data)
    try:
        policy = drawn(reader)
    except PolicyError:
        return
    reference.decide(make_bundle([policy]), "go", reader.context())


def plain(data: bytes) -> None:
    """Run drawn JSON-Logic over drawn data."""
    reader = Reader(data)
    rule = reader.rule()
    with suppress(JsonLogicError):
        apply(rule, reader.context())


def wasm(data: bytes) -> None:
    """Run a rule as a module; where the engine takes it, it says what the reference says."""
    reader = Reader(data)
    try:
        policy = drawn(reader)
        compiled = WasmCompiled(make_bundle([policy]))
    except (PolicyRejectedError, PolicyError):
        return
    context = reader.context()
    assert compiled.verdict(context) is reference.verdict(policy, context)
    found = compiled.decide("go", context)
    expected = reference.decide(compiled.bundle, "go", context)
    assert (found.verdict, list(found.evidence)) == (expected.verdict, list(expected.evidence))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "loader": loader,
    "checker": checker,
    "codec": codec,
    "plain": plain,
    "wasm": wasm,
}
