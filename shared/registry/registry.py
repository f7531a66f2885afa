"""The models kept in blobs, and the one pointer that says which of them is in production.

`models/<name>/<version>/` holds `model.onnx`, `card.md` and, written last, `entry.json`; `models/production.json` is
the pointer. What is added never changes: to be mended, a model gets a new version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from tempfile import TemporaryFile
from typing import BinaryIO

from shared.documents import BUNDLED, POINTER_BLOB, KnownModel, ModelEntry, ModelRef, Production
from shared.errors import BlobNotFound, ConflictError, MessageError, ModelError
from shared.storage.ports import Blob, BlobStore

MODEL, CARD, _ENTRY = "model.onnx", "card.md", "entry.json"
_PIECE_BYTES = 2**20
_ALL_OF_THEM = "`haro models list` names all there are"


@dataclass(frozen=True)
class Pointer:
    """The pointer as it was read: what it says, and the etag it had; both None where there is none."""

    says: Production | None
    etag: str | None


class Registry:
    """Models in a blob store. Several may use it at once: of two who promote at the same moment one is told so."""

    def __init__(self, blobs: BlobStore, *, now: Callable[[], datetime]) -> None:
        self._blobs = blobs
        self._now = now

    def entries(self) -> list[ModelEntry]:
        """All models, by name and then by when they were added. Raises StorageError; ModelError for a broken entry."""
        names = [blob.name for blob in self._blobs.list("models/") if blob.name.endswith(f"/{_ENTRY}")]
        return sorted(map(self._read_entry, names), key=lambda entry: (entry.name, entry.added_at))

    def entry(self, ref: ModelRef) -> ModelEntry:
        """What is known of a model. Raises ModelError when there is no such model."""
        try:
            return self._read_entry(ref.blob(_ENTRY))
        except BlobNotFound as error:
            raise ModelError(f"there is no model {ref} in the registry; {_ALL_OF_THEM}") from error

    def card(self, ref: ModelRef) -> str:
        """The model's papers, Markdown. Raises BlobNotFound."""
        return self._blobs.get(ref.blob(CARD)).decode(errors="replace")

    def fetch(self, model: KnownModel, target: BinaryIO) -> None:
        """Write the model file to one that is open for reading too, and empty.

        Raises ModelError when it is not there, or not what the hash says.
        """
        try:
            self._blobs.copy_to(model.blob(MODEL), target)
        except BlobNotFound as error:
            raise ModelError(f"the file of model {model} is gone from the registry: promote another one") from error
        target.seek(0)
        digest = hashlib.sha256()
        for part in iter(partial(target.read, _PIECE_BYTES), b""):
            digest.update(part)
        found = digest.hexdigest()
        if found != model.sha256:
            raise ModelError(
                f"the file of model {model} is not the one that was added: its SHA-256 is {found}, not {model.sha256}; "
                "it is not used; find out who writes to the container 'models'"
            )

    def add(self, data: bytes, card: str, *, ref: ModelRef, by: str) -> ModelEntry:
        """Keep a model that was tried out. Added once more, its card is replaced and all else stays.

        Raises ModelError when that version is there already with other content.
        """
        entry = ModelEntry(
            name=ref.name,
            version=ref.version,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            added_by=by,
            added_at=self._now(),
        )
        if self._is_other(ref, entry.sha256) or not (
            self._blobs.put(ref.blob(MODEL), data, overwrite=False) or self._hash(ref) == entry.sha256
        ):
            raise ModelError(
                f"model {ref} is in the registry with other content; a version never changes: export this one with a "
                "new version"
            )
        self._blobs.put(ref.blob(CARD), card.encode())
        self._blobs.put(ref.blob(_ENTRY), entry.model_dump_json(indent=2).encode(), overwrite=False)
        return self.entry(ref)

    def pointer_if_changed(self, etag: str | None) -> Pointer | None:
        """The pointer; None while it is the one of that etag. Raises StorageError; ModelError when it is broken."""
        try:
            blob = self._blobs.get_if_changed(POINTER_BLOB, etag=etag)
        except BlobNotFound:
            return Pointer(None, None)
        return None if blob is None else Pointer(_parse(blob), blob.etag)

    def production(self) -> Production | None:
        """What the pointer says; None where nothing was ever promoted. Raises ModelError when it is broken."""
        pointer = self.pointer_if_changed(None)
        return pointer.says if pointer else None

    def promote(self, ref: ModelRef | None, *, by: str, reason: str) -> Production:
        """Let this model score from now on; None is the bundled one. What was promoted before becomes `previous`.

        Raises ModelError when there is no such model, its file is not what was added, or it is in production already;
        ConflictError when somebody else promoted meanwhile.
        """
        model = None
        if ref is not None:
            model = self.entry(ref).known
            self._check(model)
        before = self._read_pointer()
        try:
            now_in_production = _parse(before).model if before else None
        except ModelError:  # a broken pointer is mended by a new one
            return self._write(before, model, None, by=by, reason=reason)
        if model == now_in_production:
            raise ModelError(f"{model or BUNDLED} is in production already")
        return self._write(before, model, now_in_production, by=by, reason=reason)

    def rollback(self, *, by: str, reason: str) -> Production:
        """Go back to what was in production before; a second rollback undoes the first.

        Raises ModelError when nothing was ever promoted, or the file to go back to is not what was added;
        ConflictError when somebody else promoted meanwhile.
        """
        before = self._read_pointer()
        if before is None:
            raise ModelError("nothing was ever promoted: the bundled model scores, and there is nothing to go back to")
        says = _parse(before)
        if says.previous is not None:
            self._check(says.previous)
        return self._write(before, says.previous, says.model, by=by, reason=reason)

    def _check(self, model: KnownModel) -> None:
        """Raise ModelError unless the model's file is what was added."""
        with TemporaryFile() as file:
            self.fetch(model, file)

    def _write(
        self, before: Blob | None, model: KnownModel | None, previous: KnownModel | None, *, by: str, reason: str
    ) -> Production:
        """Write the pointer in place of the one that was read."""
        pointer = Production(
            name=model.name if model else None,
            version=model.version if model else None,
            sha256=model.sha256 if model else None,
            promoted_by=by,
            promoted_at=self._now(),
            previous=previous,
            reason=reason,
        )
        data = pointer.model_dump_json(indent=2).encode()
        try:
            if before is not None:
                self._blobs.replace(POINTER_BLOB, data, etag=before.etag)
                return pointer
            if self._blobs.put(POINTER_BLOB, data, overwrite=False):
                return pointer
        except ConflictError:
            pass
        if (found := self._read_pointer()) is not None and found.data == data:
            return pointer  # it was written, and only the answer was lost
        raise ConflictError("somebody else promoted at this moment; `haro models list` says what, then decide again")

    def _read_pointer(self) -> Blob | None:
        try:
            return self._blobs.get_if_changed(POINTER_BLOB, etag=None)
        except BlobNotFound:
            return None

    def _read_entry(self, blob_name: str) -> ModelEntry:
        try:
            return ModelEntry.parse(self._blobs.get(blob_name), source=f"blob {blob_name}")
        except MessageError as error:
            raise ModelError(f"{error}; restore the blob, or delete it and add the model again") from error

    def _is_other(self, ref: ModelRef, sha256: str) -> bool:
        """Whether that version was added with other content, be its file still there or not."""
        try:
            return self._read_entry(ref.blob(_ENTRY)).sha256 != sha256
        except BlobNotFound:
            return False

    def _hash(self, ref: ModelRef) -> str:
        return hashlib.sha256(self._blobs.get(ref.blob(MODEL))).hexdigest()


def _parse(pointer: Blob) -> Production:
    try:
        return Production.parse(pointer.data, source=f"blob {POINTER_BLOB}")
    except MessageError as error:
        raise ModelError(f"{error}; promote a model to write it anew") from error
