"""`haro features`: the log-mel windows a model sees, as a file."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pydantic import ValidationError

from shared.errors import AudioError, wrong_fields
from shared.scoring.audio import Samples, Waveform, mono, read_blocks
from shared.scoring.detector import Detector
from shared.scoring.frontend import ORCAHELLO_2S, Features, LogMel, peak_normalize
from shared.scoring.model_file import FrontEnd
from shared.scoring.resampling import resample

_BLOCK_S = 60.0
_GB = 10**9
_MOST_GB = 2
_OPTIONS = {"window_s": "--window", "hop_s": "--hop", "": "--window"}  # what does not fit together: window and FFT


def features(
    file: Annotated[Path, typer.Argument(help="Recording of any format that PyAV reads.")],
    out: Annotated[
        Path, typer.Option(help="The .npz file to write: array mel_db, windows x mels x frames, 2 GB at most.")
    ],
    window: Annotated[float | None, typer.Option(min=0.0, help="Window in seconds (else the front end's).")] = None,
    hop: Annotated[float | None, typer.Option(min=0.0, help="Hop in seconds (else the front end's).")] = None,
    peak_normalize_clip: Annotated[
        bool | None,
        typer.Option("--peak-normalize/--no-peak-normalize", help="Scale the recording to a peak of 1 first."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Take this model's front end instead of OrcaHello's.")] = None,
) -> None:
    """Compute a recording's log-mel windows, unpadded, with OrcaHello's front end or a model's."""
    if _same(file, out):
        raise typer.BadParameter(f"{out} is the recording itself: choose another file", param_hint="--out")
    if out.suffix.lower() != ".npz":
        raise typer.BadParameter(f"{out} must end in .npz", param_hint="--out")
    base = Detector.load(model).metadata.front_end if model else ORCAHELLO_2S
    given = {"window_s": window, "hop_s": hop, "peak_normalize": peak_normalize_clip}
    changes = {name: value for name, value in given.items() if value is not None}
    try:
        params = FrontEnd.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        wrong = (f"{_OPTIONS[field]}: {reason}" for field, reason in wrong_fields(error))
        raise typer.BadParameter("; ".join(wrong)) from error
    log_mel = LogMel(params)
    waveform = _read(file, log_mel)
    samples = resample(mono(waveform)[0], waveform.sample_rate_hz, params.sample_rate_hz)
    if params.peak_normalize:
        samples = peak_normalize(samples)
    try:
        mel_db = log_mel.mel_db(samples)
    except AudioError as error:
        raise AudioError(f"{file}: {error}") from error
    _write(out, mel_db, log_mel.window_starts_s(len(samples)), params.sample_rate_hz)


def _same(file: Path, out: Path) -> bool:
    try:
        return out.samefile(file)
    except OSError:  # one of them is not there
        return False


def _write(out: Path, mel_db: Features, starts_s: list[float], sample_rate_hz: int) -> None:
    """Write the file whole or not at all. Raises AudioError."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as target:
                np.savez_compressed(
                    target, mel_db=mel_db, window_starts_s=np.array(starts_s), sample_rate_hz=sample_rate_hz
                )
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise AudioError(f"{out}: cannot be written: {error}") from error


def _read(file: Path, log_mel: LogMel) -> Waveform:
    """All of the recording, if its windows fit in memory. Raises AudioError."""
    kept: list[Samples] = []
    length = rate_hz = 0
    size_gb = 0.0
    for block in read_blocks(file, block_s=_BLOCK_S, overlap_s=0.0):
        rate_hz = block.waveform.sample_rate_hz
        length += block.waveform.samples.shape[1]
        windows, mels, frames = log_mel.shape(ceil(length * log_mel.params.sample_rate_hz / rate_hz))
        size_gb = windows * mels * frames * np.dtype(np.float32).itemsize / _GB
        if size_gb > _MOST_GB:
            kept.clear()  # the rest is read only to say how much it would be
        kept.append(block.waveform.samples)
    if size_gb > _MOST_GB:
        raise AudioError(
            f"{file}: {windows} windows would take {size_gb:.1f} GB, and {_MOST_GB} are the most: "
            "choose a longer --hop, a shorter --window, or a part of the recording"
        )
    return Waveform(np.concatenate(kept, axis=1), rate_hz)
