"""Models in PyTorch, ONNX Runtime and C: outputs agree with fastae's, and what cannot be given away is refused."""

import ctypes
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

import fastae
from fastae import Autoencoder, Linear, Sequential, cli
from fastae._kernels.names import ACTIVATIONS

PARTS = ("encode", "decode", "reconstruct")
MODELS = {
    **{name: lambda dtype, f=name: Autoencoder([9, 7, 6, 4], f, f, f, dtype=dtype, seed=0) for name in ACTIVATIONS},
    "two layers": lambda dtype: Autoencoder([9, 4], dtype=dtype, seed=0),
    "without bias, tied": lambda dtype: Autoencoder([9, 7, 4], bias=False, tied=True, dtype=dtype, seed=0),
    "by hand": lambda dtype: Autoencoder(
        encoder=Sequential(Linear(9, 4, "tanh", False, dtype, 1)), decoder=Sequential(Linear(4, 3, dtype=dtype, seed=2))
    ),
    "denoising": lambda dtype: fastae.DenoisingAutoencoder([9, 4], dropout=0.5, dtype=dtype, seed=0),
    "sparse": lambda dtype: fastae.SparseAutoencoder([9, 12], dtype=dtype, seed=0),
    "contractive": lambda dtype: fastae.ContractiveAutoencoder([9, 4], dtype=dtype, seed=0),
    "k-sparse": lambda dtype: fastae.KSparseAutoencoder([9, 12], k=3, dtype=dtype, seed=0),
    "masked": lambda dtype: fastae.MaskedAutoencoder([9, 7, 4], dtype=dtype, seed=0),
    "multinomial": lambda dtype: fastae.MultinomialAutoencoder([9, 7, 4], dtype=dtype, seed=0),
    "vae, bernoulli": lambda dtype: fastae.VariationalAutoencoder([9, 7, 4], dtype=dtype, seed=0),
    "vae, gaussian": lambda dtype: fastae.VariationalAutoencoder([9, 7, 4], decoder="gaussian", dtype=dtype, seed=0),
    "vae, multinomial": lambda dtype: fastae.VariationalAutoencoder([9, 4], decoder="multinomial", dtype=dtype, seed=0),
    "conditional": lambda dtype: fastae.ConditionalVariationalAutoencoder([9, 7, 4], n_conditions=3, dtype=dtype, seed=0),
}
EVERY = [(name, dtype) for name in MODELS for dtype in ("float32", "float64")]
SINGLE = {"gelu"}  # in ONNX files of float64, as ONNX Runtime has no other


def made(name, dtype, rng):
    """A model with biases that are not 0, samples, and what the model makes of them, by the methods' names."""
    model = MODELS[name](dtype)
    for layer in model.layers:
        if layer.has_bias:
            layer.bias = rng.normal(size=layer.n_out)
    x = rng.normal(size=(17, model.n_in)).astype(dtype)
    if name == "masked":
        x[rng.random(x.shape) < 0.2] = np.nan
    z = model.encode(x)
    joined = np.hstack([z, x[:, 9:]])
    return model, {"encode": (x, z), "decode": (joined, model.decode(joined)), "reconstruct": (x, model.reconstruct(x))}


def assert_close(found, expected, single=False):
    assert found.dtype == expected.dtype
    tolerance = 1e-5 if single or expected.dtype == np.float32 else 1e-8
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def nn(torch):
    return torch.nn


def through(module, x):
    import torch

    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_to_torch(torch, rng, name, dtype):
    model, expected = made(name, dtype, rng)
    module = fastae.to_torch(model)
    assert isinstance(module, torch.nn.Sequential)
    for part, (x, y) in expected.items():
        assert_close(through({"encode": module.encoder, "decode": module.decoder}.get(part, module), x), y)
    state = module.state_dict()
    assert list(state) == list(model.state_dict())
    for array_name, array in model.state_dict().items():
        np.testing.assert_array_equal(state[array_name].numpy(), array)


