"""The OpenAPI document is held to a validator by others, and the sidecar's answers to the document."""

import json

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from agent.sidecar_stage import exchange, talking
from ripstop.agent import Agent, BreakerSettings, NodeSettings
from ripstop.agent.sidecar import SidecarSettings
from ripstop.agent.sidecar.message import RequestError
from ripstop.agent.sidecar.openapi import document
from ripstop.agent.sidecar.shapes import DECIDE, OBSERVE, OUTCOME

DOCUMENT = document()
REGISTRY = Registry().with_resource("urn:sidecar", Resource(DOCUMENT, DRAFT202012))
# What the OpenAPI 3.1 specification demands of the parts that are used here (sections 4.8.1 to 4.8.17).
RESPONSE = {
    "type": "object",
    "required": ["description"],
    "properties": {
        "description": {"type": "string"},
        "content": {"additionalProperties": {"type": "object", "required": ["schema"]}},
    },
    "additionalProperties": False,
}
OPERATION = {
    "type": "object",
    "required": ["operationId", "summary", "responses"],
    "properties": {
        "operationId": {"type": "string"},
        "summary": {"type": "string"},
        "requestBody": {"type": "object", "required": ["content"]},
        "responses": {
            "minProperties": 1,
            "patternProperties": {"^[1-5][0-9]{2}$": RESPONSE},
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
OPENAPI = {
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "properties": {
        "openapi": {"pattern": r"^3\.1\.\d+$"},
        "info": {
            "type": "object",
            "required": ["title", "version"],
            "properties": {"license": {"required": ["name"], "type": "object"}},
        },
        "servers": {"items": {"type": "object", "required": ["url"]}},
        "security": {"items": {"additionalProperties": {"type": "array"}}},
        "paths": {
            "patternProperties": {
                "^/": {"properties": {"get": OPERATION, "post": OPERATION}, "additionalProperties": False}
            },
            "additionalProperties": False,
        },
        "components": {"properties": {"schemas": {}, "securitySchemes": {}}, "additionalProperties": False},
    },
    "additionalProperties": False,
}


def schema_of(method, path, status):
    return DOCUMENT["paths"][path][method.lower()]["responses"][str(status)]["content"]["application/json"]


def check(value, schema):
    """Validate against a part of the document, its references resolved within the whole."""
    absolute = {**schema}
    if "$ref" in absolute:
        absolute = {"$ref": "urn:sidecar" + absolute["$ref"]}
    Draft202012Validator(absolute, registry=REGISTRY).validate(value)


def refs(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from refs(item)


def schemas(value):
    if isinstance(value, dict):
        if isinstance(value.get("schema"), dict):
            yield value["schema"]
        for item in value.values():
            yield from schemas(item)


def test_the_document_is_an_openapi_document():
    Draft202012Validator(OPENAPI).validate(DOCUMENT)
    names = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    for schema in [*schemas(DOCUMENT["paths"]), *DOCUMENT["components"]["schemas"].values()]:
        Draft202012Validator.check_schema(schema)
    known = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert set(refs(DOCUMENT)) == known


@pytest.mark.parametrize("shape", [DECIDE, OBSERVE, OUTCOME], ids=["decide", "observe", "outcome"])
def test_requests_are_checked_as_the_document_says(shape):
    validator = Draft202012Validator(shape.to_schema())
    whole = {field.name: "x" for field in shape.fields}
    values = [None, True, 0, -1, 2.5, "", "x", "y" * 201, "success", "failure", [], [1], {}, {"a": 1}]
    requests = [None, [], "x", {}, whole, {**whole, "more": 1}]
    for field in shape.fields:
        requests += [
            {"action": "a", "readings": {}, "outcome": "slow", field.name: value} for value in values
        ]
        requests += [
            {one.name: good for one in shape.fields if one.is_needed for good in [{}]} | {field.name: value}
            for value in values
        ]
        base = {"action": "a", "readings": {}, "outcome": "slow"}
        own = {name: value for name, value in base.items() if name in {one.name for one in shape.fields}}
        requests += [{**own, field.name: value} for value in values]
    told = set()
    for request in requests:
        try:
            shape.check(request)
        except RequestError as error:
            assert error.code == "W0703"
            is_taken = False
        else:
            is_taken = True
        assert is_taken == validator.is_valid(request), request
        told.add(is_taken)
    assert told == {True, False}


def test_every_answer_is_as_the_document_says(tmp_path):
    path = tmp_path / "s.sock"
    rule = {"ripstop": 1, "id": "r", "rule": {"<": [{"var": "x"}, 5]}}
    breaker = BreakerSettings(minimum_number_of_calls=1)
    asked = [
        ("POST", "/v1/decide", {"action": "a"}),
        ("POST", "/v1/decide", {"action": "a", "context": {"x": 1}}),
        ("POST", "/v1/decide", {"action": "a", "context": {"x": 9}}),
        ("POST", "/v1/decide", {"action": "a", "context": {"x": 1}, "dry_run": True}),
        ("POST", "/v1/outcome", {"action": "a", "outcome": "failure"}),
        ("POST", "/v1/decide", {"action": "a", "context": {"x": 1}}),
        *(("POST", "/v1/observe", {"readings": {"x": value}}) for value in (1, 1, 1, 4, None, "x", 900)),
        ("POST", "/v1/decide", {"action": "b", "context": {"x": 1}}),
        ("POST", "/v1/decide", {"action": "b", "agent": "nobody"}),
        ("POST", "/v1/decide", {"verdict": "allow"}),
        ("POST", "/v1/outcome", {"call": "7-7", "outcome": "success"}),
        ("GET", "/v1/health", None),
        ("GET", "/v1/openapi.json", None),
    ]
    settings = NodeSettings("n", call_breaker=breaker)
    told = set()
    with Agent("n", rule, settings=settings) as agent, talking([agent], SidecarSettings(path)) as client:
        for method, target, body in asked:
            status, answer = client.ask(method, target, body)
            check(answer, schema_of(method, target, status)["schema"])
            told.add(answer.get("verdict", status))
        assert client.ask("GET", "/v1/openapi.json") == (200, DOCUMENT)
    assert told == {"allow", "deny", 200, 400, 404}


@pytest.mark.parametrize(("fields", "status"), [
    (b"Transfer-Encoding: chunked", 411), (b"Content-Length: x", 400), (b"Content-Length: 99999", 413),
    (b"X: " + b"y" * 20_000, 431),
])  # fmt: skip
def test_every_path_tells_of_the_errors_that_every_path_gives(tmp_path, fields, status):
    path = tmp_path / "s.sock"
    with Agent("n") as agent, talking([agent], SidecarSettings(path)):
        for target, operations in DOCUMENT["paths"].items():
            for method in operations:
                sent = b"%s %s HTTP/1.1\r\n%s\r\n\r\n" % (method.upper().encode(), target.encode(), fields)
                head, _, body = exchange(path, sent).partition(b"\r\n\r\n")
                assert int(head.split()[1]) == status
                check(json.loads(body), schema_of(method, target, status)["schema"])
    assert all("401" in one["responses"] for path in DOCUMENT["paths"].values() for one in path.values())
