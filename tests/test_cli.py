"""The command line, as a person or a script meets it: in a subprocess, in a folder of its own."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import fastae
from fastae import anomaly, cli, denoising, features, files, imputation

ENV = {**os.environ, "PYTHONWARNINGS": "error", "MPLBACKEND": "Agg"}
FASTAE = [sys.executable, "-P", "-m", "fastae"]


def run(folder, *arguments, code=0):
    done = subprocess.run([*FASTAE, *map(str, arguments)], cwd=folder, env=ENV, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which ``fastae train`` ran with no flag, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    return folder, run(folder, "train")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    fastae.Autoencoder([3, 2], seed=0).save(path)
    return path


def test_train_learns_digits_better_than_pca(trained):
    folder, done = trained
    ours, pca = map(float, re.search(r"test error +fastae ([\d.]+) +PCA of 8 components ([\d.]+)", done.stdout).groups())
    assert 0 < ours < pca
    speed, numpy_speed = re.search(r"samples/s +fastae ([\d,]+) +NumPy ([\d,]+)", done.stdout).groups()
    assert int(speed.replace(",", "")) > int(numpy_speed.replace(",", "")) > 0
    assert done.stderr == ""  # no bar in a pipe
    assert (folder / "fastae-digits/training.png").read_bytes().startswith(b"\x89PNG")
    model = fastae.load(folder / "fastae-digits/model.safetensors")
    assert [layer.n_out for layer in model.layers] == [32, 8, 32, 64]


def test_train_repeats_itself(trained, tmp_path):
    folder, _ = trained
    run(tmp_path, "train", "--threads", 1, "--output", tmp_path / "again")
    again = (tmp_path / "again/model.safetensors").read_bytes()
    assert again == (folder / "fastae-digits/model.safetensors").read_bytes()
    run(tmp_path, "train", "--seed", 1, "--output", tmp_path / "other")
    assert again != (tmp_path / "other/model.safetensors").read_bytes()


def test_encode_decode_reconstruct_score(trained):
    folder, _ = trained
    file = "fastae-digits/model.safetensors"
    model, (x, _) = fastae.load(folder / file), fastae.datasets.load_digits()
    np.save(folder / "x.npy", x)
    run(folder, "encode", file, "x.npy")
    codes = np.load(folder / "x-encode.npy")
    assert np.array_equal(codes, model.encode(x))
    run(folder, "decode", file, "x-encode.npy", "--output", "back.csv")
    back = np.loadtxt(folder / "back.csv", delimiter=",")
    assert np.allclose(back, model.decode(codes), rtol=1e-6)
    run(folder, "reconstruct", file, "digits", "--output", "r.npz")
    assert np.array_equal(np.load(folder / "r.npz")["x"], model.reconstruct(x))
    done = run(folder, "score", file, "digits", "--output", "s.npy")
    scores = np.load(folder / "s.npy")
    assert np.allclose(scores, model.reconstruction_error(x))
    assert f"mean {scores.mean():.6f}" in done.stdout
    assert f"(row {scores.argmax()})" in done.stdout


def test_progress_bar_on_a_terminal(tmp_path):
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 120))
    process = subprocess.Popen([*FASTAE, "train"], cwd=tmp_path, env=ENV, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while select.select([master], [], [], 120)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:  # the terminal is closed: the process has ended
            break
        shown += part
    os.close(master)
    assert process.wait(60) == 0
    assert b"samples/s, loss 0.0" in shown
    assert b"100%|" in shown


def test_own_data_outside_0_to_1(tmp_path, rng):
    """Columns of very different scales; the saved model takes them as they are."""
    x = (rng.standard_normal((400, 2)) @ rng.standard_normal((2, 6))) * [1, 10, 1e3, 1, 1, 1e-2] + [0, 5, 1e4, 0, 0, 7]
    x[:, 4] = 3.0  # constant
    header = ",".join("abcdef")
    np.savetxt(tmp_path / "table.csv", x, delimiter=",", header=header, comments="")
    done = run(tmp_path, "train", "--data", "table.csv", "--layers", "6-2", "--activation", "identity", "--epochs", 60)
    ours, pca = map(float, re.search(r"fastae ([\d.]+) +PCA of 2 components ([\d.]+)", done.stdout).groups())
    assert ours < pca + 0.02  # both near 0: the data have two dimensions
    run(tmp_path, "reconstruct", "fastae-table/model.safetensors", "table.csv")
    back = np.load(tmp_path / "table-reconstruct.npy")
    assert np.all(np.sqrt(np.mean((back - x) ** 2, axis=0)) <= 0.3 * x.std(axis=0) + 2e-3)


@pytest.mark.parametrize("loss", ["half_squared", "bce", "bce_with_logits"])
def test_losses_and_options(tmp_path, loss):
    lr = {"half_squared": 0.05}.get(loss, 1)
    done = run(
        tmp_path,
        *("train", "--layers", "64-16-4-16-64", "--epochs", 40, "--loss", loss, "--lr", lr, "--batch-size", 64),
        *("--activation", "tanh", "--threads", 2, "--backend", "numpy", "--output", "a/b"),
    )
    assert f"network 64-16-4-16-64, tanh, {loss}" in done.stdout
    ours, pca = map(float, re.search(r"fastae ([\d.]+) +PCA of 4 components ([\d.]+)", done.stdout).groups())
    assert ours < pca
    assert (tmp_path / "a/b/model.safetensors").exists()


def test_nobody_reads_on(model, tmp_path, rng):
    """As in fastae score ... | head -1: files are written first, and nothing is said."""
    np.save(tmp_path / "x.npy", rng.random((9, 3)))
    reader, writer = os.pipe()
    os.close(reader)
    words = [*FASTAE, "score", model, "x.npy"]
    done = subprocess.run(words, cwd=tmp_path, env=ENV, stdout=writer, stderr=subprocess.PIPE, timeout=300)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    assert np.load(tmp_path / "x-score.npy").shape == (9,)


def test_idx_and_images_of_more_dimensions(tmp_path, rng):
    images = rng.integers(0, 256, (50, 4, 4), dtype=np.uint8)
    (tmp_path / "images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + np.array(images.shape, ">i4").tobytes() + images.tobytes())
    run(tmp_path, "train", "--data", "images-idx3-ubyte", "--epochs", 2, "--output", "o")
    np.savez(tmp_path / "several.npz", x=images, y=np.zeros(50))
    run(tmp_path, "encode", "o/model.safetensors", "several.npz")
    assert np.load(tmp_path / "several-encode.npy").shape == (50, 2)


def test_info_names_backends(tmp_path):
    done = run(tmp_path, "info")
    assert re.search(r"^backend cython +\w+, \d+-byte vectors", done.stdout, re.M)
    assert f"fastae {' ' * 10}{fastae.__version__}"[:6] in done.stdout
    assert "threads" in done.stdout


def test_missing_matplotlib_is_said(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [*FASTAE, "train", "--epochs", "1"],
        cwd=tmp_path,
        env={**ENV, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert "pip install 'fastae[plot]'" in done.stderr
    assert "training.png" not in done.stdout


def bad_files(folder: Path) -> None:
    (folder / "word.csv").write_text("1,2,3\n4,five,6\n")
    (folder / "ragged.csv").write_text("1,2,3\n4,5\n")
    (folder / "nan.csv").write_text("1,2,3\n4,nan,6\n")
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b,c\n")
    (folder / "one.csv").write_text("1,2,3\n")
    (folder / "unlike.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    (folder / "wide.csv").write_text("1,2,3,4\n5,6,7,8\n")
    (folder / "good.csv").write_text("0,1,0\n1,0,1\n" * 40)
    (folder / "data.xyz").write_text("1,2,3\n")
    (folder / "a-file").write_text("")
    np.save(folder / "good.npy", np.zeros((5, 3), "float32"))
    whole = (folder / "good.npy").read_bytes()
    (folder / "short.npy").write_bytes(whole[:-4])
    (folder / "short-idx").write_bytes(b"\0\0\x08\1\0\0\0\x09abc")
    (folder / "not-zip.npz").write_bytes(b"PK\3\4 not a zip file")
    np.save(folder / "objects.npy", np.array([[1, "a"]], dtype=object), allow_pickle=True)
    np.save(folder / "hollow.npy", np.zeros((0, 5), "float32"))
    (folder / "large.csv").write_text("1,2,3\n4,1e39,6\n")
    (folder / "gap.csv").write_text("a,b\n1,2\n3,\n")
    (folder / "semicolons.csv").write_text("a;b\n1;2\n")
    np.savez(folder / "sparse.npz", data=np.ones(2), indices=[0, 1], indptr=[0, 2], shape=[1, 2], format=b"csr")
    np.save(folder / "flat.npy", np.zeros(5, "float32"))
    np.savez(folder / "unnamed.npz", a=np.zeros((5, 3)), b=np.zeros((5, 3)))
    model = (folder / "model.safetensors").read_bytes()
    (folder / "short.safetensors").write_bytes(model[:-5])
    (folder / "junk.safetensors").write_bytes(b"junk")
    save_file({"w": np.zeros(3, "float32")}, folder / "other.safetensors")


MODEL = "model.safetensors"
BAD = [  # arguments, what stderr says
    (["train", "--data", "none.csv"], "none.csv: No such file"),
    (["train", "--data", "."], "Is a directory"),
    (["train", "--data", "word.csv"], "five"),
    (["train", "--data", "ragged.csv"], "ragged.csv is not a table of numbers between commas: line 2 has"),
    (["train", "--data", "unlike.csv"], "line 1 has 2 names, rows 3 cells"),
    (["train", "--data", "gap.csv"], "line 3, column 2 is ''; fastae impute"),
    (["train", "--data", "semicolons.csv"], "line 2, column 1 is '1;2'; cells are between commas here"),
    (["train", "--data", "sparse.npz"], "it holds a sparse matrix"),
    (["train", "--data", "good.csv", "--loss", "multinomial"], "invalid choice"),
    (["train", "--data", "nan.csv"], "row 1, column 1"),
    (["train", "--data", "empty.csv"], "empty.csv is not a table of numbers between commas: it has no rows"),
    (["train", "--data", "header.csv"], "header.csv is not a table of numbers between commas: it has no rows"),
    (["train", "--data", "one.csv"], "at least two"),
    (["train", "--data", "data.xyz"], "'.xyz'"),
    (["train", "--data", "short.npy"], "short.npy is not a whole"),
    (["train", "--data", "short-idx"], "cut short"),
    (["train", "--data", "not-zip.npz"], "not a usable .npz"),
    (["train", "--data", "objects.npy"], "objects.npy"),
    (["train", "--data", "hollow.npy"], "(0, 5)"),
    (["train", "--data", "good.csv", "--layers", "3-2-2-3"], "mirror each other"),
    (["train", "--data", "good.csv", "--layers", "3-2-1-4-3"], "mirror each other"),
    (["train", "--data", "good.csv", "--layers", "3-99999999999999"], "memory"),
    (["train", "--data", "large.csv"], "too large for float32, as 1e+39"),
    (["train", "--data", "flat.npy"], "(5,)"),
    (["train", "--data", "unnamed.npz"], "name the array x"),
    (["train", "--data", "good.csv", "--layers", "4-2"], "starts with 4 features, the data have 3"),
    (["train", "--data", "good.csv", "--batch-size", "1000"], "at most the number of training samples, 64; got 1000"),
    (["train", "--data", "wide.csv", "--loss", "bce", "--batch-size", "1"], "takes data from 0 to 1"),
    (["train", "--layers", "64"], "at least two widths"),
    (["train", "--layers", "64-x"], "64-x"),
    (["train", "--layers", "64-0-8"], "64-0-8"),
    (["train", "--epochs", "0"], "positive integer"),
    (["train", "--epochs", "1.5"], "positive integer"),
    (["train", "--lr", "-1"], "lr takes a finite learning rate >= 0, got -1"),
    (["train", "--lr", "nan"], "lr takes"),
    (["train", "--lr", "fast"], "--lr"),
    (["train", "--seed", "-1"], "--seed"),
    (["train", "--threads", "0"], "--threads"),
    (["train", "--threads", "1000"], "n_threads takes 1 to 256, got 1000"),
    (["train", "--loss", "hinge"], "half_squared"),
    (["train", "--activation", "swish"], "silu"),
    (["train", "--backend", "fortran"], "numpy"),
    (["train", "--output", "a-file/inside"], "a-file"),
    (["train", "--output", "a-file"], "a-file"),
    (["encode", "none.safetensors", "good.npy"], "none.safetensors: No such file"),
    (["encode", "short.safetensors", "good.npy"], "short.safetensors"),
    (["encode", "junk.safetensors", "good.npy"], "junk.safetensors"),
    (["encode", "other.safetensors", "good.npy"], "not a model of fastae"),
    (["encode", MODEL, "wide.csv"], "(samples, 3), got (2, 4)"),
    (["decode", MODEL, "good.npy"], "(samples, 2), got (5, 3)"),
    (["reconstruct", MODEL, "nan.csv"], "NaN"),
    (["score", MODEL, "good.npy", "--output", "out.png"], ".npy or .npz or .csv"),
    (["score", MODEL, "good.npy", "--output", "nowhere/out.npy"], "nowhere"),
    (["score", MODEL, "good.npy", "--output", "./good.npy"], "over good.npy, which is read"),
    (["frobnicate"], "frobnicate"),
    ([], "command"),
    (["encode", MODEL], "data"),
    (["bench", "--threads", "none"], "--threads"),
]


@pytest.mark.parametrize(("arguments", "says"), BAD, ids=[" ".join(a) or "nothing" for a, _ in BAD])
def test_bad_input(arguments, says, model, tmp_path, monkeypatch, capsys):
    """A message on stderr and exit code 2; in one process, for speed, as main() is what the script calls."""
    bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    try:
        code = cli.main(arguments)
    except SystemExit as exit_:  # argparse's own
        code = exit_.code
    out, err = capsys.readouterr()
    assert code == 2, out + err
    assert says in err
    assert "Traceback" not in err
    left = set(tmp_path.rglob("*")) - set(before)
    assert not [path for path in left if path.is_file()]


def applications_models():
    """Files of applications whose models take prepared data, and what is said of them."""
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fastae.Trainer, "fit", lambda *_, **__: None)
        return [
            (anomaly.AnomalyDetector().fit(x), "a detector", "score"),
            (features.FeatureExtractor(2).fit(x), "a feature extractor", "encode"),
            (imputation.Imputer().fit(x), "an imputer", None),
            (denoising.Denoiser(4).fit(x, x), "a denoiser of vectors", None),
            (denoising.ImageDenoiser(), "a denoiser of images", None),
        ]


@pytest.mark.parametrize("command", ["encode", "decode", "reconstruct", "score", "generate"])
def test_models_of_prepared_data_are_refused(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.zeros((5, 3), "float32"))
    for made, what, handling in applications_models():
        made.save("m.safetensors")
        assert cli.main([command, "m.safetensors", "x.npy"]) == (0 if handling == command else 2)
        written = Path(f"x-{command}.npy")
        if handling == command:
            written.unlink()
        else:
            assert f"m.safetensors is {what}, whose model takes prepared data; use " in capsys.readouterr().err
            assert not written.exists()


def test_bad_input_in_a_subprocess(tmp_path):
    done = run(tmp_path, "train", "--data", "none.csv", code=2)
    assert done.stderr == "fastae train: none.csv: No such file or directory\n"
    assert done.stdout == ""


def test_divergence_has_its_own_exit_code(tmp_path):
    done = run(tmp_path, "train", "--lr", "1e30", "--loss", "half_squared", "--activation", "identity", code=1)
    assert "diverged at step" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("rows", ["7,7,7,7\n" * 50, "5\n6\n7\n", "1,2\r\n3,4\r\n5,6\r\n", "1,2\n\n3,4\n", "-1\n" * 9])
def test_degenerate_tables_train(tmp_path, rows):
    """Constant columns, one column, three and two rows, Windows' line ends."""
    (tmp_path / "t.csv").write_text(rows, newline="")
    done = run(tmp_path, "train", "--data", "t.csv", "--epochs", 2, "--batch-size", 1, "--output", "o")
    assert "nan" not in done.stdout
    assert fastae.load(tmp_path / "o/model.safetensors").n_in == len(rows.splitlines()[0].split(","))


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_keeps_the_model(tmp_path):
    def listen():  # a test run in the background inherits an ignored SIGINT
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [*FASTAE, "train", "--epochs", "1000000", "--output", "o"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENV, preexec_fn=listen) as process:
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "o").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert np.isfinite(fastae.load(tmp_path / "o/model.safetensors").parameters).all()


