"""How often are the filter's decisions right, next to cleanvision, imagededup, raw PP-OCR and HOG?

    python -m benchmarks.filter.quality --photos FOLDER --rivals PYTHON [--picture FILE]

On a labelled set made of real photos (`benchmarks.filter.labelled`), everybody at their defaults,
the same pictures, in three parts by photo (`benchmarks.filter.photos`): `known`, `new`, `fresh`.
Prints one JSON document: precision, recall and F1 of "reject this" for blur, motion, grey, text and
faces, and of "these two are copies" (and of copies that lost an edge, cut by cut), with the number
of distinct photos; and every picture that was judged wrongly. `--picture` draws those of `known`
photos (whose licences allow it), motion left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.filter import labelled
from benchmarks.filter.labelled import Picture
from benchmarks.filter.photos import find_photos, part
from services.filter.checks import CHECKS, SCORING_LONG_SIDE, SCORING_SIDE, Measured, Member
from services.filter.checks import text as text_check
from services.filter.decode import Photo, decode
from services.filter.hamming import RADIUS

_SCRIPT = Path(__file__).with_name("rivals.py")
_OCR_SIDE = 736
"""px that PP-OCR's own pipeline enlarges or reduces the shorter side to"""


def _decoded(picture: Picture) -> Photo:
    return decode(picture.data, at_least=SCORING_SIDE, at_least_long=SCORING_LONG_SIDE)


def ours(names: Sequence[str]) -> Callable[[Picture], tuple[bool, str]]:
    """Whether one of our checks rejects a picture at its default, and its scores."""

    def judge(picture: Picture) -> tuple[bool, str]:
        photo, told, bad = _decoded(picture), [], False
        scores: dict[str, Any] = {}
        for name in names:
            check = CHECKS[name]
            score = scores.setdefault(check.source, check.score(photo))
            value = check.judged(score, 1)
            bad = bad or not check.passes(value, check.threshold)
            told.append(f"{value:.3g}")
        return bad, ", ".join(told)

    return judge


def raw_ocr(picture: Picture) -> tuple[bool, str]:
    """Any box of the same network as PP-OCR's pipeline takes them, at that pipeline's size."""
    rgb = decode(picture.data).rgb
    ratio = _OCR_SIDE / min(rgb.shape[:2])
    rgb = np.asarray(cv2.resize(rgb, None, fx=ratio, fy=ratio), np.uint8)
    probability = text_check._probability(rgb)
    found = 0
    mask = (probability > text_check._PIXEL_PROBABILITY).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        center, size, angle = cv2.minAreaRect(contour)
        if min(size) >= 3:
            corners = text_check._corners(center, size, angle)
            found += text_check._mean_inside(probability, corners) >= 0.5
    return found > 0, f"{found}"


def raw_hog(picture: Picture) -> tuple[bool, str]:
    """Any face at dlib's own threshold, in the whole picture."""
    _, confidences, _ = dlib.get_frontal_face_detector().run(decode(picture.data).rgb, 0, 0.0)
    return bool(confidences), f"{max(confidences, default=0):.2f}"


def figures(pairs: Iterable[tuple[bool, bool]]) -> dict[str, Any]:
    """Of (is bad, was rejected)."""
    counted: dict[tuple[bool, bool], int] = defaultdict(int)
    for pair in pairs:
        counted[pair] += 1
    hit, false, missed = counted[True, True], counted[False, True], counted[True, False]
    precision = hit / (hit + false) if hit + false else 0.0
    recall = hit / (hit + missed) if hit + missed else 0.0
    return {
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(2 * precision * recall / max(1e-9, precision + recall), 3),
        "bad": hit + missed,
        "good": false + counted[False, False],
        "false_rejects": false,
        "missed": missed,
    }


