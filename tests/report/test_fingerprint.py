"""The same data have one fingerprint, other data another."""

import hashlib

import numpy as np
import pandas as pd
from scipy import sparse

from shiftfix.report._fingerprint import fingerprint_of


def test_it_is_a_sha256_of_what_it_says():
    digest = hashlib.sha256(b"((2, 1), None)" + np.array([1.0, 2.0]).tobytes()).hexdigest()
    assert fingerprint_of([[1], [2]]) == digest


def test_the_container_and_the_type_do_not_matter_and_everything_else_does():
    X = np.arange(6.0).reshape(3, 2)
    same = [X, X.astype(np.int8), X.tolist(), np.asfortranarray(X), X.astype(np.float32)]
    assert len({fingerprint_of(data) for data in same}) == 1
    frame = pd.DataFrame(X, columns=["a", "b"])
    others = [
        X,
        X[::-1],
        X.T,
        X + 1e-12,
        X[:, :1],
        frame,
        frame.rename(columns={"a": "c"}),
        sparse.csr_array(X),
        X[:, 0],
    ]
    others += [["a", "b"], ["ab"], ["a\x1fb"], pd.DataFrame({"a": ["x", None]}), pd.DataFrame({"a": ["x", "y"]})]
    assert len({fingerprint_of(data) for data in others}) == len(others)
    assert fingerprint_of(sparse.csr_array(X)) == fingerprint_of(sparse.csc_array(X))
    assert len(fingerprint_of(np.array(["\ud800"], dtype=object))) == 64  # what UTF-8 cannot hold
