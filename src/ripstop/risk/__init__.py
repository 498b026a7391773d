"""The Analytics Engine, a library of its own: graphs and load states in, risk reports out."""

from __future__ import annotations

from ripstop.core.errors import missing_extra

try:
    import numba as _numba  # noqa: F401 - the extra's heaviest part stands for all of it
    import scipy as _scipy  # noqa: F401
except ModuleNotFoundError as error:
    raise missing_extra(error.name or "numba", "risk") from error

from ripstop.risk.assessment import assess
from ripstop.risk.errors import RiskInputError
from ripstop.risk.graph import Cause, Graph
from ripstop.risk.intervals import Standing, clopper_pearson, confidence_sequence, decide
from ripstop.risk.report import NodeRisk, RiskReport
from ripstop.risk.settings import Settings

__all__ = [
    "Cause",
    "Graph",
    "NodeRisk",
    "RiskInputError",
    "RiskReport",
    "Settings",
    "Standing",
    "assess",
    "clopper_pearson",
    "confidence_sequence",
    "decide",
]
