"""The columns engine's margins: row by row what `policy.margin` says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_programs import VOCABULARY, Contexts, Programs, generator
from ripstop.backends import compile as compile_policies
from ripstop.policy import load
from ripstop.policy.evaluate import ABSENT
from ripstop.policy.margin import margin

DRONE = {
    "name": "v",
    "signals": {
        "a": {"range": [0, 10]},
        "b": {"range": [-5, 5]},
        "free": {"type": "number"},
        "up": {"type": "boolean"},
    },
    "actions": {"go": {"parameters": {"load": {"range": [0, 4]}}}, "land": {}},
    "failsafe": ["land"],
}


def document(rule, name="p", **more):
    return {"ripstop": 1, "id": name, "vocabulary": DRONE, "guards": ["go"], "rule": rule, **more}


def held_to_the_reference(compiled, action, columns):
    found = compiled.margins(action, columns)
    ids = [policy.id for policy in compiled.bundle.guarding(action)]
    for row in range(len(found)):
        context = {
            name: value
            for name, column in columns.items()
            if not isinstance(value := column[row], type(ABSENT))
        }
        context = {
            name: value.item() if isinstance(value, np.generic) else value for name, value in context.items()
        }
        expected = margin(compiled.bundle, action, context)
        assert (found.low[row], found.high[row]) == (expected.low, expected.high), context
        assert found.nearest[row] == (ids.index(expected.policy) if expected.policy else -1)
    return found


numbers = st.integers(-12, 24).map(lambda n: n / 2) | st.sampled_from([math.nan, math.inf, 1e300])
terms = st.sampled_from([{"var": "a"}, {"var": "b"}, {"var": "free"}, 3, {"+": [{"var": "a"}, {"var": "b"}]}])
comparisons = st.builds(
    lambda op, terms: {op: terms},
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.lists(terms, min_size=2, max_size=3),
)
rules = st.recursive(
    comparisons | st.sampled_from([{"var": "up"}, True, False]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).flatmap(lambda x: st.sampled_from([{"and": x}, {"or": x}]))
        | inner.map(lambda x: {"!": [x]})
        | inner.map(lambda x: {"!!": [x]})
        | st.lists(inner, min_size=3, max_size=5).filter(lambda x: len(x) % 2).map(lambda x: {"if": x})
    ),
    max_leaves=6,
)
rows = st.lists(st.tuples(numbers, numbers, numbers, numbers, st.booleans()), min_size=1, max_size=8)
effects = st.sampled_from(["require", "forbid"])


@given(rules, rules, effects, rows)
def test_every_row_has_the_margin_that_the_reference_gives_it(first, second, effect, table):
    limits = [{"when": first, "limit": {"load": {"min": 1, "max": 3}}}]
    policies = [load(document(first, effect=effect)), load(document(second, "q", limits=limits))]
    columns = dict(zip(("a", "b", "free", "load"), np.array([row[:4] for row in table]).T, strict=True))
    columns["up"] = np.array([row[4] for row in table])
    held_to_the_reference(compile_policies(policies, "columns"), "go", columns)


@pytest.mark.parametrize("seed", range(6))
def test_what_no_column_measures_is_measured_row_by_row(seed):
    rng = generator(seed)
    policies = [Programs(rng).policy(number) for number in range(2)]
    contexts = [Contexts(rng).context() for _ in range(10)]
    names = dict.fromkeys(name for context in contexts for name in context)
    columns = {name: [context.get(name, ABSENT) for context in contexts] for name in names}
    compiled = compile_policies(policies, "columns", vocabulary=VOCABULARY)
    held_to_the_reference(compiled, "go", columns)


def test_where_no_policy_has_a_say_the_margin_is_certain():
    compiled = compile_policies(load(document({"<": [{"var": "a"}, 3]})), "columns")
    columns = {"a": np.array([1.0, 4.0])}
    assert compiled.margins("land", columns).low.tolist() == [math.inf, math.inf]
    assert compiled.margins("fly", columns).high.tolist() == [-math.inf, -math.inf]
    assert compiled.margins("go", columns).low.tolist() == pytest.approx([0.2, -0.1])


def test_a_margin_above_zero_is_an_allowed_row():
    policy = load(document({"and": [{"<": [{"var": "a"}, 3]}, {">": [{"var": "b"}, 0]}]}))
    compiled, rng = compile_policies(policy, "columns"), np.random.default_rng(1)
    columns = {"a": rng.uniform(0, 10, 500), "b": rng.uniform(-5, 5, 500)}
    margins, decisions = compiled.margins("go", columns), compiled.decisions("go", columns)
    assert ((margins.low > 0) == (decisions.verdicts == 2)).all()
