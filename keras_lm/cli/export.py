"""Write a SavedModel for TensorFlow Serving."""

import argparse
import pathlib


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("model", help="what keras_lm.load takes: a path or a name")
    parser.add_argument("directory", help="where versions are written, e.g. saved_models/gpt")
    parser.add_argument("--version", type=int, help="default: the highest that is there and 1")
    parser.add_argument("--top-k", type=int, default=5, help="masked LM: fillings of each mask")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        help="length of serving_default; default: 50, of a Transformer 50 more than the text",
    )
    parser.add_argument(
        "--num-beams", type=int, default=1, help="above 1: adds a signature beam_search"
    )
    parser.add_argument(
        "--stop",
        action="append",
        default=[],
        help="end at this text; repeatable",
    )
    parser.add_argument(
        "--return-scores", action="store_true", help="answers come with their log-probabilities"
    )
    parser.add_argument(
        "--prompt-lookup-num-tokens",
        type=int,
        default=0,
        metavar="N",
        help="GPT: at most N tokens are proposed in each pass, out of the text before; default: 0",
    )
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="of the weights, which the export computes in; default: the model's",
    )
    parser.add_argument(
        "--no-extra-files",
        action="store_true",
        help="no examples, no card, nothing to warm up with",
    )
    parser.add_argument("--about", help="a file with what its card says of the model")


def run(options: argparse.Namespace) -> int:
    """Exports; prints the path of the version."""
    about = None if options.about is None else pathlib.Path(options.about).read_text("utf-8")
    from keras_lm.checkpoints import load  # TensorFlow takes seconds to import.
    from keras_lm.serving import export

    path = export(
        load(options.model),
        options.directory,
        version=options.version,
        top_k=options.top_k,
        max_new_tokens=options.max_new_tokens,
        num_beams=options.num_beams,
        stop=options.stop,
        return_scores=options.return_scores,
        prompt_lookup_num_tokens=options.prompt_lookup_num_tokens,
        dtype=options.dtype,
        about=about,
        extra_files=not options.no_extra_files,
    )
    print(path)
    return 0
