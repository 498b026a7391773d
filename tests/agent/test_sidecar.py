"""The sidecar as a program in another language meets it: over its socket, with a client by others."""

import math
import stat

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.payloads import BARE, LIMITED
from agent.sidecar_stage import serving, talking
from ripstop.agent import Agent, BreakerSettings, NodeSettings
from ripstop.agent.inspection import inspect_ledger
from ripstop.agent.sidecar import Sidecar, SidecarSettings
from ripstop.core.errors import ConfigurationError

QUICK = BreakerSettings(minimum_number_of_calls=2, slow_call_duration_s=5.0, wait_s=30.0)


def agent(name="drone-42", policies=BARE, **more):
    settings = NodeSettings(name, call_breaker=more.pop("call_breaker", QUICK), **more.pop("settings", {}))
    return Agent(name, policies, settings=settings, **more)


def refused(code, agents, settings):
    with pytest.raises(ConfigurationError, match=code), serving(agents, settings):
        pass


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.sock"


@pytest.fixture
def client(path):
    with agent() as served, talking([served], SidecarSettings(path)) as client:
        yield client


def test_a_decision_says_verdict_limits_reasons_and_evidence(client):
    client.post("/v1/observe", readings={"battery_percent": 26})
    allowed = client.post("/v1/decide", action="accept_task", context={"payload_kg": 0.5})
    assert (allowed["verdict"], allowed["reasons"], allowed["breaker"]) == ("allow", [], None)
    assert allowed["context"] == {"payload_kg": 0.5}
    assert allowed["evidence"][0]["read"].startswith("0x")
    denied = client.post("/v1/decide", action="accept_task", context={"payload_kg": 2.5})
    assert (denied["verdict"], denied["call"]) == ("deny", None)
    assert [reason["code"] for reason in denied["reasons"]] == ["denied"]


def test_what_is_unknown_is_denied(client):
    for context in ({}, {"battery_percent": None}, {"battery_percent": "full"}, {"battery_percent": [[1]]}):
        assert client.post("/v1/decide", action="take_off", context=context)["verdict"] == "deny"


def test_a_limit_is_told_or_clamped_as_the_action_declares(path):
    with agent(policies=LIMITED) as served, talking([served], SidecarSettings(path)) as client:
        client.post("/v1/observe", readings={"battery_percent": 20})
        limited = client.post("/v1/decide", action="take_off", context={"payload_kg": 2.0})
        assert (limited["verdict"], limited["call"]) == ("limit", None)
        assert limited["limits"] == [{"parameter": "payload_kg", "min": None, "max": 1.0}]
        clamped = client.post("/v1/decide", action="accept_task", context={"payload_kg": 2.0})
        assert (clamped["verdict"], clamped["context"]) == ("allow", {"payload_kg": 1.0})


def test_an_alarm_is_told_and_opens_the_anomaly_breaker_for_all_but_failsafes(path):
    with agent(policies=LIMITED) as served, talking([served], SidecarSettings(path)) as client:
        for percent in (80, 79, 78):
            assert client.post("/v1/observe", readings={"battery_percent": percent})["alarms"] == {}
        found = client.post("/v1/observe", readings={"battery_percent": 12})
        alarm = found["alarms"]["battery_percent"]
        assert (alarm["kind"], alarm["value"], found["breaker"]) == ("level", 12, "open")
        assert "sigma below" in alarm["text"]
        missing = client.post("/v1/observe", readings={"battery_percent": "dead"})["alarms"]
        assert missing["battery_percent"]["score"] is None  # infinite: JSON has no word for it
        denied = client.post("/v1/decide", action="take_off", context={"payload_kg": 0.1})
        assert (denied["verdict"], denied["breaker"]["name"]) == ("deny", "anomaly")
        assert denied["breaker"]["retry_s"] > 0
        landing = client.post("/v1/decide", action="land")
        assert landing["verdict"] == "allow"
        assert client.post("/v1/outcome", call=landing["call"], outcome="failure")["counted"] is False


def test_a_failsafe_is_allowed_however_many_other_names_came_before(path):
    with agent(policies=LIMITED) as served, talking([served], SidecarSettings(path)) as client:
        told = [client.ask("POST", "/v1/decide", {"action": f"a{number}"})[0] for number in range(1025)]
        assert told[-2:] == [200, 429]
        assert client.post("/v1/decide", action="land")["verdict"] == "allow"


