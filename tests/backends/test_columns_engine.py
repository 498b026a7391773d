"""The columns engine: every row what the reference says of it, whatever the columns are made of."""

from math import inf, nan

import numpy as np
import pytest

from edge_programs import VOCABULARY, Contexts, Programs, generator
from ripstop.backends import compile as compile_policies
from ripstop.backends.columns import ColumnsCompiled
from ripstop.core.decision import Verdict
from ripstop.core.errors import ConfigurationError
from ripstop.policy import load, make_bundle, reference
from ripstop.policy.evaluate import ABSENT

RULE_A = {"if": [{"<": [{"var": "battery"}, 30]}, {"<=": [{"var": "payload"}, 1.0]}, True]}


def as_columns(contexts):
    names = dict.fromkeys(name for context in contexts for name in context)
    return {name: [context.get(name, ABSENT) for context in contexts] for name in names}


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_table_of_contexts_is_decided_row_by_row(seed):
    rng = generator(seed)
    policies = [Programs(rng, remainder=True).policy(number) for number in range(2)]
    contexts = [Contexts(rng).context() for _ in range(60)]
    compiled = compile_policies(policies, "columns", vocabulary=VOCABULARY)
    bundle = make_bundle(policies, VOCABULARY)
    for action in ("go", "stop"):
        if not bundle.guarding(action):
            continue
        found = compiled.decisions(action, as_columns(contexts), 2_500_000)
        for row, context in enumerate(contexts):
            expected = reference.decide(bundle, action, context, 2_500_000)
            assert found.verdicts[row] == expected.verdict
            assert found.evidence(row) == tuple(expected.evidence)
            for limit in expected.limits:
                low, high = found.bounds[limit.parameter]
                assert low[row] == (-np.inf if limit.low is None else limit.low)
                assert high[row] == (np.inf if limit.high is None else limit.high)
    raw = compiled.verdicts(as_columns(contexts), 2_500_000)
    for row, context in enumerate(contexts):
        assert raw[row] == min(reference.verdict(policy, context, 2_500_000) for policy in policies)


@pytest.mark.parametrize("seed", [11, 12, 13, 14, 15, 16])
def test_the_rows_of_a_trace_have_a_past(seed):
    rng = generator(seed)
    programs = Programs(rng, remainder=True)
    policies = [programs.policy(number) for number in range(20)]
    policies = [policy for policy in policies if policy.program.windows][:2]
    contexts = [Contexts(rng).context() for _ in range(60)]
    steps = [rng.choice([0, 300_000, 900_000, 2_500_000, -400_000]) for _ in contexts]
    moments = np.maximum(np.cumsum(steps), 0)
    compiled = compile_policies(policies, "columns", vocabulary=VOCABULARY)
    bundle = make_bundle(policies, VOCABULARY)
    found = compiled.decisions("go", as_columns(contexts), moments, is_trace=True)
    state = compiled.start()
    for row, (context, t_us) in enumerate(zip(contexts, moments.tolist(), strict=True)):
        signals = {name: value for name, value in context.items() if name not in ("p", "q")}
        state = compiled.observe(state, signals, t_us)
        expected = reference.decide(bundle, "go", context, t_us, state)
        assert found.verdicts[row] == expected.verdict
        assert found.evidence(row) == tuple(expected.evidence)


@pytest.mark.parametrize("is_trace", [False, True])
def test_a_budget_has_its_say_in_every_row(is_trace):
    document = {
        "ripstop": 1,
        "id": "some",
        "vocabulary": VOCABULARY.to_json(),
        "guards": ["go"],
        "rule": {"<": [{"var": "a"}, 5]},
        "budgets": [{"tokens": 3, "refill_per_s": 1, "cost": "p"}],
    }
    compiled = compile_policies(load(document), "columns")
    contexts = [{"a": a, "p": p} for a in (1, 9, None) for p in (0, 3, 3.5, None, "x")]
    found = compiled.decisions("go", as_columns(contexts), 1_000_000, is_trace=is_trace)
    for row, context in enumerate(contexts):
        state = compiled.observe(compiled.start(), {"a": context["a"]}, 1_000_000) if is_trace else None
        expected = reference.decide(compiled.bundle, "go", context, 1_000_000, state)
        assert found.verdicts[row] == expected.verdict
        assert found.evidence(row) == tuple(expected.evidence)
    assert set(found.verdicts.tolist()) == ({0, 2} if is_trace else {0})


