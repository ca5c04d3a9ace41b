"""The `cartcast` command: composes the rooms, reads the settings, runs the local stack."""

__version__ = "0.1.0"
"""Of the whole program: what the wheel, the documents of the contracts and `cartcast --version` say."""
