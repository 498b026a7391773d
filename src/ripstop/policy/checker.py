"""From a source tree to typed expressions: names resolved, operators and arities checked, types inferred.

The checker notes every finding and goes on: what is wrong becomes a constant of type ANY, which no rule
complains about a second time. Each operator's typing rule stands in `typing_rules.RULES`,
which is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from ripstop.core.errors import Place
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import SignalSpec
from ripstop.policy.diagnostics import Findings, nearest, one_of
from ripstop.policy.eager import EAGER
from ripstop.policy.ir import Builder, Expr, Step
from ripstop.policy.kinds import ANY, STRING, TIMESTAMP, Kind, Type, number, type_of_signal, type_of_value
from ripstop.policy.operators import ALIASES, OPERATORS, Operator
from ripstop.policy.source import Node, shown
from ripstop.policy.text_units import check_written_units
from ripstop.policy.units import DIMENSIONLESS


@dataclass(frozen=True, slots=True)
class Frame:
    """What `var` sees inside an iterator: the element's type and, where declared, its fields."""

    item: Type
    fields: Mapping[str, Type] | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """The signals and parameters that a rule may read; None knows any (an open vocabulary).

    `others` are parameters that it may not read, each with the actions that have it.
    """

    known: Mapping[str, Type] | None = None
    where: str = ""
    parameters: frozenset[str] = frozenset()
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, specs: Mapping[str, SignalSpec], where: str) -> Names:
        """Take the names from declarations."""
        return cls({name: type_of_signal(spec) for name, spec in specs.items()}, where)


@dataclass(slots=True)
class Application:
    """An operator with its arguments as written."""

    operator: Operator
    node: Node
    nodes: tuple[Node, ...]
    is_lone: bool
    place: Place


