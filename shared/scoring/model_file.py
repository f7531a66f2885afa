"""What a model file says of itself: the one JSON object in its ONNX metadata.

A Haro model is one ONNX file: input `mel` (windows, mels, frames), outputs `probabilities` (windows, classes) and
`embedding` (windows, dimensions). Its `metadata_props` hold the key `haro`, the JSON of `ModelMetadata`. Front-end
parameters travel inside the model, so the two cannot drift apart.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import ModelError, wrong_fields

METADATA_KEY = "haro"
_LONGEST_METADATA = 2**16


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrontEnd(_Part):
    """How audio becomes log-mel windows; names and defaults follow OrcaHello's front end.

    `filterbank_sample_rate_hz` is the rate the mel filters are laid out for. OrcaHello's is 16 000 while its audio
    is at 20 000 Hz: a published quirk its weights depend on. `pad` says how a window with too few frames is filled
    up to `input_frames`: `zero` with 0 dB after the sound (OrcaHello), `row_mean` with each mel row's own mean.
    """

    sample_rate_hz: int = Field(gt=0, le=192_000)
    window_s: float = Field(gt=0, le=60)
    hop_s: float = Field(ge=0.01, le=60)
    peak_normalize: bool
    n_fft: int = Field(ge=16, le=65_536)
    hop_length: int = Field(ge=1)
    n_mels: int = Field(ge=1, le=1024)
    mel_scale: Literal["htk", "slaney"]
    f_min_hz: float = Field(ge=0)
    f_max_hz: float = Field(gt=0)
    filterbank_sample_rate_hz: int = Field(gt=0)
    amin: float = Field(default=1e-10, gt=0)
    top_db: float | None = Field(default=100.0, gt=0)
    input_frames: int = Field(ge=1)
    pad: Literal["zero", "row_mean"]

    @model_validator(mode="after")
    def _fits_together(self) -> FrontEnd:
        if self.f_max_hz <= self.f_min_hz:
            raise ValueError(f"f_max_hz {self.f_max_hz} must be above f_min_hz {self.f_min_hz}")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length {self.hop_length} must not exceed n_fft {self.n_fft}")
        if self.window_s * self.sample_rate_hz < self.n_fft:
            raise ValueError(f"window_s {self.window_s} holds fewer samples than n_fft {self.n_fft}")
        return self


class MeanTopK(_Part):
    """Policy `mean_top_k`: the mean of the best k window scores is at least the threshold."""

    policy: Literal["mean_top_k"] = "mean_top_k"
    k: int = Field(default=2, ge=1)
    threshold: float = Field(default=0.6, ge=0, le=1)
    local_threshold: float = Field(default=0.5, ge=0, le=1)


class SmoothedCount(_Part):
    """Policy `smoothed_count`: at least `min_count` values of the rolling mean lie above the local threshold."""

    policy: Literal["smoothed_count"] = "smoothed_count"
    local_threshold: float = Field(default=0.5, ge=0, le=1)
    min_count: int = Field(default=3, ge=1)


Policy = Annotated[MeanTopK | SmoothedCount, Field(discriminator="policy")]


class ModelMetadata(_Part):
    """Everything a model says of itself. The probability of `positive_class`, one of `classes`, is the score."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1, max_length=100)
    version: str = Field(min_length=1, max_length=60)
    classes: tuple[str, ...] = Field(min_length=2)
    positive_class: str
    embedding_dim: int = Field(ge=1)
    front_end: FrontEnd
    decision: Policy
    training_data: str = Field(min_length=1)
    licence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _positive_is_a_class(self) -> ModelMetadata:
        if self.positive_class not in self.classes:
            raise ValueError(f"positive_class {self.positive_class!r} is not among classes {list(self.classes)}")
        return self

    @property
    def positive_index(self) -> int:
        """Where the positive class stands in `probabilities`."""
        return self.classes.index(self.positive_class)

    @property
    def model_version(self) -> str:
        """The name every score carries, such as `haro-orca/1.0.0`."""
        return f"{self.name}/{self.version}"


def parse_metadata(properties: dict[str, str], *, source: str) -> ModelMetadata:
    """Read the metadata of the model file `source`. Raises ModelError naming every field that is missing or wrong."""
    text = properties.get(METADATA_KEY)
    if text is None:
        raise ModelError(
            f"{source}: the ONNX metadata has no '{METADATA_KEY}' entry, so this is no Haro model. "
            "Export it with the project's own exporter (model/README.md)."
        )
    if len(text) > _LONGEST_METADATA:
        raise ModelError(
            f"{source}: the model's metadata has {len(text)} characters, {_LONGEST_METADATA} at most: export it again"
        )
    try:
        return ModelMetadata.model_validate_json(text)
    except ValidationError as error:
        wrong = "; ".join(f"{field or 'metadata'}: {reason}" for field, reason in wrong_fields(error))
        raise ModelError(f"{source}: the model's metadata is wrong: {wrong}. Export the model again.") from error
