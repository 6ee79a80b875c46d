"""Kernel ridge regression over remembered devices: what devices like one have, each weighed against all others.

Alike are devices whose descriptions share letters (the cosine of TF-IDF vectors of n-grams), whose numbers are near
under one maker (at several scales, and twice so for those of one class), and that share maker or class. With the kernel
matrix K of the remembered devices and Y the share of each that every answer has, the duals are (K + λI)⁻¹ Y, and what a
device scores is its kernel to all of them times the duals. What it would score if some of them had never been there has
a closed form (Rifkin and Lippert, "Notes on Regularized Least Squares", 2007), which the fit of weights relies on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from slm.evaluation.benchmark.items import Device

Floats = npt.NDArray[np.float64]
_Singles = npt.NDArray[np.float32]

#: λ, beside kernels of a device with itself of about 4.
_RIDGE = 0.1
#: What each likeness weighs; chosen on training devices, each without itself and without its near numbers.
_TEXT, _NEAR, _MAKER, _CLASS, _BOTH = 2.0, 0.3, 0.2, 0.3, 0.3
#: Scales over which the likeness of two numbers falls.
_SCALES = (2.0, 16.0, 256.0)
#: Devices whose kernels are computed together.
_AT_ONCE = 512


class Ridge:
    """The devices of one bus and their duals."""

    def __init__(self, devices: Sequence[Device], held: csr_matrix, hides: bool = False) -> None:
        """Solve for the duals: some seconds for some thousand devices.

        :param held: the share of each device that every answer has ``[devices, answers]``.
        :param hides: whether devices will be hidden, which takes the inverse of the kernel matrix: three times as long.
        """
        self._vendors, self._numbers = (np.array([device.key[n] for device in devices]) for n in (1, 2))
        self._classes = _classes(devices)
        self._vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
        self._texts = self._vectorizer.fit_transform([device.line for device in devices])
        parts = [self._kernel(devices[at : at + _AT_ONCE]) for at in range(0, len(devices), _AT_ONCE)]
        matrix = np.concatenate(parts)
        matrix[np.diag_indices(len(devices))] += _RIDGE
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        self._duals: _Singles = cho_solve(factor, held.toarray().astype(np.float32), check_finite=False)
        self._inverse: _Singles | None = None
        if hides:
            inverse, failed = lapack.spotri(factor[0], lower=1, overwrite_c=1)
            assert failed == 0, "a kernel matrix with a ridge is positive definite"
            inverse = np.tril(inverse)
            self._inverse = inverse + np.tril(inverse, -1).T

    def scores(self, device: Device, hidden: npt.NDArray[np.intp]) -> Floats:
        """Return what a device scores for every answer, about the share that it would have of it ``[answers]``.

        :param hidden: places of devices that count as if they had never been there; one that is asked about itself is
            among them.
        """
        near = self._kernel([device])[0]
        found: Floats = np.asarray(near @ self._duals, dtype=np.float64).ravel()
        if len(hidden):
            assert self._inverse is not None, "it was not made to hide devices"
            among = self._inverse[np.ix_(hidden, hidden)].astype(np.float64)
            found -= (near @ self._inverse[:, hidden]) @ np.linalg.solve(among, self._duals[hidden])
        return found

    def _kernel(self, devices: Sequence[Device]) -> _Singles:
        """Return how alike devices are to the remembered ones ``[devices, remembered]``."""
        vendors, numbers = (np.array([device.key[n] for device in devices])[:, None] for n in (1, 2))
        classes = _classes(devices)[:, None]
        maker = vendors == self._vendors
        kind = (classes == self._classes) & (classes >= 0)
        distance = np.abs(numbers - self._numbers).astype(np.float32)
        near = sum(np.exp(-distance / np.float32(scale)) for scale in _SCALES) * maker * (1 + kind)
        texts = self._vectorizer.transform([device.line for device in devices])
        alike = (texts @ self._texts.T).toarray()
        found: _Singles = _TEXT * alike + _NEAR * near + _MAKER * maker + _CLASS * kind + _BOTH * (kind & maker)
        return found.astype(np.float32)


def _classes(devices: Sequence[Device]) -> npt.NDArray[np.int64]:
    return np.array([-1 if device.subclass is None else device.subclass for device in devices])
