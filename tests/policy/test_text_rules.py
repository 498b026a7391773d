"""The readable form of rules: what it means, that it goes back and forth, and how it tells what is wrong."""

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_programs import VOCABULARY, Programs, generator
from ripstop.policy import PolicyRejectedError, check, load
from ripstop.policy.operators import OPERATORS
from ripstop.policy.text_printer import text_of
from ripstop.policy.text_rules import parse_rule


def read(name):
    return {"var": name}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "battery < 30 implies payload <= 1.0",
            {"if": [{"<": [read("battery"), 30]}, {"<=": [read("payload"), 1.0]}, True]},
        ),
        ("a and not b or c", {"or": [{"and": [read("a"), {"!": [read("b")]}]}, read("c")]}),
        ("a or b and c", {"or": [read("a"), {"and": [read("b"), read("c")]}]}),
        ("a implies b implies c", {"if": [read("a"), {"if": [read("b"), read("c"), True]}, True]}),
        ("a + b + c", {"+": [read("a"), read("b"), read("c")]}),
        ("(a + b) + c", {"+": [{"+": [read("a"), read("b")]}, read("c")]}),
        ("a - b + c", {"+": [{"-": [read("a"), read("b")]}, read("c")]}),
        ("a + b * -2", {"+": [read("a"), {"*": [read("b"), -2]}]}),
        ("a mod 3 == 0", {"==": [{"%": [read("a"), 3]}, 0]}),
        ("0 < a < 5", {"<": [0, read("a"), 5]}),
        ("not a < b", {"!": [{"<": [read("a"), read("b")]}]}),
        ("-a < -5", {"<": [{"-": [read("a")]}, -5]}),
        ("a not in ['x', \"y\"]", {"!": [{"in": [read("a"), ["x", "y"]]}]}),
        ("if a then 1 elif b then 2 else 3", {"if": [read("a"), 1, read("b"), 2, 3]}),
        ("if a then 1 else if b then 2 else 3", {"if": [read("a"), 1, {"if": [read("b"), 2, 3]}]}),
        ("all x in near: x.load < 0.9", {"all": [read("near"), {"<": [read("load"), 0.9]}]}),
        ("some x in xs: x > most", {"some": [read("xs"), {">": [{"val": []}, {"val": [[2], "most"]}]}]}),
        (
            "all x in xs: some y in x.parts: y < x.top",
            {"all": [read("xs"), {"some": [read("parts"), {"<": [{"val": []}, {"val": [[2], "top"]}]}]}]},
        ),
        ("none x in xs: index(x) > 3", {"none": [read("xs"), {">": [{"val": [[1], "index"]}, 3]}]}),
        (
            "reduce sum, x in xs from 0: sum + x.load",
            {"reduce": [read("xs"), {"+": [read("accumulator"), read("current.load")]}, 0]},
        ),
        ("try a / b catch e: e.type", {"try": [{"/": [read("a"), read("b")]}, read("type")]}),
        ("within[300 s](now, started)", {"within": [read("now"), read("started"), 300]}),
        ("a default 3 > b ?? 4", {">": [{"var": ["a", 3]}, {"??": [read("b"), 4]}]}),
        ("exists(a.b) and missing(c, d) == []", None),
        ("missing_some(1, a, b)", {"missing_some": [1, ["a", "b"]]}),
        ('`odd name` == "x" # why', {"==": [read("odd name"), "x"]}),
        ("near[0].load < 3", {"<": [{"val": ["near", 0, "load"]}, 3]}),
        ('{"a": [1, {}]}', {"preserve": {"a": [1, {}]}}),
        ("`+`(...xs)", {"+": read("xs")}),
        ("`log`", read("log")),
        ("speed < 10 m/s and time > 5 s", {"and": [{"<": [read("speed"), 10]}, {">": [read("time"), 5]}]}),
        ("share < 30 % and a", {"and": [{"<": [read("share"), 30]}, read("a")]}),
    ],
)
def test_a_text_is_read_as_its_json_logic(text, rule):
    found = parse_rule(text)
    assert rule is None or json.dumps(found) == json.dumps(rule)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("a = b", 3, "equality is written `==`"),
        ("a && b", 3, "write `and`"),
        ("a || b", 3, "write `or`"),
        ("a % b", 3, "`a mod b`"),
        ("a =< b", 3, "write `<=`"),
        ("a is 3", 3, "equality is written `==`"),
        ("a not b", 3, "like `a and not b`"),
        ("a AND b", 3, "`and` is written in lower case"),
        ("NOT a", 5, "`not` is written in lower case"),
        ("a < 1; b < 2", 6, "join conditions with `and`"),
        ("a < 1 then b", 7, "`a implies b`"),
        ("a < b == c", 7, "joined with `and`"),
        ("a adn b", 3, "did you mean `and`?"),
        ("a <", 4, "expected a value, got the end"),
        ("(a < 1", 7, "a `(` is still open"),
        ("[1, 2", 6, "a `[` is still open"),
        ("'abc", 1, "a quotation does not end"),
        ("a < 012", 5, "a number is malformed"),
        ("all(xs)", 4, "like `all x in"),
        ("if a else b", 6, "expected `then`, got `else`"),
        ("implies b", 1, "expected a value, got `implies`"),
        ("a < 9007199254740993", 5, "E0108"),
        ("a < 1e999", 5, "E0107"),
        ('a == "\\ud800"', 6, "E0102"),
        ('{"a": 1, "a": 2}', 10, "E0105"),
        ('{"a": b}', 7, "braces hold data only"),
        ("index(a)", 1, "the name of an element"),
        ("all x in xs: missing(most)", 22, "without climbing out"),
        ("", 1, "the rule is empty"),
        ("# nothing", 1, "the rule is empty"),
        ("a <> 2", 4, "unequal is written `!=`"),
        ("a -> b", 4, "to conclude `implies`"),
        ("a > 1,5", 6, "a decimal is written with a point"),
        ("a.", 3, "expected a part's name, got the end"),
    ],
)
def test_a_mistake_is_told_where_it_stands_and_with_a_hint(tmp_path, text, column, words):
    path = tmp_path / "bad.rule"
    path.write_text(text)
    (finding,) = check(path).findings
    assert (finding.place.line, finding.place.column) == (1, column)
    assert words in str(finding)