def random_budgets(rng):
    """Draw one to three policies with budgets, unknown in some rows, over one vocabulary."""
    parameters = {"p": {}, "q": {}}
    vocabulary = {
        "name": "spend",
        "signals": {"a": {"range": [-5, 5]}, "c": {}},
        "actions": {name: {"parameters": parameters} for name in ("go", "land", "end")},
        "failsafe": ["land", "end"],
    }

    def budget():
        bucket = {
            "tokens": rng.choice([1, 2.5, 1e9]),
            "refill_per_s": 1,
            "cost": rng.choice([1, 2, "p", "q"]),
        }
        return rng.choice([bucket, {"at_most": 1, "within_s": 60}])

    def condition():
        return rng.choice([{"<": [{"var": "a"}, 2]}, {"<": [{"/": [3, {"var": "c"}]}, {"var": "p"}]}])

    limits = [{"when": condition(), "limit": {"p": {"max": rng.randint(0, 4)}}}]
    return [
        load(
            {
                "ripstop": 1,
                "id": f"p{number}",
                "tier": "safety",
                "vocabulary": vocabulary,
                "guards": ["go", "land"],
                "rule": condition(),
                "effect": rng.choice(["require", "forbid"]),
                "budgets": [budget() for _ in range(rng.randint(1, 3))],
                "limits": rng.choice([[], limits]),
                "on_unknown": rng.choice(["deny", "allow"]),
            }
        )
        for number in range(rng.randint(1, 3))
    ]


