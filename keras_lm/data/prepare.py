"""Text files to a prepared directory: tokenized once, for every run that reads it."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_lm.data import checks
from keras_lm.data.decoder_start import closing_id
from keras_lm.data.documents import Source, Texts, read_documents
from keras_lm.data.fingerprint import fingerprint
from keras_lm.data.prepared import Prepared
from keras_lm.shards.encoding import OBJECTIVES, Encoding
from keras_lm.shards.preparing import Part, Progress, prepare_parts
from keras_lm.tokenizers import resolve
from keras_lm.tokenizers.tokenizer import Tokenizer


def prepare(
    source: Source | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    output: str | os.PathLike,
    texts: Texts | None = None,
    objective: str | None = None,
    document: str | None = None,
    drop_duplicates: bool = False,
    mask_personal: bool = False,
    shard_size: int = 8_000_000,
    num_processes: int | None = None,
    report: Callable[[Progress], None] | None = None,
) -> Prepared:
    """Tokenizes a corpus into compressed TFRecord shards with an index.

    `masked_lm`, `causal_lm` and the like read the directory in place of files, and give the rows
    that the files would give.

    A run that was stopped, in whatever way, goes on when it is started again with the same
    arguments: shards that are whole are kept. On a directory that is whole, checksums are verified.
    Shards are the same bytes whatever the number of processes.

    Args:
        source: text files in UTF-8, or a finite `tf.data.Dataset` of strings; as in `masked_lm`.
        tokenizer: of the model. It is saved beside the shards.
        output: a directory; a new one, an empty one, or one that was begun.
        texts: a list of strings in place of `source`.
        objective: "masked_lm": for `masked_lm` and `denoising`; lines are tokenized one by one.
            "causal_lm": for `causal_lm`; documents are, with the ends of their lines. None: what
            the tokenizer has tokens for, "masked_lm" if for both.
        document: what ends a document, as in `masked_lm`.
        drop_duplicates: whether a document is left out whose text stood in the corpus before. They
            are counted in any case; of each document 16 bytes are remembered while it is read.
        mask_personal: whether e-mail addresses, card and phone numbers become `<EMAIL>`, `<CARD>`
            and `<PHONE>`; see `keras_lm.shards.personal_data` for what counts as one.
        shard_size: characters of text of a shard, documents being whole.
        num_processes: that tokenize. None: as many as there are cores.
        report: is called after each shard.

    Returns:
        The directory, opened.

    Raises:
        TypeError: neither or both of `source` and `texts`, or something that cannot be read twice.
        ValueError: an argument out of range; a tokenizer that lacks a token; a file that is not
            UTF-8; an empty corpus; an output that holds something else, another corpus, or one that
            was made with other settings; a shard whose checksum is wrong.
        FileNotFoundError: a file is missing, or a glob matches nothing.
        OSError: the output cannot be written, or another process is writing it.
    """
    tokenizer = checks.tokenizer(tokenizer)
    encoding, settings = encoding_of(
        tokenizer, objective, document, drop_duplicates, mask_personal, shard_size
    )
    if num_processes is None:
        num_processes = len(os.sched_getaffinity(0))
    num_processes = checks.integer("num_processes", num_processes, 1)
    blank_lines = encoding.objective == "causal_lm"
    whole = read_documents(source, texts, document, keep_blank_lines=blank_lines)
    if isinstance(source, str | os.PathLike | list | tuple):
        parts = [
            Part(
                str(path),
                path.stat().st_size,
                read_documents(path, None, document, keep_blank_lines=blank_lines),
            )
            for path in resolve(source)
        ]
    else:
        parts = [Part(None, 0, whole)]
    prepare_parts(
        parts,
        pathlib.Path(output),
        encoding,
        settings=settings,
        shard_size=settings["shard_size"],
        drop_duplicates=settings["drop_duplicates"],
        num_processes=num_processes,
        save_tokenizer=tokenizer.save,
        report=report or (lambda progress: None),
    )
    return Prepared(output)


def encoding_of(
    tokenizer: Tokenizer,
    objective: str | None,
    document: str | None,
    drop_duplicates: bool,
    mask_personal: bool,
    shard_size: int,
) -> tuple[Encoding, dict[str, Any]]:
    """How documents become records, and the settings that an index keeps.

    Raises:
        ValueError: see `prepare`.
    """
    shard_size = checks.integer("shard_size", shard_size, 1)
    if objective is None:
        objective = "causal_lm" if tokenizer.mask_id is None else "masked_lm"
    if objective not in OBJECTIVES:
        raise ValueError(
            f'objective must be "masked_lm" or "causal_lm". Received: objective={objective!r}'
        )
    checks.tokenizer(tokenizer, "end" if objective == "causal_lm" else "mask")
    roles = ("end",) if objective == "causal_lm" else ("sep",)
    encoding = Encoding(
        tokenizer=tokenizer.host.to_str(),
        parse_special_tokens=tokenizer.special_tokens == "parse",
        vocab_size=tokenizer.vocab_size,
        end_id=closing_id(tokenizer, *roles),
        objective=objective,
        mask_personal=bool(mask_personal),
    )
    return encoding, {
        "objective": objective,
        "tokenizer": fingerprint(tokenizer),
        "vocab_size": tokenizer.vocab_size,
        "dtype": encoding.dtype,
        "special_tokens": tokenizer.special_tokens,
        "document": document,
        "drop_duplicates": bool(drop_duplicates),
        "mask_personal": encoding.mask_personal,
        "shard_size": shard_size,
    }
