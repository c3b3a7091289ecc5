"""Documents to shards of token ids on disk.

Nothing here imports TensorFlow: worker processes start at once, and other machinery that runs
Python functions over many machines can run these.
"""
