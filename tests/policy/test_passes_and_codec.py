"""The passes change no evidence; the lowered form survives its codec; the verifier refuses what is wrong."""

import json
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.canonical import canonical_json
from ripstop.policy import apply, load, load_vocabulary, make_bundle
from ripstop.policy.codec import SCHEMA, decode, encode
from ripstop.policy.ir import Builder, rule_of
from ripstop.policy.lower import Lowered, lower, spelled_out
from ripstop.policy.printer import printed
from ripstop.policy.reference import Evaluation, Inputs, PolicyMachine, Unknown, number_atoms
from ripstop.policy.values import JsonLogicError
from ripstop.policy.verify import IrError, verify

A, B, UP = {"var": "a"}, {"var": "b"}, {"var": "up"}
atoms = st.sampled_from(
    [
        UP,
        {"<": [A, 5]},
        {"<": [A, {"+": [2, 3]}]},
        {">": [B, {"*": [{"-": [4]}, 2]}]},
        {">": [{"/": [1, {"-": [3, 3]}]}, B]},
        {"<": [1, 2]},
        {"in": [B, [1, 2]]},
        {"!!": [B]},
        True,
        False,
        0,
        "text",
    ]
)
rules = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).flatmap(lambda x: st.sampled_from([{"and": x}, {"or": x}]))
        | inner.map(lambda x: {"!": [x]})
        | inner.map(lambda x: {"!!": [x]})
        | st.lists(inner, min_size=2, max_size=5).map(lambda x: {"if": x})
    ),
    max_leaves=10,
)
contexts = st.fixed_dictionaries(
    {}, optional={"a": st.integers(0, 9), "b": st.sampled_from([0, 1, -9, None]), "up": st.booleans()}
)


def loaded(rule, **more):
    return load({"ripstop": 1, "id": "x", "rule": rule, **more})


def machine(policy, context):
    inputs = Inputs(make_bundle([policy]), "go", context, 0, {})
    return PolicyMachine(inputs.look)


def evaluated(policy, lowered, context):
    """Evaluate the lowered logic, each atom by the reference on the policy's own."""
    numbers = {id(atom): number for number, atom in enumerate(lowered.atoms)}
    originals = [rule_of(atom) for atom in policy.program.atoms]
    taken = Evaluation(machine(policy, context), number_atoms(policy))

    def truth(expr):
        if id(expr) in numbers:
            return taken.truth(originals[numbers[id(expr)]])
        if expr.op == "const":
            return expr.value
        if expr.op == "!":
            return not truth(expr.args[0])
        if expr.op in ("and", "or"):
            return (all if expr.op == "and" else any)(map(truth, expr.args))
        for index in range(0, len(expr.args) - 1, 2):
            if truth(expr.args[index]):
                return truth(expr.args[index + 1])
        return truth(expr.args[-1])

    try:
        return truth(lowered.rule), taken.code
    except Unknown:
        return None, taken.code


@given(rules, contexts)
def test_passes_change_neither_truth_nor_evidence(rule, context):
    policy = loaded(rule)
    lowered = lower(policy.program)
    verify(lowered)
    reference = Evaluation(machine(policy, context), number_atoms(policy))
    try:
        expected = reference.truth(policy.rule)
    except Unknown:
        expected = None
    assert evaluated(policy, lowered, context) == (expected, reference.code)


@given(rules, contexts)
def test_a_folded_atom_means_the_same(rule, context):
    policy = loaded(rule)
    for before, after in zip(policy.program.atoms, lower(policy.program).atoms, strict=True):
        outcomes = []
        for atom in (before, after):
            try:
                outcomes.append(machine(policy, context).truth(rule_of(atom), Evaluation(None, None).scope))
            except (Unknown, JsonLogicError):
                outcomes.append(None)
        assert outcomes[0] == outcomes[1]


@given(rules)
def test_the_codec_gives_the_same_bytes_back(rule):
    record = encode(lower(loaded(rule).program))
    again = decode(json.loads(canonical_json(record)))
    assert canonical_json(encode(again)) == canonical_json(record)


def lowered(rule):
    return lower(loaded(rule).program)


def test_negation_stands_only_before_atoms():
    low = lowered({"!": [{"and": [UP, {"or": [{"<": [A, 5]}, False]}]}]})
    assert rule_of(low.rule) == {"or": [{"!": [UP]}, {"!": [{"<": [A, 5]}]}]}


def test_what_is_known_is_not_asked_again():
    assert rule_of(lowered({"and": [UP, {"or": [{"!": [UP]}, {"<": [A, 5]}]}, UP]}).rule) == {
        "and": [UP, {"<": [A, 5]}]
    }


def test_arithmetic_over_constants_is_computed():
    assert rule_of(lowered({"<": [A, {"*": [60, {"+": [1, 2]}]}]}).rule) == {"<": [A, 180]}


def test_two_atoms_that_fold_to_one_keep_their_own_bits():
    low = lowered({"or": [{"<": [A, 5]}, {"<": [A, {"+": [2, 3]}]}]})
    assert len({id(atom) for atom in low.atoms}) == 2


def test_a_limit_that_is_never_active_is_dead():
    limits = [{"when": {"and": [UP, {"!": [UP]}]}, "limit": {"n": {"max": 1}}}]
    low = lower(loaded(True, limits=[{"when": False, "limit": {"n": {"max": 1}}}]).program)
    assert low.dead_limits == (0,)
    assert lower(loaded(True, limits=limits).program).dead_limits == ()  # its evidence is still to be taken


