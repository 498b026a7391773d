"""The columns engine: policies over many recorded contexts at once, with NumPy."""

from ripstop.backends.columns.host import COLUMNS, ColumnDecisions, ColumnsCompiled, PolicyColumns

__all__ = ["COLUMNS", "LOWERINGS", "NOT_LOWERED", "ColumnDecisions", "ColumnsCompiled", "PolicyColumns"]

LOWERINGS = COLUMNS.lowerings
NOT_LOWERED = COLUMNS.not_lowered
