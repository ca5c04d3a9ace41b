"""The `cartcast` command: composes the rooms, reads the settings, runs the local stack."""