@pytest.mark.parametrize("outcome", ["failure", "slow"])
def test_outcomes_feed_the_breaker_of_their_action_alone(client, outcome):
    for _ in range(2):
        call = client.post("/v1/decide", action="drill", context={"battery_percent": 80})["call"]
        told = client.post("/v1/outcome", call=call, outcome=outcome)
        assert told["counted"] is True
    assert told["breaker"]["state"] == "open"
    denied = client.post("/v1/decide", action="drill", context={"battery_percent": 80})
    assert (denied["verdict"], denied["call"], denied["breaker"]["name"]) == ("deny", None, "drill")
    assert denied["reasons"][-1]["code"] == "call_breaker"
    assert denied["breaker"]["retry_s"] > 0
    dry = client.post("/v1/decide", action="drill", context={"battery_percent": 80}, dry_run=True)
    assert dry["verdict"] == "deny"
    other = client.post("/v1/decide", action="saw", context={"battery_percent": 80})
    assert other["verdict"] == "allow"


def test_a_duration_decides_what_is_slow_and_a_cancelled_call_counts_neither_way(client):
    for told, counted in (({"outcome": "cancelled"}, False), ({"outcome": "success", "duration_s": 4}, True)):
        call = client.post("/v1/decide", action="drill", context={"battery_percent": 80})["call"]
        assert client.post("/v1/outcome", call=call, **told)["counted"] is counted
    for _ in range(2):
        found = client.post("/v1/outcome", action="lift", outcome="success", duration_s=5.5)
    assert found["breaker"] == {"name": "lift", "state": "open", "retry_s": None}
    assert client.post("/v1/outcome", action="lift", outcome="success")["counted"] is False


def test_an_outcome_is_told_once(client):
    call = client.post("/v1/decide", action="drill", context={"battery_percent": 80})["call"]
    status, answer = client.ask("POST", "/v1/outcome", {"call": call, "outcome": "success", "action": "saw"})
    assert (status, answer["error"]["code"]) == (400, "W0703")
    client.post("/v1/outcome", call=call, outcome="success")
    status, answer = client.ask("POST", "/v1/outcome", {"call": call, "outcome": "success"})
    assert (status, answer["error"]["code"]) == (404, "W0712")


def test_a_call_that_nobody_ends_gives_its_probe_back(path):
    import time

    settings = BreakerSettings(minimum_number_of_calls=1, permitted_calls_in_half_open=1, wait_s=0.001)
    with (
        agent(call_breaker=settings) as served,
        talking([served], SidecarSettings(path, call_s=0.05)) as client,
    ):
        asked = {"action": "drill", "context": {"battery_percent": 80}}
        client.post("/v1/outcome", action="drill", outcome="failure")
        deadline = time.monotonic() + 10
        while client.post("/v1/decide", **asked)["verdict"] != "allow":  # the probe; nobody ends it
            assert time.monotonic() < deadline
        while client.post("/v1/decide", **asked)["verdict"] != "allow":
            assert time.monotonic() < deadline


def test_a_dry_run_leaves_no_trace(tmp_path, path):
    folder = tmp_path / "ledger"
    with agent(ledger=folder) as served, talking([served], SidecarSettings(path)) as client:
        asked = {"action": "drill", "context": {"battery_percent": 80}}
        dry = client.post("/v1/decide", **asked, dry_run=True)
        assert (dry["verdict"], dry["call"]) == ("allow", None)
        client.post("/v1/decide", **asked)
    kinds = [entry.kind.value for _, entry in inspect_ledger(folder).ledger.entries]
    assert kinds.count("decision") == 1


def test_one_process_serves_a_gateway(path):
    with (
        agent("pump-1") as one,
        agent("pump-2") as two,
        talking([one, two], SidecarSettings(path)) as client,
    ):
        client.post("/v1/observe", agent="pump-1", readings={"battery_percent": 80})
        assert client.post("/v1/decide", agent="pump-1", action="start")["verdict"] == "allow"
        assert client.post("/v1/decide", agent="pump-2", action="start")["verdict"] == "deny"
        status, answer = client.ask("POST", "/v1/decide", {"action": "start"})
        assert (status, answer["error"]["code"]) == (400, "W0703")
        status, answer = client.ask("POST", "/v1/decide", {"action": "start", "agent": "pump-3"})
        assert (status, answer["error"]["code"]) == (404, "W0714")


