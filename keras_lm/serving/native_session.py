"""Asks a SavedModel through TensorFlow's C++ library alone, as TensorFlow Serving does.

    python native_session.py LIBRARIES SAVED_MODEL < questions.json > answers.json

Run as a file of its own: it imports neither TensorFlow's Python nor this package. `LIBRARIES` is
the directory of `libtensorflow_cc.so.2`, the one of the installed package or of another release. A
question is a dict of `inputs` and `outputs`: each input, by the name of its tensor in the graph,
has a `dtype` (the number of TensorFlow's DataType), a `shape` and flat `values`; `outputs` are
names of tensors. An answer has the three for each output. Strings travel as base64.

Source: the C API, tensorflow/c/c_api.h.
"""

import base64
import ctypes
import json
import math
import pathlib
import sys
from typing import Any

# TensorFlow's numbers of dtypes, and how their values lie in memory.
_STRING = 7
_NUMBERS: dict[int, Any] = {
    1: ctypes.c_float,
    2: ctypes.c_double,
    3: ctypes.c_int32,
    4: ctypes.c_uint8,
    5: ctypes.c_int16,
    6: ctypes.c_int8,
    9: ctypes.c_int64,
    10: ctypes.c_bool,
    17: ctypes.c_uint16,
    22: ctypes.c_uint32,
    23: ctypes.c_uint64,
}
_STRING_BYTES = 24  # sizeof(TF_TString)


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Library:
    """The C API of the TensorFlow in a directory."""

    def __init__(self, directory: pathlib.Path) -> None:
        for name in ("libtensorflow_framework", "libtensorflow_cc"):
            found = sorted(directory.glob(f"{name}.so*"))
            if not found:
                raise FileNotFoundError(f"{name}.so.2 must be there. Received: {directory}")
            self._library = ctypes.CDLL(str(found[-1]), mode=ctypes.RTLD_GLOBAL)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls a function of the API."""
        function = getattr(self._library, name)
        function.restype = result
        return function(*arguments)

    def checked(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls a function whose last argument is a status.

        Raises:
            RuntimeError: what the status says.
        """
        status = ctypes.c_void_p(self.call("TF_NewStatus", ctypes.c_void_p))
        try:
            answer = self.call(name, result, *arguments, status)
            if self.call("TF_GetCode", ctypes.c_int, status):
                raise RuntimeError(self.call("TF_Message", ctypes.c_char_p, status).decode())
            return answer
        finally:
            self.call("TF_DeleteStatus", None, status)


class NativeSession:
    """A SavedModel that is open.

    Args:
        library: whose TensorFlow it is.
        path: the directory of one version.
        tag: of the graph.

    Raises:
        RuntimeError: TensorFlow cannot load it, with its message.
    """

    def __init__(self, library: Library, path: str, tag: str = "serve") -> None:
        self._library = library
        self._graph = ctypes.c_void_p(library.call("TF_NewGraph", ctypes.c_void_p))
        options = ctypes.c_void_p(library.call("TF_NewSessionOptions", ctypes.c_void_p))
        tags = (ctypes.c_char_p * 1)(tag.encode())
        self._session = ctypes.c_void_p(
            library.checked(
                "TF_LoadSessionFromSavedModel",
                ctypes.c_void_p,
                options,
                None,
                path.encode(),
                tags,
                1,
                self._graph,
                None,
            )
        )

    def run(self, inputs: dict[str, dict], outputs: list[str]) -> list[dict]:
        """Answers one question; see the module.

        Raises:
            RuntimeError: what TensorFlow says.
        """
        given = [ctypes.c_void_p(self._tensor(**tensor)) for tensor in inputs.values()]
        found = (ctypes.c_void_p * len(outputs))()
        try:
            self._library.checked(
                "TF_SessionRun",
                None,
                self._session,
                None,
                self._outputs(list(inputs)),
                (ctypes.c_void_p * len(given))(*given),
                len(given),
                self._outputs(outputs),
                found,
                len(outputs),
                None,
                0,
                None,
            )
            return [self._values(ctypes.c_void_p(tensor)) for tensor in found]
        finally:
            for tensor in (*given, *(ctypes.c_void_p(tensor) for tensor in found if tensor)):
                self._library.call("TF_DeleteTensor", None, tensor)

    def _outputs(self, names: list[str]) -> Any:
        found = (_Output * len(names))()
        for place, name in enumerate(names):
            node, _, index = name.partition(":")
            operation = self._library.call(
                "TF_GraphOperationByName", ctypes.c_void_p, self._graph, node.encode()
            )
            if not operation:
                raise RuntimeError(f"A tensor must be in the graph. Received: {name}")
            found[place] = _Output(operation, int(index or 0))
        return found

    def _tensor(self, dtype: int, shape: list[int], values: list) -> int:
        number = math.prod(shape)
        kind = _NUMBERS.get(dtype)
        size = number * (_STRING_BYTES if kind is None else ctypes.sizeof(kind))
        dims = (ctypes.c_int64 * len(shape))(*shape)
        tensor = self._library.call(
            "TF_AllocateTensor",
            ctypes.c_void_p,
            ctypes.c_int(dtype),
            dims,
            ctypes.c_int(len(shape)),
            ctypes.c_size_t(size),
        )
        data = self._library.call("TF_TensorData", ctypes.c_void_p, ctypes.c_void_p(tensor))
        if kind is not None:
            ctypes.memmove(data, (kind * number)(*values), size)
            return tensor
        for place, value in enumerate(values):
            text = base64.b64decode(value)
            at = ctypes.c_void_p(data + place * _STRING_BYTES)
            self._library.call("TF_StringInit", None, at)
            self._library.call("TF_StringCopy", None, at, text, ctypes.c_size_t(len(text)))
        return tensor

    def _values(self, tensor: ctypes.c_void_p) -> dict:
        ask = self._library.call
        dtype = ask("TF_TensorType", ctypes.c_int, tensor)
        rank = ask("TF_NumDims", ctypes.c_int, tensor)
        shape = [ask("TF_Dim", ctypes.c_int64, tensor, ctypes.c_int(i)) for i in range(rank)]
        data, number = ask("TF_TensorData", ctypes.c_void_p, tensor), math.prod(shape)
        if dtype != _STRING:
            values = list((_NUMBERS[dtype] * number).from_address(data)) if number else []
            return {"dtype": dtype, "shape": shape, "values": values}
        values = []
        for place in range(number):
            at = ctypes.c_void_p(data + place * _STRING_BYTES)
            size = ask("TF_StringGetSize", ctypes.c_size_t, at)
            text = ctypes.string_at(ask("TF_StringGetDataPointer", ctypes.c_void_p, at), size)
            values.append(base64.b64encode(text).decode())
        return {"dtype": dtype, "shape": shape, "values": values}


def main() -> None:
    """Answers what stands on standard input."""
    libraries, path = sys.argv[1:]
    session = NativeSession(Library(pathlib.Path(libraries)), path)
    json.dump([session.run(**question) for question in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
