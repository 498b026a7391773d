"""What one record of an agent's ledger says, as deterministic CBOR: `[version, kind, t_us, body]`.

The kinds and their bodies (maps with text keys):

    basis     what decisions stand on from here: {agent, incarnation, release: {counter, digest, commit},
              position: [epoch, generation], intent, restrictions: [policy document in canonical JSON, ...],
              breaker, state}. Written at the start, at every change, and first in every segment. `intent`
              is the digest of `restrictions` ("" where there are none), `state` that of the latest samples.
    decision  `Decision.to_json()`: its `release` and `intent` are those of the basis before it, so that with
              the release's bundle and the basis's restrictions anyone can decide it again.
    intent    an intent that was answered: {scope, epoch, generation, tick, status, reason, digest}
    breaker   a transition: {breaker, from, to, cause, wait_s}
    notice    something that happened: {name, fields}
    segment   the start of a segment: {index, incarnation}
    summary   a run of records that the disk had no room for: {count, first_us, last_us, digest, decisions,
              others}. `decisions` lists {action, verdict, release, intent, count}, without a name for those
              that were too many to tell apart; `others` counts further kinds; `digest` is the link of a chain
              over the records in their order that begins as the agent's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from functools import lru_cache

from ripstop.core.value import dataclass

from .canonical import Json, digest
from .decision import Decision, Reason
from .errors import WireError
from .sample import Sample
from .wire.cbor import Value, decode, encode
from .wire.decided import write

VERSION = 1


class RecordKind(Enum):
    """What a ledger record is about."""

    BASIS = "basis"
    DECISION = "decision"
    INTENT = "intent"
    BREAKER = "breaker"
    NOTICE = "notice"
    SEGMENT = "segment"
    SUMMARY = "summary"


_DECISION = encode([VERSION, RecordKind.DECISION.value, 0, 0])[:-2]


@dataclass(frozen=True, slots=True)
class Entry:
    """One ledger record, read."""

    kind: RecordKind
    t_us: int
    body: Mapping[str, Value]


def write_entry(kind: RecordKind, t_us: int, body: Mapping[str, Json]) -> bytes:
    """Encode one ledger record; the same entry always gives the same bytes."""
    return encode([VERSION, kind.value, t_us, body])


def write_decision(t_us: int, decision: Decision) -> bytes:
    """Encode a decision's ledger record: what `write_entry` gives of its record form, several times as fast.

    A text that is no Unicode (half a surrogate pair) stands there escaped, so that there is a record in any
    case.

    Raises:
        WireError: W0101, a value in it has no CBOR.
    """
    try:
        return write(_DECISION, t_us, decision)
    except WireError:
        return write(_DECISION, t_us, _escaped(decision))


def _escaped(decision: Decision) -> Decision:
    def samples(given: Sequence[Sample]) -> tuple[Sample, ...]:
        return tuple(Sample(_text(item.signal), _plain(item.value), item.t_us) for item in given)

    return replace(
        decision,
        action=_text(decision.action),
        reasons=tuple(Reason(*map(_text, reason)) for reason in decision.reasons),
        inputs=samples(decision.inputs),
        last_valid=samples(decision.last_valid),
        remembered=samples(decision.remembered),
    )


def _plain(value: Json) -> Json:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def read_entry(record: bytes) -> Entry:
    """Decode one ledger record.

    Raises:
        WireError: W0101 for bytes that are not deterministic CBOR, W0403 for a record of another form.
    """
    match decode(record):
        case [int() as version, str() as word, int() as t_us, dict() as body] if version == VERSION:
            try:
                return Entry(RecordKind(word), t_us, body)
            except ValueError as error:
                raise WireError(f"`{word[:32]}` is no kind of ledger record", code="W0403") from error
    raise WireError("not a ledger record", code="W0403")


def restrictions_digest(restrictions: Sequence[str]) -> str:
    """Give the digest that decisions cite for the policy documents in force beside the release."""
    return _digest_of(tuple(restrictions))


# Agents of one process are mostly under the same restrictions.
@lru_cache(maxsize=8)
def _digest_of(restrictions: tuple[str, ...]) -> str:
    return digest(list(restrictions)) if restrictions else ""
