"""Bad input raises an error that says what is wrong and what to do."""

import numpy as np
import pytest

import fastdrop as fd

X = np.ones((4, 6), np.float32)


@pytest.mark.parametrize("p", [-0.1, 1.0000001, float("nan"), float("inf")])
def test_p_out_of_range(p):
    for call in (
        lambda: fd.dropout(X, p),
        lambda: fd.dropout(X, p, training=False),
        lambda: fd.spatial_dropout(X, p),
        lambda: fd.dropconnect(X, np.ones((2, 6), np.float32), p=p),
    ):
        with pytest.raises(ValueError, match=repr(p).replace(".", r"\.")):
            call()


def test_p_of_another_type():
    with pytest.raises(TypeError, match="probability"):
        fd.dropout(X, "half")
    for p in ("0.5", b"0.5", np.array([0.5]), None):
        with pytest.raises(TypeError, match="probability"):
            fd.dropout(X, p)
    assert type(fd.dropout(X, np.float32(0.5))[1].p) is float


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.ones(3, np.int64), "int64.*astype"),
        ([1, 2, 3], "int64.*astype"),
        (np.ones(3, bool), "bool.*astype"),
        (np.ones(3, complex), r"complex128.*\.real"),
        (np.array([1, None], object), "object.*float32"),
        (np.ones(3, np.longdouble), "float128.*astype|longdouble.*astype"),
        (np.array(["a"]), "<U1.*float32"),
    ],
)
def test_dtypes_without_kernels(x, words):
    with pytest.raises(TypeError, match=words):
        fd.dropout(x)
    with pytest.raises(TypeError, match=words):
        fd.dropout_backward(x, None)


def test_lists_are_accepted():
    y, mask = fd.dropout([[1.0, 2.0], [3.0, 4.0]], p=0.5, rng=0)
    assert y.shape == mask.shape == (2, 2)


def test_lists_of_several_lengths_are_named():
    ragged = [[1.0], [1.0, 2.0]]
    for name, call in {
        "x": lambda: fd.dropout(ragged),
        "residual": lambda: fd.dropout_add(X, ragged),
        "weight": lambda: fd.dropconnect(X, ragged),
        "dy": lambda: fd.dropout_backward(ragged, None),
    }.items():
        with pytest.raises(ValueError, match=rf"^{name} is no array: .*inhomogeneous"):
            call()


def test_mask_of_another_shape():
    _, mask = fd.dropout(X)
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(6, 4\)"):
        fd.dropout_backward(X.T, mask)


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.ones((4, 5), np.float32), ValueError, r"\(4, 5\).*\(4, 6\)"),
        (np.ones((4, 6)), ValueError, "float64.*float32"),
        ([1.0], TypeError, "list"),
        (np.broadcast_to(np.float32(0), (4, 6)), ValueError, "read-only"),
    ],
)
def test_unfit_out(out, error, words):
    with pytest.raises(error, match=words):
        fd.dropout(X, out=out)


def test_read_only_input_works():
    x = X.copy()
    x.flags.writeable = False
    assert fd.dropout(x, rng=0)[0].flags.writeable


@pytest.mark.parametrize("axes", [2, -3, (0, 0), (0, 5)])
def test_unfit_shared_axes(axes):
    with pytest.raises(ValueError, match=r"axis|axes"):
        fd.dropout(X, shared_axes=axes)


def test_unfit_channel_axis():
    with pytest.raises(ValueError, match="batch"):
        fd.spatial_dropout(X, channel_axis=0)
    with pytest.raises(ValueError, match="out of bounds"):
        fd.spatial_dropout(X, channel_axis=2)
    with pytest.raises(ValueError, match="channel axis"):
        fd.spatial_dropout(np.ones(3))


@pytest.mark.parametrize("axis", [None, 1.0, True, "1"])
@pytest.mark.parametrize("function", [fd.spatial_dropout, fd.feature_alpha_dropout, fd.dropblock, fd.cutout])
def test_a_channel_axis_that_is_no_number(function, axis):
    stream = fd.Stream(1)
    size = {"size": 2} if function is fd.cutout else {}
    with pytest.raises(TypeError, match="channel_axis"):
        function(np.ones((2, 3, 4, 4)), channel_axis=axis, rng=stream, **size)
    assert stream.calls == 0


def test_unknown_scaling():
    with pytest.raises(ValueError, match="'double'"):
        fd.dropout(X, scaling="double")


@pytest.mark.parametrize("rng", ["seed", 1.5, True, object(), np.random, [1.5], b"1"])
def test_unfit_rng(rng):
    with pytest.raises(TypeError, match="rng"):
        fd.dropout(X, rng=rng)


@pytest.mark.parametrize("seed", [-1, np.int64(-5)])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=str(seed)):
        fd.dropout(X, rng=seed)


@pytest.mark.parametrize("threads", [0, -2, 2**40])
def test_unfit_number_of_threads(threads):
    with pytest.raises(ValueError, match=str(threads)):
        fd.set_num_threads(threads)
    with pytest.raises(TypeError, match=r"1\.5"):
        fd.set_num_threads(1.5)


def test_out_that_overlaps_itself():
    out = np.lib.stride_tricks.as_strided(np.zeros(6, np.float32), (4, 6), (0, 4))
    with pytest.raises(ValueError, match="one place"):
        fd.dropout(X, out=out)


def test_a_mask_with_shared_axes_is_no_weight_mask():
    _, mask = fd.dropout(np.ones((2, 3, 4)), shared_axes=0)
    with pytest.raises(TypeError, match=r"takes the mask that dropconnect returned; got a Mask of dropout"):
        fd.dropconnect_backward(np.ones((2, 3)), np.ones((2, 4)), np.ones((3, 4)), mask)


def test_spawn_takes_whole_numbers_and_a_refusal_changes_nothing():
    stream = fd.Stream(1)
    keys = [child.key for child in stream.spawn(np.uint8(200)) + stream.spawn(np.uint8(100))]
    assert len(set(keys)) == 300
    for unfit, error in ((1.5, TypeError), (-1, ValueError)):
        with pytest.raises(error):
            stream.spawn(unfit)
    assert stream.state["spawned"] == 300


def test_an_empty_mask_with_many_keep_bits_costs_nothing():
    _, mask = fd.dropout(np.empty((0, 2**20, 2**14), np.float32), shared_axes=0)
    assert np.asarray(mask).shape == (0, 2**20, 2**14)


def test_unfit_dropconnect():
    weight = np.ones((3, 6), np.float32)
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(6, 3\)"):
        fd.dropconnect(X, weight.T)
    with pytest.raises(ValueError, match=r"bias.*\(2,\).*\(3,\)"):
        fd.dropconnect(X, weight, np.ones(2, np.float32))
    with pytest.raises(TypeError, match=r"float64.*float32"):
        fd.dropconnect(X, weight.astype(float))
    _, mask = fd.dropconnect(X, weight)
    with pytest.raises(ValueError, match=r"dy.*\(3, 4\).*\(4, 3\)"):
        fd.dropconnect_backward(np.ones((3, 4), np.float32), X, weight, mask)
    with pytest.raises(ValueError, match=r"\(4, 3, 6\).*\(2, 6\)"):
        fd.dropconnect_backward(np.ones((4, 2), np.float32), X, weight[:2], mask)


def test_forcing_an_instruction_set_that_is_not_there():
    from fastdrop._kernels import cpu

    with pytest.raises(ValueError, match=r"quantum.*portable"):
        cpu.use_isa("quantum")
