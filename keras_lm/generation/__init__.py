"""Decoding: ids in, ids out."""
