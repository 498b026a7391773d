from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from cli.test_risk_command import call
from ripstop.risk import RiskInputError, read_grid

BUSES = [{"id": "north", "generation_mw": 80}, {"id": "south", "demand_mw": 75}, {"id": 3, "demand_mw": 5}]
LINES = [
    {"from": "north", "to": "south", "reactance": 0.1, "limit_mw": 60},
    {"from": "north", "to": "south", "reactance": 0.1, "limit_mw": 60},
    {"from": "south", "to": 3, "reactance": 0.2, "id": "spur"},
]
CASE = """function mpc = tiny
mpc.version = '2';  % a comment; with = [ brackets ]
mpc.baseMVA = 100;
mpc.bus = [
  1  3  0   0  0  0  1  1  0  345  1  1.1  0.9;
  2  1  75  0  0  0  1  1  0  345  1  1.1  0.9;
  7  1  5   0  0  0  1  1  0  345  1  1.1  0.9;
];
mpc.gen = [1 80 0 300 -300 1 100 1 250 10];
mpc.branch = [
  1  2  0.01  0.1  0  60  60  60  0  0  1  -360  360;
  1  2  0.01  0.1  0  60  60  60  0  0  1  -360  360;
  2  7  0.01  0.2  0  0   0   0   0  0  1  -360  360;
];
"""


@pytest.fixture
def grid(tmp_path: Path) -> str:
    file = tmp_path / "grid.json"
    file.write_text(json.dumps({"buses": BUSES, "lines": LINES}))
    return str(file)


