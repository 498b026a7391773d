"""`ripstop warmup` compiles the risk kernels and says how long it took."""

from __future__ import annotations

import json

import pytest

from ripstop import risk
from ripstop.cli import main


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the compilation, which the risk library's own tests pay for."""
    made: list[str] = []
    monkeypatch.setattr(risk, "warmup", lambda: made.append("warmup"))
    return made


def test_warming_up_compiles_once_and_reports_the_time(
    calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["warmup"]) == 0
    assert calls == ["warmup"]
    assert "risk kernels ready after " in capsys.readouterr().out


def test_that_it_may_take_its_time_is_said_before_it_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(risk, "warmup", lambda: said.append(capsys.readouterr().out))
    assert main(["warmup"]) == 0
    assert said[0].startswith("preparing the risk kernels")


def test_the_time_is_a_number_under_json(calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warmup", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seconds"] >= 0