def test_to_torch_copies_and_leaves_the_random_state(torch):
    torch.manual_seed(0)
    before, model = torch.get_rng_state(), Autoencoder([4, 2], seed=0)
    module = fastae.to_torch(model)
    assert torch.equal(torch.get_rng_state(), before)
    old = model.parameters.copy()
    with torch.no_grad():
        module.encoder[0].weight += 1
    np.testing.assert_array_equal(model.parameters, old)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_equals_of_the_kth_stay_everywhere(torch, tmp_path):
    """In fastae, and so in what is given away: of the code 2, 1, 1, 0, 1 the two largest are four."""
    weight = np.array([[2.0], [1], [1], [0], [1]], np.float32)
    encoder = Sequential(Linear(1, 5, bias=False))
    encoder[0].weight = weight
    model = fastae.KSparseAutoencoder(encoder=encoder, decoder=Sequential(Linear(5, 1)), k=2, tied=False)
    for x, code in ((1.0, [2, 1, 1, 0, 1]), (-1.0, [0, -1, -1, 0, -1])):
        one = np.array([[x]], np.float32)
        np.testing.assert_array_equal(model.encode(one), [code])
        np.testing.assert_array_equal(through(fastae.to_torch(model).encoder, one), [code])
        np.testing.assert_array_equal(by_onnx(model, tmp_path / "m.onnx", "encode", one), [code])
        np.testing.assert_array_equal(compiled(model, tmp_path)("encode", one, 5), [code])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_round_trip_through_torch(torch, name, dtype):
    model = MODELS[name](dtype)
    twin = fastae.from_torch(fastae.to_torch(model))
    assert repr(twin) == repr(model)
    assert twin.parameters.tobytes() == model.parameters.tobytes()
    layers = fastae.from_torch(fastae.to_torch(model.encoder))
    assert repr(layers) == repr(model.encoder)
    assert repr(fastae.from_torch(fastae.to_torch(model.encoder[0]))) == f"Sequential({model.encoder[0]!r})"


def test_safetensors_go_either_way(torch, tmp_path):
    files = pytest.importorskip("safetensors.torch")
    ours, theirs, path = Autoencoder([6, 5, 3], seed=0), fastae.to_torch(Autoencoder([6, 5, 3], seed=1)), tmp_path / "m"
    ours.save(path)
    theirs.load_state_dict(files.load_file(path))  # strict
    assert repr(fastae.from_torch(theirs)) == repr(ours)
    assert fastae.from_torch(theirs).parameters.tobytes() == ours.parameters.tobytes()
    with torch.no_grad():
        theirs.encoder[0].weight += 1
    files.save_file(theirs.state_dict(), path)
    ours.load_state_dict(safetensors.numpy.load_file(path))
    x = np.ones((1, 6), np.float32)
    assert_close(through(theirs, x), ours.reconstruct(x))


def test_from_torch_takes_what_people_build(torch, nn):
    encoder = nn.Sequential(nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU()), nn.Identity(), nn.Linear(5, 3, bias=False))
    decoder = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 6), nn.Identity(), nn.ReLU(inplace=True))
    model = fastae.from_torch(encoder, decoder)
    x = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    assert_close(model.encode(x), through(encoder, x))
    assert_close(model.reconstruct(x), through(nn.Sequential(encoder, decoder), x))
    relu = nn.ReLU()  # in two places
    flat = nn.Sequential(nn.Linear(6, 5), relu, nn.Linear(5, 6), relu).double()
    layers = fastae.from_torch(flat)
    assert [layer.activation for layer in layers] == ["relu", "relu"]
    assert_close(layers(x.astype(float)), through(flat, x.astype(float)))
    cut = fastae.from_torch(flat[:2], flat[2:])
    assert (cut.n_latent, cut.dtype) == (5, np.float64)
    assert fastae.from_torch(nn.Linear(3, 2), nn.Linear(2, 3)).n_latent == 2


def test_from_a_state_dict(torch, nn):
    """Of numbers in any steps, by PyTorch or arrays, as safetensors files hold them."""
    net = nn.Sequential(*(m for i in range(6) for m in (nn.Linear(i + 2, i + 3), nn.ReLU())))
    model = fastae.from_torch(net.state_dict(), activations=["relu"] * 6)
    x = np.ones((2, 2), np.float32)
    assert_close(model(x), through(net, x))
    halves = nn.Sequential()
    halves.decoder, halves.encoder = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 2))
    arrays = {name: tensor.numpy() for name, tensor in halves.state_dict().items()}
    model = fastae.from_torch(arrays, activations=["gelu", "identity", "sigmoid"])
    assert [layer.activation for layer in model.layers] == ["gelu", "identity", "sigmoid"]
    np.testing.assert_array_equal(model.decoder[0].weight, arrays["decoder.0.weight"])
    assert not model.encoder[0].has_bias


