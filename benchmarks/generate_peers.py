"""Who generates in `bench_generate.py`: each peer in a process of its own, told what to do.

Every peer has the shape of GPT-2 124M with random weights, float32, and as many threads as the
machine has cores. A peer that is not installed says so.
"""

import contextlib
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import operation_profile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PROFILE = "profile"

VOCAB_SIZE, WIDTH, LAYERS, HEADS, FEED_FORWARD, MAX_LENGTH = 50_257, 768, 12, 12, 3_072, 1_024
WEIGHTS = 124_439_808
_BEAMS = 4
# One token of the exported vocabulary, and how byte-level BPE writes a space.
_WORD, _SPACE = " b", "\u0120"
# Options of a signature that 0 does not turn off.
_ONE_IS_OFF = ("top_p", "repetition_penalty", "length_penalty")
_BANDWIDTH_ROWS, _BANDWIDTH_COLUMNS = 768, 162_816  # 500 MB


class Case(NamedTuple):
    """What is generated.

    Attributes:
        prompts: tokens of each prompt.
        new_tokens: for each row.
        num_beams: 1: greedy.
    """

    prompts: tuple[int, ...]
    new_tokens: int
    num_beams: int = 1

    def rows(self, shift: int = 0) -> list[list[int]]:
        """Ids of the prompts."""
        return [
            [(7 * place + 31 * row + shift) % 50_000 for place in range(length)]
            for row, length in enumerate(self.prompts)
        ]

    def padded(self, on_the_left: bool = False) -> tuple[Any, Any]:
        """Ids and mask of the prompts, int32 and bool `(B, T)`."""
        import numpy as np

        longest = max(self.prompts)
        ids = np.zeros((len(self.prompts), longest), np.int32)
        mask = np.zeros_like(ids, bool)
        for i, row in enumerate(self.rows()):
            place = slice(longest - len(row), None) if on_the_left else slice(len(row))
            ids[i, place], mask[i, place] = row, True
        return ids, mask


Generate = Callable[[Case], Any]  # gives new ids, (B, N) or nested lists


def ours() -> Generate:
    """`GPT.generate` from ids."""
    import keras_lm

    model = keras_lm.GPT()
    model.build()

    def generate(case: Case) -> Any:
        rows = case.rows()
        found = model.generate(rows, max_new_tokens=case.new_tokens, **_beams(case))
        return [text[len(row) :] for row, text in zip(rows, found, strict=True)]

    return generate


def _beams(case: Case) -> dict[str, int]:
    return {} if case.num_beams == 1 else {"num_beams": case.num_beams}


def exported() -> Generate:
    """The SavedModel of the same, loaded by TensorFlow alone."""
    import numpy as np
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.executable, __file__, directory], check=True)
        loaded = tf.saved_model.load(str(pathlib.Path(directory) / "1"))

    def ask(name: str, case: Case, **inputs: Any) -> dict[str, Any]:
        """Asks a signature; what a row may ask for besides is off."""
        size = len(case.prompts)
        signature = loaded.signatures[name]
        off = {
            key: tf.fill([size], tf.cast(key in _ONE_IS_OFF, spec.dtype))
            for key, spec in signature.structured_input_signature[1].items()
            if spec.dtype != tf.string
        }
        limit = tf.fill([size], case.new_tokens)
        return signature(**{**off, "max_new_tokens": limit, **inputs})

    def generate(case: Case) -> Any:
        if case.num_beams == _BEAMS:
            texts = tf.constant([_WORD * length for length in case.prompts])
            counts = ask("beam_search", case, prompt=texts)["count"].numpy()[:, 0]
            return [[0] * count for count in counts]
        ids, mask = case.padded()
        lengths = tf.constant(mask.sum(1, dtype=np.int32))
        found = ask("generate_ids", case, token_ids=tf.constant(ids), lengths=lengths)
        ids, counts = found["token_ids"].numpy(), found["count"].numpy()
        return [row[:count].tolist() for row, count in zip(ids, counts, strict=True)]

    return generate


def write_export(directory: str) -> None:
    """Writes what `exported` loads."""
    from tokenizers.pre_tokenizers import ByteLevel

    import keras_lm

    # As many tokens as GPT-2 has, and `_WORD` is one of them; what they are makes no difference.
    letters = sorted(ByteLevel.alphabet(), key=lambda letter: (letter != _SPACE, letter))
    merges = [(a, b) for a in letters for b in letters][: VOCAB_SIZE - len(letters) - 1]
    tokens = [*letters, *("".join(pair) for pair in merges), "<|endoftext|>"]
    tokenizer = keras_lm.tokenizers.ByteBPE({token: i for i, token in enumerate(tokens)}, merges)
    model = keras_lm.GPT(tokenizer=tokenizer)
    model.build()
    keras_lm.export(model, directory, num_beams=_BEAMS)


