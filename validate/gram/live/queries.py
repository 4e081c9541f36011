"""Singular values of the query matrices of a model, as metrics beside its records (torch extra)."""

import re
from collections.abc import Iterator
from typing import Any

from spectral_edge.validate.gram.parameters import by_normalised_name, normalised

#: What a query matrix is called that stands by itself, in the models of the usual libraries.
_ALONE = re.compile(
    r"(?:^|\.)(?:q_proj|q_lin|query|query_proj|to_q|wq|(?<=Attention\.)q)(?:\.base_layer)?\.weight$|(?:^|\.)q_proj_weight$"
)
#: … and where it is one matrix with keys and values.
_FUSED = re.compile(
    r"(?:^|\.)(?:in_proj_weight|(?P<kind>c_attn|qkv|qkv_proj|Wqkv|query_key_value)(?:\.base_layer)?\.weight)$"
)
#: Modules whose one matrix holds the heads one after the other under a name that elsewhere means queries first.
_BY_HEAD = {"MiniMaxLightningAttention"}
#: Attention that reads another sequence than the one it writes.
_CROSS = re.compile(r"cross|encoder_attn|EncDecAttention", re.IGNORECASE)


def query_spectra(model: Any) -> dict[str, float]:
    """The two largest singular values of every W_Q of self-attention: "LAYER.Q.sigma_1", "LAYER.Q.sigma_2" (8.4).

    Prediction 12 asks for them. W_Q is known by the names that PyTorch's own attention and the usual libraries give it
    (``q_proj``, ``query``, ``wq``, ``to_q``), and taken out of one matrix with keys and values (``in_proj_weight``,
    ``qkv``, GPT-2's ``c_attn``, ``query_key_value``): the first rows, or, where the module has the heads one after the
    other (GPT-NeoX, BLOOM, Falcon), the queries of each. A matrix of another shape than its module says is left.

    Parameters
    ----------
    model : torch.nn.Module
        With whole parameters, not shards. A wrapper's prefix is left off the names.

    Returns
    -------
    dict of str to float
        In parameter units; empty where no query matrix is known. A matrix of d × d takes some d³ operations.

    Examples
    --------
    >>> import torch
    >>> from spectral_edge import validate
    >>> model = torch.nn.TransformerEncoderLayer(8, 2, 16)
    >>> sorted(validate.probes.query_spectra(model))
    ['self_attn.Q.sigma_1', 'self_attn.Q.sigma_2']
    >>> tracker = validate.GramTracker(W_max=4, say=None)
    >>> tracker.update(model, step=0, **validate.probes.query_spectra(model))
    """
    import torch

    found: dict[str, float] = {}
    for name, matrix in _query_matrices(model):
        sigma = torch.linalg.svdvals(matrix.detach().double())[:2].tolist()
        if len(sigma) == 2:
            found[f"{name}.Q.sigma_1"], found[f"{name}.Q.sigma_2"] = sigma
    return found


def _query_matrices(model: Any) -> Iterator[tuple[str, Any]]:
    parameters = by_normalised_name(model.named_parameters())
    modules = {normalised(name): module for name, module in model.named_modules()}
    for name, parameter in parameters.items():
        # PyTorch's decoder calls the attention to another sequence so, beside that to its own
        other = name.replace("multihead_attn", "self_attn")
        if parameter.ndim != 2 or _CROSS.search(name) or (other != name and other in parameters):
            continue
        if alone := _ALONE.search(name):
            yield name[: alone.start()] or "model", parameter
        elif fused := _FUSED.search(name):
            label = name[: fused.start()]
            queries = _taken_out(parameter, fused["kind"], modules.get(label))
            if queries is not None:
                yield label or "model", queries


def _taken_out(matrix: Any, kind: str | None, module: Any) -> Any:
    """W_Q, from a matrix that holds W_K and W_V too; None where it is not known how."""
    rows, columns = matrix.shape
    if kind == "c_attn" and columns == 3 * rows:  # GPT-2 multiplies from the other side
        return matrix[:, :rows]
    by_head = kind == "query_key_value" or type(module).__name__ in _BY_HEAD
    if getattr(module, "mp_num", None):  # CodeGen, as it was cut for several devices
        piece = columns // module.mp_num
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
