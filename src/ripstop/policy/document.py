"""Policies as values: what a document or a bare rule says, read strictly and checked.

ripstop: 1
id: drone/payload-limit
tier: safety                     # or business (the default)
vocabulary: drone                # a name, or written out; without one nothing is declared
applies_to: {"in": ["rotor", {"var": "capabilities"}]}
guards: [accept_task, take_off]  # without: every action but the failsafes
effect: require                  # or forbid
rule: {"<": [{"var": "payload_kg"}, 2]}
limits: [{when: {"<": [{"var": "battery_percent"}, 20]}, limit: {payload_kg: {max: 0}}}]
budgets: [{at_most: 5, within_s: 600}]
on_unknown: deny                 # or allow, or {last_valid: {max_age_s: 30}}
max_staleness: {age_s: 86400, mode: deny}  # without word from the ground; or keep, failsafe. Without: never
"""

from __future__ import annotations

import re

from ripstop.core.canonical import Json, digest
from ripstop.core.decision import Limit
from ripstop.core.messages import SafeMode
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import OPEN, Vocabulary
from ripstop.policy.applicability import read_applies_to
from ripstop.policy.budgets import Budget, key_of_budget, read_budgets
from ripstop.policy.checker import Checker, Names
from ripstop.policy.diagnostics import Finding, Findings, nearest, one_of
from ripstop.policy.fields import Fields
from ripstop.policy.ir import TEMPORAL, Builder, Expr, rule_of
from ripstop.policy.kinds import BOOLEAN, Kind, Type, type_of_signal
from ripstop.policy.program import Program
from ripstop.policy.source import Node, shown
from ripstop.policy.temporal import window_us
from ripstop.policy.typing_rules import RULES

VERSION = 1
KEYS = (
    "ripstop",
    "id",
    "description",
    "tier",
    "vocabulary",
    "applies_to",
    "guards",
    "effect",
    "rule",
    "limits",
    "budgets",
    "on_unknown",
    "max_staleness",
)
_LAST_VALID = "or `last_valid: {max_age_s: 5}`"
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class OnUnknown:
    """What UNKNOWN means to a policy: `deny`, `allow`, or `last_valid` for values of at most `max_age_s`."""

    mode: str = "deny"
    max_age_s: float = 0.0

    def to_json(self) -> Json:
        """Give it as a document writes it."""
        return {"last_valid": {"max_age_s": self.max_age_s}} if self.mode == "last_valid" else self.mode


@dataclass(frozen=True, slots=True)
class MaxStaleness:
    """How long a policy is trusted without word from the ground, and what then holds of what it guards."""

    age_s: float
    mode: SafeMode = SafeMode.DENY

    def to_json(self) -> Json:
        """Give it as a document writes it."""
        return {"age_s": self.age_s, "mode": self.mode.value}


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Limits that hold while `when` is true (or unknown)."""

    when: Json
    limits: tuple[Limit, ...]

    def to_json(self) -> Json:
        """Give it as a document writes it."""
        bounds: dict[str, Json] = {
            limit.parameter: {
                key: bound for key, bound in (("min", limit.low), ("max", limit.high)) if bound is not None
            }
            for limit in self.limits
        }
        return {"when": self.when, "limit": bounds}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that has been read and checked.

    `guards` is None for every action but the failsafes. `rule` and the limits' conditions are in normal form
    (`ir.rule_of`); `program` holds the same as typed expressions. `digest` covers the resolved document with
    the flattened vocabulary in it. `lints` are findings that did not keep it from loading.
    """

    id: str
    rule: Json
    program: Program
    tier: str = "business"
    vocabulary: Vocabulary = OPEN
    applies_to: Json = None
    guards: tuple[str, ...] | None = None
    effect: str = "require"
    limits: tuple[LimitRule, ...] = ()
    budgets: tuple[Budget, ...] = ()
    on_unknown: OnUnknown = OnUnknown()
    description: str = ""
    is_bare: bool = False
    lints: tuple[Finding, ...] = ()
    digest: str = ""
    max_staleness: MaxStaleness | None = None

    def guards_action(self, action: str, vocabulary: Vocabulary) -> bool:
        """Whether the policy has a say on an action; every action leaves the failsafes out."""
        if self.guards is not None:
            return action in self.guards
        spec = vocabulary.actions.get(action)
        return spec is None or not spec.is_failsafe

    def to_json(self) -> dict[str, Json]:
        """Give the resolved document: loading it gives the same policy with the same digest."""
        full: dict[str, Json] = {
            "ripstop": VERSION,
            "id": self.id,
            "description": self.description or None,
            "tier": self.tier,
            "vocabulary": None if self.vocabulary.is_open else self.vocabulary.to_json(),
            "applies_to": self.applies_to,
            "guards": None if self.guards is None else list(self.guards),
            "effect": self.effect,
            "limits": [limit.to_json() for limit in self.limits] or None,
            "budgets": [budget.to_json() for budget in self.budgets] or None,
            "on_unknown": self.on_unknown.to_json(),
            "max_staleness": None if self.max_staleness is None else self.max_staleness.to_json(),
        }
        return {key: value for key, value in full.items() if value is not None} | {"rule": self.rule}

    @property
    def budget_keys(self) -> tuple[str, ...]:
        """The key of each budget, under which a state keeps what it has consumed."""
        return tuple(
            key_of_budget(self.id, self.guards, number, budget) for number, budget in enumerate(self.budgets)
        )


