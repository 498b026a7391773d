"""The layout of policy files: idempotent, comments kept, meaning kept."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripstop.core.errors import InternalError
from ripstop.policy import PolicyRejectedError, fmt
from ripstop.policy.diagnostics import Findings
from ripstop.policy.fmt import format_source
from ripstop.policy.fmt_json import comments_in_json, format_json
from ripstop.policy.fmt_text import comments_in_text
from ripstop.policy.fmt_yaml import comments_in_yaml
from ripstop.policy.source import read_json
from ripstop.policy.yaml_source import read_yaml

ROOT = Path(__file__).parents[2]
SHIPPED = [
    path
    for kind in ("policies", "vocabularies")
    for path in sorted((ROOT / kind).rglob("*"))
    if path.is_file()
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_document_has_the_layout_already(path):
    assert format_source(path.read_text(), str(path)) == path.read_text()


JSON_BEFORE = """// about
{ // opening
    "and" : [ {"<":[{"var":"a"},1.50]}, // first


    /* two
       lines */ { "some_operator_name": [ 1000000, 2000000, 3000000, 4000000, 5000000, 6000000, 7000 ] }
    , true /* last */ ] // closing
  // dangling
}
// the end"""
JSON_AFTER = """// about
{
  // opening
  "and": [
    {"<": [{"var": "a"}, 1.50]},  // first

    /* two
       lines */
    {"some_operator_name": [1000000, 2000000, 3000000, 4000000, 5000000, 6000000, 7000]},
    true  /* last */
  ]  // closing
  // dangling
}
// the end
"""


def test_json_is_laid_out_with_its_comments_and_its_numbers_as_written():
    assert format_source(JSON_BEFORE, "a.json") == JSON_AFTER
    assert format_source(JSON_AFTER, "a.json") == JSON_AFTER


def test_yaml_is_laid_out_with_its_comments():
    before = """# about
ripstop:   1
id:  'x'   # why
guards:
- take_off   # one
- land
rule: { "<": [ {"var": "a"},1 ] }
"""
    after = """# about
ripstop: 1
id: 'x'    # why
guards:
  - take_off # one
  - land
rule: {"<": [{"var": "a"}, 1]}
"""
    made = format_source(before, "a.yaml")
    assert [line.split() for line in made.splitlines()] == [line.split() for line in after.splitlines()]
    assert made.splitlines()[4].startswith("  - take_off")
    assert format_source(made, "a.yaml") == made


def test_a_rule_in_the_readable_form_keeps_its_lines_and_comments():
    before = "# about\n\n\na<1   and max( b,-2 )>3 % # one\n   or not(c)\n# end\n"
    after = "# about\n\na < 1 and max(b, -2) > 3 %  # one\n  or not (c)\n# end\n"
    assert format_source(before, "a.rule") == after
    assert format_source(after, "a.rule") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [("- 1<a", "-1 < a\n"), ("`a \n b`<1", "`a \n b` < 1\n"), ("a -1< - b", "a - 1 < -b\n")],
)
def test_signs_and_odd_names_keep_their_meaning(before, after):
    assert format_source(before, "a.rule") == after


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "{"), ("a.yaml", "a: ["), ("a.rule", "a <"), ("a.yml", "a: *b")]
)
def test_what_is_malformed_is_told_and_not_touched(name, text):
    with pytest.raises(PolicyRejectedError):
        format_source(text, name)


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)
SPACE = st.sampled_from(["", " ", "\n", "\n\n\n", " // why\n", "/* so */", "\n // a\n // b\n"])


@st.composite
def commented(draw):
    """JSON with spaces and comments between any two tokens."""
    tokens = json.JSONEncoder(separators=("\0,\0", "\0:\0")).iterencode(draw(VALUES))
    parts = "\0".join(tokens).split("\0")
    return "".join(part + draw(SPACE) for part in parts)


@given(commented())
def test_json_with_comments_anywhere_keeps_them_and_its_values(text):
    findings = Findings()
    before = read_json(text, "a.json", findings)
    if before is None or findings.errors:
        return
    made = format_source(text, "a.json")
    assert read_json(made, "a.json", Findings()).plain() == before.plain()
    assert sorted(comments_in_json(made)) == sorted(comments_in_json(text))
    assert format_json(made, 100) == made


WORDS = st.sampled_from(
    ["a", "b.c", "1", "2 %", "'x'", "true", "-3", "(a < 1)", "max(a, b)", "[1, 2]", "near[0]"]
)
GAPS = st.sampled_from([" ", "  ", "\n", " # why\n", "\n\n  # so\n\n"])


@st.composite
def rules(draw):
    """Operands and operators in a line, with comments between them."""
    text = draw(WORDS)
    for _ in range(draw(st.integers(0, 4))):
        word = draw(st.sampled_from(["and", "or", "+", "-", "*", "implies"]))
        text += f"{draw(GAPS)}{word}{draw(GAPS)}{draw(WORDS)}"
    return text


@given(rules())
def test_a_rule_with_comments_anywhere_keeps_them_and_its_meaning(text):
    made = format_source(text, "a.rule")
    assert sorted(comments_in_text(made)) == sorted(comments_in_text(text))
    assert format_source(made, "a.rule") == made


