"""What a trained model knows of itself: how it was made, how it did on held-out data, and why it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args, get_type_hints

from ripstop.risk.errors import RiskInputError


@dataclass(frozen=True, slots=True)
class Score:
    """How a model did on windows that nothing about it was chosen by.

    Attributes:
        mse, mae: of the whole path, in the signal's unit.
        auc: of the crossing's probability among windows that had not crossed; None if outcomes never differ.
        brier: of the same; None without such windows.
        coverage: share of paths that lay whole in their band; `confidence` was promised.
        time_coverage: share of times to crossing within their interval; None without windows.
        confidence: of band and interval.
        windows: how many; `asked` of them had not crossed.
        crossings: how many crossed within the horizon.
    """

    mse: float
    mae: float
    auc: float | None
    brier: float | None
    coverage: float
    time_coverage: float | None
    confidence: float
    windows: int
    asked: int
    crossings: int

    def to_json(self) -> dict[str, object]:
        """Give the score as plain JSON."""
        return {name: getattr(self, name) for name in Score.__slots__}


@dataclass(frozen=True, slots=True)
class Record:
    """The validation record that a model carries.

    Attributes:
        metric: its name.
        histories, samples: what it was made from.
        limit, side: the limit that crossings were judged by.
        ar, network: the scores of both.
        gain: share of the AR's absolute error that the network takes away; `gain_low` to `gain_high` is its
            interval at 95 %.
        promoted: whether the network is used; `reason` says why or why not.
        hidden, epochs, seed: of training; `epoch` is the one that was kept.
    """

    metric: str
    histories: int
    samples: int
    limit: float
    side: str
    ar: Score
    network: Score
    gain: float
    gain_low: float
    gain_high: float
    promoted: bool
    reason: str
    hidden: int
    epochs: int
    epoch: int
    seed: int

    def to_json(self) -> dict[str, object]:
        """Give the record as plain JSON."""
        plain = {name: getattr(self, name) for name in Record.__slots__}
        return plain | {"ar": self.ar.to_json(), "network": self.network.to_json()}


def record_from_json(document: object) -> Record:
    """Read a record.

    Raises:
        RiskInputError: C0753, for one that lacks something or holds what cannot be.
    """
    values = _checked(Record, "the validation record", document)
    for name in ("ar", "network"):
        values[name] = Score(**_checked(Score, f"the record's `{name}`", values[name]))
    return Record(**values)


def _checked(kind: type, what: str, document: object) -> dict[str, Any]:
    names = [field.name for field in fields(kind)]
    if not isinstance(document, Mapping) or set(document) != set(names):
        raise refused(f"{what} is no object of {', '.join(names)}")
    hints = get_type_hints(kind)
    for name in names:
        wanted, value = hints[name], document[name]
        allowed = get_args(wanted) or (wanted,)
        if wanted is Score:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool) and float in allowed
        if not (type(value) in allowed or number) or (isinstance(value, float) and not math.isfinite(value)):
            raise refused(f"`{name}` of {what} is `{value}`")
    return dict(document)


def refused(why: str) -> RiskInputError:
    """Build the error for a model whose record does not hold."""
    return RiskInputError(
        why, code="C0753", hint="the file was changed or damaged: train the model again, or use its AR"
    )
