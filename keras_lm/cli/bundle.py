"""Write the files with which TensorFlow Serving serves a directory of models."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("directory", help="of the models, e.g. saved_models")
    parser.add_argument("--output", help="default: DIRECTORY/deployment")
    parser.add_argument("--image", help="of TensorFlow Serving; default tensorflow/serving:2.20.0")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")


def run(options: argparse.Namespace) -> int:
    """Writes the bundle; prints where it is."""
    from keras_lm.serving.bundle import IMAGE, bundle  # TensorFlow takes seconds to import.

    image = IMAGE if options.image is None else options.image
    print(bundle(options.directory, options.output, image=image, overwrite=options.overwrite))
    return 0
