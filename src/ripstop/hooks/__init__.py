"""What happens in agents, handed to the tools that watch programs: structlog and OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripstop.core.ondemand import on_demand

if TYPE_CHECKING:
    from .events import Hook as Hook
    from .logs import log_to_structlog as log_to_structlog
    from .spans import trace_agent as trace_agent

# Each hook needs a package that the other does without.
__getattr__, __dir__ = on_demand(
    __name__, {"Hook": "events", "log_to_structlog": "logs", "trace_agent": "spans"}
)

__all__ = ["Hook", "log_to_structlog", "trace_agent"]
