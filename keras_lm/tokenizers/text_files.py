"""Text files as lines.

A line ends with a line feed, or a carriage return and a line feed, and nothing else ends one: not
U+2028, not a form feed. A line is one text. A blank line separates documents, and so does the end
of a file; who has no use for documents skips blank lines.
"""

import codecs
import glob
import gzip
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator

Source = str | os.PathLike | Iterable[str | os.PathLike]

_MAGIC = "*?["


def resolve(source: Source) -> list[pathlib.Path]:
    """The files of a source, in order, before any of them is read.

    Args:
        source: a path or a glob (`**` too), or several. What exists under its literal name is never
            taken for a glob. The files of a glob are sorted; a file named twice is read twice.

    Raises:
        FileNotFoundError: a path that does not exist, or a glob that nothing matches.
        ValueError: a path that is not a file, or no path at all.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    paths: list[pathlib.Path] = []
    for item in sources:
        name = os.fspath(item)
        if os.path.exists(name):
            found = [name]
        elif any(character in name for character in _MAGIC):
            found = sorted(x for x in glob.glob(name, recursive=True) if os.path.isfile(x))
            if not found:
                raise FileNotFoundError(f"A glob must match a file. Received: {name!r}")
        else:
            raise FileNotFoundError(f"A text file must exist. Received: {name!r}")
        if not os.path.isfile(found[0]):
            raise ValueError(f"A text file must be a file. Received: {name!r}, which is not")
        paths.extend(map(pathlib.Path, found))
    if not paths:
        raise ValueError(f"At least one text file is needed. Received: {source!r}")
    return paths


def read_lines(source: Source) -> Iterator[str]:
    """The lines of UTF-8 files, one after the other, without their ends; blank ones too.

    Args:
        source: see `resolve`, which checks it at once. A name in `.gz` is decompressed. A byte
            order mark at the start of a file is not text.

    Raises:
        FileNotFoundError: see `resolve`.
        ValueError: a file that is not UTF-8, with its name and the offset of the byte, or one that
            is named `.gz` and is not, or is cut short.
    """
    return _lines(resolve(source))


def corpus(files: Source | None, texts: Iterable[str] | None) -> Iterator[str]:
    """The lines of files, or texts: exactly one of the two.

    Raises:
        TypeError: both, neither, or one string as `texts`.
    """
    if (files is None) == (texts is None):
        raise TypeError(
            "Exactly one of files and texts must be given. "
            f"Received: {'neither' if files is None else 'both'}"
        )
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be an iterable of strings. Received: {texts!r:.80}")
    return iter(texts) if texts is not None else read_lines(files)  # type: ignore[arg-type]


def _lines(paths: list[pathlib.Path]) -> Iterator[str]:
    for path in paths:
        offset = 0
        opened = gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # noqa: SIM115
        with opened as file:
            try:
                for line in file:
                    yield _decode(line, path, offset)
                    offset += len(line)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(
                    f"A file named .gz must be whole and compressed by gzip. "
                    f"Received: {str(path)!r}: {error}"
                ) from error


def _decode(line: bytes, path: pathlib.Path, offset: int) -> str:
    if offset == 0 and _looks_like_utf_16(line[:4]):
        raise ValueError(f"A text file must be UTF-8. Received: {str(path)!r}, which is UTF-16")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"A text file must be UTF-8. Received: {str(path)!r}, where byte "
            f"{offset + error.start} is 0x{line[error.start]:02x} ({error.reason})"
        ) from None
    if text.endswith("\n"):
        text = text[:-2] if text.endswith("\r\n") else text[:-1]
    return text.removeprefix("\ufeff") if offset == 0 else text


def _looks_like_utf_16(begin: bytes) -> bool:
    """Says it of the first four bytes of a file: a mark, or two characters of ASCII.

    Those are UTF-8, too, where every other character is NUL.
    """
    marked = begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return marked or [byte > 0 for byte in begin] in ([True, False] * 2, [False, True] * 2)
