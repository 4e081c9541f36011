"""The models: pre-norm transformers of `torch.nn`, one that reads and one that translates (torch extra)."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import embedding, gelu, linear, scaled_dot_product_attention

from spectral_edge.validate.runs.config import RunConfig

Layer: TypeAlias = nn.TransformerEncoderLayer | nn.TransformerDecoderLayer


class Transformer(nn.Module):
    """Embed tokens, encode them, normalise, read the answer at every position, or at the first alone.

    Parameters
    ----------
    config : RunConfig
        Sizes.
    vocabulary, length, classes : int
        Tokens, positions and answers there are.
    tasks : int
        Heads, each with an answer of its own; the logits of more than one are stacked before their last axis.
    causal : bool
        Positions look back only.
    first : bool
        Answer at the first position.
    position_scale : float
        Standard deviation of the positions at the start; tokens begin with 1.
    copies : bool
        PyTorch's own start of the layers, in which all begin as copies of the first; otherwise each matrix is
        drawn by itself.
    """

    def __init__(
        self,
        config: RunConfig,
        vocabulary: int,
        length: int,
        classes: int,
        *,
        tasks: int = 1,
        causal: bool = False,
        first: bool = False,
        position_scale: float = 1.0,
        copies: bool = False,
    ) -> None:
        super().__init__()
        d = config.d_model
        self.token = nn.Embedding(vocabulary, d)
        self.position = nn.Parameter(position_scale * torch.randn(length, d))
        layer = nn.TransformerEncoderLayer(
            d, config.heads, config.d_feedforward, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.encoder: Any = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(d), enable_nested_tensor=False
        )
        self.heads = nn.ModuleList(nn.Linear(d, classes) for _ in range(tasks))
        self.causal, self.first = causal, first
        if not copies:
            _spread(self.encoder)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes), (n, tasks, classes) or (n, length, classes) of `tokens` (n, length)."""
        bottom, *inner = self.encoder.layers
        x = self._begin(bottom, tokens)
        for layer in inner:
            # what is read at one position asks the last layer for that position alone
            asking = x[:, :1] if self.first and layer is inner[-1] else x
            x = encode(layer, asking, x, self.causal)
        x = self.encoder.norm(x)
        x = x[:, 0] if self.first else x
        logits = [head(x) for head in self.heads]
        return torch.stack(logits, -2) if len(logits) > 1 else logits[0]

    def _begin(self, layer: nn.TransformerEncoderLayer, tokens: torch.Tensor) -> torch.Tensor:
        """Embed the tokens and take them through the first layer."""
        length, vocabulary = tokens.shape[1], self.token.num_embeddings
        if tokens.numel() < length * vocabulary:
            x = self.token(tokens) + self.position[:length]
            return encode(layer, x, x, self.causal)
        # what it projects depends on token and position alone: once for each pair of them is enough
        table = (self.token.weight + self.position[:length, None]).flatten(0, 1)
        place = tokens + vocabulary * torch.arange(length, device=tokens.device)
        query, key, value = embedding(place, project(layer, table)).chunk(3, -1)
        return finish(layer, embedding(place, table), query, key, value, self.causal)


