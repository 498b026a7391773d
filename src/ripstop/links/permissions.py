"""Who may publish and hear what on the server, as NATS permissions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..core.errors import ConfigurationError
from ..core.subjects import Subjects, check_id
from .nkey import public_key

User: TypeAlias = dict[str, object]
UP = ("beat", "frame", "work", "notice", "ack", "segment")
RESERVED = ("control", "observer", "enrol", "ground", "watch")
# Each connection that ends is told here; agents live in the server's global account.
DEPARTURES = "$SYS.ACCOUNT.$G.DISCONNECT"


def enrol_subject(fleet: str) -> str:
    """Where a device asks to be enrolled."""
    return f"ripstop.{fleet}.enrol"


def writing_subject(bucket: str, control_seed: str) -> str:
    """Give the subject under which the ground writes durable keys: one that its own key alone knows.

    The server answers a direct get wherever the asking device says, and holds that to nobody's permissions.
    So the bucket listens to a subject that no device can name, and stores what comes under the keys' own.
    """
    return f"$STORE.{hashlib.sha256(f'{bucket} {control_seed}'.encode()).hexdigest()[:32]}"


def check_agent_id(agent: str) -> str:
    """Give the id back if an agent may have it.

    Raises:
        ConfigurationError: C0101 for an id that cannot stand in a subject, C0504 for a reserved one.
    """
    if check_id(agent) in RESERVED:
        raise ConfigurationError(f"`{agent}` is a reserved name", code="C0504")
    return agent


def _permissions(publish: Sequence[str], subscribe: Sequence[str]) -> dict[str, object]:
    """Name what is allowed; an empty list would allow everything, so nothing is denied by name."""
    nothing = {"deny": [">"]}
    return {
        "publish": {"allow": list(publish)} if publish else nothing,
        "subscribe": {"allow": list(subscribe)} if subscribe else nothing,
    }


def agent_user(fleet: str, agent: str, key: str, bucket: str) -> User:
    """Give an agent's user: its own subjects, its own inbox, and reading the keys that concern it."""
    names = Subjects(fleet)
    scopes = ("fleet", f"agent-{agent}")
    keys = [names.bundle_key, names.admission_key, *(names.intent_key(scope) for scope in scopes)]
    publish = [names.of(topic, agent) for topic in UP]
    publish.append(names.peer("*", agent))
    publish += [f"$JS.API.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}" for key in keys]
    subscribe = [names.tick, names.bundle, names.stop, *(names.intent(scope) for scope in scopes)]
    subscribe += [names.of("receipt", agent), names.peers_of(agent), f"_INBOX.{agent}.>"]
    return {"nkey": key, "permissions": _permissions(publish, subscribe)}


def mqtt_user(fleet: str, agent: str, password: str) -> User:
    """Give the user of a device that speaks MQTT: it has no nkey, so it signs nothing and has no ledger.

    `gone` is for its will; its subscriptions are of quality 0, as everything here is said again anyway.
    """
    names = Subjects(fleet)
    publish = [names.of(topic, agent) for topic in (*UP, "gone") if topic != "segment"]
    subscribe = [names.tick, names.bundle, names.stop]
    subscribe += [names.intent("fleet"), names.intent(f"agent-{agent}")]
    return {
        "user": agent,
        "password": password,
        "allowed_connection_types": ["MQTT"],
        "permissions": _permissions(publish, subscribe),
    }


def control_user(fleet: str, seed: str, bucket: str) -> User:
    """Give the control plane's user: the fleet's subjects and the durable keys."""
    allowed = [f"ripstop.{fleet}.>"]
    api = [f"$JS.API.STREAM.{verb}.KV_{bucket}" for verb in ("CREATE", "UPDATE")]
    api += [f"$JS.API.DIRECT.GET.KV_{bucket}.>", f"{writing_subject(bucket, seed)}.>"]
    # It answers enrolments and operators by name: a response permission would be lost in the reload that lets
    # the agent in.
    publish = [*allowed, *api, "_INBOX.enrol.>", "_INBOX.ground.>"]
    permissions = _permissions(publish, [*allowed, "_INBOX.control.>", "_INBOX.ground.>"])
    return {"nkey": public_key(seed), "permissions": permissions}


def observer_user(password: str) -> User:
    """Give the read-only user for tools by others: it hears everything of the fleet and says nothing."""
    permissions = _permissions([], [">"])
    permissions["subscribe"] = {"allow": [">"], "deny": ["$STORE.>"]}
    return {"user": "observer", "password": password, "permissions": permissions}


def enrol_user(fleet: str, password: str) -> User:
    """Give the user of devices that have no key on the server yet: it may ask to be enrolled."""
    return {
        "user": "enrol",
        "password": password,
        "permissions": _permissions([enrol_subject(fleet)], ["_INBOX.enrol.>"]),
    }


def watch_user(password: str) -> User:
    """Give the system account's user, which hears whose connection has ended."""
    return {"user": "watch", "password": password, "permissions": _permissions([], [DEPARTURES])}


def users(
    fleet: str, bucket: str, control_seed: str, passwords: Mapping[str, str], agents: Mapping[str, str]
) -> list[User]:
    """Give all users of a fleet's server but the devices that speak MQTT; `agents` are public nkeys by id."""
    return [
        control_user(fleet, control_seed, bucket),
        observer_user(passwords["observer"]),
        enrol_user(fleet, passwords["enrol"]),
        *(agent_user(fleet, agent, key, bucket) for agent, key in sorted(agents.items())),
    ]
