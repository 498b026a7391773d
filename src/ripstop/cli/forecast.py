"""`ripstop forecast`: train models that foresee crossings of a limit, and judge them on held-out samples."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ripstop.cli.arguments import add_command, add_json, add_top, add_verbs, source
from ripstop.cli.output import counted, print_json, print_notes, print_table, printable

if TYPE_CHECKING:
    from ripstop.cli.root import Subparsers
    from ripstop.risk import Calibration
    from ripstop.risk.forecast import (
        CrossingReport,
        Epoch,
        Evaluation,
        Followed,
        Forecaster,
        Limit,
        Record,
        Score,
        SeriesFile,
        Training,
    )
    from ripstop.risk.forecast.series import Floats

_EPILOG = """examples:
  ripstop forecast eval examples/battery.csv --limit 30 --side below
  ripstop forecast train examples/battery.csv --out battery.onnx --limit 30 --side below
  ripstop forecast eval examples/battery.csv --model battery.onnx --json
  ripstop forecast eval examples/battery.csv --limit 30 --side below --plot battery.png

A file is CSV with a header: a column of times (t_s, time, timestamp, epoch ...; ISO 8601 or numbers) if there
is one, and a column for each series of the metric. Commas, semicolons or tabs part cells; an empty one is a
missing sample.

exit codes: 0 fine, 1 eval: the model is no better than its AR on these series, 2 usage, 130 interrupted
"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the root parser."""
    parser = add_command(
        subparsers,
        "forecast",
        "train models that foresee crossings, and judge them",
        _EPILOG,
        "Foresee when a signal crosses a limit: an AR everywhere, an LSTM where it is better.",
    )
    verbs = add_verbs(parser)
    _add_train(verbs)
    _add_eval(verbs)


def _add_train(verbs: Subparsers) -> None:
    parser = add_command(
        verbs,
        "train",
        "train a model of one metric and write it as ONNX",
        _EPILOG,
        "Train an LSTM on what an AR leaves over; it is used if it wins on held-out samples.",
    )
    _add_series(parser)
    parser.add_argument("--out", metavar="MODEL.onnx", required=True, help="where the model is written")
    parser.add_argument("--metric", default="", help="its name in the record (default: that of the file)")
    parser.add_argument("--window", type=int, default=60, help="samples in (default 60)")
    parser.add_argument("--horizon", type=int, default=30, help="samples ahead (default 30)")
    parser.add_argument("--hidden", type=int, default=24, help="cells of the LSTM (default 24)")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the history (default 30)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same model (default 0)")
    parser.add_argument("--fresh", action="store_true", help="begin anew, even if a training was stopped")
    add_json(parser, "metric, limit, side, ar, network, promoted, reason, ...")
    parser.set_defaults(func=run_train)


def _add_eval(verbs: Subparsers) -> None:
    parser = add_command(
        verbs,
        "eval",
        "judge a model, or an AR, by the last samples of each series",
        _EPILOG,
        "Judge forecasts on held-out samples beside persistence, and tell what comes next.",
    )
    _add_series(parser)
    parser.add_argument("--model", metavar="MODEL.onnx", help="a trained model (default: fit an AR)")
    parser.add_argument("--window", type=int, help="samples in, of an AR (default 60)")
    parser.add_argument("--horizon", type=int, help="samples ahead, of an AR (default 30)")
    parser.add_argument("--confidence", type=float, default=0.9, help="of each interval (default 0.9)")
    parser.add_argument("--plot", metavar="FILE", help="draw forecasts beside what came (png, svg, pdf)")
    add_top(parser, "series", default=10)
    add_json(
        parser, "scores: {persistence, ar, network}, forecast: {limit, series: [...], ...}, adaptive, record"
    )
    parser.set_defaults(func=run_eval)


def _add_series(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "series", nargs="+", type=source, metavar="SERIES.csv", help="histories of one metric; - for stdin"
    )
    parser.add_argument("--column", nargs="+", metavar="NAME", help="columns to read (default: all)")
    parser.add_argument("--time", metavar="NAME", help="the column of times (default: by its name)")
    parser.add_argument("--step", type=float, metavar="S", help="seconds between samples (default: as found)")
    parser.add_argument(
        "--limit", type=float, help="the limit (default: the model's, or one that a tenth lies beyond)"
    )
    parser.add_argument(
        "--side", choices=("above", "below"), help="where its bad side is (default above, or the model's)"
    )


def run_train(args: argparse.Namespace) -> int:
    """Train, judge, and write the model."""
    from ripstop.risk.forecast import Training, check_writable, read_series

    check_writable(args.out)
    found = read_series(args.series, columns=args.column, time=args.time, step_s=args.step)
    settings = Training(
        window=args.window,
        horizon=args.horizon,
        step_s=found.step_s,
        hidden=args.hidden,
        epochs=args.epochs,
        seed=args.seed,
    )
    if not args.json:
        print(_told_read(found))
    checkpoint = Path(f"{args.out}.checkpoint")
    if args.fresh:
        checkpoint.unlink(missing_ok=True)
    try:
        record = _train(args, found, settings, checkpoint)
    except KeyboardInterrupt:
        kept = f"; the same command goes on from {checkpoint}" if checkpoint.exists() else ""
        print(f"interrupted{kept}", file=sys.stderr)
        return 130
    if args.json:
        print_json(record.to_json())
    else:
        _print_record(record)
        print(f"wrote {args.out}")
    return 0


