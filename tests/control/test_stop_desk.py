"""Stops that stand in a fleet: what the ground takes from operators, sends on, and tells again."""

import asyncio
import json
import sys

import pytest

from control.governed_fleet import FLEET, KEYS, GovernedFleet
from control.scripted_fleet import drone
from control.test_control_service import options, running, until
from ripstop.agent.ladder import Rung
from ripstop.cli.invitation import Invitation
from ripstop.cli.root import main
from ripstop.control.audit.verify import verify_run
from ripstop.control.service import ControlService
from ripstop.control.stops import STREAM, StopDesk, within
from ripstop.core.errors import WireError
from ripstop.core.messages import StopLift, StopOrder
from ripstop.core.node import Append, Report, Send
from ripstop.core.subjects import Subjects
from ripstop.core.wire.envelope import Ed25519Signer, Keyring, Role, TrustedKey
from ripstop.core.wire.token import from_text, open_token, read_token, sign_lift, sign_stop, to_text

ANN = Ed25519Signer(b"a" * 32, Role.RELEASE)
STRANGER = Ed25519Signer(b"s" * 32, Role.STOP)
RING = Keyring.of([*KEYS.trusted(), TrustedKey(ANN.public, Role.RELEASE)])
NAMES = Subjects(FLEET)


def stop(name="s1", scope="fleet", key=KEYS.stop, fleet=FLEET, issued_us=5):
    return sign_stop(key, fleet, StopOrder(name, scope, "smoke", issued_us))


def lift(name="s1", key=KEYS.release):
    return sign_lift(key, FLEET, StopLift(name, "steam"))


def desk(keyring=RING):
    return StopDesk(NAMES, keyring)


def give(made, data):
    return made.take(data, lambda agent: agent == "d1")


def test_a_tokens_text_reads_back_and_says_what_it_is():
    for token in (stop(scope="agent-d1"), lift()):
        assert from_text(f" {to_text(token)[:40]}\n{to_text(token)[40:]}\n") == token
    said = read_token(stop(scope="agent-d1"))
    assert (said.is_lift, said.fleet, said.scope, said.id, said.issued_us) == (
        False,
        FLEET,
        "agent-d1",
        "s1",
        5,
    )
    assert open_token(RING, FLEET, lift()).is_lift


@pytest.mark.parametrize("text", ["", "  \n", "not base64!", "é", "AAA"])
def test_a_text_that_is_no_token_is_refused(text):
    with pytest.raises(WireError) as caught:
        from_text(text)
    assert caught.value.code == "W0905"


def test_what_is_taken_is_sent_kept_and_told():
    token, effects = give(desk(), stop())
    assert token.id == "s1"
    sent, kept, told = effects
    assert sent == Send(NAMES.stop, stop())
    assert kept == Append(STREAM, stop())
    assert isinstance(told, Report)
    assert told.name == "stop.sent"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (stop(key=STRANGER), "W0202"),
        (stop(key=KEYS.release), "W0204"),
        (lift(key=KEYS.stop), "W0204"),
        (stop(fleet="elsewhere"), "W0205"),
        (stop(scope="agent-nobody"), "W0207"),
        (stop(scope="region-north"), "W0207"),
        (stop("local-1"), "W0902"),
        (stop()[:-1], "W0101"),
        (b"", "W0201"),
    ],
)
def test_what_may_not_stop_or_lift_is_not_sent_on(data, code):
    made = desk()
    with pytest.raises(WireError) as caught:
        give(made, data)
    assert caught.value.code == code
    made.is_due = True
    assert made.standing() == []


def test_a_stop_stands_until_two_keys_have_signed_and_cannot_come_back():
    made = desk()
    give(made, stop())
    give(made, lift())
    assert len(give(made, lift())[1]) == 1, "the same key again is sent, and no news"
    assert made.signatures("s1") == 1
    give(made, stop())
    give(made, lift(key=ANN))
    assert made.signatures("s1") == 2
    with pytest.raises(WireError, match="lifted before"):
        give(made, stop())


def test_two_stops_of_one_name_are_refused_and_so_is_one_too_many():
    made = desk()
    for number in range(16):
        give(made, stop(f"s{number}"))
    for data, code in ((stop("s1", issued_us=6), "W0906"), (stop("more"), "W0903")):
        with pytest.raises(WireError) as caught:
            give(made, data)
        assert caught.value.code == code


def test_whoever_comes_back_is_told_what_stands_once_for_all():
    made = desk()
    give(made, stop("over"))
    give(made, lift("over"))
    give(made, lift("over", ANN))
    give(made, stop())
    assert made.standing() == []
    made.is_due = True
    assert [effect.data for effect in made.standing()] == [stop(), lift("over"), lift("over", ANN)]
    assert made.standing() == []


