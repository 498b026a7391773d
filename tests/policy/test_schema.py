"""The JSON Schemas for editors, against the documents that are shipped, documented and tested."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ripstop.policy import check
from ripstop.policy.diagnostics import Findings
from ripstop.policy.document import KEYS
from ripstop.policy.operators import OPERATORS
from ripstop.policy.schema import policy_schema, vocabulary_schema
from ripstop.policy.source import read_json
from ripstop.policy.yaml_source import read_yaml

ROOT = Path(__file__).parents[2]
POLICY = Draft202012Validator(policy_schema())
VOCABULARY = Draft202012Validator(vocabulary_schema())


def plain(path):
    read = read_json if path.suffix == ".json" else read_yaml
    return read(path.read_text(), str(path), Findings()).plain()


def test_both_schemas_are_valid_schemas():
    Draft202012Validator.check_schema(policy_schema())
    Draft202012Validator.check_schema(vocabulary_schema())


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "policies").rglob("*")) if path.is_file()],
    ids=lambda path: path.name,
)
def test_every_shipped_policy_is_valid(path):
    assert list(POLICY.iter_errors(plain(path))) == []


@pytest.mark.parametrize("path", sorted((ROOT / "vocabularies").iterdir()), ids=lambda path: path.name)
def test_every_shipped_vocabulary_is_valid(path):
    assert list(VOCABULARY.iter_errors(plain(path))) == []


def test_the_example_of_the_reference_page_is_valid():
    page = (ROOT / "docs/reference/policies.md").read_text()
    policy, *_ = (text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "ripstop: 1" in text)
    assert list(POLICY.iter_errors(read_yaml(policy, "", Findings()).plain())) == []


def test_every_policy_of_the_corpus_that_loads_is_valid():
    count = 0
    for path in sorted((ROOT / "tests/cases").glob("*.json")):
        corpus = json.loads(path.read_text())
        for case in corpus["cases"]:
            if "expect" not in case:
                continue
            for policy in case.get("policies") or [case["policy"]]:
                assert list(POLICY.iter_errors(policy)) == [], case["name"]
                count += 1
    assert count > 20


def test_the_schema_has_the_keys_of_a_document_and_every_operator():
    schema = policy_schema()["$defs"]
    assert schema["document"]["properties"].keys() == set(KEYS)
    (applications,) = (part["properties"] for part in schema["expression"]["anyOf"] if "properties" in part)
    assert applications.keys() >= OPERATORS.keys()


DOCUMENT = {"ripstop": 1, "id": "x", "rule": {"<": [{"var": "a"}, 1]}}


@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENT, "rul": True},
        {**DOCUMENT, "ripstop": 2},
        {**DOCUMENT, "tier": "safty"},
        {**DOCUMENT, "guards": "land"},
        {**DOCUMENT, "rule": {"<": [1]}},
        {**DOCUMENT, "rule": {"lt": [1, 2]}},
        {**DOCUMENT, "rule": {"<": [1, 2], ">": [1, 2]}},
        {**DOCUMENT, "rule": {"==": [{"var": "a"}, 2**53 + 1]}},
        {**DOCUMENT, "limits": [{"limit": {"a": {}}}]},
        {**DOCUMENT, "on_unknown": {"last_valid": {}}},
        {"ripstop": 1, "id": "x"},
        {"<": [{"var": "a"}]},
    ],
)
def test_what_the_schema_refuses_does_not_load_either(document):
    assert list(POLICY.iter_errors(document)) != []
    assert check(document).policy is None
