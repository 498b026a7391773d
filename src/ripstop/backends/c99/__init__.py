"""The c99 engine: policies as one self-contained C header for small devices, and a host to try it out."""

from ripstop.backends.c99.header import C99, CFunction, CHeader, build_header
from ripstop.backends.c99.host import C99Board, C99Compiled, C99Runner, build_boards, build_runners

__all__ = [
    "C99",
    "LOWERINGS",
    "NOT_LOWERED",
    "C99Board",
    "C99Compiled",
    "C99Runner",
    "CFunction",
    "CHeader",
    "build_boards",
    "build_header",
    "build_runners",
]

LOWERINGS = C99.lowerings
NOT_LOWERED = C99.not_lowered
