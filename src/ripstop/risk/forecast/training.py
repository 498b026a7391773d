"""Training: an LSTM learns what the AR of a metric leaves over, and is used only if that helps.

Only this file knows PyTorch, and loads it when training begins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ripstop.core.errors import missing_extra
from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.crossing import LIMIT, Limit
from ripstop.risk.forecast.evaluation import gain_of, score, usual_limit, verdict
from ripstop.risk.forecast.forecaster import (
    HORIZON,
    PATHS,
    WINDOW,
    Forecaster,
    check_spans,
    errors_of,
    fit_pooled,
    standard,
)
from ripstop.risk.forecast.onnxfile import Weights
from ripstop.risk.forecast.record import Record
from ripstop.risk.forecast.series import Floats, Windows, checked_histories, windows_of
from ripstop.risk.kinds import FUNCTION, Kind, takes
from ripstop.risk.settings import check_seed, check_share, check_whole
from ripstop.risk.textfile import checked_path

BATCH = 128
STEEPEST = 1.0  # norm at which gradients are clipped
CONFIDENCE = 0.9  # at which coverage is measured for the record


@dataclass(frozen=True, slots=True)
class Training:
    """How a network is trained.

    Attributes:
        window, horizon: samples in, samples ahead.
        step_s: between samples.
        hidden: cells of the LSTM.
        epochs: passes over the history; the best by the part to select by is kept.
        rate: the highest learning rate (one cycle up and down).
        seed: the same seed gives the same model.
    """

    window: int = WINDOW
    horizon: int = HORIZON
    step_s: float = 1.0
    hidden: int = 24
    epochs: int = 30
    rate: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        check_spans(self.window, self.horizon, self.step_s)
        check_whole("hidden", self.hidden, "C0715", least=1, below=1025)
        check_whole("epochs", self.epochs, "C0715", least=1, below=100_001)
        check_seed(self.seed)
        check_share("rate", self.rate, "C0715", ends=False)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass: its number from 1, of how many, and the mean squared error left, as a share of the AR's."""

    number: int
    of: int
    error: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and the network's weights, ready for `write_model`."""

    model: Forecaster
    weights: Weights


