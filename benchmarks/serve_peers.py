"""Who serves in `bench_serve.py`: what makes the model, and the handler that people write.

    python benchmarks/serve_peers.py make DIRECTORY     # an export, and Transformers' files
    python benchmarks/serve_peers.py fastapi DIRECTORY PORT

The model is a text classifier of BERT base's shape with random weights.
"""

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def make(directory: pathlib.Path) -> None:
    """Writes `saved_models/bert/1`, `transformers/` and `words.txt`, words of one token each."""
    from pydoc_data.topics import topics

    import keras

    import keras_lm

    keras.utils.set_random_seed(0)
    directory.mkdir(parents=True, exist_ok=True)
    corpus = directory / "corpus.txt"
    corpus.write_text("\n".join(topics.values()), encoding="utf-8")
    tokenizer = keras_lm.tokenizers.train_wordpiece(corpus, vocab_size=8000)
    bert = keras_lm.BERT(tokenizer.vocab_size, tokenizer=tokenizer)
    model = keras_lm.TextClassifier(bert, ["negative", "positive"])
    model.build()
    keras_lm.save(model, directory / "transformers")
    words = [token for token in tokenizer.tokens if token.isalpha() and token.isascii()]
    whole = [word for word in words if len(tokenizer.encode(word)) == 3]
    (directory / "words.txt").write_text("\n".join(whole), encoding="utf-8")
    keras_lm.export(model, directory / "saved_models" / "bert")


def fastapi(directory: pathlib.Path, port: int) -> None:
    """Serves a Transformers pipeline the usual way: one request, one call."""
    import torch
    import transformers
    import uvicorn
    from fastapi import FastAPI

    pipeline = transformers.pipeline(
        "text-classification", model=str(directory / "transformers"), device="cpu"
    )
    app = FastAPI()

    @app.post("/classify")
    def classify(body: dict[str, list[str]]) -> list:
        with torch.inference_mode():
            return pipeline(body["texts"], truncation=True)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]))
    else:
        fastapi(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
