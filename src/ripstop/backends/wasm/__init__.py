"""The wasm engine: policies as small WebAssembly modules, for any runtime, and a host on wasmtime."""

from ripstop.backends.wasm.engine import WASM
from ripstop.backends.wasm.host import WasmCompiled
from ripstop.backends.wasm.module import WasmFunction, WasmModule, build_module

__all__ = ["LOWERINGS", "NOT_LOWERED", "WASM", "WasmCompiled", "WasmFunction", "WasmModule", "build_module"]

LOWERINGS = WASM.lowerings
NOT_LOWERED = WASM.not_lowered
