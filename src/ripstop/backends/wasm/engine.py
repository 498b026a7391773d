"""What the wasm engine has, and has not."""

from ripstop.backends.edge.program import Engine

WASM = Engine(
    "wasm",
    {"%": "has no exact remainder here: WebAssembly has no such instruction, and a loop has no small bound"},
    most_values=1000,  # of the WebAssembly JavaScript Interface, Limits: what runtimes agree on
)
