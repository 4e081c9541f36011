"""What a tracker records, line by line: nothing recorded is lost when the process dies.

A sequence that grows is kept in two files: the ``.npz`` and beside it ``.journal``, to which each record is
appended as one line with a checksum. Now and then, and at the end, the records move from the journal into
the ``.npz``, which is replaced in one step. Whatever moment the process is killed at, the two files together
hold every record, and `GramSequence.load` reads them together.
"""

import json
import zlib
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import IO, Any

from spectral_edge.theory.files import naming

FORMAT = "spectral-edge/gram-journal"


@dataclass
class Record:
    """One update of a run: its index, the step at which it ends, its row of the band, and what came with it.

    A record with an empty row adds metrics to the earlier one of the same index.
    """

    index: int
    step: int
    row: list[float]
    metrics: dict[str, float] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)


def journal_path(path: str | PathLike[str]) -> Path:
    """Where the journal of the sequence at `path` is."""
    path = Path(path)
    return path.with_name(path.name + ".journal")


class Journal:
    """Appends records to the journal of `path`; `run` ties it to the ``.npz`` of the same run."""

    def __init__(self, path: Path, run: str, header: dict[str, Any]) -> None:
        self.path, self._first = journal_path(path), {"format": FORMAT, "run": run, **header}
        self._file: IO[bytes] | None = None

    def append(self, record: Record) -> None:
        """Write one record; the operating system has it when this returns.

        Raises
        ------
        OSError
            If it cannot be written (a full disk); the journal is as it was before.
        """
        with naming(self.path):
            if self._file is None:
                self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115
                self._write(self._first)
            self._write(vars(record))

    def _write(self, value: dict[str, Any]) -> None:
        assert self._file is not None
        text = json.dumps(value).encode()
        line, end = b"%08x %s\n" % (zlib.crc32(text), text), self._file.tell()
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError:
            self._file.seek(end)
            self._file.truncate()
            raise

    def close(self) -> None:
        """Write nothing more, and leave what is written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def clear(self) -> None:
        """Forget everything: the records are in the ``.npz`` now."""
        self.close()
        self.path.unlink(missing_ok=True)


def read_journal(path: str | PathLike[str]) -> tuple[dict[str, Any], list[Record]] | None:
    """Header and records of the journal of the sequence at `path`, None if there is none that can be read.

    A last line that was cut short is left out.
    """
    try:
        lines = journal_path(path).read_bytes().split(b"\n")
    except OSError:
        return None
    good = []
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            break
        good.append(json.loads(text))
    if not good or good[0].get("format") != FORMAT:
        return None
    return good[0], [Record(**entry) for entry in good[1:]]
