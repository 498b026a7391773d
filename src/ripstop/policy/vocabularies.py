"""Vocabulary documents: read strictly, and flattened over their one parent.

name: drone
parent: vehicle                      # optional
signals: {battery_percent: {type: number, unit: "%", range: [0, 100], max_age_s: 60, live: true}}
actions: {take_off: {parameters: {payload_kg: {type: number, unit: kg}}, clamp: true}}
failsafe: [return_home, land]        # in this order; the last is always permitted
capabilities: [rotor]
unguarded: deny                      # what happens to actions that no policy guards
on_ledger_full: deny
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from ripstop.core.vocabulary import SIGNAL_TYPES, ActionSpec, SignalSpec, Vocabulary
from ripstop.policy.diagnostics import Findings
from ripstop.policy.fields import Fields
from ripstop.policy.source import Node, shown
from ripstop.policy.unit_names import meant_unit
from ripstop.policy.units import parse_unit

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_DOCUMENT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")
_RESERVED = ("now", "capabilities")
_KEYS = (
    "name",
    "parent",
    "description",
    "signals",
    "actions",
    "failsafe",
    "capabilities",
    "unguarded",
    "on_ledger_full",
    "lineage",
    "open",
)
_SIGNAL_KEYS = ("type", "unit", "range", "max_age_s", "live", "values", "size", "fields", "description")
_MODES = ("deny", "allow")

Finder = Callable[[str, Node], Vocabulary | None]


def is_document_name(name: str) -> bool:
    """Whether a vocabulary may be called so: a plain file name, no path, of at most 200 characters."""
    return bool(_DOCUMENT_NAME.match(name)) and ".." not in name


def read_vocabulary(node: Node, findings: Findings, find_parent: Finder) -> Vocabulary:
    """Read a vocabulary document and flatten it over its parent.

    Args:
        node: the document.
        findings: takes what is wrong.
        find_parent: gives the parent by its name, or None after noting why not.
    """
    fields = Fields(node, findings, _KEYS, "a vocabulary")
    name = fields.text("name", "inline")
    parent_name = fields.text("parent")
    failsafe = fields.texts("failsafe")
    own = Vocabulary(
        name,
        parent_name,
        {key: read_signal(key, spec, findings) for key, spec in fields.objects("signals").items()},
        _read_actions(fields, failsafe),
        fields.texts("capabilities"),
        fields.choice("unguarded", _MODES, "deny"),
        fields.choice("on_ledger_full", _MODES, "deny"),
        lineage=fields.texts("lineage") or (name,),
    )
    parent = find_parent(parent_name, fields.entries["parent"]) if parent_name else None
    return own if parent is None else _flatten(own, parent, fields, failsafe)


def _read_actions(fields: Fields, failsafe: tuple[str, ...]) -> dict[str, ActionSpec]:
    actions: dict[str, ActionSpec] = {}
    for name, node in fields.objects("actions").items():
        _check_name(name, node, fields.findings)
        part = Fields(
            node, fields.findings, ("parameters", "clamp", "description"), f"action `{shown(name)}`"
        )
        parameters = {
            key: read_signal(key, spec, fields.findings) for key, spec in part.objects("parameters").items()
        }
        place = failsafe.index(name) if name in failsafe else None
        actions[name] = ActionSpec(name, parameters, place, part.truth("clamp"))
    return actions


def _check_name(name: str, node: Node, findings: Findings) -> None:
    if not _NAME.match(name):
        findings.error(
            "E0304", f"`{shown(name)}` is no name", node, "letters, digits and `_`, not a digit first"
        )
    if name in _RESERVED:
        findings.error("E0304", f"`{name}` is a reserved name", node)


def read_signal(name: str, node: Node, findings: Findings) -> SignalSpec:
    """Read the declaration of a signal, a parameter or a field."""
    _check_name(name, node, findings)
    fields = Fields(node, findings, _SIGNAL_KEYS, f"the declaration of `{shown(name)}`")
    unit = fields.text("unit")
    if parse_unit(unit) is None:
        findings.error(
            "E0304", f"`{shown(unit)}` is no unit", fields.entries["unit"], "like `m`, `m/s`, `kg*m^2`"
        )
    elif meant := meant_unit(unit):
        told = f"`{shown(unit)}` is no common unit, so it differs from every other"
        findings.lint("L0507", told, fields.entries["unit"], f"did you mean `{meant}`?")
    low, high = _read_range(fields)
    kind = fields.choice("type", SIGNAL_TYPES, "number")
    spec = SignalSpec(
        name,
        kind,
        unit,
        low,
        high,
        fields.positive("max_age_s"),
        fields.truth("live"),
        fields.texts("values"),
        int(fields.positive("size") or 0),
        {key: read_signal(key, part, findings) for key, part in fields.objects("fields").items()},
    )
    for key, kinds in (
        ("unit", ("number", "estimate")),
        ("values", ("string",)),
        ("fields", ("list",)),
        ("size", ("list",)),
    ):
        if key in fields.entries and kind not in kinds:
            findings.error("E0304", f"a {kind} has no `{key}`", fields.entries[key])
    return spec


def _read_range(fields: Fields) -> tuple[float | None, float | None]:
    node = fields.entries.get("range")
    if node is None:
        return None, None
    bounds = [item.scalar for item in node.items or ()]
    numbers = [None if isinstance(bound, bool | str) else bound for bound in bounds]
    if len(bounds) != 2 or any(isinstance(bound, bool | str) for bound in bounds):
        fields.findings.error("E0303", "`range` is an array of two numbers, null for an open end", node)
        return None, None
    low, high = numbers
    if low is not None and high is not None and low > high:
        fields.findings.error("E0308", f"`range` is empty, `{low}` is above `{high}`", node)
        return None, None
    return low, high


def _flatten(own: Vocabulary, parent: Vocabulary, fields: Fields, failsafe: tuple[str, ...]) -> Vocabulary:
    findings = fields.findings
    signals = dict(parent.signals)
    for name, spec in own.signals.items():
        inherited = parent.signals.get(name)
        node = fields.objects("signals")[name]
        signals[name] = spec if inherited is None else _narrowed(inherited, spec, node, findings)
    actions = {name: replace(spec, failsafe=None) for name, spec in parent.actions.items()} | dict(
        own.actions
    )
    order = failsafe or parent.failsafes
    for name in parent.failsafes:
        if name not in order:
            findings.error("E0311", f"failsafe `{name}` of the parent is missing", fields.entries["failsafe"])
    if failsafe and parent.failsafes and failsafe[-1] != parent.failsafes[-1]:
        findings.error(
            "E0311", f"the last failsafe stays `{parent.failsafes[-1]}`", fields.entries["failsafe"]
        )
    for name, node in fields.objects("actions").items():
        if name in parent.actions:
            _check_parameters(parent.actions[name], actions[name], node, findings)
            inherited_parameters = {**parent.actions[name].parameters, **actions[name].parameters}
            actions[name] = replace(actions[name], parameters=inherited_parameters)
    return Vocabulary(
        own.name,
        own.parent,
        signals,
        {
            name: replace(spec, failsafe=order.index(name) if name in order else None)
            for name, spec in actions.items()
        },
        (*parent.capabilities, *(word for word in own.capabilities if word not in parent.capabilities)),
        own.unguarded if "unguarded" in fields.entries else parent.unguarded,
        own.on_ledger_full if "on_ledger_full" in fields.entries else parent.on_ledger_full,
        lineage=(own.name, *parent.lineage),
    )


def _check_parameters(inherited: ActionSpec, own: ActionSpec, node: Node, findings: Findings) -> None:
    for name, spec in own.parameters.items():
        before = inherited.parameters.get(name)
        if before is not None:
            _narrowed(before, spec, node, findings)


def _narrowed(inherited: SignalSpec, own: SignalSpec, node: Node, findings: Findings) -> SignalSpec:
    """Merge a signal with its parent's: the type and the unit stay, ranges and ages only narrow."""
    entries: Mapping[str, Node] = node.entries or {}
    unit = own.unit if "unit" in entries else inherited.unit
    kind = own.type if "type" in entries else inherited.type
    if (kind, parse_unit(unit)) != (inherited.type, parse_unit(inherited.unit)):
        findings.error(
            "E0311",
            f"`{own.name}` keeps its parent's type and unit",
            node,
            f"{inherited.type} in `{inherited.unit}`",
        )
    low = own.low if own.low is not None else inherited.low
    high = own.high if own.high is not None else inherited.high
    age = own.max_age_s if own.max_age_s is not None else inherited.max_age_s
    widened = (
        (inherited.low is not None and low is not None and low < inherited.low)
        or (inherited.high is not None and high is not None and high > inherited.high)
        or (inherited.max_age_s is not None and age is not None and age > inherited.max_age_s)
        or (bool(inherited.values) and not set(own.values) <= set(inherited.values))
    )
    if widened:
        findings.error("E0311", f"`{own.name}` may only narrow its parent's range and age", node)
    return replace(
        inherited,
        low=low,
        high=high,
        max_age_s=age,
        live=own.live or inherited.live,
        values=own.values or inherited.values,
        fields=own.fields or inherited.fields,
        size=own.size or inherited.size,
    )


def check_actions(vocabulary: Vocabulary, node: Node, findings: Findings) -> None:
    """Note failsafe names that are no actions, and parameters that disagree with a signal of their name."""
    failsafe = (node.entries or {}).get("failsafe")
    for item in failsafe.items or () if failsafe is not None else ():
        if item.scalar not in vocabulary.actions:
            findings.error("E0306", f"failsafe `{shown(str(item.scalar))}` is not among the actions", item)
    for action in vocabulary.actions.values():
        for name, spec in action.parameters.items():
            signal = vocabulary.signals.get(name)
            if signal is not None and (signal.type, parse_unit(signal.unit)) != (
                spec.type,
                parse_unit(spec.unit),
            ):
                findings.error(
                    "E0304",
                    f"parameter `{name}` of `{action.name}` differs from the signal in type or unit",
                    node,
                )