@takes(
    settings=Kind("settings of a training", Training),
    metric=Kind("a name", str),
    limit=LIMIT,
    progress=FUNCTION,
)
def train(
    histories: Sequence[ArrayLike] | ArrayLike,
    *,
    settings: Training | None = None,
    metric: str = "",
    limit: Limit | None = None,
    checkpoint: str | Path | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train on all histories of one metric, and judge the result by their last parts.

    Args:
        histories: the samples of each, in the order of time; a missing sample is NaN.
        settings: how.
        metric: its name, for the record.
        limit: what crossings are judged by; by default the 90 % quantile of the part that is fitted on.
        checkpoint: a file that is written after each epoch; a training of the same settings and histories
            that finds it there goes on from it.
        progress: called after each epoch.

    Raises:
        RiskInputError: C0751 for histories, C0715 for settings, C0754 for a checkpoint of another training.
        ConfigurationError: C0001, without PyTorch.
    """
    how = settings or Training()
    rows = checked_histories(histories)
    mean, scale = standard(rows)
    rows = tuple((row - mean) / scale for row in rows)
    ar, select_by = fit_pooled(rows, how.window, how.horizon)
    fit_on = windows_of(rows, 0, how.window, how.horizon)
    calibrate = windows_of(rows, 2, how.window, how.horizon).thinned(PATHS)
    residual, later, last = (w.future - ar.predict(w.past) for w in (fit_on, select_by, calibrate))
    learner = _Learner(how, size=max(float(np.sqrt((residual**2).mean())), 1e-9))
    keeper = (
        None if checkpoint is None else _Keeper(checked_path(checkpoint, "C0754"), _fingerprint(how, rows))
    )
    epoch = learner.learn((fit_on.past, residual), (select_by.past, later), keeper, progress)
    model = Forecaster(
        how.window,
        how.horizon,
        how.step_s,
        np.array([mean]),
        np.array([scale]),
        ar,
        errors_of(last[None], later[None]),
        learner,
        errors_of(*((e - learner.correct(w.past))[None] for e, w in ((last, calibrate), (later, select_by)))),
    )
    asked = limit or usual_limit([row * scale + mean for row in rows])
    unseen = [windows_of(rows, part, how.window, how.horizon) for part in (2, 3)]
    known = int(sum(np.isfinite(row).sum() for row in rows))
    made = {"metric": metric, "histories": len(rows), "samples": known, "epoch": epoch}
    return Trained(replace(model, record=_judged(model, unseen, asked, how, made)), learner.weights())


def _judged(
    model: Forecaster, unseen: Sequence[Windows], limit: Limit, how: Training, made: Mapping[str, Any]
) -> Record:
    """Compare both: errors on all that is unseen, crossings where no errors were taken either."""
    candidates = (model.without_network(), model)
    plain, network = (score(one, unseen[-1], limit, CONFIDENCE) for one in candidates)
    losses = [
        np.concatenate([np.abs(one.predict(w.past) - w.future).mean(axis=1) for w in unseen])
        for one in candidates
    ]
    blocks = np.concatenate([unseen[0].block, unseen[0].block.max() + 1 + unseen[1].block])
    gain = gain_of(losses[0], losses[1], blocks, how.seed)
    promoted, reason = verdict(gain, plain, network)
    return Record(
        **made,
        limit=limit.value,
        side=limit.side,
        ar=plain,
        network=network,
        gain=gain[0],
        gain_low=gain[1],
        gain_high=gain[2],
        promoted=promoted,
        reason=reason,
        hidden=how.hidden,
        epochs=how.epochs,
        seed=how.seed,
    )


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise missing_extra("torch", "train") from error
    return torch


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Keep to one thread: small networks gain nothing from more, and sums come in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Learner:
    """The network while it is trained: an LSTM over the window, and a line from its last state.

    It begins as no correction at all, and learns the residual in units of `size`.

    References:
        Hochreiter, Schmidhuber (1997), Long short-term memory, Neural Computation 9.
        Smith, Topin (2019), Super-convergence (the one-cycle schedule of the learning rate).
    """

    def __init__(self, how: Training, size: float) -> None:
        torch = _torch()
        self._torch, self._how, self._size = torch, how, size
        self._draws = torch.Generator().manual_seed(how.seed & (2**63 - 1))
        self._lstm = torch.nn.LSTM(1, how.hidden, batch_first=True)
        self._out = torch.nn.Linear(how.hidden, how.horizon)
        self._parameters = [*self._lstm.parameters(), *self._out.parameters()]
        with torch.no_grad():
            for parameter in self._lstm.parameters():
                parameter.uniform_(-(how.hidden**-0.5), how.hidden**-0.5, generator=self._draws)
            for parameter in self._out.parameters():
                parameter.zero_()

    def _forward(self, windows: Any) -> Any:
        return self._out(self._lstm(windows[:, :, None])[0][:, -1])

    def _tensor(self, array: Floats) -> Any:
        return self._torch.from_numpy(np.ascontiguousarray(array, np.float32))

    def correct(self, past: Floats) -> Floats:
        """Give what to add to the AR's forecast, for standardised windows."""
        with self._torch.no_grad(), _one_thread(self._torch):
            parts = [self._forward(part) for part in self._tensor(past).split(4 * BATCH)]
            answer: Floats = self._torch.cat(parts).numpy().astype(np.float64) * self._size
        return answer

    def weights(self) -> Weights:
        """Give the weights as arrays, for answers in standardised units."""
        w, r, b, c = (p.detach().numpy().astype(np.float64) for p in self._lstm.parameters())
        out, bias = (p.detach().numpy().astype(np.float64) * self._size for p in self._out.parameters())
        return {"w": w, "r": r, "b": np.concatenate([b, c]), "out": out, "bias": bias}

    def learn(
        self,
        fit_on: tuple[Floats, Floats],
        select_by: tuple[Floats, Floats],
        keeper: _Keeper | None,
        progress: Callable[[Epoch], None] | None,
    ) -> int:
        """Train, keep the weights of the epoch that is best to select by, and give its number (0: none)."""
        torch, how = self._torch, self._how
        past, residual, past_later, later = (
            self._tensor(array) for array in (fit_on[0], fit_on[1] / self._size, select_by[0], select_by[1])
        )
        optimiser = torch.optim.Adam(self._parameters, lr=how.rate)
        batches = -(-len(past) // BATCH)
        pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, how.rate, total_steps=how.epochs * batches)
        reference = max(float((later**2).mean()), 1e-12)
        state: dict[str, Any] = {"epoch": 0, "best": 1.0, "best_epoch": 0, "kept": self._copies()}
        parts = {"optimiser": optimiser, "pace": pace}
        if keeper is not None:
            state = keeper.restore(torch, self._parameters, parts, self._draws) or state
        with _one_thread(torch):
            for number in range(state["epoch"] + 1, how.epochs + 1):
                for batch in torch.randperm(len(past), generator=self._draws).split(BATCH):
                    loss = torch.nn.functional.mse_loss(self._forward(past[batch]), residual[batch])
                    optimiser.zero_grad()
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(self._parameters, STEEPEST)
                    optimiser.step()
                    pace.step()
                with torch.no_grad():
                    left = float(((self._forward(past_later) * self._size - later) ** 2).mean()) / reference
                state["epoch"] = number
                if left < state["best"]:
                    state |= {"best": left, "best_epoch": number, "kept": self._copies()}
                if keeper is not None:
                    keeper.keep(torch, state, self._parameters, parts, self._draws)
                if progress is not None:
                    progress(Epoch(number, how.epochs, left))
        with torch.no_grad():
            for parameter, kept in zip(self._parameters, state["kept"], strict=True):
                parameter.copy_(kept)
        return int(state["best_epoch"])

    def _copies(self) -> list[Any]:
        return [parameter.detach().clone() for parameter in self._parameters]


def _fingerprint(how: Training, rows: Sequence[Floats]) -> str:
    digest = hashlib.sha256(json.dumps(asdict(how), sort_keys=True).encode())
    for row in rows:
        digest.update(f"{len(row)},".encode() + row.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Keeper:
    """The file from which a training goes on after it was stopped."""

    path: Path
    fingerprint: str

    def keep(
        self,
        torch: Any,
        state: Mapping[str, Any],
        parameters: list[Any],
        parts: Mapping[str, Any],
        draws: Any,
    ) -> None:
        """Write all that the next epoch depends on; a kill leaves the file of the epoch before."""
        whole = {
            "fingerprint": self.fingerprint,
            "state": dict(state),
            "parameters": [parameter.detach() for parameter in parameters],
            "parts": {name: part.state_dict() for name, part in parts.items()},
            "draws": draws.get_state(),
        }
        part = self.path.with_name(self.path.name + ".part")
        try:
            torch.save(whole, part)
            part.replace(self.path)
        except (OSError, RuntimeError) as error:
            raise RiskInputError(
                f"the checkpoint `{self.path}` is not written: {_said(error)}", code="C0754"
            ) from None

    def restore(
        self, torch: Any, parameters: list[Any], parts: Mapping[str, Any], draws: Any
    ) -> dict[str, Any] | None:
        """Put everything back as it was after the last epoch; None if there is no checkpoint."""
        try:
            if not self.path.exists():
                return None
        except OSError as error:
            raise RiskInputError(
                f"the checkpoint `{self.path}` is not read: {_said(error)}", code="C0754"
            ) from None
        try:
            whole = torch.load(self.path, weights_only=True)
            fits = whole["fingerprint"] == self.fingerprint
        except Exception as error:  # PyTorch's reader stumbles over strange bytes in many ways
            raise RiskInputError(
                f"the checkpoint `{self.path}` cannot be read", code="C0754", hint="remove it to begin anew"
            ) from error
        if not fits:
            raise RiskInputError(
                f"the checkpoint `{self.path}` is of other settings or histories",
                code="C0754",
                hint="remove it to begin anew",
            )
        with torch.no_grad():
            for parameter, kept in zip(parameters, whole["parameters"], strict=True):
                parameter.copy_(kept)
        for name, part in parts.items():
            part.load_state_dict(whole["parts"][name])
        draws.set_state(whole["draws"])
        state: dict[str, Any] = whole["state"]
        return state


def _said(error: Exception) -> str:
    return (getattr(error, "strerror", None) or "cannot be written").lower()
