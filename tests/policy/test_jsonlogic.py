"""Plain JSON-Logic: the official and community suites, JavaScript's coercions, errors, depth."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ripstop.policy import JsonLogicError, apply

DATA = os.environ.get("RIPSTOP_DATA", "")


def suites() -> Iterator[tuple[str, dict[str, object]]]:
    if not DATA:
        return
    folder = Path(DATA) / "jsonlogic"
    for path in [folder / "official.json", *sorted(folder.glob("community/**/*.json"))]:
        for index, case in enumerate(json.loads(path.read_text())):
            if isinstance(case, dict):
                yield f"{path.stem}-{index}", case


def same(left: object, right: object) -> bool:
    """JSON equality: unlike Python's, it tells true from 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


@pytest.mark.skipif(not DATA, reason="set RIPSTOP_DATA to the folder that holds jsonlogic/official.json")
def test_every_case_of_the_official_and_community_suites_passes() -> None:
    wrong = []
    seen = 0
    for name, case in suites():
        seen += 1
        try:
            outcome, value = "result", apply(case["rule"], case.get("data"))
        except JsonLogicError as error:
            outcome, value = "error", {"type": error.type}
        if outcome not in case or not same(value, case[outcome]):
            wrong.append((name, case, value))
    assert seen > 278
    assert wrong == []


@pytest.mark.parametrize(
    ("rule", "data", "result"),
    [
        ({"==": [None, 0]}, None, True),
        ({"==": ["", 0]}, None, True),
        ({"===": [1, 1.0]}, None, True),
        ({"<": [" 0x10 ", 17]}, None, True),
        ({"!": [[]]}, None, True),
        ({"!!": ["0"]}, None, True),
        ({"cat": [1.0, 0.5, None, True]}, None, "10.5true"),
        ({"cat": [1e21, 1e-7]}, None, "1e+211e-7"),
        ({"+": [9007199254740992, 1]}, None, 9007199254740992),
        ({"/": [7, 2]}, None, 3.5),
        ({"%": [-7, 3]}, None, -1),
        ({"var": "a.1.b"}, {"a": [0, {"b": 5}]}, 5),
        ({"var": ["a.x", 7]}, {"a": None}, 7),
        ({"var": ["a", 7]}, {"a": None}, None),
        ({"var": ["a", 7]}, {}, 7),
        ({"==": [None, ""]}, None, False),
        ({"!=": ["a", None]}, None, True),
        ({"<": [None, "a"]}, None, False),
        ({">=": ["a", None]}, None, False),
        ({"<=": [None, " 3 "]}, None, True),
        ({"exists": None}, {"a": 1}, False),
        ({"exists": ["a", None]}, {"a": {"b": 1}}, False),
        ({"val": ["a", None]}, {"a": {"b": 1}}, None),
        ({"val": ["a", None]}, {"a": {"null": 1}}, 1),
        ({"val": ["a", 0]}, {"a": [9]}, 9),
        ({"map": [[1, 2], {"+": [{"val": []}, {"val": [[2], "add"]}]}]}, {"add": 10}, [11, 12]),
        ({"exists": ["a", "b"]}, {"a": {"b": None}}, True),
        ({"??": [{"var": "a"}, {"var": "b"}, 3]}, {"b": 2}, 2),
        ({"try": [{"throw": {"val": "e"}}, {"val": "why"}]}, {"e": {"type": "x", "why": 4}}, 4),
        ({"within": [10, 250, 300]}, None, True),
        ({"within": [10, 350, 300]}, None, False),
        ({"reduce": [[1, 2, 3], {"*": [{"var": "accumulator"}, {"var": "current"}]}, 1]}, None, 6),
        ({"a": 1, "b": 2}, None, {"a": 1, "b": 2}),
        (
            [{"var": step} for step in ("1", "01", "+1", " 1", "1_0", "-0", "\u0661")],
            "xyz",
            ["y", *[None] * 6],
        ),
        ([{"val": [step]} for step in (1, 1.0, -0.0, 1.5, True, -1, 10**30)], [5, 6], [6, 6, 5, *[None] * 4]),
        ({"val": [["a"], "x"]}, {"x": 2}, None),
        ({"exists": [["a"], "x"]}, {"x": 2}, False),
    ],
)
def test_a_rule_gives_what_javascript_would(rule: object, data: object, result: object) -> None:
    assert same(apply(rule, data), result)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"+": ["a"]}, "NaN"),
        ({"/": [1, 0]}, "NaN"),
        ({"*": [1e308, 10]}, "NaN"),
        ({"+": [10**400, 1]}, "NaN"),
        ({"<": [{"x": 1, "y": 2}, 1]}, "NaN"),
        ({"max": ["1"]}, "Invalid Arguments"),
        ({"==": [1]}, "Invalid Arguments"),
        ({"map": 5}, "Invalid Arguments"),
        ({"nonsense": 1}, "Unknown Operator"),
        ({"throw": "mine"}, "mine"),
        ({"try": [{"throw": "a"}, {"throw": "b"}]}, "b"),
    ],
)
def test_an_error_tells_its_type(rule: object, kind: str) -> None:
    with pytest.raises(JsonLogicError) as caught:
        apply(rule, None)
    assert caught.value.type == kind


def nested(levels: int) -> object:
    rule: object = True
    for _ in range(levels):
        rule = {"!": [rule]}
    return rule


def test_a_hundred_thousand_levels_are_refused_not_run() -> None:
    with pytest.raises(JsonLogicError) as caught:
        apply(nested(100_000), None)
    assert caught.value.type == "Too Deep"


def test_sixty_levels_are_evaluated() -> None:
    assert apply(nested(60), None) is True


def test_deep_data_is_an_error_not_a_crash() -> None:
    data: object = 1
    for _ in range(100_000):
        data = [data]
    with pytest.raises(JsonLogicError) as caught:
        apply({"cat": [{"var": "x"}]}, {"x": data})
    assert caught.value.type == "Too Deep"
