"""What happens in agents, handed to the tools that watch programs: structlog and OpenTelemetry."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import Hook as Hook
    from .logs import log_to_structlog as log_to_structlog
    from .spans import trace_agent as trace_agent

_HOMES = {"Hook": "events", "log_to_structlog": "logs", "trace_agent": "spans"}

__all__ = ["Hook", "log_to_structlog", "trace_agent"]


def __getattr__(name: str) -> object:
    """Load a hook when it is first asked for: each needs a package that the other does without."""
    if name not in _HOMES:
        raise AttributeError(f"module `ripstop.hooks` has no attribute `{name}`")
    return getattr(importlib.import_module(f"ripstop.hooks.{_HOMES[name]}"), name)
