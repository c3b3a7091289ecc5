"""Text to ids in the graph: this package against keras-nlp, on texts that no call saw before.

    python benchmarks/bench_tokenizers.py [--rounds 40] [--wordpiece vocab.txt]
                                          [--byte-bpe vocab.json merges.txt]

Both sides of a pair read the same texts in the same run, in turns, so that what else the machine
does falls on both. Ratios are theirs over ours, by round: above 1 this package is faster. Without
vocabularies of your own they are trained on a quarter of the text, and the rest is read.
Writes `benchmarks/results/tokenizers-<date>.json`. About two minutes.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterator
from pydoc_data.topics import topics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras_nlp
import tensorflow as tf

from keras_lm import BERT
from keras_lm.tokenizers import ByteBPE, WordPiece, train_byte_bpe, train_wordpiece

RESULTS = pathlib.Path(__file__).parent / "results"
WORDS_PER_TEXT = 95  # about 128 tokens
Tokenize = Callable[[tf.Tensor], tf.RaggedTensor]


def split_text() -> tuple[list[str], list[str]]:
    """Lines to train on, and words, with the whitespace behind them, to read."""
    names = sorted(topics)
    lines = [line for name in names[::4] for line in topics[name].split("\n")]
    words = re.findall(
        r"\S+\s*", "\n".join(topics[name] for name in names if name not in names[::4])
    )
    return lines, words


def batches(words: list[str], size: int) -> Iterator[tf.Tensor]:
    """Batches of `size` texts; no text comes twice."""
    texts = [
        "".join(words[begin : begin + WORDS_PER_TEXT])
        for begin in range(0, len(words) - WORDS_PER_TEXT, WORDS_PER_TEXT)
    ]
    for begin in range(0, len(texts) - size + 1, size):
        yield tf.constant(texts[begin : begin + size])


def graph(tokenize: Callable) -> Tokenize:
    return tf.function(tokenize, input_signature=[tf.TensorSpec([None], tf.string)])


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def spread(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "quartile_1": low, "quartile_3": high, "minimum": min(values)}


def race(
    ours: Tokenize, theirs: Tokenize, library: Callable, texts: Iterator[tf.Tensor], rounds: int
) -> dict:
    """Times both on each batch, the one first and then the other first."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    wrong = {"ours": 0, "theirs": 0}
    num_texts = 0
    for number, batch in zip(range(rounds), texts, strict=False):
        order = [("ours", ours), ("theirs", theirs)]
        expected = library([text.decode() for text in batch.numpy()])
        num_texts += len(expected)
        for name, tokenize in order if number % 2 else order[::-1]:
            begin = time.perf_counter()
            ids = tokenize(batch)
            times[name].append(time.perf_counter() - begin)
            wrong[name] += sum(x != y for x, y in zip(ids.to_list(), expected, strict=True))
    # Either side's first two rounds fill caches of the runtime.
    ratios = [theirs / ours for ours, theirs in zip(*times.values(), strict=True)][2:]
    return {
        "rounds": len(ratios),
        "ours_ms": spread([1e3 * x for x in times["ours"][2:]]),
        "theirs_ms": spread([1e3 * x for x in times["theirs"][2:]]),
        "theirs_over_ours": spread(ratios),
        "texts": num_texts,
        "texts_with_other_ids_than_the_tokenizers_library": wrong,
    }


def pair(
    make_ours: Callable, make_theirs: Callable, library: Callable, words: list[str], rounds: int
) -> dict:
    """From nothing to the first result, and then batches of two sizes."""
    built: dict[str, Tokenize] = {}
    first = {}
    for name, make in (("ours", make_ours), ("theirs", make_theirs)):

        def start(name: str = name, make: Callable = make) -> None:
            built[name] = graph(make())
            built[name](tf.constant(["The first text, unbelievably."]))

        first[name] = seconds(start)
    third = len(words) // 3
    return {
        "first_result_s": first,
        "8 texts": race(**built, library=library, texts=batches(words[:third], 8), rounds=rounds),
        "32 texts": race(**built, library=library, texts=batches(words[third:], 32), rounds=rounds),
    }


