"""Frames of videos, taken by a process of its own: a hostile file costs that process alone.

`python -m services.scraper.films VIDEO NUMBER FOLDER` is that process. It decodes with the FFmpeg
inside OpenCV's wheel, which may open that one file and nothing else, within limits of memory and
time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from services.scraper.intake import Refusal
from tagloom.errors import FailedPrecondition

__all__ = ["MAX_FRAMES", "sample"]

MAX_FRAMES = 100
_MEMORY_BYTES = 4 * 2**30
_SECONDS = 120
_QUALITY = 95
_NO_DECODER = 3
"""exit code"""


def sample(video: bytes, number: int) -> list[tuple[float, bytes]] | Refusal:
    """Up to `number` frames, evenly spread, as JPEG files with their seconds; why not otherwise.

    The k-th of n lies in the middle of the k-th n-th of the video. Equal frames are left out.
    Raises FailedPrecondition (VIDEO_DECODER_MISSING), which is no fault of the video's.
    """
    with tempfile.TemporaryDirectory(prefix="tagloom-film-") as folder:
        path = Path(folder) / "video"
        path.write_bytes(video)
        command = [sys.executable, "-m", "services.scraper.films"]
        try:
            done = subprocess.run(
                [*command, str(path), str(number), folder],
                # Nothing of the environment: it may hold a session or a key.
                env={
                    "PATH": os.environ.get("PATH", ""),
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "protocol_whitelist;file",
                    "OPENCV_LOG_LEVEL": "SILENT",
                    "OMP_NUM_THREADS": "1",
                },
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _unreadable(video, f"decoding took more than {_SECONDS} s")
        if done.returncode == _NO_DECODER:
            raise FailedPrecondition(
                "Frames of videos cannot be taken here: OpenCV with FFmpeg is missing; install "
                "tagloom[scraper], or collect without frames.",
                reason="VIDEO_DECODER_MISSING",
            )
        frames = sorted(Path(folder).glob("*.jpg"))
        if done.returncode or not frames:
            return _unreadable(video, "it cannot be decoded")
        found = dict[bytes, float]()
        for frame in frames:
            found.setdefault(frame.read_bytes(), int(frame.stem) / 1000)
        return [(second, data) for data, second in found.items()]


def _unreadable(video: bytes, why: str) -> Refusal:
    return Refusal("refused", "VIDEO_UNREADABLE", f"Of the video no frame: {why}.", len(video))


def _main(path: str, number: int, folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    try:
        import cv2
        from cv2 import videoio_registry
    except ImportError:
        sys.exit(_NO_DECODER)
    if cv2.CAP_FFMPEG not in videoio_registry.getBackends():
        sys.exit(_NO_DECODER)
    cv2.setNumThreads(1)
    film = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    rate, count = film.get(cv2.CAP_PROP_FPS), int(film.get(cv2.CAP_PROP_FRAME_COUNT))
    if not film.isOpened() or not 0 < rate < 1000 or count < 1:
        sys.exit(1)
    for place in sorted({int((k + 0.5) * count / number) for k in range(number)}):
        film.set(cv2.CAP_PROP_POS_FRAMES, place)
        there, frame = film.read()
        if not there:
            continue
        told, jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if told:
            (Path(folder) / f"{round(1000 * place / rate):012}.jpg").write_bytes(jpeg.tobytes())


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