def test_from_the_state_of_linear_layers_alone(nn):
    """As from_torch takes the modules, so it takes their states: names are weight and bias, with nothing before."""
    net = nn.Linear(3, 2)
    (layer,) = fastae.from_torch(net.state_dict(), activations=["relu"])
    np.testing.assert_array_equal(layer.weight, net.weight.detach())
    halves = nn.Module()
    halves.encoder, halves.decoder = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), nn.Linear(2, 3)
    model = fastae.from_torch(halves.state_dict(), activations=["relu", "identity"])
    np.testing.assert_array_equal(model.decoder[0].bias, halves.decoder.bias.detach())


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_modules_with_hooks_are_refused(nn, register):
    """They may compute anything; weight_norm's hook of old makes the weight anew."""
    for part, name in (((0,), "0, a Linear"), ((1,), "1, a ReLU"), ((), "encoder, a Sequential")):
        net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        getattr(net[part[0]] if part else net, register)(lambda module, *others: None)
        with pytest.raises(ValueError, match=f"^{name}, has hooks, which stay in PyTorch; remove them first"):
            fastae.from_torch(net)


def own_forward(nn):
    class Twice(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    return Twice(3, 3)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Softmax(1)), TypeError, "ReLU, .*; 1 is a Softmax"),
        (lambda nn: nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.Dropout())), TypeError, r"0\.1 is a Dropout"),
        (lambda nn: nn.Sequential(own_forward(nn)), TypeError, "0 is a Twice"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(0.2)), ValueError, r"1 takes negative_slope=0\.01.*got 0\.2"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.ELU(2.0)), ValueError, r"alpha=1\.0.*got 2"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Softplus(2.0)), ValueError, r"beta=1\.0"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.GELU("tanh")), ValueError, "approximate='none'.*got 'tanh'"),
        (lambda nn: nn.Sequential(nn.ReLU(), nn.Linear(3, 2)), ValueError, r"0, ReLU\(\), has none"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Tanh()), ValueError, "2, Tanh"),
        (lambda nn: nn.Sequential(), ValueError, "at least one linear layer"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2)), ValueError, "layer 1 takes 3 features"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3)).bfloat16(), TypeError, r"0\.weight .*got torch\.bfloat16"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2, device="meta")), ValueError, r"0\.weight is on the device meta"),
        (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3).double()), ValueError, "one dtype"),
        (lambda nn: nn.ModuleDict({"encoder": nn.Linear(3, 2)}), TypeError, r"got ModuleDict; give its parts"),
        (lambda nn: nn.Tanh(), TypeError, "encoder takes a torch.nn.Sequential.*got Tanh"),
        (lambda nn: [1], TypeError, "got list$"),
        (lambda nn: {"0.weight": np.eye(2)}, TypeError, "activations is needed"),
    ],
)
def test_wrong_modules(nn, make, error, says):
    with pytest.raises(error, match=says):
        fastae.from_torch(make(nn))


def test_weights_that_are_not_finite(torch, nn):
    module = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        module[0].bias[1] = np.inf
    with pytest.raises(ValueError, match=r"0\.bias has NaN or infinity"):
        fastae.from_torch(module)


def test_wrong_arguments_beside_modules(nn):
    linear = nn.Linear(3, 2)
    with pytest.raises(TypeError, match=r"decoder takes a torch.nn.Sequential.*got int"):
        fastae.from_torch(nn.Sequential(linear), 3)
    with pytest.raises(TypeError, match="activations takes None with modules"):
        fastae.from_torch(nn.Sequential(linear), activations=["relu"])
    with pytest.raises(TypeError, match="decoder takes None with a state dict"):
        fastae.from_torch({"0.weight": np.eye(2)}, linear, activations=["relu"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("k-sparse", r"encoder\.largest is a Largest"),
        ("vae, bernoulli", r"encoder\.means is a First"),
        ("masked", r"encoder\.missing is a MissingAsZero"),
        ("multinomial", r"decoder\.softmax1 is a Softmax"),
        ("conditional", "got Conditioned"),
    ],
)
def test_what_is_no_plain_network_does_not_come_back(torch, name, says):
    with pytest.raises(TypeError, match=says):
        fastae.from_torch(fastae.to_torch(MODELS[name]("float32")))


