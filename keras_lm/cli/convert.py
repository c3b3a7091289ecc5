"""Write a model as a Hugging Face directory."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "model",
        help="a .keras file, a directory of Hugging Face's, Google's or keras-nlp's, or a name",
    )
    parser.add_argument("directory", help="where to write; the files of others in it stay")
    parser.add_argument("--task", help='other heads than the model says: "masked_lm", "backbone"')
    parser.add_argument(
        "--labels",
        help='of a task, the name of class 0 first: "negative,positive"; or the number of classes',
    )
    parser.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="of the weights"
    )
    parser.add_argument(
        "--merge-lora", action="store_true", help="of adapters: the whole model with them added"
    )
    parser.add_argument("--max-shard-size", default="5GB", help="of a file; default: 5GB")


def run(options: argparse.Namespace) -> int:
    """Converts; prints the directory."""
    from keras_lm.checkpoints import load, save  # TensorFlow takes seconds to import.

    labels = options.labels
    if labels is not None:
        labels = int(labels) if labels.isdecimal() else labels.split(",")
    model = load(options.model, options.task, labels=labels)
    path = save(
        model,
        options.directory,
        dtype=options.dtype,
        max_shard_size=options.max_shard_size,
        lora="merged" if options.merge_lora else "adapters",
    )
    print(path)
    return 0
