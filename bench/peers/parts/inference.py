"""Encoding with a network of 784-256-64, relu in both layers."""

from itertools import pairwise

import numpy as np

from ..network import Network
from ..row import Bar, Row

TITLE = "encoding a batch with 784-256-64"
SIZES = (784, 256, 64)
# Batch, least ratio to the best peer.
TABLE = [(1, 1.5), (8, 1.3), (64, 1.2), (1024, 1.1)]


def rows(threads):
    products = sum(a * b for a, b in pairwise(SIZES))
    return [
        Row(f"batch {batch}", batch, [Bar("best", ratio), Bar("peak")], threads, 2.0 * batch * products)
        for batch, ratio in TABLE
    ]


def _layers():
    return Network(SIZES, 1).weights()[: len(SIZES) - 1]


def _samples(batch):
    return np.random.default_rng(1).random((batch, SIZES[0]), np.float32)


def own(batch, threads):
    from .training import trainer

    model, x, out = trainer(Network(SIZES, 1), threads).model, _samples(batch), np.empty((batch, SIZES[-1]), np.float32)
    return lambda: model.encode(x, out=out, n_threads=threads)


def numpy(batch, threads):
    x, layers = _samples(batch), _layers()
    outputs = [np.empty((batch, len(b)), np.float32) for _, b in layers]

    def encode():
        z = x
        for (w, b), y in zip(layers, outputs, strict=True):
            np.matmul(z, w.T, out=y)
            np.add(y, b, out=y)
            z = np.maximum(y, 0, out=y)
        return z

    return encode


def torch(batch, threads):
    import torch

    torch.set_num_threads(threads)
    x, modules = torch.from_numpy(_samples(batch)), []
    for w, b in _layers():
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        linear.load_state_dict({"weight": torch.from_numpy(w), "bias": torch.from_numpy(b)})
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules).eval()

    def encode():
        with torch.inference_mode():
            return model(x)

    return encode


def onnxruntime(batch, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_onnx_model(), options, providers=["CPUExecutionProvider"])
    x = _samples(batch)
    return lambda: session.run(None, {"z0": x})[0]


def _onnx_model():
    """The encoder as an ONNX graph: z0 -> Gemm -> y1 -> Relu -> z1 -> ..."""
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, constants = [], []
    for i, (w, b) in enumerate(_layers(), start=1):
        constants += [numpy_helper.from_array(w, f"weight{i}"), numpy_helper.from_array(b, f"bias{i}")]
        nodes += [
            helper.make_node("Gemm", [f"z{i - 1}", f"weight{i}", f"bias{i}"], [f"y{i}"], transB=1),
            helper.make_node("Relu", [f"y{i}"], [f"z{i}"]),
        ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in (("z0", SIZES[0]), (f"z{len(SIZES) - 1}", SIZES[-1]))
    ]
    graph = helper.make_graph(nodes, "encoder", ends[:1], ends[1:], constants)
    # Versions of operators and file that every ONNX Runtime of the last years reads.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    return model.SerializeToString()


ENGINES = {"fastae": own, "numpy": numpy, "torch": torch, "onnxruntime": onnxruntime}
