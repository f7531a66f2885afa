"""A model file tried out where it can do no harm: in a process of its own, which may take so much memory and time.

A file from outside may ask for any amount of both, or end the process that runs it; the process that listens must not
be that one. onnxruntime itself refuses operators that it does not know and data that lies in other files.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import numpy as np

from shared.documents import ModelRef
from shared.errors import HaroError, ModelError
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.model_file import ModelMetadata

_MIB = 2**20
_OUT_OF_TIME = tuple(-getattr(signal, name) for name in ("SIGKILL", "SIGXCPU") if hasattr(signal, name))  # not Windows
_SOUND_S = 15
_LONGEST_REASON = 2000  # a file may quote megabytes of itself


@dataclass(frozen=True)
class Limits:
    """What a model may take to be loaded and to score some seconds of sound.

    OrcaHello's network, the largest in use, takes about 0.45 GB; where the system has no such limits, only the time
    counts.
    """

    memory_bytes: int = 1024 * _MIB
    time_s: int = 60


def try_out(data: bytes, *, source: str, threads: int, batch_size: int, limits: Limits = Limits()) -> ModelMetadata:
    """Let the model in these bytes score in another process; what it says of itself. Raises ModelError with the reason.

    Errors call it `source`.
    """

    def write(target: BinaryIO) -> None:
        target.write(data)

    with _alone(write, source) as path:
        return _try_out(path, threads, batch_size, limits)


def admit(fetch: Callable[[BinaryIO], None], ref: ModelRef, *, threads: int, batch_size: int) -> Detector:
    """A detector from the file of the model of that name, once it was fetched and tried out. Raises ModelError."""
    with _alone(fetch, f"model {ref}") as path:
        metadata = _try_out(path, threads, batch_size, Limits())
        detector = Detector.load(path, threads=threads, batch_size=batch_size)
    if metadata.model_version != str(ref):
        raise ModelError(f"model {ref} calls itself {metadata.model_version}: add it under its own name")
    return detector


@contextmanager
def _alone(fetch: Callable[[BinaryIO], None], source: str) -> Iterator[Path]:
    """What is fetched, in a folder with nothing else, so that all a model needs is in its one file.

    Errors call it `source`. Raises HaroError where there is no room for it.
    """
    with ExitStack() as stack:
        try:
            path = Path(stack.enter_context(TemporaryDirectory())) / "model.onnx"
            with path.open("w+b") as target:
                fetch(target)
        except OSError as error:
            raise HaroError(
                f"{source}: there is no room to try it out ({error}): free some for temporary files"
            ) from error
        try:
            yield path
        except ModelError as error:
            raise ModelError(str(error).replace(str(path), source)) from error


def _try_out(path: Path, threads: int, batch_size: int, limits: Limits) -> ModelMetadata:
    command = [sys.executable, "-P", "-m", __name__, str(path)]
    numbers = [str(number) for number in (threads, batch_size, limits.memory_bytes, limits.time_s)]
    try:
        done = subprocess.run(  # noqa: S603 - this very module, and no word of the model's
            command + numbers,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            timeout=2 * limits.time_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path}: the model did not score within {2 * limits.time_s} s") from error
    except OSError as error:
        raise HaroError(f"the model could not be tried out, no process could be started: {error}") from error
    try:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise ModelError(f"{path}: {_how_it_ended(done.returncode, limits)}") from error
    if "refused" in answer:
        raise ModelError(str(answer["refused"]))
    return ModelMetadata.model_validate(answer)


def _how_it_ended(code: int, limits: Limits) -> str:
    if code in _OUT_OF_TIME:
        return f"the model took more than {limits.time_s} s of computing, or more memory than there is"
    return f"the model ended the process that tried it (exit status {code}): it must not be used"


def _environment() -> dict[str, str]:
    """What Python needs to start and to find Haro; no setting, and so no secret."""
    kept = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return found | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONIOENCODING": "utf-8"}


def _limit(memory_bytes: int, time_s: int) -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    for what, most in ((resource.RLIMIT_DATA, memory_bytes), (resource.RLIMIT_CPU, time_s), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)  # which nobody may raise
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def _try(path: Path, threads: int, batch_size: int) -> dict[str, Any]:
    try:
        detector = Detector.load(path, threads=threads, batch_size=batch_size)
        _score_sound(detector)
    except ModelError as error:
        return {"refused": str(error)[:_LONGEST_REASON]}
    except MemoryError:
        return {"refused": f"{path}: the model needs more memory than it may have"}
    except Exception as error:  # noqa: BLE001 - onnxruntime raises what it likes; it is told, here as everywhere
        reason = f"{path}: the model fails when it scores: {type(error).__name__}: {error}"
        return {"refused": reason[:_LONGEST_REASON]}
    return detector.metadata.model_dump(mode="json")


def _score_sound(detector: Detector) -> None:
    """Noise, then silence, all the way from sound to scores; and a window by itself, as the last of a clip may be."""
    log_mel = LogMel(detector.metadata.front_end)
    sound = np.zeros(_SOUND_S * detector.metadata.front_end.sample_rate_hz, np.float32)
    noise = sound[: len(sound) // 2]
    noise += np.random.default_rng(0).normal(0.0, 0.1, len(noise)).astype(np.float32)
    mel_input = log_mel.model_input(log_mel.mel_db(sound))
    detector.score(mel_input)
    detector.score(mel_input[:1])


if __name__ == "__main__":
    _limit(*map(int, sys.argv[4:6]))
    sys.stdout.write(json.dumps(_try(Path(sys.argv[1]), *map(int, sys.argv[2:4]))) + "\n")
