"""Streaming detectors of one signal: the monitor, its drift and forecast modes, and who is to blame."""

from .cause import Cause, Coupling, Witnesses
from .drift import Cusum
from .ewma import EWMA
from .finding import Finding
from .forecast import AutoRegression, ForecastMonitor
from .monitor import Checks, Monitor

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
