"""The only list of operators: names, arities, typing rules, and what each one's page says.

Everything else is a table keyed by these names: `eager.EAGER`, `eager.UNARY` and `evaluate.LAZY` give the
meaning, `checker.RULES` the types, each backend its lowerings. A test holds the tables to each other.
"""

from __future__ import annotations

from collections.abc import Mapping

from ripstop.policy.operators_logic import LOGIC_ROWS
from ripstop.policy.operators_row import Operator
from ripstop.policy.operators_time import TIME_ROWS
from ripstop.policy.operators_values import VALUE_ROWS

__all__ = ["ALIASES", "OPERATORS", "Operator"]

OPERATORS: Mapping[str, Operator] = {row.name: row for row in (*LOGIC_ROWS, *VALUE_ROWS, *TIME_ROWS)}
ALIASES: Mapping[str, str] = {"not": "!", "?:": "if"}