WORD = st.sampled_from(["a", "b", "rule", "and", "'<'", "'1'"])
NODES = st.recursive(
    st.sampled_from(["1", "true", "'a b'", '"#"', "x", "[]", "{}", "{a: [1, 2]}"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(WORD, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
ASIDE = st.sampled_from(["", "", "# why"])
ABOVE = st.sampled_from([[], [], ["# above"], ["", "# far above"], [""]])


def yaml_lines(draw, node, indent):
    """Write a tree in block style, with comments above and beside its items."""
    lines = []
    for key, item in node.items() if isinstance(node, dict) else enumerate(node):
        head = f"{key}:" if isinstance(node, dict) else "-"
        lines += [f"{' ' * indent}{line}" if line else "" for line in draw(ABOVE)]
        text = item if isinstance(item, str) else ""
        lines.append(f"{' ' * indent}{head} {text}  {draw(ASIDE)}".rstrip())
        lines += [] if text else yaml_lines(draw, item, indent + 2)
    return lines


@st.composite
def yaml_documents(draw):
    tree = draw(st.dictionaries(WORD, NODES, min_size=1, max_size=3))
    return "\n".join([*yaml_lines(draw, tree, 0), *draw(ABOVE)]) + "\n"


def test_an_empty_map_below_a_comment_ends_its_line():
    text = "rule:\n  - a: 1\n    b:\n      # above, not {}\n      - {}\n      - 1\n      - 1\n"
    assert format_source(text, "a.yaml") == text
    assert format_source(text.replace("- {}", "- { }"), "a.yaml") == text


@given(yaml_documents())
def test_yaml_with_comments_anywhere_keeps_them_and_its_values(text):
    made = format_source(text, "a.yaml")
    before, after = (read_yaml(each, "a.yaml", Findings()) for each in (text, made))
    assert after.plain() == before.plain()
    assert sorted(comments_in_yaml(made)) == sorted(comments_in_yaml(text))
    assert format_source(made, "a.yaml") == made


@pytest.mark.parametrize(
    "text",
    [
        "rule: {and: [true,  # why\n  false]}\n",
        "rule: {and: [true,\n  # why\n  false]}\n",
        "rule: {\n  and: [  # both\n    a,  # one\n    b,  # two\n  ],\n}\n",
        "guards: [  # none\n  ]\nrule: true\n",
        "limits:\n  - {\n      when: a,  # one\n      limit: {p: {max: 1}},  # two\n    }\n",
        "rule: |\n  a < 3   \n  and b\n",
    ],
)
def test_yaml_laid_out_by_hand_stays_so_with_its_comments(text):
    assert format_source(text, "a.yaml") == text


def test_a_list_that_holds_comments_moves_as_its_line_does():
    before = "limits:\n- when: [a,  # one\n      b]\n"
    assert format_source(before, "a.yaml") == "limits:\n  - when: [a,  # one\n        b]\n"


def test_a_layout_that_never_settles_is_told_and_not_written(monkeypatch):
    read, _, comments = fmt._LANGUAGES["json"]
    monkeypatch.setitem(fmt._LANGUAGES, "json", (read, lambda text, width: f"{text} ", comments))
    with pytest.raises(InternalError, match="would change it"):
        format_source("{}", "a.json")


def test_comments_above_the_start_of_a_yaml_document_stay():
    assert format_source("# who\n\n# may\n---\nrule: a\n", "a.yaml") == "# who\n# may\nrule: a\n"


def test_a_comment_behind_braces_does_not_join_the_lines_below():
    before = (
        "budgets:\n# why\n    - {at_most: 3, within_s: 1}  # so\n    - tokens: 1\n      refill_per_s: 2\n"
    )
    made = format_source(before, "a.yaml")
    assert made.split() == before.split()
    assert made.endswith("\n  - tokens: 1\n    refill_per_s: 2\n")


def test_a_comment_between_conditions_in_braces_stays_there():
    text = "rule:\n  and:\n    - {'<': [a, 3]}\n    # why\n    - {'>': [b, 3]}  # end\n"
    assert format_source(text, "a.yaml") == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("rule: a\n...\n# end\n", "rule: a\n# end\n"),
        ("---\nrule: |\n  a < 3\n...  # aside\n\n# end", "rule: |\n  a < 3\n# aside\n# end\n"),
        (
            "# who\n\n{rule: a,  # one  \n  id: b}  # two\n# end\n",
            "# who\n\n{rule: a,  # one\n  id: b}  # two\n# end\n",
        ),
    ],
)
def test_comments_after_the_end_of_a_yaml_document_stay(before, after):
    assert format_source(before, "a.yaml") == after
    assert format_source(after, "a.yaml") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a\r\nrule:   a\r\n# b\r\n", "# a\nrule: a\n# b\n"),
        ("# a\rrule:   a\r# b\r", "# a\nrule: a\n# b\n"),
        ("# why\ntrue\n", "# why\ntrue\n"),
        ("# why\n[ a, b ]  \n", "# why\n[ a, b ]\n"),
        ("rule:  |+\n  a < 3\n\n...\n", "rule: |+\n  a < 3\n\n...\n"),
    ],
)
def test_lines_end_in_one_way_and_odd_documents_stay_as_they_are(before, after):
    assert format_source(before, "a.yaml") == after
    assert format_source(after, "a.yaml") == after


@pytest.mark.parametrize("text", ['"q": # a\u2028x\n\n', "# a\n%YAML 1.2\n---\n- [a]\n"])
def test_what_ruamel_cannot_lay_out_is_told_and_not_touched(text):
    with pytest.raises(InternalError, match="would change it"):
        format_source(text, "a.yaml")


def test_words_and_numbers_of_yaml_stay_as_they_were_written():
    text = "a: null\nb: ~\nc: True\nd: +1\ne: -0\nf: 1e3\ng: 0x1F\nh: 12:30:45\ni:\nj: [null, NULL, ~]\n"
    assert format_source(text, "a.yaml") == text
    assert format_source("\ufeff# why\n" + text.replace("a: ", "a:   "), "a.yaml") == "# why\n" + text
