"""The network: log-mel windows in, probabilities and embeddings out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EMBEDDING_DIM = 128
CLIP_DB = (-20.0, 40.0)
"""Cells further than this below or above their row's mean say no more: holes of a codec, clicks, clipping."""


class Block(nn.Module):
    """A depthwise and a pointwise convolution, with a shortcut where the shape stays."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, 3, stride, 1, groups=channels_in, bias=False),
            nn.BatchNorm2d(channels_in),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, height, width) to (n, channels_out, height / stride, width / stride)."""
        y = self.body(x)
        return torch.relu(x + y if self.shortcut else y)


class CallNet(nn.Module):
    """A small depthwise-separable network over (n, mels, frames) in dB: some 7 million multiplications per window.

    Each row's mean over the window is taken away first, and with it level, the recorder's response and steady tones.
    """

    def __init__(self, n_mels: int = 80, width: int = 48) -> None:
        super().__init__()
        w = width
        self.features = nn.Sequential(
            nn.Conv2d(1, w, 7, 4, 3, bias=False),
            nn.BatchNorm2d(w),
            nn.ReLU(inplace=True),
            Block(w, w),
            Block(w, 2 * w, stride=2),
            Block(2 * w, 2 * w),
            Block(2 * w, 2 * w),
        )
        rows = -(-n_mels // 8)
        self.collapse = nn.Sequential(
            nn.Conv2d(2 * w, EMBEDDING_DIM, (rows, 1), bias=False), nn.BatchNorm2d(EMBEDDING_DIM), nn.ReLU()
        )
        self.embed = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(2 * EMBEDDING_DIM, EMBEDDING_DIM), nn.BatchNorm1d(EMBEDDING_DIM), nn.ReLU()
        )
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(EMBEDDING_DIM, 1)

    def embedding(self, mel: Tensor) -> Tensor:
        """(n, EMBEDDING_DIM) of windows (n, mels, frames)."""
        x = (mel - mel.mean(dim=2, keepdim=True)).clamp(*CLIP_DB) / 10.0
        x = self.collapse(self.features(x.unsqueeze(1))).squeeze(2)
        return self.embed(torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1))

    def logit(self, mel: Tensor) -> Tensor:
        """(n,): the log-odds of a call, by which the network is trained and calibrated."""
        return self.head(self.drop(self.embedding(mel))).squeeze(1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """`probabilities` (n, 2) of (other, orca_call), and `embedding` (n, EMBEDDING_DIM)."""
        embedding = self.embedding(mel)
        call = torch.sigmoid(self.head(embedding))
        return torch.cat([1 - call, call], dim=1), embedding

    @torch.no_grad()
    def calibrate(self, scale: float, offset: float) -> None:
        """From now on the log-odds are `scale` times what they were, plus `offset`."""
        self.head.weight.mul_(scale)
        self.head.bias.mul_(scale).add_(offset)