def test_a_restart_takes_what_stands_from_the_record_but_nothing_of_a_key_that_was_exchanged():
    known, exchanged = desk(), desk(Keyring.of([TrustedKey(ANN.public, Role.RELEASE)]))
    for made in (known, exchanged):
        for record in (stop(), lift(), lift(key=ANN), stop("s2"), b"nonsense"):
            made.restore(record)
    assert list(known.stops) == ["s2"]
    assert not exchanged.stops


def test_a_scope_means_the_fleet_or_one_agent():
    assert within("fleet", ["a", "b"]) == ["a", "b"]
    assert within("agent-b", ["a", "b"]) == ["b"]


# ---- with agents ------------------------------------------------------------------------------------------


def test_agents_stop_lift_and_hear_of_a_stop_when_they_return():
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.control.stops.keyring = RING
    fleet.run(4)

    def hand(data):
        now = fleet.network.now("control")
        found, effects = fleet.control.take_token(data, now)
        fleet.network.perform("control", effects)
        fleet.run(1)
        return found

    def rungs():
        return {name: agent.responder.rung for name, agent in fleet.agents.items()}

    fleet.network.disconnect("d002")
    hand(stop())
    assert rungs() == {"d000": Rung.STOP, "d001": Rung.STOP, "d002": Rung.CLEAR}
    fleet.run(20)
    fleet.network.reconnect("d002")
    fleet.run(6)
    assert set(rungs().values()) == {Rung.STOP}
    assert [f["id"] for f in fleet.named("stop.sent")] == ["s1"]
    assert isinstance(hand(stop(key=STRANGER)), WireError)
    assert [f["code"] for f in fleet.named("stop.refused")] == ["W0202"]
    logged = fleet.network.disk("control").read("incidents")
    assert sum(b"stop." in record for record in logged) == 2


def test_a_stop_of_another_agent_is_no_news_to_the_rest():
    fleet = GovernedFleet([drone(row, 3) for row in range(3)])
    fleet.run(4)
    fleet.network.perform("control", [Send(NAMES.stop, stop(scope="agent-d001"))])
    fleet.run(2)
    assert fleet.agents["d001"].responder.rung is Rung.STOP
    assert fleet.agents["d000"].responder.rung is Rung.CLEAR
    assert not any(report.name == "stop.refused" for _, report in fleet.reports)


# ---- the command, live ------------------------------------------------------------------------------------


@pytest.mark.nats
def test_an_operator_stops_and_lifts_from_the_command_line_over_a_restart(tmp_path):
    data = tmp_path / "data"
    keys = data / "keys"
    keys.mkdir(parents=True)
    assert main(["stop", "key", "ann", "--folder", str(tmp_path)]) == 0
    assert main(["stop", "key", "sam", "--role", "stop", "--folder", str(tmp_path)]) == 0
    for name in ("release-ann.pub", "stop-sam.pub"):
        (tmp_path / name).rename(keys / name)

    async def order(service, *words):
        Invitation(service.server.address, "none").write(data)
        line = (
            sys.executable,
            "-m",
            "ripstop",
            "stop",
            *words,
            "--data",
            str(data),
            "--json",
            "--wait",
            "20",
        )
        process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        return process.returncode, json.loads(out)

    async def scenario():
        async with running(tmp_path) as (service, crew):
            port = int(service.server.address.rpartition(":")[2])
            sam = ("--key", str(tmp_path / "sam.key"))
            code, said = await order(service, "sign", "rotor noise", "--agent", "d003", *sam, "--send")
            assert (code, said["answers"]) == (0, {"d003": "stopped"})
            code, said = await order(service, "sign", "smoke", "--name", "s1", "--send")
            assert code == 0
            assert said["answers"] == dict.fromkeys(crew.nodes, "stopped")
            code, said = await order(service, "lift", "s1", "steam", "--send")
            assert (code, said["signatures"], said["in_effect"]) == (1, 1, False)
            assert set(said["answers"].values()) == {"holds on"}
            await service.stop()
            again = ControlService(options(tmp_path, port=port))
            await again.start()
            try:
                await until(lambda: len(again.node.registry.present()) == len(crew.nodes))
                assert all(node.responder.rung is Rung.STOP for node in crew.nodes.values())
                ann = ("--key", str(tmp_path / "ann.key"))
                code, said = await order(again, "lift", "s1", "steam", *ann, "--send")
                assert (code, said["signatures"]) == (0, 2)
                assert said["answers"] == dict.fromkeys(crew.nodes, "lifted")
                held = [name for name, node in crew.nodes.items() if node.responder.rung is Rung.STOP]
                assert held == ["d003"]
            finally:
                await again.stop()

    asyncio.run(scenario())
    result = verify_run(data)
    assert [str(finding) for finding in result.findings] == []
    assert result.counts["log.stops"] == 4
