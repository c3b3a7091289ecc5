"""Makes `keras_lm/serving/tables/operations.json`: which TensorFlow release knows which operation.

    python tests/serving/make_operations.py [--keep DIRECTORY]

Downloads a wheel of every minor release, 200 MB each, one after the other, and asks the C++ library
in it for its operations; no Python of that release runs. The installed TensorFlow comes last, and
then tensorflow-text, which must be installed. Names that only TensorFlow's tests use are left out.
"""

import argparse
import ctypes
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

RELEASES = (
    "2.12.1",
    "2.13.1",
    "2.14.1",
    "2.15.1",
    "2.16.2",
    "2.17.1",
    "2.18.1",
    "2.19.1",
    "2.20.0",
)
TABLE = pathlib.Path(__file__).parents[2] / "keras_lm/serving/tables/operations.json"


class Buffer(ctypes.Structure):
    """TF_Buffer of TensorFlow's C API."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


def list_operations(package: str, output: str) -> None:
    """Writes the OpList of the libraries in `package`; in a process of its own."""
    libraries = pathlib.Path(package)
    for name in ("libtensorflow_framework", "libtensorflow_cc"):
        library = ctypes.CDLL(str(next(libraries.glob(f"{name}.so*"))), mode=ctypes.RTLD_GLOBAL)
    library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
    buffer = library.TF_GetAllOpList().contents
    pathlib.Path(output).write_bytes(ctypes.string_at(buffer.data, buffer.length))


def operations_of(package: pathlib.Path, output: pathlib.Path) -> dict[str, set[str]]:
    """Attributes of each operation, by its name."""
    if not output.exists():
        command = [sys.executable, __file__, "--list", str(package), str(output)]
        subprocess.run(command, check=True)
    found = op_def_pb2.OpList()
    found.ParseFromString(output.read_bytes())
    return {op.name: {attribute.name for attribute in op.attr} for op in found.op}


def downloaded(release: str, kept: pathlib.Path) -> dict[str, set[str]]:
    """Operations of a release, whose wheel is not kept."""
    with tempfile.TemporaryDirectory() as directory:
        home, output = pathlib.Path(directory), kept / f"{release}.pb"
        if not output.exists():
            options = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11"]
            options += ["--dest", str(home), f"tensorflow-cpu=={release}"]
            for platform in ("manylinux2014_x86_64", "manylinux_2_17_x86_64"):
                options += ["--platform", platform]
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", *options], check=True
            )
            with zipfile.ZipFile(next(home.glob("*.whl"))) as wheel:
                names = [n for n in wheel.namelist() if "/libtensorflow_" in n or ".libs/" in n]
                wheel.extractall(home, names)
        return operations_of(home / "tensorflow", output)


def text_operations() -> set[str]:
    """What the import of tensorflow-text adds."""
    buffer = pywrap_tf_session.TF_GetAllOpList
    before, after = op_def_pb2.OpList(), op_def_pb2.OpList()
    before.ParseFromString(pywrap_tf_session.TF_GetBuffer(buffer()))
    importlib.import_module("tensorflow_text")
    after.ParseFromString(pywrap_tf_session.TF_GetBuffer(buffer()))
    return {op.name for op in after.op} - {op.name for op in before.op}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=pathlib.Path, help="what was read is kept here")
    parser.add_argument("--list", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.list:
        list_operations(*args.list)
        return
    with tempfile.TemporaryDirectory() as directory:
        kept = args.keep or pathlib.Path(directory)
        kept.mkdir(parents=True, exist_ok=True)
        known = {release: downloaded(release, kept) for release in RELEASES}
        package = pathlib.Path(tf.__file__).parent
        installed = operations_of(package, kept / f"{tf.__version__}.pb")
    tests = {
        name for name in installed if not name.startswith("_") and not hasattr(tf.raw_ops, name)
    }
    tests -= set().union(*known.values())
    known[tf.__version__] = {name: a for name, a in installed.items() if name not in tests}

    table: dict = {"releases": list(known), "operations": {}, "attributes": {}}
    before: dict[str, set[str]] = {}
    for release, operations in known.items():
        table["operations"][release] = sorted(set(operations) - set(before))
        for name in sorted(set(before) & set(operations)):
            for attribute in sorted(operations[name] - before[name]):
                table["attributes"].setdefault(name, {})[attribute] = release
        before = operations
    table["tensorflow-text"] = sorted(text_operations())
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(json.dumps(table, indent=0) + "\n", "ascii")
    print({release: len(names) for release, names in table["operations"].items()})


if __name__ == "__main__":
    main()
