"""Ask exported models: needs TensorFlow and the directories, and nothing of keras_lm.

    python examples/ask.py --fill saved_models/quickstart_bert/1 "The [MASK] statement is simple."
    python examples/ask.py --complete saved_models/quickstart_gpt/1 "The" "If the"
    python examples/ask.py --score saved_models/quickstart_gpt/1 "This is a text." "text a is This."

Each option takes a SavedModel that `keras_lm.export` wrote, then texts, and prints an answer to
each of them. The options can stand together: TensorFlow is then imported once.
"""

import argparse
import functools
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

load = functools.cache(tf.saved_model.load)


def fill(directory: str, texts: list[str]) -> None:
    """Prints what may stand at each `[MASK]`, likeliest first, with its probability."""
    answer = load(directory).signatures["serving_default"](text=tf.constant(texts))
    for i, text in enumerate(texts):
        print(f"\n  {text}")
        if not answer["count"][i]:
            print("    (no [MASK] in the part of the text that the model can read)")
        for place in range(int(answer["count"][i])):
            pairs = zip(answer["tokens"][i, place], answer["scores"][i, place], strict=True)
            print("    " + "   ".join(f"{t.numpy().decode()} {s:.3f}" for t, s in pairs))


def complete(directory: str, prompts: list[str]) -> None:
    """Prints the likeliest continuation of each prompt, and one drawn at temperature 0.8."""
    model, prompt = load(directory), tf.constant(prompts)
    greedy = model.signatures["serving_default"](prompt=prompt)
    rows = [len(prompts)]  # every option has a value for each row of the request
    sampled = model.signatures["generate"](
        prompt=prompt,
        max_new_tokens=tf.fill(rows, 30),
        temperature=tf.fill(rows, 0.8),
        top_k=tf.fill(rows, 0),  # 0: no limit
        top_p=tf.fill(rows, 0.95),
        seed=tf.fill(rows, tf.constant(1, tf.int64)),
        min_p=tf.fill(rows, 0.0),  # this and what follows: off
        repetition_penalty=tf.fill(rows, 1.0),
        presence_penalty=tf.fill(rows, 0.0),
        frequency_penalty=tf.fill(rows, 0.0),
        min_new_tokens=tf.fill(rows, 0),
    )
    for i, text in enumerate(prompts):
        print(f"\n  {text}")
        for kind, answer in ("greedy ", greedy), ("sampled", sampled):
            print(f"    {kind} ...{answer['completion'][i].numpy().decode(errors='replace')}")


def score(directory: str, texts: list[str]) -> None:
    """Prints how likely the model finds each text."""
    answer = load(directory).signatures["score"](text=tf.constant(texts))
    for i, text in enumerate(texts):
        print(
            f"\n  {text}\n    log-likelihood {answer['log_likelihood'][i]:.1f}, "
            f"perplexity per token {answer['perplexity'][i]:.1f}"
        )


def main() -> None:
    """Reads the command line and asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for ask in (fill, complete, score):
        parser.add_argument(
            f"--{ask.__name__}", nargs="+", metavar=("DIRECTORY", "TEXT"), help=ask.__doc__
        )
    asked = {name: values for name, values in vars(parser.parse_args()).items() if values}
    if not asked:
        parser.error("say what to ask: --fill, --complete or --score")
    for name, (directory, *texts) in asked.items():
        if not texts:
            parser.error(f"--{name} takes a directory and at least one text. Received: no text")
        if not tf.saved_model.contains_saved_model(directory):
            parser.error(f"--{name} takes a SavedModel's directory. Received: {directory}")
        print(f"\n{name}: {directory}")
        globals()[name](directory, texts)
    print(f"\nkeras_lm was imported by this process: {'keras_lm' in sys.modules}")


if __name__ == "__main__":
    main()
