"""Memory of the device: padded matrices, a network's parameters, and the buffers through which batches go up."""

import numpy as np

from .. import reference
from .toolkit import cuda

VECTOR = 4  # numbers that a kernel loads at once


def padded(n):
    """Columns of a matrix in memory: whole vectors, at least one, so that an empty matrix has an address too."""
    return max(-(-n // VECTOR), 1) * VECTOR


def matrix(rows, columns, real):
    """A matrix of zeros, padded with zeros."""
    return cuda.to_device(np.zeros((max(rows, 1), padded(columns)), real))


def uploaded(a):
    """A padded copy of a matrix with any strides."""
    rows, columns = a.shape
    whole = np.zeros((max(rows, 1), padded(columns)), a.dtype)
    whole[:rows, :columns] = a
    return cuda.to_device(whole)


def download(device_matrix, out):
    out[...] = device_matrix.copy_to_host()[: out.shape[0], : out.shape[1]]


def download_row(device_matrix, out):
    out[...] = device_matrix.copy_to_host()[0, : len(out)]


class Parameters:
    """The weights of a network, or their velocities or gradients: padded, one piece of memory on the device.

    ``layers`` holds each layer's W (n_out, padded n_in) and b (1, padded n_out), views of it; a layer without bias has zeros.
    """

    def __init__(self, layers, real):
        shapes = [shape for n_in, n_out, *_ in layers for shape in ((n_out, padded(n_in)), (1, padded(n_out)))]
        self._staging = cuda.pinned_array(sum(rows * columns for rows, columns in shapes), real)
        self._staging[...] = 0
        self._device = cuda.to_device(self._staging)
        self._known = None  # the flat host array whose values are on the device
        host, device = (self._views(whole, shapes) for whole in (self._staging, self._device))
        self.layers = list(zip(device[::2], device[1::2], strict=True))
        self._parts = []  # views of the staging buffer without padding, in the order of the flat array
        for (n_in, n_out, _, has_bias), w, b in zip(layers, host[::2], host[1::2], strict=True):
            self._parts += [w[:, :n_in], b[:, :n_out]] if has_bias else [w[:, :n_in]]

    @staticmethod
    def _views(whole, shapes):
        views, at = [], 0
        for rows, columns in shapes:
            views.append(whole[at : at + rows * columns].reshape(rows, columns))
            at += rows * columns
        return views

    def _pairs(self, flat):
        at = 0
        for part in self._parts:
            yield part, flat[at : at + part.size].reshape(part.shape)
            at += part.size

    def upload(self, flat, stream=0):
        """The values of a flat host array, unless the device has them already."""
        if self._known is not None and np.array_equal(self._known.view(np.uint8), flat.view(np.uint8)):
            return
        for part, values in self._pairs(flat):
            part[...] = values
        self._device.copy_to_device(self._staging, stream=stream)
        self._known = flat.copy()

    def download(self, flat, stream=0):
        """flat := the values on the device. Waits for the stream."""
        self._device.copy_to_host(self._staging, stream=stream)
        stream.synchronize()
        for part, values in self._pairs(flat):
            values[...] = part
        self._known = flat.copy()

    def spoil(self):
        """What is on the device is no longer what was uploaded."""
        self._known = None


class Staging:
    """One of the pairs of buffers through which batches go to the device: pinned, so that the copy runs beside the kernels."""

    def __init__(self, batch_size, n_in, n_out, real):
        self.real = real
        self._hosts, self._devices = [], []
        for rows, columns in ((batch_size, n_in), (batch_size, n_out), (1, batch_size)):
            pinned = cuda.pinned_array((rows, padded(columns)), real)
            pinned[...] = 0
            self._hosts.append(pinned)
            self._devices.append(cuda.to_device(pinned))
        self._uploaded, self._used = cuda.event(), cuda.event()

    def send(self, x, target, sample_weight, rows, copies, steps):
        """Gather rows and start their upload; the kernels that ``steps`` gets from now on wait for it.

        Returns x, the target and the samples' weights (which may be None) on the device.

        The host waits only if the last batch that went through this buffer is not on the device yet, and the upload only for
        the kernels that read that batch.
        """
        self._uploaded.synchronize()
        self._used.wait(copies)
        sources = x, None if target is x else target, None if sample_weight is None else sample_weight[None]
        for number, (source, host, device) in enumerate(zip(sources, self._hosts, self._devices, strict=True)):
            if source is not None:
                batch = source[:, rows] if number == 2 else reference._batch(source, rows, np.dtype(self.real))
                host[: len(batch), : batch.shape[1]] = batch
                device.copy_to_device(host, stream=copies)
        self._uploaded.record(copies)
        self._uploaded.wait(steps)
        return self._devices[0], self._devices[0 if target is x else 1], self._devices[2]

    def present(self, own_target, rows, n_out):
        """How many targets of the batch are not NaN."""
        return rows * n_out - int(np.isnan(self._hosts[0 if own_target else 1][:rows, :n_out]).sum())

    def used(self, steps):
        """The kernels that ``steps`` has got so far are the last ones to read the batch."""
        self._used.record(steps)
