"""An ONNX model to a file, without what its making left in it.

torch writes into each node where in which file of the exporting machine it came from: of no use to who runs the model,
of no business to others, and other bytes from each machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

_NOTES = ("metadata_props", "doc_string")


def save(model: Any, path: Path) -> None:
    """Write the onnx.ModelProto `model`. Notes go, but for the model's own metadata, where Haro keeps its own.

    Raises OSError when the file cannot be written.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    _strip(bare)
    bare.metadata_props.extend(model.metadata_props)
    onnx.save(bare, str(path))


def _strip(message: Any) -> None:
    """Clear the notes of this protobuf message and of all within it."""
    for field, value in message.ListFields():
        if field.name in _NOTES:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)
