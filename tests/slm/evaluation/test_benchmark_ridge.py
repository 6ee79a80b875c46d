from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from slm.evaluation.benchmark.ridge import DeviceRidge, Grams, PhraseRidge
from tests.slm.evaluation.test_benchmark_neighbours import devices

ITEMS = devices(count=120)
DEVICES = [item.device for item in ITEMS]
ANSWERS = sorted({answer for item in ITEMS for answer in item.answer})
HELD = csr_matrix([[answer in item.answer for answer in ANSWERS] for item in ITEMS], dtype=np.float64)
SOLVED = DeviceRidge(DEVICES, HELD, hides=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, len(DEVICES) - 1), st.sets(st.integers(0, len(DEVICES) - 1), max_size=40))
def test_what_is_hidden_might_never_have_been_there(asked: int, hidden: set[int]) -> None:
    hidden |= {asked}
    left = [place for place in range(len(DEVICES)) if place not in hidden]
    kernel = SOLVED.kernel(DEVICES).astype(np.float64)
    afresh = np.linalg.solve(kernel[np.ix_(left, left)] + SOLVED.ridge * np.eye(len(left)), HELD[left].toarray())
    found = SOLVED.scores(DEVICES[asked], np.array(sorted(hidden)))
    np.testing.assert_allclose(found, kernel[asked, left] @ afresh, atol=2e-3)


def test_the_kernel_is_symmetric_and_a_device_is_most_like_itself() -> None:
    kernel = SOLVED.kernel(DEVICES)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-5)
    assert (kernel <= np.diag(kernel)[:, None] + 1e-5).all()


def test_it_scores_the_same_without_the_means_to_hide() -> None:
    plain, nobody = DeviceRidge(DEVICES, HELD), np.array([], dtype=np.intp)
    for device in DEVICES[:20]:
        np.testing.assert_allclose(plain.scores(device, nobody), SOLVED.scores(device, nobody), atol=1e-6)


def test_phrases_alike_in_words_or_letters_have_the_same_answer() -> None:
    texts = ["restart the web server", "start the printer", "stop the web server", "why is the disk full"]
    ridge = PhraseRidge(texts, csr_matrix(np.eye(4)))
    for said, place in (("please restart nginx", 0), ("the disks are full", 3), ("stopping a server", 2)):
        assert ridge.scores(said, np.array([], dtype=np.intp)).argmax() == place
    kernel = ridge.kernel(texts)
    afresh = np.linalg.solve(kernel + ridge.ridge * np.eye(4), np.eye(4))
    np.testing.assert_allclose(ridge.scores(texts[1], np.array([], dtype=np.intp)), kernel[1] @ afresh, atol=1e-4)


@given(st.lists(st.text("abc 0", max_size=12), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_vectors_are_those_of_scikit_learn(asked: list[str]) -> None:
    known = [device.line for device in DEVICES] + ["abc abc 00", "cab"]
    theirs = TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True).fit(known)
    np.testing.assert_allclose(
        Grams(known, "char", (2, 5)).vectors(asked).toarray(), theirs.transform(asked).toarray(), rtol=1e-5, atol=1e-6
    )
