"""Checkpoints of a training on disk: whole or not there, with checksums.

```
checkpoints/run/
    epoch-0003-step-00000020/
        checkpoint.json                  where the training was, and what its variables are
        variables.index
        variables.data-00000-of-00001    TensorFlow's format, a tensor for each variable's path
        SHA256SUMS                       of the three
```

A folder is written under a hidden name and gets its own by one rename, when every byte of it is on
the disk. So a process that dies leaves the folders that were there, and a hidden one that the next
one removes.

Knows files alone, not what is in them.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Set
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no such locks; TensorFlow 2.21 has no wheels for it either.
    fcntl = None  # type: ignore[assignment]

VARIABLES = "variables"  # TensorFlow's prefix of its files
_MANIFEST, _SUMS, _LOCK = "checkpoint.json", "SHA256SUMS", ".lock"
_NAME = re.compile(r"epoch-(\d{4,})-step-(\d{8,})")
_HIDDEN = ".writing-"


class DamagedError(Exception):
    """A checkpoint's files are not those that were written."""


def name_of(epoch: int, step: int) -> str:
    """Returns the folder's name for a training that made `step` steps in an epoch."""
    return f"epoch-{epoch:04d}-step-{step:08d}"


def names(directory: pathlib.Path) -> list[str]:
    """Returns the names of the checkpoints in a directory, the oldest first."""
    if not directory.is_dir():
        return []
    found = [_NAME.fullmatch(path.name) for path in directory.iterdir()]
    by_place = {(int(match[1]), int(match[2])): match[0] for match in found if match}
    return [by_place[place] for place in sorted(by_place)]


def write(
    directory: pathlib.Path,
    name: str,
    manifest: dict[str, Any],
    write_variables: Callable[[str], None],
) -> None:
    """Writes a checkpoint; what stood under its name counts until the new one is whole.

    Args:
        directory: where its folder is to be.
        name: as of `name_of`.
        manifest: what JSON can hold, numbers that are none (NaN) too.
        write_variables: writes files that begin with the prefix it is given.

    Raises:
        OSError: what the file system says. The checkpoints that were there are whole then.
    """
    folder = pathlib.Path(tempfile.mkdtemp(prefix=_HIDDEN, dir=directory))
    try:
        write_variables(str(folder / VARIABLES))
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        sums = [f"{_checksum(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
        (folder / _SUMS).write_text("".join(sums), encoding="utf-8")
        for path in (*folder.iterdir(), folder):
            flush(path)
        folder.chmod(0o777 & ~_umask())  # mkdtemp's is for its owner alone
        remove(directory, name)
        os.replace(folder, directory / name)
        flush(directory)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Returns the manifest of a checkpoint whose files are all as they were written.

    Raises:
        DamagedError: one of them is not, or is missing.
    """
    try:
        lines = (folder / _SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: value for value, name in (line.split("  ", 1) for line in lines)}
        if not {_MANIFEST, f"{VARIABLES}.index"} < set(sums):
            raise DamagedError(f"{_SUMS} is not whole")
        for name, expected in sums.items():
            if _checksum(folder / name) != expected:
                raise DamagedError(f"{name} has another checksum than {_SUMS} says")
        return json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedError(str(error)) from error


def newest(directory: pathlib.Path, damaged_aside: bool) -> tuple[str, dict[str, Any]] | None:
    """Returns name and manifest of the newest checkpoint that is whole; warns of damaged ones.

    Args:
        directory: where they are.
        damaged_aside: whether damaged ones are renamed, so that they count no more and can be
            looked at.
    """
    for name in reversed(names(directory)):
        try:
            return name, read(directory / name)
        except DamagedError as error:
            warnings.warn(
                f"Checkpoint {directory / name} is damaged and left out; the one before it is "
                f"taken. {error}",
                stacklevel=2,
            )
            if damaged_aside:
                target = directory / f"damaged-{name}"
                shutil.rmtree(target, ignore_errors=True)
                os.replace(directory / name, target)
    return None


def remove(directory: pathlib.Path, name: str) -> None:
    """Removes a checkpoint, if it is there: all of it or nothing, as far as a reader can see."""
    hidden = tempfile.mkdtemp(prefix=_HIDDEN, dir=directory)
    with contextlib.suppress(FileNotFoundError):
        os.replace(directory / name, hidden)  # an empty folder may be replaced
    shutil.rmtree(hidden, ignore_errors=True)


def keep_only(directory: pathlib.Path, kept: Set[str]) -> None:
    """Removes all checkpoints but those of some names."""
    for name in names(directory):
        if name not in kept:
            remove(directory, name)


@contextlib.contextmanager
def owned(directory: pathlib.Path) -> Iterator[None]:
    """Makes a directory, sees that it can be written, and keeps other processes from it.

    The lock goes with the process, whatever ends it.

    Raises:
        ValueError: it can't be written, or another process trains into it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        os.rmdir(tempfile.mkdtemp(prefix=_HIDDEN, dir=directory))
        handle = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ValueError(
            "directory must be a folder that can be made and written to. "
            f"Received: directory={str(directory)!r}, {error}"
        ) from error
    try:
        if fcntl is not None:
            _lock(handle, directory)
        for leftover in directory.glob(f"{_HIDDEN}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, directory: pathlib.Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            "Only one training at a time may write checkpoints to a directory. "
            f"Received: directory={str(directory)!r}, which another one uses"
        ) from error
    except OSError:
        pass  # not every file system knows locks


def _checksum(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def flush(path: pathlib.Path) -> None:
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
