"""One row of the operator table."""

from __future__ import annotations

from ripstop.core.canonical import Json
from ripstop.core.value import dataclass


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator.

    `least` and `most` bound the number of arguments in a policy (plain JSON-Logic is laxer); `typing` names
    the checker's rule; `in_edge_profile` says whether Wasm, C, columns and SMT can have it. `example` is a
    rule, its data and its value: it is run by the tests. For a temporal operator (`is_temporal`) the data is
    a trace, a list of `[seconds, signals]`, and the value is that at the last moment.
    """

    name: str
    least: int
    most: int | None
    typing: str
    signature: str
    summary: str
    law: str
    example: tuple[Json, Json, Json]
    in_edge_profile: bool = True
    is_temporal: bool = False
