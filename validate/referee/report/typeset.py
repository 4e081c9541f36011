"""Formulas and numbers in running text, as the predictions write them (σ_1, G_j^train, 1.2e-5), as in print."""

import re

from markupsafe import Markup, escape

# One letter, one after a single capital (Hv_j), or a capital after anything: words joined by an underscore are left.
_BASE = r"(?:(?<![A-Za-z][A-Za-z])(?<=[a-z‖|])|(?<![A-Za-z][A-Z][a-z])(?<=[A-Z][a-z])|(?<=[A-ZΑ-ω]))"
_CODE = re.compile(r"`([^`]+)`")
_INDEX = r"\{[^{}]+\}|crit|eff|train|val|max|\d+|[A-Za-z]\*?"
_FORMULA = re.compile(rf"{_BASE}_(?P<sub>{_INDEX})|\^(?P<sup>\{{[^{{}}]+\}}|train|val|\d+|[A-Za-z])")
_MINUS = re.compile(r"(?<=[\s(\[])-(?=\d)")
_POWER = re.compile(r"(?<![-−\w.])(?P<sign>[-−]?)(?P<mantissa>\d(?:\.\d+)?)e(?P<exponent>[-+−]?\d+)(?!\w)")
_TEXT = re.compile(r"(<text\b[^>]*>)([^<]*[_^][^<]*)(</text>)")
_DROP = 2.2  # points by which an index stands lower in a picture


def html(text: str) -> Markup:
    """Return `text` escaped: indices lower or higher, powers of ten raised, real minus signs, `code` as code.

    Examples
    --------
    >>> html("σ_W/d_crit < -1 and weight_decay")
    Markup('σ<sub>W</sub>/d<sub>crit</sub> &lt; −1 and weight_decay')
    >>> html("5.14e3 times, p < 1e-06")
    Markup('5,140 times, p &lt; 10<sup>−6</sup>')
    """

    def index(found: re.Match[str]) -> str:
        kind = "sub" if found["sub"] else "sup"
        return f"<{kind}>{found[kind].strip('{}')}</{kind}>"

    parts = _CODE.split(str(escape(text)))  # every other part stood between backticks
    parts[::2] = [_POWER.sub(_power, _FORMULA.sub(index, _MINUS.sub("−", part))) for part in parts[::2]]
    parts[1::2] = [f"<code>{part}</code>" for part in parts[1::2]]
    return Markup("".join(parts))


def _power(found: re.Match[str]) -> str:
    """A number with an exponent: written out below a million, otherwise as a multiple of a power of ten."""
    sign, mantissa = found["sign"].replace("-", "−"), found["mantissa"]
    exponent = int(found["exponent"].replace("−", "-"))
    if 0 <= exponent < 6:
        return f"{sign}{float(mantissa) * 10**exponent:,.0f}"
    times = "" if float(mantissa) == 1 else f"{mantissa} × "
    return f"{sign}{times}10<sup>{str(exponent).replace('-', '−')}</sup>"


def svg(picture: str) -> str:
    """Return an SVG document with the indices in its texts set lower or higher.

    Examples
    --------
    >>> svg("<text>σ_1 falls</text>")
    '<text>σ<tspan dy="2.2" style="font-size: 75%">1</tspan><tspan dy="-2.2"> falls</tspan></text>'
    """
    return _TEXT.sub(lambda found: found[1] + _shifted(found[2]) + found[3], picture)


def _shifted(text: str) -> str:
    matches = list(_FORMULA.finditer(text))
    if not matches:
        return text
    ends = [*(found.start() for found in matches[1:]), len(text)]
    out, level = text[: matches[0].start()], 0.0
    for found, end in zip(matches, ends, strict=True):
        kind = "sub" if found["sub"] else "sup"
        shift = _DROP if kind == "sub" else -_DROP
        out += f'<tspan dy="{shift - level:g}" style="font-size: 75%">{found[kind].strip("{}")}</tspan>'
        level = shift
        if rest := text[found.end() : end]:
            out += f'<tspan dy="{-level:g}">{rest}</tspan>'
            level = 0.0
    return out
