"""What meters say, less their noise: injections as they are to be expected, speeds from angles too, thinned.

Theory of operation. Meters' noise is white, what they measure is not: the floor of a spectrum at its upper
end is the noise. A regression on noisy inputs is biased; on what is expected of them given all readings
(Wiener's filter) it is not, for what they differ by is independent of every reading (Berkson's error): it is
one more cause that nobody measures.

References:
    Carroll, Ruppert, Stefanski, Crainiceanu (2006), Measurement Error in Nonlinear Models, 2nd ed., 4.
    Kailath, Sayed, Hassibi (2000), Linear Estimation, 7.3 (the smoothing filter).
"""

from __future__ import annotations

import numpy as np

from ripstop.risk.swing import Floats

SEGMENT = 512  # samples of a spectrum's segment, and an eighth of the record at most
FINE = 6.0  # samples in the fastest swing; more make neighbouring ones alike
BANDWIDTH = 0.95  # of the machines' motion against each other lies below the fastest swing
TINY = 1e-300


def expected(measured: Floats) -> tuple[Floats, Floats]:
    """Give what is to be expected of centred series given their readings, and the noise's deviations.

    Args:
        measured: shape (samples, series).
    """
    frequency, density = _spectrum(measured)
    floor = _floor(density)
    gain = np.clip(1.0 - floor / np.maximum(density, TINY), 0.0, 1.0)
    every = np.fft.rfftfreq(len(measured))
    kept = np.stack([np.interp(every, frequency, column) for column in gain.T], axis=1)
    centred = measured - measured.mean(axis=0)
    return _filtered(centred, kept), np.asarray(np.sqrt(floor / 2.0), np.float64)


def fused(step_s: float, speed: Floats, angle: Floats) -> Floats:
    """Give speeds, as both their own meters and the angles' have them, each by its noise at that frequency.

    Args:
        step_s: between samples.
        speed: rad / s, shape (samples, series).
        angle: rad, the same shape.
    """
    own, other = (float(_floor(_spectrum(part)[1]).mean()) for part in (speed, angle))
    steep = np.sin(2.0 * np.pi * np.fft.rfftfreq(len(speed))) / step_s
    share = own / np.maximum(own + other * steep**2, TINY)
    turned = np.gradient(angle, step_s, axis=0) - speed
    return speed + _filtered(turned - turned.mean(axis=0), share[:, None])


def thinning(step_s: float, apart: Floats) -> int:
    """Tell how many samples there are for one that the swings need."""
    frequency, density = _spectrum(apart, 2 * SEGMENT)
    total = density.sum(axis=1)
    total = np.maximum(total - np.median(total[3 * len(total) // 4 :]), 0.0)  # less the meters' noise
    if not total.sum() > 0.0:
        return 1
    fastest = float(frequency[np.searchsorted(np.cumsum(total), BANDWIDTH * total.sum())]) / step_s
    return max(int(1.0 / (step_s * FINE * fastest)), 1) if fastest > 0.0 else 1


def thinned(values: Floats, by: int) -> Floats:
    """Give one sample in so many, centred, what is faster filtered out."""
    from scipy.signal import decimate

    centred = values - values.mean(axis=0)
    return np.asarray(decimate(centred, by, ftype="fir", axis=0) if by > 1 else centred, np.float64)


def _spectrum(values: Floats, segment: int = SEGMENT) -> tuple[Floats, Floats]:
    """Give frequencies, cycles per sample, and densities."""
    from scipy.signal import welch  # half a second to load, which other questions need not wait for

    length = max(min(segment, len(values) // 8), min(8, len(values)))
    frequency, density = welch(values - values.mean(axis=0), nperseg=length, axis=0)
    return frequency, density


def _floor(density: Floats) -> Floats:
    return np.asarray(np.median(density[3 * len(density) // 4 :], axis=0), np.float64)


def _filtered(values: Floats, gain: Floats) -> Floats:
    return np.asarray(np.fft.irfft(np.fft.rfft(values, axis=0) * gain, len(values), axis=0), np.float64)