def _told_read(found: SeriesFile) -> str:
    """Say what was found in the files, since a column or a step may have been taken for something else."""
    import numpy as np

    longest = max(map(len, found.histories))
    missing = sum(int(np.isnan(history).sum()) for history in found.histories)
    gaps = f", {missing} in gaps too long to bridge" if missing else ""
    names = ", ".join(map(printable, found.names[:3])) + (", ..." if len(found.names) > 3 else "")
    size = f"{longest} samples" if len(found.names) == 1 else f"at most {longest} samples each"
    return f"read {names}: {size}, {found.step_s:.6g} s apart{gaps}"


def _train(args: argparse.Namespace, found: SeriesFile, settings: Training, checkpoint: Path) -> Record:
    from ripstop.risk.forecast import train, write_model

    with _progress(settings.epochs, quiet=args.json) as progress:
        made = train(
            found.histories,
            settings=settings,
            metric=args.metric or Path(args.series[0]).stem,
            limit=_limit(args, found, None),
            checkpoint=checkpoint,
            progress=progress,
        )
    write_model(made.model, made.weights, args.out)
    checkpoint.unlink(missing_ok=True)
    assert made.model.record is not None  # noqa: S101 - a trained model has one
    return made.model.record


def _limit(args: argparse.Namespace, found: SeriesFile, record: Record | None) -> Limit:
    """Give the limit that was asked for, or the model's, or one that a tenth of the samples lies beyond."""
    from ripstop.risk.forecast import Limit, usual_limit

    side = args.side or ("above" if record is None else record.side)
    if args.limit is None and record is not None and side == record.side:
        return Limit(record.limit, side)
    return usual_limit(found.histories, side) if args.limit is None else Limit(args.limit, side)


