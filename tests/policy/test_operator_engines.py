"""The operators' page against the engines' own tables, and the tables against what the engines compile."""

import importlib.util
from pathlib import Path

import pytest

from ripstop.backends import c99, columns, emit, python, wasm
from ripstop.core.errors import PolicyError
from ripstop.policy import load
from ripstop.policy.operators import OPERATORS

WRITER = Path(__file__).parents[2] / "docs/reference/write_operators.py"
spec = importlib.util.spec_from_file_location("write_operators_page", WRITER)
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)


@pytest.mark.parametrize("engine", [python, wasm, c99, columns], ids=lambda engine: engine.__name__)
def test_an_engine_has_each_operator_or_a_reason(engine):
    loops = {"all", "some", "none"} if engine is python else set()
    assert OPERATORS.keys() - set(engine.LOWERINGS) - loops == engine.NOT_LOWERED.keys()


# a rule over declared signals for each operator of the edge profile
RULES = {
    "var": "load < 1", "val": {"<": [{"val": ["load"]}, 1]}, "exists": "exists(load)",
    "if": "if busy then load < 1 else busy",
    "and": "busy and load < 1", "or": "busy or load < 1", "!": "not busy", "!!": "!!busy", "==": "load == 1",
    "!=": "load != 1", "===": "load === 1", "!==": "load !== 1", "<": "load < 1", "<=": "load <= 1",
    ">": "load > 1", ">=": "load >= 1", "+": "load + 1 < 3", "-": "load - 1 < 3", "*": "load * 2 < 3",
    "/": "load / 2 < 3", "%": "load mod 2 < 1", "min": "min(load, 1) < 1", "max": "max(load, 1) < 2",
    "within": "within[5 s](seen, now)", "in": "mode in ['idle']", "all": "all x in near: x.load < 1",
    "some": "some x in near: x.load < 1", "none": "none x in near: x.load < 1", "??": "(load ?? 0) < 1",
    "historically": "historically[5 s](load < 1)", "once": "once[5 s](load < 1)",
    "since": "since[5 s](busy, load < 1)",
    "previous": "previous(load) < 1", "count_within": "count_within[5 s, 2](load < 1) < 2",
    "chance": "chance[0.9](guess < 1)", "cat": "cat(mode, mode) == 'idleidle'",
    "substr": "substr(mode, 1) == 'dle'",
    "missing": "not missing(load)",
}  # fmt: skip
VOCABULARY = {
    "name": "v",
    "signals": {
        "load": {"range": [0, 9]},
        "busy": {"type": "boolean"},
        "mode": {"type": "string", "values": ["idle", "off"]},
        "seen": {"type": "timestamp"},
        "guess": {"type": "estimate"},
        "near": {"type": "list", "size": 3, "fields": {"load": {"range": [0, 9]}}},
    },
    "actions": {"go": {}, "stop": {}},
    "failsafe": ["stop"],
}


@pytest.mark.parametrize("target", ["wasm", "c99"])
@pytest.mark.parametrize("name", RULES)
def test_the_table_says_what_an_engine_compiles(name, target):
    policy = load({"ripstop": 1, "id": "p", "vocabulary": VOCABULARY, "guards": ["go"], "rule": RULES[name]})
    word, _ = page.standing(name, target)
    if word in ("yes", "partly"):
        assert emit(policy, target)
    else:
        with pytest.raises(PolicyError) as caught:
            emit(policy, target)
        assert caught.value.code == "E0315"
