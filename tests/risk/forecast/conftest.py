"""What the tests of forecasts share: a model, its file, and windows for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from forecast_models import WINDOW, drawn_weights, make_model
from ripstop.risk.forecast import Forecaster, Limit, write_model


@pytest.fixture
def model() -> Forecaster:
    return make_model()


@pytest.fixture
def model_file(tmp_path: Path, model: Forecaster) -> Path:
    pytest.importorskip("onnxruntime", reason="models are served by ONNX Runtime (extra `forecast`)")
    path = tmp_path / "battery.onnx"
    write_model(model, drawn_weights(), path)
    return path


@pytest.fixture
def limit() -> Limit:
    return Limit(20.0, "below")


@pytest.fixture
def windows() -> NDArray[np.float64]:
    return 50.0 + 10.0 * np.random.default_rng(3).standard_normal((40, WINDOW)).cumsum(axis=1) / 3.0
