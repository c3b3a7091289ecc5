"""What is inside of an export."""

from tensorflow.core.protobuf import saved_model_pb2


def nodes(path):
    """Every node of every function of a SavedModel."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((path / "saved_model.pb").read_bytes())
    for meta in saved.meta_graphs:
        yield from (("graph", node) for node in meta.graph_def.node)
        for function in meta.graph_def.library.function:
            yield from ((function.signature.name, node) for node in function.node_def)


def assert_core_operations(path):
    """Operations of TensorFlow alone; none that asserts, writes or is bound to a device."""
    found = list(nodes(path))
    operations = {node.op for _, node in found}
    # tensorflow-text and other libraries register theirs under names with a ">" in them.
    assert not [op for op in operations if ">" in op or op.startswith(("PyFunc", "EagerPyFunc"))]
    assert not [op for op in operations if "HashTable" in op or op.startswith("Random")]
    # TensorFlow's own functions for its variables write them, and name the CPU.
    serving = [(f, node) for f, node in found if "_traced_" not in f and f != "graph"]
    written = {node.op for _, node in serving if node.op.startswith("Assign")}
    assert written == set()
    assert not [node for _, node in serving if node.op in ("Assert", "XlaMustCompile")]
    devices = {node.device for _, node in serving}
    assert devices <= {""}, devices
    compiled = [
        node.name
        for _, node in found
        if "_XlaMustCompile" in node.attr and node.attr["_XlaMustCompile"].b
    ]
    assert compiled == []
