"""What the sidecar costs: requests a second and latency of `decide` over its unix socket, process to process.

    python benchmarks/bench_sidecar.py [--json] [--seconds 2]

A client of bare sockets asks in a closed loop, over one connection and over eight. Beside it, in the same run
and by the same client: the standard library's `http.server` that answers a constant (what HTTP costs without
us), and the façade called within the process (what deciding and recording cost without HTTP).
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import socketserver
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from time import perf_counter

from ripstop.agent import Agent

ROOT = Path(__file__).parents[1]
POLICIES = sorted((ROOT / "policies" / "drones").glob("*.yaml"))
VOCABULARY = ROOT / "vocabularies" / "drone.yaml"
TASK = {
    "payload_kg": 0.5, "task_priority": 2, "margin_after_wh": 9.0, "reserve_wh": 5.0,
    "pickup_x_m": 1.0, "pickup_y_m": 1.0, "drop_x_m": 2.0, "drop_y_m": 2.0,
}  # fmt: skip
SENSED = {
    "battery_percent": 80.0,
    "battery_v": 12.0,
    "spare_wh": 30.0,
    "reserve_wh": 5.0,
    "x_m": 0.0,
    "y_m": 0.0,
    "payload_kg": 0.0,
}


def request(target: str, body: object) -> bytes:
    content = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (target.encode(), len(content)) + content


DECIDE = request("/v1/decide", {"action": "accept_task", "context": TASK})
DRY = request("/v1/decide", {"action": "accept_task", "context": TASK, "dry_run": True})


def connect(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect(str(path))
    return made


def answer_of(line: socket.socket) -> bytes:
    """Read one answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += line.recv(65536)
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")), head
    return body


def measure(path: Path, sent: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Ask in a closed loop; requests a second, and latency in milliseconds."""
    lines = [connect(path) for _ in range(connections)]
    took, began, asked = [], perf_counter(), {}
    with selectors.DefaultSelector() as ready:
        for line in lines:
            ready.register(line, selectors.EVENT_READ)
            line.sendall(sent)
            asked[line] = perf_counter()
        while (now := perf_counter()) - began < seconds:
            for key, _ in ready.select(1.0):
                answer_of(key.fileobj)
                now = perf_counter()
                took.append(now - asked[key.fileobj])
                asked[key.fileobj] = now
                key.fileobj.sendall(sent)
    elapsed = perf_counter() - began
    for line in lines:
        line.close()
    took.sort()
    return {
        "requests_s": round(len(took) / elapsed),
        "p50_ms": round(took[len(took) // 2] * 1e3, 3),
        "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 3),
    }


class _Constant(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = b'{"verdict": "allow"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *words: object) -> None:
        pass  # the client hangs up in the middle of its last request


def serve_constant(path: str) -> None:
    _Server(path, _Constant).serve_forever()


def in_process(folder: Path, seconds: float) -> dict[str, float]:
    """Call the façade, with a ledger on disk as the sidecar has."""
    with Agent("drone-1", POLICIES, ledger=folder / "alone") as agent:
        agent.observe(SENSED)
        took, began = [], perf_counter()
        while (now := perf_counter()) - began < seconds:
            assert agent.request("accept_task", TASK)[0]
            took.append(perf_counter() - now)
        elapsed = perf_counter() - began
    took.sort()
    return {
        "requests_s": round(len(took) / elapsed),
        "p50_ms": round(took[len(took) // 2] * 1e3, 3),
        "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 3),
    }


def run(seconds: float) -> dict[str, dict[str, float]]:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [f"--policy={path}" for path in POLICIES]
        command = [sys.executable, "-m", "ripstop", "sidecar", "drone-1", *words]
        for mode in ([], ["--durable"]):
            data = folder / f"data{len(mode)}"
            with subprocess.Popen(  # noqa: S603 - our own command
                [*command, f"--data={data}", "--json", *mode], stdout=subprocess.PIPE
            ) as process:
                path = Path(json.loads(process.stdout.readline())["socket"])
                with connect(path) as line:
                    line.sendall(request("/v1/observe", {"readings": SENSED}))
                    answer_of(line)
                    line.sendall(DECIDE)
                    assert b'"verdict": "allow"' in answer_of(line)
                label = "decide, durable" if mode else "decide"
                for connections in (1, 8):
                    found[f"{label}, {connections} conn."] = measure(path, DECIDE, connections, seconds)
                if not mode:
                    found["dry run, 1 conn."] = measure(path, DRY, 1, seconds)
                process.terminate()
                process.communicate()
        rival = folder / "rival.sock"
        with subprocess.Popen([sys.executable, __file__, "--serve-constant", str(rival)]) as process:  # noqa: S603 - this file
            while not rival.exists():
                pass
            for connections in (1, 8):
                label = f"http.server, a constant, {connections} conn."
                found[label] = measure(rival, DECIDE, connections, seconds)
            process.terminate()
        found["façade within the process"] = in_process(folder, seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--serve-constant", metavar="PATH", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve_constant:
        serve_constant(args.serve_constant)
        return
    found = run(args.seconds)
    if args.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    print(f"{'':34}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    for label, row in found.items():
        print(f"{label:34}{row['requests_s']:>12}{row['p50_ms']:>10}{row['p99_ms']:>10}")


if __name__ == "__main__":
    main()
