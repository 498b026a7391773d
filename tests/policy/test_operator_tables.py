"""The operator table against everything that is keyed by it."""

import importlib.util
import json
from pathlib import Path

import pytest

from ripstop.backends import compile as compile_policies
from ripstop.backends.python import LOWERINGS, NOT_LOWERED
from ripstop.policy import CODES, JsonLogicError, apply, load
from ripstop.policy.eager import EAGER, UNARY
from ripstop.policy.evaluate import LAZY
from ripstop.policy.operators import ALIASES, OPERATORS
from ripstop.policy.typing_rules import RULES

QUANTIFIERS = {"all", "some", "none"}  # lowered to loops, where branches are built


def test_every_operator_has_a_meaning_and_every_meaning_an_operator():
    assert {*EAGER, *UNARY, *LAZY} == {*OPERATORS, "?:"}


def test_every_operator_has_a_typing_rule_and_no_rule_is_left_over():
    assert {operator.typing for operator in OPERATORS.values()} == set(RULES)


def test_the_python_engine_lowers_an_operator_or_says_why_not():
    assert OPERATORS.keys() - LOWERINGS.keys() - QUANTIFIERS == NOT_LOWERED.keys()


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_s_example_runs(name):
    rule, data, value = OPERATORS[name].example
    assert name in json.dumps(rule)
    if not OPERATORS[name].is_temporal:
        assert apply(rule, data) == value
        return
    with pytest.raises(JsonLogicError):
        apply(rule, {"a": 1})
    compiled = compile_policies(load({"===": [rule, value]}))
    state = compiled.start()
    for seconds, signals in data:
        state = compiled.observe(state, signals, int(seconds * 1e6))
    assert compiled.decide("go", {}, state.t_us, state)


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_the_same_policy(alias, name):
    args = [{"var": "a"}] if name == "!" else [{"var": "a"}, True, False]
    assert load({alias: args}).rule == load({name: args}).rule


def test_the_operators_page_is_what_the_table_says():
    reference = Path(__file__).parents[2] / "docs/reference"
    spec = importlib.util.spec_from_file_location("write_operators", reference / "write_operators.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (reference / "operators.md").read_text() == module.page(), "run `make docs`"


def test_every_code_of_a_finding_is_raised_somewhere():
    root = Path(__file__).parents[2] / "src/ripstop"
    source = "".join(
        path.read_text() for part in ("policy", "backends") for path in (root / part).rglob("*.py")
    )
    assert [code for code in CODES if source.count(f'"{code}"') < 2] == []
