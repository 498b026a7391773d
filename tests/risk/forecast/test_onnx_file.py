from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from forecast_models import WINDOW, SlowNetwork, drawn_weights, make_model
from ripstop.core.errors import ConfigurationError
from ripstop.risk import RiskInputError
from ripstop.risk.forecast import Forecaster, Limit, read_model, write_model
from ripstop.risk.forecast.onnxfile import DIGEST, KEY, Network, sealed

onnx = pytest.importorskip("onnx", reason="models are written with onnx (extra `train`)")
pytest.importorskip("onnxruntime", reason="models are served by ONNX Runtime (extra `forecast`)")


def test_the_graph_computes_what_the_lstm_s_equations_say(model_file: Path) -> None:
    served = Network(model_file.read_bytes())
    windows = np.random.default_rng(4).normal(size=(30, WINDOW))
    # single precision over 12 steps
    assert served.correct(windows) == pytest.approx(SlowNetwork(drawn_weights()).correct(windows), abs=1e-5)


def test_a_model_comes_back_as_it_was_written(
    model: Forecaster, model_file: Path, windows: NDArray[np.float64], limit: Limit
) -> None:
    back = read_model(model_file)
    assert back.record == model.record
    assert (back.window, back.horizon, back.step_s) == (model.window, model.horizon, model.step_s)
    one, other = (m.forecast(windows, limit) for m in (model, back))
    assert other.model == "lstm+ar"
    assert other.forecast == pytest.approx(one.forecast, abs=1e-3)
    assert other.low == pytest.approx(one.low, abs=1e-3)
    # a path within single precision of the limit may fall on either side
    assert other.probability == pytest.approx(one.probability, abs=0.02)


def test_the_file_is_valid_onnx_small_and_the_same_each_time(
    model: Forecaster, model_file: Path, tmp_path: Path
) -> None:
    onnx.checker.check_model(onnx.load(model_file), full_check=True)
    assert model_file.stat().st_size < 60_000
    write_model(model, drawn_weights(), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == model_file.read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_a_model_that_was_not_promoted_serves_its_ar_and_says_why(
    tmp_path: Path, windows: NDArray[np.float64], limit: Limit
) -> None:
    write_model(make_model(promoted=False), drawn_weights(), tmp_path / "m.onnx")
    report = read_model(tmp_path / "m.onnx").forecast(windows, limit)
    assert report.model == "ar"
    assert report.notes == ("the network is not used: drawn",)


def test_batches_do_not_change_an_answer(model_file: Path) -> None:
    served = Network(model_file.read_bytes())
    windows = np.random.default_rng(5).normal(size=(2500, WINDOW))
    whole = served.correct(windows)
    assert np.array_equal(whole[:1000], served.correct(windows[:1000]))
    assert whole[2400] == pytest.approx(served.correct(windows[2400:2401])[0], abs=1e-6)


def test_readings_beyond_single_precision_are_answered_or_not_known(
    model_file: Path, windows: NDArray[np.float64], limit: Limit
) -> None:
    model = read_model(model_file)
    wild = np.concatenate([windows, np.full((1, windows.shape[1]), 1e300)])
    found, plain = model.forecast(wild, limit), model.forecast(windows, limit)
    assert found.probability[:-1] == pytest.approx(plain.probability)
    assert found.probability[-1] in (0.0, 1.0) or not found.is_known[-1]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(model_file: Path, share: float) -> None:
    content = model_file.read_bytes()
    model_file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RiskInputError) as caught:
        read_model(model_file)
    assert caught.value.code in ("C0752", "C0753")


def test_a_flipped_bit_anywhere_is_refused(model_file: Path) -> None:
    content = model_file.read_bytes()
    rng = np.random.default_rng(6)
    for place in (*rng.integers(len(content), size=60), len(content) - 1):
        damaged = bytearray(content)
        damaged[int(place)] ^= 1 << int(rng.integers(8))
        model_file.write_bytes(bytes(damaged))
        with pytest.raises(RiskInputError) as caught:
            read_model(model_file)
        assert caught.value.code in ("C0752", "C0753")
    model_file.write_bytes(content + b"\x00")
    with pytest.raises(RiskInputError):
        read_model(model_file)


