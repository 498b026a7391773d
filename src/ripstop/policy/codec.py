"""The canonical form of a lowered program: JSON whose bytes are the same for the same program.

    {"ripstop_ir": 1, "atoms": [2], "rule": 2, "whens": [],
     "nodes": [["const", [], {"value": 30}], ["read", [], {"path": ["battery"]}], ["<", [1, 0], {}]]}

A node names its arguments by earlier nodes, so a cycle cannot be written. Decoding verifies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ripstop.core.canonical import MAX_SAFE_INTEGER, Json
from ripstop.policy.ir import Builder, Expr, Step
from ripstop.policy.kinds import ANY, Kind, Type
from ripstop.policy.lower import Lowered
from ripstop.policy.operators import OPERATORS
from ripstop.policy.units import parse_unit
from ripstop.policy.verify import MOST_NODES, IrError, verify

VERSION = 1
MOST_DEPTH = 256
_LARGEST_BITS = 1024

_WHOLE: Json = {"type": "integer", "minimum": 0}
_NUMBERS: Json = {"type": "array", "items": _WHOLE}
_EXTRA: Json = {
    "type": "object",
    "properties": {
        "value": {},
        "path": {"type": "array", "items": {"type": ["string", "integer"]}},
        "type": {"enum": [kind.value for kind in Kind]},
        "unit": {"type": "string"},
        "values": {"type": "array", "items": {"type": "string"}},
        "range": {"type": "array", "prefixItems": [{"type": ["number", "null"]}] * 2, "items": False},
        "size": _WHOLE,
        "item": {"enum": [kind.value for kind in Kind]},
    },
    "additionalProperties": False,
}
SCHEMA: Mapping[str, Json] = {
    "title": "A lowered Ripstop policy",
    "type": "object",
    "properties": {
        "ripstop_ir": {"const": VERSION},
        "nodes": {
            "type": "array",
            "maxItems": MOST_NODES,
            "items": {
                "type": "array",
                "prefixItems": [{"type": "string"}, _NUMBERS, _EXTRA],
                "minItems": 3,
                "items": False,
            },
        },
        "atoms": _NUMBERS,
        "rule": _WHOLE,
        "whens": _NUMBERS,
    },
    "required": ["ripstop_ir", "nodes", "atoms", "rule", "whens"],
    "additionalProperties": False,
}


def programs_schema() -> dict[str, Json]:
    """Give the JSON Schema of what `ripstop policy compile --target ir` writes: programs by policy id."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lowered Ripstop policies, by id",
        "type": "object",
        "additionalProperties": dict(SCHEMA),
    }


def encode(lowered: Lowered) -> dict[str, Json]:
    """Give a lowered program as JSON values."""
    numbers: dict[int, int] = {}
    nodes: list[Json] = []
    for root in (*lowered.atoms, *lowered.whens, lowered.rule):
        _add(root, numbers, nodes)
    return {
        "ripstop_ir": VERSION,
        "nodes": nodes,
        "atoms": [numbers[id(atom)] for atom in lowered.atoms],
        "rule": numbers[id(lowered.rule)],
        "whens": [numbers[id(when)] for when in lowered.whens],
    }


def _add(expr: Expr, numbers: dict[int, int], nodes: list[Json]) -> None:
    if id(expr) in numbers:
        return
    for arg in expr.args:
        _add(arg, numbers, nodes)
    extra: dict[str, Json] = {"value": _binary64(expr.value)} if expr.op == "const" else {}
    if expr.path:
        extra["path"] = list(expr.path)
    numbers[id(expr)] = len(nodes)
    nodes.append([expr.op, [numbers[id(arg)] for arg in expr.args], extra | _type(expr.type)])


def _binary64(value: Json) -> Json:
    """Take an integer beyond 2^53, which arithmetic over literals came to, as binary64."""
    if not isinstance(value, int) or -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return value
    if value.bit_length() >= _LARGEST_BITS:
        raise IrError("a number is beyond binary64")
    return float(value)


def _type(kind: Type) -> dict[str, Json]:
    full: dict[str, Json] = {
        "type": None if kind.kind is Kind.ANY else kind.kind.value,
        "unit": None if kind.unit is None else str(kind.unit),
        "values": list(kind.values) or None,
        "range": None if kind.low is None and kind.high is None else [kind.low, kind.high],
        "size": kind.size or None,
        "item": None if kind.item is Kind.ANY else kind.item.value,
    }
    return {key: value for key, value in full.items() if value is not None}


def decode(record: Json) -> Lowered:
    """Read a lowered program back, and verify it.

    Raises:
        IrError: X0401, for a record of another form, and for what `verify` refuses.
    """
    if not isinstance(record, Mapping) or record.get("ripstop_ir") != VERSION:
        raise IrError(f"not a lowered program of version {VERSION}")
    builder = Builder()
    made: list[Expr] = []
    nodes = _items(record.get("nodes"))
    if len(nodes) > MOST_NODES:
        raise IrError(f"more than {MOST_NODES} nodes")
    depths: dict[int, int] = {}
    for node in nodes:
        expr = _node(node, made, builder)
        depths[id(expr)] = 1 + max((depths[id(arg)] for arg in expr.args), default=0)
        if depths[id(expr)] > MOST_DEPTH:
            raise IrError(f"nested more than {MOST_DEPTH} deep")
        made.append(expr)
    atoms, whens = _roots(record.get("atoms"), made), _roots(record.get("whens"), made)
    (rule,) = _roots([record.get("rule")], made)
    lowered = Lowered(rule, whens, atoms)
    verify(lowered)
    return lowered


def _items(value: Json) -> Sequence[Json]:
    if not isinstance(value, list | tuple):
        raise IrError("a list is missing")
    return value


def _roots(value: Json, made: Sequence[Expr]) -> tuple[Expr, ...]:
    roots = []
    for number in _items(value):
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(made):
            raise IrError("a node is named that does not stand before")
        roots.append(made[number])
    return tuple(roots)


def _node(node: Json, made: Sequence[Expr], builder: Builder) -> Expr:
    parts = _items(node)
    op, args, extra = parts if len(parts) == 3 else (None, (), None)
    if not isinstance(op, str) or not isinstance(extra, Mapping):
        raise IrError("a node is an operator, its arguments and an object")
    if op not in OPERATORS and op not in ("const", "read", "now", "element", "estimate", "list", "spread"):
        raise IrError("a node has an unknown operator")
    path: list[Step] = []
    for step in _items(extra.get("path", [])):
        if not isinstance(step, str | int):
            raise IrError("a path is made of names and numbers")
        path.append(step)
    value = _binary64(extra.get("value"))
    return builder.make(op, _roots(args, made), _type_of(extra), value=value, path=tuple(path))


def _type_of(extra: Mapping[str, Json]) -> Type:
    unit, low, high, size = extra.get("unit"), None, None, extra.get("size", 0)
    if "range" in extra:
        bounds = _items(extra["range"])
        low, high = bounds if len(bounds) == 2 else (None, None)
    values = [value for value in _items(extra.get("values", [])) if isinstance(value, str)]
    kinds = {kind.value: kind for kind in Kind}
    kind, item = kinds.get(str(extra.get("type", "any"))), kinds.get(str(extra.get("item", "any")))
    if kind is None or item is None or not isinstance(size, int):
        raise IrError("a node has an unknown type")
    found = Type(
        kind,
        parse_unit(unit) if isinstance(unit, str) else None,
        tuple(values),
        low if isinstance(low, int | float) else None,
        high if isinstance(high, int | float) else None,
        item,
        size=size,
    )
    return ANY if found == ANY else found
