"""Verdicts as a lattice, and the record of a decision, complete enough to be evaluated again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, overload

from ripstop.core.canonical import Json
from ripstop.core.sample import Sample
from ripstop.core.value import dataclass


class Verdict(IntEnum):
    """DENY < LIMIT < ALLOW; UNKNOWN is what a raw rule gives when it cannot be evaluated.

    Only ALLOW is truthy. A decision is never UNKNOWN: each policy says what its UNKNOWN means.
    """

    UNKNOWN = -1
    DENY = 0
    LIMIT = 1
    ALLOW = 2

    def __bool__(self) -> bool:
        return self is Verdict.ALLOW

    def __str__(self) -> str:
        return self.word

    def meet(self, other: Verdict) -> Verdict:
        """Give the tighter of the two."""
        return self if self <= other else other

    @property
    def word(self) -> str:
        """The verdict in lower case, as records write it."""
        return self.name.lower()


class Limit(NamedTuple):
    """What is still allowed of one parameter: between `low` and `high`, inclusive; None is open."""

    parameter: str
    low: float | None
    high: float | None

    def meet(self, other: Limit) -> Limit:
        """Intersect with another limit on the same parameter; the result may be empty."""
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Limit(self.parameter, max(lows, default=None), min(highs, default=None))

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is inside."""
        return self.low is not None and self.high is not None and self.low > self.high

    def holds(self, value: float) -> bool:
        """Whether the value is inside; NaN is not."""
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (value == value)
        )

    def to_json(self) -> dict[str, Json]:
        """Give the record form."""
        return {"parameter": self.parameter, "min": self.low, "max": self.high}


class Reason(NamedTuple):
    """Why a decision is not a plain ALLOW: the policy's id, a stable code, one line of text.

    Codes: `denied`, `unknown`, `limited`, `outside_limit`, `empty_limit`, `assumed` (a last valid value was
    used), `budget` (it is used up), `unguarded`, `undeclared` (no such action), `failsafe` (a denial that a
    failsafe action overrode), and those that the agent adds.
    """

    policy: str
    code: str
    text: str

    def to_json(self) -> dict[str, Json]:
        """Give the record form."""
        return {"policy": self.policy, "code": self.code, "text": self.text}


class Evidence(NamedTuple):
    """What one policy read: bit i of `read` is set when its atom i was reached, of `true` when it held."""

    policy: str
    read: int
    true: int

    def to_json(self) -> dict[str, Json]:
        """Give the record form; the bits are hexadecimal strings, for there may be more than 53 of them."""
        return {"policy": self.policy, "read": hex(self.read), "true": hex(self.true)}


class EvidenceTable(Sequence[Evidence]):
    """The evidence of many policies, held flat and spread out only when somebody looks.

    `codes` holds one number for each of `digests`: bit 2i says that atom i was read, bit 2i + 1 that it held.
    """

    __slots__ = ("codes", "digests")

    def __init__(self, digests: tuple[str, ...], codes: tuple[int, ...]) -> None:
        self.digests = digests
        self.codes = codes

    def __len__(self) -> int:
        return len(self.digests)

    @overload
    def __getitem__(self, index: int) -> Evidence: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Evidence, ...]: ...
    def __getitem__(self, index: int | slice) -> Evidence | tuple[Evidence, ...]:
        return tuple(self)[index]

    def __iter__(self) -> Iterator[Evidence]:
        for digest, code in zip(self.digests, self.codes, strict=True):
            yield Evidence(digest, _every_other_bit(code), _every_other_bit(code >> 1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


def _every_other_bit(code: int) -> int:
    return int(bin(code)[:1:-1][::2][::-1] or "0", 2)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one action, and everything needed to decide it again.

    `release` and `intent` are digests ("" where there is none). `inputs` are the action's parameters and
    overriding values (sampled at `t_us`) and the latest sample of each further signal that the guarding
    policies may read; a signal without any sample is absent. `last_valid` holds the older valid samples that
    a policy with `on_unknown: last_valid` may have fallen back to. `remembered` holds the values that
    temporal operators had and whether budgets left room, each under its key, as the state's snapshot has it;
    null is UNKNOWN.
    """

    action: str
    verdict: Verdict
    limits: tuple[Limit, ...] = ()
    reasons: tuple[Reason, ...] = ()
    evidence: Sequence[Evidence] = ()
    t_us: int = 0
    release: str = ""
    intent: str = ""
    inputs: Sequence[Sample] = ()
    last_valid: Sequence[Sample] = ()
    remembered: Sequence[Sample] = ()

    def __bool__(self) -> bool:
        return self.verdict is Verdict.ALLOW

    def to_json(self) -> dict[str, Json]:
        """Give the record form: JSON values only, fit for canonical JSON and CBOR."""
        return {
            "action": self.action,
            "verdict": self.verdict.word,
            "limits": [limit.to_json() for limit in self.limits],
            "reasons": [reason.to_json() for reason in self.reasons],
            "evidence": [item.to_json() for item in self.evidence],
            "t_us": self.t_us,
            "release": self.release,
            "intent": self.intent,
            "inputs": [sample.to_json() for sample in self.inputs],
            "last_valid": [sample.to_json() for sample in self.last_valid],
            **({"remembered": [sample.to_json() for sample in self.remembered]} if self.remembered else {}),
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Json]) -> Decision:
        """Read the record form back.

        Raises:
            ValueError: when the record has not that form.
        """
        try:
            return cls(
                action=_text(record["action"]),
                verdict=Verdict[_text(record["verdict"]).upper()],
                limits=tuple(
                    Limit(_text(item["parameter"]), _bound(item["min"]), _bound(item["max"]))
                    for item in _records(record["limits"])
                ),
                reasons=tuple(
                    Reason(_text(item["policy"]), _text(item["code"]), _text(item["text"]))
                    for item in _records(record["reasons"])
                ),
                evidence=tuple(
                    Evidence(
                        _text(item["policy"]), int(_text(item["read"]), 16), int(_text(item["true"]), 16)
                    )
                    for item in _records(record["evidence"])
                ),
                t_us=_whole(record["t_us"]),
                release=_text(record["release"]),
                intent=_text(record["intent"]),
                inputs=tuple(map(Sample.from_json, _records(record["inputs"]))),
                last_valid=tuple(map(Sample.from_json, _records(record["last_valid"]))),
                remembered=tuple(map(Sample.from_json, _records(record.get("remembered", [])))),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"a decision record lacks or misuses {error}") from None


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def _whole(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError("a whole number")
    return value


def _bound(value: Json) -> float | None:
    if value is not None and not isinstance(value, int | float):
        raise TypeError("a bound")
    return value


def _records(value: Json) -> list[Mapping[str, Json]]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
        raise TypeError("a list of records")
    return [item for item in value if isinstance(item, Mapping)]