@dataclass(slots=True)
class _Parts:
    """A document while it is being read."""

    fields: Fields
    vocabulary: Vocabulary
    guards: tuple[str, ...] | None
    findings: Findings
    builder: Builder


def read_document(node: Node, vocabulary: Vocabulary, findings: Findings) -> Policy | None:
    """Read a policy document whose vocabulary has been found; None when findings hold an error."""
    fields = Fields(node, findings, KEYS, "a policy")
    version = fields.entries.get("ripstop")
    if version is not None and (version.scalar != VERSION or isinstance(version.scalar, bool)):
        findings.error("E0305", f"this version reads `ripstop: {VERSION}`", version, "without quotes")
    fields.require("id")
    if not fields.entries.keys() & {"rule", "limits", "budgets"}:
        fields.require("rule")
    name = fields.text("id", "unnamed")
    if not _ID.match(name):
        findings.error(
            "E0304", f"`{shown(name)}` is no id", fields.entries["id"], "letters, digits and `_ . / -`"
        )
    guards = fields.texts("guards") if "guards" in fields.entries else None
    parts = _Parts(fields, vocabulary, guards, findings, Builder())
    tier = fields.choice("tier", ("safety", "business"), "business")
    _check_guards(parts, tier)
    rule = _rule(parts)
    if not findings.errors:
        _note_windows(rule, findings)
    limits, whens = _limits(parts)
    budgets = read_budgets(fields.entries.get("budgets"), _costs(parts), findings)
    applies_to = read_applies_to(fields.entries.get("applies_to"), vocabulary, findings)
    on_unknown = _on_unknown(fields)
    max_staleness = _max_staleness(fields, tier)
    effect, description = (
        fields.choice("effect", ("require", "forbid"), "require"),
        fields.text("description"),
    )
    if findings.errors:
        return None
    return _finished(
        Policy(
            name,
            rule_of(rule),
            Program(rule, whens),
            tier,
            vocabulary,
            applies_to,
            guards,
            effect,
            limits,
            budgets,
            on_unknown,
            description,
            lints=findings.lints,
            max_staleness=max_staleness,
        )
    )


def read_bare(node: Node, name: str, findings: Findings) -> Policy | None:
    """Read a bare JSON-Logic rule: `require`, business, deny on UNKNOWN, any signal, any action."""
    rule = Checker(Names(), findings, RULES).expression(node)
    if findings.errors:
        return None
    return _finished(Policy(name, rule_of(rule), Program(rule, ()), is_bare=True, lints=findings.lints))


def _finished(policy: Policy) -> Policy:
    object.__setattr__(policy, "digest", digest(policy.to_json()))  # derived from the other fields, set once
    return policy


