"""A backbone and a head."""
