"""Hold a SavedModel against the model it was exported from."""

import argparse
import pathlib

_SHOWN = 20
_TEXTS = ("This is an example.", "", "Füße 漢字 🎉", "A much longer text: " + "word " * 2_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("path", help="one version of a SavedModel, e.g. saved_models/gpt/1")
    parser.add_argument("--model", required=True, help="what keras_lm.load takes: a path or a name")
    parser.add_argument("--texts", help="a file with a text a line; default: four texts")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        help="round the model to it first; default: as loaded, so that what an export's own dtype "
        "costs is among the differences",
    )
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of numbers; default 1e-4")


def run(options: argparse.Namespace) -> int:
    """Prints the differences; the exit status is 1 where there are any."""
    texts = list(_TEXTS)
    if options.texts is not None:
        texts = pathlib.Path(options.texts).read_text("utf-8").splitlines()
        if not texts:
            raise ValueError(f"--texts must be a file with texts. Received: {options.texts}")
    from keras_lm.checkpoints import load  # TensorFlow takes seconds to import.
    from keras_lm.serving.recasting import recast
    from keras_lm.serving.verification import verify

    model = load(options.model)
    if options.dtype is not None:
        model = recast(model, options.dtype)
    try:
        found = verify(options.path, model, texts, tolerance=options.tolerance)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    for difference in found.differences[:_SHOWN]:
        print(
            f"{difference.signature} {difference.output} of {difference.text!r:.60}: "
            f"model {difference.model!r:.200}, export {difference.export!r:.200}"
        )
    if len(found.differences) > _SHOWN:
        print(f"and {len(found.differences) - _SHOWN} more")
    for name, far in found.largest.items():
        print(f"{name}: {found.texts} texts, numbers at most {far:.1e} apart")
    print(f"{len(found.differences)} differences")
    return 1 if found.differences else 0
