"""OrcaHello's network in torch, built from its description, with random weights: what the export must agree with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.orcahello.weights import BLOCKS


class Bottleneck(nn.Module):  # type: ignore[misc]  # torch is installed for training only
    """ResNet-50's block, with torchvision's names; the stride is on the middle convolution."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride > 1 or channels_in != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.bn3(self.conv3(y)) + shortcut)


class Network(nn.Module):  # type: ignore[misc]  # the same
    """The published module without its attribute `model`: (n, mels, frames) to logits (n, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels_in = 64
        for index, count in enumerate(BLOCKS):
            width, blocks = 64 * 2**index, []
            for block in range(count):
                blocks.append(Bottleneck(channels_in, width, 2 if index and not block else 1))
                channels_in = 4 * width
            setattr(self, f"layer{index + 1}", nn.Sequential(*blocks))
        self.fc = nn.Sequential(
            nn.Flatten(),
            nn.BatchNorm1d(2 * channels_in),
            nn.Dropout(0.25),
            nn.Linear(2 * channels_in, 512),
            nn.ReLU(),
            nn.BatchNorm1d(512),
            nn.Dropout(0.5),
            nn.Linear(512, 2),
        )

    def pooled(self, mel: Tensor) -> Tensor:
        """Maximum first, then mean: (n, 4096)."""
        x = torch.relu(self.bn1(self.conv1(mel.unsqueeze(1))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        for index in range(len(BLOCKS)):
            x = getattr(self, f"layer{index + 1}")(x)
        return torch.cat([nn.functional.adaptive_max_pool2d(x, 1), nn.functional.adaptive_avg_pool2d(x, 1)], dim=1)

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (n, 2) and the rectified 512 (n, 512)."""
        x = self.pooled(mel)
        return torch.softmax(self.fc(x), dim=1), self.fc[:5](x)


def random_mel(count: int, n_mels: int, frames: int, seed: int) -> Tensor:
    """Windows in dB as a front end makes them: coloured noise, and zeros where there is no more sound."""
    generator = torch.Generator().manual_seed(seed)
    mel = -60 + 12 * torch.randn(count, n_mels, frames, generator=generator)
    mel = mel + 20 * torch.randn(count, n_mels, 1, generator=generator)
    mel[:, :, 3 * frames // 4 :] = 0.0
    return mel


def random_network(seed: int = 0, n_mels: int = 48, frames: int = 64) -> Network:
    """Random weights; norms with random scales, and statistics near those of random windows, but not theirs.

    Each block's last norm is small, as in trained networks. Else fifty random layers magnify the rounding of float32:
    torch's own answers are then up to 6e-5 from those in float64, and say nothing to five places.
    """
    torch.manual_seed(seed)
    network = Network()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, *((0.1, 0.3) if name.endswith("bn3") else (0.5, 1.5)))
            nn.init.normal_(module.bias, 0.0, 0.2)
    with torch.no_grad():
        network(random_mel(8, n_mels, frames, seed))
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
                norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.5)
    network.eval()
    return network
