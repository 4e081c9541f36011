"""Which tensors of a training are recorded, and that they stay what they were."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spectral_edge.validate.gram.groups import grouping
from spectral_edge.validate.gram.parameters import (
    Chosen,
    Select,
    choose,
    difference,
    is_shard,
    local,
    needs_gradient,
    selector,
    shortened,
    size,
    traits,
)

if TYPE_CHECKING:
    from spectral_edge.validate.gram.live.shards import Mark


class Watched:
    """The tensors that a tracker records.

    Parameters
    ----------
    select : str, list of str, or callable, optional
        Which, by name.
    frozen : bool
        Those too that are not trained.
    by : {"layer", "kind"}, callable, or None
        The group of a tensor, by its name.
    shared : bool
        Products are added up over processes, of which each has its own shard.

    Attributes
    ----------
    layout : dict of str to dict
        What must stay the same of each.
    chosen : Chosen or None
        What was found when it was last looked at in full.
    """

    def __init__(self, select: Select, frozen: bool, by: Any, shared: bool) -> None:
        self._select, self.frozen, self.shared = select, bool(frozen), shared
        self.wanted = selector(select)
        self.by, self._group = by, grouping(by)
        self.layout: dict[str, dict[str, str]] = {}
        self.chosen: Chosen | None = None
        self._waiting: dict[str, Any] = {}  # not trained, so far

    def look(self, params: Any, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays of this process of all that is recorded, and those of them that were not before.

        Raises
        ------
        ValueError
            If the parameters have changed otherwise than by beginning to be trained, or cannot be recorded by
            one process alone.
        """
        chosen = choose(params, self.wanted, frozen=self.frozen, kept=self.layout)
        self._refuse_what_is_elsewhere(params, chosen.arrays)
        # a state dictionary does not say what is trained: what was not so far is not now
        found = {
            name: traits(array)
            for name, array in chosen.arrays.items()
            if name not in self._waiting or needs_gradient(array)
        }
        joined = [name for name in found if name not in self.layout]
        first = not self.layout
        if not first:
            expected = [*self.layout, *(name for name in joined if name in self._waiting)]
            if found.keys() != set(expected):
                change = difference(dict.fromkeys(expected), found)
                raise ValueError(f"params must keep their tensors, {change} at step {step}")
            self._require_same(found, step)
        self.layout |= {name: found[name] for name in joined}
        still = {name: array for name, array in self._waiting.items() if name not in self.layout}
        self._waiting, self.chosen = still | chosen.frozen, chosen
        own = {name: local(chosen.arrays[name], shared=self.shared) for name in self.layout}
        return own, {} if first else {name: own[name] for name in joined}

    def expect(self, layout: Mapping[str, Mapping[str, str]]) -> None:
        """Begin with what another one watched, on whatever device."""
        self.layout = {
            name: {trait: value for trait, value in found.items() if trait != "device"}
            for name, found in layout.items()
        }

    def fresh(self) -> "Watched":
        """One that has seen nothing yet."""
        return Watched(self._select, self.frozen, self.by, self.shared)

    def mark(self, own: Mapping[str, Any], early: bool) -> "Mark":
        """The share of this process; with what tells it from a replica while it is `early`."""
        from spectral_edge.validate.gram.live.shards import Mark

        arrays = self.chosen.arrays if early and self.chosen is not None else {}
        plain = {name: array for name, array in arrays.items() if not hasattr(array, "to_local")}
        return Mark(sum(map(size, own.values())), plain)

    def unfrozen(self) -> bool:
        """Whether a tensor that was not trained when last looked at is trained now."""
        return any(map(needs_gradient, self._waiting.values()))

    def _require_same(self, found: Mapping[str, dict[str, str]], step: int) -> None:
        for name, expected in self.layout.items():
            for trait, was in expected.items():
                now = found[name].get(trait)
                if now != was:
                    raise ValueError(
                        f"params must keep their {trait}, {was} of {name!r}, got {now} at step {step}"
                    )

    def _refuse_what_is_elsewhere(self, params: Any, arrays: Mapping[str, Any]) -> None:
        gone = [name for name, array in arrays.items() if not size(array)]
        if gone and (not self.shared or any(hasattr(arrays[name], "ds_id") for name in gone)):
            raise ValueError(
                f"params must not be empty, got no entries in {len(gone)} tensors ({shortened(gone)}): ZeRO-3 keeps "
                "parameters elsewhere between steps; use ZeRO-2 or FSDP2, or gathered checkpoints"
            )
        if self.shared:
            return
        shards = [name for name, array in arrays.items() if is_shard(array)]
        if not shards and not self.layout and hasattr(params, "modules"):
            parts = {type(module).__name__ for module in params.modules()}
            shards = list(arrays) if "FullyShardedDataParallel" in parts else []
        if shards:
            raise ValueError(
                "params are shards of a model that is spread over several processes: pass group='world' to the "
                f"tracker of every rank, got {len(shards)} shards ({shortened(shards)})"
            )

    def groups(self) -> dict[str, str]:
        """The group of every tensor, of those too that are not trained so far; one group, "", without `by`."""
        return {name: self._group(name) for name in (*self.layout, *self._waiting)}

    def sizes(self, own: Mapping[str, Any]) -> dict[str, int]:
        """Parameters in each group, of this process."""
        found = dict.fromkeys(self.groups().values(), 0)
        for name, array in own.items():
            found[self._group(name)] += size(array)
        return found