@dataclass(slots=True)
class Checker:
    """Elaborates expressions of one policy; all of them share one builder."""

    names: Names
    findings: Findings
    rules: Mapping[str, Callable[[Checker, Application], Expr]]
    builder: Builder = field(default_factory=Builder)
    frames: list[Frame] = field(default_factory=list)
    is_inside_window: bool = False
    is_inside_chance: bool = False

    def expression(self, node: Node) -> Expr:
        """Elaborate one expression."""
        if self.findings.is_full:
            return self.nothing(node)
        if node.items is not None:
            return self._array(node, node.items)
        if node.entries is None:
            return self.builder.constant(node.scalar, type_of_value(node.scalar), node.place)
        if not node.entries:
            return self.builder.constant({}, type_of_value({}), node.place)
        if len(node.entries) > 1:
            names = ", ".join(f"`{shown(name)}`" for name in list(node.entries)[:3])
            self.findings.error(
                "E0206",
                f"an expression is an object of one key, got {names}",
                node,
                'several conditions stand in one `{"and": [...]}`'
                if all(name in OPERATORS for name in node.entries)
                else "to give an object as data write `preserve`",
            )
            return self.nothing(node)
        return self._application(node, *next(iter(node.entries.items())))

    def nothing(self, node: Node) -> Expr:
        """Stand in for what is wrong."""
        return self.builder.constant(None, ANY, node.place)

    def _array(self, node: Node, items: Sequence[Node]) -> Expr:
        made = tuple(self.expression(item) for item in items)
        if all(expr.op == "const" for expr in made):
            values = [expr.value for expr in made]
            return self.builder.constant(values, type_of_value(values), node.place)
        kinds = {expr.type.kind for expr in made}
        return self.builder.make(
            "list", made, Type(Kind.LIST, item=kinds.pop() if len(kinds) == 1 else Kind.ANY), place=node.place
        )

    def _application(self, node: Node, written: str, argument: Node) -> Expr:
        name = ALIASES.get(written, written)
        operator = OPERATORS.get(name)
        key = node.keys.get(written, node.place)
        if operator is None:
            hint = nearest(written, (*OPERATORS, *ALIASES))
            self.findings.error("E0201", f"unknown operator `{shown(written)}`", key, hint)
            return self.nothing(node)
        nodes = argument.items if argument.items is not None else (argument,)
        if not operator.least <= len(nodes) <= (operator.most if operator.most is not None else len(nodes)):
            self.findings.error(
                "E0202", f"`{name}` needs {arity(operator)}, got {len(nodes)}", key, operator.signature
            )
            return self.nothing(node)
        made = self.rules[operator.typing](
            self, Application(operator, node, nodes, argument.items is None, key)
        )
        check_written_units(operator.typing, nodes, made.args, self.findings)
        return made

    def arguments(self, application: Application) -> tuple[Expr, ...]:
        """Elaborate the arguments; a lone one that may be a list is spread over all of them."""
        made = tuple(self.expression(node) for node in application.nodes)
        if application.is_lone and application.operator.name in EAGER and made[0].op != "const":
            only = made[0]
            if only.type.kind in (Kind.LIST, Kind.ANY):
                return (self.builder.make("spread", made, ANY, place=only.place),)
        return made

    def body(self, node: Node, frame: Frame) -> Expr:
        """Elaborate an expression inside a new scope."""
        self.frames.append(frame)
        try:
            return self.expression(node)
        finally:
            self.frames.pop()

    def literal_steps(self, node: Node) -> tuple[Step, ...] | None:
        """Give the steps of a name written out, dots split; None (and a finding) when it is computed."""
        if node.kind == "string" and isinstance(node.scalar, str):
            return tuple(node.scalar.split(".")) if node.scalar else ()
        if node.kind == "number" and isinstance(node.scalar, int):
            return (node.scalar,)
        if node.kind == "null":
            return ()
        self.findings.error(
            "E0208", "a name must be written out", node, "a policy's reads are known before it runs"
        )
        return None

    def read(self, node: Node, level: int, steps: tuple[Step, ...]) -> Expr:
        """Resolve a read: `level` climbs as `val` does, 0 is the innermost scope."""
        behind = next((step for step in steps if isinstance(step, int) and step < 0), None)
        if behind is not None:
            self.findings.error("E0205", f"nothing lies at {behind}", node, "positions count from 0")
            return self.nothing(node)
        depth, to_iterator = divmod(level, 2)
        if depth > len(self.frames) or (to_iterator and depth >= len(self.frames)):
            self.findings.error("E0205", f"nothing lies {level} levels up", node)
            return self.nothing(node)
        if depth == len(self.frames):
            return self._signal(node, steps)
        if to_iterator:
            kind = number(DIMENSIONLESS) if steps == ("index",) else ANY
            return self.builder.make("element", (), kind, path=(level, *steps), place=node.place)
        frame = self.frames[len(self.frames) - 1 - depth]
        return self.builder.make(
            "element", (), self._field(node, frame, steps), path=(level, *steps), place=node.place
        )

    def _field(self, node: Node, frame: Frame, steps: tuple[Step, ...]) -> Type:
        if not steps:
            return frame.item
        if frame.fields is None:
            return ANY
        found = frame.fields.get(str(steps[0]))
        if found is None:
            hint = nearest(str(steps[0]), frame.fields) or "inside an iterator `var` reads the element"
            self.findings.error("E0205", f"unknown field `{shown(str(steps[0]))}`", node, hint)
        return found if found is not None and len(steps) == 1 else ANY

    def _signal(self, node: Node, steps: tuple[Step, ...]) -> Expr:
        name = str(steps[0]) if steps else ""
        if not name:
            self.findings.error("E0208", "a policy reads signals by their names", node, "name the signal")
            return self.nothing(node)
        steps = (name, *steps[1:])  # `{"var": 1}` reads what is called "1"
        if self.is_inside_window and (steps == ("now",) or name in self.names.parameters):
            what = "`now`" if steps == ("now",) else f"the parameter `{name}`"
            hint = "compare it outside the temporal operator"
            self.findings.error("E0210", f"{what} has no history", node, hint)
            return self.nothing(node)
        if steps == ("now",):
            return self.builder.make("now", (), TIMESTAMP, place=node.place)
        known = self.names.known
        if known is None:
            op = "estimate" if self.is_inside_chance else "read"
            return self.builder.make(op, (), ANY, path=steps, place=node.place)
        if name not in known:
            if name in self.names.others:
                having = one_of(self.names.others[name])
                hint = f"a parameter of {having}: a rule reads what every guarded action has"
            else:
                hint = nearest(name, known) or f"{self.names.where} declares no such name"
            self.findings.error("E0205", f"unknown signal or parameter `{shown(name)}`", node, hint)
            return self.nothing(node)
        kind = known[name] if len(steps) == 1 else self._inside(node, known[name], steps[1:])
        if self.is_inside_chance and kind.kind is Kind.ESTIMATE:
            mean = Type(Kind.NUMBER, kind.unit, low=kind.low, high=kind.high)
            return self.builder.make("estimate", (), mean, path=steps, place=node.place)
        return self.builder.make("read", (), kind, path=steps, place=node.place)

    def _inside(self, node: Node, outer: Type, steps: tuple[Step, ...]) -> Type:
        """Type a path into a declared list: an index, then perhaps a field."""
        is_index = isinstance(steps[0], int) or str(steps[0]).isdigit()
        if outer.kind is not Kind.LIST or not is_index or len(steps) > 2:
            self.findings.error("E0205", f"a {outer.kind.value} has no part `{shown(str(steps[0]))}`", node)
            return ANY
        if len(steps) == 1:
            return Type(Kind.OBJECT)
        return self._field(node, frame_of(outer), steps[1:])


def frame_of(elements: Type) -> Frame:
    """Give the scope that an iterator over such a list opens."""
    if elements.fields:
        return Frame(
            Type(Kind.OBJECT), {name: type_of_signal(spec) for name, spec in elements.fields.items()}
        )
    if elements.item is Kind.STRING:
        return Frame(STRING)
    return Frame(Type(elements.item) if elements.kind is Kind.LIST else ANY)


def arity(operator: Operator) -> str:
    """Say how many arguments an operator needs."""
    words = ("no", "one", "two", "three")
    least, most = operator.least, operator.most
    if least == most:
        return f"{words[least]} argument{'s' if least != 1 else ''}"
    if most is None:
        return f"at least {words[least]} argument{'s' if least != 1 else ''}"
    return f"{words[least]} to {words[most]} arguments"