@pytest.mark.parametrize(
    ("state", "activations", "error", "says"),
    [
        ({"0.weight": np.eye(2)}, ["relu", "relu"], ValueError, "each of 1 linear layers, got"),
        ({"0.weight": np.eye(2)}, "relu", ValueError, "activations takes"),
        ({"0.weight": np.eye(2)}, ["cube"], ValueError, "activation takes one of"),
        ({"0.weight": np.zeros((2, 1, 3, 3))}, ["relu"], ValueError, r"0\.weight takes the matrix.*got \(2, 1, 3, 3\)"),
        ({"bias": np.zeros(2)}, ["relu"], ValueError, "^weight takes the matrix.*got none"),
        ({0: np.eye(2)}, ["relu"], ValueError, "takes names as '0.weight' or 'encoder.0.bias', got 0"),
        ({"0.bias": np.zeros(2)}, ["relu"], ValueError, r"0\.weight takes the matrix.*got none"),
        ({"0.weight": np.eye(2), "0.bias": np.zeros(3)}, ["relu"], ValueError, r"bias takes numbers of shape \(2,\)"),
        ({"0.weight": np.eye(2), "1.running_mean": np.zeros(2)}, ["relu"], ValueError, "got '1.running_mean'"),
        ({"encoder.0.weight": np.eye(2)}, ["relu"], ValueError, "or of both halves; got encoder.0.weight"),
        ({"0.weight": np.eye(2, dtype=int)}, ["relu"], TypeError, r"0\.weight takes float32 or float64, got int64"),
        ({"0.weight": np.eye(2) * np.nan}, ["relu"], ValueError, r"0\.weight has NaN"),
        ({}, [], ValueError, "got none"),
    ],
)
def test_wrong_states(state, activations, error, says):
    with pytest.raises(error, match=says):
        fastae.from_torch(state, activations=activations)


# ---- ONNX ------------------------------------------------------------------------------------------------------------


