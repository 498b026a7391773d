"""Events as they leave agents: records of the standard library's `logging`, with their fields beside them.

An agent tells `ripstop.agent` of everything that it tells its ground: anomalies, the breaker's transitions,
releases, refused commands. A hook is a handler on the logger `ripstop`. While none is there nothing is paid
for: the level of these events (INFO) is off, as in every program that has not asked for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType

from ripstop.core.node import Scalar

ROOT = "ripstop"
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
Fields = Mapping[str, object]


class Hook:
    """Something that listens, until it is removed; also a context manager."""

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def remove(self) -> None:
        """Stop listening; a second time does nothing."""
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()

    def __enter__(self) -> Hook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.INFO)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record on; what a hook's own tools raise is `logging`'s to report."""
        try:
            self._hear(record)
        except Exception:  # noqa: BLE001 - whoever watches must not stop whom it watches
            self.handleError(record)


def listen(hear: Callable[[logging.LogRecord], None], logger: str = ROOT) -> Hook:
    """Hear every event of a logger (level INFO and above) until the hook is removed."""
    source = logging.getLogger(logger)
    handler, level = _Listener(hear), source.level
    source.addHandler(handler)
    if not source.isEnabledFor(logging.INFO):
        source.setLevel(logging.INFO)

    def remove() -> None:
        source.removeHandler(handler)
        source.setLevel(level)

    return Hook(remove)


def fields_of(record: logging.LogRecord) -> dict[str, Scalar]:
    """Give what an event carries besides its name, flat."""
    found = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    inner = found.pop("fields", None)
    if isinstance(inner, Mapping):
        found = {**inner, **found}
    flat = {str(key): value for key, value in found.items()}
    return {key: value for key, value in flat.items() if isinstance(value, str | int | float | bool | None)}
