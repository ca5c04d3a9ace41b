"""Write the dashboards' JSON: `python deploy/grafana/generate [DIRECTORY]`, by default beside this folder."""

import json
import sys
from pathlib import Path

from pipeline import pipeline
from propensity import propensity

DASHBOARDS = Path(__file__).resolve().parent.parent / "dashboards"


def write(directory: Path) -> None:
    """Write one file a dashboard."""
    for name, content in (("pipeline", pipeline()), ("propensity", propensity())):
        (directory / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DASHBOARDS)
