from __future__ import annotations

import argparse
import json
from pathlib import Path

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
