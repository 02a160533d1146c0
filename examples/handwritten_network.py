"""A network written by hand in NumPy, as in courses, with fastdrop in place of its dropout.

What stood there:

    mask = (np.random.rand(*h.shape) >= p) / (1 - p)   # forward
    h = h * mask
    dh = dh * mask                                     # backward

The backward line stays as it is: multiplying by a mask applies it.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastdrop as fd


def train(p: float, epochs: int = 150, units: int = 256, rate: float = 0.2) -> float:
    """Train one hidden layer on few digits; returns the accuracy on the others."""
    x, labels = load_digits(return_X_y=True)
    x, x_test, labels, labels_test = train_test_split(
        (x / 16).astype(np.float32), labels, train_size=300, random_state=0, stratify=labels
    )
    rng = np.random.default_rng(0)
    w1 = rng.normal(0, 0.1, (64, units)).astype(np.float32)
    w2 = rng.normal(0, 0.1, (units, 10)).astype(np.float32)
    stream = fd.Stream(0)  # before the loop: every call draws another mask. A seed would give the same one each time.
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(x)), 10):
            h = np.maximum(x[batch] @ w1, 0)
            h, mask = fd.dropout(h, p, rng=stream)
            scores = h @ w2
            scores -= scores.max(axis=1, keepdims=True)
            dscores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            dscores[np.arange(len(batch)), labels[batch]] -= 1
            dscores /= len(batch)
            dh = dscores @ w2.T
            dh = dh * mask
            dh[h <= 0] = 0  # ReLU; what is dropped has no gradient either way
            w2 -= rate * h.T @ dscores
            w1 -= rate * x[batch].T @ dh
    h = np.maximum(x_test @ w1, 0)  # testing needs no dropout, and no scaling: training has scaled
    return float((np.argmax(h @ w2, axis=1) == labels_test).mean())


if __name__ == "__main__":
    for p in (0.0, 0.5):
        print(f"p = {p}: {train(p):.1%} of the test digits are right")
