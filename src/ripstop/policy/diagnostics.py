"""What is wrong with a policy: findings with a place, a stable code and a hint, all of them at once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from enum import Enum
from typing import Protocol

from ripstop.core.canonical import Json
from ripstop.core.errors import Place, PolicyError
from ripstop.core.value import dataclass

CODES: Mapping[str, str] = {
    "E0101": "the file cannot be read",
    "E0102": "the text is not valid Unicode",
    "E0103": "the source is too large",
    "E0104": "the JSON or YAML is malformed",
    "E0105": "a key stands twice in one object",
    "E0106": "the source is nested too deep",
    "E0107": "a number is not finite",
    "E0108": "an integer is beyond 2^53",
    "E0109": "a YAML feature is not taken",
    "E0110": "a value is not JSON",
    "E0201": "unknown operator",
    "E0202": "wrong number of arguments",
    "E0203": "wrong type of operand",
    "E0204": "units do not match",
    "E0205": "unknown signal or parameter",
    "E0206": "not an expression",
    "E0208": "a name or a number must be written out here",
    "E0209": "a value that the signal can never have",
    "E0210": "a temporal operator looks at what has no history",
    "E0211": "a window, a count or a probability outside its range",
    "E0212": "not a linear comparison of estimates",
    "E0301": "unknown key",
    "E0302": "a key is missing",
    "E0303": "wrong type of value",
    "E0304": "a value that is not among the permitted ones",
    "E0305": "not a policy document of a known version",
    "E0306": "unknown action",
    "E0307": "unknown parameter",
    "E0308": "an empty range",
    "E0309": "a failsafe action would be restricted",
    "E0310": "the vocabulary cannot be found",
    "E0311": "a vocabulary does not fit its parent",
    "E0312": "two policies of a bundle have the same id",
    "E0313": "policies of a bundle do not fit one vocabulary",
    "E0315": "an engine cannot run the policy",
    "E0401": "a rule raised an error of JSON-Logic",
    "L0501": "a bare rule reads like a prohibition",
    "L0502": "a condition is always the same",
    "L0503": "a branch is never reached",
    "L0504": "a window starts unknown",
    "L0505": "a limit without use",
    "L0506": "a rule is always the same",
    "L0507": "a unit that is probably misspelt",
    "L0508": "a limit that leaves nothing",
    "L0509": "a chance without an estimate",
    "L0510": "names that nothing checks",
}


MOST_FINDINGS = 100  # a hostile source could hold as many as it has bytes


_UNREADABLE = ("E0102", "E0107", "E0108")
_LINES = re.compile("\r?\n")
_YAML_LINES = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # YAML 1.1, as ruamel reads it


class Severity(Enum):
    """How much a finding matters: an error keeps the policy from loading, a lint does not."""

    ERROR = "error"
    LINT = "lint"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or looks wrong."""

    code: str
    message: str
    place: Place
    hint: str = ""
    severity: Severity = Severity.ERROR

    def as_error(self) -> PolicyError:
        """Give the finding as an exception."""
        return PolicyError(self.message, code=self.code, hint=self.hint, place=self.place)

    def __str__(self) -> str:
        return str(self.as_error())

    def to_json(self) -> dict[str, Json]:
        """Give the finding's fields for `--json` output."""
        return {**self.as_error().to_json(), "severity": self.severity.value}

    def rendered(self, source: str = "") -> str:
        """Give the finding for people: the message, the source line with a caret, the hint."""
        place = self.place
        pointer = f" (at `{place.pointer}`)" if place.pointer else ""
        lines = [
            f"{place}: {self.code}: {self.message}{pointer}"
            if str(place)
            else f"{self.code}: {self.message}{pointer}"
        ]
        rows = (_YAML_LINES if place.file.endswith((".yaml", ".yml")) else _LINES).split(source)
        if source and 0 < place.line <= len(rows):
            start = max(0, place.column - 60)
            row = "".join(map(_shown, rows[place.line - 1][start : start + 100]))
            number, before = str(place.line), row[: place.column - 1 - start]
            lines.append(f"  {number} | {row}")
            lines.append(f"  {' ' * len(number)} | {' ' * sum(map(_width, before))}^")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class PolicyRejectedError(PolicyError):
    """A policy or a vocabulary that does not load; `findings` holds everything that is wrong with it."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        first = findings[0]
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        super().__init__(first.message + more, code=first.code, hint=first.hint, place=first.place)
        self.findings = tuple(findings)


class Located(Protocol):
    """Anything that knows where it stands in a source."""

    @property
    def place(self) -> Place:
        """Where it stands."""
        ...


@dataclass(slots=True)
class Findings:
    """Collects findings while a source is read and checked, up to `MOST_FINDINGS`."""

    found: list[Finding] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether there is no point in looking further."""
        return len(self.found) >= MOST_FINDINGS

    def error(self, code: str, message: str, at: Place | Located, hint: str = "") -> None:
        """Note something that keeps the policy from loading."""
        self._note(code, message, at, hint, Severity.ERROR)

    def lint(self, code: str, message: str, at: Place | Located, hint: str = "") -> None:
        """Note something that is allowed but looks wrong."""
        self._note(code, message, at, hint, Severity.LINT)

    def _note(self, code: str, message: str, at: Place | Located, hint: str, severity: Severity) -> None:
        place = at if isinstance(at, Place) else at.place
        if code not in _UNREADABLE and any(
            each.place == place and each.code in _UNREADABLE for each in self.found
        ):
            return  # what stands there was not understood: all else would be about a stopgap
        finding = Finding(code, message, place, hint, severity)
        if not self.is_full and finding not in self.found:
            self.found.append(finding)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the policy from loading, in the order of the source."""
        return tuple(
            sorted(
                (finding for finding in self.found if finding.severity is Severity.ERROR),
                key=lambda finding: (finding.place.file, finding.place.line, finding.place.column),
            )
        )

    @property
    def lints(self) -> tuple[Finding, ...]:
        """The findings that do not; what an expression comes to is not told where an error stands in it."""
        broken = [finding.place for finding in self.errors]
        return tuple(
            finding
            for finding in self.found
            if finding.severity is Severity.LINT
            and not (
                finding.code == "L0502"
                and any(
                    place == finding.place or place.pointer.startswith(f"{finding.place.pointer}/")
                    for place in broken
                )
            )
        )

    def raise_errors(self) -> None:
        """Raise `PolicyRejectedError` when there is an error.

        Raises:
            PolicyRejectedError: with every error found.
        """
        if self.errors:
            raise PolicyRejectedError(self.errors)


def _shown(letter: str) -> str:
    """Give a letter as a terminal may have it: no control characters."""
    return letter if letter.isprintable() else " "


def _width(letter: str) -> int:
    """Give how many columns a letter takes."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def one_of(words: Iterable[str], limit: int = 6) -> str:
    """List words for a message: `a`, `b` or `c`."""
    shown = [f"`{word}`" for word in words]
    if len(shown) > limit:
        shown = [*shown[:limit], f"{len(shown) - limit} more"]
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "nothing"