@pytest.mark.parametrize("is_trace", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_budgets_are_looked_at_in_all_rows_at_once(seed, is_trace, monkeypatch):
    rng = generator(seed)
    compiled = compile_policies(random_budgets(rng), "columns")
    some = {"a": [1, 4, nan], "c": [0, 2, nan], "p": [0, 1, 2.5, -1, nan, inf], "q": [1, nan, 1e300]}
    contexts = [{name: rng.choice(values) for name, values in some.items()} for _ in range(40)]
    columns = {name: np.array([context[name] for context in contexts]) for name in some}
    for action in ("go", "land"):
        with monkeypatch.context() as patch:
            patch.delattr(ColumnsCompiled, "_replace")  # no row is left to the reference
            found = compiled.decisions(action, columns, 1_000_000, is_trace=is_trace)
        for row, context in enumerate(contexts):
            state = compiled.start() if is_trace else None
            expected = reference.decide(compiled.bundle, action, context, 1_000_000, state)
            assert found.verdicts[row] == expected.verdict
            assert found.evidence(row) == tuple(expected.evidence)
            for limit in expected.limits:
                low, high = found.bounds[limit.parameter]
                assert (low[row], high[row]) == (-inf, limit.high)


def test_a_window_over_recorded_samples():
    rule = {"historically": [{"<": [{"var": "load"}, 0.9]}, 10]}
    vocabulary = {"name": "v", "signals": {"load": {"max_age_s": 60}}, "actions": {"go": {}}}
    policy = load({"ripstop": 1, "id": "calm", "vocabulary": vocabulary, "guards": ["go"], "rule": rule})
    compiled = compile_policies(policy, "columns")
    columns = {"load": np.array([0.5, 0.5, 0.95, 0.5, 0.5, np.nan])}
    t_us = np.array([0, 11, 12, 20, 23, 30]) * 1_000_000
    found = compiled.decisions("go", columns, t_us, is_trace=True)
    unknown = found.policies[0].unknown
    assert found.verdicts.tolist() == [0, 2, 0, 0, 0, 0]
    assert unknown.tolist() == [True, False, False, False, False, True]
    assert compiled.decisions("go", columns, t_us).policies[0].unknown.all()


def test_what_a_trace_cannot_use_has_no_value_before_either():
    vocabulary = {"name": "v", "signals": {"x": {}}, "actions": {"go": {}}}
    rule = {"<": [{"previous": [{"var": "x"}]}, {"var": "x"}]}
    policy = load({"ripstop": 1, "id": "up", "vocabulary": vocabulary, "guards": ["go"], "rule": rule})
    compiled = compile_policies(policy, "columns")
    values = [1, 2, "a", 3, "b", "c", True, ABSENT, 5]
    found = compiled.decisions("go", {"x": values}, np.arange(len(values)), is_trace=True)
    state = compiled.start()
    for row, value in enumerate(values):
        context = {} if value is ABSENT else {"x": value}
        state = compiled.observe(state, context, row)
        expected = reference.decide(compiled.bundle, "go", context, row, state)
        assert found.verdicts[row] == expected.verdict
        assert found.evidence(row) == tuple(expected.evidence)


def test_arrays_are_taken_as_they_are_and_nan_is_unknown():
    compiled = compile_policies(load(RULE_A), "columns")
    battery = np.array([20.0, 20.0, 50.0, np.nan, np.inf, 20.0])
    payload = np.array([0.5, 2.0, np.nan, 1.0, 1.0, np.nan])
    found = compiled.verdicts({"battery": battery, "payload": payload})
    assert found.tolist() == [2, 0, 2, -1, -1, -1]
    whole = compiled.verdicts({"battery": np.array([20, 20, 50]), "payload": np.array([True, False, True])})
    assert whole.tolist() == [2, 2, 2]


def test_a_list_may_come_as_lengths_and_grids():
    document = {
        "ripstop": 1,
        "id": "near",
        "vocabulary": VOCABULARY.to_json(),
        "guards": ["go"],
        "rule": {"all": [{"var": "near"}, {"<": [{"var": "load"}, 0.5]}]},
    }
    compiled = compile_policies(load(document), "columns")
    grid = np.array([[0.1, 0.2, np.nan], [0.1, 0.9, np.nan], [np.nan] * 3, [0.1, np.nan, 0.9]])
    columns = {"near": np.array([2, 2, 0, 4]), "near.load": grid}
    assert compiled.verdicts(columns).tolist() == [2, 0, 0, -1]


def test_a_row_that_holds_something_else_is_left_to_the_reference():
    compiled = compile_policies(load(RULE_A), "columns")
    found = compiled.verdicts({"battery": [20, "20", None, ABSENT, []], "payload": [2.0, "0.5", 1, 1, 1]})
    assert found.tolist() == [0, 2, Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.UNKNOWN]


def test_columns_of_several_lengths_are_refused():
    with pytest.raises(ConfigurationError, match="as many rows, got `1` or `2`"):
        compile_policies(load(RULE_A), "columns").verdicts({"battery": [1.0], "payload": [1.0, 2.0]})


@pytest.mark.parametrize("wrong", [None, 5, [1.0], {"battery": 5}, {"battery": None}, {"battery": iter([1])}])
def test_what_is_no_table_is_refused_with_a_code(wrong):
    with pytest.raises(ConfigurationError, match="C0308"):
        compile_policies(load(RULE_A), "columns").verdicts(wrong)


@pytest.mark.parametrize("name", ["s0", "s3", "z"])
def test_what_cannot_be_used_is_unknown_also_where_a_later_part_would_settle_the_row(name):
    parts = [{"<": [{"var": f"s{index}"}, 0.95]} for index in range(6)]
    policy = load({"and": [*parts, {"<": [{"var": "z"}, 0.05]}]})
    compiled = compile_policies(policy, "columns")
    rng = np.random.default_rng(1)
    columns = {each: rng.random(4000) for each in (*(f"s{index}" for index in range(6)), "z")}
    compiled.verdicts(columns)
    for row in range(0, 4000, 173):  # one bad value in a table, so that no other row tells of it
        spoilt = {each: column.copy() for each, column in columns.items()}
        spoilt[name][row] = np.nan
        context = {each: float(column[row]) for each, column in spoilt.items()}
        assert compiled.verdicts(spoilt)[row] == reference.verdict(policy, context)


def few_left(word: str, late: object) -> dict[str, object]:
    """Make a chain that leaves few rows, which read again what every row has read."""
    order = "<" if word == "and" else ">="
    early = [{order: [{"var": name}, 0.3]} for name in "abc"]
    again = [
        {">": [{"var": "a"}, 0.1]},
        {"!": [{"<": [0.2, {"var": "b"}]}]},
        {"==": [{"var": "c"}, {"var": "a"}]},
    ]
    choice = {
        "if": [{"<": [{"var": "a"}, 0.2]}, {"<": [{"var": "b"}, {"var": "c"}]}, {">": [{"var": "c"}, 0.25]}]
    }
    return {word: [*early, {word: [{order: [{"var": "a"}, 0.25]}, choice]}, *again, late, choice]}


@pytest.mark.parametrize("word", ["and", "or"])
@pytest.mark.parametrize(
    "late",
    [{">": [{"var": "b"}, 0.05]}, {"<": [{"var": "late"}, 0.5]}, {"<": [{"+": [{"var": "a"}, 1]}, 1.2]}],
)
@pytest.mark.parametrize("spoilt", [None, "late", "a"])
def test_the_few_rows_that_a_long_chain_leaves_are_as_they_are_alone(word, late, spoilt):
    policy = load(few_left(word, late))
    names = [*"abc", "late"]
    columns = {name: np.random.default_rng(ord(name[0])).random(1500) for name in names}
    if spoilt is not None:
        columns[spoilt][::7] = np.nan
    found = compile_policies(policy, "columns").verdicts(columns)
    for row in range(1500):
        context = {name: float(column[row]) for name, column in columns.items()}
        assert found[row] == reference.verdict(policy, context)


@pytest.mark.parametrize(("x", "y"), [(np.inf, 0.0), (-np.inf, 1e-300), (np.nan, 1.0), (1.0, np.inf)])
@pytest.mark.parametrize("word", ["and", "or"])
def test_columns_that_are_looked_at_together_hide_nothing_from_each_other(word, x, y):
    policy = load({word: [{"<": [{"var": "x"}, 0.5]}, {">": [{"var": "y"}, 0.5]}]})
    columns = {"x": np.array([0.1, x, 0.9]), "y": np.array([0.9, y, 0.1])}
    found = compile_policies(policy, "columns").verdicts(columns)
    for row in range(3):
        assert found[row] == reference.verdict(
            policy, {"x": float(columns["x"][row]), "y": float(columns["y"][row])}
        )


def test_numbers_whose_products_overflow_can_be_used():
    policy = load({"and": [{"<": [{"var": "x"}, 1e250]}, {">": [{"var": "y"}, 0.5]}]})
    huge = np.array([1e200, 1e300, 1e200])
    assert compile_policies(policy, "columns").verdicts({"x": huge, "y": huge}).tolist() == [2, 0, 2]


def test_a_bad_value_counts_in_its_row_alone_however_many_blocks_there_are():
    columns = {"battery": np.full(40_000, 20.0), "payload": np.linspace(0, 2, 40_000)}
    expected = np.where(columns["payload"] <= 1, 2, 0)
    columns["battery"][[5, 20_000, 39_999]] = np.nan
    expected[[5, 20_000, 39_999]] = -1
    found = compile_policies(load(RULE_A), "columns").verdicts(columns)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"<": [{"+": [{"var": "x"}, {"var": "y"}]}, {"*": [2, {"var": "y"}]}]}, [2, 0, -1]),
        ({"<": [{"if": [{"<": [{"var": "x"}, 1]}, {"var": "y"}, 5]}, 3]}, [2, 0, 0]),
        ({"if": [{"<": [{"var": "x"}, 1]}, {">": [{"var": "y"}, 1]}, {"<": [{"var": "y"}, 1]}]}, [2, 2, 0]),
        ({"!": [{"and": [{"<": [{"var": "x"}, 1]}, {">": [{"var": "y"}, 1]}]}]}, [0, 2, 2]),
        ({"<": [{"/": [1, {"var": "y"}]}, 1]}, [2, 2, -1]),
    ],
)
def test_arithmetic_and_choices_over_columns(rule, expected):
    columns = {"x": np.array([0.0, 5.0, 1e308]), "y": np.array([2.0, -4.0, 1e308])}
    if "/" in str(rule):
        columns["y"][2] = 0.0
    policy = load(rule)
    found = compile_policies(policy, "columns").verdicts(columns)
    rows = [{name: float(column[row]) for name, column in columns.items()} for row in range(3)]
    assert found.tolist() == [reference.verdict(policy, row) for row in rows] == expected