@contextmanager
def _progress(epochs: int, *, quiet: bool) -> Iterator[Callable[[Epoch], None] | None]:
    """Show a bar on standard error: by rich where it is installed and somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ModuleNotFoundError:
        yield lambda epoch: print(_told(epoch), file=sys.stderr)
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=epochs)
        yield lambda epoch: bar.update(task, completed=epoch.number, description=_told(epoch))


def _told(epoch: Epoch) -> str:
    return f"epoch {epoch.number} of {epoch.of}: {100 * epoch.error:.1f} % of the AR's squared error"


def run_eval(args: argparse.Namespace) -> int:
    """Judge, and tell what comes next."""
    from dataclasses import replace

    from ripstop.risk.forecast import evaluate, fit, followed, read_model, read_series

    trained = read_model(args.model) if args.model else None
    if trained is not None:
        _refuse_others(args)
    step_s = args.step if trained is None else trained.step_s
    found = read_series(args.series, columns=args.column, time=args.time, step_s=step_s)
    spans = {name: getattr(args, name) for name in ("window", "horizon") if getattr(args, name) is not None}
    model = trained or fit(found.histories, step_s=found.step_s, **spans)
    limit = _limit(args, found, model.record)
    scores = evaluate(model, found.histories, limit, confidence=args.confidence)
    until_now = _until_now(model, found)
    along = followed(model, until_now, limit, confidence=args.confidence)
    ahead = _ahead(model, found.names, until_now, limit, args.confidence, along)
    ahead = replace(ahead, notes=ahead.notes + _doubts(scores, model.record))
    if args.plot:
        first = ahead.ranking(1)[0]
        _plot(model, until_now[first], found.names[first], ahead, along.crossings, args.plot)
    if args.json:
        whole = {"scores": scores.to_json(), "forecast": ahead.to_json()}
        record = None if model.record is None else model.record.to_json()
        print_json(whole | {"adaptive": along.to_json(), "record": record})
    else:
        print(_told_read(found))
        _print_scores(scores, limit)
        _print_followed(along)
        _print_ahead(ahead, args.top)
    return int(scores.network is not None and scores.network.mae >= scores.ar.mae)


def _refuse_others(args: argparse.Namespace) -> None:
    """Refuse what a trained model brings with it, rather than ignore it."""
    from ripstop.risk import RiskInputError

    given = next((name for name in ("window", "horizon", "step") if getattr(args, name) is not None), None)
    if given is not None:
        raise RiskInputError(
            f"`--model` goes without `--{given}`", code="C0715", hint="the model has its own: leave it away"
        )


def _doubts(scores: Evaluation, record: Record | None) -> tuple[str, ...]:
    """Say what speaks against the model on these samples."""
    answers = scores.network or scores.ar
    if answers.mae <= scores.persistence.mae:
        return _drift(scores)
    why = "the past tells little of what comes"
    if record is not None:
        why = f"it is a model of `{printable(record.metric)}`: are these samples of that metric, as it was?"
    return (f"the last value, held, errs less than the model: {why}", *_drift(scores))


def _drift(scores: Evaluation) -> tuple[str, ...]:
    """Say where errors have grown since calibration: what comes next follows them."""
    from ripstop.risk.forecast.watch import TOLERANCE

    score = scores.network or scores.ar
    if 1.0 - score.coverage <= (1.0 - score.confidence) * (1.0 + TOLERANCE):
        return ()
    held = f"{100 * score.coverage:.1f} % of the held-out paths, not {100 * score.confidence:g} %"
    return (f"bands of calibration held {held}: errors have grown since; what comes next follows them",)


def _until_now(model: Forecaster, found: SeriesFile) -> list[Floats]:
    """Give the histories up to the newest sample of all: what fell silent is missing from then on."""
    import numpy as np

    return [
        np.concatenate([history, np.full(min(late, model.window), np.nan)])
        for history, late in zip(found.histories, found.late, strict=True)
    ]


def _ahead(
    model: Forecaster,
    names: tuple[str, ...],
    histories: list[Floats],
    limit: Limit,
    confidence: float,
    along: Followed,
) -> CrossingReport:
    import numpy as np

    before = np.full(model.window, np.nan)
    newest = np.array([np.concatenate([before, history])[-model.window :] for history in histories])
    past = model.standardised(newest)
    return model.answer(past, model.predict(past), limit, names, confidence, along.adaptation.now(limit.side))


def _plot(
    model: Forecaster,
    history: Floats,
    name: str,
    ahead: CrossingReport,
    calibration: Calibration | None,
    path: str,
) -> None:
    """Draw the series that is likeliest to cross, and how far the probabilities of all can be believed."""
    from dataclasses import replace

    from ripstop.risk.forecast import ahead_of
    from ripstop.risk.plots import plot_forecasts

    ends, drawn = ahead_of(model, history, ahead.limit, confidence=ahead.confidence)
    plot_forecasts(ends, replace(drawn, names=(name,) * len(drawn)), history, calibration, path)


def _print_record(record: Record) -> None:
    side = f"{record.side} {record.limit:.6g}"
    _print_table(
        f"{record.metric}: held-out samples, crossing {side}", {"AR": record.ar, "LSTM + AR": record.network}
    )
    print(f"{'promoted' if record.promoted else 'not promoted, the AR answers'}: {record.reason}")


def _print_scores(scores: Evaluation, limit: Limit) -> None:
    rows = {"persistence": scores.persistence, "AR": scores.ar}
    if scores.network is not None:
        rows["LSTM + AR"] = scores.network
    _print_table(f"held-out samples, crossing {limit.side} {limit.value:.6g}", rows)


def _print_table(title: str, scores: dict[str, Score]) -> None:
    first = next(iter(scores.values()))
    header = ["model", "abs. error", "AUC", "Brier", f"in {100 * first.confidence:g} % band"]
    rows = [
        [
            name,
            f"{score.mae:.5g}",
            "-" if score.auc is None else f"{score.auc:.3f}",
            "-" if score.brier is None else f"{score.brier:.3f}",
            f"{100 * score.coverage:.1f} %",
        ]
        for name, score in scores.items()
    ]
    print_table(title, header, rows)
    print(f"{first.windows} windows; {first.crossings} of {first.asked} that had not crossed did so")


def _print_followed(along: Followed) -> None:
    if along.coverage is None:
        return
    held = f"held {100 * along.coverage:.1f} % of {counted(along.paths, 'path')}"
    print(f"adapting along them, a forecast a horizon, as what comes next does: bands {held}")
    if along.crossings is not None and along.calibrated is not None:
        briers = f"{along.crossings.brier:.3f}, by calibration alone {along.calibrated.brier:.3f}"
        print(f"P(crosses) had a Brier score of {briers} ({along.crossings.count} that had not crossed)")


def _print_ahead(ahead: CrossingReport, top: int) -> None:
    ahead_s = ahead.step_s * ahead.forecast.shape[1]
    header = ["#", "series", "P(crosses)", "median time, s", f"{100 * ahead.confidence:g} % interval, s"]
    places = ahead.ranking(top or None)
    rows = [
        [
            str(i),
            printable(ahead.names[at]),
            f"{ahead.probability[at]:.3f}",
            f"{ahead.time_s[at]:g}",
            f"{ahead.earliest_s[at]:g} .. {ahead.latest_s[at]:g}",
        ]
        for i, at in enumerate(places, 1)
    ]
    print_table(f"the next {ahead_s:g} s, by {ahead.model} (inf: not within them)", header, rows)
    print_notes(ahead.notes, len(rows), len(ahead))
