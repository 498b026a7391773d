"""A model in one ONNX file: the network as a graph, everything else in the file's metadata.

The graph is written by hand, since it is two operators, and so needs no exporter; ONNX Runtime serves it.
The metadata hold the normalisation, the AR, the errors of calibration, the validation record, and one window
with the forecast that the trained model gave for it: a file whose parts do not fit together is found on
loading, not by its forecasts. The last of the metadata is the digest of all bytes before it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ripstop.core.errors import missing_extra
from ripstop.risk.errors import RiskInputError
from ripstop.risk.forecast.autoregression import Autoregression
from ripstop.risk.forecast.forecaster import Errors, Forecaster, check_spans
from ripstop.risk.forecast.record import record_from_json, refused
from ripstop.risk.forecast.series import Floats
from ripstop.risk.kinds import Kind, takes
from ripstop.risk.textfile import checked_path, put_file

KEY = "ripstop.forecast"
DIGEST = "ripstop.digest"
FORMAT = 2
LARGEST = 1 << 26  # bytes
BATCH = 1024  # windows that are run at once: their states stay in the cache
OPSET, IR_VERSION = 17, 8  # what ONNX Runtime has read since 1.12
CLOSE = 1e-3  # of a standard deviation; how closely a loaded model must repeat its own forecast

PARTS = {"w", "r", "b", "out", "bias"}
Weights = Mapping[str, Floats]
"""`w` (4 hidden, 1), `r` (4 hidden, hidden), `b` (8 hidden), `out` (horizon, hidden), `bias` (horizon)."""


def graph_of(weights: Weights, window: int) -> Any:
    """Write the network as an ONNX graph: windows (series, window) in, corrections (series, horizon) out.

    Gates are in PyTorch's order (input, forget, cell, output) and are put into ONNX's (input, output, forget,
    cell).
    """
    from onnx import TensorProto, helper, numpy_helper

    hidden = weights["r"].shape[1]
    order = np.concatenate([np.arange(hidden) + gate * hidden for gate in (0, 3, 1, 2)])
    both = np.concatenate([order, order + 4 * hidden])
    arrays = {
        "w": weights["w"][None, order],
        "r": weights["r"][None, order],
        "b": weights["b"][None, both],
        "out": weights["out"],
        "bias": weights["bias"],
    }
    initial = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    initial += [numpy_helper.from_array(np.array([axis], np.int64), f"axis{axis}") for axis in (0, 2)]
    nodes = [
        helper.make_node("Transpose", ["window"], ["steps"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["steps", "axis2"], ["sequence"]),
        helper.make_node("LSTM", ["sequence", "w", "r", "b"], ["", "state"], hidden_size=hidden),
        helper.make_node("Squeeze", ["state", "axis0"], ["last"]),
        helper.make_node("Gemm", ["last", "out", "bias"], ["correction"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["series", window])]
    horizon = len(weights["bias"])
    outputs = [helper.make_tensor_value_info("correction", TensorProto.FLOAT, ["series", horizon])]
    graph = helper.make_graph(nodes, "lstm on the residual of an AR", inputs, outputs, initial)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="ripstop")


def _is_trained(value: object) -> bool:
    return isinstance(value, Forecaster) and value.record is not None and value.network_errors is not None


def _are_weights(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == PARTS


def check_writable(path: str | Path) -> None:
    """See, before a model is trained for minutes, that it could be written.

    Raises:
        RiskInputError: C0752, for a place where no file can be.
        ConfigurationError: C0001, without the package `onnx`.
    """
    try:
        import onnx  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        raise missing_extra("onnx", "train") from error
    file = checked_path(path, "C0752")
    reason = "is a directory" if file.is_dir() else "" if file.parent.is_dir() else "no such directory"
    if reason:
        raise _unwritten(path, reason)


def _unwritten(path: str | Path, reason: str) -> RiskInputError:
    return RiskInputError(f"the model `{path}` is not written: {reason}", code="C0752")


@takes(
    model=Kind("a model that `train` made", _is_trained),
    weights=Kind("the weights that `train` gave", _are_weights),
)
def write_model(model: Forecaster, weights: Weights, path: str | Path) -> None:
    """Write a trained model; what is at `path` is replaced whole or not at all.

    Raises:
        RiskInputError: C0752, for a file that cannot be written.
        ConfigurationError: C0001, without the package `onnx`.
    """
    try:
        from onnx import checker, helper
    except ModuleNotFoundError as error:
        raise missing_extra("onnx", "train") from error
    made = graph_of(weights, model.window)
    helper.set_model_props(made, {KEY: json.dumps(_document(model), sort_keys=True)})
    checker.check_model(made)
    checked_path(path, "C0752")
    try:
        put_file(path, sealed(made.SerializeToString(deterministic=True)))
    except OSError as error:
        raise _unwritten(path, (error.strerror or "cannot be written").lower()) from None


def sealed(content: bytes) -> bytes:
    """Add the digest of a serialised model to its metadata.

    What is appended to a message of Protocol Buffers is one more element of its repeated fields, so the entry
    is written by hand (`metadata_props` is field 14): who reads it needs no package `onnx`.
    """
    digest = hashlib.sha256(content).hexdigest()
    entry = b"".join(
        bytes([tag, len(text)]) + text.encode() for tag, text in ((0x0A, DIGEST), (0x12, digest))
    )
    return content + bytes([0x72, len(entry)]) + entry


SEAL = len(sealed(b""))


def _document(model: Forecaster) -> dict[str, object]:
    assert model.record is not None and model.network_errors is not None  # noqa: S101 - trained
    probe = np.random.Generator(np.random.PCG64(0)).standard_normal((1, model.window)).cumsum(axis=1) / 4.0
    assert model.network is not None  # noqa: S101 - trained
    answer = model.ar.predict(probe) + model.network.correct(probe)
    mean, scale = float(model.mean[0]), float(model.scale[0])
    return {
        "format": FORMAT,
        "window": model.window,
        "horizon": model.horizon,
        "step_s": model.step_s,
        "normalisation": {"mean": mean, "scale": scale},
        "ar": {
            "order": model.ar.order[0],
            "ridge": model.ar.ridge[0],
            "matrix": _packed(model.ar.matrix[0]),
        },
        "errors": {
            name: {"paths": _packed(errors.paths[0]), "spread": _packed(errors.spread[0])}
            for name, errors in (("ar", model.ar_errors), ("network", model.network_errors))
        },
        "record": model.record.to_json(),
        "probe": {"window": _packed(probe * scale + mean), "forecast": _packed(answer * scale + mean)},
    }


class Network:
    """The network of a file, served by ONNX Runtime on one thread.

    Raises:
        RiskInputError: C0752, for bytes that are no ONNX model.
        ConfigurationError: C0001, without the package `onnxruntime`.
    """

    def __init__(self, content: bytes, name: str = "") -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise missing_extra("onnxruntime", "forecast") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong with a file is said by the error alone
        try:
            self._session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
            self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:
            raise RiskInputError(
                f"the model `{name}` is no ONNX file that can be read",
                code="C0752",
                hint="expected one by `ripstop forecast train`",
            ) from error
        self.inputs = [(one.name, one.type, list(one.shape)) for one in self._session.get_inputs()]
        self.outputs = [(one.name, one.type, list(one.shape)) for one in self._session.get_outputs()]

    def correct(self, past: Floats) -> Floats:
        """Give what to add to the AR's forecast, for standardised windows."""
        with np.errstate(over="ignore"):  # what is too large for it gives no number, and is not known
            windows = np.ascontiguousarray(past, np.float32)
        parts = [
            self._session.run(["correction"], {"window": windows[i : i + BATCH]})[0]
            for i in range(0, len(windows), BATCH)
        ]
        return np.asarray(np.concatenate(parts), np.float64)


