"""What the tests of the command share."""

import os

import pytest


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("CARTCAST_"):
            monkeypatch.delenv(name)