def test_a_model_trained_on_logits_gives_values(tmp_path):
    run(tmp_path, "train", "--loss", "bce_with_logits", "--epochs", 20, "--output", "b")
    run(tmp_path, "reconstruct", "b/model.safetensors", "digits", "--output", "r.npy")
    run(tmp_path, "score", "b/model.safetensors", "digits", "--output", "e.npy")
    rebuilt, errors = np.load(tmp_path / "r.npy"), np.load(tmp_path / "e.npy")
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 1
    assert errors.mean() < 0.05


def test_fewer_samples_than_a_batch(tmp_path, rng):
    np.save(tmp_path / "small.npy", rng.random((20, 4)))
    assert "16 samples to train" in run(tmp_path, "train", "--data", "small.npy", "--epochs", 3).stdout


def test_columns_that_float32_cannot_hold(tmp_path, rng):
    x = rng.normal(size=(50, 3))
    x[:, 1] += 1e8
    np.save(tmp_path / "offset.npy", x)
    assert "columns 1 (from 0)" in run(tmp_path, "train", "--data", "offset.npy", "--epochs", 3).stderr


def test_quoted_numbers_are_numbers(tmp_path):
    (path := tmp_path / "q.csv").write_text('"a","b"\n"1","2"\n"3",4\n')
    np.testing.assert_array_equal(files.read_matrix(path), [[1, 2], [3, 4]])
    path.write_text('"1","2"\n"3","4"\n')
    np.testing.assert_array_equal(files.read_matrix(path), [[1, 2], [3, 4]])
