"""A sidecar that runs in a thread, and a client by others: the standard library's, over a unix socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from contextlib import closing, contextmanager
from functools import partial

from ripstop.agent.sidecar import Sidecar


class Client(http.client.HTTPConnection):
    """Speaks HTTP over a unix socket; `ask` gives the status and the JSON of an answer."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)
        self.fields = {}

    def connect(self):
        self.sock = raw(self.path)

    def ask(self, method, target, body=None, **fields):
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.request(method, target, sent, fields)
        answer = self.getresponse()
        self.fields = dict(answer.getheaders())
        content = answer.read()
        is_json = self.fields["Content-Type"] == "application/json"
        return answer.status, json.loads(content) if is_json and content else content.decode()

    def post(self, target, **body):
        status, answer = self.ask("POST", target, body)
        assert status == 200, answer
        return answer


def raw(path):
    """A bare connection."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(10)
    made.connect(str(path))
    return made


def exchange(path, sent, *, half_close=False):
    """Send bytes; give everything that comes back until the other side hangs up."""
    with raw(path) as line:
        try:
            line.sendall(sent)
            if half_close:
                line.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before everything was sent: the answer is there all the same
        return received(line)


def received(line):
    """Read to the end."""
    parts = []
    while part := line.recv(65536):
        parts.append(part)
    return b"".join(parts)


@contextmanager
def serving(agents, settings):
    """Run a sidecar until the block ends; gives it."""
    begun, ended = threading.Event(), []
    told = {}

    async def run():
        stop = asyncio.Event()
        told["stop"] = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
        async with Sidecar(agents, settings) as sidecar:
            told["sidecar"] = sidecar
            begun.set()
            await stop.wait()

    def thread():
        try:
            asyncio.run(run())
        except Exception as error:  # noqa: BLE001 - raised again where the test can see it
            ended.append(error)
        begun.set()

    running = threading.Thread(target=thread)
    running.start()
    begun.wait(10)
    try:
        if ended:
            raise ended[0]
        yield told["sidecar"]
    finally:
        if not ended:
            told["stop"]()
        running.join(20)
        assert not running.is_alive()
    assert ended == []


@contextmanager
def talking(agents, settings):
    """Run a sidecar until the block ends; gives a client of it."""
    with serving(agents, settings), closing(Client(settings.socket)) as client:
        yield client
