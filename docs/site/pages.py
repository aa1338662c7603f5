"""README.md, docs/ and notebooks/ -> the pages that the docs site is built from.

`python docs/site/pages.py FOLDER` writes one Markdown page for each section of the README, one
for each document and notebook, and one for each other file or folder that they link to. A link
goes to the page that holds its target. Raises KeyError for one that leads nowhere.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from os.path import normpath, relpath
from pathlib import Path

from listings import listing, options

from notebooks import notebook

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = (f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
DOCUMENTS = (
    *sorted(PAGES, key=lambda page: README.find(f"({page}")),  # as it comes to speak of them
    *("docs/design/decisions.md", "CONTRIBUTING.md", "CHANGELOG.md"),
)
NOTEBOOKS = tuple(f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb")))
FENCED = re.compile(r"(^(`{3,})[^\n]*\n.*?^\2`*$)", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(slots=True)
class Site:
    """Pages by name, without `.md`; of each the text, and the file it comes from."""

    pages: dict[str, tuple[str, str]] = field(default_factory=dict)
    anchors: dict[str, str] = field(default_factory=dict)  # of the README -> page
    of_file: dict[str, str] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)

    def add(self, page: str, text: str, file: str) -> None:
        self.pages[page] = (text, file)
        if file != "README.md":
            self.of_file[file] = page

    def target(self, link: str, file: str) -> tuple[str, str]:
        """The page and the anchor in it that a link of `file` leads to."""
        path, _, anchor = link.partition("#")
        path = normpath(Path(file).parent / path).replace("\\", "/") if path else file
        if path == "README.md":
            return self.anchors[anchor], anchor
        if path not in self.of_file:
            self.add(f"files/{path}", listing(ROOT, path), path)
        return self.of_file[path], anchor

    def linked(self, page: str) -> str:
        """The text of a page, its links laid to other pages; code is left as it is."""
        text, file = self.pages[page]
        parts = FENCED.split(text)  # text, block, its fence, text, ...
        del parts[2::3]
        for index in range(0, len(parts), 2):
            parts[index] = LINK.sub(lambda found: self._relaid(found[1], page, file), parts[index])
        return "".join(parts)

    def _relaid(self, link: str, page: str, file: str) -> str:
        if link.startswith("https://"):
            return f"]({link})"
        if link.endswith(".png"):
            picture = normpath(Path(file).parent / link)
            self.pictures.add(picture)
            return f"]({relpath(picture, Path(page).parent)})"
        other, anchor = self.target(link, file)
        place = relpath(f"{other}.md", Path(page).parent)
        return f"]({place}#{anchor})" if anchor else f"]({place})"


def slug(heading: str) -> str:
    """The anchor of a heading, as Git hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(readme: str) -> Iterator[tuple[str, str]]:
    """The README's opening under "", then each section by its heading, without its own line."""
    heading, lines, fenced = "", list[str](), False
    for line in readme.splitlines():
        fenced ^= line.startswith("```")
        if line.startswith("## ") and not fenced:
            yield heading, "\n".join(lines)
            heading, lines = line[3:], []
        elif line.startswith("##") and not fenced:
            lines.append(line[1:])  # its section's heading is the title of a page
        else:
            lines.append(line)
    yield heading, "\n".join(lines)


def collect() -> tuple[Site, list[str]]:
    """The site, and the pages that the README's sections became, in its order."""
    site = Site()
    opening, seen, *others = sections(README)
    guide = [f"guide/{slug(heading)}" for heading, _ in others]
    site.add("index", f"{opening[1]}\n## {seen[0]}\n{seen[1]}\n", "README.md")
    site.anchors |= {"": "index", slug(seen[0]): "index"}
    for page, (heading, text) in zip(guide, others, strict=True):
        site.add(page, f"# {heading}\n{text}\n", "README.md")
        plain = FENCED.sub("", site.pages[page][0])
        site.anchors |= {slug(name): page for name in re.findall(r"^#+ (.+)$", plain, re.M)}
    for file in DOCUMENTS:
        site.add(f"{file.removesuffix('.md')}", (ROOT / file).read_text("utf-8"), file)
    for file in NOTEBOOKS:
        site.add(file.removesuffix(".ipynb"), notebook(ROOT / file), file)
    reference = "docs/site/reference.md"
    site.add("reference/python", (ROOT / reference).read_text("utf-8"), reference)
    site.add("reference/options", options(), "docs/site/listings.py")
    return site, guide


def contents(caption: str, pages: list[str]) -> str:
    """A part of the navigation."""
    head = ("", "```{toctree}", ":hidden:", f":caption: {caption}", "")
    return "\n".join([*head, *pages, "```", ""])


def write(folder: Path) -> None:
    """Write all pages into `folder`, anew."""
    site, guide = collect()
    documents = [file.removesuffix(".md") for file in DOCUMENTS]
    about = documents[-3:]
    text = site.pages["index"][0] + contents("Guide", guide)
    text += contents("Notebooks", [file.removesuffix(".ipynb") for file in NOTEBOOKS])
    text += contents("In depth", documents[:-3])
    text += contents("Reference", ["reference/options", "reference/python"])
    site.pages["index"] = (text + contents("About", about), "README.md")
    shutil.rmtree(folder, ignore_errors=True)
    written: dict[str, str] = {}
    while left := [page for page in site.pages if page not in written]:  # links make pages
        written |= {page: site.linked(page) for page in left}
    for page, text in written.items():
        path = folder / f"{page}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    for picture in site.pictures:
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / picture, folder / picture)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
