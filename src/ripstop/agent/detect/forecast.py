"""The forecast-error mode: a signal against its own prediction.

Where a signal moves by a pattern (a daily load, a duty cycle), its level says little. What a prediction of it
gets wrong does: the monitor watches the error. The prediction comes from the caller, or from an
autoregression that learns as it goes.

References:
    Haykin, Adaptive Filter Theory, 6 (normalised least mean squares).
"""

from __future__ import annotations

import math

from ripstop.core.canonical import Json
from ripstop.core.errors import ConfigurationError

from ..reading import finite
from .finding import Finding
from .monitor import Monitor

_TINY = 1e-9


class AutoRegression:
    """Predicts the next reading from the last `order` ones: 2 x order + 3 numbers.

    Args:
        order: readings looked back on.
        rate: how fast the coefficients follow, in (0, 2); above that they diverge.

    Raises:
        ConfigurationError: C0370, a parameter cannot be.
    """

    def __init__(self, *, order: int = 8, rate: float = 0.1) -> None:
        if not (order >= 1 and 0.0 < rate < 2.0):
            raise ConfigurationError("an autoregression needs `order` >= 1 and 0 < `rate` < 2", code="C0370")
        self._rate = rate
        self._weights = [1.0] + [0.0] * (order - 1)  # at first: as it is now, so it stays
        self._past: list[float] = []
        self._mean = 0.0
        self._n = 0

    @property
    def next(self) -> float | None:
        """The prediction of the next reading; None before there are enough."""
        if len(self._past) < len(self._weights):
            return None
        return self._mean + sum(w * (x - self._mean) for w, x in zip(self._weights, self._past, strict=True))

    def learn(self, value: float) -> None:
        """Take a finite reading: correct the coefficients by what the prediction got wrong."""
        predicted = self.next
        if predicted is not None:
            past = [x - self._mean for x in self._past]
            step = self._rate * (value - predicted) / (_TINY + sum(x * x for x in past))
            if math.isfinite(step):
                self._weights = [w + step * x for w, x in zip(self._weights, past, strict=True)]
        self._n += 1
        self._mean += (value - self._mean) * max(0.01, 1.0 / self._n)
        self._past = [value, *self._past][: len(self._weights)]


class ForecastMonitor:
    """Watches how far a signal is from what was predicted of it.

    Args:
        monitor: watches the errors; its declared range is that of errors, so it usually has none.
        model: predicts where the caller does not.
    """

    def __init__(self, monitor: Monitor | None = None, *, model: AutoRegression | None = None) -> None:
        self.monitor = monitor or Monitor()
        self.model = model or AutoRegression()

    def observe(self, value: Json, t_us: int, predicted: float | None = None) -> Finding:
        """Test a reading against its prediction; `value`, `expected` and `scale` are the signal's own.

        Args:
            value: the reading.
            t_us: when it was sensed.
            predicted: what it was expected to be; None asks the model, which needs `order` readings first.
        """
        number = finite(value)
        expected = self.model.next if predicted is None else predicted
        if number is None:
            return self.monitor.observe(value, t_us)
        if predicted is None:
            self.model.learn(number)
        if expected is None or not math.isfinite(expected):
            return Finding(0.0, False, "quiet", number, number, 0.0)
        found = self.monitor.observe(number - expected, t_us)
        return found._replace(value=number, expected=expected + found.expected)
