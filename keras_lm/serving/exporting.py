"""Writes a model as a SavedModel: strings in, answers out, nothing but TensorFlow behind it."""

import dataclasses
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from keras_lm import generation
from keras_lm.models import ELECTRAPretrainer
from keras_lm.models.continuation import PLAIN, Structure
from keras_lm.models.generation_request import as_stops
from keras_lm.models.prompts import DEFAULT_NEW_TOKENS
from keras_lm.models.speculation import as_proposals
from keras_lm.serving.extra_files import write_extra_files
from keras_lm.serving.recasting import recast
from keras_lm.serving.signatures import (
    METHODS,
    Signatures,
    fill_mask_signatures,
    find_replaced_signatures,
    generation_signatures,
    question_answering_signatures,
    search_signatures,
    target_signatures,
    text_classifier_signatures,
    text_embedder_signatures,
    text_to_text_signatures,
    token_classifier_signatures,
)
from keras_lm.tasks import (
    QuestionAnswering,
    SearchIndex,
    TextClassifier,
    TextEmbedder,
    TokenClassifier,
)
from keras_lm.tasks.target_task import TargetTask
from keras_lm.training import LanguageModel

_NEVER_CHANGED = "A version is never changed."


def export(
    model: LanguageModel | SearchIndex,
    directory: str | os.PathLike,
    *,
    version: int | None = None,
    top_k: int = 5,
    max_new_tokens: int | None = None,
    pairs: bool = False,
    num_beams: int = 1,
    early_stopping: bool | str = False,
    rules: generation.Rules | None = None,
    stop: str | Sequence[str] = (),
    return_scores: bool = False,
    prompt_lookup_num_tokens: int = 0,
    dtype: str | None = None,
    extra_files: bool = True,
    about: str | None = None,
    warmup_batch_sizes: Sequence[int] = (1, 8),
) -> pathlib.Path:
    """Writes `directory/<version>/`, the layout that TensorFlow Serving watches.

    The directory appears under its name when it is whole. Beside the model there is
    `assets.extra/`: `signatures.json` with a question to each signature and its answer, which were
    asked here; `README.md`, a card; `tf_serving_warmup_requests`, what a server asks a version
    before it serves it. Signatures, B the batch:

    | signature | inputs | outputs |
    |---|---|---|
    | of a masked LM | | |
    | `serving_default` | `text` | `tokens`, `scores`, `count`, `status` |
    | `fill_mask_ids` | `token_ids`, `lengths` | the same |
    | of a discriminator | | |
    | `serving_default` | `text` | `tokens`, `scores`, `count`, `status` |
    | `find_replaced_ids` | `token_ids`, `lengths` | the same, of all ids given |
    | of a causal LM | | |
    | `serving_default` | `prompt` | `text`, `completion`, `count`, `status`; greedy |
    | `generate` | `prompt` and the options | the same |
    | `generate_ids` | `token_ids`, `lengths` and the options | `token_ids`, `count`, `status` |
    | `score` | `text` | the fields of `keras_lm.models.scoring.Scores`, `status` |
    | `beam_search` | `prompt` and the options | `text`, `completion`, `scores`, `count`, `status` |
    | of an encoder and a decoder | | |
    | `serving_default` | `text` | `target`, `count`, `status`; greedy |
    | `generate` | `text` and the options | the same |
    | `generate_ids` | `token_ids`, `lengths` and the options | `token_ids`, `count`, `status` |
    | `score` | `text`, `target` | the fields of `Scores`, `status` |
    | `beam_search` | `text` and the options | `target`, `scores`, `count`, `status` |
    | of a text classifier | | |
    | `serving_default` | `text`; of `pairs` also `text_pair` | `label`, `classes`, `scores`, ... |
    | `classify_ids` | `token_ids`, `lengths` | the same |
    | `classify` | `inputs` | `classes`, `scores`: for TensorFlow Serving's Classify |
    | `regress` | `inputs` | `outputs`: for its Regress |
    | of a token classifier | | |
    | `serving_default` | `text` | `entities`, `types`, `starts`, `ends`, `scores`, `count`, ... |
    | `tag_ids` | `token_ids`, `lengths` | `tags`, `scores`, `count`, `status` |
    | of a text embedder | | |
    | `serving_default` | `text` | `embedding`, `status` |
    | `embed_ids` | `token_ids`, `lengths` | the same |
    | of question answering | | |
    | `serving_default` | `question`, `context` | `answer`, `score`, `start`, `end`, `status` |
    | `answer_ids` | `token_ids`, `lengths` | `start`, `end`, `score`, `status`, by tokens |
    | of an index of texts | | |
    | `serving_default` | `text` | `texts`, `scores`, `status` |
    | `search_ids` | `token_ids`, `lengths` | the same |
    | of a translator | | |
    | `serving_default` | `text` | `translation`, `count`, `status`; decoded as the task says |
    | `score` | `text`, `target` | the fields of `Scores`, `status` |
    | of a summarizer | | |
    | the same | | with `summary` in the place of `translation` |

    `text`, `prompt`, `completion`, `target`: string `(B,)`. `token_ids`: int32 `(B, T)`, padded on
    the right; answers with -1. `lengths`: int32 `(B,)`. The options, each `(B,)`, are the fields of
    `keras_lm.generation.Options`; of a beam search those that do not draw, and float32
    `length_penalty`. What it answers is `(B, num_beams)`, the best first; its `scores` are those of
    `keras_lm.generation.Beams`. Of a masked LM `tokens` are string `(B, P, k)`, for each mask the
    likeliest first, and `scores` float32 `(B, P, k)`, their probabilities. Of a discriminator
    `tokens` are string `(B, T)`, those of the text, and `scores` float32 `(B, T)`, the probability
    of each that it was replaced. Behind a row's last one stand "" and -1. `count`: int32 `(B,)`,
    masks, tokens, new tokens or labels. `status`: int32 `(B,)`.

    Of a text classifier `label` is string `(B,)`, `scores` float32 `(B, C)`, the probabilities in
    the order of the model's `labels`, which stand in each row of `classes`, string `(B, C)`. Where
    a text may have several labels, there are `labels` string `(B, L)`, those of a probability of at
    least 0.5, likeliest first, and `count` in place of `label`; of a regression there are `scores`
    alone, the numbers. `inputs` are string `(B,)`, serialized `tf.Example` messages with a feature
    `text`, of pairs also `text_pair`; `outputs` float32 `(B,)`; `regress` is there where a
    regression has one number. Of a token classifier `entities` and `types` are string `(B, M)`,
    `starts` and `ends`, in characters, int32 `(B, M)`,
    `scores` float32 `(B, M)`; `tags` string `(B, T)`.
    `embedding` is float32 `(B, D)`. `answer` is string `(B,)`, `score` float32 `(B,)`, its
    probability, `start` and `end` int32 `(B,)`, in characters; "" and -1 where the context has no
    answer. Of an index `texts` are string `(B, k)`, the most alike first, `scores` float32 `(B,
    k)`, their cosines.

    No row can make a request fail: options are brought into range, what is too long is cut, and
    `status` says so, see `keras_lm.models.limits` and `keras_lm.generation.Status`. 0: as asked.

    Args:
        model: a built model with a tokenizer and a head, or a `SearchIndex`. With several heads
            the first one of `"masked_lm"`, `"replaced_token"` and `"causal_lm"` answers. LoRA's
            adapters are added to the kernels, see `merge_lora`.
        directory: one directory for all versions of the model.
        version: a positive number. None: the highest that is there and 1.
        top_k: of a masked LM, how many fillings of each mask to answer; of an index, how many
            texts.
        max_new_tokens: how many tokens `serving_default` generates at most. None: 50, or of an
            encoder and a decoder 50 more than the text has; but as many as the model has room for.
        pairs: of a text classifier, whether it takes pairs of texts. Then in rows of ids what
            stands behind the first separator is the second text.
        num_beams: of a model that generates; above 1 there is a signature `beam_search`.
        early_stopping: of that: True, False or `"never"`, see `keras_lm.generation.EarlyStopping`.
        rules: `keras_lm.generation.Rules` for everything that is generated.
        stop: a text or texts at which everything that is generated ends; they are not part of it,
            but their tokens are among the ids and count.
        return_scores: of a model that generates: `serving_default`, `generate` and `generate_ids`
            also answer `log_probs` float32 `(B, N)`, the log-probability of each new token in the
            softmax of the model's own logits, that of an end token behind them, then 0; and `score`
            float32 `(B,)`, their sum. A look at every logit of every token.
        prompt_lookup_num_tokens: of a `GPT`: with how many proposed tokens at most in each pass
            `serving_default`, `generate` and `generate_ids` answer; 0: none. The answers stay the
            same, see `keras_lm.generation.PromptLookup`.
        dtype: of the weights in the file, which the export computes in: "float32", "bfloat16" or
            "float16". None: the model's. bfloat16 takes half the space, and is fast where the
            processor multiplies it; what it costs, `keras-lm verify` and `keras-lm evaluate` tell.
        extra_files: whether there is `assets.extra/`.
        about: for its card: the data and the scores of the model, and its limits.
        warmup_batch_sizes: rows of the requests for warming up, each with short and with long
            texts.

    Returns:
        The path of the version.

    Raises:
        ValueError: the model has no weights yet, no tokenizer or no head that can be exported; a
            number out of range.
        FileExistsError: the version is there already; versions are never changed.
    """
    options: dict[str, Any] = {
        "top_k": top_k,
        "max_new_tokens": max_new_tokens,
        "pairs": pairs,
        "num_beams": num_beams,
        "early_stopping": early_stopping,
        "rules": None if rules is None else dataclasses.asdict(rules),
        "stop": as_stops(stop, "prompts", is_text=True),
        "return_scores": return_scores,
        "prompt_lookup_num_tokens": prompt_lookup_num_tokens,
    }
    if isinstance(model, LanguageModel) and model.has_lora:
        model = model.merge_lora()
    if dtype is not None:
        model = recast(model, dtype)
    signatures = signatures_of(model, **options)
    if not all(isinstance(size, int) and size > 0 for size in warmup_batch_sizes):
        raise ValueError(
            f"warmup_batch_sizes must be positive whole numbers. Received: {warmup_batch_sizes!r}"
        )
    if version is not None and version < 1:
        raise ValueError(f"version must be positive. Received: version={version}")
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / str(_next_version(directory) if version is None else version)
    if path.exists():
        raise FileExistsError(f"{_NEVER_CHANGED} Received: {path}, which exists")

    root = tf.Module()
    root.weights = [variable.value for variable in model.variables]
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=".", suffix=".writing", dir=directory))
    try:
        tf.saved_model.save(root, str(temporary), signatures=signatures)
        _name_methods(temporary, signatures)
        if extra_files:
            sizes = list(warmup_batch_sizes)
            name = directory.resolve().name
            write_extra_files(temporary, name, model, signatures, options, about, sizes)
        temporary.chmod(0o755)  # mkdtemp's 0700 would hide it from a server of another user.
        while True:
            try:
                # Fails where somebody else wrote the version meanwhile: a directory that is not
                # empty is never replaced.
                temporary.rename(path)
                break
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                if version is not None:
                    raise FileExistsError(f"{_NEVER_CHANGED} Received: {path}") from error
                path = directory / str(_next_version(directory))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _name_methods(path: pathlib.Path, signatures: Signatures) -> None:
    """Says which signatures are for Classify and Regress; TensorFlow writes Predict for all."""
    named = METHODS.keys() & signatures.keys()
    if named:
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
        for name in sorted(named):
            updater.replace_method_name(name, METHODS[name])
        updater.save()


