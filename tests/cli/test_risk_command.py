from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from ripstop.cli import risk as command
from ripstop.risk import RiskInputError


@pytest.fixture
def graph(tmp_path: Path) -> str:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps({"edges": [["hub", "a", 0.9], ["hub", "b", 0.9], ["hub", 3, 0.1]]}))
    return str(file)


def call(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["risk", *words])
    return int(args.func(args))


def test_the_ranking_is_printed_with_intervals(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(graph, "--expected", "--top", "2") == 0
    text = capsys.readouterr().out
    assert text.index("hub") < text.index("2 more: --top 0 shows all")
    assert "95 % interval" in text
    assert "expected share" in text


def test_json_gives_the_whole_report(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(graph, "--json", "--seed", "4", "--model", "threshold") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["seed"], report["model"], len(report["nodes"])) == (4, "threshold", 4)


def test_a_node_above_the_threshold_is_a_finding(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(graph, "--threshold", "0.3") == 1
    assert "above" in capsys.readouterr().out
    assert call(graph, "--threshold", "0.999", "--theta", "0.9") == 0


def test_an_edge_is_explained(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(graph, "--why", "3", "hub", "--json") == 0
    assert json.loads(capsys.readouterr().out)["weight"] == 0.1


def test_a_wrong_question_raises_what_the_root_turns_into_a_usage_error(graph: str) -> None:
    for words in (
        (graph, "--theta", "2"),
        ("missing.json",),
        (graph, "--model", "x"),
        (graph, "--why", "a", "q"),
    ):
        with pytest.raises(RiskInputError):
            call(*words)


def test_the_verb_may_be_said(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("rank", graph) == 0
    said = capsys.readouterr().out
    assert call(graph) == 0
    assert capsys.readouterr().out == said


def test_a_picture_is_drawn_beside_the_report(graph: str, tmp_path: Path) -> None:
    assert call(graph, "--plot", str(tmp_path / "risk.png")) == 0
    assert (tmp_path / "risk.png").stat().st_size > 10_000


def test_a_rare_cascade_is_estimated(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(graph, "--rare", "3", "--theta", "0.9", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["low"] <= 0.1 * 0.9 * 0.9 <= found["high"]
    assert call(graph, "--rare", "3", "--theta", "0.9") == 0
    assert "particles" in capsys.readouterr().out


def test_measures_are_tried_on_common_worlds(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("whatif", graph, "--cut", "hub", "a", "--add", "a", "3", "0.2", "--shed", "weight=0.5")
    assert call(*words, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["nodes"]
    assert all(row["low"] <= row["reduction"] <= row["high"] for row in rows)
    assert sum(row["after"] for row in rows) < sum(row["before"] for row in rows)
    assert call("whatif", graph, "--isolate", "3", "--star", "hub", "--top", "1") == 0
    assert "3 more" in capsys.readouterr().out


def test_the_cheapest_set_is_searched(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("whatif", graph, "--target", "0.05", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["reached"], found["measures"]) == (True, ["isolate hub"])
    assert (
        call("whatif", graph, "--target", "0.001", "--by", "cut", "--max-measures", "1", "--watch", "a") == 1
    )
    assert "not reached" in capsys.readouterr().out


def test_what_matters_most_is_named(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("whatif", graph, "--critical", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["critical"][0]["name"] == "hub"
    assert call("whatif", graph, "--critical", "1", "--links") == 0
    assert "hub - " in capsys.readouterr().out


def test_weights_are_learned_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    lines = [{"failures": {"a": 0, "b": 1}}, {"failures": {"a": 0}}] * 20
    log.write_text("\n".join(json.dumps(line) for line in lines))
    out, picture = tmp_path / "g.json", tmp_path / "r.png"
    assert call("learn", str(log), "--out", str(out), "--plot", str(picture), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["incidents"], found["edges"], found["held_out"]["count"]) == (40, 1, 10)
    (weight,) = found["weights"]
    assert (weight["source"], weight["target"], weight["attempts"]) == ("a", "b", 40)
    assert weight["low"] < 0.5 < weight["high"] < 0.67  # Beta(20.5, 20.5)
    assert weight["low"] > 0.34
    assert picture.stat().st_size > 1000
    assert call(str(out), "--why", "a", "b") == 0
    assert "learned  0.5" in capsys.readouterr().out
    assert call("learn", str(log), "--graph", str(out)) == 0
    shown = capsys.readouterr().out
    assert "Brier" in shown
    assert "put to the test" in shown
    assert "unexplained:" not in shown
    assert call("learn", str(log), "--graph", str(out), "--window", "0.5") == 0
    assert "unexplained: no neighbour had failed within --window before" in capsys.readouterr().out


def test_a_ranking_says_whether_edges_lead_one_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "g.csv"
    path.write_text("source,target,weight\na,b,0.5\nb,c,0.5\n")
    picture = tmp_path / "g.png"
    assert call(str(path), "--trials", "64", "--plot", str(picture)) == 0
    assert "if the node fails: percolation, 3 nodes, 2 edges (one way), 64 trials" in capsys.readouterr().out
    assert picture.stat().st_size > 1000


def test_numbers_that_are_none_are_refused(graph: str) -> None:
    for words in (("--add", "a", "b", "x"), ("--shed", "weight"), ("--move", "a", "b", "-")):
        with pytest.raises(RiskInputError):
            call("whatif", graph, *words)


def test_a_damping_that_noise_hides_is_told_as_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng, angle, speed, rows = np.random.default_rng(0), np.zeros(2), np.zeros(2), []
    for change in np.repeat(rng.normal(0, 0.05, (40, 2)), 20, axis=0):  # two machines, 20 readings a second
        rows.append((*change, *(50 + speed / (2 * np.pi)), *angle))
        for _ in range(20):
            push = change + rng.normal(0, 0.2, 2) - 1.7 * (angle - angle[::-1]) - [0.05, 0.1] * speed
            speed = speed + push / [0.1, 0.2] * 0.0025
            angle = angle + speed * 0.0025
    rows = np.array(rows) + rng.normal(0, 1, (800, 6)) * [0, 0, 0.006, 0.006, 0.003, 0.003]  # bad meters
    columns = dict(zip(("power", "frequency_hz", "angle_rad"), np.split(rows, 3, axis=1), strict=True))
    buses = ("north", "south")
    series = {name: dict(zip(buses, table.T.tolist(), strict=True)) for name, table in columns.items()}
    telemetry = {"t_s": (0.05 * np.arange(800)).tolist(), **series}
    file = tmp_path / "noise.json"
    file.write_text(json.dumps({"buses": [{"id": bus} for bus in buses], "telemetry": telemetry}))
    assert call("stability", str(file), "--direction", "south=1", "--draws", "20") == 1
    shown = capsys.readouterr().out
    assert "NOT known to be stable" in shown
    assert "least damping ratio  not known" in shown


def test_the_margin_of_a_grid_is_printed_and_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "grid.json"
    buses = [
        {"id": "north", "inertia": 0.1, "damping": 0.05, "power": 1, "reserve": 0.2},
        {"id": "south", "inertia": 0.2, "damping": 0.1, "power": -1, "reserve": 0.1},
    ]
    file.write_text(json.dumps({"buses": buses, "lines": [["north", "south", 2.0]]}))
    assert call("stability", str(file)) == 0
    text = capsys.readouterr().out
    assert "limited by reserve" in text
    assert "0.0490" in text
    assert call("stability", str(file), "--damping", "0.06", "--json") == 1
    assert json.loads(capsys.readouterr().out)["headroom"] == pytest.approx(0.3)
    assert call("stability", str(file), "--direction", "south=1", "--headroom", "1") == 1
    with pytest.raises(RiskInputError, match="BUS=SHARE"):
        call("stability", str(file), "--direction", "west=1")


def test_a_budget_ends_the_sampling_and_the_report_says_so(
    graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call(graph, "--trials", "100000000", "--budget", "0.05", "--json")
    report = json.loads(capsys.readouterr().out)
    assert 0 < report["trials"] < 100_000_000
    assert any("stopped by the budget" in note for note in report["notes"])
    assert all(row["low"] <= row["probability"] <= row["high"] for row in report["nodes"])
    for words in (("--threshold", "0.5"), ("--queue", "nats://127.0.0.1:1")):
        with pytest.raises(RiskInputError, match=f"goes without `{words[0]}`"):
            call(graph, "--budget", "1", *words)


def test_a_budget_keeps_to_all_other_options(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        graph,
        "--model",
        "load",
        "--confidence",
        "0.99",
        "--tolerance",
        "0.01",
        "--fleet-wide",
        "--json",
    )
    call(*words)
    counted = json.loads(capsys.readouterr().out)
    call(*words, "--budget", "60")
    assert json.loads(capsys.readouterr().out) == counted
    assert counted["confidence"] == pytest.approx(1 - 0.01 / 4)


def test_options_that_a_question_cannot_heed_are_refused(graph: str) -> None:
    with pytest.raises(RiskInputError, match="percolation alone"):
        call(graph, "--rare", "a", "--model", "load")
    for option in (("--trials", "5000"), ("--threshold", "0.2"), ("--plot", "x.png"), ("--fleet-wide",)):
        for instead in (("--rare", "a"), ("--why", "3", "hub")):
            with pytest.raises(RiskInputError, match=f"`{instead[0]}` goes without `{option[0]}`"):
                call(graph, *instead, *option)
    for words in (("--critical", "1", "--target", "0.1"), ("--target", "0.1", "--isolate", "a")):
        with pytest.raises(RiskInputError, match="two questions"):
            call("whatif", graph, *words)


def test_what_matters_most_is_asked_of_the_model_that_is_named(
    graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = []
    for model in ("percolation", "threshold"):
        call("whatif", graph, "--critical", "1", "--links", "--model", model, "--json")
        losses.append(json.loads(capsys.readouterr().out)["critical"][0]["loss"])
    assert losses[0] != losses[1]


def test_a_target_below_what_the_trials_can_show_is_called_so(
    graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("whatif", graph, "--target", "0.001", "--by", "cut") == 1
    assert "no interval ends below 0.0037: give more --trials" in capsys.readouterr().out
    assert call("whatif", graph, "--target", "0", "--by", "cut") == 1
    assert "no interval ends below 0.0037, and with none at 0" in capsys.readouterr().out


def test_what_figures_rest_on_stands_beside_them(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("--critical", "1"), ("--target", "0.9"), ("--isolate", "a")):
        call("whatif", graph, *words, "--trials", "300", "--seed", "7", "--model", "threshold")
        assert "threshold, 4 nodes, 300 trials, seed 7" in capsys.readouterr().out
        call("whatif", graph, *words, "--trials", "300", "--seed", "7", "--model", "threshold", "--json")
        report = json.loads(capsys.readouterr().out)
        assert (report["model"], report["trials"], report["seed"]) == ("threshold", 300, 7)


def test_what_is_missing_is_told_with_the_form_to_give(graph: str, tmp_path: Path) -> None:
    with pytest.raises(RiskInputError, match="expected CHANNEL=FACTOR"):
        call("whatif", graph, "--shed", "0.5")
    log = tmp_path / "log.jsonl"
    log.write_text('{"failures": {"a": 0, "b": 1}}\n')
    with pytest.raises(RiskInputError) as caught:
        call("learn", str(log))
    assert "--held-out 0" in caught.value.hint
    assert call("learn", str(log), "--held-out", "0") == 0


def test_a_name_that_looks_like_a_number_and_is_none_is_an_unknown_node(graph: str) -> None:
    for word in ("--5", "9" * 5000, "+"):
        with pytest.raises(RiskInputError) as caught:
            call("whatif", graph, f"--isolate={word}")
        assert caught.value.code == "C0702"


def test_an_incident_log_without_anything_to_predict_is_learned_from_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"failures": {"a": 0}}\n{"failures": {"b": 0}}\n' * 4)
    assert call("learn", str(log)) == 0
    assert "nothing held out could be predicted" in capsys.readouterr().out
    for share in ("nan", "inf", "-1"):
        with pytest.raises(RiskInputError, match="`held out`"):
            call("learn", str(log), "--held-out", share)


def test_a_scale_ends_where_probabilities_do() -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib (extra `sim`)")
    from ripstop.risk import Graph, Settings, assess
    from ripstop.risk.plots import _span

    for weight, least, most in ((0.9, 1.0, 1.0), (0.02, 0.03, 0.1), (0.0, 0.001, 0.01)):
        report = assess(
            Graph.from_edges("abc", [("a", "b"), ("b", "c")], [weight] * 2), theta=0.5, trials=1000
        )
        assert least <= _span(report) <= most
    decided = assess(
        Graph.from_edges("ab", [("a", "b")], [0.01]), trials=256, settings=Settings(threshold=0.6)
    )
    assert _span(decided) > 0.6


def test_a_target_that_holds_already_is_told_as_such(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("whatif", graph, "--target", "1") == 0
    assert "target 1 holds already: " in capsys.readouterr().out


def test_trying_nothing_is_refused(graph: str) -> None:
    with pytest.raises(RiskInputError, match="nothing to try"):
        call("whatif", graph)


def test_weights_that_predict_nothing_are_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    rows = [{"a": 0, "b": 1}] * 30 + [{"a": 0}] * 10
    log.write_text("".join(json.dumps({"failures": failures}) + "\n" for failures in rows))
    call("learn", str(log))
    assert "no better than the base rate" in capsys.readouterr().out