def read_model(path: str | Path) -> Forecaster:
    """Read a trained model, and see that its parts fit together.

    Raises:
        RiskInputError: C0752 for a file that cannot be read or is no forecast, C0753 for one whose record,
            normalisation or weights do not fit together.
        ConfigurationError: C0001, without the package `onnxruntime`.
    """
    file = checked_path(path, "C0752")
    try:
        if file.stat().st_size > LARGEST:
            raise RiskInputError(f"the model `{path}` is larger than {LARGEST} bytes", code="C0752")
        with file.open("rb") as opened:
            content = opened.read(LARGEST)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise RiskInputError(f"the model `{path}` is not read: {reason}", code="C0752") from None
    network = Network(content, str(path))  # first, since what is no model at all was not changed
    if KEY not in network.metadata:
        raise RiskInputError(
            f"the model `{path}` holds no forecast, expected one by `ripstop forecast train`", code="C0752"
        )
    if content != sealed(content[:-SEAL]):
        raise refused(f"the model `{path}` is not as it was written, by its digest")
    try:
        document = json.loads(network.metadata[KEY])
    except (ValueError, RecursionError):
        raise refused(f"the record in `{path}` is no JSON") from None
    return _assembled(network, document)


def _assembled(network: Network, document: object) -> Forecaster:
    keys = ("format", "window", "horizon", "step_s", "normalisation", "ar", "errors", "record", "probe")
    whole = _object("the record", document, keys)
    if whole["format"] != FORMAT:
        raise refused(f"the record has format `{whole['format']}`, expected {FORMAT}")
    try:
        window, horizon, step_s = check_spans(whole["window"], whole["horizon"], whole["step_s"])
    except RiskInputError as error:
        raise refused(f"of the record, {error.message}") from None
    floats = "tensor(float)"
    if network.inputs != [("window", floats, ["series", window])] or network.outputs != [
        ("correction", floats, ["series", horizon])
    ]:
        raise refused(f"the graph does not take {window} samples to {horizon}, as the record says")
    normal = _object("`normalisation`", whole["normalisation"], ("mean", "scale"))
    mean, scale = (_number(f"`{name}` of the normalisation", normal[name]) for name in ("mean", "scale"))
    if not scale > 0.0:
        raise refused(f"`scale` of the normalisation is {scale:g}, expected a number above 0")
    fitted = _object("`ar`", whole["ar"], ("order", "ridge", "matrix"))
    matrix = _unpacked("`matrix`", fitted["matrix"], (window + 1, horizon))[None]
    ar = Autoregression(
        matrix, (int(_number("`order`", fitted["order"])),), (_number("`ridge`", fitted["ridge"]),)
    )
    both = _object("`errors`", whole["errors"], ("ar", "network"))
    errors = [_errors(both[name], horizon) for name in ("ar", "network")]
    model = Forecaster(
        window,
        horizon,
        step_s,
        np.array([mean]),
        np.array([scale]),
        ar,
        errors[0],
        network,
        errors[1],
        record_from_json(whole["record"]),
    )
    probe = _object("`probe`", whole["probe"], ("window", "forecast"))
    past = (_unpacked("`window`", probe["window"], (1, window)) - mean) / scale
    wanted = (_unpacked("`forecast`", probe["forecast"], (1, horizon)) - mean) / scale
    if not np.abs(ar.predict(past) + network.correct(past) - wanted).max() <= CLOSE:
        raise refused("the model does not repeat the forecast that it was written with")
    return model


def _errors(given: object, horizon: int) -> Errors:
    parts = _object("`errors`", given, ("paths", "spread"))
    spread = _unpacked("`spread`", parts["spread"], (horizon,))[None]
    if not (spread > 0.0).all():
        raise refused("`spread` has a number that is not above 0")
    return Errors(_unpacked("`paths`", parts["paths"], (-1, horizon))[None], spread)


def _packed(array: Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f8").tobytes()).decode()


def _unpacked(what: str, text: object, shape: tuple[int, ...]) -> Floats:
    try:
        array = np.frombuffer(base64.b64decode(str(text), validate=True), "<f8").reshape(shape)
    except ValueError:
        raise refused(f"{what} of the record has not the shape {shape}") from None
    if not np.isfinite(array).all():
        raise refused(f"{what} of the record has a number that is not finite")
    return array.astype(np.float64)


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refused(f"{what} is `{value}`, expected a finite number")
    return float(value)


def _object(what: str, given: object, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping) or set(given) != set(keys):
        raise refused(f"{what} is no object of {', '.join(keys)}")
    return given
