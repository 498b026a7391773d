"""From a checked program to what engines take: normal form, folded; chance constraints can be spelled out.

The atoms of a `Lowered` program stand in the order of the policy's own, so bit i of the evidence means the
same atom in every engine; each is one object, wherever it stands in the rule.
"""

from __future__ import annotations

from ripstop.core.value import dataclass
from ripstop.policy.chance import signed_square_quantile
from ripstop.policy.ir import LOGIC, Builder, Expr
from ripstop.policy.kinds import BOOLEAN, LITERAL_NUMBER, number, type_of_value
from ripstop.policy.passes import computed, folded, interned, known, normal
from ripstop.policy.program import Program


@dataclass(frozen=True, slots=True)
class Lowered:
    """A rule and limits' conditions in normal form. A limit whose condition is the literal false is dead."""

    rule: Expr
    whens: tuple[Expr, ...]
    atoms: tuple[Expr, ...]

    @property
    def dead_limits(self) -> tuple[int, ...]:
        """The limits that are never active."""
        return tuple(
            index for index, when in enumerate(self.whens) if when.op == "const" and when.value is False
        )


def lower(program: Program) -> Lowered:
    """Run every pass."""
    builder = Builder()
    replaced: dict[int, Expr] = {}
    atoms = [interned(atom, builder) for atom in program.atoms]
    taken = {id(atom) for atom in atoms}
    for index, atom in enumerate(program.atoms):
        simple = folded(atom, builder)
        if id(simple) not in taken:  # atoms that fold to one keep their own bits: only one of them is folded
            taken.add(id(simple))
            atoms[index] = simple
        replaced[id(atom)] = atoms[index]
    roots = [
        known(normal(_with_atoms(root, replaced, builder), builder), builder)
        for root in (program.rule, *program.whens)
    ]
    return Lowered(roots[0], tuple(roots[1:]), tuple(atoms))


def _with_atoms(expr: Expr, replaced: dict[int, Expr], builder: Builder) -> Expr:
    """Rebuild the logic around new atoms."""
    if expr.op not in LOGIC:
        return replaced.get(id(expr), expr)
    args = tuple(_with_atoms(arg, replaced, builder) for arg in expr.args)
    return builder.make(expr.op, args, BOOLEAN, place=expr.place)


def spelled_out(expr: Expr, builder: Builder) -> Expr:
    """Write `chance` as arithmetic on means and deviations, without a square root.

    An estimate `x` becomes the reads `x.mean` and `x.sd`. With difference d and variance v the result is
    `v == 0 ? d < 0 : s * max(s, -s) >= K * v`, where s is the side that favours the comparison.
    """
    if expr.op != "chance":
        return expr
    comparison, probability = expr.args
    share = float(str(probability.value))
    spelling = _Spelling(builder)
    left, right = map(spelling.linear, comparison.args)
    difference = spelling.plus(left, right, "-")
    mean, variance = difference.mean, spelling.variance(difference)
    zero = builder.constant(0, LITERAL_NUMBER)
    favour = spelling.apply("-", mean) if comparison.op in ("<", "<=") else mean
    square = spelling.apply("*", favour, spelling.apply("max", favour, spelling.apply("-", favour)))
    bound = spelling.apply("*", spelling.constant(signed_square_quantile(share)), variance)
    return builder.make(
        "if",
        (
            builder.make("==", (variance, zero), BOOLEAN),
            builder.make(comparison.op, (mean, zero), BOOLEAN),
            builder.make(">=", (square, bound), BOOLEAN),
        ),
        BOOLEAN,
        place=expr.place,
    )


@dataclass(slots=True)
class _Part:
    """A mean, and the share of each estimate in it, as expressions."""

    mean: Expr
    shares: dict[str, Expr]


@dataclass(slots=True)
class _Spelling:
    builder: Builder

    def constant(self, value: float) -> Expr:
        return self.builder.constant(value, type_of_value(value))

    def apply(self, op: str, *args: Expr) -> Expr:
        return computed(self.builder.make(op, args, number()), self.builder)

    def linear(self, expr: Expr) -> _Part:
        if expr.op == "estimate":
            name = str(expr.path[0])
            mean = self.builder.make("read", (), expr.type, path=(name, "mean"), place=expr.place)
            return _Part(mean, {name: self.constant(1)})
        if expr.op not in ("+", "-", "*", "/") or not any(arg.op == "estimate" for arg in expr.walk()):
            return _Part(expr, {})
        total, *rest = map(self.linear, expr.args)
        if not rest:
            return self.scaled(total, self.constant(-1), "*") if expr.op == "-" else total
        for part in rest:
            if expr.op in ("+", "-"):
                total = self.plus(total, part, expr.op)
            elif part.shares:
                total = self.scaled(part, total.mean, "*")
            else:
                total = self.scaled(total, part.mean, expr.op)
        return total

    def scaled(self, part: _Part, factor: Expr, op: str) -> _Part:
        shares = {name: self.apply(op, share, factor) for name, share in part.shares.items()}
        return _Part(self.apply(op, part.mean, factor), shares)

    def plus(self, left: _Part, right: _Part, op: str) -> _Part:
        shares = dict(left.shares)
        for name, share in right.shares.items():
            if name in shares:
                shares[name] = self.apply(op, shares[name], share)
            else:
                shares[name] = share if op == "+" else self.apply("-", share)
        return _Part(self.apply(op, left.mean, right.mean), shares)

    def variance(self, part: _Part) -> Expr:
        terms: list[Expr] = []
        for name, share in part.shares.items():
            deviation = self.builder.make("read", (), LITERAL_NUMBER, path=(name, "sd"))
            scaled = self.apply("*", share, deviation)
            terms.append(self.apply("*", scaled, scaled))
        return terms[0] if len(terms) == 1 else self.apply("+", *(terms or [self.constant(0)]))
