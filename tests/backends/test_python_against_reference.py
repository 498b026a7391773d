"""The python engine held to the reference semantics, over generated policies, contexts and traces."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ripstop.backends import compile as compile_policies
from ripstop.policy import PolicyRejectedError, load, make_bundle, reference
from ripstop.policy.loader import load_vocabulary

VOCABULARY = load_vocabulary(
    {
        "name": "test",
        "signals": {
            "a": {"type": "number", "range": [-10, 10], "max_age_s": 5},
            "b": {"type": "number"},
            "c": {"type": "number", "range": [0, None]},
            "flag": {"type": "boolean"},
            "mode": {"type": "string", "values": ["idle", "busy"]},
            "name": {"type": "string"},
            "since": {"type": "timestamp"},
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

literals = st.sampled_from([0, 1, -1, 2, 0.5, 3.25, 10, -10, 100, 1e9, 2**53])


def var(name):
    return {"var": name}


def pair(values):
    return st.tuples(values, values).map(list)


def applied(ops, args):
    return st.builds(lambda op, values: {op: list(values)}, st.sampled_from(ops), args)


def numbers_of(leaves):
    return st.recursive(
        leaves | literals,
        lambda inner: (
            applied(["+", "-", "*", "min", "max"], st.lists(inner, min_size=1, max_size=3))
            | applied(["/", "%"], pair(inner))
        ),
        max_leaves=4,
    )


def conditions(numbers, others, quantified):
    atoms = (
        applied(["<", "<=", ">", ">=", "==", "!=", "===", "!=="], pair(numbers))
        | applied(["<", ">="], st.tuples(numbers, numbers, numbers))
        | numbers.map(lambda n: {"!!": [n]})
        | others
        | quantified
        | st.booleans()
    )
    return st.recursive(
        atoms,
        lambda inner: (
            applied(["and", "or"], st.lists(inner, min_size=1, max_size=4))
            | inner.map(lambda x: {"!": [x]})
            | st.lists(inner, min_size=2, max_size=5).map(lambda args: {"if": args})
        ),
        max_leaves=8,
    )


declared_numbers = numbers_of(st.sampled_from(["a", "b", "c", "p"]).map(var))
body = (
    applied(["<", ">="], st.tuples(st.just(var("load")), literals))
    | st.just(var("up"))
    | st.just({"and": [var("up"), {"<": [var("load"), 0.5]}]})
)
declared = conditions(
    declared_numbers,
    st.sampled_from(
        [
            var("flag"),
            {"==": [var("mode"), "busy"]},
            {"!==": [var("name"), "x"]},
            {"in": [var("mode"), ["idle", "busy"]]},
            {"in": [var("a"), [1, 2, 3]]},
            {"in": ["b", var("name")]},
            {"within": [var("since"), var("now"), 3]},
            {">": [{"-": [var("now"), var("since")]}, 2]},
            {"exists": "a"},
            {"<": [{"??": [var("b"), 7]}, 8]},
            {"<": [{"var": ["c", 1]}, 2]},
            {"!": [{"missing": ["a", "b"]}]},
            {"try": [{"<": [{"/": [1, var("a")]}, 1]}, True]},
            {"==": [{"cat": [var("name"), "!"]}, "x!"]},
        ]
    ),
    st.builds(lambda op, inner: {op: [var("near"), inner]}, st.sampled_from(["all", "some", "none"]), body),
)
open_numbers = numbers_of(st.sampled_from(["a", "b", "c", "p"]).map(var))
undeclared = conditions(
    open_numbers,
    st.sampled_from(
        [
            var("flag"),
            {"==": [var("mode"), "busy"]},
            {"===": [var("a"), var("b")]},
            {"in": [var("a"), [1, 2, "1"]]},
            {"in": [var("mode"), ["idle", "busy"]]},
            {"<": [{"max": var("near")}, 1]},
            {"<": [{"reduce": [var("near"), {"+": [var("accumulator"), var("current.load")]}, 0]}, 1]},
            {"!": [{"missing": ["a", "b"]}]},
        ]
    ),
    st.builds(lambda op, inner: {op: [var("near"), inner]}, st.sampled_from(["all", "some", "none"]), body),
)
odd = st.sampled_from(
    [None, math.nan, math.inf, -math.inf, True, False, "1", "busy", "x", "", [], {}, 10**400, 2**60, -0.0]
)
number_values = st.integers(-12, 12) | st.sampled_from([0.5, 1e-320, 1e308, 9007199254740993, -2.5, 0.0])
records = st.lists(
    st.fixed_dictionaries(
        {},
        optional={"load": st.sampled_from([0, 0.25, 0.75, 1, 2, math.nan, None]), "up": st.booleans() | odd},
    ),
    max_size=4,
)
values = {
    "a": number_values | odd,
    "b": number_values | odd,
    "c": number_values | odd,
    "p": number_values | odd,
    "q": number_values | odd,
    "flag": st.booleans() | odd,
    "mode": st.sampled_from(["idle", "busy", "gone"]) | odd,
    "name": st.sampled_from(["x", "abc"]) | odd,
    "since": st.sampled_from([0, 1.5, 4]) | odd,
    "near": records | odd,
}
contexts = st.fixed_dictionaries({}, optional=values)
good = {
    "a": st.integers(-10, 10) | st.floats(-10, 10),
    "b": number_values,
    "c": st.sampled_from([0, 0.5, 3]),
    "p": st.sampled_from([0, 1, 2.5, 99]),
    "q": st.integers(0, 3),
    "flag": st.booleans(),
    "mode": st.sampled_from(["idle", "busy"]),
    "name": st.sampled_from(["x", "abc"]),
    "since": st.sampled_from([0, 1.5, 4]),
    "near": st.lists(
        st.fixed_dictionaries({"load": st.sampled_from([0, 0.25, 0.75, 1]), "up": st.booleans()}), max_size=3
    ),
}
good_contexts = st.fixed_dictionaries(good)
traces = st.lists(st.tuples(contexts | good_contexts, st.integers(0, 9_000_000)), max_size=3)
bounds = st.fixed_dictionaries(
    {"max": st.sampled_from([0, 1, 5])}, optional={"min": st.sampled_from([-1, 0])}
)
limits = st.lists(
    st.builds(
        lambda when, limit, name: {"when": when, "limit": {name: limit}},
        declared,
        bounds,
        st.sampled_from(["p", "q"]),
    ),
    max_size=2,
)
documents = st.builds(
    lambda rule, effect, limits, on_unknown, guards: {
        "ripstop": 1,
        "id": "x",
        "tier": "safety",
        "vocabulary": VOCABULARY.to_json(),
        "guards": guards,
        "effect": effect,
        "rule": rule,
        "on_unknown": on_unknown,
        **({"limits": limits} if limits and guards == ["go"] else {}),
    },
    declared,
    st.sampled_from(["require", "forbid"]),
    limits,
    st.sampled_from(["deny", "allow", {"last_valid": {"max_age_s": 3}}]),
    st.sampled_from([["go"], ["go"], ["go", "stop"]]),
)


def loaded(document, number):
    """Load what the checker accepts: a condition may turn out to divide by a literal zero."""
    try:
        return load({**document, "id": f"p{number}"} if "ripstop" in document else document)
    except PolicyRejectedError:
        return None


@given(
    st.lists(documents, min_size=1, max_size=3), contexts | good_contexts, traces, st.integers(0, 9_000_000)
)
def test_a_bundle_decides_as_the_reference_does(rules, context, trace, t_us):
    policies = [policy for number, rule in enumerate(rules) if (policy := loaded(rule, number)) is not None]
    compiled = compile_policies(policies, vocabulary=VOCABULARY)
    bundle = make_bundle(policies, VOCABULARY)
    state = compiled.start()
    for signals, at_us in trace:
        state = state.observe(signals, at_us)
    for action in ("go", "stop", "land", "fly"):
        expected = reference.decide(bundle, action, context, t_us, state)
        assert repr(compiled.decide(action, context, t_us, state)) == repr(expected)
        assert list(compiled.decide(action, context, t_us, state).evidence) == list(expected.evidence)
        again = compiled.replay(expected)
        assert (again.verdict, again.evidence, again.limits) == (
            expected.verdict,
            expected.evidence,
            expected.limits,
        )


@given(declared | undeclared, contexts | good_contexts, st.integers(0, 9_000_000), st.booleans())
def test_a_raw_verdict_is_the_reference_verdict(rule, context, t_us, is_open):
    document = (
        rule
        if is_open and isinstance(rule, dict)
        else {"ripstop": 1, "id": "x", "vocabulary": VOCABULARY.to_json(), "rule": rule, "guards": ["go"]}
    )
    policy = loaded(document, 0)
    if policy is not None:
        assert compile_policies(policy).verdict(context, t_us) is reference.verdict(policy, context, t_us)


@given(undeclared, contexts | good_contexts, traces, st.integers(0, 9_000_000))
def test_a_bare_rule_decides_as_the_reference_does(rule, context, trace, t_us):
    if not isinstance(rule, dict):
        return
    policy = loaded(rule, 0)
    if policy is None:
        return
    compiled = compile_policies(policy)
    state = compiled.start()
    for signals, at_us in trace:
        state = state.observe(signals, at_us)
    expected = reference.decide(make_bundle([policy]), "go", context, t_us, state)
    assert repr(compiled.decide("go", context, t_us, state)) == repr(expected)


@given(documents, documents, contexts | good_contexts)
def test_more_policies_only_tighten(first, second, context):
    policies = [
        policy for number, rule in enumerate([first, second]) if (policy := loaded(rule, number)) is not None
    ]
    if len(policies) < 2:
        return
    alone = compile_policies(policies[:1], vocabulary=VOCABULARY)
    both = alone.with_policies(policies[1:])
    assert both.decide("go", context).verdict <= alone.decide("go", context).verdict
    swapped = compile_policies(policies[::-1], vocabulary=VOCABULARY).decide("go", context)
    assert (swapped.verdict, swapped.limits) == (
        both.decide("go", context).verdict,
        both.decide("go", context).limits,
    )