class Translator(nn.Module):
    """Read one sequence, write another: answers at every position of what is written.

    The parts and the start of `nn.Transformer` (Xavier for every matrix), with one more normalisation before the
    head. Token 0 is padding: what reads does not look at that of its own sequence, what writes sees that of the
    sequence read, which therefore has one length for all.
    """

    def __init__(
        self, config: RunConfig, source: int, source_length: int, target: int, target_length: int
    ) -> None:
        super().__init__()
        d = config.d_model
        self.token = nn.Embedding(source, d)
        self.position = nn.Parameter(torch.empty(source_length, d))
        self.target_token = nn.Embedding(target, d)
        self.target_position = nn.Parameter(torch.empty(target_length, d))
        sizes = (d, config.heads, config.d_feedforward, 0.0, "gelu")
        read = nn.TransformerEncoderLayer(*sizes, batch_first=True, norm_first=True)
        write = nn.TransformerDecoderLayer(*sizes, batch_first=True, norm_first=True)
        self.encoder: Any = nn.TransformerEncoder(
            read, config.layers, nn.LayerNorm(d), enable_nested_tensor=False
        )
        self.decoder: Any = nn.TransformerDecoder(write, config.layers, nn.LayerNorm(d))
        self.norm = nn.LayerNorm(d)
        self.head = nn.Linear(d, target)
        _spread(self)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits (n, length, target) of the token after each of `target` (n, length)."""
        x = self.token(source) + self.position[: source.shape[1]]
        looked_at = (source != 0)[:, None, None]
        for layer in self.encoder.layers:
            x = encode(layer, x, x, mask=looked_at)
        memory = self.encoder.norm(x)
        y = self.target_token(target) + self.target_position[: target.shape[1]]
        for layer in self.decoder.layers:
            y = decode(layer, y, memory)
        logits: torch.Tensor = self.head(self.norm(self.decoder.norm(y)))
        return logits


def encode(
    layer: nn.TransformerEncoderLayer,
    asking: torch.Tensor,
    asked: torch.Tensor,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """The pre-norm layer at the positions of `asking`, with what it reads of all in `asked`.

    What PyTorch's own layer computes, but for no more positions than are needed.
    """
    if asking is asked:
        query, key, value = project(layer, asked).chunk(3, -1)
        return finish(layer, asking, query, key, value, causal, mask)
    d = layer.self_attn.embed_dim
    key, value = project(layer, asked, slice(d, None)).chunk(2, -1)
    return finish(layer, asking, project(layer, asking, slice(d)), key, value, causal, mask)


def project(layer: Layer, x: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
    """Query, key and value of `x`, side by side; or those of them that `rows` of the stacked matrix give."""
    attention = layer.self_attn
    return linear(layer.norm1(x), attention.in_proj_weight[rows], attention.in_proj_bias[rows])


def finish(
    layer: nn.TransformerEncoderLayer,
    asking: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    causal: bool,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """The layer's output at `asking`, from there on where the queries, keys and values are known."""
    x = asking + attend(layer.self_attn, query, key, value, causal, mask)
    written: torch.Tensor = x + layer.linear2(gelu(layer.linear1(layer.norm2(x))))
    return written


def decode(layer: nn.TransformerDecoderLayer, written: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """The pre-norm layer of a decoder that looks back at what is `written` and at all of `memory`."""
    query, key, value = project(layer, written).chunk(3, -1)
    y = written + attend(layer.self_attn, query, key, value, causal=True)
    across = layer.multihead_attn
    d, weight, bias = across.embed_dim, across.in_proj_weight, across.in_proj_bias
    query = linear(layer.norm2(y), weight[:d], bias[:d])
    key, value = linear(memory, weight[d:], bias[d:]).chunk(2, -1)
    y = y + attend(across, query, key, value)
    out: torch.Tensor = y + layer.linear2(gelu(layer.linear1(layer.norm3(y))))
    return out


def attend(
    attention: nn.MultiheadAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """What the heads read, put together; between two positions it is written out, which is faster."""
    query, key, value = (x.unflatten(-1, (attention.num_heads, -1)) for x in (query, key, value))
    if key.shape[1] == 2 and not causal and mask is None:  # a softmax over two: a sigmoid of their difference
        difference = (query * (key[:, :1] - key[:, 1:])).sum(-1, keepdim=True) * query.shape[-1] ** -0.5
        read = torch.lerp(value[:, 1:], value[:, :1], torch.sigmoid(difference))
    else:
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        read = scaled_dot_product_attention(query, key, value, mask, is_causal=causal).transpose(1, 2)
    together: torch.Tensor = attention.out_proj(read.flatten(2))
    return together


def _spread(layers: nn.Module) -> None:
    """Draw every matrix anew: PyTorch begins all layers of a stack as copies of the first."""
    for parameter in layers.parameters():
        if parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """The model that `build` makes with this seed; the caller's random numbers are left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def is_attention(name: str) -> bool:
    """Whether a parameter is an attention matrix (W_Q, W_K, W_V stacked, or W_O)."""
    return "attn" in name and name.endswith("weight")


def attention_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """The attention matrices by name, in model order."""
    return {name: tensor.detach() for name, tensor in model.named_parameters() if is_attention(name)}


def attention_matrices(model: nn.Module) -> dict[str, torch.Tensor]:
    """W_Q, W_K, W_V and W_O of every attention block, each by itself, as "encoder.0.Q"."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in attention_weights(model).items():
        block = (
            name.rpartition("attn.")[0]
            .replace("layers.", "")
            .replace("self_", "")
            .replace("multihead_", "cross.")
        )
        parts = zip("QKV", tensor.chunk(3), strict=True) if "in_proj" in name else [("O", tensor)]
        found |= {f"{block}{letter}": part for letter, part in parts}
    return found
