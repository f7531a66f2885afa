"""`haro features`: the log-mel windows a model sees, as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from shared.errors import AudioError
from shared.scoring.audio import Waveform, mono, read_blocks
from shared.scoring.detector import Detector
from shared.scoring.frontend import ORCAHELLO_2S, LogMel, peak_normalize
from shared.scoring.model_file import FrontEnd
from shared.scoring.resampling import resample

_BLOCK_S = 60.0


def features(
    file: Annotated[Path, typer.Argument(help="Recording of any format that PyAV reads.")],
    out: Annotated[Path, typer.Option(help="The .npz file to write: array mel_db, windows x mels x frames.")],
    window: Annotated[float | None, typer.Option(min=0.0, help="Window in seconds (else the front end's).")] = None,
    hop: Annotated[float | None, typer.Option(min=0.0, help="Hop in seconds (else the front end's).")] = None,
    peak_normalize_clip: Annotated[
        bool | None,
        typer.Option("--peak-normalize/--no-peak-normalize", help="Scale the recording to a peak of 1 first."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Take this model's front end instead of OrcaHello's.")] = None,
) -> None:
    """Compute a recording's log-mel windows, unpadded, with OrcaHello's front end or a model's."""
    base = Detector.load(model).metadata.front_end if model else ORCAHELLO_2S
    given = {"window_s": window, "hop_s": hop, "peak_normalize": peak_normalize_clip}
    changes = {name: value for name, value in given.items() if value is not None}
    try:
        params = FrontEnd.model_validate({**base.model_dump(), **changes})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    log_mel = LogMel(params)
    blocks = [block.waveform for block in read_blocks(file, block_s=_BLOCK_S, overlap_s=0.0)]
    rate_hz = blocks[0].sample_rate_hz
    samples, _ = mono(Waveform(np.concatenate([block.samples for block in blocks], axis=1), rate_hz))
    samples = resample(samples, rate_hz, params.sample_rate_hz)
    if params.peak_normalize:
        samples = peak_normalize(samples)
    try:
        mel_db = log_mel.mel_db(samples)
    except AudioError as error:
        raise AudioError(f"{file}: {error}") from error
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("wb") as target:
            np.savez_compressed(
                target,
                mel_db=mel_db,
                window_starts_s=np.array(log_mel.window_starts_s(len(samples))),
                sample_rate_hz=params.sample_rate_hz,
            )
    except OSError as error:
        raise AudioError(f"{out}: cannot be written: {error}") from error
