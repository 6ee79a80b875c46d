"""Kernel ridge regression over remembered devices or phrases: what those alike have, each weighed against all others.

With the kernel matrix K of what is remembered and Y the share of each that every answer has, the duals are
(K + λI)⁻¹ Y, and what a question scores is its kernel to all of them times the duals. What it would score if some of
them had never been there has a closed form (Rifkin and Lippert, "Notes on Regularized Least Squares", 2007), which the
fit of weights relies on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_union

from slm.evaluation.benchmark.device import Device

Floats = npt.NDArray[np.float64]
_Singles = npt.NDArray[np.float32]
Asked = TypeVar("Asked")

#: What the likenesses of devices weigh; chosen on training devices, each without itself and without its near numbers.
_TEXT, _NEAR, _MAKER, _CLASS, _BOTH = 2.0, 0.3, 0.2, 0.3, 0.3
#: Scales over which the likeness of two numbers falls.
SCALES = (2.0, 16.0, 256.0)
#: Questions whose kernels are computed together.
_AT_ONCE = 512


class Ridge(ABC, Generic[Asked]):
    """What is remembered, and its duals."""

    #: λ.
    ridge: float

    def __init__(self, known: Sequence[Asked], held: csr_matrix, hides: bool = False) -> None:
        """Solve for the duals: some seconds for some thousand.

        :param held: the share of each that every answer has ``[known, answers]``.
        :param hides: whether some will be hidden, which takes the inverse of the kernel matrix: three times as long.
        """
        matrix = np.concatenate([self.kernel(known[at : at + _AT_ONCE]) for at in range(0, len(known), _AT_ONCE)])
        matrix[np.diag_indices(len(known))] += self.ridge
        factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        self._duals: _Singles = cho_solve(factor, held.toarray().astype(np.float32), check_finite=False)
        self._inverse: _Singles | None = None
        if hides:
            inverse, failed = lapack.spotri(factor[0], lower=1, overwrite_c=1)
            assert failed == 0, "a kernel matrix with a ridge is positive definite"
            inverse = np.tril(inverse)
            self._inverse = inverse + np.tril(inverse, -1).T

    @abstractmethod
    def kernel(self, asked: Sequence[Asked]) -> _Singles:
        """Return how alike each is to all that is remembered ``[asked, known]``."""

    def scores(self, asked: Asked, hidden: npt.NDArray[np.intp]) -> Floats:
        """Return what a question scores for every answer, about the share that it would have of it ``[answers]``.

        :param hidden: places of what counts as if it had never been there; what is asked about itself is among them.
        """
        near = self.kernel([asked])[0]
        found: Floats = np.asarray(near @ self._duals, dtype=np.float64).ravel()
        if len(hidden):
            assert self._inverse is not None, "it was not made to hide anything"
            among = self._inverse[np.ix_(hidden, hidden)].astype(np.float64)
            found -= (near @ self._inverse[:, hidden]) @ np.linalg.solve(among, self._duals[hidden])
        return found


class DeviceRidge(Ridge[Device]):
    """The devices of one bus.

    Alike are those whose descriptions share letters (the cosine of TF-IDF vectors of n-grams), whose numbers are near
    under one maker (at several scales, and twice so for those of one class), and that share maker or class.
    """

    #: Beside kernels of a device with itself of about 4.
    ridge = 0.1

    def __init__(self, devices: Sequence[Device], held: csr_matrix, hides: bool = False) -> None:
        self._vendors, self._numbers = (np.array([device.key[n] for device in devices]) for n in (1, 2))
        self._classes = _classes(devices)
        self._grams = Grams([device.line for device in devices], "char", (2, 5))
        self._texts = _turned(self._grams.vectors([device.line for device in devices]))
        super().__init__(devices, held, hides)

    def kernel(self, asked: Sequence[Device]) -> _Singles:
        """Return how alike devices are to the remembered ones."""
        vendors, numbers = (np.array([device.key[n] for device in asked])[:, None] for n in (1, 2))
        classes = _classes(asked)[:, None]
        maker = vendors == self._vendors
        kind = (classes == self._classes) & (classes >= 0)
        found: _Singles = (self._grams.vectors([device.line for device in asked]) @ self._texts).toarray()
        found *= _TEXT
        found += _CLASS * kind.astype(np.float32)
        # Another maker's numbers say nothing, and nearly all are another's.
        rows, columns = np.nonzero(maker)
        distance = np.abs(numbers[rows, 0] - self._numbers[columns]).astype(np.float32)
        near = sum(np.exp(-distance / np.float32(scale)) for scale in SCALES)
        both = kind[rows, columns].astype(np.float32)
        found[rows, columns] += _NEAR * near * (1 + both) + _MAKER + _BOTH * both
        return found


class Grams:
    """Texts as TF-IDF vectors of their letters in a row.

    They are those of scikit-learn's ``TfidfVectorizer`` with sublinear counts, which spends most of its time over the
    one text of a question on checking what it is given.
    """

    def __init__(self, texts: Sequence[str], analyzer: Literal["char", "char_wb"], lengths: tuple[int, int]) -> None:
        """Count them in what there is.

        :param analyzer: ``char_wb`` for letters of one word only, its ends among them.
        :param lengths: the fewest and the most in a row.
        """
        counter = CountVectorizer(analyzer=analyzer, ngram_range=lengths)
        counts = counter.fit_transform(texts)
        self._places: dict[str, int] = counter.vocabulary_
        self._grams: Callable[[str], list[str]] = counter.build_analyzer()
        held = np.bincount(counts.indices, minlength=counts.shape[1])
        self._rarity = (np.log((1 + len(texts)) / (1 + held)) + 1).astype(np.float32)

    def vectors(self, texts: Sequence[str]) -> csr_matrix:
        """Return a vector of length 1 for each text ``[texts, grams]``; nothing for one without a known gram."""
        grams, times, ends = list[int](), list[int](), [0]
        for text in texts:
            counts: dict[int, int] = {}
            for gram in self._grams(text):
                if (place := self._places.get(gram)) is not None:
                    counts[place] = counts.get(place, 0) + 1
            grams += counts.keys()
            times += counts.values()
            ends.append(len(grams))
        weights = (1 + np.log(np.array(times, dtype=np.float32))) * self._rarity[grams]
        rows = np.repeat(np.arange(len(texts)), np.diff(ends))
        weights /= np.sqrt(np.bincount(rows, weights**2, len(texts))).astype(np.float32)[rows]
        return csr_matrix((weights, grams, ends), (len(texts), len(self._rarity)))


class PhraseRidge(Ridge[str]):
    """Phrases: alike are those that share words, words in a row, and letters in a row inside them."""

    #: Beside kernels of a phrase with itself of 2; chosen on validation phrases.
    ridge = 0.3

    def __init__(self, texts: Sequence[str], held: csr_matrix) -> None:
        self._vectorizer = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32),
        )
        self._texts = _turned(self._vectorizer.fit_transform(texts))
        super().__init__(texts, held)

    def kernel(self, asked: Sequence[str]) -> _Singles:
        """Return how alike phrases are to the remembered ones."""
        found: _Singles = (self._vectorizer.transform(asked) @ self._texts).toarray()
        return found


def _turned(texts: csr_matrix) -> csr_matrix:
    """Return ``[texts, grams]`` as ``[grams, texts]``, stored by row: scipy would turn it anew for every product."""
    return texts.T.tocsr()


def _classes(devices: Sequence[Device]) -> npt.NDArray[np.int64]:
    return np.array([-1 if device.subclass is None else device.subclass for device in devices])
