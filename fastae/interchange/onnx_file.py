"""Models as ONNX files, for ONNX Runtime and others."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from .. import __version__, _check
from .._check import Array
from ..persistence import write_atomically
from .parts import Part, Parts, take_apart

_OPSET, _IR = 17, 8  # which runtimes since 2022 take

_OPERATORS = {  # whose definitions, with ONNX's defaults, are fastae's
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "softmax": "Softmax",
}


def export_onnx(model: Any, path: str | os.PathLike[str], part: str = "reconstruct") -> None:
    """Write what a model computes to an ONNX file.

    Input and output are named as the methods name them: x to z (encode), z to y (decode), x to y (reconstruct, and layers
    alone). Both are matrices of any number of samples, of the model's dtype.

    Parameters
    ----------
    model : Linear, Sequential or Autoencoder
        Codes of a variational one are means. Of a conditional one, x and z have the condition behind them. A masked one takes
        NaN.
    path : path
        Replaced only once the new file is whole.
    part : {"reconstruct", "encode", "decode"}
        Of an autoencoder.

    Raises
    ------
    TypeError
        The model's class is not fastae's own.
    ValueError
        An activation is not fastae's own, a weight is not finite, or the part is none of the model's.
    ImportError
        onnx is not installed.

    Notes
    -----
    In float64, GELU's error function is of float32, since ONNX Runtime has no other: outputs are exact to some 1e-7.

    Examples
    --------
    >>> import fastae
    >>> model = fastae.Autoencoder([64, 32, 8], activation="silu", seed=0)
    >>> fastae.export_onnx(model, "encoder.onnx", part="encode")  # doctest: +SKIP
    """
    _check.choice(part, "part", ("reconstruct", "encode", "decode"))
    parts = take_apart(model)
    if parts.decoder is None and part != "reconstruct":
        raise ValueError(f"part takes 'reconstruct' for layers alone, which have no halves; got {part!r}")
    try:
        import onnx
    except ImportError:
        raise ImportError("ONNX files need onnx, which is not installed: pip install 'fastae[onnx]'") from None
    graph = _Graph(onnx.helper, onnx.numpy_helper, parts.dtype)
    encoder, decoder = parts.encoder, parts.decoder
    if decoder is None:
        ends = ("x", encoder.n_in), ("y", encoder.n_out)
        graph.layers("x", encoder)
    elif part == "encode":
        ends = ("x", encoder.n_in), ("z", encoder.n_out)
        graph.layers("x", encoder, "encoder.")
    elif part == "decode":
        ends = ("z", decoder.n_in), ("y", decoder.n_out)
        graph.layers("z", decoder, "decoder.")
    else:
        ends = ("x", encoder.n_in), ("y", decoder.n_out)
        graph.layers(graph.joined(graph.layers("x", encoder, "encoder."), parts), decoder, "decoder.")
    file = graph.model(*ends)
    onnx.checker.check_model(file)
    write_atomically(path, file.SerializeToString())


class _Graph:
    """Nodes as they are called for, and the arrays that they take. Each gives the name of its output."""

    def __init__(self, helper: Any, numpy_helper: Any, dtype: np.dtype[Any]) -> None:
        self._helper, self._numpy_helper, self._dtype = helper, numpy_helper, dtype
        self._nodes: list[Any] = []
        self._arrays: dict[str, Array] = {}

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator}_{len(self._nodes)}"
        outputs = [name, f"{name}_indices"] if operator == "TopK" else [name]
        self._nodes.append(self._helper.make_node(operator, inputs, outputs, name, **attributes))
        return name

    def _number(self, value: float) -> str:
        return self._array(str(value), np.array(value, self._dtype))

    def _integer(self, value: int) -> str:
        return self._array(f"[{value}]", np.array([value], np.int64))

    def _array(self, name: str, array: Array) -> str:
        self._arrays[name] = array
        return name

    def layers(self, x: str, part: Part, prefix: str = "") -> str:
        """A part's output for its input x."""
        y = self("Where", self("IsNaN", x), self._number(0), x) if part.missing else x
        for number, layer in enumerate(part.layers):
            arrays = [self._array(f"{prefix}{number}.weight", layer.weight)]
            if layer.bias is not None:
                arrays.append(self._array(f"{prefix}{number}.bias", layer.bias))
            y = self._activated(layer.activation, self("Gemm", y, *arrays, transB=1))
        if part.top_k:
            least = self("ReduceMin", self("TopK", y, self._integer(part.top_k)), axes=[1])
            y = self("Where", self("Less", y, least), self._number(0), y)
        return y

    def joined(self, z: str, parts: Parts) -> str:
        """A code, with the condition behind it that is behind x."""
        if not parts.n_conditions:
            return z
        n = parts.encoder.n_in
        given = self("Slice", "x", self._integer(n - parts.n_conditions), self._integer(n), self._integer(1))
        return self("Concat", z, given, axis=1)

    def _activated(self, activation: str, z: str) -> str:
        if activation == "identity":
            return z
        if activation == "silu":
            return self("Mul", z, self("Sigmoid", z))
        if activation == "gelu":
            erf = self._in_single("Erf", self("Div", z, self._number(math.sqrt(2))))
            return self("Mul", self("Mul", z, self("Add", erf, self._number(1))), self._number(0.5))
        if self._dtype == np.float64 and activation == "leaky_relu":  # whose slope is an attribute, thus of float32
            return self("Max", z, self("Mul", z, self._number(0.01)))
        if self._dtype == np.float64 and activation == "elu":  # of which, as of softplus, ONNX Runtime has none in double
            below = self("Exp", self("Min", z, self._number(0)))
            return self("Add", self("Relu", z), self("Sub", below, self._number(1)))
        if self._dtype == np.float64 and activation == "softplus":
            tail = self("Exp", self("Neg", self("Abs", z)))
            return self("Add", self("Relu", z), self("Log", self("Add", tail, self._number(1))))
        return self(_OPERATORS[activation], z)

    def _in_single(self, operator: str, z: str) -> str:
        """An operator that ONNX Runtime has in float32 only."""
        if self._dtype == np.float32:
            return self(operator, z)
        single, double = map(self._helper.np_dtype_to_tensor_dtype, map(np.dtype, ("float32", "float64")))
        return self("Cast", self(operator, self("Cast", z, to=single)), to=double)

    def model(self, source: tuple[str, int], result: tuple[str, int]) -> Any:
        """The file: from one matrix of so many features to another, which the last node gives."""
        self._nodes[-1].output[0] = result[0]
        kind = self._helper.np_dtype_to_tensor_dtype(self._dtype)
        matrices = [[self._helper.make_tensor_value_info(name, kind, ["samples", width])] for name, width in (source, result)]
        arrays = [self._numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in self._arrays.items()]
        graph = self._helper.make_graph(self._nodes, "fastae", *matrices, arrays)
        return self._helper.make_model(
            graph,
            producer_name="fastae",
            producer_version=__version__,
            ir_version=_IR,
            opset_imports=[self._helper.make_opsetid("", _OPSET)],
        )
