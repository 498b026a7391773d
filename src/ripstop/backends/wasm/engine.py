"""What the wasm engine has, and has not."""

from ripstop.backends.edge.program import Engine

WASM = Engine("wasm", most_values=1000)  # WebAssembly JavaScript Interface, Limits: what runtimes agree on
