"""Continue prompts, or give the targets of sources."""

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras_lm.load takes: a path or a name")
    parser.add_argument("prompt", nargs="+", help="one or more texts; quote each")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        help="default: 50, of a Transformer 50 more than the source; or as many as fit",
    )
    parser.add_argument("-n", "--num-return-sequences", type=int, default=1)
    parser.add_argument(
        "--temperature",
        type=float,
        help="0 is greedy; default: 1 if something else asks for sampling, else 0",
    )
    parser.add_argument("--top-k", type=int, default=0, help="draw from the likeliest; 0: from all")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from this probability")
    parser.add_argument("--min-p", type=float, default=0.0, help="draw from what is so likely")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="1 is off")
    parser.add_argument("--no-repeat-ngram-size", type=int, default=0, help="0 is off")
    parser.add_argument("--num-beams", type=int, default=1, help="above 1: beam search")
    parser.add_argument("--length-penalty", type=float, help="of a beam search; default: 1")
    parser.add_argument(
        "--prompt-lookup-num-tokens",
        type=int,
        default=0,
        help="propose so many tokens that followed the newest before; 0 is off",
    )
    parser.add_argument("--draft-model", help="a smaller GPT that proposes tokens")
    parser.add_argument("--num-draft-tokens", type=int, help="how many; default: 4")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--stop", action="append", default=[], help="end at this text; repeatable")
    parser.add_argument("--stream", action="store_true", help="print what comes as it comes")


def run(options: argparse.Namespace) -> int:
    """Generates; prints each text, separated by lines of dashes."""
    from keras_lm.checkpoints import load  # TensorFlow takes seconds to import.

    model = load(options.model)
    if not hasattr(model, "generate"):
        raise ValueError(
            f"generate takes a GPT or a Transformer. Received: a {type(model).__name__}"
        )
    wanted = {name: value for name, value in vars(options).items() if name not in _OURS}
    if options.draft_model is not None:
        wanted["draft_model"] = load(options.draft_model)
    if options.stream:
        return _stream(model, options.prompt, wanted)
    found = model.generate(options.prompt, **wanted)
    texts = [text for row in found for text in ([row] if isinstance(row, str) else row)]
    print("\n--------\n".join(texts))
    return 0


def _stream(model: Any, prompts: list[str], wanted: dict[str, Any]) -> int:
    if wanted.pop("num_return_sequences") != 1 or len(prompts) != 1:
        raise ValueError(
            "--stream takes one prompt and gives one text. "
            f"Received: {len(prompts)} prompts, or --num-return-sequences"
        )
    for piece in model.stream(prompts[0], **wanted):
        print(piece, end="", flush=True)
    print()
    return 0


_OURS = ("model", "prompt", "run", "stream")
