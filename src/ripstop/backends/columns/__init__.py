"""The columns engine: policies over many recorded contexts at once, with NumPy."""

from ripstop.backends.columns.host import COLUMNS, ColumnDecisions, ColumnsCompiled, PolicyColumns
from ripstop.backends.columns.margins import ColumnMargins

__all__ = [
    "COLUMNS",
    "LOWERINGS",
    "NOT_LOWERED",
    "ColumnDecisions",
    "ColumnMargins",
    "ColumnsCompiled",
    "PolicyColumns",
]

LOWERINGS = COLUMNS.lowerings
NOT_LOWERED = COLUMNS.not_lowered
