"""Fine-tune a small pre-trained BERT to find named entities in tweets.

    pip install "keras_lm[recipes]"
    python examples/tag_entities.py --out saved_models/entities

Weights: `minilm` of corpora.py, which lower-case; `with_case` makes them see capitals. Data:
`tweets` there, 2,394 of them with entities of ten types (MIT, as the package says; as many as the
training part of the shared task of W-NUT 2016 has). A quarter is held out by a hash of what a tweet
says without its users and links, a tenth is to choose settings with; there is left out what shares
six words in a row with training. The score: F1 of entities, type, first and last word.

Measured on 2026-11-28, TensorFlow 2.21, 2 CPU cores that other work shared: 453 s, 6 minutes of
processor time. After 1,540 tweets, on the 389 entities of 585 that were held out, in brackets the
95 % interval (bootstrap over tweets):

    fine-tuned 0.412 (0.354 to 0.466)   conditional random field 0.333 (0.277 to 0.391)
    dictionary 0.258 (0.203 to 0.318)   lead over the random field (+0.019 to +0.138)

These are entities as `predict` and the export find them in a text, where a mark within a word may
end one; keras_lm.evaluate, which reads the first token of each word alone, says 0.410.
What the capitals are worth alone, `--case 0`, was not measured.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import corpora
import keras
import numpy as np
import tensorflow as tf
from entity_baselines import Dictionary, RandomField, Row
from held_out import bootstrap_interval, report
from pretraining import leave

import keras_lm
from keras_lm.data.tags import TagScheme
from keras_lm.tasks import EvaluateEachEpoch
from keras_lm.tasks.token_classifier import Entity

MOST_TOKENS = 80
LEARNING_RATE = 5e-4
SHARES = {"train": 0.65, "dev": 0.1, "test": 0.25}
PENALTIES = [(0.0, 0.1), (0.1, 0.01), (0.02, 0.02)]  # of the random field: the best one on dev


def text_of(row: Row) -> str:
    """The words with spaces between."""
    return " ".join(row["words"])


def said(row: Row) -> str:
    """What a tweet says, without what repeats of it differ in: users and links."""
    return " ".join(w for w in row["words"] if not w.startswith(("@", "http")) and w != "RT")


def with_case(bert: keras_lm.BERT, length: float) -> keras_lm.BERT:
    """Makes a lower-casing model see capitals, with one vector for `Word` and one for `WORD`.

    Each token gets a twin with a first capital and one in capitals. Their embeddings are that of
    the token plus a vector which is the same for all, so that names never seen show it too.

    Args:
        bert: with a WordPiece that lower-cases.
        length: of both vectors, as a share of the mean length of an embedding.
    """
    old = list(bert.tokenizer.tokens)
    known, twins, of, kind = set(old), [], [], []
    for i, token in enumerate(old):
        prefix = "##" if token.startswith("##") else ""
        body = token[len(prefix) :]
        forms = [body.upper()] if prefix else [body[:1].upper() + body[1:], body.upper()]
        for form in dict.fromkeys(forms):
            # Not of special tokens, nor of letters whose capital is none or two.
            same = form.lower() == body != form and len(form) == len(body)
            if same and prefix + form not in known:
                known.add(prefix + form)
                twins.append(prefix + form)
                of.append(i)
                kind.append(int(form == body.upper() and (len(form) > 1 or bool(prefix))))
    cased = keras_lm.models.resize_token_embeddings(bert, len(old) + len(twins))
    cased.tokenizer = keras_lm.tokenizers.WordPiece(
        [*old, *twins], lowercase=False, strip_accents=True
    )
    table = next(w for w in cased.weights if w.shape[0] == cased.vocab_size)
    rows_VD = table.numpy()
    vector_2D = np.random.default_rng(0).standard_normal((2, rows_VD.shape[1]))
    vector_2D /= np.linalg.norm(vector_2D, axis=1, keepdims=True)
    vector_2D *= length * np.linalg.norm(rows_VD[: len(old)], axis=1).mean()
    rows_VD[len(old) :] = rows_VD[of] + vector_2D[kind]
    table.assign(rows_VD)
    return cased


def tags_of(words: list[str], entities: list[Entity]) -> list[str]:
    """The tags of words from entities in their text; the first character of a word decides."""
    tags, at = [], 0
    for word in words:
        tag = "O"
        for entity in entities:
            if entity.start <= at < entity.end:
                tag = f"{'B' if entity.start == at else 'I'}-{entity.type}"
        tags.append(tag)
        at += len(word) + 1
    return tags


def counts_of(rows: list[Row], found: list[list[str]], scheme: TagScheme) -> np.ndarray:
    """Of each row how many entities are right, wanted and found; int `(rows, 3)`."""
    pairs = [
        (set(scheme.entities(row["tags"])), set(scheme.entities(tags)))
        for row, tags in zip(rows, found, strict=True)
    ]
    return np.array([(len(a & b), len(a), len(b)) for a, b in pairs])


def f1(counts: np.ndarray) -> float:
    """The F1 of entities of all rows together, as seqeval counts it."""
    right, wanted, found = counts.sum(axis=0)
    return 2 * right / max(wanted + found, 1)


def random_field(train: list[Row], dev: list[Row], scheme: TagScheme, path: pathlib.Path):
    """The random field with the penalties that are best on `dev`."""
    fields = [
        RandomField(train, path.with_suffix(f".{i}"), *penalty)
        for i, penalty in enumerate(PENALTIES)
    ]
    scores = [f1(counts_of(dev, [x.tags(row["words"]) for row in dev], scheme)) for x in fields]
    best = int(np.argmax(scores))
    print(f"Random field: l1 and l2 {PENALTIES[best]}, F1 on dev {scores[best]:.3f}")
    return fields[best]


def main() -> None:
    """Reads the command line, trains, measures, saves, exports and asks the export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--case", type=float, default=0.5, help="length of with_case; 0: without")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("saved_models/entities"))
    args = parser.parse_args()
    start, processor = time.monotonic(), time.process_time()
    keras.utils.set_random_seed(0)

    rows = corpora.tweets()
    labels = sorted({tag for row in rows for tag in row["tags"]})
    scheme = TagScheme(labels)
    parts, left_out = keras_lm.data.split_by_hash(rows, SHARES, text=said, shared_words=6)
    train, dev, test = parts.values()
    print(f"{len(train):,} tweets to train on, {len(dev):,} to watch, {len(test):,} held out")
    print(f"{len(left_out):,} left out that share words with training")

    dictionary = Dictionary(train)
    args.out.mkdir(parents=True, exist_ok=True)
    field = random_field(train, dev, scheme, args.out / "random_field")
    print(f"Random field: {(time.process_time() - processor) / 60:.1f} minutes of processor time")

    bert = keras_lm.load(corpora.minilm(), task="backbone")
    if args.case:
        bert = with_case(bert, args.case)
    model = keras_lm.TokenClassifier(bert, labels)
    model.freeze(embeddings=True)
    model.compile(learning_rate=LEARNING_RATE)
    data = keras_lm.data.tagging(
        rows=train,
        tokenizer=model.tokenizer,
        labels=model.labels,
        batch_size=16,
        sequence_length=MOST_TOKENS,
    )
    watch = EvaluateEachEpoch(rows=dev)
    model.fit(data, epochs=args.epochs, verbose=2, callbacks=[watch])

    texts = [text_of(row) for row in test]
    entities = model.predict(texts, verbose=0).entities
    counts = {
        "fine-tuned": counts_of(
            test,
            [tags_of(row["words"], found) for row, found in zip(test, entities, strict=True)],
            scheme,
        ),
        "random field": counts_of(test, [field.tags(row["words"]) for row in test], scheme),
        "dictionary": counts_of(test, [dictionary.tags(row["words"]) for row in test], scheme),
    }
    own, other = counts["fine-tuned"], counts["random field"]
    print(f"\nOn {len(test):,} tweets that were held out, with {own[:, 1].sum():,} entities:")
    report("F1 of entities, higher is better", {name: f1(found) for name, found in counts.items()})
    for name, found in counts.items():
        low, high = bootstrap_interval(lambda rows, found=found: f1(found[rows]), len(test))
        print(f"    95 % interval of {name}: {low:.3f} to {high:.3f}")
    low, high = bootstrap_interval(lambda rows: f1(own[rows]) - f1(other[rows]), len(test))
    print(f"    of the lead over the random field: {low:+.3f} to {high:+.3f}")
    print(f"keras_lm.evaluate: {keras_lm.evaluate(model, rows=test, verbose=0)}")
    leave(model, args.out, start)
    print(f"Processor time: {(time.process_time() - processor) / 60:.1f} minutes")

    newest = max(args.out.glob("[0-9]*"), key=lambda path: int(path.name))
    tag = tf.saved_model.load(str(newest)).signatures["serving_default"]
    answer = {name: value.numpy() for name, value in tag(text=tf.constant(texts[:200])).items()}
    names = ("types", "starts", "ends")
    alike = sum(
        list(zip(*(answer[name][i, : answer["count"][i]].tolist() for name in names), strict=True))
        == [(entity.type.encode(), entity.start, entity.end) for entity in found]
        for i, found in enumerate(entities[:200])
    )
    print(f"The export's entities of {alike} of {len(texts[:200])} tweets are those of Python")
    for text, found in list(zip(texts, entities, strict=True))[:10]:
        print(f"  {text}\n    " + ", ".join(f"{e.text}/{e.type} {e.score:.2f}" for e in found))


if __name__ == "__main__":
    main()
