"""A network in virtual time: nodes, messages, durable keys, disks and faults, all drawn from one seed.

Theory of operation. Every attached node has a port: its connection to an imagined server, its clock, its
disk, its own stream of chance. A node's effects are carried out at once; what takes time (a message on its
way, an answer of the store, a computation, a timer) becomes an entry of the `Timeline`. Nothing here reads a
clock or a global source of chance, so the same seed and the same calls give the same bytes.

It promises what the links over NATS promise, and more in one point: per sender and receiver messages arrive
at most once and in order (over NATS in order on each subscription; `Conditions.reorder` breaks the order
here). Reads and writes of durable keys are answered as soon as the node is connected, however often the link
breaks meanwhile; a node does not hear itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

from ..core.chance import SplitMix64, stream
from ..core.clock import Instant
from ..core.node import (
    Append,
    Compute,
    Computed,
    Connected,
    Deliver,
    Disconnected,
    Drop,
    Effects,
    Event,
    Extend,
    Fetch,
    Fetched,
    Message,
    Node,
    Report,
    Send,
    SetTimer,
    Started,
    Store,
    Stored,
    Sync,
    Synced,
    Timer,
)
from .conditions import ClockSkew, Conditions, Counts
from .durable import DurableKeys, MemoryDisk, is_asked
from .routing import matches
from .timeline import Timeline

Tap: TypeAlias = Callable[[int, str, str, bytes], None]
OnDeliver: TypeAlias = Callable[[str, object, Instant], None]
OnReport: TypeAlias = Callable[[str, Report, Instant], None]


class _Port:
    """One node's connection, clock, disk and timers."""

    __slots__ = (
        "asked", "boot", "disk", "drift", "ends", "is_connected", "is_up", "mono", "name", "node", "requests",
        "rng", "side", "step", "timers", "waiting", "wall",
    )  # fmt: skip

    def __init__(self, name: str, node: Node, disk: MemoryDisk, rng: SplitMix64) -> None:
        self.name = name
        self.node = node
        self.step = node.step
        self.disk = disk
        self.rng = rng
        self.boot = ""
        self.wall = 0
        self.mono = 0
        self.drift = 0.0
        self.is_up = True
        self.is_connected = False
        self.side = 0
        self.ends: dict[str, int] = {}
        self.timers: dict[str, tuple[int, int]] = {}
        self.requests: deque[Fetch | Store] = deque()
        self.asked = 0
        self.waiting = 0


