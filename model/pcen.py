"""Per-channel energy normalization (PCEN; Wang et al. 2017) as layers of a network, so that it travels in its file."""

from __future__ import annotations

import torch
from torch import Tensor, nn

RANGE_DB = 60.0
"""Cells further than this from their row's mean say no more; their power stays within what float32 divides well."""
COEFFICIENT, EPS = 0.06, 1e-6


def smoother(frames: int, coefficient: float) -> Tensor:
    """(frames, frames): the matrix of m[t] = (1 - s) m[t - 1] + s e[t] with m[0] = e[0], for row vectors e.

    A matrix in place of a loop: ONNX runs it as one product, and a window has some hundred frames.
    """
    age = torch.arange(frames)[None, :] - torch.arange(frames)[:, None]
    weights = torch.where(age >= 0, coefficient * (1 - coefficient) ** age.clamp(min=0).float(), 0.0)
    weights[0] = (1 - coefficient) ** torch.arange(frames).float()
    return weights


class Pcen(nn.Module):
    """(n, mels, frames) in dB to as many cells around zero: (E / (eps + M)^alpha + delta)^r - delta^r.

    E is the power over its row's mean (in dB) within the window, which takes level and response away; M is E smoothed.
    `alpha`, `delta` and `r` are learned per mel row and start at the values of Wang et al.; the smoother is fixed.
    At 20 ms a frame its coefficient is a time constant of 0.32 s, near what Lostanlen et al. (2019) advise for calls of
    animals.
    """

    def __init__(self, n_mels: int, frames: int) -> None:
        super().__init__()
        self.register_buffer("smooth", smoother(frames, COEFFICIENT), persistent=False)
        self.alpha = nn.Parameter(torch.full((n_mels, 1), 0.98))
        self.log_delta = nn.Parameter(torch.full((n_mels, 1), 2.0).log())
        self.log_r = nn.Parameter(torch.full((n_mels, 1), 0.5).log())

    def forward(self, mel: Tensor) -> Tensor:
        """Finite for every finite input; the same for a window at another level."""
        decibel = (mel - mel.mean(dim=2, keepdim=True)).clamp(-RANGE_DB, RANGE_DB)
        power = torch.exp(decibel * 0.23025851)  # ln(10) / 10
        gain = torch.exp(-self.alpha * torch.log(EPS + power @ self.smooth))
        delta, r = self.log_delta.exp(), self.log_r.exp()
        return (power * gain + delta) ** r - delta**r
