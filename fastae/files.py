"""Matrices in files that people have: .npy, .npz, .csv, idx."""

from __future__ import annotations

import csv
import io
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ._check import Array
from .datasets import load_digits, load_idx
from .persistence import write_atomically

WRITABLE = (".npy", ".npz", ".csv")
READABLE = ".npy, .npz, .csv or idx (gzipped or not)"
# Cells of a .csv in which there is no number, in small letters.
_MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "?")
_NAMES = ("x", "X", "data", "images")  # of the array that is meant, in an .npz of several


def read_matrix(path: str | os.PathLike[str], missing: bool = False) -> Array:
    """Samples from a file, (samples, features); images of more dimensions are flattened.

    Where cells of a .csv may be missing, NaN stands for those that are empty or hold NA, N/A, #N/A, nan, null, none or ?.

    Raises
    ------
    OSError
        The file is missing or unreadable.
    ValueError
        It is not what its name says, is cut short, or holds no matrix.
    """
    path = Path(path)
    with open(path, "rb"):  # the system's own words for a missing or unreadable file
        pass
    suffix = path.suffix.lower()
    if suffix == ".npy":
        x = _npy(path)
    elif suffix == ".npz":
        x = _npz(path)
    elif suffix == ".csv":
        x = _csv(path, missing)
    elif suffix in ("", ".gz") or "idx" in path.name:
        x = load_idx(path)
    else:
        raise ValueError(f"{path}: the name ends in {suffix!r}; {READABLE} is read")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"{path} holds an array of shape {x.shape}; (samples, features) is needed, at least one of each")
    if (x.dtype.kind in "biu" and x.dtype != np.uint8) or x.dtype == np.float16:  # uint8 is known as an image's
        x = x.astype(np.float32)
    return x.reshape(len(x), -1)


def read_samples(name: str) -> tuple[Array, Array | None]:
    """Samples from a file, or, by the name "digits" where there is no such file, the embedded digits with their labels."""
    if name == "digits" and not Path(name).exists():
        return load_digits()
    return read_matrix(name), None


def column_names(path: str | os.PathLike[str]) -> list[str] | None:
    """Those that the first line of a .csv file holds; None if it holds numbers, and for other files."""
    if Path(path).suffix.lower() != ".csv":
        return None
    with open(path, encoding="utf-8-sig") as file:
        line = file.readline()
    return [cell.strip() for cell in next(csv.reader([line]))] if _is_header(line) else None


def file_stem(name: str) -> str:
    """What is left of a file's name without folders and endings."""
    return Path(name).name.partition(".")[0]


def write_matrix(path: str | os.PathLike[str], x: Array) -> None:
    """An array to a .npy, .npz or .csv file, by its name; an old file is replaced once the new one is whole."""
    path = check_ending(path, WRITABLE)
    data = io.BytesIO()
    suffix = path.suffix.lower()
    if suffix == ".npy":
        np.save(data, x)
    elif suffix == ".npz":
        np.savez_compressed(data, x=x)
    else:
        np.savetxt(data, x, delimiter=",", fmt="%.9g")
    write_atomically(path, data.getvalue())


def check_ending(path: str | os.PathLike[str], endings: Sequence[str]) -> Path:
    """A path, if its name ends in one of these."""
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: the name ends in {path.suffix!r}; {' or '.join(endings)} is written")
    return path


def _npy(path: Path) -> Array:
    try:
        x: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a whole .npy file of numbers{_reason(error)}") from error
    return x


def _npz(path: Path) -> Array:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            if {"indices", "indptr"} <= set(stored.files):
                raise ValueError("it holds a sparse matrix, which is taken in Python only: scipy.sparse.load_npz")
            names = [stored.files[0]] if len(stored.files) == 1 else [n for n in _NAMES if n in stored.files]
            if not names:
                raise ValueError(f"it holds {', '.join(stored.files) or 'nothing'}; name the array x")
            x: Array = stored[names[0]]
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a usable .npz file{_reason(error)}") from error
    return x


def _reason(error: Exception) -> str:
    """NumPy's words, but for its advice to load pickles."""
    return "" if "pickle" in str(error) else f": {error}"


def csv_with(path: str | os.PathLike[str], x: Array, at: Array) -> str:
    """The text of a .csv file with numbers of x (rows, columns) in the cells where ``at`` is True, all others as they are."""
    lines = Path(path).read_text("utf-8-sig").splitlines()
    rows = iter(zip(x, at, strict=True))
    for number, line in enumerate(lines):
        if line.strip() and not (number == 0 and _is_header(line)):
            cells = zip(line.split(","), *next(rows), strict=True)
            lines[number] = ",".join(f"{value:.9g}" if here else cell for cell, value, here in cells)
    return "\n".join([*lines, ""])


def _csv(path: Path, missing: bool = False) -> Array:
    """Numbers between commas; a first line in which nothing is a number holds the names of the columns."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            skip = int(_is_header(file.readline()))
        number = _number if missing else None
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy only warns of a file without numbers
            x: Array = np.loadtxt(
                path,
                delimiter=",",
                ndmin=2,
                skiprows=skip,
                encoding="utf-8-sig",
                comments=None,
                converters=number,
                quotechar='"',
            )
    except (ValueError, UserWarning) as error:
        fault = _fault(path, skip, missing) or ("it has no rows" if isinstance(error, UserWarning) else error)
        raise ValueError(f"{path} is not a table of numbers between commas: {fault}") from error
    if (names := column_names(path)) is not None and len(names) != x.shape[1]:
        raise ValueError(
            f"{path} is not a table of numbers between commas: line 1 has {len(names)} names, rows {x.shape[1]} cells"
        )
    return x


def _fault(path: Path, skip: int, missing: bool) -> str | None:
    """Where a .csv file is no table of numbers; lines and columns count from 1."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines, width = csv.reader(file), None
        for cells in lines:
            if lines.line_num <= skip or not cells:
                continue
            if len(cells) != (width := width or len(cells)):
                return f"line {lines.line_num} has {len(cells)} cells, those before it {width}"
            for column, cell in enumerate(cells, 1):
                if cell.strip().lower() in _MISSING:
                    if not missing:
                        return f"line {lines.line_num}, column {column} is {cell!r}; fastae impute fills gaps"
                elif not _is_number(cell):
                    hint = "; cells are between commas here" if ";" in cell or "\t" in cell else ""
                    return f"line {lines.line_num}, column {column} is {cell!r}{hint}"
    return None


def _number(cell: str) -> float:
    return np.nan if cell.strip().lower() in _MISSING else float(cell)


def _is_header(line: str) -> bool:
    cells = [cell.strip().strip('"') for cell in line.split(",")]
    named = any(cell.strip().lower() not in _MISSING for cell in cells)
    return named and not any(map(_is_number, cells))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
