"""Models as C: one file with the weights in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..persistence import write_atomically
from . import c_code
from .parts import Part, Parts, take_apart

_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")  # two _ in a row, or one at the beginning, are the compiler's


def export_c(model: Any, path: str | os.PathLike[str], name: str | None = None) -> None:
    """Write a model as one C file that needs nothing else: C99 and C++, for programs and devices without Python.

    Of an autoencoder it has the first three of these functions, of layers alone the last::

        void NAME_encode(const float *x, float *z);
        void NAME_decode(const float *z, float *y);
        void NAME_reconstruct(const float *x, float *y);
        void NAME_forward(const float *x, float *y);

    They are of one sample, and of double where the model is of float64. NAME_n_in, NAME_n_latent and NAME_n_out are how many
    features there are. Weights are constants, to the bit. Nothing is allocated and no state is kept, so threads may call them
    at once; what is between layers is on the stack.

    Parameters
    ----------
    model : Linear, Sequential or Autoencoder
        Codes of a variational one are means. Of a conditional one, x and z have the condition behind them. A masked one takes
        NaN.
    path : path
        Replaced only once the new file is whole.
    name : str, optional
        What the functions' names begin with. Default: the file's name, without its ending.

    Raises
    ------
    TypeError
        The model's class is not fastae's own.
    ValueError
        An activation is not fastae's own, a weight is not finite, or the name is none in C.

    Examples
    --------
    >>> import tempfile, fastae
    >>> model = fastae.Autoencoder([64, 32, 8], activation="silu", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fastae.export_c(model, f"{folder}/digits.c")
    """
    parts = take_apart(model)
    if name is None:
        name, where = Path(path).name.partition(".")[0], "the name of the file"
    else:
        where = "name"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{where} takes what names in C can begin with: a letter, then letters, digits and single _ between them; got "
            f"{name!r}" + ("; give another as name" if where != "name" else "")
        )
    write_atomically(path, _source(parts, name).encode())


def _source(parts: Parts, name: str) -> str:
    encoder, decoder = parts.encoder, parts.decoder
    if decoder is None:
        sizes, end = {"n_in": encoder.n_in, "n_out": encoder.n_out}, ""
        declared, functions = c_code.LAYERS, [("forward", "x", "y", "", encoder)]
    else:
        sizes, end = {"n_in": encoder.n_in, "n_latent": encoder.n_out, "n_out": decoder.n_out}, c_code.RECONSTRUCT
        declared = c_code.AUTOENCODER
        functions = [("encode", "x", "z", "encoder_", encoder), ("decode", "z", "y", "decoder_", decoder)]
    if parts.n_conditions:
        sizes["n_conditions"] = parts.n_conditions
        declared, end = c_code.CONDITIONED, c_code.RECONSTRUCT_CONDITIONED

    def code(text: str) -> str:
        return c_code.code(text, name, parts.dtype)

    text = [c_code.BEGIN.replace("VERSION", __version__)]
    text.append(code(f"\nenum {{ {', '.join(f'NAME_{key} = {value}' for key, value in sizes.items())} }};\n"))
    text += [code(declared), *map(code, _helpers([part for *_, part in functions]))]
    for function, x, y, prefix, part in functions:
        for number, layer in enumerate(part.layers):
            bias = np.zeros(layer.n_out, parts.dtype) if layer.bias is None else layer.bias
            text.append(c_code.constants(f"{name}_{prefix}{number}_weight", layer.weight.T))
            text.append(c_code.constants(f"{name}_{prefix}{number}_bias", bias))
        text.append(code(_function(function, x, y, prefix, part)))
    return "".join([*text, code(end), c_code.END])


def _helpers(parts: list[Part]) -> Iterator[str]:
    """Those that these parts call."""
    yield c_code.LINEAR
    for activation in sorted({layer.activation for part in parts for layer in part.layers} - {"identity"}):
        yield c_code.helper(activation)
    if any(part.top_k for part in parts):
        yield c_code.LARGEST
    if any(part.missing for part in parts):
        yield c_code.MISSING


def _function(function: str, x: str, y: str, prefix: str, part: Part) -> str:
    """Layers write to a and b by turns, the last to y."""
    calls, widths, source = [], {}, x
    if part.missing:
        calls, widths, source = [f"NAME_missing({part.n_in}, x, b);"], {"b": part.n_in}, "b"
    for number, layer in enumerate(part.layers):
        target, arrays = "ab"[number % 2], f"NAME_{prefix}{number}"
        if number == len(part.layers) - 1:
            target = y
        else:
            widths[target] = max(widths.get(target, 0), layer.n_out)
        n_in, n_out = layer.linear.n_in, layer.n_out
        calls.append(f"NAME_linear({n_in}, {n_out}, {arrays}_weight, {arrays}_bias, {source}, {target});")
        if layer.activation != "identity":
            calls.append(f"NAME_{layer.activation}({n_out}, {target});")
        source = target
    if part.top_k:
        calls.append(f"NAME_largest({part.n_out}, {part.top_k}, {y});")
    lines = [f"double {', '.join(f'{array}[{width}]' for array, width in sorted(widths.items()))};"] if widths else []
    body = "".join(f"    {line}\n" for line in [*lines, *calls])
    return f"\nvoid NAME_{function}(const double *{x}, double *{y})\n{{\n{body}}}\n"