def rival(python: str, name: str, files: Sequence[Path]) -> dict[str, Any]:
    """What a rival says of files."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, str(_SCRIPT), name],
        input=json.dumps([str(path) for path in files]),
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def written_out(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """The pictures as files."""
    files = [folder / f"{index:05}.jpg" for index in range(len(pictures))]
    for path, picture in zip(files, pictures, strict=True):
        path.write_bytes(picture.data)
    return files


def compare(
    pictures: Sequence[Picture],
    judges: dict[str, Callable[[Picture], tuple[bool, str]]],
    wrong: list[tuple[Picture, str]],
) -> dict[str, Any]:
    """Everybody's figures by part; our mistakes are appended to `wrong`."""
    found: dict[str, Any] = {}
    parts = [part(picture.photo) for picture in pictures]
    for who, judge in judges.items():
        verdicts = [judge(picture) for picture in pictures]
        judged = [(p.bad, verdict) for p, (verdict, _) in zip(pictures, verdicts, strict=True)]
        for each in dict.fromkeys(parts):
            mine = [pair for pair, where in zip(judged, parts, strict=True) if where == each]
            found.setdefault(each, {})[who] = figures(mine)
        if who == "tagloom":
            for picture, (verdict, told) in zip(pictures, verdicts, strict=True):
                if verdict is not picture.bad:
                    wrong.append((picture, told))
    for each in found:
        found[each]["photos"] = len({p.photo for p in pictures if part(p.photo) == each})
    return found


def compare_copies(
    pictures: Sequence[Picture], near: dict[str, Callable[[int, int], bool]]
) -> dict[str, Any]:
    """Figures over all pairs of a part: copies share their photo."""
    photos = [picture.photo.split(",")[0] for picture in pictures]
    found: dict[str, Any] = {}
    for each in dict.fromkeys(part(photo) for photo in photos):
        chosen = [index for index, photo in enumerate(photos) if part(photo) == each]
        found[each] = {
            who: figures(
                (pictures[a].photo == pictures[b].photo, close(a, b))
                for a, b in combinations(chosen, 2)
            )
            for who, close in near.items()
        }
        found[each]["photos"] = len({photos[index] for index in chosen})
    return found


def seen_as_copies(
    pictures: Sequence[Picture], folder: Path, python: str
) -> dict[str, Callable[[int, int], bool]]:
    """Who takes which two pictures (by index) for copies: we, imagededup, cleanvision."""
    files = written_out(pictures, folder)
    places = {str(path): index for index, path in enumerate(files)}
    said = rival(python, "imagededup-scores", files)["near"]
    pairs = {frozenset((places[a], places[b])) for a in said for b in said[a]}
    sets = rival(python, "cleanvision-scores", files)["near"]
    grouped = {frozenset((places[a], places[b])) for s in sets for a, b in combinations(s, 2)}
    return {
        "tagloom": our_distance(pictures),
        "imagededup": lambda a, b: frozenset((a, b)) in pairs,
        "cleanvision": lambda a, b: frozenset((a, b)) in grouped,
    }


def mistaken_copies(
    pictures: Sequence[Picture], close: Callable[[int, int], bool]
) -> list[tuple[Picture, str]]:
    """Each picture that was once not seen as a copy, or seen as one of another photo."""
    found: dict[int, str] = {}
    for a, b in combinations(range(len(pictures)), 2):
        if (pictures[a].photo == pictures[b].photo) is not close(a, b):
            found.setdefault(b, f"and {pictures[a].photo}, {pictures[a].what}")
    return [(pictures[index], told) for index, told in found.items()]


def our_distance(pictures: Sequence[Picture]) -> Callable[[int, int], bool]:
    """Whether two pictures, alone in a collection, are copies by our check and its default."""
    check = CHECKS["duplicates"]
    assert check.relate is not None
    members = []
    for picture in pictures:
        photo = _decoded(picture)
        sha256 = hashlib.sha256(picture.data).hexdigest()
        members.append(
            Member(sha256, Measured(photo.width, photo.height, check.score(photo)), True)
        )
    vectors = b"".join(member.measured.score.vector for member in members)
    hashes = np.frombuffer(vectors, np.uint64).reshape(len(members), -1)

    def close(a: int, b: int) -> bool:
        if np.bitwise_count(hashes[a] ^ hashes[b]).sum() > RADIUS:
            return False  # which saves the time of asking
        assert check.relate is not None
        related = check.relate([members[a], members[b]])
        return not all(check.passes(each.value, check.threshold) for each in related)

    return close