def by_onnx(model, path, part, x):
    """What ONNX Runtime makes of x by a file."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    fastae.export_onnx(model, path, part)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    ((source,), (result,)) = session.get_inputs(), session.get_outputs()
    names = {"encode": ("x", "z"), "decode": ("z", "y"), "reconstruct": ("x", "y")}[part]
    assert (source.name, result.name, source.shape) == (*names, ["samples", x.shape[1]])
    (y,) = session.run(None, {source.name: x})
    (first,) = session.run(None, {source.name: x[:1]})
    np.testing.assert_allclose(first, y[:1], rtol=0, atol=1e-5)  # of any number of samples
    return y


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_onnx(tmp_path, rng, name, dtype):
    model, expected = made(name, dtype, rng)
    for part, (x, y) in expected.items():
        assert_close(by_onnx(model, tmp_path / "m.onnx", part, x), y, name in SINGLE)


def test_onnx_of_layers_alone(tmp_path, rng):
    network = Sequential(Linear(5, 4, "silu", seed=0), Linear(4, 3, "tanh", seed=1))
    x = rng.normal(size=(6, 5)).astype(np.float32)
    assert_close(by_onnx(network, tmp_path / "m.onnx", "reconstruct", x), network(x))
    assert_close(by_onnx(network[0], tmp_path / "m.onnx", "reconstruct", x), network[0].forward(x))
    with pytest.raises(ValueError, match=r"part takes 'reconstruct' for layers alone.*got 'encode'"):
        fastae.export_onnx(network, tmp_path / "m.onnx", "encode")


def test_wrong_parts(tmp_path):
    with pytest.raises(ValueError, match="part takes one of 'reconstruct', 'encode', 'decode'; got 'encoder'"):
        fastae.export_onnx(Autoencoder([3, 2]), tmp_path / "m.onnx", "encoder")
    assert list(tmp_path.iterdir()) == []


# ---- C ---------------------------------------------------------------------------------------------------------------

WARNINGS = ("-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Werror")
C99 = ("gcc", "-std=c99", "-Wmissing-prototypes", "-Wvla")
CXX = ("g++", "-std=c++11", "-x", "c++")


def build(compiler, source, *options):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    command = [*compiler, *WARNINGS, "-O1", str(source), *options, "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def compiled(model, folder, compiler=C99):
    """A function (part, x, number of outputs) -> y that calls the C functions for one sample after another."""
    fastae.export_c(model, folder / "m.c")
    name = f"m{len(list(folder.iterdir()))}.so"  # a library is loaded once by its name
    build(compiler, folder / "m.c", "-shared", "-fPIC", "-o", folder / name)
    library = ctypes.CDLL(str(folder / name))

    def call(part, x, n_out):
        y = np.full((len(x), n_out + 1), 7, x.dtype)  # with a guard
        for row, result in zip(np.ascontiguousarray(x), y, strict=True):
            library[f"m_{part}"](*(a.ctypes.data_as(ctypes.c_void_p) for a in (row, result)))
        assert (y[:, -1] == 7).all()
        return y[:, :-1]

    return call


@pytest.mark.parametrize(("name", "dtype"), EVERY)
def test_c(tmp_path, rng, name, dtype):
    model, expected = made(name, dtype, rng)
    call = compiled(model, tmp_path)
    for part, (x, y) in expected.items():
        assert_close(call(part, x, y.shape[1]), y)


@pytest.mark.parametrize("name", ["conditional", "k-sparse", "masked", "multinomial", "gelu"])
def test_c_is_cxx(tmp_path, rng, name):
    model, expected = made(name, "float32", rng)
    call = compiled(model, tmp_path, CXX)
    for part, (x, y) in expected.items():
        assert_close(call(part, x, y.shape[1]), y)


def test_a_program_in_c(tmp_path):
    """That includes two models, and uses the sizes in their names; the weights are the model's to the bit."""
    model = Autoencoder([3, 2], output_activation="identity", bias=False, seed=0)
    model.encoder[0].weight = [[1e-40, -0.0, np.finfo(np.float32).max], [np.finfo(np.float32).tiny, 0.1, 1 / 3]]
    fastae.export_c(model, tmp_path / "first.c")
    fastae.export_c(model.encoder, tmp_path / "other.c", name="second")
    (tmp_path / "main.c").write_text(
        """
        #include "first.c"
        #include "other.c"
        #include <stdio.h>
        int main(void)
        {
            float x[first_n_in] = {0.0f, 0.0f, 0.0f}, z[first_n_latent], again[second_n_out];
            int i, j;
            for (i = 0; i < first_n_in; i++) {
                x[i] = 1.0f;
                first_encode(x, z);
                second_forward(x, again);
                for (j = 0; j < first_n_latent; j++) printf("%a %a\\n", (double)z[j], (double)again[j]);
                x[i] = 0.0f;
            }
            return 0;
        }
        """
    )
    build(C99, tmp_path / "main.c", "-o", tmp_path / "main")
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, timeout=20, check=True).stdout.split()
    numbers = np.array(list(map(float.fromhex, printed)), np.float32).reshape(3, 2, 2)
    np.testing.assert_array_equal(numbers[..., 0], model.encoder[0].weight.T)
    np.testing.assert_array_equal(numbers[..., 1], model.encoder[0].weight.T)


@pytest.mark.parametrize("name", ["", "1st", "_m", "m_", "a__b", "a-b", "ä", "a b", 3])
def test_wrong_names(tmp_path, name):
    with pytest.raises(ValueError, match=r"^name takes what names in C can begin with"):
        fastae.export_c(Autoencoder([3, 2]), tmp_path / "m.c", name)
    if isinstance(name, str):
        with pytest.raises(ValueError, match=r"^the name of the file takes .*; give another as name"):
            fastae.export_c(Autoencoder([3, 2]), tmp_path / f"{name}.c")
    assert list(tmp_path.iterdir()) == []


# ---- what is refused by all ------------------------------------------------------------------------------------------


class Mine(Autoencoder):
    def encode(self, x, out=None, n_threads=None):
        return super().encode(-x, out, n_threads)


