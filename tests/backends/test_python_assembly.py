"""CPython's compiler can lose a jump; a function that would never end is never run."""

import ast
from itertools import product
from types import SimpleNamespace

import pytest

from edge_programs import VOCABULARY
from ripstop.backends import compile as compile_policies
from ripstop.backends.python import assemble as assembling
from ripstop.backends.python.slots import Unsupported
from ripstop.core.decision import Verdict
from ripstop.policy import load, reference

# Its raw verdict never ended on CPython 3.11 where "a" was no number above 0 and "mode" none either.
LOOPED = {"or": [
    {"if": [
        {"or": [{"var": "c"}, {"var": "a"}, {">=": [{"var": "p"}, -1]}, {"var": "a"}]},
        {"if": [{"var": "mode"}, {"var": "a"}]},
    ]},
    {"or": [
        {"and": [{"var": "b"}, {"var": "flag"}, {"var": "a"}]},
        {"and": [{"var": "b"}, {"var": "b"}, {"var": "near"}, {"var": "near"}]},
    ]},
]}  # fmt: skip


def policy(rule):
    return load(
        {
            "ripstop": 1,
            "id": "p",
            "tier": "safety",
            "vocabulary": VOCABULARY.to_json(),
            "guards": ["go"],
            "rule": rule,
        }
    )


def losing(times):
    """Stand in for what looks at byte code: so many functions have lost a jump."""
    left = [True] * times + [False] * 9

    def look(_):
        return iter([SimpleNamespace(is_jump_target=left.pop(0))])

    return look


def branches():
    return ast.parse("def f(c):\n if c: return g\n else: pass\n return 2").body[0]


def test_a_rule_whose_function_never_ended_gives_what_the_reference_gives():
    compiled = compile_policies(policy(LOOPED))
    assert compiled.verdict.__code__.co_filename == "<ripstop rule>"
    for c, a, p, b, flag in product((0, 1), (0, 1), (-2, 0), (0, 1), (False, True)):
        context = {"a": a, "b": b, "c": c, "p": p, "flag": flag, "mode": "idle", "near": []}
        assert compiled.verdict(context) is reference.verdict(compiled.policies[0], context)


def test_a_function_stands_on_one_line():
    made = assembling.assemble(branches(), {"g": 7})
    assert (made(True), made(False)) == (7, 2)
    assert {line for *_, line in made.__code__.co_lines()} <= {1, None}


def test_a_function_that_has_lost_a_jump_is_compiled_line_by_line(monkeypatch):
    monkeypatch.setattr(assembling, "get_instructions", losing(1))
    made = assembling.assemble(branches(), {"g": 7})
    assert (made(True), made(False)) == (7, 2)
    assert len({line for *_, line in made.__code__.co_lines()}) > 3


def test_where_that_does_not_help_the_exact_evaluator_decides(monkeypatch):
    monkeypatch.setattr(assembling, "get_instructions", losing(2))
    with pytest.raises(Unsupported):
        assembling.assemble(branches(), {})
    monkeypatch.setattr(assembling, "get_instructions", losing(8))
    compiled = compile_policies(policy({">": [{"var": "a"}, 1]}))
    assert compiled.verdict({"a": 2})
    assert not compiled.verdict({"a": 0})
    assert compiled.decide("go", {"a": 2, "p": 1, "q": 1}).verdict is Verdict.ALLOW
    assert compiled.decide("go", {"a": 0, "p": 1, "q": 1}).verdict is Verdict.DENY


def test_a_loop_is_no_lost_jump():
    body = ast.parse("def f(items):\n n = 0\n for each in items: n += each\n return n").body[0]
    assert assembling.assemble(body, {})([1, 2]) == 3
