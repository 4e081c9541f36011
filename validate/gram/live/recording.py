"""The records of a run as they grow: in memory, and on disk valid at every moment."""

import json
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from spectral_edge.theory.files import ending_in, naming, writable
from spectral_edge.validate.gram import storage
from spectral_edge.validate.gram.arrays.inner_products import EPS
from spectral_edge.validate.gram.live.journal import Journal, Record, journal_path, read_journal
from spectral_edge.validate.gram.live.ownership import Ownership, owned_here
from spectral_edge.validate.gram.live.records import continued, fields_of, records_of
from spectral_edge.validate.gram.sequence import GramSequence

#: The ``.npz`` is rewritten when this many times its writing time has passed since the last time.
PATIENCE = 200.0


class Recording:
    """Rows of the band of K with their steps, metrics and probes; kept at `path` if there is one.

    Parameters
    ----------
    path : path or None
        Where to keep it.
    config : dict
        JSON values.
    width : int
        Length of a row: W_max + 1.
    resume, overwrite : bool
        What to do where there is a recording already: go on with it, or put it aside under a number.

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``; if there is a recording already and neither is asked for, or one of
        another width; or if another process writes it.
    """

    def __init__(
        self, path: Any, config: dict[str, Any], width: int, resume: bool = False, overwrite: bool = False
    ) -> None:
        json.dumps(config, default=_no_json)
        self.path: Path | None = None
        self.width = width
        self.config, self.rounding = config, EPS
        self.was: dict[str, Any] = {}  # what the file that is resumed says where `config` speaks too
        self.P = 0
        self.records: list[Record] = []
        self.run = uuid.uuid4().hex
        self._journal: Journal | None = None
        self._owner: Ownership | None = None
        self._changed, self._gap, self._due = False, False, 0.0
        if path is not None:
            self._claim(writable(ending_in("path", path, ".npz")), resume, overwrite)

    def _claim(self, path: Path, resume: bool, overwrite: bool) -> None:
        if owned_here(path):  # before it is taken over
            _refuse_existing(path, resume or overwrite)
        self.path, self._owner = path, Ownership(path)
        try:
            _refuse_existing(path, resume or overwrite)
            if _recorded(path) and overwrite:
                put_aside(path)
            elif _recorded(path):
                self._continue(path)
        except BaseException:
            self._owner.release()
            raise

    def _continue(self, path: Path) -> None:
        """Take up the records that are on disk."""
        header: dict[str, Any] | None = None
        sequence, found = None, read_journal(path)
        if path.exists():
            header, _ = storage.read_sequence(path)
            sequence = GramSequence.load(path)
        elif found is not None:
            fields = continued(path, None, None)
            sequence = None if fields is None else GramSequence(**fields)
        if sequence is not None:
            self.P, self.rounding, config = sequence.P or 0, sequence.rounding, dict(sequence.config)
            self.records = records_of(sequence, self._checked_width(sequence))
        else:  # a single record
            assert found is not None
            self.P, config = found[0]["P"], found[0]["config"]
            self.records = [record for record in found[1] if len(record.row) == self.width]
        self.was = {name: config[name] for name in self.config if name in config}
        self.config = {**config, **self.config}
        self.run = (header or {}).get("run") or (found[0]["run"] if found else self.run)

    def _checked_width(self, sequence: GramSequence) -> int:
        kept = {sequence.K.shape[1]} if sequence.banded else set()
        kept |= {values.shape[1] for values in sequence.probes.values() if values.ndim == 2}
        if kept - {self.width}:
            raise ValueError(
                f"W_max must be that of the recording that is resumed, {min(kept) - 1}, "
                f"got {self.width - 1}: {self.path}"
            )
        return self.width

    @property
    def owned(self) -> bool:
        """Whether what is recorded may be written: always, where nothing is written."""
        return self._owner is None or self._owner.holds()

    def require_owned(self) -> None:
        """Refuse to write what another tracker writes now.

        Raises
        ------
        ValueError
            If this is no longer the owner.
        """
        if not self.owned:
            raise ValueError(
                f"path is another tracker's now, or this is a forked copy: nothing more is written to {self.path}"
            )

    def add(self, record: Record) -> None:
        """Keep one more record, or metrics of an earlier one; it is on disk when this returns, if there is a path.

        Raises
        ------
        OSError
            If it cannot be written (a full disk). It is kept in memory, and written with a later record as soon as
            that is possible; tried again as seldom as the file is rewritten, for a long run takes long to write.
        """
        if record.row:
            self.records.append(record)
        else:
            self.records[record.index].metrics.update(record.metrics)
        self._changed = True
        if self.path is None:
            return
        self.require_owned()
        try:
            self._write(self.path, record)
        except OSError as error:
            self._gap = True
            kept = f"{error.strerror or error}; what was recorded is kept in memory"
            raise type(error)(error.errno, kept) from None

    def _write(self, path: Path, record: Record) -> None:
        """Write the whole file if its time has come, else a line of the journal, if that has all lines before."""
        if len(self.records) >= 2 and time.monotonic() >= self._due:
            try:
                return self.save()
            except OSError:
                if self._gap:
                    raise
        if not self._gap:
            self._append(path, record)

    def _append(self, path: Path, record: Record) -> None:
        if self._journal is None:
            header = {"P": self.P, "config": self.config, "rounding": self.rounding}
            self._journal = Journal(path, self.run, header)
        try:
            self._journal.append(record)
        except OSError:
            self._due = 0.0  # a gap in the journal: the next record writes the whole file
            raise

    def save_next(self) -> None:
        """Write the whole file with the next record: what stands in the journal's first line has changed."""
        self._due = 0.0

    def save(self) -> None:
        """Bring the ``.npz`` up to date and empty the journal, if this is still the owner."""
        if self.path is None or len(self.records) < 2 or not self._changed or not self.owned:
            return
        begun = time.monotonic()
        try:
            storage.write_sequence(self.sequence(), self.path, run=self.run)
        finally:
            done = time.monotonic()
            self._due = done + PATIENCE * (done - begun)
        self._changed = self._gap = False
        if self._journal is not None:
            self._journal.clear()
        else:
            journal_path(self.path).unlink(missing_ok=True)  # that of a part before this one

    def finish(self) -> None:
        """Bring the file up to date and give it back; what is added afterwards is not written.

        Where the file cannot be written any more, the run is put into the folder for temporary files, and a warning
        says where: this is the last that is known of it.
        """
        try:
            self.save()
        except OSError as error:
            self._rescue(error)
        finally:
            self._close_journal()
            if self._owner is not None:
                self._owner.release()

    def _rescue(self, error: OSError) -> None:
        assert self.path is not None
        told = error.strerror or str(error)
        try:
            target = Path(tempfile.mkdtemp(prefix="spectral-edge-")) / self.path.name
            storage.write_sequence(self.sequence(), target, run=self.run)
        except OSError:
            warnings.warn(f"{told}; what was recorded since is lost", stacklevel=2)
        else:
            warnings.warn(f"{told}; the run is in {target} instead", stacklevel=2)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def restore(self, records: list[Record], run: str, P: int) -> None:
        """Start from `records` of an earlier part of the run; what came after them on disk is put aside.

        Raises
        ------
        ValueError
            If what is on disk is of another run.
        """
        if self.path is not None and self.records:
            if self.run != run:
                raise ValueError(
                    f"state must be of the run at {self.path}, got that of another: pass overwrite=True or another path"
                )
            if len(self.records) > len(records):
                # a copy, where the file is about to be replaced: who looks on meanwhile finds it, and so does who
                # comes after a kill
                put_aside(self.path, copy=True)
        self.records, self.run, self.P, self._changed = records, run, P, True
        self._close_journal()
        self.save()

    def drop_after(self, step: int) -> int:
        """Put aside what was recorded after `step`, which the training takes again; how many records that is."""
        kept = [record for record in self.records if record.step <= step]
        dropped = len(self.records) - len(kept)
        if dropped:
            if self.path is not None:
                put_aside(self.path)
            self.records, self._changed = kept, True
            self._close_journal()
            self.save()
        return dropped

    def sequence(self) -> GramSequence:
        """The run so far; full K where the run is no longer than the band."""
        if len(self.records) < 2:
            raise ValueError(f"a sequence needs at least 3 snapshots, got {len(self.records)} updates")
        return sequence_of(self.records, self.P, self.config, self.rounding)


def _recorded(path: Path) -> bool:
    found = read_journal(path)
    return path.exists() or (found is not None and bool(found[1]))


def _refuse_existing(path: Path, allowed: bool) -> None:
    if not allowed and _recorded(path):
        raise ValueError(
            f"path must be new, got a recording: {path}; pass resume=True to go on with it, or overwrite=True to "
            "begin anew (it is kept under a number)"
        )


def put_aside(path: Path, copy: bool = False) -> Path:
    """Keep what is recorded at `path`, or a copy, under the first free number: ``run.npz.1`` and its journal."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in count(1))
    target = next(free for free in numbered if not free.exists() and not journal_path(free).exists())
    with naming(path):
        for source, to in ((path, target), (journal_path(path), journal_path(target))):
            if source.exists():
                shutil.copy2(source, to) if copy else source.rename(to)
    return target


def sequence_of(
    records: list[Record], P: int | None, config: Mapping[str, Any], rounding: float
) -> GramSequence:
    """A sequence from its records."""
    return GramSequence(**fields_of(records, P, config, rounding))


def _no_json(value: Any) -> Any:
    raise ValueError(f"config must hold JSON values only, got {value!r}")