def test_unknown_operators_are_the_checker_s_business_and_have_a_place_in_the_text(tmp_path):
    path = tmp_path / "bad.rule"
    path.write_text("a < 1\n  and maxx(a, b) < 3\n")
    (finding,) = check(path).findings
    assert (finding.code, finding.place.line, finding.place.column) == ("E0201", 2, 7)
    assert "did you mean `max`?" in finding.hint


@pytest.mark.parametrize(
    "opening", ["(", "[", "not ", "-", "!!", "if ", "all x in ", "max(", "a implies ", "try "]
)
def test_depth_costs_no_python_stack_and_is_bounded(opening):
    with pytest.raises(PolicyRejectedError) as caught:
        parse_rule(opening * 100_000)
    assert caught.value.code == "E0106"


def test_a_long_chain_that_nests_to_the_left_is_bounded_too():
    with pytest.raises(PolicyRejectedError) as caught:
        parse_rule("a" + " - b + c" * 1000)
    assert caught.value.code == "E0106"
    assert parse_rule("a" + " + b" * 5000) == {"+": [read("a"), *[read("b")] * 5000]}


NAMES = st.sampled_from(["a", "b.c", "x", "total", "if", "odd name", "log", "d.0.e", "tick`", "d.0.1"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
LEAVES = st.one_of(
    SCALARS,
    NAMES.map(read),
    st.builds(lambda name, value: {"var": [name, value]}, NAMES, SCALARS),
    NAMES.map(lambda name: {"exists": name.split(".")}),
    st.lists(NAMES, max_size=2).map(lambda names: {"missing": names}),
    st.lists(NAMES, max_size=2).map(lambda names: {"missing_some": [1, names]}),
    st.just({"val": ["d", 0, "e"]}),
    st.dictionaries(st.text(max_size=2), DATA, min_size=1, max_size=2).map(lambda value: {"preserve": value}),
)


def grown(inner):
    some = st.lists(inner, min_size=2, max_size=3)
    inside = st.one_of(
        inner,
        st.sampled_from(
            [{"val": [[2], "a"]}, {"val": [[1], "index"]}, {"val": []}, {"var": ""}, {"var": "load"}]
        ),
    )
    many = ["and", "or", "==", "!==", "<", ">=", "+", "-", "*", "/", "%", "min", "??", "cat", "merge", "if"]
    return st.one_of(
        st.builds(lambda op, args: {op: args}, st.sampled_from(many), some),
        st.builds(
            lambda op, arg: {op: [arg]}, st.sampled_from(["!", "!!", "-", "+", "/", "throw", "log"]), inner
        ),
        st.builds(lambda op, arg: {op: arg}, st.sampled_from(["+", "max", "cat", "!"]), inner),
        st.builds(lambda a, b: {"in": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"if": [a, b, True]}, inner, inner),
        st.builds(lambda args: {"if": args}, st.lists(inner, min_size=3, max_size=5)),
        st.builds(lambda a, b: {"within": [a, b, 300]}, inner, inner),
        st.builds(
            lambda op, a, b: {op: [a, b]},
            st.sampled_from(["all", "some", "none", "map", "filter"]),
            inner,
            inside,
        ),
        st.builds(
            lambda a, b, c: {"reduce": [a, b, *c]},
            inner,
            inside | st.sampled_from([read("accumulator"), read("current.x")]),
            st.lists(inner, max_size=1),
        ),
        st.builds(lambda a, b: {"try": [a, b]}, inner, inside),
        st.lists(inner, max_size=3),
    )


@given(st.recursive(LEAVES, grown, max_leaves=8))
def test_what_is_printed_reads_back_as_the_same_rule(rule):
    checked = check(rule if isinstance(rule, dict) else {"!!": [rule]})
    if checked.policy is None:
        return  # not a policy: a division by a literal zero, a comparison of two types
    text = text_of(checked.policy.program.rule)
    again = parse_rule(text)
    assert json.dumps(load(again if isinstance(again, dict) else {"!!": [again]}).rule) in (
        json.dumps(checked.policy.rule),
        json.dumps({"!!": [checked.policy.rule]}),
    )


@given(st.text(alphabet="ab()[]{}.,:<>=!+-*/?'\"`# \n019%ifthenlseandorot", max_size=30))
def test_any_text_is_a_rule_or_a_finding(text):
    try:
        parse_rule(text)
    except PolicyRejectedError as error:
        assert error.findings


DOCUMENT = {"ripstop": 1, "id": "x", "vocabulary": "drone", "guards": ["accept_task"]}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("battery_percent < 30 %", ""),
        ("battery_percent < 30 kg", "expected `%` here, got `kg`"),
        ("payload_kg in [1 kg, 2 g]", "expected `kg` here, got `g`"),
        ("margin_after_wh - reserve_wh >= 2 J", "expected `Wh` here, got `J`"),
        ("max(payload_kg, 1 g) < 2 kg", "expected `kg` here, got `g`"),
        ("within[5 min](now, now)", "expected `s` here, got `min`"),
        ("payload_kg * 2 kg < 3 kg", "expected no unit here, got `kg`"),
    ],
)
def test_a_unit_behind_a_number_is_checked(rule, message):
    found = [
        finding.message for finding in check({**DOCUMENT, "rule": rule}).findings if finding.code[0] == "E"
    ]
    assert found == ([message] if message else [])


