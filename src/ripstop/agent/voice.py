"""What the agent says to the ground: beats, acknowledgements, notices, telemetry frames, its workload."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ripstop.core.canonical import Json
from ripstop.core.intent import Position
from ripstop.core.messages import Ack, AckStatus, Beat, Item, Notice, Workload
from ripstop.core.node import Effect, Report, Scalar, Send
from ripstop.core.subjects import Subjects
from ripstop.core.value import dataclass
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.frame import FLAG_BUFFERED, Row, encode_frame
from ripstop.core.wire.record import pack

from .sampler import Sampler
from .settings import NodeSettings

_BUFFERED_ROWS = 4096
_SPARE_BAND = 0.1  # a change of spare capacity by this share of it is worth a message
_SPARE_LEAST = 0.5


@dataclass(frozen=True, slots=True)
class Burden:
    """What the agent carries and could still carry, as its application tells it; see `messages.Workload`."""

    available: bool
    active: bool
    x_m: float
    y_m: float
    spare: float
    cost_per_m: float
    slots: int
    items: tuple[Item, ...]


class Voice:
    """Builds and sends the agent's messages; what cannot go out now is dropped, but for buffered samples."""

    def __init__(self, settings: NodeSettings, subjects: Subjects, vocabulary: Vocabulary) -> None:
        self.is_connected = False
        self.dropped_rows = 0
        self._agent = settings.agent
        self._work_us = round(settings.work_s * 1e6)
        self._topics = {
            topic: subjects.of(topic, settings.agent)
            for topic in ("beat", "frame", "work", "notice", "ack", "segment")
        }
        self.sampler: Sampler | None = None
        self._settings = settings
        self._beats = self._notices = self._works = 0
        self._burden: Burden | None = None
        self._work_due_us = 0
        self._buffer: deque[Row] = deque(maxlen=_BUFFERED_ROWS)
        self._digest = b""
        self.speak(vocabulary)

    def speak(self, vocabulary: Vocabulary) -> None:
        """Number the signals of a vocabulary; an open one has no numbers, so no frames."""
        if vocabulary.is_open:
            self.sampler = None
            return
        self._digest = bytes.fromhex(vocabulary.digest)
        own = self._settings
        self.sampler = Sampler(vocabulary.signals, own.sampler, own.thresholds, own.personal)
        self._buffer.clear()

    # ---- beats, acknowledgements, notices ---------------------------------------------------------------

    def beat(self, beat: Beat, out: list[Effect]) -> None:
        """Send a sign of life."""
        if self.is_connected:
            out.append(Send(self._topics["beat"], pack(beat)))

    def next_beat(self) -> int:
        """Count beats."""
        self._beats += 1
        return self._beats

    def ack(
        self, scope: str, position: Position, answer: tuple[AckStatus, str], mono_us: int, out: list[Effect]
    ) -> None:
        """Answer an intent."""
        if self.is_connected:
            status, reason = answer
            body = pack(Ack(self._agent, scope, position, status, reason, mono_us))
            out.append(Send(self._topics["ack"], body))

    def notice(self, name: str, fields: Mapping[str, Scalar], t_us: int, out: list[Effect]) -> None:
        """Tell the ground and the people here that something happened."""
        self._notices += 1
        out.append(Report(name, fields))
        if self.is_connected:
            body = pack(Notice(self._agent, self._notices, t_us, name, dict(fields)))
            out.append(Send(self._topics["notice"], body))

    def segment(self, envelope: bytes, out: list[Effect]) -> None:
        """Send a sealed segment."""
        if self.is_connected:
            out.append(Send(self._topics["segment"], envelope))

    # ---- telemetry --------------------------------------------------------------------------------------

    def sense(
        self, signals: Mapping[str, Json], times: tuple[int, int], alarmed: frozenset[str], out: list[Effect]
    ) -> None:
        """Send of these readings what the ground cannot guess; `times` are (wall, monotonic)."""
        if self.sampler is None:
            return
        rows = self.sampler.pick(signals, times[0], times[1], alarmed)
        if not rows:
            return
        if self.is_connected:
            out.append(Send(self._topics["frame"], encode_frame(self._digest, (self._agent,), rows)))
        else:
            self.dropped_rows += max(0, len(self._buffer) + len(rows) - _BUFFERED_ROWS)
            self._buffer.extend(rows)

    def flush(self, out: list[Effect]) -> None:
        """Send the samples that were buffered while the link was down, in the order of time."""
        if self._buffer and self.is_connected:
            rows = [(t, v, a, s, flags | FLAG_BUFFERED) for t, v, a, s, flags in self._buffer]
            self._buffer.clear()
            out.append(Send(self._topics["frame"], encode_frame(self._digest, (self._agent,), rows)))

    # ---- workload ---------------------------------------------------------------------------------------

    def carry(self, burden: Burden, times: tuple[int, int], out: list[Effect]) -> None:
        """Send the workload where it changed materially or its time has come."""
        last = self._burden
        if last is not None and times[1] < self._work_due_us and not _differs(last, burden):
            return
        self._burden = burden
        self.repeat_work(times, out)

    def repeat_work(self, times: tuple[int, int], out: list[Effect]) -> None:
        """Send the workload as last told."""
        burden = self._burden
        if burden is None or not self.is_connected:
            return
        self._works += 1
        self._work_due_us = times[1] + self._work_us
        work = Workload(
            self._agent, self._works, times[0],
            burden.available, burden.active, burden.x_m, burden.y_m,
            burden.spare, burden.cost_per_m, burden.slots, burden.items,
        )  # fmt: skip
        out.append(Send(self._topics["work"], pack(work)))


def _differs(last: Burden, now: Burden) -> bool:
    if last.available is not now.available or last.active is not now.active or last.slots != now.slots:
        return True
    if last.items is not now.items and last.items != now.items:
        return True
    change = abs(now.spare - last.spare)
    return change > _SPARE_LEAST and change > _SPARE_BAND * abs(last.spare)
