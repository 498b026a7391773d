"""What others send: every answer is a coded error, none allows anything, and the sidecar goes on."""

import json
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sidecar_stage import Client, exchange, raw, received, serving, talking
from ripstop.agent import Agent
from ripstop.agent.sidecar import SidecarSettings
from ripstop.agent.sidecar.message import MAX_BODY, RequestError, read_head, read_json
from ripstop.agent.sidecar.server import Bounds
from ripstop.core.chance import stream

ALWAYS = {"ripstop": 1, "id": "permit", "rule": True}
BODIES = {
    "not-a-number": (b'{"action": "a", "context": {"x": NaN}}', "W0702"),
    "infinity": (b'{"action": "a", "context": {"x": -Infinity}}', "W0702"),
    "beyond-binary64": (b'{"action": "a", "context": {"x": 1e999}}', "W0702"),
    "beyond-2^53": (b'{"action": "a", "context": {"x": 9007199254740993}}', "W0702"),
    "ten-thousand-digits": (b'{"action": "a", "context": {"x": ' + b"9" * 10_000 + b"}}", "W0702"),
    "deep-arrays": (b'{"action": "a", "context": {"x": ' + b"[" * 60_000, "W0702"),
    "deep-objects": (b'{"a":' * 12_000, "W0702"),
    "300-levels": (b'{"action": "a", "context": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}", "W0702"),
    "bad-utf-8": (b'{"action": "\xff\xfe"}', "W0702"),
    "half-a-pair": (b'{"action": "\\ud800"}', "W0702"),
    "twice": (b'{"action": "a", "action": "b"}', "W0702"),
    "trailing": (b'{"action": "a"} {}', "W0702"),
    "empty": (b"", "W0702"),
    "nul": (b"\0" * 100, "W0702"),
    "no-object": (b'["action"]', "W0703"),
    "null": (b"null", "W0703"),
    "missing": (b"{}", "W0703"),
    "unknown-key": (b'{"action": "a", "verdict": "allow"}', "W0703"),
    "wrong-action": (b'{"action": 1}', "W0703"),
    "empty-action": (b'{"action": ""}', "W0703"),
    "long-action": (b'{"action": "' + b"a" * 300 + b'"}', "W0703"),
    "wrong-context": (b'{"action": "a", "context": [1]}', "W0703"),
    "null-context": (b'{"action": "a", "context": null}', "W0703"),
    "wrong-flag": (b'{"action": "a", "dry_run": 1}', "W0703"),
    "wrong-agent": (b'{"action": "a", "agent": "b"}', "W0714"),
}
HEADS = {
    "nonsense": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "W0701"),
    "no-version": (b"GET /v1/health\r\n\r\n", 400, "W0701"),
    "http-2": (b"PRI * HTTP/2.0\r\n\r\n", 400, "W0701"),
    "absolute": (b"GET http://localhost/v1/health HTTP/1.1\r\n\r\n", 400, "W0701"),
    "folded": (b"GET /v1/health HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, "W0701"),
    "bare-lf": (b"GET /v1/health HTTP/1.1\nA: b\r\n\r\n", 400, "W0701"),
    "space-before-colon": (b"GET /v1/health HTTP/1.1\r\nA : b\r\n\r\n", 400, "W0701"),
    "two-lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "W0701"),
    "signed-length": (b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400, "W0701"),
    "negative-length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "W0701"),
    "endless-length": (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, "W0701"),
    "no-host": (b"GET /v1/health HTTP/1.1\r\n\r\n", 400, "W0701"),
    "no-length": (b"POST /v1/decide HTTP/1.1\r\n\r\n{}", 411, "W0706"),
    "chunks": (b"POST /v1/decide HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "W0706"),
    "long-header": (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000 + b"\r\n\r\n", 431, "W0707"),
    "endless-header": (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000, 431, "W0707"),
    "large": (b"POST /v1/decide HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b" " * 70_000, 413, "W0708"),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("sidecar") / "s.sock"
    bounds = Bounds(connections=8, idle_s=20.0, request_s=0.3, write_s=0.3)
    with Agent("a", ALWAYS) as agent, serving([agent], SidecarSettings(path, bounds=bounds)):
        yield path


@pytest.fixture
def client(path):
    made = Client(path)
    yield made
    status, answer = made.ask("POST", "/v1/decide", {"action": "a"})
    assert (status, answer["verdict"]) == (200, "allow")  # it is there as before
    made.close()


def answered(raw_answer):
    head, _, body = raw_answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_none_gets_a_coded_error_on_a_connection_that_stays(client, case):
    body, code = BODIES[case]
    for _ in range(2):
        status, answer = client.ask("POST", "/v1/decide", body)
        assert (status, list(answer)) == (404 if code == "W0714" else 400, ["error"])
        assert answer["error"]["code"] == code


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_is_none_gets_a_coded_error_and_ends_the_connection(path, client, case):
    sent, status, code = HEADS[case]
    found, answer = answered(exchange(path, sent))
    assert (found, answer["error"]["code"]) == (status, code)


def test_levels_that_no_record_holds_are_a_verdict_and_no_fault_of_ours(path, client):
    deep = json.loads("[" * 150 + "5" + "]" * 150)
    assert client.post("/v1/decide", action="a", context={"x": deep})["verdict"] == "allow"
    assert client.post("/v1/observe", readings={"x": deep})["alarms"] == {}


def test_a_hundred_thousand_levels_are_too_large(path, client):
    body = b"[" * 100_000
    head = b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert answered(exchange(path, head + body))[1]["error"]["code"] == "W0708"
    with pytest.raises(RequestError, match="W0702"):
        read_json(body)


@pytest.mark.parametrize(
    ("request_line", "status", "code", "allow"),
    [
        (("GET", "/"), 404, "W0704", None),
        (("POST", "/v1/decide/"), 404, "W0704", None),
        (("GET", "/v1/../v1/decide"), 404, "W0704", None),
        (("GET", "/v1/decide"), 405, "W0711", "POST"),
        (("DELETE", "/v1/decide"), 405, "W0711", "POST"),
        (("OPTIONS", "/v1/observe"), 405, "W0711", "POST"),
        (("PUT", "/metrics"), 405, "W0711", "GET, HEAD"),
        (("POST", "/v1/health"), 405, "W0711", "GET, HEAD"),
    ],
)
def test_unknown_paths_and_methods(client, request_line, status, code, allow):
    found, answer = client.ask(*request_line, b"{}")
    assert (found, answer["error"]["code"], client.fields.get("Allow")) == (status, code, allow)


@pytest.mark.parametrize(
    "sent",
    [
        b"P",
        b"POST /v1/decide HTTP/1.1\r\nContent-Le",
        b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_who_sends_too_slowly_is_told_and_let_go(path, client, sent):
    assert answered(exchange(path, sent))[1]["error"]["code"] == "W0705"


@pytest.mark.parametrize(
    "sent", [b"GET /v1/hea", b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"]
)
def test_a_request_that_ends_in_the_middle_is_told(path, client, sent):
    assert answered(exchange(path, sent, half_close=True))[1]["error"]["code"] == "W0701"


def test_a_whole_request_on_a_half_closed_connection_is_answered(path, client):
    found, answer = answered(exchange(path, b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True))
    assert (found, answer["status"]) == (200, "ok")
    assert exchange(path, b"", half_close=True) == b""


def test_requests_may_come_in_pieces_and_in_a_row(path, client):
    one = b'POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"action": "a"}'
    assert exchange(path, one * 3, half_close=True).count(b'"verdict": "allow"') == 3
    with raw(path) as line:
        for byte in one:
            line.sendall(bytes([byte]))
        line.shutdown(socket.SHUT_WR)
        assert answered(received(line))[1]["verdict"] == "allow"


def test_a_client_that_waits_for_leave_gets_it(path, client):
    with raw(path) as line:
        line.sendall(
            b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\nExpect: 100-continue\r\n\r\n"
        )
        assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(b'{"action": "a"}')
        assert line.recv(10_000).startswith(b"HTTP/1.1 200 OK")


def test_an_old_or_closing_client_is_hung_up_on(path, client):
    for version, fields in ((0, b""), (1, b"Connection: close\r\n"), (1, b"Connection: TE, Close\r\n")):
        sent = b"GET /v1/health HTTP/1.%d\r\n%s\r\n" % (version, fields)
        assert b"Connection: close" in exchange(path, sent)


def test_too_many_connections_are_turned_away_and_then_taken_again(path, client):
    lines = [raw(path) for _ in range(8)]
    for line in lines:
        line.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(10_000).startswith(b"HTTP/1.1 200")
    found = exchange(path, b"")
    assert answered(found)[0] == 429
    assert b"Retry-After: 1" in found
    for line in lines:
        line.close()


def test_who_never_asks_anything_is_let_go_soon(path, client):
    assert exchange(path, b"") == b""


def test_strangers_at_the_port_keep_nobody_out_of_the_socket(tmp_path):
    path, token = tmp_path / "s.sock", tmp_path / "token"
    bounds = Bounds(connections=3, request_s=5.0)
    settings = SidecarSettings(path, 0, token, bounds=bounds)
    with Agent("a", ALWAYS) as agent, serving([agent], settings) as sidecar:
        address = ("127.0.0.1", int(sidecar.address.rpartition(":")[2]))
        strangers = [socket.create_connection(address, 10) for _ in range(12)]
        client = Client(path)
        assert client.post("/v1/decide", action="a")["verdict"] == "allow"
        client.close()
        endings = [stranger for stranger in strangers[3:] if ended(stranger)]
        assert len(endings) == 9
        for stranger in strangers:
            stranger.close()


def ended(line):
    """Whether the other side hung up, with a 429 or without a word."""
    try:
        found = received(line)
    except ConnectionResetError:
        return True
    return found == b"" or found.startswith(b"HTTP/1.1 429")


def test_a_client_that_reads_nothing_is_let_go(path, client):
    with raw(path) as line:
        line.setblocking(False)
        with pytest.raises((BlockingIOError, BrokenPipeError, ConnectionResetError)):
            while True:
                line.send(b"GET /metrics HTTP/1.1\r\n\r\n" * 100)
        line.settimeout(10)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                line.sendall(b"GET /metrics HTTP/1.1\r\n\r\n" * 100)


def test_names_of_signals_and_actions_are_bounded(tmp_path):
    path = tmp_path / "s.sock"
    with Agent("a", ALWAYS) as agent, talking([agent], SidecarSettings(path)) as client:
        found = set()
        for block in range(6):
            readings = {f"s{block}-{number}": 1.0 for number in range(2000)}
            found.add(client.ask("POST", "/v1/observe", {"readings": readings})[0])
        assert found == {200, 429}
        asked = [client.ask("POST", "/v1/decide", {"action": f"a{number}"}) for number in range(1030)]
        assert [status for status, _ in asked] == [200] * 1024 + [429] * 6
        assert asked[-1][1]["error"]["code"] == "W0713"
        assert client.post("/v1/decide", action="a7")["verdict"] == "allow"  # what is known goes on


def test_a_fault_of_ours_is_a_500_and_allows_nothing(tmp_path):
    path = tmp_path / "s.sock"
    with Agent("a", ALWAYS) as agent, talking([agent], SidecarSettings(path)) as client:
        agent.node.request = None
        status, answer = client.ask("POST", "/v1/decide", {"action": "a"})
        assert (status, answer["error"]["code"]) == (500, "X0701")
        del agent.node.request
        assert client.post("/v1/decide", action="a")["verdict"] == "allow"


def test_random_bytes_never_allow_anything_and_never_end_the_sidecar(path, client):
    chance = stream(7, "sidecar")
    whole = b'POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"action": "a"}'
    for _ in range(150):
        sent = bytearray(whole)
        for _ in range(1 + chance.word() % 3):
            sent[chance.word() % len(sent)] = chance.word() % 256
        if bytes(sent[-15:]) != whole[-15:]:
            sent[-15:] = b'{"action": nul}'  # an action by another name may well be allowed; a broken one not
        found = exchange(path, bytes(sent), half_close=True)
        assert found.startswith(b"HTTP/1.1 ")
        if b'"verdict"' in found:
            assert sent[-15:] == whole[-15:]


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_head_is_read_or_refused(sent):
    try:
        head = read_head(sent + b"\r\n\r\n")
    except RequestError:
        return
    assert head.path.startswith("/")
    assert 0 <= head.length <= MAX_BODY


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(alphabet='{}[]":,0123456789eE+-.tfn\\ua ', max_size=60).map(str.encode),
    )
)
def test_any_body_is_read_or_refused(sent):
    try:
        value = read_json(sent)
    except RequestError:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_many_clients_at_once_all_get_their_answers(path, client):
    told, lock = [], threading.Lock()

    def ask():
        line = Client(path)
        for _ in range(50):
            answer = line.post("/v1/decide", action="a")
            with lock:
                told.append(answer["call"])
        line.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(told) == len(set(told)) == 300