def test_the_printer_names_each_shared_expression_once():
    text = printed(lowered({"or": [{"<": [A, 5]}, {"and": [{"<": [B, 5]}, UP]}]}))
    assert text.splitlines() == [
        "%0 = (read a) : any",
        "%1 = (< %0 5) : boolean  ; atom 0",
        "%2 = (read b) : any",
        "%3 = (< %2 5) : boolean  ; atom 1",
        "%4 = (read up) : any  ; atom 2",
        "rule: (or %1 (and %3 %4))",
    ]


VOCABULARY = load_vocabulary(
    {
        "name": "v",
        "signals": {
            "d": {"type": "estimate", "unit": "m"},
            "e": {"type": "estimate", "unit": "m"},
            "m": {"unit": "m"},
        },
        "actions": {"go": {}},
    }
)
D, E, M = {"var": "d"}, {"var": "e"}, {"var": "m"}
sides = st.recursive(
    st.sampled_from([D, E, M, 3]),
    lambda inner: (
        st.builds(lambda op, x, y: {op: [x, y]}, st.sampled_from(["+", "-"]), inner, inner)
        | inner.map(lambda x: {"*": [2, x]})
        | inner.map(lambda x: {"/": [x, 4]})
        | inner.map(lambda x: {"-": [x]})
    ),
    max_leaves=4,
)
estimates = st.fixed_dictionaries(
    {
        "mean": st.sampled_from([0, 1, 2.5, -3, 7, 1e200]),
        "sd": st.sampled_from([0, 0.5, 1, 3, 1e-170, 1e170, -1]),
    }
)


@given(
    sides,
    sides,
    st.sampled_from(["<", "<=", ">", ">="]),
    st.sampled_from([0.5, 0.05, 0.95, 0.999999]),
    estimates,
    estimates,
    st.sampled_from([0, 1, -2.5]),
)
def test_a_chance_constraint_spelled_out_means_the_same(left, right, op, share, d, e, m):
    rule = {"chance": [{op: [left, right]}, share]}
    policy = loaded(rule, vocabulary=VOCABULARY.to_json(), guards=["go"])
    (atom,) = lower(policy.program).atoms
    data = {"d": d, "e": e, "m": m}
    outcomes = []
    for written in (rule, rule_of(spelled_out(atom, Builder()))):
        try:
            outcomes.append(apply(written, data))
        except JsonLogicError:
            outcomes.append(None)
    used = [name for name in ("d", "e") if f'"{name}"' in json.dumps(rule)]
    if all(data[name]["sd"] >= 0 for name in used):  # a negative deviation is no valid reading
        assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    ("mean", "sd", "share", "holds"),
    [
        (8, 1, 0.97, True),  # P(Z < 2) = 0.97725
        (8, 1, 0.98, False),
        (12, 1, 0.03, False),  # P(Z < -2) = 0.02275
        (12, 1, 0.02, True),
        (10, 1, 0.5, True),
        (10, 0, 0.5, False),
        (9.99, 0, 0.999, True),
    ],
)
def test_a_chance_is_that_of_the_normal_distribution(mean, sd, share, holds):
    assert apply({"chance": [{"<": [{"var": "x"}, 10]}, share]}, {"x": {"mean": mean, "sd": sd}}) is holds


def test_one_estimate_on_both_sides_is_the_same_estimate():
    rule = {"chance": [{"<=": [{"-": [D, D]}, 0]}, 0.9]}
    assert apply(rule, {"d": {"mean": 1, "sd": 5}}) is True


@pytest.mark.parametrize("sd", [-1, inf, "x"])
def test_an_estimate_without_a_proper_deviation_is_an_error(sd):
    with pytest.raises(JsonLogicError):
        apply({"chance": [{"<": [D, 1]}, 0.9]}, {"d": {"mean": 0, "sd": sd}})


GOOD = encode(lowered({"and": [UP, {"<": [A, 5]}]}))


@pytest.mark.parametrize(
    "damage",
    [
        None,
        [],
        {"ripstop_ir": 2},
        {"nodes": [["read", [0], {}]]},
        {"nodes": [["format", [], {}]]},
        {"nodes": [["read", [], {"path": [1.5]}]]},
        {"nodes": "x"},
        {"rule": 99},
        {"atoms": [0, 0]},
        {"atoms": []},
        {"whens": [True]},
        {"nodes": [*GOOD["nodes"], ["!", [4], {}]], "rule": 5},
        {"nodes": [["once", [1], {}]]},
    ],
)
def test_a_damaged_record_is_refused(damage):
    record = {**GOOD, **damage} if isinstance(damage, dict) else damage
    with pytest.raises(IrError):
        decode(record)


def test_a_record_that_nests_without_end_is_refused():
    nodes = [["read", [], {"path": ["a"]}], *(["+", [number, number], {}] for number in range(50_000))]
    with pytest.raises(IrError, match="deep"):
        decode({**GOOD, "nodes": nodes})


def test_the_verifier_refuses_logic_that_is_not_in_normal_form():
    good = decode(GOOD)
    with pytest.raises(IrError, match="table"):
        verify(Lowered(good.rule, (), good.atoms[:1]))


def test_the_schema_speaks_of_every_key_of_a_record():
    assert set(SCHEMA["properties"]) == set(GOOD)
