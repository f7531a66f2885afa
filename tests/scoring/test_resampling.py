"""The resampler against scipy's, whose results it is to give, and in its rules."""

from __future__ import annotations

import subprocess
import sys
from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from shared.scoring.resampling import resample

MODEL_HZ = 20_000
RATES_HZ = (8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000, 250_000, 384_000)


@settings(max_examples=60)
@given(
    n=st.integers(1, 5000),
    from_hz=st.sampled_from(RATES_HZ),
    to_hz=st.sampled_from((MODEL_HZ, 32_000, 48_000)),
    seed=st.integers(0, 9),
)
def test_gives_what_scipy_gives(n: int, from_hz: int, to_hz: int, seed: int) -> None:
    """For the rates that recorders have, each sample is scipy's to the last digit of float32, both ends included."""
    sound = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    divisor = gcd(from_hz, to_hz)

    resampled = resample(sound, from_hz, to_hz)

    theirs = resample_poly(sound.astype(np.float64), to_hz // divisor, from_hz // divisor)
    assert resampled.dtype == np.float32
    assert resampled.shape == theirs.shape
    np.testing.assert_allclose(resampled, theirs, rtol=1.2e-7, atol=1e-9)


def test_rates_with_nothing_in_common() -> None:
    """A rate that shares no factor with the model's takes many phases and is right all the same, over whole periods."""
    sound = np.random.default_rng(0).standard_normal(2 * 47_999 + 5).astype(np.float32)

    resampled = resample(sound, 47_999, MODEL_HZ)

    theirs = resample_poly(sound.astype(np.float64), MODEL_HZ, 47_999)
    np.testing.assert_allclose(resampled, theirs, rtol=1.2e-7, atol=1e-9)


def test_a_minute_is_what_its_beginning_is() -> None:
    """A long sound, which is worked on piece by piece, has no seams: its start equals that of the start alone."""
    sound = np.random.default_rng(1).standard_normal(48_000 * 20).astype(np.float32)

    whole = resample(sound, 48_000, MODEL_HZ)

    np.testing.assert_array_equal(whole[:19_000], resample(sound[:48_000], 48_000, MODEL_HZ)[:19_000])
    theirs = resample_poly(sound.astype(np.float64), 5, 12)
    np.testing.assert_allclose(whole, theirs, rtol=1.2e-7, atol=1e-9)


def test_channels_are_resampled_each() -> None:
    """The last axis is time; the others stay."""
    sound = np.random.default_rng(2).standard_normal((3, 4800)).astype(np.float32)

    resampled = resample(sound, 48_000, MODEL_HZ)

    assert resampled.shape == (3, 2000)
    assert all(np.array_equal(resampled[i], resample(sound[i], 48_000, MODEL_HZ)) for i in range(3))


@pytest.mark.parametrize("from_hz", [48_000, 192_000, 44_100])
def test_no_other_thread_is_set_to_work(from_hz: int) -> None:
    """Cores are left to the clips beside: the processor time that is taken is that of the thread that asks."""
    measure = f"""
import time
import numpy as np
from shared.scoring.resampling import resample
sound = np.zeros({10 * from_hz}, np.float32)
for _ in range(5):
    process_s, thread_s = time.process_time(), time.thread_time()
    resample(sound, {from_hz}, {MODEL_HZ})
    print(time.process_time() - process_s - (time.thread_time() - thread_s))
"""
    alone = subprocess.run([sys.executable, "-c", measure], capture_output=True, text=True, check=True)

    assert min(map(float, alone.stdout.split())) < 0.001


@pytest.mark.parametrize("shape", [(0,), (2, 0)])
def test_nothing_stays_nothing(shape: tuple[int, ...]) -> None:
    """A sound without samples, and one at the right rate already, are given back as they are."""
    nothing = np.empty(shape, np.float32)
    sound = np.ones(7, np.float32)

    assert resample(nothing, 48_000, MODEL_HZ) is nothing
    assert resample(sound, MODEL_HZ, MODEL_HZ) is sound