EXPORTS = {
    "torch": lambda model, folder: fastae.to_torch(model),
    "onnx": lambda model, folder: fastae.export_onnx(model, folder / "m.onnx"),
    "c": lambda model, folder: fastae.export_c(model, folder / "m.c"),
}


@pytest.mark.parametrize("to", EXPORTS)
def test_wrong_models(tmp_path, to):
    for model, says in ((Mine([3, 2]), r"a Mine; its model\.encoder and model\.decoder"), ("m.safetensors", "got str")):
        with pytest.raises(TypeError, match=f"^model takes a Linear, a Sequential or an autoencoder.*{says}"):
            EXPORTS[to](model, tmp_path)
    model = Autoencoder([3, 2])
    model.decoder[0].weight[1, 1] = np.nan
    with pytest.raises(ValueError, match=r"decoder\.0\.weight has NaN or infinity"):
        EXPORTS[to](model, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", EXPORTS)
def test_functions_of_ones_own_are_refused(tmp_path, to):
    pytest.importorskip("numba")
    cube = fastae.activation(lambda z: z * z * z, name="cube of interchange")
    model = Autoencoder([3, 2], latent_activation=cube, seed=0)
    with pytest.raises(ValueError, match=r"activation 'cube of interchange' in layer encoder\.0"):
        EXPORTS[to](model, tmp_path)
    with pytest.raises(ValueError, match=r"in layer 0, a function"):
        EXPORTS[to](model.encoder, tmp_path)


@pytest.mark.parametrize(
    ("package", "call", "says"),
    [
        ("torch", "fastae.to_torch(model)", r"fastae\[torch\]"),
        ("torch", "fastae.from_torch(model)", r"fastae\[torch\]"),
        ("onnx", "fastae.export_onnx(model, 'm.onnx')", r"fastae\[onnx\]"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch, tmp_path, package, call, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=says):
        eval(call, {"fastae": fastae, "model": Autoencoder([3, 2])})


def test_a_state_dict_and_c_need_no_package(monkeypatch, tmp_path):
    for package in ("torch", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    model = fastae.from_torch({"0.weight": np.eye(2)}, activations=["relu"])
    fastae.export_c(model, tmp_path / "m.c")


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = Autoencoder([3, 2], seed=0)
    model.save("m.safetensors")
    return model


def test_export_commands(saved, tmp_path, capsys):
    pytest.importorskip("onnx")
    for words, write, way in (
        (["net.c"], lambda path: fastae.export_c(saved, path, "net"), "3 features to 2 to 3"),
        (["net.c", "--name", "digits"], lambda path: fastae.export_c(saved, path, "digits"), "3 features to 2 to 3"),
        (["net.onnx"], lambda path: fastae.export_onnx(saved, path), "3 features to 2 to 3"),
        (["net.onnx", "--part", "encode"], lambda path: fastae.export_onnx(saved, path, "encode"), "3 features to 2"),
        (["net.onnx", "--part", "decode"], lambda path: fastae.export_onnx(saved, path, "decode"), "2 features to 3"),
    ):
        assert cli.main(["export", "m.safetensors", *words]) == 0
        assert capsys.readouterr().out == f"wrote {words[0]}: {way}, float32\n"
        write("expected.file")
        assert (tmp_path / words[0]).read_bytes() == (tmp_path / "expected.file").read_bytes()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["net.pt"], "net.pt: the name ends in '.pt'; .onnx or .c is written"),
        (["net.c", "--part", "encode"], "--part counts with .onnx only"),
        (["net.onnx", "--name", "digits"], "--name counts with .c only"),
        (["1st.c"], "the name of the file takes"),
        (["nowhere/net.c"], "nowhere/net.c: No such file"),
    ],
)
def test_wrong_export_commands(saved, tmp_path, capsys, words, says):
    assert cli.main(["export", "m.safetensors", *words]) == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_export_does_not_write_over_its_model(saved, tmp_path, capsys):
    saved.save("m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    assert cli.main(["export", "m.onnx", "./m.onnx"]) == 2
    assert "m.onnx would be written over m.onnx, which is read; name another file" in capsys.readouterr().err
    assert (tmp_path / "m.onnx").read_bytes() == before


def test_export_of_no_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "m.safetensors", "m.c"]) == 2
    assert "m.safetensors: No such file" in capsys.readouterr().err
