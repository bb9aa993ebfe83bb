"""Slaney's mel scale, linear below 1 kHz and logarithmic above, librosa's default (no Keras here)."""

import numpy as np
import numpy.typing as npt

_KNEE_HZ, _HZ_PER_MEL, _LOG_STEP = 1000.0, 200 / 3, np.log(6.4) / 27


def hz_to_mel(hz: float) -> float:
    """Return the mel of a frequency.

    >>> round(hz_to_mel(1000.0), 6)
    15.0
    """
    if hz < _KNEE_HZ:
        return hz / _HZ_PER_MEL
    return float(_KNEE_HZ / _HZ_PER_MEL + np.log(hz / _KNEE_HZ) / _LOG_STEP)


def mel_to_hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the frequencies in Hz of mels, of any shape."""
    knee = _KNEE_HZ / _HZ_PER_MEL
    above: npt.NDArray[np.float64] = _KNEE_HZ * np.exp(_LOG_STEP * (mel - knee))
    return np.where(mel < knee, mel * _HZ_PER_MEL, above)
