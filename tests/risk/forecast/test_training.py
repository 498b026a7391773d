"""Training in earnest, on small networks; PyTorch is needed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from forecast_models import thermostat
from ripstop.core.errors import ConfigurationError
from ripstop.risk import RiskInputError
from ripstop.risk.forecast import Epoch, Limit, Trained, Training, evaluate, read_model, train, write_model

pytest.importorskip("torch", reason="training needs PyTorch (extra `train`)")
pytest.importorskip("onnx", reason="models are written with onnx (extra `train`)")
pytest.importorskip("onnxruntime", reason="models are served by ONNX Runtime (extra `forecast`)")

HOW = Training(window=20, horizon=8, step_s=60.0, hidden=12, epochs=6, seed=3)


@pytest.fixture(scope="module")
def history() -> NDArray[np.float64]:
    return thermostat(6000, 1)


@pytest.fixture(scope="module")
def trained(history: NDArray[np.float64]) -> Trained:
    return train([history], settings=HOW, metric="heat", limit=Limit(11.5))


def test_where_an_ar_cannot_follow_the_network_is_promoted_and_the_record_says_why(trained: Trained) -> None:
    record = trained.model.record
    assert record is not None
    assert record.promoted
    assert record.network.mae < 0.9 * record.ar.mae
    assert record.gain_low > 0.0
    assert record.gain_low <= record.gain <= record.gain_high
    assert record.network.auc is not None
    assert record.ar.auc is not None
    assert record.network.auc > record.ar.auc
    assert "takes away" in record.reason
    assert (record.metric, record.samples, record.limit, record.side) == ("heat", 6000, 11.5, "above")
    assert 0.75 < record.network.coverage < 1.0


def test_onnx_runtime_serves_what_pytorch_computes(
    trained: Trained, history: NDArray[np.float64], tmp_path: Path
) -> None:
    write_model(trained.model, trained.weights, tmp_path / "heat.onnx")
    served = read_model(tmp_path / "heat.onnx")
    windows = np.lib.stride_tricks.sliding_window_view(history, 20)[-400:]
    past = trained.model.standardised(windows)
    # single precision over 20 steps, in standard deviations
    assert served.predict(past) == pytest.approx(trained.model.predict(past), abs=2e-5)
    scores = evaluate(served, [history], Limit(11.5))
    assert scores.network is not None
    assert trained.model.record is not None
    assert scores.network.mae == pytest.approx(trained.model.record.network.mae, rel=1e-3)
    assert scores.persistence.mae > scores.ar.mae > scores.network.mae


def test_where_the_ar_is_all_there_is_to_know_it_stays_and_the_record_says_why() -> None:
    rng = np.random.default_rng(2)
    values = [0.0, 0.0]
    for _ in range(3000):
        values.append(1.6 * values[-1] - 0.8 * values[-2] + rng.normal())
    made = train([np.array(values)], settings=replace(HOW, epochs=3))
    assert made.model.record is not None
    assert not made.model.record.promoted
    assert "which may be nothing" in made.model.record.reason
    report = made.model.forecast(np.array(values)[-20:], Limit(5.0))
    assert report.model == "ar"
    assert "the network is not used" in report.notes[0]


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(
    trained: Trained, history: NDArray[np.float64], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "heat.checkpoint"
    seen: list[int] = []

    def stop_after_two(epoch: Epoch) -> None:
        seen.append(epoch.number)
        if epoch.number == 2:
            raise KeyboardInterrupt

    def go_on(epoch: Epoch) -> None:
        seen.append(epoch.number)

    how = {"settings": HOW, "metric": "heat", "limit": Limit(11.5), "checkpoint": checkpoint}
    with pytest.raises(KeyboardInterrupt):
        train([history], progress=stop_after_two, **how)  # type: ignore[arg-type]
    made = train([history], progress=go_on, **how)  # type: ignore[arg-type]
    assert seen == [1, 2, 3, 4, 5, 6]
    for place, one in enumerate((trained, made)):
        write_model(one.model, one.weights, tmp_path / f"{place}.onnx")
    assert (tmp_path / "0.onnx").read_bytes() == (tmp_path / "1.onnx").read_bytes()


def test_a_checkpoint_of_another_training_or_none_at_all_is_refused(
    history: NDArray[np.float64], tmp_path: Path
) -> None:
    checkpoint, short = tmp_path / "c", replace(HOW, epochs=1)
    train([history], settings=short, checkpoint=checkpoint)
    for changed, rows in ((replace(short, seed=4), history), (short, history + 1e-9)):
        with pytest.raises(RiskInputError, match="other settings or histories") as caught:
            train([rows], settings=changed, checkpoint=checkpoint)
        assert caught.value.code == "C0754"
    content = checkpoint.read_bytes()
    for damaged in (content[:100], b"", b"no checkpoint", content[: len(content) // 2]):
        checkpoint.write_bytes(damaged)
        with pytest.raises(RiskInputError) as caught:
            train([history], settings=short, checkpoint=checkpoint)
        assert caught.value.code == "C0754"
    with pytest.raises(RiskInputError, match="is not written"):
        train([history], settings=short, checkpoint=tmp_path / "none" / "c")


@pytest.mark.parametrize(
    "wrong",
    [{"hidden": 0}, {"epochs": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"window": -1}, {"seed": -1}],
)
def test_settings_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RiskInputError) as caught:
        replace(HOW, **wrong)  # type: ignore[arg-type]  # wrong on purpose
    assert caught.value.code in ("C0713", "C0715")


@pytest.mark.parametrize("rows", [[np.zeros(3000)], [np.arange(50.0)], [], [np.full(3000, np.nan)]])
def test_histories_that_cannot_be_learned_from_are_refused(rows: list[NDArray[np.float64]]) -> None:
    with pytest.raises(RiskInputError) as caught:
        train(rows, settings=HOW)
    assert caught.value.code == "C0751"


def test_without_pytorch_the_extra_is_named(
    history: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigurationError) as caught:
        train([history], settings=HOW)
    assert caught.value.code == "C0001"
    assert caught.value.hint == "pip install 'ripstop[train]'"
