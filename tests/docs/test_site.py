"""The site builds without a warning, asks nobody else for anything, and its links lead somewhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.fences import ROOT, prose_of

LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"(https?:)?//|<link\b[^>]*\bhref=\"(https?:)?//|url\(['\"]?(https?:)?//"
    r"|@import ['\"](https?:)?//"
)
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)")


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    built = tmp_path_factory.mktemp("site")
    done = build(ROOT, built)
    assert done.returncode == 0, done.stderr
    return built


def test_a_reader_loads_nothing_from_elsewhere(site):
    loading = [path for path in site.rglob("*") if path.suffix in {".html", ".css"} and LOADED.search(path.read_text())]
    assert loading == []


def test_the_search_finds_pages_and_commands(site):
    index = json.loads((site / "search/search_index.json").read_text())
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"quickstart.html", "operations.html", "how-to/consume-the-scores.html", "reference/cli.html"} <= found
    assert any("cartcast dead-letters replay" in entry["title"] for entry in index["docs"])


def test_files_of_the_repository_and_formulas_are_pages(site):
    assert "Delivery: nothing lost" in (site / "repository/ARCHITECTURE.html").read_text()
    assert "<pre" in (site / "repository/model/simulator/process.py.html").read_text()
    simulator = (site / "simulator.html").read_text()
    assert "<math" in simulator
    assert not re.search(r"arithmatex|\$\$", simulator)


def test_a_dead_link_and_a_page_that_nobody_reaches_fail_the_build(tmp_path):
    docs = tmp_path / "docs"
    (docs / "site").mkdir(parents=True)
    (docs / "site/hooks.py").write_text((ROOT / "docs/site/hooks.py").read_text())
    config = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[0]
    (tmp_path / "mkdocs.yml").write_text(f"{config}\nnav:\n  - index.md\n")
    (docs / "index.md").write_text("# A\n")
    assert build(tmp_path, tmp_path / "site").returncode == 0
    (docs / "index.md").write_text("# A\n[b](../nowhere.md)\n")
    assert "nowhere.md" in build(tmp_path, tmp_path / "site").stderr
    (docs / "index.md").write_text("# A\n")
    (docs / "orphan.md").write_text("# B\n")
    assert "orphan.md" in build(tmp_path, tmp_path / "site").stderr


def test_links_of_the_readme_lead_to_files():
    links = LINK.findall(prose_of(ROOT / "README.md"))
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []
