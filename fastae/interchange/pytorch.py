"""PyTorch's modules from models, and models from PyTorch's modules."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _check
from .._check import Array
from .._kernels.names import ACTIVATIONS
from ..autoencoder import Autoencoder
from ..layers import Linear
from ..layers import Sequential as Layers
from .parts import Part, take_apart

_STATE_NAME = re.compile(r"(?:(encoder|decoder)\.)?((?:\d+\.)*)(weight|bias)")

_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {  # in torch.nn, with the arguments by which they are fastae's
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.01}),
    "elu": ("ELU", {"alpha": 1.0}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "softplus": ("Softplus", {"beta": 1.0, "threshold": 20.0}),
    "gelu": ("GELU", {"approximate": "none"}),
    "silu": ("SiLU", {}),
    "softmax": ("Softmax", {"dim": 1}),
}


def to_torch(model: Any) -> Any:
    """A PyTorch module that computes what a model does, with copies of its weights.

    Weights and biases have the same names there and here, so ``state_dict`` and safetensors files go either way: see
    docs/interchange.md.

    Parameters
    ----------
    model : Linear, Sequential or Autoencoder
        Codes of a variational one are means. Of a conditional one, x and z have the condition behind them. A masked one takes
        NaN. Noise, dropout and penalties stay here, and tied weights are two.

    Returns
    -------
    torch.nn.Sequential
        Of linear layers and activations; of an autoencoder, ``encoder`` and ``decoder`` are such, and it is both.

    Raises
    ------
    TypeError
        The model's class is not fastae's own.
    ValueError
        An activation is not fastae's own, or a weight is not finite.
    ImportError
        PyTorch is not installed.

    Examples
    --------
    >>> import fastae
    >>> model = fastae.Autoencoder([64, 32, 8], activation="silu", seed=0)
    >>> module = fastae.to_torch(model)  # doctest: +SKIP
    """
    parts = take_apart(model)
    torch = _torch()
    from . import modules

    encoder = _module(parts.encoder, torch, modules)
    if parts.decoder is None:
        return encoder
    halves = OrderedDict(encoder=encoder, decoder=_module(parts.decoder, torch, modules))
    return modules.Conditioned(halves, parts.n_conditions) if parts.n_conditions else torch.nn.Sequential(halves)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise ImportError("PyTorch is not installed: pip install 'fastae[torch]'") from None
    return torch


def _module(part: Part, torch: Any, modules: Any) -> Any:
    """Linear layers have their numbers as names, as they have here; what is between them, names that are no numbers."""
    children = OrderedDict()
    if part.missing:
        children["missing"] = modules.MissingAsZero()
    for number, layer in enumerate(part.layers):
        linear = layer.linear
        dtype = getattr(torch, linear.dtype.name)
        twin = children[str(number)] = torch.nn.utils.skip_init(
            torch.nn.Linear, linear.n_in, linear.n_out, linear.has_bias, dtype=dtype
        )
        with torch.no_grad():
            twin.weight.copy_(torch.from_numpy(linear.weight))
            if linear.bias is not None:
                twin.bias.copy_(torch.from_numpy(linear.bias))
        if layer.n_out < linear.n_out:
            children["means"] = modules.First(layer.n_out)
        if layer.activation != "identity":
            name, arguments = _CLASSES[layer.activation]
            children[f"{layer.activation}{number}"] = getattr(torch.nn, name)(**arguments)
    if part.top_k:
        children["largest"] = modules.Largest(part.top_k)
    return torch.nn.Sequential(children)


def from_torch(encoder: Any, decoder: Any = None, *, activations: Sequence[str] | None = None) -> Layers | Autoencoder:
    """A model with copies of the weights of PyTorch's.

    Parameters
    ----------
    encoder : torch.nn.Sequential, torch.nn.Linear, or mapping of names to arrays or tensors
        Linear layers and activations one after another, nested or not. Or a state dict, as safetensors files hold one: layers
        are those of its names that end in ".weight" or ".bias", by the numbers before that.
    decoder : the same, optional
        Where it is given, or ``encoder`` has parts ``encoder`` and ``decoder`` and no others, they make an Autoencoder.
    activations : sequence of str
        With state dicts, which have none: one for each linear layer, from input to output.

    Returns
    -------
    Sequential or Autoencoder

    Raises
    ------
    TypeError, ValueError
        There is a module that is neither a linear layer nor one of fastae's activations, or weights that are neither float32
        nor float64. The message names it.
    ImportError
        PyTorch is not installed; state dicts of arrays do not need it.

    Examples
    --------
    >>> import numpy as np, fastae
    >>> state = {"encoder.0.weight": np.eye(2, 3), "decoder.0.weight": np.eye(3, 2)}
    >>> fastae.from_torch(state, activations=["relu", "identity"]).n_latent
    2
    """
    if isinstance(encoder, Mapping):
        if decoder is not None:
            raise TypeError("decoder takes None with a state dict, which holds both halves; {**a, **b} joins two")
        halves = _from_state(encoder, activations)
    else:
        if activations is not None:
            raise TypeError("activations takes None with modules, which have their own")
        halves = _from_modules(encoder, decoder)
    networks = {half: Layers(*layers) for half, layers in halves.items()}
    return networks[""] if "" in networks else Autoencoder(encoder=networks["encoder"], decoder=networks["decoder"])


def _from_modules(encoder: Any, decoder: Any) -> dict[str, list[Linear]]:
    nn = _torch().nn
    given = {"": encoder} if decoder is None else {"encoder": encoder, "decoder": decoder}
    for half, module in given.items():
        if not (_is_a(module, nn.Sequential) or _is_a(module, nn.Linear)):
            hint = "; give its parts, as from_torch(module.encoder, module.decoder)" if isinstance(module, nn.Module) else ""
            raise TypeError(
                f"{half or 'encoder'} takes a torch.nn.Sequential, a torch.nn.Linear or a state dict, got "
                f"{type(module).__name__}{hint}"
            )
        _unhooked(module, half or "encoder")
    if decoder is None and list(encoder._modules) == ["encoder", "decoder"]:
        given = encoder._modules
    return {half: list(_linears(module, half, nn)) for half, module in given.items()}


def _is_a(module: Any, kind: Any) -> bool:
    """A subclass with a ``forward`` of its own computes something else."""
    return isinstance(module, kind) and type(module).forward is kind.forward


def _linears(module: Any, half: str, nn: Any) -> Iterator[Linear]:
    """A module's linear layers, each with the activation behind it."""
    found: list[tuple[str, Any, str]] = []
    for name, child in _flat(module, half, nn):
        if _is_a(child, nn.Linear):
            found.append((name, child, "identity"))
        elif not _is_a(child, nn.Identity):
            activation = _activation(child, name, nn)
            if not found or found[-1][2] != "identity":
                raise ValueError(f"an activation takes its place behind a linear layer; {name}, {child!r}, has none")
            found[-1] = (*found[-1][:2], activation)
    if not found:
        raise ValueError(f"{half or 'encoder'} takes at least one linear layer, got none")
    for name, child, activation in found:
        weight = _array(child.weight, f"{name}.weight".lstrip("."))
        yield _layer(weight, None if child.bias is None else _array(child.bias, f"{name}.bias".lstrip(".")), activation)


