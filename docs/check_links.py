"""Every link, picture and anchor of the built pages leads somewhere: ``python docs/check_links.py FOLDER``.

Nothing is asked of the network: addresses of other machines are left to ``sphinx-build -b linkcheck``.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note what this tag links to, and its anchors."""
        for name, value in attributes:
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)
            elif value and name in ("href", "src", "data"):
                self.targets.add(value)


def broken(folder: Path) -> list[str]:
    """One line for each link that leads nowhere."""
    folder = folder.resolve()
    files = [
        path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts
    ]  # the theme's templates
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in files}
    found = []
    for path, page in pages.items():
        for target in sorted(page.targets):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists():
                found.append(f"{path.relative_to(folder)}: nothing at {target}")
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].anchors:
                found.append(f"{path.relative_to(folder)}: no anchor {target}")
    return found


if __name__ == "__main__":
    lines = broken(Path(sys.argv[1]))
    print("\n".join(lines))
    sys.exit(bool(lines))
