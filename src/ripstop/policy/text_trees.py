"""Makes the trees that JSON would give for what the parser of the readable form has read."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from ripstop.core.canonical import MAX_SAFE_INTEGER
from ripstop.core.value import dataclass
from ripstop.policy.source import MAX_DEPTH, Node
from ripstop.policy.text_tokens import Cursor, TextError, Token


@dataclass(frozen=True, slots=True)
class Made:
    """A tree with its depth."""

    node: Node
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Trees:
    """Makes trees, no deeper than a source may be; places come from the cursor."""

    cursor: Cursor

    def too_deep(self, offset: int) -> TextError:
        """Note that the rule is nested too deep."""
        return self.cursor.fail(f"nested more than {MAX_DEPTH} deep", offset, code="E0106")

    def plain_name(self, token: Token, level: int, steps: Sequence[str | int]) -> str:
        """Give a name that JSON writes as one string with dots.

        Raises:
            TextError: when it climbs out of the scope, or a part of it is no plain word.
        """
        if level or not all(isinstance(step, str) and "." not in step for step in steps):
            raise self.cursor.fail("expected a name of this scope", token.start, "without climbing out")
        return ".".join(map(str, steps))

    def read(self, token: Token, level: int, steps: Sequence[str | int]) -> Made:
        """Read a signal or an element: `var` where that can say it, else `val`."""
        if not level and steps and all(isinstance(step, str) and "." not in step for step in steps):
            return self.apply("var", [self.scalar(token, ".".join(map(str, steps)))], token, is_lone=True)
        return self.apply("val", self.steps(token, level, steps), token)

    def steps(self, token: Token, level: int, steps: Sequence[str | int]) -> list[Made]:
        """Give the steps as `val` writes them, with the climb in front."""
        climb = [self.array(token, [self.scalar(token, level)])] if level else []
        return [*climb, *(self.scalar(token, step) for step in steps)]

    def scalar(self, token: Token, value: bool | float | str | None, unit: str = "") -> Made:
        """Make a scalar.

        Raises:
            TextError: when JSON does not have it.
        """
        if isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
            raise self.cursor.fail("an integer is beyond 2^53", token.start, code="E0108")
        if isinstance(value, float) and not isfinite(value):
            raise self.cursor.fail("a number is not finite", token.start, code="E0107")
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise self.cursor.fail("a string holds half of a surrogate pair", token.start, code="E0102")
        return Made(Node(self.cursor.place(token.start), scalar=value, unit=unit or token.unit))

    def array(self, token: Token, items: Sequence[Made]) -> Made:
        """Make an array."""
        node = Node(self.cursor.place(token.start), items=tuple(made.node for made in items))
        return self.measured(node, items, 1, token)

    def apply(self, name: str, args: Sequence[Made], token: Token, *, is_lone: bool = False) -> Made:
        """Apply an operator; a lone argument stands outside an array."""
        place = self.cursor.place(token.start)
        argument = args[0].node if is_lone else Node(place, items=tuple(made.node for made in args))
        node = Node(place, entries={name: argument}, keys={name: place})
        return self.measured(node, args, 1 if is_lone else 2, token)

    def measured(self, node: Node, parts: Sequence[Made], levels: int, token: Token) -> Made:
        """Add a level or two to the depth.

        Raises:
            TextError: when the tree becomes too deep.
        """
        depth = levels + max((made.depth for made in parts), default=0)
        if depth > MAX_DEPTH:
            raise self.too_deep(token.start)
        return Made(node, depth)
