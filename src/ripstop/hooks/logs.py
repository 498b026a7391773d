"""Events to structlog (extra `structlog`): their names and fields, as the program has configured it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ripstop.core.errors import missing_extra

from .events import Hook, fields_of, listen

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"))


def log_to_structlog(logger: FilteringBoundLogger | None = None) -> Hook:
    """Hand every event of agents and links to structlog until the hook is removed.

    `breaker.opened` becomes `logger.info("breaker.opened", agent="drone-7", cause=...)`.

    Args:
        logger: a bound logger; `structlog.get_logger("ripstop")` by default.

    Raises:
        ConfigurationError: C0001 without the extra `structlog`.
    """
    try:
        import structlog
    except ImportError as error:
        raise missing_extra("structlog", "structlog") from error
    target = structlog.get_logger("ripstop") if logger is None else logger

    def hear(record: logging.LogRecord) -> None:
        level = next((name for least, name in _LEVELS if record.levelno >= least), "info")
        # `event` is structlog's own word for the event's name.
        fields = {("cue" if key == "event" else key): value for key, value in fields_of(record).items()}
        if record.exc_info:
            fields["exc_info"] = record.exc_info  # type: ignore[assignment]  # structlog's own processors read it
        getattr(target, level)(record.getMessage(), **fields)

    return listen(hear)