# what other languages, or hurried fingers, write for an operator or another word
_OPERATORS = {"=<": "<=", "=>": ">=", "=": "==", "<>": "!=", "&&": "and", "&": "and", "||": "or", "|": "or"}
_OTHERWISE = _OPERATORS | {"deny": "forbid", "block": "forbid", "allow": "require", "permit": "require"}


_QUANTITY = re.compile(r"[-+]?[0-9][0-9.]*\s*[^0-9\s]{1,6}\Z")  # `30 %`, `1kg`, `5 m/s`


def nearest(word: str, known: Iterable[str]) -> str:
    """Give a hint that names the known word nearest to a misspelt one, or an empty text."""
    known = tuple(known)
    if _OTHERWISE.get(word) in known:
        return f"did you mean `{_OTHERWISE[word]}`?"
    best = min(((distance(word.lower(), other.lower()), other) for other in known), default=None)
    if best is None or best[0] > max(1, len(word) // 3):
        return ""
    return f"did you mean `{best[1]}`?"


def meant_otherwise(text: str) -> str:
    """Give a hint for a text that was probably meant otherwise."""
    word = text.lower()
    if word in ("true", "yes", "on", "false", "no", "off"):
        truth = "true" if word in ("true", "yes", "on") else "false"
        return f"this is a text, the truth is written `{truth}`"
    try:
        float(text)
    except ValueError:
        is_quantity = _QUANTITY.match(text)
        return "this is a text, a number stands without quotes and without a unit" if is_quantity else ""
    return "this is a text, a number stands without quotes"


def distance(left: str, right: str) -> int:
    """Give the number of letters to add, drop, change or swap (optimal string alignment distance)."""
    left, right = left[:40], right[:40]
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        current = [i]
        for j, b in enumerate(right, 1):
            cost = min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]
