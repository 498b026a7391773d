"""Salted commitments: a value that a record is bound to without holding it.

A record that is kept for ever may not keep a person's data. In the value's place it holds SHA-256(salt ||
canonical JSON of [signal, value]); salt and value lie elsewhere and can be erased. While they are there
anybody can be shown that they are what was decided on; afterwards nobody can guess them: a salt has 256 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from ripstop.core.value import dataclass

from .canonical import Json, canonical_json

TAG = "$commitment"


@dataclass(frozen=True, slots=True)
class Opening:
    """What a commitment stands for; `value` is in the record form of a sample, as canonical JSON."""

    signal: str
    t_us: int
    salt: bytes
    value: str

    @property
    def commitment(self) -> str:
        """The commitment, in hexadecimal."""
        return sha256(self.salt + canonical_json([self.signal, self.value])).hexdigest()

    def to_json(self) -> dict[str, Json]:
        """Give what stands in the value's place in a record."""
        return {TAG: self.commitment}


def commitment_of(value: object) -> str | None:
    """Give the commitment that stands in a value's place; None where the value itself does."""
    if isinstance(value, Mapping) and len(value) == 1:
        found = value.get(TAG)
        return found if isinstance(found, str) else None
    return None


def holds_commitment(record: Mapping[str, object]) -> bool:
    """Whether a decision's record withholds a value, so that it cannot be decided again from it."""
    return any(
        isinstance(sample, Mapping) and commitment_of(sample.get("value")) is not None
        for part in ("inputs", "last_valid", "remembered")
        for sample in _items(record.get(part))
    )


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
