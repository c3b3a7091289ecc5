"""The base model, optimizers, schedules."""
