"""The files of a prepared directory, and the index that says what is in them.

`index.json` is written last: without it the directory is not whole. Shards are `00000.tfrecord.gz`
and so on, see `encoding`; `token_counts.npy` says how often each id occurs, int64 (V,);
`tokenizer/` holds the tokenizer's files. Pipelines add `rows/`, see `keras_lm.data.row_tables`.
While a directory is being written, `unfinished/` holds the settings and a report of each shard.
"""

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any

INDEX, COUNTS, TOKENIZER, ROWS, UNFINISHED = (
    "index.json",
    "token_counts.npy",
    "tokenizer",
    "rows",
    "unfinished",
)
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of records, see `encoding`.

    Attributes:
        file: its name.
        blocks: pairs of records.
        documents: how many.
        tokens: how many, end tokens not counted.
        bytes: the size of the file.
        sha256: of the file.
        text_sha256: of the text that it was made of.
    """

    file: str
    blocks: int
    documents: int
    tokens: int
    bytes: int
    sha256: str
    text_sha256: str


@dataclasses.dataclass(frozen=True)
class Index:
    """What a prepared directory holds.

    Attributes:
        settings: what all shards were made with: "objective", "tokenizer" (its fingerprint),
            "vocab_size", "dtype" and the options of `prepare`.
        corpus: names and sizes of the files; empty for texts that were no files.
        statistics: by name.
        shards: those that have a token.
        keras_lm: the version that wrote it.
        version: of this format.
    """

    settings: dict[str, Any]
    corpus: list[dict[str, Any]]
    statistics: dict[str, int]
    shards: list[Shard]
    keras_lm: str
    version: int = VERSION

    def to_json(self) -> str:
        """The index as it is written."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"


def shard_name(name: str) -> str:
    """The file of a shard, such as "00000"."""
    return f"{name}.tfrecord.gz"


def read_index(directory: str | os.PathLike) -> Index:
    """The index of a prepared directory.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not one, or of a later version.
    """
    path = pathlib.Path(directory) / INDEX
    if not path.is_file():
        begun = (path.parent / UNFINISHED).is_dir()
        raise FileNotFoundError(
            "A prepared corpus must be a directory with an index.json. "
            f"Received: {str(directory)!r}, "
            + ("which prepare has not finished: run it again" if begun else "which has none")
        )
    try:
        values = json.loads(path.read_text("utf-8"))
        version = values["version"]
        if version == VERSION:
            values["shards"] = [Shard(**shard) for shard in values["shards"]]
            return Index(**values)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"index.json must be what keras-lm prepare wrote. Received: {str(path)!r}: {error}"
        ) from error
    raise ValueError(
        f"index.json must be of version {VERSION}. Received: {str(path)!r} of version {version}"
    )


def check_sizes(directory: pathlib.Path, shards: list[Shard]) -> None:
    """Raises where a shard's file is missing or has another size than it was written with.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file has another size.
    """
    for shard in shards:
        path = directory / shard.file
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise FileNotFoundError(
                f"A prepared corpus must have all its shards. Received: {str(path)!r} is missing"
            ) from None
        if size != shard.bytes:
            raise ValueError(
                f"A shard must be as it was written, {shard.bytes} bytes. "
                f"Received: {str(path)!r} of {size} bytes"
            )


def check_sums(directory: pathlib.Path, shards: list[Shard]) -> None:
    """Reads all shards and raises where one is not what was written.

    Raises:
        FileNotFoundError: see `check_sizes`.
        ValueError: see there; or a file's SHA-256 is another one.
    """
    check_sizes(directory, shards)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        sums = threads.map(lambda shard: file_sha256(directory / shard.file), shards)
        for shard, found in zip(shards, sums, strict=True):
            if found != shard.sha256:
                raise ValueError(
                    f"A shard must be as it was written, SHA-256 {shard.sha256}. "
                    f"Received: {str(directory / shard.file)!r} with {found}"
                )


def file_sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: pathlib.Path, content: bytes) -> None:
    """Writes beside the file and renames: a reader sees the whole file or none."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
