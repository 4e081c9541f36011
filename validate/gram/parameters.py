"""Parameters as a training loop has them, as named arrays: models, mappings, lists; shards of them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

#: Floating types whose differences are formed.
FLOATING = ("float16", "bfloat16", "float32", "float64")
#: What wrappers (torch.compile, FSDP, activation checkpointing) put into names, before any layer they wrap.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
#: Last parts of the names of buffers: what a model keeps beside its parameters and no optimiser moves.
BUFFERS = frozenset(
    "running_mean running_var num_batches_tracked "  # normalisation over batches
    "inv_freq original_inv_freq cos_cached sin_cached freqs_cis "  # rotary positions
    "masked_bias causal_mask attn_mask attention_mask mask tril position_ids "  # what attention must not see
    "relative_position_index relative_coords_table "  # shifted windows
    "weight_u weight_v n_averaged _extra_state".split()  # spectral norm, averaged models, others
)

Select = str | Iterable[str] | Callable[[str], bool] | None


def normalised(name: str) -> str:
    """`name` without what wrappers add.

    A wrapper of the whole model may be called ``module`` (DataParallel, DistributedDataParallel), and so may a
    layer of it: only a leading ``module.`` is taken away. The other names (``_orig_mod.``,
    ``_fsdp_wrapped_module.``, ``_checkpoint_wrapped_module.``) belong to no layer, wherever they stand.

    Examples
    --------
    >>> normalised("module._orig_mod.layers.0.weight"), normalised("encoder.module.weight")
    ('layers.0.weight', 'encoder.module.weight')
    """
    parts = [part for part in name.split(".") if part not in WRAPPERS]
    while len(parts) > 1 and parts[0] == "module":
        parts = parts[1:]
    return ".".join(parts)


def is_parameter(name: str, shape: Collection[int]) -> bool:
    """Whether a tensor of a state dictionary is a parameter, by its name; else it is a known buffer.

    The one rule for everything whose tensors do not say so themselves: checkpoints, and state dictionaries that
    are recorded live. (A model does say so: ``named_parameters()``.)

    Examples
    --------
    >>> is_parameter("bn1.running_var", (64,)), is_parameter("bn1.weight", (64,))
    (False, True)
    >>> is_parameter("h.0.attn.bias", (1, 1, 32, 32)), is_parameter("h.0.attn.bias", (96,))  # a mask, a bias
    (False, True)
    """
    last, sizes = name.split(".")[-1], tuple(shape)
    mask = last == "bias" and len(sizes) == 4 and sizes[:2] == (1, 1) and sizes[2] == sizes[3]
    return not mask and last not in BUFFERS


def by_normalised_name(items: Iterable[tuple[str, Any]], where: str = "params") -> dict[str, Any]:
    """`items` by their names without wrappers.

    Raises
    ------
    ValueError
        If two names are the same then: one of the two would be lost.
    """
    found: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, item in items:
        plain = normalised(name)
        if origin.get(plain, name) != name:
            raise ValueError(
                f"{where} must have names that differ without wrappers, got {origin[plain]!r} and {name!r}"
            )
        found[plain], origin[plain] = item, name
    return found


def selector(select: Select, exclude: Select = None) -> Callable[[str], bool]:
    """A test for names: glob patterns of which one must match (a callable decides for itself), and exceptions."""

    def matcher(patterns: Select) -> Callable[[str], bool]:
        if callable(patterns):
            return patterns
        globs = [patterns] if isinstance(patterns, str) else list(patterns or [])
        return lambda name: any(fnmatchcase(name, glob) for glob in globs)

    wanted = (lambda name: True) if select is None else matcher(select)
    unwanted = matcher(exclude)
    return lambda name: bool(wanted(name)) and not unwanted(name)


def dtype_name(array: Any) -> str:
    """``float32`` for the dtype of that name in any framework."""
    return str(array.dtype).split(".")[-1]


def device_name(array: Any) -> str:
    """Where `array` lives, ``cpu`` for numpy."""
    return str(getattr(array, "device", "cpu"))


@dataclass(frozen=True)
class Chosen:
    """The tensors of a model that are recorded, and the names of those that are not.

    Attributes
    ----------
    arrays : dict of str to array
        By normalised name, tied ones once; each as it came (a DTensor as such).
    frozen : dict of str to array
        Left out because they are not trained.
    buffers : list of str
        Left out because they are not parameters.
    others : list of str
        Left out because they are not floating-point (integers, complex numbers, 8-bit floats).
    """

    arrays: dict[str, Any]
    frozen: dict[str, Any] = field(default_factory=dict)
    buffers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def left_out(self) -> list[str]:
        """In words, what is not recorded and why."""
        reasons = {
            "not trained": list(self.frozen),
            "buffers": self.buffers,
            "not floating-point": self.others,
        }
        return [f"{len(names):,} {why} ({shortened(names)})" for why, names in reasons.items() if names]


def choose(
    params: Any,
    wanted: Callable[[str], bool] = lambda name: True,
    *,
    frozen: bool = True,
    kept: Collection[str] = (),
) -> Chosen:
    """Floating arrays of `params` that are wanted.

    Parameters
    ----------
    params : array, model, mapping (nested too), or iterable of arrays or of (name, array)
        An array is called "params", those of an iterable "0", "1", …
    wanted : callable
        Test for the normalised names.
    frozen : bool
        Take those that need no gradient too. Where none needs one (a state dictionary) all are taken.
    kept : collection of str
        Names taken though they are frozen.

    Raises
    ------
    ValueError
        If nothing is left, or names are the same without their wrappers.
    """
    arrays = by_normalised_name(items(params))
    if not arrays:
        raise ValueError("params must hold at least one array, got none")
    model = hasattr(params, "named_parameters")
    floating = {name: array for name, array in arrays.items() if dtype_name(array) in FLOATING}
    if not floating:
        kinds = ", ".join(sorted({dtype_name(array) for array in arrays.values()}))
        raise ValueError(f"params must be floating-point arrays, got {kinds}")
    matching = {name: array for name, array in floating.items() if wanted(name)}
    chosen = {name: array for name, array in matching.items() if model or is_parameter(name, array.shape)}
    if not chosen:
        raise ValueError(f"select must match a parameter, got none of {shortened(list(floating))}")
    buffers = [name for name in matching if name not in chosen]
    seen: dict[Any, str] = {}
    for name, array in chosen.items():
        seen.setdefault(_identity(array), name)
    once = {name: chosen[name] for name in seen.values()}
    trained = {name for name, array in once.items() if needs_gradient(array)}
    taken = once.keys() if frozen or not trained else {*trained, *kept}
    return Chosen(
        arrays={name: array for name, array in once.items() if name in taken},
        frozen={name: array for name, array in once.items() if name not in taken},
        buffers=buffers,
        others=[name for name in arrays if name not in floating],
    )


def items(params: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a model, a mapping (nested too) or an iterable, with their names."""
    if hasattr(params, "named_parameters"):
        yield from params.named_parameters()
    elif isinstance(params, Mapping):
        for key, value in params.items():
            if isinstance(value, list | tuple):
                value = {str(index): entry for index, entry in enumerate(value)}
            if isinstance(value, Mapping):
                yield from items(value, f"{prefix}{key}.")
            elif hasattr(value, "shape"):
                yield f"{prefix}{key}", value
    elif hasattr(params, "shape"):
        yield "params", params
    else:
        try:
            entries = iter(params)
        except TypeError:
            raise ValueError(
                f"params must be a model, arrays or a mapping of them, got {type(params).__name__}"
            ) from None
        for index, value in enumerate(entries):
            pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str)
            name, array = value if pair else (str(index), value)
            if not hasattr(array, "shape"):
                raise ValueError(
                    f"params must be a model, arrays or a mapping of them, got {type(array).__name__} as {name!r}"
                )
            yield name, array


