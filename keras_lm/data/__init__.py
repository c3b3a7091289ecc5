"""Text files to tf.data pipelines."""
