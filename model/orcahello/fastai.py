"""The seed's own file, a fastai export, read into the published names.

fastai's network is a sequence of body and head, whose parts have numbers. Source of the map: orcasound/orcahello,
`InferenceSystem/scripts/extract_fastai_weights.py`.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from model.orcahello.torchfile import StoredTensor, read_torch

_PARTS = MappingProxyType(
    {
        "0.0.": "conv1.",
        "0.1.": "bn1.",
        "0.4.": "layer1.",
        "0.5.": "layer2.",
        "0.6.": "layer3.",
        "0.7.": "layer4.",
        "1.2.": "fc.1.",
        "1.4.": "fc.3.",
        "1.6.": "fc.5.",
        "1.8.": "fc.7.",
    }
)
_LENGTH = 4


def read_fastai(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a fastai export, or of a state dict that torch saved, under the published names.

    A name that is in neither stays as it is. Raises ModelError when the file cannot be read.
    """
    return {_PARTS.get(name[:_LENGTH], name[:_LENGTH]) + name[_LENGTH:]: one for name, one in read_torch(path).items()}
