"""Trained weights to the model file: `python -m model.export --out build/model --file model/haro-orca.onnx`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnxruntime as ort
import torch
import typer
from torch import export as torch_export

from model.calibration import THRESHOLD, TOP
from model.examples import FRONT_END
from model.network import EMBEDDING_DIM, SHIPPED, CallNet, Kind
from model.onnx_file import save
from shared.errors import ModelError
from shared.scoring.model_file import METADATA_KEY, MeanTopK, ModelMetadata

OPSET = 18
TOLERANCE = 1e-5

METADATA = ModelMetadata(
    name="haro-orca",
    version="1.1.0",
    classes=("other", "orca_call"),
    positive_class="orca_call",
    embedding_dim=EMBEDDING_DIM,
    front_end=FRONT_END,
    decision=MeanTopK(k=TOP, threshold=THRESHOLD),
    training_data=(
        "Killer whale calls (Southern Residents, Bigg's, Watkins tapes), other whales, dolphins, seals, ships and "
        "ambient sound from public repositories, and synthetic sounds; every source is named in model/MODEL_CARD.md"
    ),
    licence=(
        "CC BY-NC-SA for the weights: the strictest stated licence among the recordings; some sources state none "
        "(academic or personal use). Not for commercial use"
    ),
)


def export(network: CallNet, path: Path, metadata: ModelMetadata = METADATA) -> None:
    """Write the network, in evaluation mode, as one ONNX file with its metadata.

    Raises ModelError when onnxruntime's answers differ from the network's by more than 1e-5.
    """
    front_end = metadata.front_end
    shape = (front_end.n_mels, front_end.input_frames)
    rng = np.random.default_rng(0)
    mel = rng.normal(-50, 12, (3, *shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        torch.onnx.export(
            network,
            (torch.from_numpy(mel),),
            draft,
            input_names=["mel"],
            output_names=["probabilities", "embedding"],
            dynamic_shapes={"mel": {0: torch_export.Dim("windows", min=1)}},
            opset_version=OPSET,
            external_data=False,
        )
        model = onnx.load(draft)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata.model_dump_json()
    onnx.checker.check_model(model)
    save(model, path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        with torch.no_grad():
            wanted = [output.numpy() for output in network(torch.from_numpy(mel[:count]))]
        found = session.run(["probabilities", "embedding"], {"mel": mel[:count]})
        worst = max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))
        if worst > TOLERANCE:
            raise ModelError(
                f"{path}: onnxruntime differs from torch by {worst:.2e}; the exported model must not be used"
            )


def main(
    out: Annotated[Path, typer.Option(help="Where model.train and model.crossvalidate left their results.")],
    file: Annotated[Path, typer.Option(help="The model file to write.")],
    network: Annotated[Kind, typer.Option(help="Which network to export.")] = SHIPPED,
    name: Annotated[str, typer.Option(help="What it is called in every score.")] = METADATA.name,
    version: Annotated[str, typer.Option(help="Its version, likewise.")] = METADATA.version,
    training_data: Annotated[str, typer.Option(help="What it learned from.")] = METADATA.training_data,
    licence: Annotated[str, typer.Option(help="The licence of the weights.")] = METADATA.licence,
    threshold: Annotated[float, typer.Option(help="A clip is detected at this score.")] = THRESHOLD,
) -> None:
    """Calibrate OUT/NETWORK/weights.pt by OUT/NETWORK/calibration.json and write FILE."""
    trained = CallNet(FRONT_END.n_mels, FRONT_END.input_frames, kind=network)
    trained.load_state_dict(torch.load(out / network / "weights.pt", weights_only=True))
    trained.eval()
    fitted = json.loads((out / network / "calibration.json").read_text(encoding="utf-8"))
    trained.calibrate(fitted["scale"], fitted["offset"])
    said = {"name": name, "version": version, "training_data": training_data, "licence": licence}
    export(trained, file, METADATA.model_copy(update=said | {"decision": MeanTopK(k=TOP, threshold=threshold)}))


if __name__ == "__main__":
    typer.run(main)
