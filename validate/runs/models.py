"""The models: pre-norm transformers of `torch.nn`, one that reads and one that translates (torch extra)."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import embedding, gelu, linear, scaled_dot_product_attention

from spectral_edge.validate.runs.config import RunConfig


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
        self.encoder = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(d), enable_nested_tensor=False)
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
        place = tokens + vocabulary * torch.arange(length)
        projected = embedding(place, project(layer, table)).chunk(3, -1)
        return finish(layer, embedding(place, table), *projected, self.causal)


class Translator(nn.Module):
    """Encode one sequence (0 is padding), predict the next token of another; answers at every position."""

    def __init__(
        self, config: RunConfig, source: int, source_length: int, target: int, target_length: int
    ) -> None:
        super().__init__()
        d = config.d_model
        self.token = nn.Embedding(source, d)
        self.position = nn.Embedding(source_length, d)
        self.target_token = nn.Embedding(target, d)
        self.target_position = nn.Embedding(target_length, d)
        sizes = (d, config.heads, config.d_feedforward, 0.0, "gelu")
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, batch_first=True, norm_first=True),
            config.layers,
            nn.LayerNorm(d),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*sizes, batch_first=True, norm_first=True),
            config.layers,
            nn.LayerNorm(d),
        )
        self.head = nn.Linear(d, target)
        _spread(self.encoder)
        _spread(self.decoder)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits (n, length, target) of the token after each of `target` (n, length)."""
        padding = source == 0
        read = self.token(source) + self.position.weight[: source.shape[1]]
        written = self.target_token(target) + self.target_position.weight[: target.shape[1]]
        memory = self.encoder(read, src_key_padding_mask=padding)
        decoded = self.decoder(
            written, memory, tgt_mask=later(target.shape[1]), memory_key_padding_mask=padding
        )
        logits: torch.Tensor = self.head(decoded)
        return logits


def encode(
    layer: nn.TransformerEncoderLayer, asking: torch.Tensor, asked: torch.Tensor, causal: bool
) -> torch.Tensor:
    """The pre-norm layer at the positions of `asking`, with what it reads of all in `asked`.

    What PyTorch's own layer computes, but for no more positions than are needed.
    """
    if asking is asked:
        return finish(layer, asking, *project(layer, asked).chunk(3, -1), causal)
    d = layer.self_attn.embed_dim
    key, value = project(layer, asked, slice(d, None)).chunk(2, -1)
    return finish(layer, asking, project(layer, asking, slice(d)), key, value, causal)


def project(layer: nn.TransformerEncoderLayer, x: torch.Tensor, rows: slice = slice(None)) -> torch.Tensor:
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
) -> torch.Tensor:
    """The layer's output at `asking`, from there on where the queries, keys and values are known."""
    heads = layer.self_attn.num_heads
    query, key, value = (x.unflatten(-1, (heads, -1)) for x in (query, key, value))
    x = asking + layer.self_attn.out_proj(attend(query, key, value, causal).flatten(2))
    written: torch.Tensor = x + layer.linear2(gelu(layer.linear1(layer.norm2(x))))
    return written


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool) -> torch.Tensor:
    """Attention of (n, length, heads, width); two positions are written out, which is faster."""
    if key.shape[1] != 2 or causal:
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        return scaled_dot_product_attention(query, key, value, is_causal=causal).transpose(1, 2)
    # a softmax over two is a sigmoid of their difference
    difference = (query * (key[:, :1] - key[:, 1:])).sum(-1, keepdim=True) * query.shape[-1] ** -0.5
    return torch.lerp(value[:, 1:], value[:, :1], torch.sigmoid(difference))


def later(length: int) -> torch.Tensor:
    """True where the second position is later than the first: what a causal model does not see."""
    return torch.ones(length, length, dtype=torch.bool).triu(1)


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
