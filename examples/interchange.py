"""
Interchange: a model as a file of C
===================================

Train on handwritten digits, write the model as C, compile it, and compare what it computes.
"""

import ctypes
import shutil
import subprocess
import sys

import numpy as np

import fastae

digits, _ = fastae.datasets.load_digits()
model = fastae.Autoencoder([64, 32, 8], activation="silu", seed=0)
fastae.Trainer(model, fastae.SGD(lr=1.0, momentum=0.9), batch_size=32, seed=0).fit(digits, epochs=20)
fastae.export_c(model, "digits.c")

compiler = shutil.which("cc") or shutil.which("gcc")
if compiler is None:
    sys.exit("wrote digits.c; there is no C compiler here to try it")
subprocess.run([compiler, "-std=c99", "-O2", "-shared", "-fPIC", "digits.c", "-o", "digits.so", "-lm"], check=True)
encode = ctypes.CDLL("./digits.so").digits_encode

pointer = np.ctypeslib.ndpointer(np.float32, flags="C")
encode.argtypes, encode.restype = [pointer, pointer], None
code = np.empty(model.n_latent, np.float32)
encode(digits[0].astype(np.float32), code)
expected = model.encode(digits[:1])[0]
print("code of the first digit, from C:     ", *(f"{value:.4f}" for value in code))
print("code of the first digit, from fastae:", *(f"{value:.4f}" for value in expected))
assert np.allclose(code, expected, rtol=0, atol=1e-5)
