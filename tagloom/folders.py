"""Folders of the server's machine that a request may name.

A service that reads folders on request would otherwise read any file for whoever reaches it:
`TAGLOOM_FOLDERS` lists the folders that it may enter.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from tagloom.errors import InvalidArgument, NotFound, PermissionDenied

__all__ = ["allowed_roots", "check_file", "check_folder", "served_roots"]


def allowed_roots(text: str | None) -> tuple[Path, ...] | None:
    """The folders of a colon-separated list (`TAGLOOM_FOLDERS`); None, for no text: any folder.

    Raises InvalidArgument (FOLDER_ROOT_INVALID) if one is not an absolute path.
    """
    if text is None or not text.strip():
        return None
    roots = tuple(Path(part) for part in text.split(os.pathsep) if part)
    for root in roots:
        if not root.is_absolute():
            raise InvalidArgument(
                f"TAGLOOM_FOLDERS names {str(root)!r}; write absolute paths, separated by "
                f"{os.pathsep!r}.",
                reason="FOLDER_ROOT_INVALID",
                root=root,
            )
    return roots


def served_roots(environment: Mapping[str, str], *, loopback: bool) -> tuple[Path, ...] | None:
    """What a server may read: what `TAGLOOM_FOLDERS` lists; without it a server on loopback any
    folder (None), since whoever reaches it can read the machine's files anyway, another one none.

    Raises InvalidArgument (FOLDER_ROOT_INVALID).
    """
    roots = allowed_roots(environment.get("TAGLOOM_FOLDERS"))
    return () if roots is None and not loopback else roots


def check_file(path: str, roots: Sequence[Path] | None = None) -> Path:
    """The real path of the file, if it may be read. `roots`: it must lie in one of these.

    Raises InvalidArgument (FILE_INVALID: empty, relative or not a path; NOT_A_FILE), NotFound
    (FILE_NOT_FOUND), PermissionDenied (FILE_NOT_ALLOWED, FILE_UNREADABLE).
    """
    real, mode = _found("file", path, roots)
    if not stat.S_ISREG(mode):
        raise InvalidArgument(
            f"{path} is not a file; give a file's path.", reason="NOT_A_FILE", path=path
        )
    try:
        open(real, "rb").close()
    except OSError as error:
        raise _unreadable("file", path) from error
    return real


def check_folder(path: str, roots: Sequence[Path] | None = None) -> Path:
    """The real path of the folder, if it may be read. `roots`: it must lie in one of these.

    Raises InvalidArgument (FOLDER_INVALID: empty, relative or not a path; NOT_A_FOLDER), NotFound
    (FOLDER_NOT_FOUND), PermissionDenied (FOLDER_NOT_ALLOWED, FOLDER_UNREADABLE).
    """
    real, mode = _found("folder", path, roots)
    if not stat.S_ISDIR(mode):
        raise InvalidArgument(
            f"{path} is a file; give the folder that holds the photos.",
            reason="NOT_A_FOLDER",
            path=path,
        )
    try:
        os.scandir(real).close()
    except OSError as error:
        raise _unreadable("folder", path) from error
    return real


def _found(noun: str, path: str, roots: Sequence[Path] | None) -> tuple[Path, int]:
    """The real path of something that is there, and its mode. What it is, is for the caller."""
    if not path or "\0" in path or not os.path.isabs(path):
        raise InvalidArgument(
            f"{path!r} is not a {noun} that a server can find: give its absolute path.",
            reason=f"{noun.upper()}_INVALID",
        )
    real = _allowed(noun, path, roots)
    try:
        return real, real.stat().st_mode
    except PermissionError as error:
        raise _unreadable(noun, path) from error
    except OSError as error:
        raise NotFound(
            f"There is no {noun} {path} on the server's machine; check the path.",
            reason=f"{noun.upper()}_NOT_FOUND",
            path=path,
        ) from error


def _allowed(noun: str, path: str, roots: Sequence[Path] | None) -> Path:
    """The real path; asked before anything tells whether it exists, since what lies outside the
    roots is nobody's business."""
    real = Path(os.path.realpath(path))
    if roots is None or any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        return real
    allowed = ", ".join(map(str, roots))
    raise PermissionDenied(
        f"The {noun} {path} is not one this server may read; "
        + (
            f"move it into one of {allowed}, or have TAGLOOM_FOLDERS changed."
            if allowed
            else "it reads none until TAGLOOM_FOLDERS names some folders."
        ),
        reason=f"{noun.upper()}_NOT_ALLOWED",
        path=path,
    )


def _unreadable(noun: str, path: str) -> PermissionDenied:
    return PermissionDenied(
        f"The {noun} {path} may not be read by the server; change its permissions.",
        reason=f"{noun.upper()}_UNREADABLE",
        path=path,
    )
