"""The python engine: policies as generated Python functions, the default on agents written in Python."""

from ripstop.backends.python.compiled import Compiled
from ripstop.backends.python.lowering import LOWERINGS, NOT_LOWERED

__all__ = ["LOWERINGS", "NOT_LOWERED", "Compiled"]
