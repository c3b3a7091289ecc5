"""Figures of the field behind each epoch, which stop a training early."""

import keras
from task_toys import bert
from text_toys import word_piece

from keras_lm import TextClassifier, data, evaluate
from keras_lm.tasks import EvaluateEachEpoch

TEXTS = ("good film", "bad film", "good", "bad")
ROWS = [{"text": text, "label": text.split()[0]} for text in TEXTS]


def test_early_stopping_sees_the_figures_and_gives_the_best_weights_back():
    tokenizer = word_piece()
    model = TextClassifier(bert(tokenizer=tokenizer), ["bad", "good"])
    model.compile(learning_rate=1e-2)
    batches = data.classification(
        rows=ROWS, tokenizer=tokenizer, labels=model.labels, batch_size=2, num_buckets=1
    )
    stop = keras.callbacks.EarlyStopping(
        "val_macro_f1", mode="max", patience=1, restore_best_weights=True
    )
    figures = EvaluateEachEpoch(rows=ROWS)
    history = model.fit(batches, epochs=30, verbose=0, callbacks=[figures, stop]).history
    seen = history["val_macro_f1"]
    assert len(seen) == len(history["val_accuracy"]) < 30
    assert seen[-1] <= seen[-2]  # It stopped for that.
    assert evaluate(model, rows=ROWS, verbose=0)["macro_f1"] == max(seen)
