"""The OpenAPI document of the sidecar: `GET /v1/openapi.json`."""

from __future__ import annotations

from typing import TypeAlias

import ripstop
from ripstop.core.canonical import Json

from .metrics import STATES
from .shapes import DECIDE, OBSERVE, OUTCOME, Shape

Schema: TypeAlias = dict[str, Json]
_TEXT: Schema = {"type": "string"}
_MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
_STATE: Schema = {"type": "string", "enum": list(STATES)}
_BREAKER: Schema = {"oneOf": [{"$ref": "#/components/schemas/Breaker"}, {"type": "null"}]}
_ERRORS = {
    "400": "The request is malformed, or has not the shape that is described here.",
    "401": "It bears no token, or a wrong one (loopback port only).",
    "404": "There is no such path, agent or call.",
    "405": "The path does not take this method.",
    "408": "It came in too slowly.",
    "411": "Its body has no `Content-Length`.",
    "413": "Its body is too large.",
    "429": "Too many connections, or too many names of signals or actions.",
    "431": "Its header is too long.",
    "500": "Our fault.",
}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _schemas() -> Schema:
    limit = _object({"parameter": _TEXT, "min": _MAYBE_NUMBER, "max": _MAYBE_NUMBER})
    alarm = _object(
        {
            "kind": _TEXT,
            "score": _MAYBE_NUMBER,
            "value": _MAYBE_NUMBER,
            "expected": _MAYBE_NUMBER,
            "scale": _MAYBE_NUMBER,
            "text": _TEXT,
        }
    )
    agent = _object(
        {
            "agent": _TEXT,
            "breaker": _STATE,
            "release": _TEXT,
            "ledger": {"type": "string", "enum": ["ok", "failing"]},
            "pending_calls": {"type": "integer"},
        }
    )
    return {
        "Breaker": _object({"name": _TEXT, "state": _STATE, "retry_s": _MAYBE_NUMBER}),
        "Decision": _object(
            {
                "agent": _TEXT,
                "action": _TEXT,
                "verdict": {"type": "string", "enum": ["allow", "limit", "deny"]},
                "limits": _list(limit),
                "reasons": _list(_object({"policy": _TEXT, "code": _TEXT, "text": _TEXT})),
                "evidence": _list(_object({"policy": _TEXT, "read": _TEXT, "true": _TEXT})),
                "t_us": {"type": "integer"},
                "release": _TEXT,
                "intent": _TEXT,
                "context": {"type": "object"},
                "call": {"type": ["string", "null"]},
                "breaker": _BREAKER,
            }
        ),
        "Observed": _object(
            {"agent": _TEXT, "alarms": {"type": "object", "additionalProperties": alarm}, "breaker": _STATE}
        ),
        "Counted": _object(
            {"agent": _TEXT, "action": _TEXT, "counted": {"type": "boolean"}, "breaker": _BREAKER}
        ),
        "Health": _object(
            {
                "status": {"type": "string", "enum": ["ok", "failing"]},
                "version": _TEXT,
                "agents": _list(agent),
            }
        ),
        "Error": _object({"error": _object({"code": _TEXT, "message": _TEXT, "hint": _TEXT})}),
    }


def _json(schema: Schema, text: str = "The answer.") -> Schema:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _named(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _errors() -> Schema:
    return {status: _json(_named("Error"), text) for status, text in _ERRORS.items()}


def _post(name: str, summary: str, shape: Shape, schema: str) -> Schema:
    body: Schema = {"required": True, "content": {"application/json": {"schema": shape.to_schema()}}}
    answers: Schema = {"200": _json(_named(schema))} | _errors()
    return {"post": {"operationId": name, "summary": summary, "requestBody": body, "responses": answers}}


def _get(name: str, summary: str, answers: Schema) -> Schema:
    errors = {status: answer for status, answer in _errors().items() if status != "404"}
    return {"get": {"operationId": name, "summary": summary, "responses": answers | errors}}


def document() -> Schema:
    """Give the whole document."""
    health: Schema = {"200": _json(_named("Health")), "503": _json(_named("Health"), "A ledger is failing.")}
    text: Schema = {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": _TEXT}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ripstop sidecar",
            "version": ripstop.__version__,
            "description": "Ask before each action, tell what is sensed, tell how actions went. Only the "
            "verdict `allow` of an answer with status 200 lets an action be taken.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {}],
        "paths": {
            "/v1/decide": _post("decide", "Decide on an action.", DECIDE, "Decision"),
            "/v1/observe": _post("observe", "Take readings; give the alarms.", OBSERVE, "Observed"),
            "/v1/outcome": _post("outcome", "Feed an action's breaker.", OUTCOME, "Counted"),
            "/v1/health": _get("health", "How the agents are.", health),
            "/v1/openapi.json": _get("openapi", "This document.", {"200": _json({"type": "object"})}),
            "/metrics": _get("metrics", "Metrics for Prometheus.", {"200": text}),
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
