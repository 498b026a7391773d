"""A strict reader for objects of a document: unknown keys, missing keys and wrong types are findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ripstop.policy.diagnostics import Findings, nearest, one_of
from ripstop.policy.source import Node, shown

_EXAMPLES: Mapping[str, str] = {
    "limit": "it bounds parameters, as in `limit: {payload_kg: {max: 3}}`",
    "id": "it names the policy, as in `id: drone/payload-limit`",
    "rule": 'it says what is permitted, as in `rule: {"<": [{"var": "load"}, 0.9]}`, or `rule: load < 0.9`',
}


class Fields:
    """Reads the keys of one object; what is wrong is noted, and the default comes back."""

    def __init__(
        self, node: Node, findings: Findings, known: Sequence[str], what: str, hint: str = ""
    ) -> None:
        self.node = node
        self.findings = findings
        self.entries: Mapping[str, Node] = node.entries or {}
        if node.entries is None:
            findings.error("E0303", f"{what} is an object, got `{node.kind}`", node, hint)
        for name in self.entries:
            if name not in known and not findings.is_full:
                hint = nearest(name, known) or f"known are {one_of(known, 12)}"
                findings.error("E0301", f"unknown key `{shown(name)}` in {what}", node.keys[name], hint)

    def require(self, *names: str) -> None:
        """Note each key that is not there."""
        for name in names:
            if self.node.entries is not None and name not in self.entries:
                self.findings.error("E0302", f"key `{name}` is missing", self.node, _EXAMPLES.get(name, ""))

    def text(self, name: str, default: str = "") -> str:
        """Read a string."""
        node = self.entries.get(name)
        if node is None:
            return default
        if isinstance(node.scalar, str):
            return node.scalar
        return self._wrong(name, "a string", node, default)

    def choice(self, name: str, words: Sequence[str], default: str, otherwise: str = "") -> str:
        """Read one of several words; `otherwise` is a hint for what is near none of them."""
        node = self.entries.get(name)
        if node is None:
            return default
        if isinstance(node.scalar, str) and node.scalar in words:
            return node.scalar
        got = shown(node.scalar) if isinstance(node.scalar, str) else node.kind
        hint = nearest(got, words) or otherwise
        self.findings.error("E0304", f"`{name}` is {one_of(words)}, got `{got}`", node, hint)
        return default

    def truth(self, name: str) -> bool:
        """Read a boolean; false when it is not there."""
        node = self.entries.get(name)
        if node is None or isinstance(node.scalar, bool):
            return bool(node and node.scalar)
        self._wrong(name, "true or false", node, "")
        return False

    def number(self, name: str) -> float | None:
        """Read a number; None when it is not there."""
        node = self.entries.get(name)
        if node is None or node.kind == "null":
            return None
        if isinstance(node.scalar, int | float) and not isinstance(node.scalar, bool):
            return node.scalar
        is_quantity = isinstance(node.scalar, str) and node.scalar[:1].isdigit()
        hint = "a number stands without quotes, and without a unit" if is_quantity else ""
        self._wrong(name, "a number", node, "", hint)
        return None

    def positive(self, name: str) -> float | None:
        """Read a number above zero; None when it is not there."""
        value = self.number(name)
        if value is not None and value <= 0:
            self.findings.error("E0308", f"`{name}` is above 0, got `{value}`", self.entries[name])
            return None
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Read an array of different strings."""
        node = self.entries.get(name)
        if node is None:
            return ()
        items = node.items
        if items is None:
            hint = f"write `[{shown(node.scalar)}]`" if isinstance(node.scalar, str) else ""
            self._wrong(name, "an array of strings", node, "", hint)
            return ()
        found: list[str] = []
        for item in items:
            if not isinstance(item.scalar, str):
                self._wrong(name, "an array of strings", item, "")
            elif item.scalar in found:
                self.findings.error("E0304", f"`{shown(item.scalar)}` stands twice in `{name}`", item)
            else:
                found.append(item.scalar)
        return tuple(found)

    def objects(self, name: str) -> Mapping[str, Node]:
        """Read an object of objects."""
        node = self.entries.get(name)
        if node is None:
            return {}
        if node.entries is None:
            self._wrong(name, "an object", node, "", _EXAMPLES.get(name, ""))
        return node.entries or {}

    def _wrong(self, name: str, wanted: str, node: Node, default: str, hint: str = "") -> str:
        self.findings.error("E0303", f"`{name}` is {wanted}, got `{node.kind}`", node, hint)
        return default
