"""The records of a run as they grow: in memory, and on disk valid at every moment."""

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from spectral_edge.theory.files import writable
from spectral_edge.validate.gram.arrays.inner_products import EPS, padded_band, unfold
from spectral_edge.validate.gram.live.journal import Journal, Record, read_journal
from spectral_edge.validate.gram.sequence import GramSequence

#: The ``.npz`` is rewritten when this many times its writing time has passed since the last time.
PATIENCE = 200.0


class Recording:
    """Rows of the band of K with their steps, metrics and probes; kept at `path` if there is one."""

    def __init__(self, path: Any, config: dict[str, Any], rounding: float = EPS) -> None:
        self.path: Path | None = None if path is None else writable(path)
        json.dumps(config, default=_no_json)
        self.config, self.rounding = config, rounding
        self.P = 0
        self.records: list[Record] = []
        self.run = uuid.uuid4().hex
        self._owner = os.getpid()
        self._journal: Journal | None = None
        self._saved, self._due = 0, 0.0

    def add(self, record: Record) -> None:
        """Keep one more record; it is on disk when this returns, if there is a path."""
        self.records.append(record)
        if self.path is None:
            return
        if len(self.records) >= 2 and time.monotonic() >= self._due:
            self.save()
        else:
            if self._journal is None:
                header = {"P": self.P, "config": self.config, "rounding": self.rounding}
                self._journal = Journal(self.path, self.run, header)
            try:
                self._journal.append(record)
            except OSError:
                self._due = 0.0  # a gap in the journal: the next record writes the whole file
                raise

    def save(self) -> None:
        """Bring the ``.npz`` up to date and empty the journal."""
        if self.path is None or len(self.records) < 2 or self._saved == len(self.records):
            return
        if os.getpid() != self._owner:  # a forked worker has a copy of the tracker, not the run
            return
        begun = time.monotonic()
        self.sequence().write(self.path, run=self.run)
        self._saved = len(self.records)
        if self._journal is not None:
            self._journal.clear()
        done = time.monotonic()
        self._due = done + PATIENCE * (done - begun)

    def restore(self, records: list[Record], run: str, P: int) -> None:
        """Start from `records` of an earlier part of the run; what came after them on disk is dropped."""
        self.records, self.run, self.P, self._saved = records, run, P, 0
        self._journal = None
        self.save()

    def sequence(self) -> GramSequence:
        """The run so far; full K where the run is no longer than the band."""
        if len(self.records) < 2:
            raise ValueError(f"a sequence needs at least 3 snapshots, got {len(self.records)} updates")
        return sequence_of(self.records, self.P, self.config, self.rounding)


def sequence_of(
    records: list[Record], P: int | None, config: dict[str, Any], rounding: float
) -> GramSequence:
    """A sequence from its records."""
    T = len(records)
    band = padded_band(np.array([record.row for record in records], dtype=np.float64))
    K = unfold(np.nan_to_num(band[:, :T])) if band.shape[1] >= T else band

    def column(values: list[Any], shape: tuple[int, ...] = ()) -> Any:
        missing = np.full(shape, np.nan)
        return np.array(
            [missing if value is None else np.asarray(value) for value in values], dtype=np.float64
        )

    metrics = dict.fromkeys(name for record in records for name in record.metrics)
    probes: dict[str, Any] = {}
    for record in records:
        for name, value in record.probes.items():
            probes.setdefault(name, np.shape(value))
    # not checked again: each row was when it was recorded, and a file when it was read
    return GramSequence(
        K=K,
        steps=np.array([record.step for record in records], dtype=np.int64),
        P=P or None,
        metrics={name: column([record.metrics.get(name) for record in records]) for name in metrics},
        probes={
            name: column([record.probes.get(name) for record in records], shape)
            for name, shape in probes.items()
        },
        config=dict(config),
        rounding=rounding,
    )


def with_journal(
    path: Any, header: dict[str, Any] | None, sequence: GramSequence | None
) -> GramSequence | None:
    """`sequence`, read from `path` with `header`, continued by the journal beside it.

    Without a ``.npz`` (killed before it was first written) the journal stands alone; None if that is too
    short.
    """
    found = read_journal(path)
    if found is None or (header is not None and header.get("run") != found[0]["run"]):
        return sequence
    first, appended = found
    records = [] if sequence is None else _records(sequence, len(appended[0].row) if appended else 0)
    for record in appended:
        if record.index == len(records):  # earlier ones are in the .npz already
            records.append(record)
    if len(records) < 2 or (sequence is not None and len(records) == sequence.T):
        return sequence
    return sequence_of(records, first["P"], first["config"], first["rounding"])


def _records(sequence: GramSequence, width: int) -> list[Record]:
    records = []
    for t in range(sequence.T):
        row = np.full(width, np.nan)
        lags = min(t, width - 1) + 1
        row[:lags] = sequence.K[t, :lags] if sequence.banded else sequence.K[t, t - lags + 1 : t + 1][::-1]
        metrics = {name: float(values[t]) for name, values in sequence.metrics.items()}
        probes = {name: values[t].tolist() for name, values in sequence.probes.items()}
        records.append(Record(t, int(sequence.steps[t]), row.tolist(), metrics, probes))
    return records


def _no_json(value: Any) -> Any:
    raise ValueError(f"config must hold JSON values only, got {value!r}")