def bert_base_forward(rounds: int = 5) -> dict[str, float]:
    """Milliseconds of BERT base on 8 x 128 tokens, random weights, no head."""
    model = BERT(heads=())
    inputs = {
        "token_ids": tf.random.uniform([8, 128], 0, 30_000, tf.int32),
        "segment_ids": tf.zeros([8, 128], tf.int32),
        "padding_mask": tf.ones([8, 128], tf.bool),
    }
    forward = tf.function(lambda: model(inputs, training=False))
    forward()
    return spread([1e3 * seconds(forward) for _ in range(rounds)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--wordpiece", metavar="VOCAB_TXT")
    parser.add_argument("--byte-bpe", nargs=2, metavar=("VOCAB_JSON", "MERGES_TXT"))
    args = parser.parse_args()

    lines, words = split_text()
    wordpiece = (
        WordPiece(args.wordpiece)
        if args.wordpiece
        else train_wordpiece(texts=lines, vocab_size=8_000)
    )
    byte_bpe = (
        ByteBPE(*args.byte_bpe) if args.byte_bpe else train_byte_bpe(texts=lines, vocab_size=8_000)
    )
    config = byte_bpe.get_config()
    results = {
        "WordPiece": pair(
            lambda: WordPiece(wordpiece.tokens).tokenize,
            lambda: keras_nlp.models.BertTokenizer(vocabulary=wordpiece.tokens, lowercase=True),
            wordpiece.encode_batch,
            words,
            args.rounds,
        ),
        "ByteBPE": pair(
            lambda: ByteBPE.from_config(config).tokenize,
            lambda: keras_nlp.tokenizers.BytePairTokenizer(
                vocabulary=config["vocab"], merges=config["merges"]
            ),
            byte_bpe.encode_batch,
            words,
            args.rounds,
        ),
    }
    forward = bert_base_forward()
    share = results["WordPiece"]["8 texts"]["ours_ms"]["median"] / forward["median"]
    report = {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": os.getloadavg()[0], "cpu": platform.machine()},
        "versions": {"tensorflow": tf.__version__, "keras_nlp": keras_nlp.__version__},
        "vocabularies": {"WordPiece": wordpiece.vocab_size, "ByteBPE": byte_bpe.vocab_size},
        "tokenizers": results,
        "bert_base_forward_8x128_ms": forward,
        "tokenizing_8_texts_over_bert_base_forward": share,
    }
    show(report)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"tokenizers-{datetime.date.today().isoformat()}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    print(f"wrote {path.name}")


def show(report: dict) -> None:
    print(
        f"{'':24}{'ours ms':>10}{'theirs ms':>11}{'theirs/ours (quartiles)':>28}"
        "  texts with wrong ids"
    )
    for kind, result in report["tokenizers"].items():
        for name in ("8 texts", "32 texts"):
            row = result[name]
            ratio = row["theirs_over_ours"]
            wrong = row["texts_with_other_ids_than_the_tokenizers_library"]
            print(
                f"{kind + ', ' + name:24}{row['ours_ms']['median']:10.2f}"
                f"{row['theirs_ms']['median']:11.2f}"
                f"{ratio['median']:12.2f} ({ratio['quartile_1']:.2f} to {ratio['quartile_3']:.2f})"
                f"   ours {wrong['ours']}, theirs {wrong['theirs']} of {row['texts']}"
            )
        first = result["first_result_s"]
        print(f"{kind}, first result: ours {first['ours']:.2f} s, theirs {first['theirs']:.2f} s")
    print(
        f"BERT base, 8 x 128: {report['bert_base_forward_8x128_ms']['median']:.0f} ms; tokenizing "
        f"8 texts costs {100 * report['tokenizing_8_texts_over_bert_base_forward']:.1f} % of that"
    )


if __name__ == "__main__":
    main()
