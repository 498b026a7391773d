"""Streaming detectors of one signal: the monitor, its drift and forecast modes, and who is to blame."""

from typing import TYPE_CHECKING

from ripstop.core.ondemand import on_demand

from .checks import Checks
from .drift import Cusum
from .finding import Finding
from .monitor import Monitor

if TYPE_CHECKING:
    from .cause import Cause, Coupling, Witnesses
    from .ewma import EWMA
    from .forecast import AutoRegression, ForecastMonitor

__getattr__, __dir__ = on_demand(
    __name__,
    {
        "EWMA": "ewma",
        "AutoRegression": "forecast",
        "Cause": "cause",
        "Coupling": "cause",
        "ForecastMonitor": "forecast",
        "Witnesses": "cause",
    },
)

__all__ = [
    "EWMA",
    "AutoRegression",
    "Cause",
    "Checks",
    "Coupling",
    "Cusum",
    "Finding",
    "ForecastMonitor",
    "Monitor",
    "Witnesses",
]