def test_a_formula_with_units_reads_back_as_the_same_policy():
    rule = {"if": [{"<": [read("battery_percent"), 30]}, {"<=": [{"+": [read("payload_kg"), 0.5]}, 1]}, True]}
    policy = load({**DOCUMENT, "rule": rule})
    text = text_of(policy.program.rule, units=True)
    assert text == "battery_percent < 30 % implies payload_kg + 0.5 kg <= 1 kg"
    assert load({**DOCUMENT, "rule": text}).digest == policy.digest


def test_a_document_s_strings_are_rules_and_the_digest_is_that_of_the_json():
    limits = [{"when": "battery_percent < 20 %", "limit": {"payload_kg": {"max": 0}}}]
    text = load(
        {**DOCUMENT, "rule": "payload_kg < 2 kg", "limits": limits, "applies_to": "'rotor' in capabilities"}
    )
    limits = [{"when": {"<": [read("battery_percent"), 20]}, "limit": {"payload_kg": {"max": 0}}}]
    tree = load(
        {
            **DOCUMENT,
            "rule": {"<": [read("payload_kg"), 2]},
            "limits": limits,
            "applies_to": {"in": ["rotor", read("capabilities")]},
        }
    )
    assert text.digest == tree.digest


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ('rule: "a < 1 && b"\n', 2, 14),
        ("rule: a < 1 && b\n", 2, 13),
        ("rule: |\n  a < 1\n  && b\n", 4, 3),
        ("rule: >\n  a < 1\n\n    and c\n  && b\n", 6, 3),
        ("rule: a < 1\n  and c && b  # why\n", 3, 9),
        ("rule: 'a < 1\n\n  && b'\n", 4, 3),
        ("rule: >\n  a < 1  # why\n  and b\n", 4, 3),
        ("rule: 'a < 1  # why\n  and b'\n", 3, 3),
        ('rule: "a \\u003c 1 && b"\n', 2, 7),
    ],
)
def test_a_mistake_inside_a_yaml_string_has_its_own_place(tmp_path, source, line, column):
    path = tmp_path / "bad.yaml"
    path.write_text("ripstop: 1\n" + source + "id: x\n")
    (finding,) = check(path).findings
    assert (finding.place.line, finding.place.column) == (line, column)


