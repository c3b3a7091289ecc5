"""What must not be inside of an export of this package."""

from keras_lm.serving.audit import inspect


def assert_core_operations(path):
    """Operations of TensorFlow alone; none that asserts, writes or is bound to a device."""
    found = inspect(path)
    assert found.findings == () or {finding.kind for finding in found.findings} == {"batch"}
    assert not [op for op in found.operations if "HashTable" in op or op.startswith("Random")]
