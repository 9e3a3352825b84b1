"""The front end for sounds: which channels answer, and sounds that cannot be used."""

import numpy as np
import pytest

from spikeseq.recipes.multimodal.cochlea import CHANNELS, centres, cochleagram, filters
from spikeseq.recipes.shared.errors import DataError


def tone(hertz, rate=8000, seconds=0.4):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("channel", [10, 35, 60])
def test_a_tone_drives_the_channel_of_its_frequency(rate, channel):
    activity = cochleagram(tone(centres()[channel], rate), rate, 8)
    assert activity.shape == (8, CHANNELS) and activity.dtype == np.float32
    assert activity.min() == 0 and 0.5 < activity.max() <= 1
    assert np.all(np.abs(activity.argmax(1) - channel) <= 1)


def test_neither_loudness_nor_speed_nor_the_type_of_samples_matters():
    sound = np.concatenate([tone(400), tone(1500)])
    usual = cochleagram(sound, 8000, 8)
    np.testing.assert_allclose(cochleagram(sound * 0.001, 8000, 8), usual, atol=1e-5)
    np.testing.assert_allclose(cochleagram((sound * 20000).astype(np.int16), 8000, 8), usual, atol=0.05)
    slow = np.concatenate([tone(400, seconds=0.8), tone(1500, seconds=0.8)])
    assert np.abs(cochleagram(slow, 8000, 8) - usual).mean() < 0.02
    assert usual[1].argmax() < usual[6].argmax()  # one after the other


def test_a_filter_answers_its_centre_best_and_half_at_the_edge_of_its_band():
    frequency = np.fft.rfftfreq(400, 1 / 8000)
    response = filters(8000)
    assert np.all(np.abs(frequency[response.argmax(1)] - centres()) <= 10)
    f = centres()[40]
    edge = 1.019 * 24.7 * (1 + 0.00437 * f) * np.sqrt(2**0.25 - 1)  # where the power of order 4 is half
    assert np.interp(f + edge, frequency, response[40]) == pytest.approx(0.5, abs=0.02)


def test_a_sound_shorter_than_its_frames_is_stretched():
    assert cochleagram(tone(500, seconds=0.06), 8000, 40).shape == (40, CHANNELS)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(4000), 8000, "silent, all 4,000 samples are equal"),
        (np.full(4000, 7, np.int16), 8000, "silent"),
        (np.zeros(0), 8000, r"0 samples; expected 400 to 480,000 \(0.05 to 60 s\)"),
        (tone(400)[:399], 8000, "399 samples; expected 400"),
        (tone(400), 4000, "4,000 samples a second; expected 7,600 or more"),
        (np.full(4000, np.nan), 8000, "a sample is not finite"),
        (np.zeros((4000, 2)), 8000, "expected one row of samples"),
        (np.array(["a"] * 500), 8000, "expected one row of samples"),
    ],
)
def test_sounds_that_are_refused(samples, rate, message):
    with pytest.raises(DataError, match=f"here: .*{message}"):
        cochleagram(samples, rate, 8, where="here")
