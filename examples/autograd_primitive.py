"""Dropout as an operation of an autograd library (HIPS autograd): its gradient, and that one's gradient.

The mask is a linear operator, drawn once. Its gradient is itself, so one rule serves every order. Other libraries have
other names for the two parts: a forward function, and what is done to the incoming gradient.
"""

import autograd.numpy as np
from autograd import grad
from autograd.extend import defvjp, primitive
from autograd.test_util import check_grads

import fastdrop as fd


@primitive
def masked(x, mask):
    """The mask applied to x: an operation of the library."""
    return mask(x)


defvjp(masked, lambda y, x, mask: lambda dy: masked(dy, mask), argnums=(0,))


def dropout(x, p, rng):
    """Dropout of what the library traces: draw a mask of the shape, then apply it."""
    return masked(x, fd.Mask(x.shape, p, rng))


if __name__ == "__main__":
    x = np.linspace(-1, 1, 12).reshape(3, 4)

    def loss(x):
        return np.sum(np.tanh(dropout(x, 0.5, rng=7)) ** 2)  # a seed: the same mask at every call, as a check needs it

    check_grads(loss, modes=["rev"], order=2)(x)
    print("gradients of first and second order agree with finite differences")
    print("dropped elements have none:", bool(np.all((grad(loss)(x) == 0) == (dropout(x, 0.5, rng=7) == 0))))
