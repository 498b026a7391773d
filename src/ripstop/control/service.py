"""The control plane's shell: the embedded server, the node's driver, the files, the store, the metrics.

It decides nothing: what the node orders is carried out, what comes in is handed to it. Every task has its
owner here, every wait a bound, and `stop` leaves no process, thread or socket behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from ripstop.core.clock import Clock, Instant, SystemClock
from ripstop.core.errors import ConfigurationError, WireError, missing_extra
from ripstop.core.files import write_whole
from ripstop.core.messages import Admission
from ripstop.core.node import Message, Report, Store
from ripstop.core.seldom import Seldom
from ripstop.core.subjects import Subjects
from ripstop.core.vocabulary import Vocabulary
from ripstop.core.wire.envelope import Keyring, Role
from ripstop.core.wire.record import pack
from ripstop.links.departures import Departures
from ripstop.links.driver import NodeDriver
from ripstop.links.enrolment import EnrolmentDesk
from ripstop.links.nats import NatsLink
from ripstop.links.permissions import enrol_subject
from ripstop.links.server import NatsServer
from ripstop.links.tasks import end

from .audit.checkpoints import STREAM as CHECKPOINTS
from .audit.checkpoints import VOCABULARY, LastCheckpoint, Notary, found_beside
from .audit.epochs import LastEpoch
from .audit.files import AuditFiles
from .audit.segments import ChainHeads
from .audit.trust import FILE as TRUST
from .audit.trust import Trust
from .disk import IndexedDisk
from .metrics import Metrics, MetricsServer
from .mitigation.playbook import Playbook
from .node import ControlNode, Fleet
from .records import Records
from .settings import ControlSettings
from .stops import STREAM as STOPS
from .stops import StopDesk, within
from .store.check import check_policies
from .store.git import PolicyRepository
from .store.keys import FleetKeys
from .store.releases import Issued, ReleaseShelf
from .store.store import PolicyStore, Refused, Unchanged
from .telemetry.insertion import warmup

try:
    import structlog
except ModuleNotFoundError as error:
    raise missing_extra("structlog", "control") from error

log = structlog.get_logger("ripstop.control")
_QUIET = frozenset({"ack.received", "risk.surveyed", "peer.relayed"})
_ALARMING = (
    "authority.lost", "ledger.forked", "ledger.lost", "mitigation.incomplete", "agent.duplicated",
    "commit.refused", "computation.failed", "fleet.partitioned", "message.refused", "segment.refused",
    "segment.delayed", "stop.sent", "stop.refused",
)  # fmt: skip
# Agents choose the names of what they tell, and some are words of structlog's own.
_OWN_WORDS = ("level", "timestamp", "exception", "exc_info", "stack_info", "self", "method_name", "times")
_RENAMED = {"event": "cue", **{word: f"{word}_" for word in _OWN_WORDS}}
_REFUSALS = frozenset(
    {"message.refused", "segment.refused", "segment.delayed", "peer.rejected", "agent.ahead"}
)
OnReport = Callable[[Report, Instant], None]


@dataclass(frozen=True, slots=True)
class Device:
    """A device that needs no enrolment: its public nkey and its public signing key."""

    nkey: str
    signing_key: bytes


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What a control plane is started with.

    `data` is its folder. `policies` is a folder in a Git repository (or that becomes one). `devices` are let
    in at once. Port 0 takes any free one; `mqtt_devices` are let in at the MQTT port with passwords that are
    made here. `database` is a SQLAlchemy URL, SQLite in the folder by default. Every
    `checkpoint_s` what is new in the record is signed.
    """

    data: Path
    policies: Path
    playbook: Playbook
    vocabulary: Vocabulary
    settings: ControlSettings
    devices: Mapping[str, Device] = field(default_factory=dict)
    port: int = 0
    metrics_port: int = 0
    mqtt_port: int | None = None
    mqtt_devices: tuple[str, ...] = ()
    admission_per_s: float = 2000.0
    database: str = ""
    poll_s: float = 1.0
    checkpoint_s: float = 10.0


def _kind(report: Report) -> str:
    return "/".join((report.name, *(str(report.fields.get(key, "")) for key in ("agent", "sender", "code"))))


