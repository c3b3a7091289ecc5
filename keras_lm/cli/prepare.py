"""Tokenize a corpus into shards, in parallel; goes on where it was stopped."""

import argparse
import sys
import time
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("corpus", nargs="+", help="text files in UTF-8, globs, .gz too")
    parser.add_argument("--tokenizer", required=True, help="directory of the tokenizer's files")
    parser.add_argument("--output", required=True, help="directory to write, new or begun before")
    parser.add_argument(
        "--objective",
        choices=("masked_lm", "causal_lm"),
        help="what is trained; default: masked_lm if the tokenizer has a mask",
    )
    parser.add_argument(
        "--document",
        choices=("blank_line", "line", "file"),
        help="what ends a document; default: blank_line",
    )
    parser.add_argument(
        "--drop-duplicates", action="store_true", help="leave out documents that came before"
    )
    parser.add_argument(
        "--mask-personal",
        action="store_true",
        help="<EMAIL>, <CARD> and <PHONE> for addresses and numbers",
    )
    parser.add_argument(
        "--special-tokens",
        choices=("text", "parse"),
        default="text",
        help='whether "[SEP]" in a text is text or the token; default: text',
    )
    parser.add_argument(
        "--shard-size", type=int, default=8_000_000, help="characters of a shard; default: 8000000"
    )
    parser.add_argument("--processes", type=int, help="default: as many as there are cores")
    parser.add_argument(
        "--beam",
        metavar="OPTIONS",
        help='on Apache Beam with these options: --beam="--runner=DirectRunner"',
    )


def run(options: argparse.Namespace) -> int:
    """Prepares; prints what was counted."""
    from keras_lm.data import prepare, prepare_on_beam  # TensorFlow takes seconds to import.
    from keras_lm.tokenizers import load

    tokenizer = load(options.tokenizer, special_tokens=options.special_tokens)
    asked = {
        "output": options.output,
        "objective": options.objective,
        "document": options.document,
        "drop_duplicates": options.drop_duplicates,
        "mask_personal": options.mask_personal,
        "shard_size": options.shard_size,
    }
    if options.beam is not None:
        words = options.beam.split()
        prepared = prepare_on_beam(options.corpus, tokenizer, **asked, options=words)
    else:
        line = _ProgressLine()
        try:
            prepared = prepare(
                options.corpus,
                tokenizer,
                **asked,
                num_processes=options.processes,
                report=line.show,
            )
        finally:
            line.end()
        if not line.shown:
            print("was whole, and its checksums are right", file=sys.stderr)
    print(f"{options.output}: {len(prepared.index.shards)} shards for {prepared.objective}")
    for name, number in prepared.statistics.items():
        print(f"{number:>15,} {name.replace('_', ' ')}")
    return 0


class _ProgressLine:
    """One line on a terminal, written over; in a log a line from time to time."""

    _SECONDS = 30.0  # between two lines of a log

    def __init__(self) -> None:
        self.shown = False
        self._last = -self._SECONDS

    def show(self, progress: Any) -> None:
        terminal, now = sys.stderr.isatty(), time.monotonic()
        self.shown = True
        if not terminal and now - self._last < self._SECONDS:
            return
        self._last = now
        tokens = progress.statistics.tokens
        rate = tokens / progress.seconds if progress.seconds and not progress.kept else 0
        kept = f" ({progress.kept} kept)" if progress.kept else ""
        text = (
            f"file {progress.part} of {progress.parts}, {progress.shards} shards{kept}, "
            f"{tokens:,} tokens" + (f", {rate:,.0f} a second" if rate else "")
        )
        end = "" if terminal else "\n"
        print(f"\r\033[K{text}" if terminal else text, end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.shown and sys.stderr.isatty():
            print(file=sys.stderr)
