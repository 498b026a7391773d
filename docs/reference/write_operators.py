"""Write docs/reference/operators.md from the operator table: `make docs`."""

from __future__ import annotations

import json
from pathlib import Path

from ripstop.backends.python import NOT_LOWERED
from ripstop.policy.operators import ALIASES, LATER, OPERATORS, Operator

PAGE = Path(__file__).with_name("operators.md")

HEAD = """# The operators

This page is written by `make docs` from `ripstop.policy.operators`, the only list of operators. The examples
run as tests. What UNKNOWN is, and when a read gives it, stands in [policies.md](policies.md).

*Edge profile* says whether the operator is to exist in every engine (numbers, truths, closed texts), or only
where Python runs. *Generated* says whether the python engine makes code of it, or leaves it to the exact
evaluator, and why.
"""


def page() -> str:
    """Give the whole page."""
    words = [f"| `{alias}` | another name of `{name}` |" for alias, name in ALIASES.items()]
    later = [f"| `{name}` | {what}, not available yet: refused with E0207 |" for name, what in LATER.items()]
    table = ["## Other words", "", "| word | meaning |", "|---|---|", *words, *later, ""]
    return "\n".join([HEAD, *map(section, OPERATORS.values()), *table])


def section(operator: Operator) -> str:
    """Describe one operator."""
    rule, data, value = operator.example
    aliases = [alias for alias, name in ALIASES.items() if name == operator.name]
    reason = NOT_LOWERED.get(operator.name)
    lines = [
        f"## `{operator.name}`",
        "",
        operator.summary,
        "",
        f"- type: `{operator.signature}`",
        f"- law: {operator.law}",
        f"- edge profile: {'yes' if operator.in_edge_profile else 'no'}",
        f"- generated: {'yes' if reason is None else f'no, {reason}'}",
        *([f"- also written: {', '.join(f'`{alias}`' for alias in aliases)}"] if aliases else []),
        "",
        "```json",
        json.dumps(rule),
        "```",
        "",
        f"on `{json.dumps(data)}` gives `{json.dumps(value)}`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
