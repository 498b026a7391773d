"""Write docs/reference/operators.md from the operator table and the engines' tables: `make docs`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ripstop.backends import c99, columns, python, wasm
from ripstop.policy import check
from ripstop.policy.layout import of_operator
from ripstop.policy.operators import ALIASES, OPERATORS, Operator
from ripstop.policy.text_printer import text_of

PAGE = Path(__file__).with_name("operators.md")

# what each engine leaves out, with the reason
ENGINES: Mapping[str, Mapping[str, str]] = {
    "python": python.NOT_LOWERED,
    "wasm": wasm.NOT_LOWERED,
    "c99": c99.NOT_LOWERED,
    "columns": columns.NOT_LOWERED,
}
# what is no operator any more when an engine gets it: reads, constants
RESOLVED = ("as the read", "as a constant", "as its argument")

HEAD = """# The operators

This page is written by `make docs` from `ripstop.policy.operators`, the only list of operators, and from the
engines' own tables. The examples run as tests, in JSON and in the readable form
([policies.md](policies.md#the-readable-form)). What UNKNOWN is, and when a read gives it, stands in
[policies.md](policies.md).

The reference semantics has every operator. In the table, *yes* is code that the engine generates or an array
operation; *exact* is an operator that the python engine leaves to the reference semantics, which is slower;
*no* means that a policy with it is refused (E0315) for this engine, *partly* that some are. Reads
and constants are resolved before an engine sees them.
"""


def page() -> str:
    """Give the whole page."""
    words = [f"| `{alias}` | another name of `{name}` |" for alias, name in ALIASES.items()]
    table = ["## Other words", "", "| word | meaning |", "|---|---|", *words, ""]
    return "\n".join([HEAD, *overview(), *map(section, OPERATORS.values()), *table])


def overview() -> list[str]:
    """Give the table of operators and engines."""
    head = ["| operator | " + " | ".join(ENGINES) + " |", "|---" * (len(ENGINES) + 1) + "|"]
    rows = []
    for name in OPERATORS:
        cells = [standing(name, engine)[0] for engine in ENGINES]
        rows.append(f"| [`{name.replace('|', chr(92) + '|')}`](#{anchor(name)}) | {' | '.join(cells)} |")
    return [*head, *rows, ""]


def standing(name: str, engine: str) -> tuple[str, str]:
    """Say whether an engine has an operator, and the reason if not."""
    reason = ENGINES[engine].get(name)
    if reason is None or any(part in reason for part in RESOLVED):
        return "yes", ""
    return ("exact" if engine == "python" else "partly" if "translated where" in reason else "no"), reason


def anchor(name: str) -> str:
    """Give a section's anchor; operators without letters have one written out."""
    return name if name.replace("_", "").isalpha() else "op-" + "-".join(str(ord(letter)) for letter in name)


def section(operator: Operator) -> str:
    """Describe one operator."""
    rule, data, value = operator.example
    aliases = [alias for alias, name in ALIASES.items() if name == operator.name]
    gaps = [(engine, *standing(operator.name, engine)) for engine in ENGINES]
    missing = [f"{engine} ({word}: {reason})" for engine, word, reason in gaps if reason]
    having = [engine for engine, _, reason in gaps if not reason]
    mark = [] if anchor(operator.name) == operator.name else [f'<a id="{anchor(operator.name)}"></a>', ""]
    where = "On the trace" if operator.is_temporal else "On"
    lines = [
        *mark,
        f"## `{operator.name}`",
        "",
        operator.summary,
        "",
        f"- type: `{operator.signature}`",
        f"- law: {operator.law}",
        f"- engines: reference{''.join(f', {engine}' for engine in having)}",
        *memory(operator),
        *([f"- not generated: {'; '.join(missing)}"] if missing else []),
        *([f"- also written: {', '.join(f'`{alias}`' for alias in aliases)}"] if aliases else []),
        "",
        "```json",
        json.dumps(rule),
        "```",
        "",
        *([f"In the readable form: `{text}`.", ""] if (text := readable(operator)) else []),
        f"{where} `{json.dumps(data)}` it gives `{json.dumps(value)}`.",
        "",
    ]
    return "\n".join(lines)


def memory(operator: Operator) -> list[str]:
    """Say what a temporal operator keeps."""
    if not operator.is_temporal:
        return []
    part = of_operator(operator.name, 1)
    size = 8 * (part.moments + part.numbers) + 2 * part.indices + part.truths
    more = ", and 8 for each further one that it may count" if operator.name == "count_within" else ""
    return [
        f"- memory: {size} bytes whatever the window{more}; a module or header (wasm, c99) keeps them itself"
    ]


def readable(operator: Operator) -> str:
    """Give the example in the readable form; nothing where it is plain JSON-Logic that no policy may hold."""
    policy = check(operator.example[0]).policy
    return "" if policy is None or operator.typing == "same" else text_of(policy.program.rule)


if __name__ == "__main__":
    PAGE.write_text(page())
