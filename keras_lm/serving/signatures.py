"""What an exported model can be asked: the signatures of each kind of head.

Every input and output has the batch as its first dimension, so that a server may join requests;
but for those of `decode_chunk` and `join_states`, for an engine in the process that holds the
states.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models.chunks import Chunks
from keras_lm.models.continuation import PLAIN, Structure
from keras_lm.models.fill_mask import MaskFiller
from keras_lm.models.find_replaced import ReplacedFinder
from keras_lm.models.interface import made_once
from keras_lm.models.pair_scoring import PairScorer
from keras_lm.models.scoring import TextScorer
from keras_lm.models.text_generation import TextGenerator
from keras_lm.models.text_to_text import TextToText
from keras_lm.tasks.text_answers import TextAnswers
from keras_lm.tasks.text_embeddings import TextEmbeddings
from keras_lm.tasks.text_entities import TextEntities
from keras_lm.tasks.text_labels import TextLabels
from keras_lm.tasks.text_search import TextSearch
from keras_lm.tasks.text_targets import TextTargets

Tensor = Any
Signatures = dict[str, Any]  # of tf.function

# What TensorFlow Serving's Classify and Regress ask; all others are for Predict.
METHODS = {"classify": "tensorflow/serving/classify", "regress": "tensorflow/serving/regress"}


def rows(dtype: str, name: str) -> tf.TensorSpec:
    """One value for each row."""
    return tf.TensorSpec([None], dtype, name)


def ids() -> list[tf.TensorSpec]:
    """Rows of ids padded on the right, and the length of each."""
    return [tf.TensorSpec([None, None], "int32", "token_ids"), rows("int32", "lengths")]


def fill_mask_signatures(model: Any, tokenizer: Any, top_k: int) -> Signatures:
    """Signatures of a masked LM."""
    filler = made_once(MaskFiller, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def fill_mask(text: Tensor) -> dict[str, Tensor]:
        return filler.fill_text(text, tf.constant(top_k))

    @tf.function(autograph=False, input_signature=ids())
    def fill_mask_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return filler.fill_ids(token_ids, lengths, tf.constant(top_k))

    return {"serving_default": fill_mask, "fill_mask_ids": fill_mask_ids}


def find_replaced_signatures(model: Any, tokenizer: Any) -> Signatures:
    """Signatures of a discriminator."""
    finder = made_once(ReplacedFinder, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def find_replaced(text: Tensor) -> dict[str, Tensor]:
        return finder.find_in_text(text)

    @tf.function(autograph=False, input_signature=ids())
    def find_replaced_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return finder.find_in_ids(token_ids, lengths)

    return {"serving_default": find_replaced, "find_replaced_ids": find_replaced_ids}


def options(*left_out: str) -> list[tf.TensorSpec]:
    """What each row of a generation may ask for."""
    dtypes = generation.OPTION_DTYPES._asdict()
    return [rows(dtype, name) for name, dtype in dtypes.items() if name not in left_out]


def greedy(strings: Tensor, max_new_tokens: int) -> generation.Options:
    """What rows ask for that take the likeliest token."""
    return generation.greedy_options(tf.fill([tf.size(strings)], max_new_tokens))


def with_options(
    answer: Callable[..., Any], inputs: list[tf.TensorSpec], structure: Structure
) -> Any:
    """A signature of these inputs and the options."""
    first = len(inputs)

    def asked(*given: Tensor) -> dict[str, Tensor]:
        of_rows = generation.Options(*given[first:])
        return answer(*given[:first], of_rows, structure)

    return tf.function(asked, autograph=False, input_signature=[*inputs, *options()])


# What a beam search does not read.
_DRAWS = ("temperature", "top_k", "top_p", "min_p", "seed")


def with_beams(
    search: Callable[..., Any], text: str, structure: Structure, early_stopping: bool | str
) -> Signatures:
    """The signature `beam_search`, with the options that do not draw; if there are beams."""
    if structure.num_beams == 1:
        return {}
    specs = options(*_DRAWS)
    names = [spec.name for spec in specs]
    (code,) = generation.validate_beam_options(1, early_stopping=early_stopping).early_stopping

    def asked(text: Tensor, *given: Tensor) -> dict[str, Tensor]:
        of_rows = dict(zip(names, given[:-1], strict=True))
        whole = generation.greedy_options(of_rows["max_new_tokens"])._replace(**of_rows)
        beams = generation.BeamOptions(given[-1], tf.fill([tf.size(text)], int(code)))
        return search(text, whole, beams, structure)

    inputs = [rows("string", text), *specs, rows("float32", "length_penalty")]
    return {"beam_search": tf.function(asked, autograph=False, input_signature=inputs)}


def in_chunks(generator: Any, structure: Structure, text: str, answer: str) -> Signatures:
    """Signatures for an engine, see `keras_lm.models.chunks`.

    `prefill`, `prefill_ids`, `decode_chunk` and `join_states`.

    Args:
        generator: a `Continuation` with `asked_text` and `asked_ids`.
        structure: of one beam.
        text: the name of what is read.
        answer: the name of what is answered.
    """
    chunks = Chunks(generator, structure, answer)

    def prefill(*asked: Any) -> dict[str, Tensor]:
        return chunks.first(generator.asked_text(*asked))

    def prefill_ids(*asked: Any) -> dict[str, Tensor]:
        return chunks.first(generator.asked_ids(*asked))

    specs = chunks.specs()
    names = [spec.name for spec in specs]

    def decode_chunk(num_tokens: Tensor, *state: Tensor) -> dict[str, Tensor]:
        return chunks.next(dict(zip(names, state, strict=True)), num_tokens)

    def join_states(
        num_tokens: Tensor, rows: Tensor, other_rows: Tensor, *states: Tensor
    ) -> dict[str, Tensor]:
        state, other = (
            dict(zip(names, part, strict=True))
            for part in (states[: len(names)], states[len(names) :])
        )
        return chunks.join(state, rows, other, other_rows, num_tokens)

    number = tf.TensorSpec([], "int32", "num_tokens")
    others = [tf.TensorSpec(spec.shape, spec.dtype, f"other_{spec.name}") for spec in specs]
    which = [rows("int32", "rows"), rows("int32", "other_rows")]
    return {
        "prefill": with_options(prefill, [rows("string", text)], structure),
        "prefill_ids": with_options(prefill_ids, ids(), structure),
        "decode_chunk": tf.function(
            decode_chunk, autograph=False, input_signature=[number, *specs]
        ),
        "join_states": tf.function(
            join_states, autograph=False, input_signature=[number, *which, *specs, *others]
        ),
    }


def generation_signatures(
    model: Any,
    tokenizer: Any,
    max_new_tokens: int,
    structure: Structure = PLAIN,
    early_stopping: bool | str = False,
) -> Signatures:
    """Signatures of a causal LM."""
    generator = made_once(TextGenerator, model, tokenizer)
    scorer = made_once(TextScorer, model, tokenizer)
    whole = structure._replace(num_beams=1)
    # Beams take no proposals, and what is taken in chunks is read token by token.
    structure = structure._replace(proposals=None)
    alone = whole._replace(proposals=None)

    @tf.function(autograph=False, input_signature=[rows("string", "prompt")])
    def complete(prompt: Tensor) -> dict[str, Tensor]:
        return generator.answer_text(prompt, greedy(prompt, max_new_tokens), whole)

    @tf.function(autograph=False, input_signature=ids())
    def score_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return scorer.score_tokens(token_ids, lengths)

    @tf.function(autograph=False, input_signature=ids())
    def detokenize(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        real_BT = tf.sequence_mask(lengths, tf.shape(token_ids)[1])
        real_BT &= (token_ids >= 0) & (token_ids < tokenizer.vocab_size)
        token_ids = tf.where(real_BT, token_ids, -1)
        piece_BT = tf.gather(tokenizer.token_bytes, tf.maximum(token_ids, 0))
        return {
            "text": tokenizer.detokenize(token_ids),
            "tokens": tf.where(real_BT, piece_BT, ""),
        }

    return {
        "serving_default": complete,
        "generate": with_options(generator.answer_text, [rows("string", "prompt")], whole),
        "generate_ids": with_options(generator.answer_ids, ids(), whole),
        "score": scorer.score,
        "score_ids": score_ids,
        "detokenize": detokenize,
        **with_beams(generator.search_text, "prompt", structure, early_stopping),
        **in_chunks(generator, alone, "prompt", "completion"),
    }


def text_classifier_signatures(model: Any, tokenizer: Any, pairs: bool) -> Signatures:
    """Signatures of a text classifier."""
    labels = made_once(TextLabels, model, tokenizer)
    texts = [rows("string", "text")]
    answer_text, answer_ids = labels.of_text, labels.of_ids
    if pairs:
        texts.append(rows("string", "text_pair"))
        answer_text, answer_ids = labels.of_pair, labels.of_pair_ids

    is_regression = model.problem == "regression"

    def named(answer: dict[str, Tensor]) -> dict[str, Tensor]:
        """Says whose the scores are."""
        if is_regression:
            return answer
        classes_1C = tf.constant([model.labels])
        return {**answer, "classes": tf.tile(classes_1C, [tf.shape(answer["scores"])[0], 1])}

    @tf.function(autograph=False, input_signature=texts)
    def label(text: Tensor, *text_pair: Tensor) -> dict[str, Tensor]:
        return named(answer_text(text, *text_pair))

    @tf.function(autograph=False, input_signature=ids())
    def classify_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return named(answer_ids(token_ids, lengths))

    def of_examples(inputs: Tensor) -> dict[str, Tensor]:
        # Where a feature is missing, "": no row makes the others fail.
        features = {spec.name: tf.io.FixedLenFeature([], tf.string, "") for spec in texts}
        found = tf.io.parse_example(inputs, features)
        return named(answer_text(*(found[spec.name] for spec in texts)))

    @tf.function(autograph=False, input_signature=[rows("string", "inputs")])
    def classify(inputs: Tensor) -> dict[str, Tensor]:
        found = of_examples(inputs)
        return {"classes": found["classes"], "scores": found["scores"]}

    @tf.function(autograph=False, input_signature=[rows("string", "inputs")])
    def regress(inputs: Tensor) -> dict[str, Tensor]:
        return {"outputs": of_examples(inputs)["scores"][:, 0]}

    found = {"serving_default": label, "classify_ids": classify_ids}
    if not is_regression:
        return {**found, "classify": classify}
    # Regress answers one number a row.
    return {**found, "regress": regress} if len(model.labels) == 1 else found


def token_classifier_signatures(model: Any, tokenizer: Any) -> Signatures:
    """Signatures of a token classifier."""
    entities = made_once(TextEntities, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def find_entities(text: Tensor) -> dict[str, Tensor]:
        return entities.in_text(text)

    @tf.function(autograph=False, input_signature=ids())
    def tag_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return entities.of_ids(token_ids, lengths)

    return {"serving_default": find_entities, "tag_ids": tag_ids}


def text_embedder_signatures(model: Any, tokenizer: Any) -> Signatures:
    """Signatures of a text embedder."""
    embeddings = made_once(TextEmbeddings, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def embed(text: Tensor) -> dict[str, Tensor]:
        return embeddings.of_text(text)

    @tf.function(autograph=False, input_signature=ids())
    def embed_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return embeddings.of_ids(token_ids, lengths)

    return {"serving_default": embed, "embed_ids": embed_ids}


# What a question is answered with; a threshold is looked for elsewhere.
_ANSWERED = ("answer", "score", "start", "end", "status")


def question_answering_signatures(model: Any, tokenizer: Any) -> Signatures:
    """Signatures of a model that answers questions."""
    found = made_once(TextAnswers, model, tokenizer)
    texts = [rows("string", "question"), rows("string", "context")]

    @tf.function(autograph=False, input_signature=texts)
    def answer(question: Tensor, context: Tensor) -> dict[str, Tensor]:
        whole = found.in_text(question, context)
        return {name: whole[name] for name in _ANSWERED}

    @tf.function(autograph=False, input_signature=ids())
    def answer_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return found.of_ids(token_ids, lengths)

    return {"serving_default": answer, "answer_ids": answer_ids}


def search_signatures(index: Any, tokenizer: Any, top_k: int) -> Signatures:
    """Signatures of an index of texts."""
    search = made_once(TextSearch, index, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def find(text: Tensor) -> dict[str, Tensor]:
        return search.of_text(text, top_k)

    @tf.function(autograph=False, input_signature=ids())
    def find_ids(token_ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        return search.of_ids(token_ids, lengths, top_k)

    return {"serving_default": find, "search_ids": find_ids}


def text_to_text_signatures(
    model: Any,
    tokenizer: Any,
    max_new_tokens: int | None,
    structure: Structure = PLAIN,
    early_stopping: bool | str = False,
) -> Signatures:
    """Signatures of an encoder and a decoder."""
    generator = made_once(TextToText, model, tokenizer)
    scorer = made_once(PairScorer, model, tokenizer)
    alone = structure._replace(num_beams=1)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def answer(text: Tensor) -> dict[str, Tensor]:
        asked = None if max_new_tokens is None else greedy(text, max_new_tokens)
        return generator.answer_text(text, asked, alone)

    return {
        "serving_default": answer,
        "generate": with_options(generator.answer_text, [rows("string", "text")], alone),
        "generate_ids": with_options(generator.answer_ids, ids(), alone),
        "score": scorer.score,
        **with_beams(generator.search_text, "text", structure, early_stopping),
        **in_chunks(generator, alone, "text", "target"),
    }


def target_signatures(model: Any, tokenizer: Any) -> Signatures:
    """Signatures of a translator or a summarizer, which decode as the task says."""
    targets = made_once(TextTargets, model, tokenizer)
    scorer = made_once(PairScorer, model, tokenizer)

    @tf.function(autograph=False, input_signature=[rows("string", "text")])
    def answer(text: Tensor) -> dict[str, Tensor]:
        return targets.of_text(text)

    return {"serving_default": answer, "score": scorer.score}
