"""First passages: how many of many error paths take a forecast across a limit at each step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ripstop.risk.kernels.jit import kernel


@kernel
def count_first_crossings(
    forecast: NDArray[np.float32],
    needed: NDArray[np.float32],
    size: NDArray[np.float32],
    counts: NDArray[np.int32],
) -> None:
    """Count, for each series, the paths that cross for the first time at each step.

    Args:
        forecast: shape (series, horizon), signed so that crossing is going up.
        needed: shape (series or 1, paths, horizon), what the forecast must reach for a path to have crossed.
        size: shape (series or 1, paths), by how much each path is stretched.
        counts: shape (series, horizon + 1), added to; the last column counts paths that never cross.
    """
    shared, alike = len(needed) == 1, len(size) == 1
    for i in range(len(forecast)):
        of, by = 0 if shared else i, 0 if alike else i
        for path in range(needed.shape[1]):
            step, times = 0, size[by, path]
            while step < forecast.shape[1] and forecast[i, step] < times * needed[of, path, step]:
                step += 1
            counts[i, step] += 1
