"""Directories of other libraries, in and out."""