class MemoryNetwork:
    """Carries messages between nodes over a timeline; see the module for what it promises."""

    def __init__(self, timeline: Timeline, seed: int, conditions: Conditions | None = None) -> None:
        self.timeline = timeline
        self.keys = DurableKeys()
        self.counts = Counts()
        self.taps: list[Tap] = []
        self.on_deliver: OnDeliver | None = None
        self.on_report: OnReport | None = None
        self._seed = seed
        self._start_us = timeline.now_us
        self._ports: dict[str, _Port] = {}
        self._boots: dict[str, int] = {}
        self._routes: dict[str, tuple[_Port, ...]] = {}
        self._named: dict[str, list[str]] = {}
        self._prefixed: dict[str, list[str]] = {}
        self._patterns: list[tuple[str, str]] = []
        self._armed = 0
        self._is_split = False
        self.conditions = conditions or Conditions()

    # ---- nodes ----------------------------------------------------------------------------------------

    def attach(
        self,
        name: str,
        node: Node,
        *,
        incarnation: int = 0,
        clock_skew: ClockSkew | None = None,
        disk: MemoryDisk | None = None,
        connects: bool = True,
    ) -> None:
        """Start a node here and connect it (unless told not to); a name that is taken is crashed first.

        The node gets `Started` and, one delay later, `Connected`. Its boot id counts the attachments of the
        name. Without `disk` it begins with an empty one.
        """
        self.crash(name)
        number = self._boots[name] = self._boots.get(name, 0) + 1
        port = _Port(name, node, disk or MemoryDisk(), stream(self._seed, name, "link", number))
        skew = clock_skew or ClockSkew()
        port.boot, port.wall, port.mono = f"{name}-{number}", skew.wall_us, skew.mono_us
        port.drift = skew.drift_ppm * 1e-6
        self._ports[name] = port
        self._forget_routes()
        self.timeline.after(0, self._give, port, Started(incarnation))
        if connects:
            self.timeline.after(self._delay_us, self._connect, port)

    def crash(self, name: str) -> MemoryDisk | None:
        """End a node without a word, as a power cut does; gives its disk, without what was not synced."""
        port = self._ports.pop(name, None)
        if port is None:
            return None
        port.is_up = port.is_connected = False
        self._forget_routes()
        port.disk.crash()
        return port.disk

    def disk(self, name: str) -> MemoryDisk:
        """Give a node's disk."""
        return self._ports[name].disk

    def now(self, name: str) -> Instant:
        """Read a node's clocks, as its application would."""
        return self._instant(self._ports[name])

    def jump_wall(self, name: str, seconds: float) -> None:
        """Set a node's wall clock forward or back; its monotonic clock stays."""
        self._ports[name].wall += round(seconds * 1e6)

    def perform(self, name: str, effects: Effects) -> None:
        """Carry out effects that a node returned to its application, outside of `step`."""
        self._perform(self._ports[name], effects)

    def pending_timers(self, name: str) -> dict[str, int]:
        """Give a node's timers to come, by name, in its own monotonic time: for a shell that takes over."""
        return {timer: at_us for timer, (at_us, _) in self._ports[name].timers.items()}

    def pending_answers(self, name: str) -> int:
        """Tell how many computations, reads, writes and syncs a node still waits for."""
        port = self._ports[name]
        return port.waiting + len(port.requests)

    # ---- faults ---------------------------------------------------------------------------------------

    @property
    def conditions(self) -> Conditions:
        """What the network does to what it carries from now on."""
        return self._conditions

    @conditions.setter
    def conditions(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._delay_us = round(conditions.delay_s * 1e6)
        self._is_plain = not (conditions.jitter_s or conditions.loss or conditions.reorder)

    def disconnect(self, name: str, *, notice_s: float = 0.0) -> None:
        """Break a node's connection; it gets `Disconnected` when it notices."""
        port = self._ports[name]
        if port.is_connected:
            port.is_connected = False
            self.timeline.after(round(notice_s * 1e6), self._notice, port)

    def reconnect(self, name: str) -> None:
        """Connect a node again."""
        self.timeline.after(self._delay_us, self._connect, self._ports[name])

    def stop_server(self) -> None:
        """Break every connection at once. Durable keys stay."""
        for name in self._ports:
            self.disconnect(name)

    def start_server(self, *, spread_s: float = 0.1) -> None:
        """Connect everybody again, each after a delay of its own up to `spread_s`."""
        for port in self._ports.values():
            self.timeline.after(round(port.rng.uniform(0.0, spread_s) * 1e6), self._connect, port)

    def partition(self, names: Iterable[str]) -> None:
        """Cut these nodes off from the others and from the durable keys; among themselves they talk on.

        Nobody is told: their connections seem up.
        """
        cut_off = set(names)
        for port in self._ports.values():
            port.side = int(port.name in cut_off)
        self._is_split = True

    def heal(self) -> None:
        """End the partition."""
        for port in self._ports.values():
            port.side = 0
        self._is_split = False
        for port in self._ports.values():
            self._ask(port, is_repeat=True)

    # ---- events in ------------------------------------------------------------------------------------

    def _instant(self, port: _Port) -> Instant:
        t_us = self.timeline.now_us
        if port.drift:
            t_us += int((t_us - self._start_us) * port.drift)
        return Instant(t_us + port.wall, t_us + port.mono, port.boot)

    def _give(self, port: _Port, event: Event) -> None:
        if port.is_up:
            effects = port.step(event, self._instant(port))
            if effects:
                self._perform(port, effects)

    def _connect(self, port: _Port) -> None:
        if port.is_up and not port.is_connected:
            port.is_connected = True
            self._give(port, Connected())
            self._ask(port, is_repeat=True)

    def _notice(self, port: _Port) -> None:
        if not port.is_connected:
            self._give(port, Disconnected())

    def _arrive(self, targets: tuple[_Port, ...], event: Message) -> None:
        for port in targets:
            if port.is_connected:
                self.counts.delivered += 1
                effects = port.step(event, self._instant(port))
                if effects:
                    self._perform(port, effects)
            else:
                self.counts.lost += 1

    def _answer(self, port: _Port, event: Event) -> None:
        port.waiting -= 1
        self._give(port, event)

    def _ring(self, port: _Port, name: str, armed: int) -> None:
        timer = port.timers.get(name)
        if port.is_up and timer is not None and timer[1] == armed:
            del port.timers[name]
            effects = port.step(Timer(name), self._instant(port))
            if effects:
                self._perform(port, effects)

    # ---- effects out ----------------------------------------------------------------------------------

    def _perform(self, port: _Port, effects: Effects) -> None:
        for effect in effects:
            match effect:
                case Send():
                    self._send(port, effect)
                case SetTimer():
                    self._set_timer(port, effect)
                case Append():
                    port.disk.append(effect.stream, effect.data)
                case Extend():
                    for data in effect.records:
                        port.disk.append(effect.stream, data)
                case Deliver():
                    if self.on_deliver is not None:
                        self.on_deliver(port.name, effect.value, self._instant(port))
                case Report():
                    if self.on_report is not None:
                        self.on_report(port.name, effect, self._instant(port))
                case Sync():
                    self._sync(port, effect)
                case Drop():
                    port.disk.drop(effect.stream, effect.sequence)
                case Compute():
                    self._compute(port, effect)
                case Fetch() | Store():
                    self._request(port, effect)
                case _:
                    assert_never(effect)

    def _send(self, port: _Port, effect: Send) -> None:
        if not port.is_connected:
            return
        subject = effect.subject
        self.counts.sent += 1
        for tap in self.taps:
            tap(self.timeline.now_us, port.name, subject, effect.data)
        targets = self._routes.get(subject)
        if targets is None:
            targets = self._route(subject)
        event = Message(subject, effect.data)
        if self._is_plain and not self._is_split and port not in targets:
            if targets:
                self.timeline.at(self.timeline.now_us + self._delay_us, self._arrive, targets, event)
            return
        for target in targets:
            if target is not port:
                self._send_apart(port, target, event)

    def _send_apart(self, port: _Port, target: _Port, event: Message) -> None:
        """Send to one receiver with a delay, and luck, of its own."""
        conditions, rng = self._conditions, port.rng
        if (self._is_split and port.side != target.side) or (
            conditions.loss and rng.uniform() < conditions.loss
        ):
            self.counts.lost += 1
            return
        at_us = self.timeline.now_us + self._delay_us
        if conditions.jitter_s:
            at_us += int(rng.exponential(conditions.jitter_s) * 1e6)
        if conditions.reorder and rng.uniform() < conditions.reorder:
            at_us += int(rng.exponential(conditions.reorder_s) * 1e6)
        else:
            # INVARIANT: without reordering, a later message of the same sender never arrives earlier.
            at_us = max(at_us, port.ends.get(target.name, 0))
            port.ends[target.name] = at_us
        self.timeline.at(at_us, self._arrive, (target,), event)

    def _route(self, subject: str) -> tuple[_Port, ...]:
        if not (self._named or self._prefixed or self._patterns):
            self._index()
        hearing = set(self._named.get(subject, ()))
        hearing.update(self._prefixed.get(subject.rpartition(".")[0], ()))
        hearing.update(name for name, pattern in self._patterns if matches(pattern, subject))
        targets = tuple(port for name, port in self._ports.items() if name in hearing)
        self._routes[subject] = targets
        return targets

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._named.clear()
        self._prefixed.clear()
        self._patterns.clear()

    def _index(self) -> None:
        """Sort subscriptions into those to one subject, found by name, and the patterns, which are few."""
        for name, port in self._ports.items():
            for pattern in port.node.subjects:
                prefix = pattern.removesuffix(".*")
                if "*" not in pattern and ">" not in pattern:
                    self._named.setdefault(pattern, []).append(name)
                elif "*" not in prefix and ">" not in prefix:
                    self._prefixed.setdefault(prefix, []).append(name)
                else:
                    self._patterns.append((name, pattern))

    def _set_timer(self, port: _Port, effect: SetTimer) -> None:
        if port.drift:
            # The first true time at which the node's clock shows `at_us` or more: a timer is never early.
            since = effect.at_us - port.mono - self._start_us
            at_us = self._start_us + int(since / (1.0 + port.drift))
            while at_us + int((at_us - self._start_us) * port.drift) + port.mono < effect.at_us:
                at_us += 1
        else:
            at_us = effect.at_us - port.mono
        self._armed = armed = self._armed + 1
        port.timers[effect.name] = (effect.at_us, armed)
        self.timeline.at(at_us, self._ring, port, effect.name, armed)

    def _sync(self, port: _Port, effect: Sync) -> None:
        port.waiting += 1
        self.timeline.after(round(self._conditions.sync_s * 1e6), self._synced, port, effect.sequence)

    def _synced(self, port: _Port, sequence: int) -> None:
        if port.is_up:
            port.disk.sync()
        self._answer(port, Synced(sequence))

    def _compute(self, port: _Port, effect: Compute) -> None:
        """Run the job now and give its answer when the time charged for it has passed."""
        port.waiting += 1
        try:
            event = Computed(effect.name, effect.job())
        except Exception as error:  # noqa: BLE001 - the node decides what a failed computation means
            event = Computed(effect.name, None, f"{type(error).__name__}: {error}")
        self.timeline.after(round(effect.cost_s * 1e6), self._answer, port, event)

    # ---- durable keys ---------------------------------------------------------------------------------

    def _request(self, port: _Port, effect: Fetch | Store) -> None:
        """Queue a question for the store: a node's are answered one after the other."""
        if is_asked(port.requests, effect):
            return
        port.requests.append(effect)
        if len(port.requests) == 1:
            self._ask(port, is_repeat=False)

    def _ask(self, port: _Port, *, is_repeat: bool) -> None:
        """Send the first question, in place of any earlier sending of it."""
        if port.requests and port.is_connected:
            port.asked += 1
            self.timeline.after(self._delay_us, self._reach, port, port.asked, is_repeat)

    def _reach(self, port: _Port, asked: int, is_repeat: bool) -> None:
        """The question is at the store: carry it out and send the answer back."""
        if asked != port.asked or not port.is_connected or port.side:
            return
        effect = port.requests[0]
        event: Event
        if isinstance(effect, Fetch):
            event = Fetched(effect.key, *self.keys.fetch(effect.key))
            back_us = self._delay_us
        else:
            revision = self.keys.store(effect.key, effect.data, effect.expected, is_repeat=is_repeat)
            event = Stored(effect.key, revision)
            back_us = self._delay_us + round(self._conditions.store_s * 1e6)
        self.timeline.after(back_us, self._resolve, port, asked, event)

    def _resolve(self, port: _Port, asked: int, event: Event) -> None:
        if asked == port.asked and port.is_connected and not port.side:
            port.requests.popleft()
            self._ask(port, is_repeat=False)
            self._give(port, event)