def test_a_comment_may_end_what_yaml_joins(tmp_path):
    path = tmp_path / "fine.yaml"
    path.write_text("ripstop: 1\nid: x\nrule: >\n  a < 1\n  and b  # why\n")
    assert load(path).rule == {"and": [{"<": [{"var": "a"}, 1]}, {"var": "b"}]}


def test_a_bare_file_of_text_is_a_policy(tmp_path):
    path = tmp_path / "light-load.rule"
    path.write_text("# light when low\nbattery < 30 implies payload <= 1\n")
    policy = load(path)
    assert (policy.id, policy.is_bare) == ("light-load", True)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_s_example_reads_back_from_the_readable_form(name):
    checked = check(OPERATORS[name].example[0])
    if checked.policy is None:
        assert name in ("==", "===", "!==", "/", "try")  # plain JSON-Logic that no policy may hold
        return
    rule = checked.policy.rule
    again = parse_rule(text_of(checked.policy.program.rule))
    assert load(again).rule == rule if isinstance(again, dict) else again == rule


def test_a_window_s_unit_is_seconds():
    with pytest.raises(PolicyRejectedError) as caught:
        load({**DOCUMENT, "rule": "once[5 min](battery_percent < 20)"})
    assert "expected `s` here, got `min`" in str(caught.value)
    rule = {"once": [{"<": [read("battery_percent"), 20]}, 5]}
    text = text_of(load({**DOCUMENT, "rule": rule}).program.rule, units=True)
    assert text == "once[5 s](battery_percent < 20 %)"


def test_an_object_in_a_list_stays_data():
    rule = {"in": [{"preserve": {"and": 1}}, [{"preserve": {"and": 1}}]]}
    policy = load({"or": [rule, read("a")]})
    assert load(policy.rule).rule == policy.rule
    assert load(parse_rule(text_of(policy.program.rule))).rule == policy.rule


@pytest.mark.parametrize("seed", range(12))
def test_typed_policies_are_shown_so_that_they_read_back_with_units_and_without(seed):
    programs = Programs(generator(seed), remainder=True)
    for policy in [programs.policy(number) for number in range(3)]:
        shown = [(policy.program.rule, policy.rule)]
        shown += [(when, limit.when) for when, limit in zip(policy.program.whens, policy.limits, strict=True)]
        for (expr, rule), units in product(shown, (True, False)):
            text = text_of(expr, units=units)
            again = load({"ripstop": 1, "id": "x", "vocabulary": VOCABULARY.to_json(), "rule": text})
            assert json.dumps(again.rule) == json.dumps(rule)
            assert text_of(again.program.rule, units=units) == text
