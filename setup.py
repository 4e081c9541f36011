"""The project's page on an index: README with links that lead somewhere there. All else is in pyproject.toml."""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent


def standing_alone(text: str, address: str | None, version: str) -> str:
    """README where no repository is around it: links to files lead to `address`, or are words where there is none."""

    def linked(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        if address is None:
            return "" if picture else words
        kind = "raw" if picture else "blob"
        return f"{picture}[{words}]({address.rstrip('/')}/{kind}/v{version}/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", linked, text)


if __name__ == "__main__":
    found = re.search(
        r'__version__ = "(.+)"', (ROOT / "spectral_edge" / "__init__.py").read_text(encoding="utf-8")
    )
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert found
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=standing_alone(readme, urls.get("Source"), found[1]),
        long_description_content_type="text/markdown",
    )
