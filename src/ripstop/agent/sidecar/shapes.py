"""What the sidecar's requests look like: one table that checks them and that OpenAPI is written from."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass

from .message import RequestError

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a request's object; `kind` is a JSON type's name, `choices` are all that it may be."""

    name: str
    kind: str
    text: str
    is_needed: bool = False
    choices: tuple[str, ...] = ()

    def to_schema(self) -> dict[str, Json]:
        """Give its JSON Schema."""
        schema: dict[str, Json] = {"type": self.kind, "description": self.text}
        if self.choices:
            schema["enum"] = list(self.choices)
        elif self.kind == "string":
            schema |= {"minLength": 1, "maxLength": MAX_NAME}
        elif self.kind == "number":
            schema["minimum"] = 0
        return schema

    def fits(self, value: Json) -> bool:
        """Whether a value is one of this field."""
        match self.kind:
            case "string":
                fits = isinstance(value, str) and 1 <= len(value) <= MAX_NAME
                return fits and (not self.choices or value in self.choices)
            case "number":
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                return is_number and isinstance(value, int | float) and 0 <= value < math.inf
            case "boolean":
                return isinstance(value, bool)
        return isinstance(value, Mapping)


@dataclass(frozen=True, slots=True)
class Shape:
    """The object that a request must be."""

    fields: tuple[Field, ...]

    def to_schema(self) -> dict[str, Json]:
        """Give its JSON Schema."""
        return {
            "type": "object",
            "properties": {field.name: field.to_schema() for field in self.fields},
            "required": [field.name for field in self.fields if field.is_needed],
            "additionalProperties": False,
        }

    def check(self, value: Json) -> dict[str, Json]:
        """Give the object where it has this shape.

        Raises:
            RequestError: W0703.
        """
        if not isinstance(value, dict):
            raise RequestError("the request is no object as OpenAPI describes it", status=400, code="W0703")
        known = {field.name: field for field in self.fields}
        for name, item in value.items():
            if name not in known:
                raise misfit(f"unknown key `{name[:MAX_NAME]}`", f"known are {', '.join(known)}")
            if not known[name].fits(item):
                raise misfit(f"`{name}` is not {_wanted(known[name])}")
        for field in self.fields:
            if field.is_needed and field.name not in value:
                raise misfit(f"`{field.name}` is missing")
        return value


def misfit(message: str, hint: str = "") -> RequestError:
    """Build the error for a request that has not its shape."""
    return RequestError(message, status=400, code="W0703", hint=hint)


def _wanted(field: Field) -> str:
    if field.choices:
        return "one of " + ", ".join(f"`{choice}`" for choice in field.choices)
    kinds = {
        "string": f"a string of 1 to {MAX_NAME} characters",
        "number": "a number from 0 on",
        "boolean": "true or false",
    }
    return kinds.get(field.kind, "an object")


_AGENT = Field("agent", "string", "Which agent is meant; may be left out where the sidecar has only one.")
OUTCOMES = ("success", "failure", "slow", "cancelled")
DECIDE = Shape(
    (
        Field("action", "string", "The action that is about to be taken.", is_needed=True),
        Field("context", "object", "Its parameters, and values that override what was observed."),
        _AGENT,
        Field("dry_run", "boolean", "Only ask: nothing is recorded or consumed, and no outcome is expected."),
    )
)
OBSERVE = Shape(
    (
        Field("readings", "object", "Readings sensed now, by signal; null is a missing one.", is_needed=True),
        _AGENT,
    )
)
OUTCOME = Shape(
    (
        Field("outcome", "string", "How the action went.", is_needed=True, choices=OUTCOMES),
        Field("call", "string", "The `call` of the decision that allowed it."),
        Field(
            "action", "string", "The action, where there is no `call`: the outcome is counted as it comes."
        ),
        Field("duration_s", "number", "How long it took, in seconds; by default since the decision."),
        _AGENT,
    )
)