def _note_windows(rule: Expr, findings: Findings) -> None:
    """Lint the longest window: until it has passed, a newly adopted policy does not know what it asks."""
    longest = max(
        (expr for expr in rule.walk() if expr.op in TEMPORAL and expr.op != "previous"),
        key=lambda expr: window_us(expr.args[2 if expr.op == "since" else 1].value),
        default=None,
    )
    if longest is not None:
        seconds = window_us(longest.args[2 if longest.op == "since" else 1].value) / 1e6
        findings.lint(
            "L0504",
            f"`{longest.op}` starts unknown, and may stay so for {seconds:g} s",
            longest,
            "`on_unknown` says what happens until then; a release that had the operator already keeps it",
        )


def _check_guards(parts: _Parts, tier: str) -> None:
    actions = parts.vocabulary.actions
    node = parts.fields.entries.get("guards")
    if node is not None and node.items == ():
        hint = "leave it out to guard every action but the failsafes"
        parts.findings.lint("L0506", "`guards` names no action: the policy decides nothing", node, hint)
    for item in (node.items or ()) if node is not None else ():
        name = item.scalar
        if not isinstance(name, str) or parts.vocabulary.is_open:
            continue
        if name not in actions:
            hint = nearest(name, actions) or f"vocabulary `{parts.vocabulary.name}` declares no such action"
            parts.findings.error("E0306", f"unknown action `{shown(name)}`", item, hint)
        elif actions[name].is_failsafe and tier != "safety":
            hint = "only a safety policy may guard one"
            parts.findings.error("E0309", f"`{name}` is a failsafe action", item, hint)


def _guarded(parts: _Parts) -> tuple[str, ...]:
    """Give the declared actions that the policy guards."""
    actions = parts.vocabulary.actions
    if parts.guards is not None:
        return tuple(name for name in parts.guards if name in actions)
    return tuple(name for name, spec in actions.items() if not spec.is_failsafe)


def _names(parts: _Parts) -> Names:
    """Give what the rule may read: the signals, and the parameters that every guarded action has."""
    if parts.vocabulary.is_open:
        return Names()
    signals, actions, guarded = parts.vocabulary.signals, parts.vocabulary.actions, _guarded(parts)
    known = {name: type_of_signal(spec) for name, spec in signals.items()}
    for action in guarded:
        for name, spec in actions[action].parameters.items():
            kind = type_of_signal(spec)
            everywhere = name in signals or all(name in actions[other].parameters for other in guarded)
            if everywhere and (name not in known or _agree(known[name], kind)):
                known[name] = _widest(known.get(name), kind)
    parameters = frozenset(name for action in guarded for name in actions[action].parameters)
    others = {
        name: [action for action in actions if name in actions[action].parameters]
        for declared in actions.values() for name in declared.parameters if name not in known
    }  # fmt: skip
    return Names(known, f"vocabulary `{parts.vocabulary.name}`", parameters, others)


def _costs(parts: _Parts) -> list[str] | None:
    """Give the numeric parameters that every guarded action has, which a budget's cost may be."""
    if parts.vocabulary.is_open:
        return None
    every = [parts.vocabulary.actions[action].parameters for action in _guarded(parts)]
    first = every[0] if every else {}
    return [name for name in first if all(name in other and other[name].type == "number" for other in every)]


def _agree(left: Type, right: Type) -> bool:
    return left.kind is right.kind and left.unit == right.unit


def _widest(left: Type | None, right: Type) -> Type:
    """Forget the range where a name stands for several declarations."""
    return right if left is None else Type(right.kind, right.unit, fields=right.fields)


def _rule(parts: _Parts) -> Expr:
    node = parts.fields.entries.get("rule")
    if node is None:
        return parts.builder.constant(True, BOOLEAN)
    return _condition(parts, node, _names(parts))


def _condition(parts: _Parts, node: Node, names: Names) -> Expr:
    expr = Checker(names, parts.findings, RULES, parts.builder).expression(node)
    if not parts.vocabulary.is_open and expr.type.kind in (
        Kind.STRING,
        Kind.TIMESTAMP,
        Kind.OBJECT,
        Kind.ESTIMATE,
    ):
        parts.findings.error("E0203", f"a condition is true or false, got `{expr.type.kind.value}`", node)
    return expr


