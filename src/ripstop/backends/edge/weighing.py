"""`chance` as nodes: the steps of `policy.chance`, in the same order, over means and deviations.

    {"chance": [{"<": [e, 10]}, p]}   becomes   variance == 0 ? mean < 0 : -mean * |mean| >= z|z| * variance

with `mean` = e.mean - 10, `variance` = e.sd * e.sd, and every intermediate result checked to be finite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ripstop.backends.edge.nodes import Arith, Bool, Checked, Choice, Compare, Const, Num
from ripstop.backends.edge.uses import Outside
from ripstop.policy.chance import signed_square_quantile
from ripstop.policy.ir import Expr

_ONE = Const(1.0)


def _checked(op: str, *args: Num) -> Num:
    if op == "*" and args[0] == _ONE:
        return args[1]
    return Checked(Arith(op, args))


@dataclass(frozen=True, slots=True)
class Linear:
    """A mean, and how much of each estimate is in it."""

    mean: Num
    shares: Mapping[str, Num] = field(default_factory=dict)

    def plus(self, other: Linear, op: str) -> Linear:
        """Add, or subtract."""
        shares = dict(self.shares)
        for name, share in other.shares.items():
            signed = share if op == "+" else Arith("neg", (share,))
            shares[name] = Arith(op, (shares[name], share)) if name in shares else signed
        return Linear(_checked(op, self.mean, other.mean), shares)

    def scaled(self, factor: Num) -> Linear:
        """Multiply by a number."""
        shares = {name: Checked(Arith("*", (share, factor))) for name, share in self.shares.items()}
        return Linear(Checked(Arith("*", (self.mean, factor))), shares)

    def divided(self, divisor: Num) -> Linear:
        """Divide by a number; by zero gives what is not finite."""
        shares = {name: Checked(Arith("/", (share, divisor))) for name, share in self.shares.items()}
        return Linear(Checked(Arith("/", (self.mean, divisor))), shares)


@dataclass(frozen=True, slots=True)
class Weighing:
    """Translates one chance constraint.

    `number` gives a plain number, `estimate` the mean and the deviation of an estimate, with its name.
    """

    number: Callable[[Expr], Num]
    estimate: Callable[[Expr], tuple[str, Num, Num]]
    deviations: dict[str, Num] = field(default_factory=dict)

    def holds(self, expr: Expr) -> Bool:
        """Translate it.

        Raises:
            Outside: for what is not linear, or an estimate that is not declared.
        """
        comparison, probability = expr.args
        if not isinstance(probability.value, int | float):
            raise Outside("a probability is not written out", expr)
        square = Const(signed_square_quantile(probability.value))
        left, right = comparison.args
        difference = self._linear(left).plus(self._linear(right), "-")
        variance: Num = Const(0.0)
        for name, share in difference.shares.items():
            deviation = _checked("*", share, self.deviations[name])
            part = Checked(Arith("*", (deviation, deviation)))
            variance = part if variance == Const(0.0) else Checked(Arith("+", (variance, part)))
        mean = difference.mean
        favour = Arith("neg", (mean,)) if comparison.op in ("<", "<=") else mean
        weighed = Checked(Arith("*", (favour, Arith("abs", (favour,)))))
        return Choice(
            Compare("==", variance, Const(0.0)),
            Compare(comparison.op, mean, Const(0.0)),
            Compare(">=", weighed, Checked(Arith("*", (square, variance)))),
        )

    def _linear(self, expr: Expr) -> Linear:
        if expr.op == "estimate":
            name, mean, deviation = self.estimate(expr)
            self.deviations[name] = deviation
            return Linear(mean, {name: _ONE})
        has_estimate = any(part.op == "estimate" for part in expr.walk())
        if not has_estimate:
            return Linear(self.number(expr))
        parts = [self._linear(arg) for arg in expr.args]
        return self._combined(expr, parts)

    def _combined(self, expr: Expr, parts: Sequence[Linear]) -> Linear:
        total, *rest = parts
        if expr.op == "-" and not rest:
            return total.scaled(Const(-1.0))
        for part in rest:
            if expr.op in ("+", "-"):
                total = total.plus(part, expr.op)
            elif part.shares and (expr.op == "/" or total.shares):
                raise Outside(f"`{expr.op}` of estimates is not linear", expr)
            elif expr.op == "/":
                total = total.divided(part.mean)
            else:
                total = part.scaled(total.mean) if part.shares else total.scaled(part.mean)
        return total
