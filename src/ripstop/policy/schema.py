"""JSON Schemas (draft 2020-12) of policy and vocabulary documents: what an editor completes and underlines.

A schema sees shapes: keys, words, operators and how many arguments they take. Names, types and units are the
checker's business, so every document that loads is valid, and not the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ripstop.core.canonical import MAX_SAFE_INTEGER, Json
from ripstop.core.messages import SafeMode
from ripstop.core.vocabulary import SIGNAL_TYPES
from ripstop.policy.document import VERSION
from ripstop.policy.operators import ALIASES, OPERATORS, Operator

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT: dict[str, Json] = {"type": "string"}
_TRUTH: dict[str, Json] = {"type": "boolean"}
_NAMES: dict[str, Json] = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_POSITIVE: dict[str, Json] = {"type": "number", "exclusiveMinimum": 0}
_FREE = ("preserve", "missing_some")  # operators whose arguments are no rules, or not all of them


def policy_schema() -> dict[str, Json]:
    """Give the schema of a policy: a document, or a bare rule."""
    is_document: dict[str, Json] = {"type": "object", "required": ["ripstop"]}
    return {
        "$schema": DIALECT,
        "title": "Ripstop policy",
        "if": is_document,
        "then": {"$ref": "#/$defs/document"},
        "else": {"$ref": "#/$defs/expression"},
        "$defs": {
            "document": _document(),
            "condition": _described(
                "A rule: JSON-Logic, or a text like `battery_percent < 30 % implies payload_kg <= 1 kg`.",
                {"$ref": "#/$defs/expression"},
            ),
            "expression": _expression(),
            "limit": _limit(),
            "budget": _budget(),
            **_vocabulary_parts(),
        },
    }


def vocabulary_schema() -> dict[str, Json]:
    """Give the schema of a vocabulary document."""
    return {
        "$schema": DIALECT,
        "title": "Ripstop vocabulary",
        "$ref": "#/$defs/vocabulary",
        "$defs": _vocabulary_parts(),
    }


def _described(description: str, schema: Mapping[str, Json]) -> dict[str, Json]:
    return {"description": description, **schema}


def _object(properties: Mapping[str, Json], required: Sequence[str] = ()) -> dict[str, Json]:
    """Describe an object that takes these keys only."""
    made: dict[str, Json] = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


def _document() -> dict[str, Json]:
    words = "What UNKNOWN means: deny (the default), allow, or the last valid values."
    age = _object({"max_age_s": _POSITIVE}, ["max_age_s"])
    properties: dict[str, Json] = {
        "ripstop": _described("The version of the document's form.", {"const": VERSION}),
        "id": _described(
            "Unique in a bundle.", {"type": "string", "pattern": r"^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$"}
        ),
        "description": _described("Why the policy is there; shown where it denies.", _TEXT),
        "tier": _described(
            "Only a safety policy may limit a failsafe action.", {"enum": ["safety", "business"]}
        ),
        "vocabulary": _described(
            "The name of a vocabulary, or one written out.",
            {"anyOf": [_TEXT, {"$ref": "#/$defs/vocabulary"}]},
        ),
        "applies_to": _described("Which agents: a rule over `capabilities`.", {"$ref": "#/$defs/condition"}),
        "guards": _described("The actions; without it every action but the failsafes.", _NAMES),
        "effect": _described("A true rule permits, or forbids.", {"enum": ["require", "forbid"]}),
        "rule": {"$ref": "#/$defs/condition"},
        "limits": {"type": "array", "items": {"$ref": "#/$defs/limit"}},
        "budgets": {"type": "array", "items": {"$ref": "#/$defs/budget"}},
        "on_unknown": _described(
            words, {"anyOf": [{"enum": ["deny", "allow"]}, _object({"last_valid": age}, ["last_valid"])]}
        ),
        "max_staleness": _described(
            "How long it is trusted without word from the ground, and what holds then.",
            _object({"age_s": _POSITIVE, "mode": {"enum": [mode.value for mode in SafeMode]}}, ["age_s"]),
        ),
    }
    needed: list[Json] = [{"required": [key]} for key in ("rule", "limits", "budgets")]
    return {**_object(properties, ["ripstop", "id"]), "anyOf": needed}


def _limit() -> dict[str, Json]:
    bounds = {**_object({"min": {"type": "number"}, "max": {"type": "number"}}), "minProperties": 1}
    return _object(
        {
            "when": {"$ref": "#/$defs/condition"},
            "limit": _described(
                "Parameters and what they are kept between.",
                {"type": "object", "additionalProperties": bounds},
            ),
        },
        ["limit"],
    )


def _budget() -> dict[str, Json]:
    count: dict[str, Json] = {"type": "integer", "minimum": 1}
    cost: dict[str, Json] = {"anyOf": [_POSITIVE, _TEXT]}
    quota = _object({"at_most": count, "within_s": _POSITIVE}, ["at_most", "within_s"])
    bucket = _object(
        {"tokens": _POSITIVE, "refill_per_s": _POSITIVE, "cost": cost}, ["tokens", "refill_per_s"]
    )
    return {"anyOf": [quota, bucket]}


def _expression() -> dict[str, Json]:
    """Describe JSON-Logic: a scalar, an array, or an object whose only key is an operator."""
    names = {name: name for name in OPERATORS} | dict(ALIASES)
    operators: dict[str, Json] = {name: _application(OPERATORS[known]) for name, known in names.items()}
    return {
        "anyOf": [
            {"type": ["null", "boolean", "string"]},
            {"type": "number", "minimum": -MAX_SAFE_INTEGER, "maximum": MAX_SAFE_INTEGER},
            {"type": "number", "not": {"type": "integer"}},
            {"type": "array", "items": {"$ref": "#/$defs/expression"}},
            {**_object(operators), "maxProperties": 1},
        ]
    }


def _application(operator: Operator) -> dict[str, Json]:
    """Describe what stands behind an operator: its arguments in an array, or a lone one."""
    description = f"{operator.summary} ({operator.signature})"
    if operator.name in _FREE:
        return {"description": description}
    many: dict[str, Json] = {"type": "array", "items": {"$ref": "#/$defs/expression"}}
    many["minItems"] = operator.least
    if operator.most is not None:
        many["maxItems"] = operator.most
    if operator.least > 1:
        return _described(description, many)
    lone: dict[str, Json] = {"not": {"type": "array"}, "$ref": "#/$defs/expression"}
    return {"description": description, "anyOf": [many, lone]}


def _vocabulary_parts() -> dict[str, Json]:
    mode: dict[str, Json] = {"enum": ["deny", "allow"]}
    end: dict[str, Json] = {"type": ["number", "null"]}
    signals: dict[str, Json] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/signal"}}
    actions: dict[str, Json] = {"type": "object", "additionalProperties": {"$ref": "#/$defs/action"}}
    return {
        "vocabulary": _object(
            {
                "name": _TEXT,
                "parent": _described("The vocabulary that this one adds to, or narrows.", _TEXT),
                "description": _TEXT,
                "signals": signals,
                "actions": actions,
                "failsafe": _described(
                    "Failsafe actions in their order; the last is always permitted.", _NAMES
                ),
                "capabilities": _NAMES,
                "unguarded": _described("What becomes of actions that no policy guards.", mode),
                "on_ledger_full": mode,
                "lineage": {"type": "array", "items": _TEXT},
                "open": _TRUTH,
            }
        ),
        "action": _object({"parameters": signals, "clamp": _TRUTH, "description": _TEXT}),
        "signal": _object(
            {
                "type": {"enum": list(SIGNAL_TYPES)},
                "unit": _described("Like `m`, `m/s`, `kg*m^2`; nothing is converted.", _TEXT),
                "range": {"type": "array", "items": end, "minItems": 2, "maxItems": 2},
                "max_age_s": _described("A sample older than this is unknown.", _POSITIVE),
                "live": _TRUTH,
                "values": _NAMES,
                "size": {"type": "integer", "minimum": 1},
                "fields": signals,
                "description": _TEXT,
            }
        ),
    }