def _flat(module: Any, name: str, nn: Any) -> Iterator[tuple[str, Any]]:
    """Modules with their names, those of nested Sequentials one after another."""
    _unhooked(module, name)
    if not _is_a(module, nn.Sequential):
        yield name, module
        return
    for child, inner in module._modules.items():  # named_children would give one that comes twice once
        yield from _flat(inner, f"{name}.{child}".lstrip("."), nn)


def _unhooked(module: Any, name: str) -> None:
    """Hooks may change what a module gives, or its weights, as those of ``torch.nn.utils.weight_norm`` do."""
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{name or 'encoder'}, a {type(module).__name__}, has hooks, which stay in PyTorch; remove them first")


def _activation(module: Any, name: str, nn: Any) -> str:
    for activation in ACTIVATIONS[1:]:
        kind, arguments = _CLASSES[activation]
        if _is_a(module, getattr(nn, kind)):
            for argument, takes in arguments.items():
                if (got := getattr(module, argument)) != takes:
                    raise ValueError(f"{name} takes {argument}={takes!r}, as fastae's {activation} has; got {got!r}")
            return activation
    kinds = ", ".join(_CLASSES[activation][0] for activation in ACTIVATIONS[1:])
    raise TypeError(f"from_torch takes Linear, Identity, {kinds} and Sequentials of these; {name} is a {type(module).__name__}")


def _array(value: Any, name: str) -> Array:
    """A parameter's numbers, of an array or of a tensor on any device."""
    if hasattr(value, "detach"):
        if value.is_meta:
            raise ValueError(f"{name} is on the device meta, without numbers")
        if str(value.dtype) not in ("torch.float32", "torch.float64"):
            raise TypeError(f"{name} takes float32 or float64, got {value.dtype}; convert it with float()")
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.type not in _check.FLOATS:
        raise TypeError(f"{name} takes float32 or float64, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinity; finite weights and biases are needed")
    return array


def _layer(weight: Array, bias: Array | None, activation: str) -> Linear:
    layer = Linear(weight.shape[1], weight.shape[0], activation, bias is not None, weight.dtype, seed=0)
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer


def _from_state(state: Mapping[str, Any], activations: Sequence[str] | None) -> dict[str, list[Linear]]:
    """Layers in the order of the numbers in their names, the encoder's before the decoder's."""
    if activations is None:
        raise TypeError("activations is needed with a state dict: the name of one for each linear layer")
    found: dict[str, dict[tuple[int, ...], dict[str, Array]]] = {}
    for name, value in state.items():
        if not isinstance(name, str) or not (match := _STATE_NAME.fullmatch(name)):
            raise ValueError(f"a state dict takes names as '0.weight' or 'encoder.0.bias', got {name!r}")
        half, numbers, kind = match.groups(default="")
        place = tuple(map(int, numbers.split(".")[:-1]))  # none, of a Linear that is not in a Sequential
        found.setdefault(half, {}).setdefault(place, {})[kind] = _array(value, name)
    halves = [half for half in ("", "encoder", "decoder") if half in found]
    if halves not in ([""], ["encoder", "decoder"]):
        raise ValueError(f"a state dict takes layers of one network, or of both halves; got {', '.join(state) or 'none'}")
    n_layers = sum(map(len, found.values()))
    if isinstance(activations, str) or len(activations) != n_layers:
        raise ValueError(f"activations takes the name of one for each of {n_layers} linear layers, got {activations!r}")
    left = iter(activations)
    networks: dict[str, list[Linear]] = {}
    for half in halves:
        networks[half] = []
        for place, arrays in sorted(found[half].items()):
            name, weight = ".".join([half, *map(str, place), "weight"]).lstrip("."), arrays.get("weight")
            if weight is None or weight.ndim != 2:
                got = "none" if weight is None else weight.shape
                raise ValueError(f"{name} takes the matrix (outputs, inputs) of a linear layer, got {got}")
            networks[half].append(_layer(weight, arrays.get("bias"), next(left)))
    return networks
