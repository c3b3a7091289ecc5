"""Requests that every export must answer, and a process that asks them."""

import json
import os
import pathlib
import subprocess
import sys

import tensorflow as tf

TEXTS = ["The [MASK] statement.", "[MASK] is [MASK]!", "no mask", "", "Füße 漢字 [MASK] 🎉"]
PROMPTS = ["The assert", "", "Füße 漢字 🎉", "x " * 300]
N = len(PROMPTS)
OPTIONS = {
    "max_new_tokens": [6, 3, 9, 5],
    "temperature": [0.0, 1.0, 0.7, 1.0],
    "top_k": [0, 5, 0, 0],
    "top_p": [1.0, 1.0, 0.8, 1.0],
    "seed": [1, 2, 3, 4],
    "min_p": [0.0, 0.0, 0.0, 0.1],
    "repetition_penalty": [1.3, 1.0, 1.0, 1.0],
    "presence_penalty": [0.0, 0.5, 0.0, 0.0],
    "frequency_penalty": [0.0, 0.5, 0.0, 0.1],
    "min_new_tokens": [4, 0, 2, 0],
}
BEAMS = 3
DRAWS = ("temperature", "top_k", "top_p", "seed", "min_p")
BEAM_OPTIONS = {
    **{name: values for name, values in OPTIONS.items() if name not in DRAWS},
    "length_penalty": [1.0, 0.0, 2.0, 1.0],
}
IDS = {"token_ids": [[7, 9, 11], [5, 0, 0]], "lengths": [3, 1]}
# A cache grows beyond its first segment.
LONG_OPTIONS = {
    **{name: values[:2] for name, values in OPTIONS.items()},
    "max_new_tokens": [90, 6],
    "min_new_tokens": [80, 0],
}

ROWS = {"token_ids": [[2, 4, 9, 3], [2, 4, 3, 0]], "lengths": [4, 3]}
LONG = "x " * 60
TARGETS = ["assert", "a statement", "x " * 300, ""]

PAIRS = {"text": [*TEXTS, LONG], "text_pair": [*TEXTS[1:], "", "a b"]}
QUESTIONS = {
    "question": ["What is it?", "Füße?", "x " * 300, "", "Where?"],
    "context": [
        "The assert statement is a statement. " * 9,
        "Füße (漢字) 🎉 e\u0301, is it?",
        "Short.",
        "",
        "in a loop " * 300,
    ],
}
PAIR_ROWS = {"token_ids": [[2, 4, 9, 3, 8, 3], [2, 4, 3, 7, 0, 0]], "lengths": [6, 4]}

REQUESTS = [
    ("bert", "serving_default", {"text": TEXTS}),
    ("bert", "fill_mask_ids", ROWS),
    ("electra", "serving_default", {"text": [*TEXTS, LONG]}),
    ("electra", "find_replaced_ids", ROWS),
    ("gpt", "serving_default", {"prompt": PROMPTS}),
    ("gpt", "generate", {"prompt": PROMPTS, **OPTIONS}),
    ("gpt", "generate_ids", {**IDS, **LONG_OPTIONS}),
    ("gpt", "score", {"text": PROMPTS}),
    ("gpt", "beam_search", {"prompt": PROMPTS, **BEAM_OPTIONS}),
    ("gpt", "prefill", {"prompt": PROMPTS, **OPTIONS}),
    ("gpt", "prefill_ids", {**IDS, **LONG_OPTIONS}),
    ("transformer", "serving_default", {"text": PROMPTS}),
    ("transformer", "generate", {"text": PROMPTS, **OPTIONS}),
    ("transformer", "generate_ids", {**ROWS, **{k: v[:2] for k, v in OPTIONS.items()}}),
    ("transformer", "score", {"text": PROMPTS, "target": TARGETS}),
    ("transformer", "beam_search", {"text": PROMPTS, **BEAM_OPTIONS}),
    ("transformer", "prefill", {"text": PROMPTS, **OPTIONS}),
    ("transformer", "prefill_ids", {**ROWS, **{k: v[:2] for k, v in OPTIONS.items()}}),
]


def example(**features):
    """A serialized tf.Example of texts."""
    values = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
        for name, text in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()


# Short ones: longer ones are no UTF-8, which requests are written as.
EXAMPLES = [example(text=text).decode() for text in TEXTS]
PAIR_EXAMPLES = [
    example(text=text, text_pair=other).decode()
    for text, other in zip(TEXTS, PAIRS["text_pair"], strict=False)
]

TASK_REQUESTS = [
    ("classifier", "serving_default", {"text": [*TEXTS, LONG]}),
    ("classifier", "classify_ids", ROWS),
    ("classifier", "classify", {"inputs": EXAMPLES}),
    ("pair_classifier", "serving_default", PAIRS),
    ("pair_classifier", "classify", {"inputs": PAIR_EXAMPLES}),
    ("pair_classifier", "classify_ids", PAIR_ROWS),
    ("tagger", "serving_default", {"text": [*TEXTS, LONG]}),
    ("tagger", "tag_ids", ROWS),
    ("embedder", "serving_default", {"text": [*TEXTS, LONG]}),
    ("embedder", "embed_ids", ROWS),
    ("search", "serving_default", {"text": [*TEXTS, LONG]}),
    ("search", "search_ids", ROWS),
    ("answers", "serving_default", QUESTIONS),
    ("answers", "answer_ids", PAIR_ROWS),
]


def ask_in_another_process(directory, requests, python=sys.executable, blocked=()):
    """Answers to requests from a process that has TensorFlow and the exports alone.

    Packages in `blocked` cannot be imported there.
    """
    path = pathlib.Path(directory) / "requests.json"
    path.write_text(json.dumps(requests), encoding="utf-8")
    script = pathlib.Path(__file__).with_name("ask_exports.py")
    # Run elsewhere, without the checkout on the path.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), str(script), str(directory), str(path), *blocked],
        capture_output=True,
        text=True,
        cwd=directory,
        env=environment,
        timeout=600,  # it takes 25 s, but not on a machine with other work
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
