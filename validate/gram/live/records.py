"""Records as a sequence has them, and a sequence as the records it was made of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from spectral_edge.validate.gram.arrays.inner_products import padded_band, unfold
from spectral_edge.validate.gram.live.journal import Record, read_journal

if TYPE_CHECKING:
    from spectral_edge.validate.gram.sequence import GramSequence


def fields_of(
    records: list[Record], P: int | None, config: Mapping[str, Any], rounding: float
) -> dict[str, Any]:
    """The fields of the `GramSequence` that has these records."""
    T = len(records)
    band = padded_band(np.array([record.row for record in records], dtype=np.float64))
    K = unfold(band[:, :T]) if band.shape[1] >= T else band

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
    return {
        "K": K,
        "steps": np.array([record.step for record in records], dtype=np.int64),
        "P": P or None,
        "metrics": {name: column([record.metrics.get(name) for record in records]) for name in metrics},
        "probes": {
            name: column([record.probes.get(name) for record in records], shape)
            for name, shape in probes.items()
        },
        "config": dict(config),
        "rounding": rounding,
    }


def continued(
    path: Any, header: dict[str, Any] | None, sequence: "GramSequence | None"
) -> dict[str, Any] | None:
    """The fields of `sequence`, read from `path` with `header`, continued by the journal beside it.

    Without a ``.npz`` (killed before it was first written) the journal stands alone. None where the journal adds
    nothing, or is too short to stand alone.
    """
    found = read_journal(path)
    if found is None or (header is not None and header.get("run") != found[0]["run"]):
        return None
    first, appended = found
    records = [] if sequence is None else records_of(sequence, max((len(r.row) for r in appended), default=0))
    changed = False
    for record in appended:
        if record.row and record.index == len(records):  # earlier ones are in the .npz already
            records.append(record)
            changed = True
        elif not record.row and record.index < len(records):
            records[record.index].metrics.update(record.metrics)
            changed = True
    if len(records) < 2 or not changed:
        return None
    return fields_of(records, first["P"], first["config"], first["rounding"])


def records_of(sequence: "GramSequence", width: int = 0) -> list[Record]:
    """The records a sequence was made of, with rows of `width` lags, or as many as it has."""
    width = width or (sequence.K.shape[1] if sequence.banded else sequence.T)
    records = []
    for t in range(sequence.T):
        row = np.full(width, np.nan)
        lags = min(t, width - 1) + 1
        row[:lags] = sequence.K[t, :lags] if sequence.banded else sequence.K[t, t - lags + 1 : t + 1][::-1]
        metrics = {name: float(values[t]) for name, values in sequence.metrics.items()}
        probes = {name: values[t].tolist() for name, values in sequence.probes.items()}
        records.append(Record(t, int(sequence.steps[t]), row.tolist(), metrics, probes))
    return records