def test_lines_are_ranked_by_what_their_outage_loses(grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("grid", grid, "--top", "2") == 0
    text = capsys.readouterr().out
    assert "3 buses, 3 lines, 80.0 MW of demand" in text
    assert text.index("north-south #1") < text.index("north-south #2")
    assert "1 more: --top 0 shows all" in text
    assert "1 of 3 lines have no limit" in text
    assert text.splitlines()[1].split("interval")[1].split() == ["from", "to", "flow,", "MW", "limit,", "MW"]
    assert text.splitlines()[2].split()[-4:] == ["north", "south", "40.0", "60.0"]


def test_a_line_is_judged_against_a_threshold(grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("grid", grid, "--threshold", "0.5", "--theta", "0.5", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["demand_mw"] == pytest.approx(80.0)
    standing = {row["node"]: row["standing"] for row in report["nodes"]}
    assert standing == {"north-south #1": "above", "north-south #2": "above", "spur": "below"}


def test_buses_are_ranked_by_what_goes_with_them(grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("grid", grid, "--of", "buses", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    share = {row["node"]: row["expected_share"] for row in report["nodes"]}
    assert share["north"] == share["south"] == pytest.approx(1.0)  # all generation, or all roads to the rest
    assert share["3"] == pytest.approx(5 / 80, rel=0.1)
    assert call("grid", grid, "--of", "buses") == 0
    text = capsys.readouterr().out
    assert "demand, MW" in text
    assert "limit, MW" not in text
    assert call("grid", grid, "--of", "buses", "--why", "3") == 0
    assert capsys.readouterr().out == "3: 5.00 MW lost (6.2 %) in 1 round\n  then spur\n"
    with pytest.raises(RiskInputError, match="there is no line `north`") as caught:
        call("grid", grid, "--why", "north")
    assert caught.value.hint == "a bus goes with `--of buses`"


def test_a_case_with_a_bus_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "case.m"
    file.write_text(CASE.replace("  7  1  5", "  2  1  5").replace("  2  7", "  1  2"))
    with pytest.raises(RiskInputError, match="a bus stands twice"):
        read_grid(file)


def test_why_lists_what_trips(grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("grid", grid, "--why", "north-south #2") == 0
    assert capsys.readouterr().out.splitlines()[0] == "north-south #2: 80.00 MW lost (100.0 %) in 2 rounds"
    assert call("grid", grid, "--why", "spur", "--json") == 0
    assert json.loads(capsys.readouterr().out)["lost_mw"] == pytest.approx(5.0)
    with pytest.raises(RiskInputError, match="there is no line `east`"):
        call("grid", grid, "--why", "east")


def test_limits_can_be_set_from_the_flows(grid: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("grid", grid, "--alpha", "2", "--floor", "30", "--why", "north-south #1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["lost_mw"] == 0.0
    with pytest.raises(RiskInputError, match="0 or more"):
        call("grid", grid, "--alpha", "-1")


def test_a_phase_shifter_is_read_alike_from_every_file(tmp_path: Path) -> None:
    line = LINES[0] | {"shift_deg": 5.0}
    grid, case = tmp_path / "grid.json", tmp_path / "tiny.m"
    grid.write_text(json.dumps({"buses": BUSES, "lines": [line, *LINES[1:]]}))
    case.write_text(CASE.replace("60  60  60  0  0  1", "60  60  60  0  5  1", 1))
    one, other = read_grid(grid), read_grid(case)
    assert one.pushed.tolist() == other.pushed.tolist() == pytest.approx([-np.radians(5.0) * 1000, 0.0, 0.0])
    case.write_text(case.read_text().replace("baseMVA = 100", "baseMVA = 50"))
    assert read_grid(case).pushed[0] == pytest.approx(one.pushed[0] / 2)


def test_a_picture_is_drawn(grid: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: extra `sim`")
    assert call("grid", grid, "--plot", str(tmp_path / "grid.png"), "--trials", "64") == 0
    assert (tmp_path / "grid.png").stat().st_size > 10_000


def test_tables_and_cases_are_the_same_grid(grid: str, tmp_path: Path) -> None:
    lines, buses = tmp_path / "lines.csv", tmp_path / "buses.csv"
    lines.write_text(
        "from,to,reactance,limit_mw,id\nnorth,south,0.1,60,\nnorth,south,0.1,60,\nsouth,3,0.2,,spur\n"
    )
    buses.write_text("id,generation_mw,demand_mw\nnorth,80,\nsouth,,75\n3,,5\n")
    case = tmp_path / "tiny.m"
    case.write_text(CASE)
    one, other, third = read_grid(grid), read_grid(lines, buses), read_grid(case)
    matrices = {"bus": np.zeros((3, 13)), "gen": np.zeros(10), "branch": np.zeros((3, 13))}
    matrices["bus"][:, 0], matrices["bus"][:, 2] = [1, 2, 7], [0, 75, 5]
    matrices["gen"][[0, 1, 7]] = [1, 80, 1]
    matrices["branch"][:, :4] = [[1, 2, 0, 0.1], [1, 2, 0, 0.1], [2, 7, 0, 0.2]]
    matrices["branch"][:2, 5], matrices["branch"][:, 10] = 60, 1
    savemat(tmp_path / "tiny.mat", {"mpc": matrices})
    fourth = read_grid(tmp_path / "tiny.mat")
    for same in (other, third, fourth):
        for name in ("source", "target", "susceptance", "demand", "generation", "capacity", "pushed"):
            assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert one.lines == other.lines == ("north-south #1", "north-south #2", "spur")


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("mpc.gen = [1 80", "mpc.gen = [9 80", "C0741", "`gen` names bus 9"),
        ("  2  7  0.01", "  2  8  0.01", "C0741", "`branch` names bus 8"),
        ("mpc.gen =", "mpc.other =", "C0741", "no matrix `gen`"),
        ("[1 80 0 300 -300 1 100 1 250 10]", "[1 80]", "C0741", "expected 8 columns"),
        ("  7  1  5", "  Inf  1  5", "C0741", "infinity"),
        # MATPOWER's own case33bw gives kW and ohms, and turns them into MW and p.u. below.
        ("mpc.gen =", "mpc.bus(:, 3) = mpc.bus(:, 3) / 1e3;\nmpc.gen =", "C0701", "computes on `mpc.bus`"),
    ],
)
def test_a_case_that_cannot_be_taken_as_it_stands_says_why(
    tmp_path: Path, old: str, new: str, code: str, said: str
) -> None:
    assert CASE.count(old) == 1
    file = tmp_path / "case.m"
    file.write_text(CASE.replace(old, new))
    with pytest.raises(RiskInputError, match=said) as caught:
        call("grid", str(file))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("g.json", "{", "C0701", "not JSON"),
        ("g.json", "[]", "C0701", "`buses` and `lines`"),
        ("g.json", '{"_module": "pandapower", "bus": {}}', "C0701", "`buses` and `lines`"),
        ("g.json", '{"buses": [1], "lines": []}', "C0701", "list of objects"),
        ("g.json", '{"buses": [{"id": "a", "load": 3}], "lines": []}', "C0701", "unknown key `load`"),
        ("g.json", '{"buses": [{"demand_mw": 3}], "lines": []}', "C0702", "no `id`"),
        ("g.json", '{"buses": [{"id": "a"}, {"id": "a"}], "lines": []}', "C0702", "stands twice"),
        ("g.json", '{"buses": [{"id": "a"}], "lines": [{"from": "a", "to": "b"}]}', "C0702", "`b`, which is"),
        ("g.json", '{"buses": [{"id": "a"}], "lines": []}', "C0741", "no demand"),
        ("g.json", '{"buses": [], "lines": []}', "C0741", "no demand"),
        ("g.m", "mpc.bus = [1 x];", "C0701", "`mpc.bus` is no matrix"),
        ("g.m", "nothing", "C0741", "not a MATPOWER case"),
        ("g.mat", "MATLAB 5.0", "C0701", "no MATLAB file"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(
    tmp_path: Path, name: str, content: str, code: str, said: str
) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(RiskInputError, match=said) as caught:
        call("grid", str(file))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("reactance", None, "`reactance` of `a-b` is `None`"),
        ("reactance", "much", "is `much`, expected a number"),
        ("reactance", 0, "other than 0"),
        ("limit_mw", -1, "0 or more"),
        ("limit_mw", float("nan"), "is `nan`"),
        ("limit_mw", True, "is `True`"),
    ],
)
def test_wrong_figures_of_a_line_are_refused(tmp_path: Path, key: str, value: object, said: str) -> None:
    line = {"from": "a", "to": "b", "reactance": 0.1, "limit_mw": 1} | {key: value}
    buses = [{"id": "a", "generation_mw": 1}, {"id": "b", "demand_mw": 1}]
    file = tmp_path / "grid.json"
    file.write_text(json.dumps({"buses": buses, "lines": [line]}))
    with pytest.raises(RiskInputError, match=said) as caught:
        call("grid", str(file))
    assert caught.value.code == "C0741"


def test_tables_go_together(grid: str, tmp_path: Path) -> None:
    table = tmp_path / "lines.csv"
    table.write_text("from,to,reactance\na,b\n")
    with pytest.raises(RiskInputError, match="two tables"):
        call("grid", str(table))
    with pytest.raises(RiskInputError, match="two tables"):
        call("grid", grid, "--buses", str(table))
    buses = tmp_path / "buses.csv"
    buses.write_text("id;demand_mw\na;1\n")
    with pytest.raises(RiskInputError, match="separate cells by commas"):
        call("grid", str(table), "--buses", str(buses))
    buses.write_text("id,demand_mw\na,1\n")
    with pytest.raises(RiskInputError, match="row 2 has 2 cells, expected 3"):
        call("grid", str(table), "--buses", str(buses))
