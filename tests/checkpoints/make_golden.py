"""Writes golden/*.zip: a model's directory as Transformers writes it, inputs and outputs.

python tests/checkpoints/make_golden.py [NAME]

Needs the extra `parity`. Made with transformers 5.23.0 and torch 2.13.0.
"""

import io
import pathlib
import sys
import tempfile
import zipfile

import numpy as np

HERE = pathlib.Path(__file__).parent / "golden"


def write(name, directory, inputs, outputs):
    """Packs a directory and what was computed; the same bytes at every run."""
    files = {path.name: path.read_bytes() for path in pathlib.Path(directory).iterdir()}
    buffer = io.BytesIO()
    arrays = {f"input/{key}": np.asarray(value) for key, value in inputs.items()}
    arrays |= {f"output/{key}": np.asarray(value) for key, value in outputs.items()}
    np.savez(buffer, **arrays)
    files["expected.npz"] = buffer.getvalue()
    with zipfile.ZipFile(HERE / f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as pack:
        for file, content in sorted(files.items()):
            pack.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED)


def main():
    import parity_models  # PyTorch: the TensorFlow models are packed without it.

    HERE.mkdir(exist_ok=True)
    for name, (architecture, sizes) in parity_models.GOLDEN.items():
        if sys.argv[1:] not in ([], [name]):
            continue
        model = parity_models.make(architecture, sizes)
        inputs = parity_models.inputs_for(model)
        outputs = parity_models.outputs_of(model, inputs)
        with tempfile.TemporaryDirectory() as directory:
            model.save_pretrained(directory)
            write(name, directory, inputs, outputs)


if __name__ == "__main__":
    main()
