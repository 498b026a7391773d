"""The readers: places, comments, and everything that is refused, with its code and place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.canonical import canonical_json
from ripstop.policy import PolicyRejectedError, check, load
from ripstop.policy.diagnostics import Findings
from ripstop.policy.source import read_json, read_value
from ripstop.policy.yaml_source import read_yaml, resolve


def codes(text, reader=read_json):
    findings = Findings()
    reader(text, "file", findings)
    return [(finding.code, finding.place.line, finding.place.column) for finding in findings.errors]


def test_every_value_knows_where_it_stands():
    findings = Findings()
    node = read_json('{\n  // a comment\n  "a": [1, /* another */ {"b/c": null}]\n}', "file", findings)
    inner = node.entries["a"].items[1].entries["b/c"]
    assert findings.found == []
    assert (inner.place.line, inner.place.column, inner.place.pointer) == (3, 34, "/a/1/b~1c")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1, "a": 2}', [("E0105", 1, 10)]),
        ("[NaN, -Infinity, 1e999]", [("E0107", 1, 2), ("E0107", 1, 7), ("E0107", 1, 18)]),
        ("[9007199254740993, " + "9" * 5000 + "]", [("E0108", 1, 2), ("E0108", 1, 20)]),
        ("[" * 100_000, [("E0106", 1, 65)]),
        ('"\\ud800"', [("E0102", 1, 1)]),
        ('{"a" 1}', [("E0104", 1, 6)]),
        ("[1, 2", [("E0104", 1, 6)]),
        ("[1] []", [("E0104", 1, 5)]),
        ("[1,]", [("E0104", 1, 4)]),
        ('"a\nb"', [("E0104", 1, 3)]),
        ("/* no end", [("E0104", 1, 1)]),
        ("", [("E0104", 1, 1)]),
        ("[01]", [("E0104", 1, 3)]),
    ],
)
def test_bad_json_is_refused_where_it_is_bad(text, found):
    assert codes(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\na: 2", [("E0105", 2, 1)]),
        ("a: .nan", [("E0107", 1, 4)]),
        ("a: 0x" + "f" * 20, [("E0108", 1, 4)]),
        ("a: *b", [("E0109", 1, 4)]),
        ("a: &b 1", [("E0109", 1, 4)]),
        ("a: &b [1]", [("E0109", 1, 4)]),
        ("a: !!python/object:os.system x", [("E0109", 1, 4)]),
        ("a: 1\n---\nb: 2", [("E0109", 2, 1)]),
        ("? [1]\n: 2", [("E0109", 1, 3)]),
        ("a: [1, 2", [("E0104", 1, 9)]),
        ("[" * 100_000, [("E0106", 1, 65)]),
    ],
)
def test_bad_yaml_is_refused_where_it_is_bad(text, found):
    assert codes(text, read_yaml) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("true", True),
        ("~", None),
        ("0x10", 16),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("-7", -7),
    ],
)
def test_plain_scalars_follow_the_core_schema(text, value):
    assert resolve(text) == value


def test_quoted_scalars_stay_text():
    node = read_yaml("a: '1'\nb: \"true\"\nc: |\n  text\n", "file", Findings())
    assert node.plain() == {"a": "1", "b": "true", "c": "text\n"}


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_json)
def test_all_three_readers_give_the_same_tree(value):
    findings = Findings()
    text = canonical_json(value).decode()
    trees = [read_json(text, "", findings), read_value(value, "", findings)]
    assert not [finding for finding in findings.errors if finding.code != "E0108"]
    assert [canonical_json(tree.plain()) for tree in trees if not findings.errors] in (
        [],
        [text.encode()] * 2,
    )


@given(st.text(max_size=60) | st.text('[]{}:,"0e-+.tfn/* \n', max_size=40))
def test_no_text_makes_the_readers_fail(text):
    for reader in (read_json, read_yaml):
        findings = Findings()
        assert (
            reader(text, "", findings) is not None
            or findings.errors
            or not text.strip()
            or reader is read_yaml
        )


def test_a_value_that_is_not_json_is_refused_in_memory():
    with pytest.raises(PolicyRejectedError) as caught:
        load({"==": [object(), 1]})
    assert caught.value.code == "E0110"


def test_a_hundred_thousand_levels_in_memory_are_refused():
    rule = True
    for _ in range(100_000):
        rule = {"!": [rule]}
    with pytest.raises(PolicyRejectedError) as caught:
        load(rule)
    assert caught.value.code == "E0106"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xff\xfe{", "E0102"),
        (b"[" + b"1," * 600_000 + b"1]", "E0103"),
        (b"", "E0104"),
        (b'{"<": [1', "E0104"),
    ],
)
def test_an_unreadable_file_is_a_coded_error(tmp_path: Path, content, code):
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    with pytest.raises(PolicyRejectedError) as caught:
        load(path)
    assert caught.value.code == code


def test_a_missing_file_and_a_folder_are_coded_errors(tmp_path: Path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(PolicyRejectedError) as caught:
            load(path)
        assert caught.value.code == "E0101"


def test_an_empty_yaml_file_is_an_error(tmp_path: Path):
    path = tmp_path / "policy.yaml"
    path.write_text("# nothing yet\n")
    assert [finding.code for finding in check(path).findings] == ["E0104"]


def test_the_message_is_one_line_with_place_code_hint_and_pointer(tmp_path: Path):
    path = tmp_path / "policy.json"
    path.write_text('{"if": [\n  {"<": ["abc", 30]}, true, false]}')
    with pytest.raises(PolicyRejectedError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}:2:4: E0203: `<` needs two numbers, got `string` and `number` - at `/if/0/<`"
    )


def test_a_finding_shows_the_line_with_a_caret(tmp_path: Path):
    path = tmp_path / "policy.json"
    path.write_text('{"nto": [true]}')
    checked = check(path)
    assert checked.findings[0].rendered(checked.source).splitlines() == [
        f"{path}:1:2: E0201: unknown operator `nto` (at `/nto`)",
        '  1 | {"nto": [true]}',
        "    |  ^",
        "  hint: did you mean `not`?",
    ]


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("p.json", '{"=<": [{"var": "x"}, 30]}', "did you mean `<=`?"),
        ("p.json", '{"&&": [true, {"var": "x"}]}', "did you mean `and`?"),
        ("p.json", '{"<": [{"var": "x"}, 30}', "`[` of line 1, column 7 is still open"),
        ("p.json", '{"<": [{"var": "x"}, 30],}', "no comma stands before `}`"),
        ("p.json", "{'<': [1, 2]}", "JSON's strings stand in double quotes"),
        ("p.yaml", "ripstop: 1\n\tid: p", "YAML is indented with spaces, not with tabs"),
        ("p.rule", "x < 30 impliess y < 2", "did you mean `implies`?"),
    ],
)
def test_a_slip_of_the_pen_gets_the_hint_that_mends_it(tmp_path, name, text, hint):
    path = tmp_path / name
    path.write_text(text)
    assert hint in [finding.hint for finding in check(path).findings]


@pytest.mark.parametrize("text", ["x <=\n", "x <=   \n\n"])
def test_what_the_end_lacks_is_missed_behind_the_last_letter(tmp_path, text):
    path = tmp_path / "p.rule"
    path.write_text(text)
    (finding,) = check(path).findings
    assert (finding.place.line, finding.place.column) == (1, 5)


def test_a_wrong_effect_is_found_together_with_what_else_is_wrong():
    found = check(
        {"ripstop": 1, "id": "p", "effect": "forbidd", "tier": "safty", "rule": {"var": "x"}}
    ).findings
    assert [finding.place.pointer for finding in found if finding.code == "E0304"] == ["/tier", "/effect"]
