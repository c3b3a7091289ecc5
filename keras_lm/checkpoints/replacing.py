"""Replaces files of a directory all at once: whatever interrupts it, a reader finds the old ones or
the new ones, never a mixture.

New files are written into a hidden folder inside the directory. Then a journal that names them is
put in place by one rename: from there on the new files count. They are renamed over the old ones,
and the journal is removed. Whoever finds a journal first finishes what it says.

The directory itself is never replaced: it may hold other people's files, be a mount or be the
current folder of somebody.
"""

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

JOURNAL = ".keras_lm-save.json"
_FOLDER = ".keras_lm-save-"

Writer = Callable[[pathlib.Path], None]


def replace_files(
    directory: pathlib.Path,
    files: Iterable[tuple[str, Writer]],
    stale: Callable[[str], bool] = lambda name: False,
) -> None:
    """Writes files into a directory, which is made where it is missing.

    One process at a time may do this to a directory; readers may come at any time.

    Args:
        directory: where to.
        files: names, each with a function that writes the file to the path it is given. A name may
            have one folder before it.
        stale: says of other files of the directory whether they go when the new ones come.

    Raises:
        OSError: what the file system says. The old files are whole then.
    """
    directory.mkdir(parents=True, exist_ok=True)
    finish_interrupted(directory)
    for leftover in directory.glob(f"{_FOLDER}*"):
        shutil.rmtree(leftover)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=_FOLDER, dir=directory))
    try:
        names = []
        for name, write in files:
            (folder / name).parent.mkdir(exist_ok=True)
            write(folder / name)
            _flush(folder / name)
            names.append(name)
        removed = [
            path.name
            for path in directory.iterdir()
            if path.name not in names and path.is_file() and stale(path.name)
        ]
        journal = {"folder": folder.name, "files": names, "removed": removed}
        (folder / JOURNAL).write_text(json.dumps(journal), encoding="utf-8")
        _flush(folder / JOURNAL)
        _flush(folder)
        os.replace(folder / JOURNAL, directory / JOURNAL)
        _flush(directory)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finish_interrupted(directory)


def holding(content: bytes | str) -> Writer:
    """Gives a function that writes a content that is at hand; text as UTF-8."""
    data = content.encode() if isinstance(content, str) else content

    def write(path: pathlib.Path) -> None:
        path.write_bytes(data)

    return write


def finish_interrupted(directory: pathlib.Path) -> None:
    """Finishes a replacement that was interrupted behind its turning point, if there was one.

    Raises:
        ValueError: the journal is not one that `replace_files` writes.
        OSError: the directory can't be written.
    """
    try:
        text = (directory / JOURNAL).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    journal = _checked(directory, text)
    folder = directory / journal["folder"]
    for name in journal["files"]:
        (directory / name).parent.mkdir(exist_ok=True)
        # It may be there already: from the interrupted process, or another reader's.
        with contextlib.suppress(FileNotFoundError):
            os.replace(folder / name, directory / name)
    for name in journal["removed"]:
        (directory / name).unlink(missing_ok=True)
    _flush(directory)
    (directory / JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _checked(directory: pathlib.Path, text: str) -> dict:
    """Reads a journal; it is a file like any other, so nothing outside the directory is touched."""
    try:
        journal = json.loads(text)
        names = [journal["folder"], *journal["removed"]]
        plain = all(map(_is_plain, names)) and all(
            all(map(_is_plain, name.split("/"))) and name.count("/") < 2
            for name in journal["files"]
        )
        if plain and journal["folder"].startswith(_FOLDER):
            return journal
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ValueError(
        f"{JOURNAL} is written while a model is saved, and names files beside it. "
        f"Received: {directory / JOURNAL} with {text!r:.200}"
    )


def _is_plain(name: Any) -> bool:
    """Says whether it is a name of a file or a folder, and no way to one elsewhere."""
    return isinstance(name, str) and name != ".." and pathlib.Path(name).name == name


def _flush(path: pathlib.Path) -> None:
    """Waits until a file, or the names in a folder, would survive a loss of power.

    Raises:
        OSError: a file does not fit onto the disk after all.
    """
    # Not every system can do it to folders.
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
