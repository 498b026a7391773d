"""Reads the log `segments`: each record is [agent, envelope], as it came and was checked on arrival."""

from __future__ import annotations

from ripstop.core.errors import WireError
from ripstop.core.messages import Segment
from ripstop.core.wire.cbor import decode
from ripstop.core.wire.record import unpack

from .intake import ChainHead

_BODY = 8  # the body's place in an envelope's payload: see core.wire.envelope


def owner_of(record: bytes) -> tuple[str, bytes]:
    """Give a record's agent and envelope.

    Raises:
        WireError: W0404 where the record has another form.
    """
    match decode(record):
        case [str() as agent, bytes() as sealed]:
            return agent, sealed
    raise WireError("not a segment on file", code="W0404")


def segment_of(record: bytes) -> tuple[str, Segment]:
    """Give a record's agent and segment *without* checking the signature: for catalogues and restarts.

    Raises:
        WireError: W0404 where the record has another form, or that of the segment.
    """
    agent, sealed = owner_of(record)
    match decode(sealed[1:]):
        case [bytes(), dict(), bytes() as payload, bytes()]:
            match decode(payload):
                case list() as content if len(content) > _BODY and isinstance(content[_BODY], bytes):
                    return agent, unpack(Segment, content[_BODY])
    raise WireError("not a segment on file", code="W0404")


class ChainHeads:
    """Reads the log record by record; `heads` tells how far each agent's chain is on file."""

    def __init__(self) -> None:
        self.heads: dict[str, ChainHead] = {}

    def read(self, record: bytes) -> None:
        """Take the log's next record.

        Raises:
            WireError: W0404 for one that is no segment.
        """
        agent, segment = segment_of(record)
        self.heads[agent] = ChainHead(segment.incarnation, segment.last, segment.head, segment.first)
