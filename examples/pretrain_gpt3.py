"""GPT-3's alternating dense and locally banded layers against dense ones alone, on English.

    python examples/pretrain_gpt3.py --out saved_models/gpt3

Source: Brown et al. 2020, arXiv:2005.14165, section 2.1. Both models see the same batches in the
same order. Data: the language reference of Python, as in the quickstart (`pydoc_data/topics.py`,
PSF License Version 2).

Measured on 2026-11-24, TensorFlow 2.21, 2 CPU cores that much other work shared: 1,189 s, 587 s of
it for the dense model, 492 s for the banded one. On 174 paragraphs that were held out:

    perplexity per token    every second layer 16 wide 115.9   dense 117.9   bigrams 149.7

One run of each: that banded layers cost nothing here is what it shows, not that they gain.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from held_out import causal_baselines, causal_rows, report, split
from pretraining import arguments, fit, leave
from quickstart import read

import keras_lm

LENGTH, WINDOW = 64, 16
SIZES = {
    "hidden_size": 128,
    "num_layers": 4,
    "num_attention_heads": 4,
    "num_hidden_units": 512,
    "initializer_range": 0.06,  # the usual 0.02 is for widths near 768
}


def main() -> None:
    """Reads the command line, trains both, measures, saves and exports the banded one."""
    args = arguments(__doc__, steps=900, out="saved_models/gpt3")
    start = time.monotonic()
    text = split(read([]))
    text.report()
    tokenizer = keras_lm.tokenizers.train_byte_bpe(
        texts=text.train, vocab_size=4_000, min_frequency=1
    )
    data = keras_lm.data.causal_lm(
        texts=text.train, tokenizer=tokenizer, sequence_length=LENGTH, batch_size=16
    )
    rows = causal_rows(text.held_out, tokenizer, LENGTH)

    perplexity, seconds = {}, {}
    for name, window in (("dense", None), (f"every second layer {WINDOW} wide", WINDOW)):
        print(f"\n{name}")
        keras.utils.set_random_seed(0)
        model = keras_lm.GPT(
            tokenizer.vocab_size,
            **SIZES,
            window=window,
            dropout_rate=0.2,
            max_length=LENGTH,
            tokenizer=tokenizer,
        )
        model.compile(learning_rate=2e-3)
        seconds[name] = fit(model, data, args.steps)
        perplexity[name] = model.evaluate(rows, verbose=0, return_dict=True)["perplexity"]

    print(f"\nOn {len(text.held_out):,} paragraphs that were held out:")
    perplexity |= causal_baselines(text.train, text.dev, tokenizer, rows)
    report("perplexity per token, lower is better", perplexity, digits=1)
    report("seconds of training", seconds, digits=0)
    asked = "The for statement"
    print(model.generate(asked, max_new_tokens=40, temperature=0.8, top_p=0.9, seed=1))
    leave(model, args.out, start)


if __name__ == "__main__":
    main()