def unsealed(path: Path) -> Any:
    """Give the model that was written, without its digest."""
    made = onnx.load(path)
    assert made.metadata_props.pop().key == DIGEST
    return made


def test_a_foreign_file_is_refused(model_file: Path, tmp_path: Path) -> None:
    foreign = onnx.load(model_file)
    del foreign.metadata_props[:]
    for content in (foreign.SerializeToString(), b"no model at all", b"\x00" * 100, json.dumps({}).encode()):
        model_file.write_bytes(content)
        with pytest.raises(RiskInputError) as caught:
            read_model(model_file)
        assert caught.value.code == "C0752"
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(RiskInputError, match="is not read"):
            read_model(path)


Change = Callable[[dict[str, Any]], object]

CHANGES: dict[str, Change] = {
    "another mean": lambda r: r["normalisation"].update(mean=0.0),
    "another scale": lambda r: r["normalisation"].update(scale=1.0),
    "no scale": lambda r: r["normalisation"].pop("scale"),
    "a scale of 0": lambda r: r["normalisation"].update(scale=0.0),
    "a scale that is NaN": lambda r: r["normalisation"].update(scale=float("nan")),
    "a scale in words": lambda r: r["normalisation"].update(scale="ten"),
    "no normalisation": lambda r: r.pop("normalisation"),
    "another window": lambda r: r.update(window=13),
    "another horizon": lambda r: r.update(horizon=4),
    "another format": lambda r: r.update(format=1),
    "no step": lambda r: r.update(step_s=0),
    "an unknown key": lambda r: r.update(extra=1),
    "a matrix that is none": lambda r: r["ar"].update(matrix="AAAA"),
    "a matrix that is no base64": lambda r: r["ar"].update(matrix="?"),
    "a record without a reason": lambda r: r["record"].pop("reason"),
    "a record of another type": lambda r: r["record"].update(promoted="yes"),
    "a score that is NaN": lambda r: r["record"]["ar"].update(mse=float("nan")),
    "a score that is none": lambda r: r["record"].update(network=3),
    "errors that are none": lambda r: r["errors"].update(ar=[]),
    "a probe that is none": lambda r: r.update(probe=None),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_record_that_was_changed_is_refused(model_file: Path, change: Change) -> None:
    made = unsealed(model_file)
    (kept,) = made.metadata_props
    record = json.loads(kept.value)
    change(record)
    kept.value = json.dumps(record)
    model_file.write_bytes(made.SerializeToString())
    with pytest.raises(RiskInputError, match="by its digest"):
        read_model(model_file)
    model_file.write_bytes(sealed(made.SerializeToString()))
    with pytest.raises(RiskInputError) as caught:
        read_model(model_file)
    assert caught.value.code == "C0753"
    assert "digest" not in caught.value.message


def test_a_record_that_is_no_json_or_weights_of_another_model_are_refused(model_file: Path) -> None:
    made = unsealed(model_file)
    made.metadata_props[0].value = "{"
    model_file.write_bytes(sealed(made.SerializeToString()))
    with pytest.raises(RiskInputError, match="no JSON"):
        read_model(model_file)
    assert made.metadata_props[0].key == KEY


def test_weights_that_are_not_those_of_the_record_are_found_out(tmp_path: Path) -> None:
    weights = drawn_weights() | {"bias": drawn_weights()["bias"] + 0.1}
    write_model(make_model(), weights, tmp_path / "m.onnx")
    with pytest.raises(RiskInputError, match="does not repeat the forecast") as caught:
        read_model(tmp_path / "m.onnx")
    assert caught.value.code == "C0753"


def test_a_place_that_cannot_be_written_is_said(model: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(RiskInputError) as caught:
        write_model(model, drawn_weights(), tmp_path / "none" / "m.onnx")
    assert caught.value.code == "C0752"


@pytest.mark.parametrize(("package", "extra"), [("onnxruntime", "forecast"), ("onnx", "train")])
def test_a_missing_package_says_which_extra_brings_it(
    model: Forecaster, model_file: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError) as caught:
        if package == "onnx":
            write_model(model, drawn_weights(), model_file)
        else:
            read_model(model_file)
    assert caught.value.code == "C0001"
    assert caught.value.hint == f"pip install 'ripstop[{extra}]'"
