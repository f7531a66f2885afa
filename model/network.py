"""The networks that were compared: log-mel windows in, probabilities and embeddings out."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from model.pcen import Pcen

EMBEDDING_DIM = 128
CLIP_DB = (-20.0, 40.0)
"""Cells further than this below or above their row's mean say no more: holes of a codec, clicks, clipping."""

Kind = Literal["cnn", "separable", "pcen"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""A plain convolutional network, a depthwise-separable one, and the latter behind PCEN in place of dB."""
SHIPPED: Kind = "cnn"
"""What comes with Haro, by `comparison.json`."""


class Levelled(nn.Module):
    """(n, mels, frames) in dB, each row less its mean over the window, in tens of dB.

    So level, the recorder's response and steady tones go.
    """

    def forward(self, mel: Tensor) -> Tensor:
        """As many cells."""
        return (mel - mel.mean(dim=2, keepdim=True)).clamp(*CLIP_DB) / 10.0


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


def _convolution(channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def plain(width: int) -> nn.Sequential:
    """Four ordinary convolutions: (n, 1, height, width) to (n, 2 width, height / 8, width / 8)."""
    w = width
    return nn.Sequential(
        _convolution(1, w, 7, 4), _convolution(w, w), _convolution(w, 2 * w, 3, 2), _convolution(2 * w, 2 * w)
    )


def separable(width: int) -> nn.Sequential:
    """Depthwise-separable convolutions after an ordinary one, with the same shapes as `plain`."""
    w = width
    blocks = (Block(w, w), Block(w, 2 * w, stride=2), Block(2 * w, 2 * w), Block(2 * w, 2 * w))
    return nn.Sequential(*_convolution(1, w, 7, 4), *blocks)


class CallNet(nn.Module):
    """A small network over windows (n, mels, frames) in dB; both ends are the same for every kind."""

    def __init__(self, n_mels: int = 80, frames: int = 101, *, kind: Kind = SHIPPED) -> None:
        super().__init__()
        width = 32 if kind == "cnn" else 48
        self.front = Pcen(n_mels, frames) if kind == "pcen" else Levelled()
        self.features = plain(width) if kind == "cnn" else separable(width)
        rows = -(-n_mels // 8)
        self.collapse = nn.Sequential(
            nn.Conv2d(2 * width, EMBEDDING_DIM, (rows, 1), bias=False), nn.BatchNorm2d(EMBEDDING_DIM), nn.ReLU()
        )
        self.embed = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(2 * EMBEDDING_DIM, EMBEDDING_DIM), nn.BatchNorm1d(EMBEDDING_DIM), nn.ReLU()
        )
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(EMBEDDING_DIM, 1)

    def embedding(self, mel: Tensor) -> Tensor:
        """(n, EMBEDDING_DIM) of windows (n, mels, frames)."""
        x = self.collapse(self.features(self.front(mel).unsqueeze(1))).squeeze(2)
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