class ControlService:
    """One control plane over its embedded server."""

    def __init__(self, options: ServiceOptions, *, clock: Clock | None = None) -> None:
        self.options = options
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        self.on_report: OnReport | None = None
        self.on_enrolled: Callable[[str], None] | None = None
        fleet = options.settings.fleet
        options.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        agents = {agent: device.nkey for agent, device in options.devices.items()}
        self.server = NatsServer(
            options.data, fleet, port=options.port, mqtt_port=options.mqtt_port, agents=agents,
            mqtt_devices=options.mqtt_devices,
        )  # fmt: skip
        self.is_prepared = asyncio.Event()
        self._is_changed = asyncio.Event()  # beside the logs
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="control")
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="kernels")
        self._ended = contextlib.AsyncExitStack()
        self._last_error = self._store_error = ""
        self._lints: tuple[str, ...] = ()
        self._repeated = Seldom()

    # ---- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything, in the order in which it is needed.

        The kernels of the risk engine are compiled, or loaded, meanwhile and after: `is_prepared` tells when
        an incident need not wait for them any more.

        Raises:
            ConfigurationError: C0502 where another control plane holds the folder, C0503 where the server
                does not start, and what the files, keys and policies of the folder are refused with.
        """
        self._ended.callback(self._pool.shutdown)
        self._ended.callback(self._compiler.shutdown, wait=False, cancel_futures=True)
        try:
            await self.server.start()
            self._ended.push_async_callback(self.server.stop)
            self._open()
            await self._connect()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything that was started, the last first."""
        await self._ended.aclose()

    async def __aenter__(self) -> ControlService:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def _open(self) -> None:
        """Open the folder: keys, logs, catalogue, releases; it is ours since the server holds its lock."""
        options, fleet = self.options, self.options.settings.fleet
        data = options.data
        self.keys = FleetKeys.load(data / "keys")
        self.desk = EnrolmentDesk(
            self.server, self.keys.trusted(), on_enrolled=self._enrolled, clock=self.clock
        )
        self.agents = {**self.desk.signing_keys, **{a: d.signing_key for a, d in options.devices.items()}}
        found = found_beside(data / "audit")
        trust = self._trust()
        ring = trust.ground_keys()
        chains, epochs = ChainHeads(), LastEpoch(ring, fleet, data / "audit")
        last = LastCheckpoint(ring, fleet)
        stops = StopDesk(Subjects(fleet), Keyring.of(self.keys.trusted()))
        readers = {
            "segments": chains.read, "intents": epochs.read, CHECKPOINTS: last.read, STOPS: stops.restore,
        }  # fmt: skip
        files = AuditFiles(data / "audit", readers)
        self._ended.callback(files.close)
        self.notary = Notary(files, self.keys.command, fleet, last.found(), trust.run)
        for name in self.notary.shortfalls(found):
            log.error("record.exchanged", file=name, reason="not as the last checkpoint has it")
        self._save_beside()
        self.records = Records(options.database or f"sqlite:///{data / 'records.db'}")
        self._ended.callback(self.records.close)
        now = self.clock.now()
        for agent, public in self.agents.items():
            self.records.enrolled(agent, public, now.wall_us)
        for damage in files.torn:
            log.warning("log.torn", stream=damage.stream, record=damage.number)
        unsigned = dict.fromkeys(self.server.mqtt_passwords, b"")
        self.node = ControlNode(
            options.settings, options.playbook, self.keys.command,
            Fleet(options.vocabulary, {**unsigned, **self.agents}, chains.heads, epochs.epoch(), stops),
        )  # fmt: skip
        repository = PolicyRepository(options.policies)
        self._ended.callback(repository.close)
        shelf = ReleaseShelf(data / "releases", trust.ground)
        self.store = PolicyStore(
            repository, shelf, self.keys.release, fleet, check_policies,
            stop_keys=tuple(key.public for key in self.keys.trusted() if key.role is Role.STOP),
        )  # fmt: skip
        self._disk = IndexedDisk(files, self.records, self._certify)

    async def _connect(self) -> None:
        self.link = NatsLink(self.server.address, self.server.login("control"))
        self.link.serve(enrol_subject(self.options.settings.fleet), self.desk.answer)
        self.link.serve(self.node.names.operator, self._token_handed)
        self.driver = NodeDriver(self.node, self.link, clock=self.clock, disk=self._disk, executor=self._pool)
        self.driver.on_report = self._reported
        self.driver.on_failure = self._failed
        current = self.store.current()
        self.driver.start()
        self._ended.push_async_callback(self.driver.close)
        if current is not None:
            self._publish(current)
        await self.link.connected()
        await self.link.provision()
        departures = Departures(self.server, self._departed)
        self._ended.push_async_callback(departures.close)
        await departures.start()
        self._tell_size()
        self._page = MetricsServer(self.metrics, self.health, self.options.metrics_port)
        self._ended.callback(self._page.close)
        await self._look()
        going_on = (
            ("store", self._watch_store()), ("records", self._keep_records()), ("kernels", self._prepare()),
            ("checkpoints", self._keep_certified()),
        )  # fmt: skip
        for name, work in going_on:
            task = asyncio.create_task(work, name=f"control {name}")
            self._ended.push_async_callback(end, task)

    # ---- what others need to know ---------------------------------------------------------------------

    @property
    def metrics_url(self) -> str:
        """Where Prometheus scrapes."""
        return f"http://127.0.0.1:{self._page.port}/metrics"

    def health(self) -> dict[str, object]:
        """Tell whether the control plane commands its fleet, and what is in force.

        `ready` is more than `healthy`: an incident would find the kernels compiled, too.
        """
        authority = self.node.authority
        release = authority.will.release
        is_healthy = self.link.is_connected and authority.is_active
        return {
            "healthy": is_healthy,
            "ready": is_healthy and self.is_prepared.is_set(),
            "connected": self.link.is_connected,
            "epoch": authority.position.epoch,
            "release": release.counter,
            "commit": release.commit,
            "refused": list(self.store.refused.reasons) if self.store.refused else [],
            "lints": list(self.store.lints),
            "agents": len(self.node.registry),
            "incident": self.node.desk.incident_id,
            "last_error": self._last_error,
        }

    def token(self, valid_s: float = 86_400.0) -> str:
        """Make a token that lets one device in."""
        return self.desk.issue(valid_s)

    # ---- what comes in --------------------------------------------------------------------------------

    def _enrolled(self, agent: str, signing_key: bytes) -> None:
        now = self.clock.now()
        self.agents[agent] = signing_key
        self._save_beside()
        self.records.enrolled(agent, signing_key, now.wall_us)
        self.driver.perform(self.node.enrol(agent, signing_key, now))
        self._tell_size()
        if self.on_enrolled is not None:
            self.on_enrolled(agent)

    async def _token_handed(self, data: bytes) -> bytes:
        """Take an operator's token, send it on, and answer when it is on file, in JSON."""
        found, effects = self.node.take_token(data, self.clock.now())
        self.driver.perform(effects)
        if isinstance(found, WireError):
            return json.dumps({"code": found.code, "refused": found.message}).encode()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._disk.sync)
        known = self.node.registry
        present = within(found.scope, known.present())
        away = [agent for agent in within(found.scope, [m.id for m in known]) if agent not in present]
        told = {"signatures": self.node.stops.signatures(found.id), "present": present, "away": away}
        return json.dumps(told).encode()

    def _tell_size(self) -> None:
        """Tell agents how many they are, so that they do not all come back at once."""
        size = Admission(len(self.node.registry), self.options.admission_per_s)
        self.driver.perform((Store(self.node.names.admission_key, pack(size)),))

    def _departed(self, agent: str) -> None:
        names = self.node.names
        self.driver.post(Message(names.of("gone", agent), b""))

    def _trust(self, run: str = "") -> Trust:
        """Tell whose signatures the logs hold, behind those of today those of earlier keys."""
        trust = Trust(self.options.settings.fleet, self.keys.trusted(), self.agents, run)
        folder = self.options.data / "audit"
        if (folder / TRUST).exists():
            try:
                trust = trust.behind(Trust.load(folder))
            except ConfigurationError as error:
                log.warning("trust.lost", reason=error.message)
        return replace(trust, run=run or trust.run)

    def _save_beside(self) -> None:
        """Write down beside the logs what it takes to check them; the next checkpoint vouches for it."""
        folder = self.options.data / "audit"
        text = json.dumps(self.options.vocabulary.to_json(), indent=1)
        write_whole(folder / VOCABULARY, raw := f"{text}\n".encode())
        self.notary.put(VOCABULARY, raw)
        self.notary.put(TRUST, self._trust(self.notary.run).save(folder))
        self._is_changed.set()

    def _certify(self) -> bytes:
        return self.notary.write(self.clock.now().wall_us)

    def _reported(self, report: Report, now: Instant) -> None:
        self.metrics.note(report)
        self.records.reported(report, now.wall_us)
        if self.on_report is not None:
            self.on_report(report, now)
        times = self._repeated.take(_kind(report), now.mono_us) if report.name in _REFUSALS else 1
        if not times:
            return
        level = "warning" if report.name in _ALARMING else "debug" if report.name in _QUIET else "info"
        fields = {_RENAMED.get(key, key): value for key, value in report.fields.items()}
        getattr(log, level)(report.name, **fields, **({"times": times} if times > 1 else {}))

    def _failed(self, part: str, error: BaseException) -> None:
        reason = str(error).partition("\n")[0]
        self._last_error = f"{part}: {reason}"
        self.metrics.failed(part)
        times = self._repeated.take(self._last_error, self.clock.now().mono_us)
        if times:
            log.error("control.failed", part=part, error=reason, **({"times": times} if times > 1 else {}))

    # ---- what goes on ---------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Have the kernels ready before the first incident asks for them."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._compiler, warmup)
        except Exception as error:  # noqa: BLE001 - what they are needed for will fail, and say so
            self._failed("kernels", error)
        else:
            self.is_prepared.set()

    async def _keep_certified(self) -> None:
        """Sign again and again what is on file; receipts cite it."""
        loop = asyncio.get_running_loop()
        while True:
            self._is_changed.clear()
            try:
                self.node.intake.checkpoint = await loop.run_in_executor(self._pool, self._certify)
            except OSError as error:
                self._failed("checkpoint", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.checkpoint_s):
                    await self._is_changed.wait()

    async def _watch_store(self) -> None:
        while True:
            await asyncio.sleep(self.options.poll_s)
            await self._look()

    async def _look(self) -> None:
        """Look at HEAD; whatever is wrong there, what is in force stays and the next look comes."""
        now = self.clock.now()
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._pool, self.store.poll, now.wall_us)
        except Exception as error:  # noqa: BLE001 - a watch that ends would take no release any more
            if str(error) != self._store_error:
                self._failed("store", error)
            self._store_error = str(error)
            return
        self._store_error = ""
        self.metrics.head(is_refused=self.store.refused is not None)
        if isinstance(found, Unchanged):
            self._reported(Report("commit.unchanged", {"commit": found.commit}), now)
        elif isinstance(found, Refused):
            self.metrics.commit_refused()
            self._reported(
                Report("commit.refused", {"commit": found.commit, "reason": " | ".join(found.reasons)}), now
            )
        elif isinstance(found, Issued):
            self._publish(found)
        if self.store.lints != self._lints:
            self._lints = self.store.lints
            if self._lints:
                self._reported(Report("commit.linted", {"reason": " | ".join(self._lints)}), now)

    def _publish(self, issued: Issued) -> None:
        self.driver.perform(self.node.publish(issued.release, issued.sealed, self.clock.now()))

    async def rollback(self, counter: int) -> None:
        """Put an older release's exact content in force, as a new release.

        Raises:
            ConfigurationError: C0236 where there is no such release.
        """
        loop = asyncio.get_running_loop()
        now_us = self.clock.now().wall_us
        self._publish(await loop.run_in_executor(self._pool, self.store.rollback, counter, now_us))

    async def _keep_records(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            self.metrics.refresh(self.node, self.clock.now().mono_us)
            try:
                await loop.run_in_executor(self._pool, self.records.flush)
            except Exception as error:  # noqa: BLE001 - the catalogue can be made again; the evidence is on file
                self._failed("records", error)
