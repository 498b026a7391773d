"""`ripstop forecast train | eval`: what it prints, writes, refuses, and how it is stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from forecast_models import drawn_weights, make_model, thermostat
from ripstop.cli import main
from ripstop.risk.forecast import training, write_model

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(name: str, *columns: NDArray[np.float64], header: str = "t_s,a,b") -> Path:
        table = enumerate(np.column_stack(columns).tolist())
        rows = [f"{60 * k},{','.join(map(str, row))}" for k, row in table]
        path = tmp_path / name
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return make


@pytest.fixture
def heat(write: Write) -> Path:
    return write("heat.csv", thermostat(2500, 1), header="t_s,heat")


def needs(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"needs the package {package} (extra `train`)")


SMALL = ("--window", "20", "--horizon", "8", "--limit", "11.5")


def test_without_a_model_an_ar_is_fitted_and_judged(heat: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", "eval", str(heat), *SMALL, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["record"] is None
    assert found["scores"]["network"] is None
    assert found["scores"]["ar"]["mae"] < found["scores"]["persistence"]["mae"]
    assert found["forecast"]["step_s"] == 60.0
    assert found["forecast"]["limit"] == {"value": 11.5, "side": "above"}
    (series,) = found["forecast"]["series"]
    assert series["name"] == "heat"
    assert 0.0 <= series["probability"] <= 1.0
    assert len(series["forecast"]) == 8


def test_the_tables_say_what_was_judged_and_what_comes_next(
    heat: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", "eval", str(heat), *SMALL, "--top", "1"]) == 0
    shown = capsys.readouterr().out
    for words in ("persistence", "AR", "that had not crossed did so", "the next 480 s, by ar", "heat"):
        assert words in shown
    both = write("both.csv", thermostat(2500, 1), thermostat(2500, 2))
    assert main(["forecast", "eval", str(both), *SMALL, "--top", "1"]) == 0
    assert "1 more: --top 0 shows all" in capsys.readouterr().out


def test_of_a_series_that_has_been_silent_too_long_nothing_is_claimed(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for silent, is_known in ((3, True), (6, False), (60, False)):
        gone = thermostat(2500, 2)
        gone[-silent:] = np.nan
        both = write("both.csv", thermostat(2500, 1), gone)
        assert main(["forecast", "eval", str(both), *SMALL, "--json"]) == 0
        ahead = json.loads(capsys.readouterr().out)["forecast"]
        assert [series["probability"] is not None for series in ahead["series"]] == [True, is_known]
        assert any("nothing is claimed" in note for note in ahead["notes"]) != is_known


def test_errors_that_have_grown_since_calibration_are_told(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = thermostat(2500, 1).copy()
    wild[-400:] += np.random.default_rng(1).normal(0.0, 3.0, 400)
    for values, told in ((thermostat(2500, 1), False), (wild, True)):
        assert main(["forecast", "eval", str(write("one.csv", values, header="t_s,heat")), *SMALL]) == 0
        assert ("errors have grown since" in capsys.readouterr().out) == told


def test_forecasts_are_drawn_beside_what_came(heat: Path, write: Write, tmp_path: Path) -> None:
    picture = tmp_path / "heat.svg"
    assert main(["forecast", "eval", str(heat), *SMALL, "--plot", str(picture)]) == 0
    assert "<svg" in picture.read_text()
    above = [*SMALL[:-1], "-1000"]  # crossed all along: nothing is asked, and so the diagram is empty
    assert main(["forecast", "eval", str(heat), *above, "--plot", str(picture)]) == 0
    assert "every window had crossed already" in picture.read_text()
    assert main(["forecast", "eval", str(heat), *SMALL, "--plot", str(tmp_path / "heat.txt")]) == 2


def test_a_model_is_trained_written_and_judged(
    heat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("torch", "onnx", "onnxruntime")
    out = tmp_path / "heat.onnx"
    words = ["forecast", "train", str(heat), *SMALL, "--out", str(out), "--epochs", "4", "--hidden", "8"]
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["metric"], record["epochs"], record["limit"]) == ("heat", 4, 11.5)
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert f"wrote {out}" in shown
    assert "LSTM + AR" in shown
    assert not (tmp_path / "heat.onnx.checkpoint").exists()
    code = main(["forecast", "eval", str(heat), "--model", str(out), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["record"] == record
    assert found["forecast"]["limit"] == {"value": 11.5, "side": "above"}
    assert code == 0


def test_a_training_that_is_stopped_says_how_to_go_on(
    heat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("torch", "onnx", "onnxruntime")
    out = tmp_path / "heat.onnx"
    words = ["forecast", "train", str(heat), *SMALL, "--out", str(out), "--epochs", "3", "--hidden", "4"]
    keep = training._Keeper.keep

    def keep_then_stop(self: training._Keeper, *parts: object) -> None:
        keep(self, *parts)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Keeper, "keep", keep_then_stop)
        assert main(words) == 130
    assert f"the same command goes on from {out}.checkpoint" in capsys.readouterr().err
    assert not out.exists()
    assert main(words) == 0
    assert out.exists()


def test_a_checkpoint_in_the_way_is_refused_unless_one_begins_afresh(
    heat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("torch", "onnx", "onnxruntime")
    (tmp_path / "m.onnx.checkpoint").write_text("something else")
    words = ["forecast", "train", str(heat), *SMALL, "--out", str(tmp_path / "m.onnx"), "--epochs", "1"]
    assert main(words) == 2
    assert "C0754" in capsys.readouterr().err
    assert main([*words, "--fresh"]) == 0


def test_a_model_that_is_no_better_here_is_a_finding(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("onnx", "onnxruntime")
    write_model(make_model(), drawn_weights(), tmp_path / "m.onnx")  # its network adds noise
    rng = np.random.default_rng(1)
    walk = write("walk.csv", 50 + rng.normal(0, 1, 900).cumsum() / 4, 50 + rng.normal(0, 1, 900).cumsum() / 4)
    assert main(["forecast", "eval", str(walk), "--model", str(tmp_path / "m.onnx"), "--top", "1"]) == 1
    shown = capsys.readouterr().out
    assert "LSTM + AR" in shown
    assert "crossing below 20" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no header"),
        ("1,2\n3,4\n", "has no header"),
        ("t_s,a\n0,1\n60\n", "1 cells, expected 2"),
        ("t_s,a\n0,1\n60,warm\n", "`warm` is no finite number"),
        ("t_s,a\n0,1\n60,inf\n", "`inf` is no finite number"),
        ("t_s,a\nnoon,1\n60,2\n", "`noon` is no time"),
        ("t_s,a\n0,1\n0,2\n", "no two samples at different times"),
        ("t_s\n0\n60\n", "has no series"),
        ("t_s,a\n0,1\n60,2\n120,1\n", "expected 20 or more"),
        ("t_s,a\n" + "".join(f"{k},3\n" for k in range(999)), "nothing to learn"),
        ('t_s,a\n0,"1\n', "is no CSV"),
    ],
)
def test_a_file_that_cannot_be_learned_from_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    assert main(["forecast", "eval", str(path)]) == 2
    shown = capsys.readouterr().err
    assert "C0751" in shown
    assert said in shown
    assert len(shown.splitlines()) == 1


def test_columns_times_and_gaps_are_read_as_documented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.csv"
    values = thermostat(2500, 3)
    rows = [
        f"2026-03-01T{k // 3600 % 24:02}:{k // 60 % 60:02}:{k % 60:02}Z,{'' if k % 97 == 0 else v},text"
        for k, v in enumerate(values)
    ]
    path.write_text("\n".join(["time,heat,note", *rows]))
    assert main(["forecast", "eval", str(path), *SMALL]) == 2
    assert "`text` is no finite number" in capsys.readouterr().err
    assert main(["forecast", "eval", str(path), *SMALL, "--column", "heat", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forecast"]["step_s"] == 1.0
    assert main(["forecast", "eval", str(path), "--column", "cold"]) == 2
    assert "0 columns `cold`, expected one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "line", "step_s"),
    [
        ("epoch,heat", lambda k, v: f"{1_772_323_200 + 60 * k},{v}", 60.0),
        ("ts,heat", lambda k, v: f"{1_772_323_200_000 + 60_000 * k},{v}", 60.0),
        ("timestamp,heat", lambda k, v: f"{(1_772_323_200 + 60 * k) * 1_000_000_000},{v}", 60.0),
        ("t_us,heat", lambda k, v: f"{60_000_000 * k},{v}", 60.0),
        ("t_s,heat", lambda k, v: f"{1_772_323_200_000 + 60 * k},{v}", 60.0),  # the name says it
        (",heat", lambda k, v: f"{60 * k},{v}", 60.0),  # an index without a name
        ("time;heat", lambda k, v: f"{60 * k};{str(v).replace('.', ',')}", 60.0),
        ("time\theat", lambda k, v: f"{60 * k}\t{v}", 60.0),
        ("# by a tool\n\ntime,heat", lambda k, v: f"{60 * k},{'N/A' if k % 97 == 5 else v}", 60.0),
        ("heat", lambda _, v: f"{v}", 1.0),
    ],
)
def test_files_as_tools_write_them_are_read(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    header: str,
    line: Callable[[int, float], str],
    step_s: float,
) -> None:
    path = tmp_path / "s.csv"
    values = thermostat(2500, 3).tolist()
    path.write_text("\n".join([header, *(line(k, v) for k, v in enumerate(values))]))
    assert main(["forecast", "eval", str(path), *SMALL]) == 0
    assert f"read heat: 2500 samples, {step_s:g} s apart\n" in capsys.readouterr().out


@pytest.mark.parametrize(("out", "said"), [("none/m.onnx", "no such directory"), (".", "is a directory")])
def test_a_place_that_takes_no_model_is_told_before_training(
    heat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, said: str
) -> None:
    needs("onnx")
    assert main(["forecast", "train", str(heat), *SMALL, "--out", str(tmp_path / out)]) == 2
    told = capsys.readouterr()
    assert f"is not written: {said}" in told.err
    assert told.out == ""
    assert not list(tmp_path.rglob("*.checkpoint"))


def test_a_model_that_errs_more_than_the_last_value_held_is_told(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needs("onnx", "onnxruntime")
    write_model(make_model(), drawn_weights(), tmp_path / "m.onnx")
    other = write("other.csv", 5000 + np.random.default_rng(1).normal(0, 1, 900).cumsum(), header="t_s,a")
    main(["forecast", "eval", str(other), "--model", str(tmp_path / "m.onnx")])
    assert "the last value, held, errs less than the model: it is a model of" in capsys.readouterr().out
    spikes = np.where(np.random.default_rng(2).random(2500) < 0.02, 90.0, 1.0)
    main(["forecast", "eval", str(write("spikes.csv", spikes, header="t_s,a"))])
    assert "errs less than the model: the past tells little" in capsys.readouterr().out


def test_without_a_limit_a_tenth_of_what_is_fitted_on_lies_beyond_it(
    heat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = thermostat(2500, 1)[: round(0.55 * 2500)]
    for side, share in (("above", 0.9), ("below", 0.1)):
        assert main(["forecast", "eval", str(heat), "--side", side, "--json"]) == 0
        asked = json.loads(capsys.readouterr().out)["forecast"]["limit"]
        assert asked == {"value": pytest.approx(np.quantile(seen, share)), "side": side}


@pytest.mark.parametrize("option", ["--window", "--horizon", "--step"])
def test_what_a_trained_model_brings_is_refused_beside_it(
    heat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    needs("onnx", "onnxruntime")
    write_model(make_model(), drawn_weights(), tmp_path / "m.onnx")
    assert main(["forecast", "eval", str(heat), "--model", str(tmp_path / "m.onnx"), option, "9"]) == 2
    assert f"`--model` goes without `{option}`" in capsys.readouterr().err


def test_the_column_of_times_may_be_named(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("s.csv", thermostat(2500, 1), header="when,heat")
    assert main(["forecast", "eval", str(path), *SMALL, "--time", "when"]) == 0
    assert "read heat: 2500 samples, 60 s apart" in capsys.readouterr().out
    assert main(["forecast", "eval", str(path), "--time", "then"]) == 2
    assert "0 columns `then`" in capsys.readouterr().err


def test_a_setting_that_is_none_is_refused_with_its_code(
    heat: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", "eval", str(heat), "--confidence", "1"]) == 2
    assert "C0715" in capsys.readouterr().err
    assert main(["forecast", "eval", str(heat), "--limit", "nan", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "C0715"
