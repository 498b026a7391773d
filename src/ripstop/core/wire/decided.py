"""A decision's ledger record, written at once: the very bytes of `write_entry` over `Decision.to_json()`.

An agent writes one for every action, on the caller's time. From one decision to the next little but moments
and values changes, so what does not is encoded once and remembered: names, digests, reasons, evidence, and
the readings that decisions stand on, for many stand on the same.
INVARIANT: what is remembered is keyed by texts and whole numbers alone: 1, 1.0 and True would be one key;
readings are known again by being the same mapping.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from ..canonical import MAX_SAFE_INTEGER, Json
from ..decision import Decision, EvidenceTable, Reason, Verdict
from ..recall import Recall
from ..sample import Sample, SampleTable, value_to_json
from .cbor import SCALARS, array_head, encode

_VALUE_DEPTH = 4  # of a sample's value: in its sample, in a list of them, in the decision, in the entry
_NONE = array_head(0)
_LARGEST = float.fromhex("0x1.fffffffffffffp+1023")
_DOUBLE = struct.Struct(">Bd")
_MOST_READ = 64  # how many sets of readings are remembered
_Key: TypeAlias = "tuple[str, str, tuple[Reason, ...], str, int, tuple[str, ...], tuple[int, ...]]"
_text, _integer, _float = SCALARS[str], SCALARS[int], SCALARS[float]


def _keys(*names: str) -> list[bytes]:
    return [_text(name) for name in names]


_T_US, _VALUE, _SIGNAL, _ACTION, _INPUTS = _keys("t_us", "value", "signal", "action", "inputs")
_INTENT, _LIMITS, _REASONS, _RELEASE, _VERDICT = _keys("intent", "limits", "reasons", "release", "verdict")
_EVIDENCE, _LAST_VALID, _REMEMBERED = _keys("evidence", "last_valid", "remembered")
_SAMPLE = encode({"signal": 0, "t_us": 0, "value": 0})[:1] + _T_US
_FEWER, _MORE = (bytes((0xA0 | keys,)) + _T_US for keys in (10, 11))  # a map's head and its first key


def write(before: bytes, t_us: int, decision: Decision) -> bytes:
    """Give `before`, then the deterministic CBOR of `t_us` and of `decision.to_json()`.

    Raises:
        WireError: W0101, a value in it has no CBOR.
    """
    at_us, evidence = decision.t_us, decision.evidence
    if type(evidence) is EvidenceTable and not decision.limits:
        opening, after = _FRAMES[
            decision.action, decision.intent, decision.reasons, decision.release, decision.verdict.real,
            evidence.digests, evidence.codes,
        ]  # fmt: skip
    else:
        opening, after = _frame_of(decision)
    now = _integer(at_us)
    stamp = _SAMPLE + now + _VALUE
    parts = [before, now if t_us == at_us else _integer(t_us), _FEWER, now, opening]
    inputs = decision.inputs
    if type(inputs) is SampleTable and inputs.t_us == at_us:
        _add_table(parts, inputs, stamp)
    else:
        _add_samples(parts, inputs)
    parts.append(after)
    if decision.last_valid:
        _add_samples(parts, decision.last_valid)
    else:
        parts.append(_NONE)
    if decision.remembered:
        parts[2] = _MORE
        parts.append(_REMEMBERED)
        _add_samples(parts, decision.remembered)
    return b"".join(parts)


def _frame_of(decision: Decision) -> tuple[bytes, bytes]:
    """Give what stands before the inputs, and between them and the last valid samples."""
    limits = [limit.to_json() for limit in decision.limits]
    reasons = [reason.to_json() for reason in decision.reasons]
    evidence = [item.to_json() for item in decision.evidence]
    after = (
        _INTENT, _text(decision.intent), _LIMITS, encode(limits, 2), _REASONS, encode(reasons, 2),
        _RELEASE, _text(decision.release), _VERDICT, _text(decision.verdict.word),
        _EVIDENCE, encode(evidence, 2), _LAST_VALID,
    )  # fmt: skip
    return _ACTION + _text(str(decision.action)) + _INPUTS, b"".join(after)


def _frame(key: _Key) -> tuple[bytes, bytes]:
    action, intent, reasons, release, verdict, digests, codes = key
    evidence = EvidenceTable(digests, codes)
    return _frame_of(Decision(action, Verdict(verdict), (), reasons, evidence, 0, release, intent))


def _weight(key: _Key) -> int:
    told = sum(len(text) for reason in key[2] for text in reason)
    return len(str(key[0])) + told + sum(map(len, key[5]))


def _signal(name: str) -> bytes:
    return _SIGNAL + _text(name)


_FRAMES = Recall(_frame, _weight, most=256, most_weight=1 << 14)
_SIGNALS = Recall(_signal, len)
_SHORT = Recall(_float, lambda number: 1, most=256)
_READ: dict[int, tuple[object, object, frozenset[str], int, bytes]] = {}


def _add_table(parts: list[bytes], table: SampleTable, stamp: bytes) -> None:
    """Add inputs; what was given is of the decision's moment, for which the `stamp` is written already."""
    given, readings, reads = table.given, table.readings, table.reads
    key = id(readings) ^ id(reads)
    known = _READ.get(key)
    if known is None or known[0] is not readings or known[1] is not reads or known[2] != given.keys():
        rows = table.read()
        samples = [_sample(name, reading.value, reading.t_us) for name, reading in rows]
        known = readings, reads, frozenset(given), len(rows), b"".join(samples)
        if len(_READ) >= _MOST_READ:
            _READ.clear()
        _READ[key] = known
    parts.append(array_head(len(given) + known[3]))
    for name, value in given.items():
        write = _WRITERS.get(type(value), _other)
        parts += (stamp, write(value), _SIGNALS[name])
    parts.append(known[4])


def _add_samples(parts: list[bytes], samples: Sequence[Sample]) -> None:
    parts.append(array_head(len(samples)))
    parts += [_sample(sample.signal, sample.value, sample.t_us) for sample in samples]


def _sample(name: str, value: Json, t_us: int) -> bytes:
    write = _WRITERS.get(type(value), _other)
    return b"".join((_SAMPLE, _integer(t_us), _VALUE, write(value), _SIGNALS[name]))


def _other(value: Json) -> bytes:
    return encode(value_to_json(value), _VALUE_DEPTH)


def _number(value: float) -> bytes:
    if value in _SHORT and value:  # 0.0 and -0.0 are one key
        return _SHORT[value]
    if not -_LARGEST <= value <= _LARGEST:
        return _other(value)
    double = _DOUBLE.pack(0xFB, value)
    if double[8] or double[7] or double[6]:  # nothing shorter keeps it
        return double
    return _SHORT[value] if value else _float(value)


def _whole(value: int) -> bytes:
    return _integer(value) if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else _other(value)


_WRITERS: Mapping[object, Callable[..., bytes]] = {**SCALARS, float: _number, int: _whole, bytes: _other}
