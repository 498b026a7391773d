"""The C and the JavaScript program decide along traces as the reference does: no difference at all."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html import unescape
from pathlib import Path

import pytest

from edge_programs import VOCABULARY, generator
from examples.device_traces import DevicePrograms, device_vocabulary, drawn_pair, expected, parsed, shown
from ripstop.backends import emit
from ripstop.policy import load, make_bundle
from ripstop.policy.bundle import Bundle

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TRACE = EXAMPLES / "traces" / "drone.csv"
CC = shutil.which("gcc") or shutil.which("clang")
NODE = shutil.which("node") or shutil.which("nodejs")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_cc = pytest.mark.skipif(CC is None, reason="needs a C compiler")
needs_node = pytest.mark.skipif(NODE is None, reason="needs Node")


def written(folder: Path, documents: list[dict[str, object]]) -> list[Path]:
    paths = []
    for number, document in enumerate(documents):
        paths.append(folder / f"p{number}.json")
        paths[-1].write_text(json.dumps(document))
    return paths


def table(paths: list[Path], target: str, out: Path) -> None:
    command = [sys.executable, EXAMPLES / "device_table.py", *paths, "--target", target, "-o", out]
    subprocess.run(command, check=True, timeout=60)


def c_program(folder: Path, paths: list[Path]) -> list[str]:
    """Build `decide`; gives the command that runs it."""
    assert CC is not None
    (folder / "policy.h").write_bytes(emit([load(path) for path in paths], "c99"))
    table(paths, "c99", folder / "device_table.h")
    sources = [EXAMPLES / "c" / name for name in ("decide.c", "trace.c", "device.c")]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off"]
    hardened = [
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-fno-sanitize=float-divide-by-zero",
    ]
    folders = [f"-I{folder}", f"-I{EXAMPLES / 'c'}"]
    made = folder / "decide"
    subprocess.run([CC, *flags, *hardened, *folders, *sources, "-o", made, "-lm"], check=True, timeout=120)
    return [str(made)]


def js_program(folder: Path, paths: list[Path]) -> list[str]:
    """Write the module and its table; gives the command that runs them."""
    (folder / "policy.wasm").write_bytes(emit([load(path) for path in paths], "wasm"))
    table(paths, "wasm", folder / "device_table.json")
    files = [folder / "policy.wasm", folder / "device_table.json"]
    return [str(each) for each in (NODE, EXAMPLES / "js" / "decide.mjs", *files)]


def printed(command: list[str], trace: Path) -> list[str]:
    run = subprocess.run([*command, str(trace)], capture_output=True, text=True, check=True, timeout=60)
    assert run.stderr == ""
    return run.stdout.splitlines()


def assert_as_the_reference(lines: list[str], bundle: Bundle, text: str) -> None:
    wanted = [(when, action, shown(decision)) for when, action, decision in expected(bundle, text)]
    assert [parsed(line) for line in lines] == wanted


def bundle_of(paths: list[Path]) -> Bundle:
    return make_bundle([load(path) for path in paths])


PROGRAMS = [
    pytest.param(c_program, marks=needs_cc, id="c"),
    pytest.param(js_program, marks=needs_node, id="js"),
]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("program", PROGRAMS)
def test_drawn_policies_along_drawn_traces_come_out_as_in_the_reference(program, seed, tmp_path):
    rng = generator(seed)
    documents, text = drawn_pair(rng, 400)
    paths = written(tmp_path, documents)
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    bundle = bundle_of(paths)
    assert bundle.vocabulary == device_vocabulary()
    lines = printed(program(tmp_path, paths), trace)
    assert_as_the_reference(lines, bundle, text)


@pytest.mark.parametrize("seed", range(20, 28))
@pytest.mark.parametrize("program", PROGRAMS)
def test_policies_that_remember_come_out_as_in_the_reference(program, seed, tmp_path):
    documents, text = drawn_pair(generator(seed), 400, is_remembering=True)
    paths = written(tmp_path, documents)
    command = program(tmp_path, paths)
    bundle = bundle_of(paths)
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    assert_as_the_reference(printed(command, trace), bundle, text)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_policies_remember_outlives_a_restart_and_foreign_bytes_are_refused(program, tmp_path):
    document = {
        "ripstop": 1,
        "id": "calm",
        "vocabulary": {"name": "v", "signals": {"a": {"max_age_s": 60}}, "actions": {"go": {}}},
        "guards": ["go"],
        "rule": {"historically": [{"<": [{"var": "a"}, 5]}, 10]},
        "budgets": [{"at_most": 2, "within_s": 30}],
    }
    paths = written(tmp_path, [document])
    command, trace, state = program(tmp_path, paths), tmp_path / "trace.csv", tmp_path / "state"
    rows = ["0,go,1", "11,go,1", "12,,7", "13,go,1", "24,go,1", "40,go,1", "41,go,1", "55,go,1"]
    heading = "t_s,action,a"
    text = "\n".join([heading, *rows, ""])
    wanted = [(when, shown(made)[0]) for when, _, made in expected(bundle_of(paths), text)]
    assert [verdict for _, verdict in wanted] == [
        *["deny", "allow", "deny", "allow", "deny", "deny", "allow"]
    ]
    found = []
    for row in rows:  # every row by a process of its own
        trace.write_text(f"{heading}\n{row}\n")
        run = subprocess.run([*command, trace, state], capture_output=True, text=True, check=True, timeout=60)
        found += [(line.split(" ")[0], line.split(" ")[2]) for line in run.stdout.splitlines()]
    assert found == wanted
    for content in (b"", state.read_bytes()[:-1], state.read_bytes() + b"x", bytes(len(state.read_bytes()))):
        state.write_bytes(content)
        run = subprocess.run(
            [*command, trace, state], capture_output=True, text=True, check=False, timeout=60
        )
        assert run.returncode == 2
        assert "not what these policies remember" in run.stderr
        assert state.read_bytes() == content


@needs_cc
@needs_node
def test_what_one_program_remembers_the_other_goes_on_from(tmp_path):
    documents, text = drawn_pair(generator(31), 400, is_remembering=True)
    paths = written(tmp_path, documents)
    heading, *rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    wanted = [c_program(tmp_path, paths), js_program(tmp_path, paths)]
    trace, kept = tmp_path / "trace.csv", []
    for first, second in (wanted, wanted[::-1]):
        state = tmp_path / f"state{len(kept)}"
        for command, part in ((first, rows[:200]), (second, rows[200:])):
            trace.write_text("\n".join([heading, *part, ""]))
            subprocess.run([*command, trace, state], capture_output=True, check=True, timeout=60)
        kept.append(state.read_bytes())
    assert kept[0] == kept[1]


@pytest.mark.parametrize("program", PROGRAMS)
def test_policies_that_remember_nothing_take_an_empty_state(program, tmp_path):
    command = program(tmp_path, [ROOT / "policies" / "payload_limit.json"])
    trace, state = tmp_path / "trace.csv", tmp_path / "state"
    trace.write_text("t_s,action,battery_percent,payload_kg\n1,go,25,0.5\n")
    for _ in range(2):
        subprocess.run([*command, trace, state], capture_output=True, check=True, timeout=60)
        assert state.read_bytes() == b""


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_drones_policies_along_the_trace_that_comes_with_them(program, tmp_path):
    paths = sorted((ROOT / "policies" / "drones").glob("*.yaml"))
    lines = printed(program(tmp_path, paths), TRACE)
    assert_as_the_reference(lines, bundle_of(paths), TRACE.read_text())
    assert {line.split(" ")[2] for line in lines} == {"allow", "limit", "deny"}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bare_rule_takes_every_column_for_what_the_action_is_asked_for_with(program, tmp_path):
    paths = [ROOT / "policies" / "payload_limit.json"]
    text = "t_s,action,battery_percent,payload_kg\r\n1,go,25,0.5\r\n2,go,25,2\r\n3,go,,2\r\n4,go,nan,0\r\n"
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    lines = printed(program(tmp_path, paths), trace)
    assert [line.split(" ")[2] for line in lines] == ["allow", "deny", "deny", "deny"]
    assert_as_the_reference(lines, bundle_of(paths), text.replace("\r", ""))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", ""),
        ("time,action\n1,go\n", "the first two columns are"),
        ("t_s,action,a\n1,go\n", "as many cells as names"),
        ("t_s,action,a\nnan,go,1\n", "seconds since 1970"),
        ("t_s,action,a\n1e300,go,1\n", "seconds since 1970"),
    ],
)
def test_a_trace_that_is_none_is_refused_with_a_word(program, text, complaint, tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    command = program(tmp_path, [ROOT / "policies" / "payload_limit.json"])
    run = subprocess.run([*command, str(trace)], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 2
    assert run.stdout == ""
    assert complaint in run.stderr
    assert run.stderr


@needs_node
@pytest.mark.parametrize("at_fault", [2, 3, 4])
def test_the_script_names_the_file_that_is_at_fault(at_fault, tmp_path):
    command = [*js_program(tmp_path, [ROOT / "policies" / "payload_limit.json"]), str(tmp_path / "trace.csv")]
    command[at_fault] = str(tmp_path / "nowhere")
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 2
    assert run.stderr.startswith(f"{tmp_path / 'nowhere'}: ")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            {
                "vocabulary": VOCABULARY.to_json(),
                "rule": {"some": [{"var": "near"}, {"<": [{"var": "load"}, 1]}]},
            },
            "more than the last reading",
        ),
        ({"rule": {"<": [{"var": "elsewhere"}, 1]}}, ""),
    ],
)
def test_what_a_device_cannot_tell_is_refused_when_the_table_is_made(change, word, tmp_path):
    document = {**DevicePrograms(generator(1)).document(0), "limits": [], **change}
    paths = written(tmp_path, [document])
    command = [sys.executable, EXAMPLES / "device_table.py", *paths, "--target", "wasm", "-o", tmp_path / "t"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 1
    assert word in run.stderr
    assert "Traceback" not in run.stderr


# ---- in a browser -----------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The page and its files, on the loopback."""
    for path in (EXAMPLES / "js").iterdir():
        shutil.copy(path, tmp_path)
    handler = partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_decides_in_a_browser_as_the_reference_does(site: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    documents, text = drawn_pair(generator(11), 300)
    paths = written(tmp_path, documents)
    js_program(tmp_path, paths)
    (tmp_path / "trace.csv").write_text(text)
    address = f"{site}/index.html?policy=policy.wasm&table=device_table.json&trace=trace.csv"
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
        "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
        "--dump-dom", address,
    ]  # fmt: skip
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=90, env={**os.environ, "LANG": "C.UTF-8"}
    )
    assert [line for line in run.stderr.splitlines() if ":CONSOLE" in line] == []
    found = re.search(r'<pre id="decisions"[^>]*>(.*?)</pre>', run.stdout, re.S)
    assert found is not None
    assert_as_the_reference(unescape(found[1]).splitlines(), bundle_of(paths), text)
