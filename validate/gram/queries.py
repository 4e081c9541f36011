"""Where parameters hold the query matrices of self-attention: by their names, and what their modules say."""

import re
from collections.abc import Collection
from typing import Any

#: What a query matrix is called that stands by itself, in the models of the usual libraries.
_ALONE = re.compile(
    r"(?:^|\.)(?:q_proj|q_lin|query|query_proj|to_q|wq|(?<=Attention\.)q)(?:\.base_layer)?\.weight$|(?:^|\.)q_proj_weight$"
)
#: … and where it is one matrix with keys and values.
_FUSED = re.compile(
    r"(?:^|\.)(?:in_proj_weight|(?P<kind>c_attn|qkv|qkv_proj|Wqkv|query_key_value)(?:\.base_layer)?\.weight)$"
)
#: Attention that reads another sequence than the one it writes.
_CROSS = re.compile(r"cross|encoder_attn|EncDecAttention", re.IGNORECASE)
#: Modules whose one matrix holds the heads one after the other under a name that elsewhere means queries first.
_BY_HEAD = {"MiniMaxLightningAttention"}
#: Names that mean one thing in one library and another in the next: without the module nothing is known.
_AMBIGUOUS = {"qkv_proj", "query_key_value"}


def located(name: str, names: Collection[str]) -> tuple[str, str] | None:
    """The layer whose W_Q the parameter `name` holds and how: "alone", or what a matrix with W_K and W_V is called.

    Parameters
    ----------
    name : str
        Without what wrappers add.
    names : collection of str
        All of the model.

    Returns
    -------
    tuple of str, str, or None
        None where it holds none of self-attention.

    Examples
    --------
    >>> located("h.0.attn.q_proj.weight", []), located("h.0.attn.qkv.weight", []), located("h.0.attn.k_proj.weight", [])
    (('h.0.attn', 'alone'), ('h.0.attn', 'qkv'), None)
    """
    # PyTorch's decoder calls the attention to another sequence so, beside that to its own
    other = name.replace("multihead_attn", "self_attn")
    if _CROSS.search(name) or (other != name and other in names):
        return None
    if alone := _ALONE.search(name):
        return name[: alone.start()], "alone"
    if fused := _FUSED.search(name):
        return name[: fused.start()], fused["kind"] or "in_proj_weight"
    return None


def taken_out(matrix: Any, kind: str, module: Any = None) -> Any:
    """W_Q, from the matrix that holds it; None where it is not known which part it is.

    Parameters
    ----------
    matrix : array or tensor
        (outputs, inputs), as `torch.nn.Linear` has it.
    kind : str
        As `located` gives it.
    module : torch.nn.Module, optional
        The attention, which says how many heads there are.

    Returns
    -------
    array or tensor, or None

    Examples
    --------
    >>> import numpy as np
    >>> taken_out(np.ones((12, 4)), "qkv").shape, taken_out(np.ones((12, 4)), "query_key_value")
    ((4, 4), None)
    """
    if kind == "alone":
        return matrix
    rows, columns = matrix.shape
    if kind == "c_attn" and columns == 3 * rows:  # GPT-2 multiplies from the other side
        return matrix[:, :rows]
    if module is None and (kind in _AMBIGUOUS or kind == "c_attn"):
        return None
    by_head = kind == "query_key_value" or type(module).__name__ in _BY_HEAD
    if parts := getattr(module, "mp_num", None):  # CodeGen, as it was cut for several devices
        piece = columns // parts
    elif by_head or (kind == "c_attn" and getattr(module, "multi_query", True) is False):
        piece = getattr(module, "head_dim", None) or getattr(module, "head_size", 0)
    else:  # queries first, several for each key where the module says so
        shared = getattr(module, "num_key_value_groups", None if rows != 3 * columns else 1)
        return matrix[: rows * shared // (shared + 2)] if shared and rows % (shared + 2) == 0 else None
    if not piece:
        return None
    # so many times: a head's queries, or several, its keys, its values
    blocks = rows // (3 * piece)
    if rows != 3 * columns:
        blocks = getattr(module, "num_kv_heads", blocks)
    if not blocks or rows % (blocks * piece):
        return None
    return matrix.unflatten(0, (blocks, -1, piece))[:, :-2].flatten(0, 2)