def _next_version(directory: pathlib.Path) -> int:
    versions = [int(child.name) for child in directory.iterdir() if child.name.isdecimal()]
    return max(versions, default=0) + 1


def signatures_of(
    model: LanguageModel | SearchIndex,
    *,
    top_k: int,
    max_new_tokens: int | None,
    pairs: bool,
    num_beams: int,
    early_stopping: bool | str,
    rules: Mapping[str, Any] | None,
    stop: Sequence[str],
    return_scores: bool,
    prompt_lookup_num_tokens: int,
) -> Signatures:
    """The functions that an export consists of, by name.

    Args:
        model: as of `export`.
        top_k: as of `export`, and so are the others.
        max_new_tokens: as of `export`.
        pairs: as of `export`.
        num_beams: as of `export`.
        early_stopping: as of `export`.
        rules: the fields of `keras_lm.generation.Rules`, as JSON may have them, or None.
        stop: as of `export`.
        return_scores: as of `export`.
        prompt_lookup_num_tokens: as of `export`.

    Raises:
        ValueError: see `export`.
    """
    lookup = {"prompt_lookup_num_tokens": prompt_lookup_num_tokens}
    structure = Structure(
        num_beams,
        generation.Rules(**(rules or {})),
        as_proposals(lookup, model, num_beams=1),
        stop=tuple(as_stops(stop, "prompts", is_text=True)),
        scores=return_scores,
    )
    if not isinstance(model, LanguageModel | SearchIndex):
        raise ValueError(f"export takes a model of keras_lm. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError("A model has no weights before it is built. Received: an unbuilt model")
    if isinstance(model, ELECTRAPretrainer):
        raise ValueError(
            "An ELECTRAPretrainer is for training: export its discriminator or its generator. "
            f"Received: {model.name}"
        )
    if pairs and not isinstance(model, TextClassifier):
        raise ValueError(
            f"pairs are for a TextClassifier. Received: pairs=True, a {type(model).__name__}"
        )
    if structure != PLAIN and not {"causal_lm", "seq2seq"} & set(model.heads):
        raise ValueError(
            "num_beams, rules, stop and return_scores are for a model that generates. "
            f"Received: heads={model.heads}, {structure}"
        )
    if early_stopping is not False and structure.num_beams == 1:
        raise ValueError(
            "early_stopping is for num_beams above 1. "
            f"Received: early_stopping={early_stopping!r}, num_beams=1"
        )
    if isinstance(model, TargetTask):
        if structure != PLAIN or max_new_tokens is not None:
            raise ValueError(
                f"How a {type(model).__name__} decodes is said when it is made. "
                f"Received: max_new_tokens={max_new_tokens}, {structure}"
            )
        return target_signatures(model, model.require_tokenizer("export()"))
    if isinstance(model, TextClassifier):
        return text_classifier_signatures(model, model.require_tokenizer("export()"), pairs)
    if isinstance(model, TokenClassifier):
        return token_classifier_signatures(model, model.require_tokenizer("export()"))
    if isinstance(model, SearchIndex):
        if not 1 <= top_k <= len(model):
            raise ValueError(
                f"top_k must be in 1 .. {len(model)}, the texts of the index. Received: {top_k}"
            )
        return search_signatures(model, model.tokenizer, top_k)
    if isinstance(model, QuestionAnswering):
        return question_answering_signatures(model, model.require_tokenizer("export()"))
    if isinstance(model, TextEmbedder):
        return text_embedder_signatures(model, model.require_tokenizer("export()"))
    if "masked_lm" in model.heads:
        tokenizer = model.require_tokenizer("export()")
        if not 1 <= top_k <= tokenizer.vocab_size:
            raise ValueError(
                f"top_k must be in 1 .. {tokenizer.vocab_size}, the vocabulary. Received: {top_k}"
            )
        return fill_mask_signatures(model, tokenizer, top_k)
    if "replaced_token" in model.heads:
        return find_replaced_signatures(model, model.require_tokenizer("export()"))
    if "causal_lm" in model.heads:
        tokenizer = model.require_tokenizer("export()")
        if max_new_tokens is None:
            max_new_tokens = min(DEFAULT_NEW_TOKENS, model.max_length - 1)
        _check_new_tokens(max_new_tokens, model.max_length - 1)
        _check_structure(structure, tokenizer.vocab_size)
        return generation_signatures(model, tokenizer, max_new_tokens, structure, early_stopping)
    if "seq2seq" in model.heads:
        tokenizer = model.require_tokenizer("export()")
        room = model.max_length - len(model.start_ids)
        _check_new_tokens(1 if max_new_tokens is None else max_new_tokens, room)
        _check_structure(structure, tokenizer.vocab_size)
        return text_to_text_signatures(model, tokenizer, max_new_tokens, structure, early_stopping)
    raise ValueError(
        "What can be exported is a task, a SearchIndex, or has a "
        'head "masked_lm", "replaced_token", "causal_lm" or "seq2seq". '
        f"Received: heads={model.heads}"
    )


def _check_structure(structure: Structure, vocab_size: int) -> None:
    if not 1 <= structure.num_beams <= vocab_size:
        raise ValueError(
            f"num_beams must be in 1 .. {vocab_size}, the vocabulary. "
            f"Received: {structure.num_beams}"
        )
    structure.rules.check_vocabulary(vocab_size)


def _check_new_tokens(max_new_tokens: int, room: int) -> None:
    if not 1 <= max_new_tokens <= room:
        raise ValueError(
            f"max_new_tokens must be in 1 .. {room}, below the model's length. "
            f"Received: {max_new_tokens}"
        )
