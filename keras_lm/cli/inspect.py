"""Say what is in a SavedModel, and whether a server can run it."""

import argparse
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_lm.serving.audit import Inspection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("path", help="one version of a SavedModel, e.g. saved_models/gpt/1")
    parser.add_argument("--oldest", help="the oldest TensorFlow that has to run it, e.g. 2.15")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints what was found; the exit status is 1 where there is a problem."""
    from keras_lm.serving.audit import inspect  # TensorFlow takes seconds to import.

    found = inspect(options.path, options.oldest)
    if options.json:
        import json

        print(json.dumps(_as_json(found), indent=2))
    else:
        print(_as_text(found))
    return 1 if found.problems else 0


def _as_json(found: "Inspection") -> dict:
    parts = {
        "signatures": {
            name: {
                **signature._asdict(),
                "inputs": [tensor._asdict() for tensor in signature.inputs],
                "outputs": [tensor._asdict() for tensor in signature.outputs],
            }
            for name, signature in found.signatures.items()
        },
        "operations": {name: op._asdict() for name, op in found.operations.items()},
        "findings": [finding._asdict() for finding in found.findings],
    }
    return {**found._asdict(), **parts}


def _as_text(found: "Inspection") -> str:
    sizes = ", ".join(f"{name} {size:.1f} MB" for name, size in found.megabytes.items() if size)
    needs = f"TensorFlow {found.oldest}" if found.oldest else "no TensorFlow release by itself"
    lines = [
        f"{found.path}: written by TensorFlow {found.written_by}; {sizes}",
        f"{found.parameters:,} parameters; oldest that knows all operations: {needs}"
        + (" or before" if found.oldest == "2.12" else ""),
        "",
        "signatures",
    ]
    for name, signature in found.signatures.items():
        joins = "rows of requests can be joined" if signature.joins_rows else "one request a batch"
        lines.append(f"  {name} ({signature.method.rpartition('/')[2] or 'no method'}; {joins})")
        for word, tensors in (("takes", signature.inputs), ("gives", signature.outputs)):
            lines += textwrap.wrap(
                ", ".join(map(str, tensors)),
                width=100,
                initial_indent=f"    {word}  ",
                subsequent_indent=" " * 11,
            )
    lines += ["", f"{'operation':40}{'nodes':>7}  since"]
    lines += [
        f"{name:40}{op.nodes:7}  {op.since or 'in no release'}"
        for name, op in found.operations.items()
    ]
    if found.unused_functions:
        lines += ["", f"{found.unused_functions} functions that no signature reaches"]
    lines.append("")
    for finding in found.findings:
        word = "problem" if finding.is_problem else "note"
        where = f" ({', '.join(finding.where)})" if finding.where else ""
        lines.append(f"{word}: {finding.kind}: {finding.what}{where}")
    lines.append(f"{len(found.problems)} problems")
    return "\n".join(lines)