def keras_nlp(jit_compile: bool) -> Generate:
    """`GPT2CausalLM.generate`."""
    import keras_nlp as library
    import numpy as np

    backbone = library.models.GPT2Backbone(
        vocabulary_size=VOCAB_SIZE,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        intermediate_dim=FEED_FORWARD,
        max_sequence_length=MAX_LENGTH,
    )
    models: dict[int, Any] = {}

    def generate(case: Case, warm: bool = False) -> Any:
        if case.num_beams not in models:
            model = library.models.GPT2CausalLM(backbone, preprocessor=None)
            sampler: Any = "greedy"
            if case.num_beams > 1:
                sampler = library.samplers.BeamSampler(num_beams=case.num_beams)
            model.compile(sampler=sampler, jit_compile=jit_compile)
            models[case.num_beams] = model
        ids, mask = case.padded()
        # It walks from the end of the shortest prompt: where all are long, a graph is quickly
        # warm.
        mask = np.ones_like(mask) if warm else mask
        room = [(0, 0), (0, case.new_tokens)]
        found = models[case.num_beams].generate(
            {"token_ids": np.pad(ids, room), "padding_mask": np.pad(mask, room)},
            stop_token_ids=None,
        )
        ids = np.asarray(found["token_ids"])
        return [ids[i, n : n + case.new_tokens].tolist() for i, n in enumerate(case.prompts)]

    return generate


def transformers() -> Generate:
    """`GPT2LMHeadModel.generate` on torch."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(os.cpu_count() or 1)
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=None, eos_token_id=None)).eval()

    def generate(case: Case) -> Any:
        ids, mask = map(torch.from_numpy, case.padded(on_the_left=True))
        with torch.inference_mode():
            found = model.generate(
                ids.long(),
                attention_mask=mask.long(),
                max_new_tokens=case.new_tokens,
                num_beams=case.num_beams,
                do_sample=False,
                pad_token_id=0,
            )
        return found[:, ids.shape[1] :].tolist()

    return generate


def bandwidth() -> Callable[[], float]:
    """Reads 500 MB by a product with one row; gives GB/s."""
    import tensorflow as tf

    table = tf.Variable(tf.ones([_BANDWIDTH_ROWS, _BANDWIDTH_COLUMNS]))
    row = tf.ones([1, _BANDWIDTH_ROWS])

    @tf.function
    def read() -> tf.Tensor:
        return tf.reduce_max(tf.matmul(row, table))

    def measure() -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            read().numpy()
            times.append(time.perf_counter() - begin)
        return 4e-9 * _BANDWIDTH_ROWS * _BANDWIDTH_COLUMNS / min(times)

    return measure


PEERS: dict[str, Callable[[], Any]] = {
    "ours": ours,
    "ours exported": exported,
    "keras-nlp": lambda: keras_nlp(False),
    "keras-nlp XLA": lambda: keras_nlp(True),
    "transformers": transformers,
}


def versions() -> dict[str, str]:
    """Of everything that is installed of what generates."""
    from importlib import metadata

    found = {}
    for name in ("tensorflow", "keras", "keras-nlp", "torch", "transformers"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


class Peer:
    """A process that generates when it is asked to.

    Args:
        name: of `PEERS`, or "bandwidth".

    Raises:
        ImportError: it is not installed.
    """

    def __init__(self, name: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(name, theirs), daemon=True)
        self._process.start()
        error = self._pipe.recv()
        if error:
            raise ImportError(error)

    def ask(self, *what: Any) -> Any:
        """Seconds of a case, or what else the peer tells."""
        self._pipe.send(what)
        answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def profile(self, case: Case) -> dict[str, Any]:
        """Where the time of a case goes, see `operation_profile`; an error as what it says."""
        try:
            return self.ask(case, PROFILE)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def end(self) -> None:
        """Ends the process."""
        self._pipe.send(None)
        self._process.join()


def _serve(name: str, pipe: Connection) -> None:
    try:
        act = bandwidth() if name == "bandwidth" else PEERS[name]()
    except ImportError as error:
        pipe.send(str(error))
        return
    pipe.send("")
    while (asked := pipe.recv()) is not None:
        try:
            if PROFILE in asked:
                case = asked[0]
                pipe.send(operation_profile.profile(lambda case=case: act(case), case.new_tokens))
            else:
                pipe.send(_seconds(act, *asked) if asked else act())
        except Exception as error:
            pipe.send(error)


def _seconds(generate: Generate, case: Case, *options: Any) -> float:
    begin = time.perf_counter()
    found = generate(case, *options)
    seconds = time.perf_counter() - begin
    lengths = [len(row) for row in found]
    if lengths != [case.new_tokens] * len(case.prompts):
        raise ValueError(f"Every row must have {case.new_tokens} new tokens. Received: {lengths}")
    return seconds


if __name__ == "__main__":
    write_export(sys.argv[1])
