"""The errors of every layer: whose side is at fault, a stable code, fields, and a hint apart."""

from __future__ import annotations

from ripstop.core.value import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a source: file, 1-based line and column, JSON pointer."""

    file: str = ""
    line: int = 0
    column: int = 0
    pointer: str = ""

    def __str__(self) -> str:
        if self.file and self.line:
            return f"{self.file}:{self.line}:{self.column}"
        return self.file


class RipstopError(Exception):
    """Base of all errors; `code` is stable, `hint` says what to do about it.

    The text is one line, lower case, without a full stop: `place: code: message (hint: ...) - at pointer`.
    """

    def __init__(self, message: str, *, code: str, hint: str = "", place: Place | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.place = place

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place and str(self.place) else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        pointer = f" - at `{self.place.pointer}`" if self.place and self.place.pointer else ""
        return f"{where}{self.code}: {self.message}{hint}{pointer}"

    def to_json(self) -> dict[str, str | int]:
        """Give the error's fields for `--json` output."""
        place = self.place or Place()
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "file": place.file,
            "line": place.line,
            "column": place.column,
            "pointer": place.pointer,
        }


class PolicyError(RipstopError):
    """The policy's author is at fault: a document that does not load (codes E0xxx)."""


class ConfigurationError(RipstopError):
    """The operator is at fault: a setting, a file, a missing extra (codes C0xxx)."""


class WireError(RipstopError):
    """The other side of a wire is at fault: malformed, forged or late bytes (codes W0xxx)."""


class InternalError(RipstopError):
    """Ripstop itself is at fault (codes X0xxx)."""


class MissingExtraError(ConfigurationError):
    """An optional package is not installed; `extra` brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"`{package}` is not installed", code="C0001", hint=f"pip install 'ripstop[{extra}]'"
        )
        self.package = package
        self.extra = extra


def missing_extra(package: str, extra: str) -> MissingExtraError:
    """Build the error for an optional package that is not installed."""
    return MissingExtraError(package, extra)
