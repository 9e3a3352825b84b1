"""A cochlea-like front end: sounds to the activity of 64 channels, each most sensitive to one frequency.

It stands in for Lyon's model, which the thesis uses. Channels have the power response of gammatone filters of
fourth order, evenly spaced on the scale of equivalent rectangular bandwidths (Glasberg and Moore 1990), and
are applied to short-time spectra. Their energies are compressed to decibels below the recording's loudest,
so that how loud it is as a whole does not matter, and each channel is held down by its neighbours, as
automatic gain control does in Lyon's model: what is left are the peaks of the spectrum, whoever speaks.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from spikeseq.recipes.shared.errors import DataError

CHANNELS = 64
LOWEST, HIGHEST = 80.0, 3800.0
"""Hz that channels answer best to; a sound has to be sampled at twice the higher one at least."""
WINDOW, HOP = 0.025, 0.005
"""Seconds that a spectrum is of, and between two."""
MOST_SECONDS = 60.0
DECIBELS = 60.0
"""Below the loudest channel and moment, where loudness ends."""
NEIGHBOURS = 8.0
"""Channels, of a Gaussian: over how many the loudness is averaged that holds a channel down."""
DEVIATIONS = 3.0
"""Standard deviations above its neighbours at which a channel's activity is 1."""


def cochleagram(samples: np.ndarray, rate: int, frames: int, *, where: str = "sound") -> np.ndarray:
    """The activity of all channels over the time of a recording, float32 (frames, 64) in [0, 1].

    The recording is cut into `frames` parts of equal length, whatever its length is: a digit spoken slowly
    looks like one spoken fast.

    Args:
        samples: (n) of any real type; only their proportions matter. rate: of them, a second.
        where: names the sound in errors.

    Raises:
        DataError: samples that are not one row of finite numbers; too few or too many; a rate too low; a
            silent sound, which has no loudest part.
    """
    sound = _checked(samples, rate, where)
    if not sound.any():
        raise DataError(f"{where}: silent, all {len(sound):,} samples are equal; expected a sound")
    energy = _spectra(sound, rate) @ filters(rate).T
    edges = np.linspace(0, len(energy), frames + 1)
    starts = np.minimum(edges[:-1].astype(int), len(energy) - 1)
    ends = np.maximum(np.ceil(edges[1:]).astype(int), starts + 1)
    pooled = np.stack([energy[a:b].mean(0) for a, b in zip(starts, ends, strict=True)])
    loudness = 10 * np.log10(np.maximum(pooled / pooled.max(), 10 ** (-DECIBELS / 10)))
    peaks = loudness - gaussian_filter1d(loudness, NEIGHBOURS, axis=1)
    return np.clip(peaks / (DEVIATIONS * max(peaks.std(), 1e-9)), 0, 1).astype(np.float32)


def centres() -> np.ndarray:
    """The frequencies of the channels, Hz: evenly spaced in numbers of bandwidths."""
    low, high = (21.4 * np.log10(1 + 0.00437 * f) for f in (LOWEST, HIGHEST))
    return (10 ** (np.linspace(low, high, CHANNELS) / 21.4) - 1) / 0.00437


def filters(rate: int) -> np.ndarray:
    """The power response of each channel to each frequency of a spectrum, (64, bins)."""
    centre = centres()[:, None]
    width = 1.019 * 24.7 * (1 + 0.00437 * centre)
    frequency = np.fft.rfftfreq(_size(rate), 1 / rate)[None]
    return (1 + ((frequency - centre) / width) ** 2) ** -4.0


def _spectra(sound: np.ndarray, rate: int) -> np.ndarray:
    """Power of windows of the sound, (windows, bins)."""
    length, hop = round(WINDOW * rate), max(1, round(HOP * rate))
    windows = np.lib.stride_tricks.sliding_window_view(sound, length)[::hop]
    return np.abs(np.fft.rfft(windows * np.hanning(length), _size(rate))) ** 2


def _size(rate: int) -> int:
    """Points of a spectrum: twice the window, so that narrow filters meet several of them."""
    return 2 * round(WINDOW * rate)


def _checked(samples: np.ndarray, rate: int, where: str) -> np.ndarray:
    """As float64 around zero."""
    if samples.ndim != 1 or samples.dtype.kind not in "iuf":
        got = f"{samples.dtype} {samples.shape}"
        raise DataError(f"{where}: {got}; expected one row of samples, integers or floats")
    if rate < 2 * HIGHEST:
        raise DataError(f"{where}: {rate:,} samples a second; expected {2 * HIGHEST:,.0f} or more")
    least, most = round(2 * WINDOW * rate), round(MOST_SECONDS * rate)
    if not least <= len(samples) <= most:
        limits = f"{least:,} to {most:,} ({2 * WINDOW:g} to {MOST_SECONDS:g} s)"
        raise DataError(f"{where}: {len(samples):,} samples; expected {limits}")
    sound = samples.astype(np.float64)
    if not np.isfinite(sound).all():
        raise DataError(f"{where}: a sample is not finite; expected finite ones")
    return sound - sound.mean()
