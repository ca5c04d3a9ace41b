"""What the documentation site does beyond MkDocs: files of the repository as pages, and formulas without a script.

Pages link to files outside `docs/` as a reader of the repository needs it (`../ARCHITECTURE.md`). For each file that is
linked so, the site gets a page `repository/<path>`, and links to it are rewritten. A Markdown file is rendered, another
is shown as it is, a folder is listed.
"""

import html
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[2]
OUTSIDE: Final = PurePosixPath("repository")
"""Where pages of files outside `docs/` are."""

_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#|/)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCE: Final = re.compile(r"\s*(```+|~~~+)")
_FORMULA: Final = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_LANGUAGES: Final = {".py": "python", ".sql": "sql", ".yml": "yaml", ".yaml": "yaml", ".sh": "bash", ".json": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file outside `docs/` that a page links to, and for what those link to."""
    waiting = [path for file in files.documentation_pages() for path in _outside_links(f"docs/{file.src_uri}")]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in seen and (ROOT / path).exists():
            seen.add(path)
            files.append(File.generated(config, str(_page_of(path)), content=_content(path)))
            waiting += _outside_links(path) if path.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links that leave `docs/` lead to the pages made of their files."""
    return _with_links(markdown, _repository_path(page.file.src_uri), page.file.src_uri)


def on_page_content(content: str, **_: object) -> str:
    """Write formulas as MathML, which browsers draw themselves."""
    return _FORMULA.sub(
        lambda found: convert(html.unescape(found[3]), display="inline" if found[2] == "(" else "block"), content
    )


def _repository_path(src_uri: str) -> str:
    """Return the path in the repository of a page's source."""
    inside = PurePosixPath(src_uri)
    if inside.is_relative_to(OUTSIDE):
        return str(inside.relative_to(OUTSIDE))
    return f"docs/{src_uri}"


def _page_of(path: str) -> PurePosixPath:
    """Return the site's source path for a path in the repository."""
    if path.startswith("docs/"):
        return PurePosixPath(path.removeprefix("docs/"))
    return OUTSIDE / (path if path.endswith(".md") else f"{path}.md")


def _outside_links(path: str) -> Iterator[str]:
    """Yield the paths outside `docs/` that a Markdown file of the repository links to."""
    for part in _prose(_text(path)):
        for link in _LINK.finditer(part):
            target = _resolve(path, link["path"])
            if not target.startswith(("docs/", "..")):
                yield target


def _with_links(markdown: str, path: str, src_uri: str) -> str:
    """Return a page's text with links between the repository's files turned into links between the site's pages."""
    here = PurePosixPath(src_uri).parent
    elsewhere = src_uri.startswith(f"{OUTSIDE}/")

    def rewrite(link: re.Match[str]) -> str:
        target = _resolve(path, link["path"])
        if target.startswith("..") or not (elsewhere or not target.startswith("docs/")):
            return link[0]
        return os.path.relpath(_page_of(target), here).replace(os.sep, "/") + (link["anchor"] or "")

    return "".join(_in_prose(markdown, lambda part: _LINK.sub(rewrite, part)))


def _resolve(path: str, link: str) -> str:
    return os.path.normpath(PurePosixPath(path).parent / link).replace(os.sep, "/")


def _prose(markdown: str) -> list[str]:
    """Return what is not in fenced code."""
    found: list[str] = []
    _ = [*_in_prose(markdown, lambda part: found.append(part) or part)]
    return found


def _in_prose(markdown: str, change: Callable[[str], str]) -> Iterator[str]:
    """Yield the text line by line, with `change` applied to lines that are not in fenced code."""
    fence = ""
    for line in markdown.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and line.strip().startswith(fence) else fence
            yield line
        elif mark:
            fence = mark[1]
            yield line
        else:
            yield change(line)


def _content(path: str) -> str:
    if path.endswith(".md"):
        return _text(path)
    if (ROOT / path).is_dir():
        names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in (ROOT / path).iterdir())
        listed = "\n".join(f"- `{name}`" for name in names if not name.startswith((".", "__")))
        return f"# {path}\n\nA folder of the repository.\n\n{listed}\n"
    return f"# {path}\n\n````{_LANGUAGES.get(Path(path).suffix, 'text')}\n{_text(path).rstrip()}\n````\n"


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
