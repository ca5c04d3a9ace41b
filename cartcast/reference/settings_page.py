"""Every setting with its meaning, what is allowed, its default and its variable: the page docs/settings.md."""

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from cartcast.settings import Settings
from cartcast.settings.fields import SettingField, branches, setting_fields

_INTRODUCTION: Final = """# Settings

Written by `make reference` from the code; do not edit. Every command reads the same settings, the strongest first, from

1. a flag of the command (`cartcast COMMAND --help`);
2. a variable of the environment: `CARTCAST_KAFKA__PARTITIONS=8` sets `kafka.partitions`. A secret may stand in a file
   that a variable names: `CARTCAST_KAFKA__SASL_PASSWORD_FILE=/run/secrets/kafka`;
3. a directory with one file a setting, named like its variable: `CARTCAST_SECRETS_DIR=/run/secrets`, as Docker and
   Kubernetes mount secrets;
4. a YAML file: `cartcast --config cartcast.yml COMMAND`, or `CARTCAST_CONFIG=cartcast.yml`. It, too, may name the file
   of a secret: `sasl_password_file: /run/secrets/kafka`;
5. the default.

```yaml
kafka:
  bootstrap_servers: kafka-1:9092,kafka-2:9092
  partitions: 48
clickhouse:
  url: https://clickhouse:8443
  password_file: /run/secrets/clickhouse
```

`cartcast config show` prints each setting as it is in effect and where it comes from, with secrets masked. A setting
that is wrong or unknown ends the command with exit code 2 and one line that names it, its source and what is allowed.
For TLS, SASL and secrets see [Security settings](security-settings.md).
"""


def page() -> str:
    """Return the page."""
    by_branch = groupby(setting_fields(Settings), key=lambda field: field.name.partition(".")[0])
    return "\n".join([_INTRODUCTION, *(_section(branch, fields) for branch, fields in by_branch)])


def _section(branch: str, fields: Iterable[SettingField]) -> str:
    about = (branches(Settings)[branch].__doc__ or "").strip().splitlines()[0]
    head = ["| setting | meaning | allowed | default |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {branch}", "", about, "", *head, *map(_row, fields), ""])


def _row(field: SettingField) -> str:
    unit = f", in {field.unit}" if field.unit else ""
    name = f"`{field.name}`<br>`{field.variable}`"
    meaning = field.description[:1].upper() + field.description[1:]
    cells = (name, meaning, f"{_allowed(field.allowed)}{unit}", _default(field.default))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _allowed(words: str) -> str:
    kind, matches, pattern = words.partition("text that matches ")
    return f"{kind}{matches}`{pattern}`" if pattern else words


def _default(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    if default is None or default in ("", Path()):
        return "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"