def _identity(array: Any) -> Any:
    """The same for two names of one tied tensor, different for any others."""
    if hasattr(array, "to_local"):
        array = array.to_local()
    if hasattr(array, "data_ptr") and array.numel():
        return array.data_ptr(), tuple(array.shape), array.stride()
    if hasattr(array, "__array_interface__") and array.size:
        return array.__array_interface__["data"][0], array.shape, array.strides
    return id(array)


def needs_gradient(array: Any) -> bool:
    """Whether `array` is trained, as far as it says so."""
    return bool(getattr(array, "requires_grad", False))


def is_shard(array: Any) -> bool:
    """Whether `array` is a DTensor of which this process holds a part."""
    if not hasattr(array, "to_local") or array.device_mesh.size() == 1:
        return False
    return not all(place.is_replicate() for place in array.placements)


def local(array: Any, *, shared: bool = True) -> Any:
    """Own part of `array`: of a DTensor its local shard.

    A DTensor replicated over a mesh dimension is counted by the first rank of that dimension, where the ranks'
    products are added up (`shared`): the others have an empty one.
    """
    if not hasattr(array, "to_local"):
        return array
    shard = array.to_local()
    coordinates = array.device_mesh.get_coordinate() or ()
    for placement, coordinate in zip(array.placements, coordinates, strict=False):
        if shared and placement.is_replicate() and coordinate != 0:
            return shard.reshape(-1)[:0]
    return shard


def traits(array: Any) -> dict[str, str]:
    """What must stay the same of a tensor while a run is recorded."""
    return {"shape": str(tuple(array.shape)), "dtype": dtype_name(array), "device": device_name(array)}


def size(array: Any) -> int:
    """Number of entries."""
    total = 1
    for length in array.shape:
        total *= int(length)
    return total


def shortened(names: list[str], most: int = 4) -> str:
    """The first few of `names`."""
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In words, which names came and went."""
    added, missing = sorted(set(now) - set(before)), sorted(set(before) - set(now))
    return f"got {', '.join(added) or 'nothing'} more and {', '.join(missing) or 'nothing'} less"