def draw(wrong: Sequence[tuple[str, Picture, str]], path: Path) -> None:
    """The pictures that were judged wrongly, with what they are and our scores."""
    columns, cell, high = max(1, min(4, len(wrong))), 250, 200
    rows = max(1, -(-len(wrong) // columns))
    sheet = Image.new("RGB", (columns * cell, rows * high), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (check, picture, told) in enumerate(wrong):
        thumb = Image.fromarray(decode(picture.data).fit(cell - 8))
        thumb.thumbnail((cell - 8, high - 46))
        x, y = index % columns * cell, index // columns * high
        sheet.paste(thumb, (x + 4, y + 4))
        side = "missed" if picture.bad else "wrongly rejected"
        pen.text((x + 4, y + high - 40), f"{check}: {side}", fill="#b3261e")
        pen.text((x + 4, y + high - 26), f"{picture.photo}, {picture.what}: {told}", fill="black")
    sheet.save(path, optimize=True)


def looked_up(said: dict[bytes, bool]) -> Callable[[Picture], tuple[bool, str]]:
    """Somebody whose answers are there already."""
    return lambda picture: (said[picture.data], "")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder with more photos")
    parser.add_argument("--rivals", required=True, help="python of the rivals' environment")
    parser.add_argument("--picture", type=Path, help="draw the wrong decisions there")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    photos = find_photos(options.photos)
    wrong: dict[str, list[tuple[Picture, str]]] = defaultdict(list)
    result: dict[str, Any] = {"photos": Counter(part(name) for name in photos)}
    with tempfile.TemporaryDirectory(prefix="tagloom-benchmark-") as name:
        for task, check, issue, make in (
            ("sharpness", "sharpness", "blurry", labelled.blurred),
            ("motion", "sharpness", "blurry", labelled.moved),
            ("grayscale", "grayscale", "grayscale", labelled.greyed),
        ):
            pictures = list(make(photos))
            files = written_out(pictures, Path(name))
            said = rival(options.rivals, "cleanvision-scores", files)["issues"][issue]
            by_data = {p.data: said[str(f)] for p, f in zip(pictures, files, strict=True)}
            judges: dict[str, Callable[[Picture], tuple[bool, str]]] = {
                "tagloom": ours([check]),
                "cleanvision": looked_up(by_data),
            }
            result[task] = compare(pictures, judges, wrong[task])
        pictures = list(labelled.written(photos))
        judges = {"tagloom": ours(["text", "text_lines"]), "raw_pp_ocr": raw_ocr}
        result["text"] = compare(pictures, judges, wrong["text"])
        pictures = list(labelled.faces(photos))
        judges = {"tagloom": ours(["faces"]), "raw_hog": raw_hog}
        result["faces"] = compare(pictures, judges, wrong["faces"])
        result["faces"]["claim"] = "none: fewer than 20 distinct people"
        pictures = list(labelled.copies(photos))
        near = seen_as_copies(pictures, Path(name), options.rivals)
        result["duplicates"] = compare_copies(pictures, near)
        wrong["duplicates"] = mistaken_copies(pictures, near["tagloom"])
        for what in labelled.CUTS:
            pictures = list(labelled.cut(photos, what))
            near = seen_as_copies(pictures, Path(name), options.rivals)
            result[f"duplicates, cut {what}"] = compare_copies(pictures, near)
    result["wrong"] = {
        task: [f"{p.photo}, {p.what}: {told}" for p, told in found] for task, found in wrong.items()
    }
    if options.picture:
        shown = [(t, p, told) for t, found in wrong.items() for p, told in found]
        draw(
            [each for each in shown if part(each[1].photo) == "known" and each[0] != "motion"],
            options.picture,
        )
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
