"""Forecasts of many signals at once: does one cross its limit within the horizon, and when."""

from __future__ import annotations

from ripstop.risk.forecast.autoregression import Autoregression
from ripstop.risk.forecast.conformal import AdaptiveRadius
from ripstop.risk.forecast.crossing import CrossingReport, Limit
from ripstop.risk.forecast.csvseries import SeriesFile, read_series
from ripstop.risk.forecast.drift import Bet
from ripstop.risk.forecast.evaluation import Evaluation, Followed, ahead_of, evaluate, followed, usual_limit
from ripstop.risk.forecast.failure import failure_probabilities
from ripstop.risk.forecast.forecaster import Forecaster, fit, fit_each
from ripstop.risk.forecast.onnxfile import check_writable, read_model, write_model
from ripstop.risk.forecast.record import Record, Score
from ripstop.risk.forecast.series import evenly
from ripstop.risk.forecast.training import Epoch, Trained, Training, train
from ripstop.risk.forecast.watch import Watch

__all__ = [
    "AdaptiveRadius",
    "Autoregression",
    "Bet",
    "CrossingReport",
    "Epoch",
    "Evaluation",
    "Followed",
    "Forecaster",
    "Limit",
    "Record",
    "Score",
    "SeriesFile",
    "Trained",
    "Training",
    "Watch",
    "ahead_of",
    "check_writable",
    "evaluate",
    "evenly",
    "failure_probabilities",
    "fit",
    "fit_each",
    "followed",
    "read_model",
    "read_series",
    "train",
    "usual_limit",
    "write_model",
]