def test_health_and_metrics_speak_of_what_happened(client):
    client.post("/v1/decide", action="drill", context={"battery_percent": 80})
    client.post("/v1/outcome", action="drill", outcome="failure")
    client.ask("GET", "/nowhere")
    status, health = client.ask("GET", "/v1/health")
    assert (status, health["status"], health["agents"][0]["pending_calls"]) == (200, "ok", 1)
    _, text = client.ask("GET", "/metrics")
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["ripstop_decisions_total", "allow", "drone-42"] == 1
    assert found["ripstop_outcomes_total", "drone-42", "failure"] == 1
    assert found["ripstop_sidecar_requests_total", "404", "other"] == 1
    assert found["ripstop_breaker_state", "closed", "drone-42"] == 1
    assert found["ripstop_breaker_state", "drone-42", "open"] == 0
    assert found["ripstop_calls_pending", "drone-42"] == 1
    assert found["ripstop_sidecar_request_duration_seconds_count",] == 4
    assert client.ask("HEAD", "/metrics") == (200, "")


def test_a_disk_that_fails_makes_the_sidecar_unhealthy_and_denies_all_but_failsafes(tmp_path, path):
    with (
        agent(policies=LIMITED, ledger=tmp_path / "l", settings={"durable": True}) as served,
        talking([served], SidecarSettings(path)) as client,
    ):
        client.post("/v1/observe", readings={"battery_percent": 80})
        asked = {"action": "take_off", "context": {"payload_kg": 0.5}}
        assert client.post("/v1/decide", **asked)["verdict"] == "allow"
        works = served.disk.sync

        def full():
            raise OSError(28, "No space left on device")

        served.disk.sync = full
        assert client.post("/v1/decide", **asked)["verdict"] == "deny"
        assert client.post("/v1/decide", action="land")["verdict"] == "allow"
        status, health = client.ask("GET", "/v1/health")
        assert (status, health["status"]) == (503, "failing")
        served.disk.sync = works


def test_the_loopback_port_wants_the_token(tmp_path):
    import http.client
    import json

    file = tmp_path / "token"
    with agent() as served, serving([served], SidecarSettings(port=0, token_file=file)) as sidecar:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        host = sidecar.address.removeprefix("http://")
        assert host.startswith("127.0.0.1:")
        token = file.read_text().strip()
        for borne, status in (
            (f"Bearer {token}", 200),
            (f"bearer  {token}", 200),
            (f"Basic {token}", 401),
            ("Bearer no", 401),
            (token, 401),
            ("\xe9", 401),
            ("", 401),
        ):
            line = http.client.HTTPConnection(host, timeout=10)
            line.request("GET", "/v1/health", headers={"Authorization": borne})
            answer = line.getresponse()
            body = json.loads(answer.read())
            line.close()
            assert (borne, answer.status) == (borne, status)
            assert status == 200 or body["error"]["code"] == "W0710"


def test_the_socket_is_its_owner_s_alone_and_gone_afterwards(path):
    with agent() as served:
        with talking([served], SidecarSettings(path)) as client:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with agent("other") as second:
                refused("C0381", [second], SidecarSettings(path))
            assert client.ask("GET", "/v1/health")[0] == 200
        assert not path.exists()


def test_a_socket_that_was_left_behind_is_replaced_and_nothing_else_is(path):
    import socket

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with agent() as served, talking([served], SidecarSettings(path)) as client:
        assert client.ask("GET", "/v1/health")[0] == 200
    path.write_text("precious")
    with agent() as served:
        refused("C0382", [served], SidecarSettings(path))
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "mode"), [("short", 0o600), ("x" * 64, 0o644), ("two words of it all", 0o600)]
)
def test_a_token_that_is_none_or_that_others_may_read_is_refused(tmp_path, content, mode):
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with agent() as served:
        refused("C0384", [served], SidecarSettings(port=0, token_file=file))


def test_settings_that_make_no_sense_are_refused(tmp_path):
    for wrong in ({}, {"port": 0}, *({"socket": tmp_path / "s", "call_s": s} for s in (0, math.inf, "9"))):
        with pytest.raises(ConfigurationError, match="C0385"):
            SidecarSettings(**wrong)
    with agent() as one, agent() as two, pytest.raises(ConfigurationError, match="C0385"):
        Sidecar([one, two], SidecarSettings(tmp_path / "s"))
    with agent() as one:
        refused("C0382", [one], SidecarSettings(tmp_path / ("s" * 120)))
    with agent() as one:
        refused("C0383", [one], SidecarSettings(port=70_000, token_file=tmp_path / "t"))
