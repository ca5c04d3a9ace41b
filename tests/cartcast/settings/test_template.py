"""The settings file to begin with: it sets nothing, and says of everything what it means."""

import re

import yaml

from cartcast.settings import Settings
from cartcast.settings.fields import setting_fields
from cartcast.settings.template import template

TEXT = template(Settings, "shop.yml")


def test_it_sets_nothing():
    assert yaml.safe_load(TEXT) is None


def test_without_its_marks_it_holds_every_setting_with_its_default():
    uncommented = re.sub(r"^#(?! )", "", TEXT, flags=re.MULTILINE)
    uncommented = re.sub(r"^#(?=  )", "", uncommented, flags=re.MULTILINE)
    tree = yaml.safe_load(uncommented)
    secrets = {field.name for field in setting_fields(Settings) if field.is_secret}
    given = {f"{branch}.{name}": value for branch, names in tree.items() for name, value in names.items()}
    assert given.keys() == {
        f"{field.name}_file" if field.is_secret else field.name for field in setting_fields(Settings)
    }
    plain = {branch: {n: v for n, v in names.items() if f"{branch}.{n.removesuffix('_file')}" not in secrets}
             for branch, names in tree.items()}  # fmt: skip
    assert Settings.model_validate(plain) == Settings()


def test_every_setting_has_its_meaning_above_it():
    for field in setting_fields(Settings):
        assert field.description.split()[0] in TEXT
    assert max(map(len, TEXT.splitlines())) <= 130
