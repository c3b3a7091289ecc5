"""Train a Transformer to translate Debian's package descriptions from English to French.

    python examples/translate.py --out saved_models/translate
    python examples/translate.py --target de

Source: Vaswani et al. 2017, arXiv:1706.03762. Data: `descriptions` of corpora.py, those of at most
16 words, each once; a tenth is held out by a hash of the source, without those that share eight
words in a row with training. For training alone there are the sentences of longer descriptions, too
(`sentences_of`). Needs sacrebleu: `pip install "keras_lm[figures]"`.

Measured on 2026-11-28, TensorFlow 2.21, 2 CPU cores that much other work shared: 3,313 s, of them
3,210 for 3,600 steps, 28 minutes of processor time. On 1,000 sentences that were held out, English
to French, of 39,992 pairs to train on:

                                             SacreBLEU  chrF
    Transformer, 4 beams                          32.9  60.3
    Transformer, the likeliest token each time    30.9  58.7
    the most similar sentence's translation       27.8  48.6
    copying the source                             7.5  33.3

What is usual is translated well; a rare word is often misspelt or left out. On 2026-11-24 a model
that had read the short descriptions alone for 1,200 steps had 23.2 without beams, behind the memory
(26.6 then). Of 200 sentences the export's translations are those of Python, string by string, in a
process where neither keras_lm nor Keras can be imported.
"""

import argparse
import os
import pathlib
import re
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import corpora
import keras
from baselines import Memory
from held_out import report, split
from pretraining import fit, leave

import keras_lm
from keras_lm.data.splitting import normalized, share, words_of
from keras_lm.tasks.text_figures import translation_figures

MOST_WORDS, LENGTH = 16, 64
SAME_WORDS = 8  # in a row are too many, see held_out.py
SIZES = {
    "hidden_size": 128,
    "num_layers": 2,
    "num_attention_heads": 4,
    "num_hidden_units": 512,
    "dropout_rate": 0.1,
}
MOST_SENTENCES = 1_000  # of those that are held out, by their hash
_BEHIND_SENTENCE = re.compile(r'(?<=[.!?])\s+(?=[A-ZÀ-Ý"«(])')


def sentences_of(pairs: dict[str, str]) -> dict[str, str]:
    """The sentences of texts that have as many of them in both languages: one by one."""
    found: dict[str, str] = {}
    for text, other in pairs.items():
        sides = [_BEHIND_SENTENCE.split(side) for side in (text, other)]
        if len(sides[0]) == len(sides[1]):
            for sentence, translation in zip(*sides, strict=True):
                if sentence != translation:
                    found.setdefault(sentence, translation)
    return found


def seen_of(text: str) -> set[str]:
    """What another text must not have if it is kept apart from this one."""
    words = words_of(text)
    runs = range(len(words) - SAME_WORDS + 1)
    return {normalized(text), *(" ".join(words[i : i + SAME_WORDS]) for i in runs)}


def main() -> None:
    """Reads the command line, trains, measures, saves and exports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="fr", help="fr or de")
    parser.add_argument("--steps", type=int, default=3_600)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("saved_models/translate"))
    args = parser.parse_args()
    start, processor = time.monotonic(), time.process_time()
    keras.utils.set_random_seed(0)
    pairs = dict(corpora.descriptions("en", args.target))
    short = {source for source in pairs if len(source.split()) <= MOST_WORDS}
    text = split(sorted(short))
    text.report()
    kept_apart = set().union(*map(seen_of, [*text.dev, *text.held_out]))
    longer = sentences_of({source: pairs[source] for source in pairs if source not in short})
    more = [
        (source, target)
        for source, target in sorted(longer.items())
        if len(source.split()) <= MOST_WORDS
        and source not in short
        and not seen_of(source) & kept_apart
    ]
    print(f"{len(more):,} sentences of longer descriptions to train on, too")
    train = [*((source, pairs[source]) for source in text.train), *more]

    tokenizer = keras_lm.tokenizers.train_byte_bpe(
        texts=[part for pair in train for part in pair], vocab_size=4_000
    )
    transformer = keras_lm.Transformer(
        tokenizer.vocab_size, **SIZES, max_length=LENGTH, tokenizer=tokenizer
    )
    model = keras_lm.Translator(transformer, num_beams=4)
    model.compile(learning_rate=2e-3, label_smoothing=0.1)

    def batches(rows: list[tuple[str, str]], **options):
        return keras_lm.data.translation(
            rows=[{"source": source, "target": target} for source, target in rows],
            tokenizer=tokenizer,
            tokens_per_batch=1_500,
            max_source_length=LENGTH,
            max_target_length=LENGTH,
            **options,
        )

    data, dev = batches(train), [(source, pairs[source]) for source in text.dev]
    print(f"{len(train):,} pairs, {data.steps_per_epoch:,} steps an epoch")
    seconds = fit(model, data, args.steps, validation_data=batches(dev, shuffle=False))
    print(f"{args.steps:,} steps took {seconds / 60:.1f} minutes")

    sources = sorted(text.held_out, key=share)[:MOST_SENTENCES]
    wanted = [pairs[source] for source in sources]
    rows = [{"source": one, "target": other} for one, other in zip(sources, wanted, strict=True)]
    found = {
        f"Translator, {name}": keras_lm.evaluate(asked, rows=rows, batch_size=64, verbose=0)
        for name, asked in (
            (f"{model.num_beams} beams", model),
            ("the likeliest token each time", keras_lm.Translator(transformer, num_beams=1)),
        )
    }
    memory = Memory(*map(list, zip(*train, strict=True))).answer(sources)
    others = {"copying the source": sources, "the most similar sentence's translation": memory}
    found |= {who: translation_figures(texts, wanted) for who, texts in others.items()}
    print(f"\nOn {len(rows):,} sentences that were held out:")
    for name in ("bleu", "chrf"):
        scores = {who: figures[name] for who, figures in found.items()}
        report(f"{name}, higher is better", scores, digits=1)
        print(f"    {next(iter(found.values()))[f'{name}_signature']}")
    translations = model.predict(sources[:5], verbose=0).texts
    for source, target, reference in zip(sources, translations, wanted, strict=False):
        print(f"  {source}\n    {target}\n    ({reference})")
    leave(model, args.out, start)
    print(f"Processor time: {(time.process_time() - processor) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
