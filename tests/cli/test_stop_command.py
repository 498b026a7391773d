"""`ripstop stop`: keys, signatures, what they say, and the road into an agent's folder."""

import json
import threading

import pytest

from ripstop.agent import Agent, NodeSettings, Rung, Store
from ripstop.agent.tokens import FOLDER, take_tokens
from ripstop.cli.root import main
from ripstop.core.messages import StopOrder
from ripstop.core.wire.envelope import Ed25519Signer, Role
from ripstop.core.wire.keyfile import read_keyring, read_signer
from ripstop.core.wire.token import from_text, read_token, sign_stop, to_text

POLICY = "policies/payload_limit.json"


@pytest.fixture
def place(tmp_path, monkeypatch, capsys):
    """A folder with the keys of one who may stop, and of two who may lift."""
    monkeypatch.chdir(tmp_path)
    assert main(["stop", "key", "sam", "--role", "stop"]) == 0
    assert main(["stop", "key", "ann"]) == 0
    assert main(["stop", "key", "bea"]) == 0
    capsys.readouterr()
    return tmp_path


def run(capsys, *words):
    code = main(["stop", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def drone(place, name="drone-42"):
    return Agent(
        name,
        {"ripstop": 1, "id": "p", "rule": True},
        settings=NodeSettings(name, "fleet"),
        ledger=Store(place / name / "ledger", read_keyring(place, (Role.STOP, Role.RELEASE))),
    )


def test_a_key_is_its_owners_alone_and_never_written_over(place, capsys):
    assert (place / "ann.key").stat().st_mode & 0o777 == 0o600
    assert (
        read_signer(place / "ann.key", Role.RELEASE).public.hex()
        == (place / "release-ann.pub").read_text().strip()
    )
    held = (place / "ann.key").read_bytes()
    code, _, err = run(capsys, "key", "ann")
    assert (code, err[:5]) == (2, "C0245")
    assert (place / "ann.key").read_bytes() == held
    assert run(capsys, "key", "a/b")[0] == 2


def test_a_stop_is_signed_without_any_connection_and_says_what_it_is(place, capsys):
    code, out, _ = run(capsys, "sign", "smoke", "--agent", "drone-42", "--name", "s1", "--key", "sam.key")
    assert code == 0
    said = read_token(from_text(out.splitlines()[-1]))
    assert (said.scope, said.id, said.reason, said.fleet) == ("agent-drone-42", "s1", "smoke", "fleet")
    run(capsys, "sign", "smoke", "--key", "sam.key", "--to", "stop.token", "--fleet", "city")
    code, out, _ = run(capsys, "show", "stop.token", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["kind"], told["fleet"], told["scope"], told["holds"]) == ("stop", "city", "fleet", None)
    assert "not checked" in run(capsys, "show", "stop.token")[1]


def test_a_private_key_that_others_may_read_signs_nothing(place, capsys):
    (place / "sam.key").chmod(0o644)
    code, _, err = run(capsys, "sign", "smoke", "--key", "sam.key")
    assert (code, err[:5]) == (2, "C0231")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sign", "smoke"), "C0246"),
        (("sign", "smoke", "--key", "sam.key", "--send"), "C0246"),
        (("sign", "smoke", "--key", "nothing.key"), "C0231"),
        (("sign", "smoke", "--key", "sam.key", "--to", "no/where"), "C0245"),
        (("sign", "smoke", "--data", "."), "C0231"),
        (("show", "no.token"), "W0905"),
        (("send", "no.token", "--data", "."), "W0905"),
        (("show", "ann.key"), "W0201"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(place, capsys, words, code):
    (place / "no.token").write_text("stop!")
    result, _, err = run(capsys, *words)
    assert result in (1, 2)
    assert err.startswith(code)
    assert err.count("\n") == 1


def test_a_folder_of_no_ground_or_agent_is_told(place, capsys):
    run(capsys, "sign", "smoke", "--key", "sam.key", "--to", "stop.token")
    for words in (("--data", "."), ("--agent", ".")):
        code, _, err = run(capsys, "send", "stop.token", *words)
        assert (code, err[:5]) == (2, "C0306")


def signed(place, capsys, *words, to):
    assert run(capsys, *words, "--to", to)[0] == 0
    return to


class Flying:
    """An agent whose program looks into its folder, as `ripstop agent` and the sidecar do."""

    def __init__(self, place, agent):
        self.agent, self.folder = agent, place / agent.name / FOLDER
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.fly)

    def fly(self):
        while not self.is_over.wait(0.01):
            take_tokens(self.agent, self.folder)

    def __enter__(self):
        self.thread.start()
        return self.agent

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join(10)


def test_an_agent_takes_stops_and_lifts_from_its_folder_without_any_ground(place, capsys):
    stop = signed(place, capsys, "sign", "smoke", "--name", "s1", "--key", "sam.key", to="stop.token")
    lifts = [
        signed(place, capsys, "lift", "s1", "steam", "--key", f"{who}.key", to=f"{who}.token")
        for who in ("ann", "bea")
    ]
    alien = signed(place, capsys, "sign", "x", "--fleet", "other", "--key", "sam.key", to="alien.token")
    with drone(place) as agent:
        sent = ("--agent", "drone-42", "--wait", "20")
        with Flying(place, agent):
            assert run(capsys, "send", stop, *sent)[:2] == (
                0, "stop `s1` of all agents in fleet `fleet`\n  drone-42 stopped\n",
            )  # fmt: skip
            assert agent.rung is Rung.STOP
            code, out, _ = run(capsys, "send", lifts[0], *sent)
            assert code == 1
            assert "1 of 2 signatures: the stop holds until a second person" in out
            assert run(capsys, "send", lifts[0], *sent)[0] == 1, "the same key says nothing new"
            assert run(capsys, "send", *lifts, *sent)[0] == 0
            assert agent.rung is Rung.CLEAR
            code, out, _ = run(capsys, "send", stop, *sent, "--json")
            assert code == 1
            assert json.loads(out)["tokens"][0]["answers"] == {
                "drone-42": "refused: W0901: stop `s1` was lifted before"
            }
            assert "W0205" in run(capsys, "send", alien, *sent)[1]
    assert list((place / "drone-42" / FOLDER).iterdir()) == []


def test_what_lies_there_when_an_agent_starts_stops_it_before_it_acts(place, capsys):
    stop = signed(place, capsys, "sign", "smoke", "--key", "sam.key", to="stop.token")
    drone(place).close()
    code, out, _ = run(capsys, "send", stop, "--agent", "drone-42", "--wait", "0")
    assert code == 0
    assert "away: drone-42" in out
    with drone(place) as agent:
        take_tokens(agent, place / "drone-42" / FOLDER)
        assert agent.rung is Rung.STOP
    with drone(place) as agent:
        assert agent.rung is Rung.STOP, "it latches"


def test_a_file_that_is_no_token_is_answered_and_taken_away(place):
    with drone(place) as agent:
        folder = place / "drone-42" / FOLDER
        folder.mkdir()
        (folder / "a.token").write_bytes(bytes(range(256)))
        (folder / "b.token").mkdir()
        take_tokens(agent, folder)
        assert json.loads((folder / "a.answer").read_text())["code"] == "W0905"
        assert not (folder / "a.token").exists()
        assert agent.rung is Rung.CLEAR


def test_a_stop_of_long_ago_is_not_sent(place, capsys):
    old = sign_stop(read_signer(place / "sam.key", Role.STOP), "fleet", StopOrder("s1", "fleet", "x", 5))
    (place / "old.token").write_text(to_text(old))
    drone(place).close()
    code, out, _ = run(capsys, "send", "old.token", "--agent", "drone-42")
    assert code == 1
    assert "hours ago" in out
    assert not (place / "drone-42" / FOLDER).exists()
    code, out, _ = run(capsys, "send", "old.token", "--agent", "drone-42", "--max-age", "1e9", "--dry-run")
    assert (code, "would be sent" in out) == (0, True)
    assert not (place / "drone-42" / FOLDER).exists()


def test_the_keys_of_a_ground_are_found_by_their_public_halves(place, capsys):
    from ripstop.control.audit.trust import Trust
    from ripstop.control.store.keys import FleetKeys

    keys = FleetKeys.load(place / "data" / "keys")
    Trust("city", keys.trusted()).save(place / "data" / "audit")
    assert run(capsys, "sign", "smoke", "--data", "data", "--to", "stop.token")[0] == 0
    assert run(capsys, "show", "stop.token", "--data", "data")[:2][0] == 0
    stranger = Ed25519Signer(b"s" * 32, Role.STOP)
    (place / "forged.token").write_text(
        to_text(sign_stop(stranger, "city", StopOrder("s1", "fleet", "x", 5)))
    )
    code, out, _ = run(capsys, "show", "forged.token", "--data", "data")
    assert code == 1
    assert "W0202" in out
    assert run(capsys, "send", "stop.token", "--data", "data", "--dry-run")[0] == 0