def _limits(parts: _Parts) -> tuple[tuple[LimitRule, ...], tuple[Expr, ...]]:
    node = parts.fields.entries.get("limits")
    if node is None:
        return (), ()
    if node.items is None:
        parts.findings.error("E0303", f"`limits` is an array, got `{node.kind}`", node)
    rules: list[LimitRule] = []
    whens: list[Expr] = []
    for item in node.items or ():
        fields = Fields(item, parts.findings, ("when", "limit"), "a limit")
        fields.require("limit")
        written = fields.entries.get("when")
        when = (
            parts.builder.constant(True, BOOLEAN)
            if written is None
            else _condition(parts, written, _names(parts))
        )
        limits = tuple(_bounds(parts, name, part) for name, part in fields.objects("limit").items())
        rules.append(LimitRule(rule_of(when), limits))
        whens.append(when)
    return tuple(rules), tuple(whens)


def _bounds(parts: _Parts, name: str, node: Node) -> Limit:
    hint = f"write `{{max: {node.scalar}}}`, or `min`" if node.kind == "number" else ""
    fields = Fields(node, parts.findings, ("min", "max"), f"the limit of `{shown(name)}`", hint)
    low, high = fields.number("min"), fields.number("max")
    if node.entries is not None and all(part.kind == "null" for part in node.entries.values()):
        parts.findings.error("E0302", f"the limit of `{shown(name)}` has neither `min` nor `max`", node)
    elif low is not None and high is not None and low > high:
        parts.findings.error("E0308", f"the limit of `{shown(name)}` is empty", node)
    _check_limited(parts, name, node)
    return Limit(name, low, high)


def _check_limited(parts: _Parts, name: str, node: Node) -> None:
    if parts.vocabulary.is_open:
        return
    actions = [parts.vocabulary.actions[action] for action in _guarded(parts)]
    having = [spec for spec in actions if name in spec.parameters]
    if not having:
        known = sorted({key for spec in actions for key in spec.parameters})
        hint = nearest(name, known) or (f"known are {one_of(known)}" if known else "")
        hint = hint or ("" if actions else "`guards` names no action")
        parts.findings.error("E0307", f"no guarded action has a parameter `{shown(name)}`", node, hint)
    if any(spec.parameters[name].type != "number" for spec in having):
        parts.findings.error("E0203", f"a limit needs a number, `{shown(name)}` is none", node)
    last = parts.vocabulary.failsafes[-1:]
    if any(spec.name in last for spec in having):
        parts.findings.error(
            "E0309", f"the last failsafe `{last[0]}` is always permitted", node, "do not guard it"
        )


def _on_unknown(fields: Fields) -> OnUnknown:
    node = fields.entries.get("on_unknown")
    if node is None or node.entries is None:
        return OnUnknown(fields.choice("on_unknown", ("deny", "allow"), "deny", _LAST_VALID))
    part = Fields(node, fields.findings, ("last_valid",), "`on_unknown`")
    part.require("last_valid")
    inner = part.entries.get("last_valid")
    if inner is None:
        return OnUnknown()
    ages = Fields(inner, fields.findings, ("max_age_s",), "`last_valid`")
    ages.require("max_age_s")
    return OnUnknown("last_valid", ages.positive("max_age_s") or 0.0)


def _max_staleness(fields: Fields, tier: str) -> MaxStaleness | None:
    node = fields.entries.get("max_staleness")
    if node is None:
        return None
    part = Fields(node, fields.findings, ("age_s", "mode"), "`max_staleness`")
    part.require("age_s")
    mode = SafeMode(part.choice("mode", [mode.value for mode in SafeMode], SafeMode.DENY.value))
    if mode is SafeMode.FAILSAFE and tier != "safety":
        fields.findings.error("E0309", "only a safety policy may order the failsafe actions", node)
    return MaxStaleness(part.positive("age_s") or 0.0, mode)
