"""`ripstop demo drones`: options, exit codes, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ripstop.cli import main
from ripstop.lab.report import Report


def test_seeds_are_lists_and_ranges(capsys):
    from ripstop.cli.demo import _seeds

    assert _seeds("7,8,9") == (7, 8, 9)
    assert _seeds("100-102,7") == (100, 101, 102, 7)


@pytest.mark.parametrize(
    "words", [["--agents", "0"], ["--seeds", "9-3"], ["--arm", "left"], ["--seed", "-1"], []]
)
def test_what_makes_no_sense_is_a_usage_error(words, capsys):
    command = ["demo", "drones", *words] if words else ["demo"]
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(main(command))
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seeds", "abc"], "expected seeds as 7,8,9 or 100-104, at most 1000 of them, got `abc`"),
        (["--seeds", "1,,2"], "got `1,,2`"),
        (["--seeds", "1-1000000"], "at most 1000 of them"),
        (["--seeds", "1-600,1000-1600"], "at most 1000 of them"),
        (["--seeds", "\u0663"], "got `\u0663`"),
        (["--agents", "1e3"], "expected a whole number, 1 to 10000, got `1e3`"),
        (["--seed", "x"], "expected a whole number, 0 to 9223372036854775807, got `x`"),
    ],
)
def test_a_number_that_is_none_is_told_in_words(words, expected, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "drones", *words])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_folder_that_holds_another_run_is_refused(tmp_path, capsys):
    (tmp_path / "report.json").write_text("{}")
    assert main(["demo", "drones", "--no-live", "--out", str(tmp_path)]) == 2
    assert "C0410" in capsys.readouterr().err


def test_nothing_to_demonstrate_is_said(capsys):
    assert main(["demo", "drones", "--no-live", "--no-outcome"]) == 2
    assert "C0412" in capsys.readouterr().err


def test_a_report_that_could_not_be_written_is_said_before_the_run(tmp_path, capsys):
    to = tmp_path / "nowhere" / "report.json"
    assert main(["demo", "drones", "--json", str(to), "--out", str(tmp_path / "run")]) == 2
    assert "C0413" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_package_that_the_report_lacks_is_said_before_the_run(package, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["demo", "drones", "--out", str(tmp_path / "run")]) == 2
    assert f"C0001: `{package}` is not installed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_outcome_of_a_small_fleet_is_written_as_json_and_page(tmp_path, capsys):
    out = tmp_path / "run"
    words = [
        "demo",
        "drones",
        "--no-live",
        "--agents",
        "4",
        "--seeds",
        "3",
        "--arm",
        "no-fault",
        "--arm",
        "ungoverned",
    ]
    assert main([*words, "--out", str(out), "--json", str(tmp_path / "r.json")]) == 0
    report = Report.read((tmp_path / "r.json").read_text())
    assert report.to_json() == json.loads((out / "report.json").read_text())
    assert report.outcome is not None
    assert [arm.arm for arm in report.outcome.arms] == ["no fault", "ungoverned"]
    assert "<html" in (out / "report.html").read_text()


def workers_of(group: int, library: bytes = b"") -> int:
    """Count the processes of a group that Python has spawned, and that have loaded a library."""
    found = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_one = b"spawn_main" in (entry / "cmdline").read_bytes()
            if is_one and os.getpgid(int(entry.name)) == group:
                found += library in (entry / "maps").read_bytes()
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="there is no /proc")
def test_ctrl_c_ends_the_arms_at_once_and_in_silence(tmp_path):
    words = [
        "demo",
        "drones",
        "--agents",
        "20",
        "--seeds",
        "1-4",
        "--no-live",
        "--out",
        str(tmp_path / "run"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "ripstop", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    ends_at = time.monotonic() + 60.0
    while not workers_of(process.pid, b"numpy"):  # in the midst of their imports
        assert process.poll() is None
        assert time.monotonic() < ends_at
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert workers_of(process.pid) == 0
