"""The wires: a network in virtual time, NATS with its embedded server, the shell that runs a node live."""

from .backoff import Backoff
from .conditions import ClockSkew, Conditions
from .connection import Login
from .departures import Departures
from .driver import NodeDriver
from .durable import Disk, DurableKeys, MemoryDisk
from .enrolment import EnrolmentDesk, enrol
from .errors import LinkDownError, LinkRefusedError
from .identity import Identity
from .memory import MemoryNetwork
from .nats import LinkSettings, NatsLink
from .server import NatsServer
from .timeline import Timeline

__all__ = [
    "Backoff",
    "ClockSkew",
    "Conditions",
    "Departures",
    "Disk",
    "DurableKeys",
    "EnrolmentDesk",
    "Identity",
    "LinkDownError",
    "LinkRefusedError",
    "LinkSettings",
    "Login",
    "MemoryDisk",
    "MemoryNetwork",
    "NatsLink",
    "NatsServer",
    "NodeDriver",
    "Timeline",
    "enrol",
]
