"""Run the benchmarks and write what they print into docs/benchmarks.md, with machine and versions: `make benchmarks`.

    python benchmarks/table.py [NAME…] [--out docs/benchmarks.md]

With names, those scripts alone are run and their figures replaced; what stands of the others stays. Run it on a machine
that does nothing else. A script that fails leaves the page as it was.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import date
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS: dict[str, list[str]] = {
    "cold_starts": [],
    "judging": [],
    "gram_kernel": [],
    "windows": [],
    "gap_sweep": [],
    "dyson": [],
    "tracker": [],
    "growth": ["--out", str(HERE.parent / "docs" / "images")],
}
VERSIONS = "numpy numba llvmlite scipy torch mkl tabmat heyoka diffrax CyRK pydiffsol".split()
BEGIN, END = "<!-- figures of {name} -->\n", "<!-- end of {name} -->\n"


def machine() -> str:
    """Processor, cores and memory."""
    kind = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.M)
        kind = found[1] if found else kind
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{kind}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def versions() -> str:
    """Python and what is installed of the packages that take part."""
    found = [f"Python {platform.python_version()}"]
    for name in ("spectral-edge", *VERSIONS):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def figures(name: str) -> str:
    """What a script prints, with the day, the machine and the versions."""
    command = [sys.executable, str(HERE / f"{name}.py"), *SCRIPTS[name]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    text = f"{date.today()}, {machine()}; {versions()}.\n\n```text\n{done.stdout.rstrip()}\n```\n"
    pictures = sorted((HERE.parent / "docs" / "images").glob(f"{name}-*.svg"))
    return text + "".join(f"\n![{picture.stem}](images/{picture.name})\n" for picture in pictures)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", choices=[[], *SCRIPTS], metavar="NAME")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    chosen = parser.parse_args()
    for name in chosen.names or SCRIPTS:
        print(name, flush=True)
        found = figures(name)
        page = chosen.out.read_text(encoding="utf-8")
        begin, end = BEGIN.format(name=name), END.format(name=name)
        if page.count(begin) != 1 or page.count(end) != 1:
            raise SystemExit(f"{chosen.out} must have one place for the figures of {name}")
        before, rest = page.split(begin)
        chosen.out.write_text(before + begin + found + end + rest.split(end)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
