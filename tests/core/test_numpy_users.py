"""Code around dropout in NumPy: seeds, scales, other packages' keywords and arrays, printing, importing."""

import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import fastdrop as fd
from fastdrop import nn

# --- rng


def test_rng_is_what_default_rng_takes():
    words = [
        np.random.SeedSequence(5),
        [1, 2, 3],
        (5,),
        np.array([1, 2]),
        2**64,
        2**200,
        np.random.SeedSequence([1, 2]),
    ]
    keys = [fd.dropout(np.ones(4), rng=seed)[1].draw.key for seed in words]
    assert keys == [
        fd.dropout(np.ones(4), rng=seed)[1].draw.key for seed in words
    ]  # a seed gives the same key each time
    assert len(set(keys)) == len(keys) - 2  # 5 and [1, 2] occur twice, in two forms
    assert [fd.Stream(seed).key for seed in words] == keys
    for seed in (0, 7, 2**63, 2**64 - 1, np.int64(7), np.uint64(2**64 - 1), np.array(7)):
        assert fd.dropout(np.ones(4), rng=seed)[1].draw.key == int(seed)
    for source in (np.random.default_rng(1), np.random.PCG64(1), np.random.MT19937(1), np.random.RandomState(1)):
        first, second = (fd.dropout(np.ones(4), rng=source)[1].draw.key for _ in range(2))
        assert first != second
    same = [fd.dropout(np.ones(4), rng=source)[1] for source in (np.random.default_rng(1), np.random.PCG64(1))]
    assert same[0] == same[1]


def test_the_module_numpy_random_is_refused_in_words():
    for call in (fd.dropout, fd.gaussian_dropout, fd.Mask):
        with pytest.raises(TypeError, match=r"hidden state is not used.*default_rng"):
            call(np.ones(3) if call is not fd.Mask else 3, 0.5, rng=np.random)


def test_np_random_seed_has_no_effect_and_the_documentation_says_so():
    masks = []
    for _ in range(2):
        np.random.seed(0)  # noqa: NPY002
        masks.append(fd.dropout(np.ones(1000))[1])
    assert masks[0] != masks[1]
    assert "`numpy.random.seed` has no effect" in fd.dropout.__doc__


def test_a_seed_repeats_and_a_stream_goes_on():
    x = np.ones(100)
    assert fd.dropout(x, rng=42)[1] == fd.dropout(x, rng=42)[1]
    stream = fd.Stream(42)
    assert fd.dropout(x, rng=stream)[1] != fd.dropout(x, rng=stream)[1]
    stream = fd.Stream(1)
    layers = [nn.Dropout(0.5, rng=stream), nn.Dropout(0.5, rng=stream)]
    y = [layer(x) for layer in layers]
    assert not np.array_equal(*y)


# --- the scale, and results


@pytest.mark.parametrize("p", [0.1, 0.25, 0.3, 0.45, 0.5, 0.9, 0.999])
def test_the_scale_is_the_reciprocal_of_one_minus_p(p):
    x = np.random.default_rng(0).standard_normal(1000)
    y, mask = fd.dropout(x, p, rng=1)
    assert mask.scale == 1 / (1 - p)
    np.testing.assert_array_equal(y, np.where(np.asarray(mask), x * (1 / (1 - p)), 0.0))
    np.testing.assert_allclose(y, np.where(np.asarray(mask), x / (1 - p), 0.0), rtol=3e-16)
    np.testing.assert_array_equal(fd.dropout(x, p, scaling="classic", training=False)[0], x * (1 - p))


# --- keywords and arguments


KEYWORDS = [
    ("dropout", {"seed": 1}, "seed is called rng"),
    ("dropout", {"random_state": 1}, "random_state is called rng"),
    ("dropout", {"generator": None}, "generator is called rng"),
    ("dropout", {"rate": 0.5}, "rate is called p"),
    ("dropout", {"keep_prob": 0.5}, r"p = 1 - keep_prob.*p is the probability of dropping"),
    ("dropout", {"noise_shape": (1,)}, "noise_shape is called shared_axes"),
    ("dropout", {"broadcast_dims": 1}, "broadcast_dims is called shared_axes"),
    ("dropout", {"inplace": True}, "inplace is called out=x"),
    ("dropout", {"train": True}, "train is called training"),
    ("dropout", {"deterministic": True}, "deterministic is called training"),
    ("dropout", {"colour": "red"}, r"'colour'\. It takes x, p, rng"),
    ("spatial_dropout", {"data_format": "channels_last"}, "data_format is called channel_axis"),
    ("dropblock", {"block": 3}, "block is called block_size"),
    *((name, {"seed": 1, "rate": 0.1}, "seed is called rng.*rate is called p") for name in fd.__all__ if name in {
        "spatial_dropout", "drop_path", "locked_dropout", "embedding_dropout", "gaussian_dropout", "alpha_dropout",
        "feature_alpha_dropout", "dropblock", "softmax_dropout", "zoneout", "dropout_add", "bias_activation_dropout",
        "dropconnect", "dropconnect_inference",
    }),
    ("cutout", {"seed": 1}, "seed is called rng"),
    ("dropconnect_moments", {"rate": 1}, "rate is called p"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "keywords", "words"), KEYWORDS)
def test_keywords_of_other_packages_are_told_ours(name, keywords, words):
    arrays = {"zoneout": 2, "dropout_add": 2, "bias_activation_dropout": 2, "cutout": 2}
    count = 2 if name.startswith("dropconnect") else arrays.get(name, 1)
    with pytest.raises(TypeError, match=rf"^{name}\(\) has no keyword.*{words}"):
        getattr(fd, name)(*[np.ones((2, 2))] * count, **keywords)


@pytest.mark.parametrize(
    ("layer", "keywords", "words"),
    [
        (nn.Dropout, {"rate": 0.5}, "rate is called p"),
        (nn.Dropout, {"p": 0.5, "seed": 1}, "seed is called rng"),
        (nn.SpatialDropout, {"keep_prob": 0.5}, "p = 1 - keep_prob"),
        (nn.DropBlock, {"block": 3}, "block is called block_size"),
        (nn.GaussianDropout, {"stddev": 3}, "It takes p, rng"),
    ],
)
def test_keywords_of_other_packages_in_layers(layer, keywords, words):
    with pytest.raises(TypeError, match=words):
        layer(**keywords)


def test_signatures_are_those_that_are_documented():
    import inspect

    assert list(inspect.signature(nn.Dropout).parameters) == ["p", "rng"]
    assert "rng" in inspect.signature(fd.dropout).parameters


def test_swapped_arguments_and_booleans():
    y, mask = fd.dropout(np.ones(8), rng=1)
    for arguments in ((mask, y), (y, np.asarray(mask)), (y, np.asarray(mask).tolist())):
        with pytest.raises(TypeError, match=r"dropout_backward takes the mask that.*the order"):
            fd.dropout_backward(*arguments)


# --- objects that are no arrays, and arrays with more than numbers


class Box:
    """A traced array of an autograd library."""

    _value = np.ones(3)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (None, "is None; give an array"),
        (Box(), "a Box, which an autograd library traces"),
        (object(), "a object, which NumPy makes no array of numbers of"),
        ({}, "a dict"),
        (["a", None], "a list"),
        (np.array([None]), "dtype object"),
        (np.ones(3, np.longdouble), "float64"),
    ],
)
def test_what_is_no_array_is_told_so(x, words):
    for call in (fd.dropout, fd.alpha_dropout, fd.softmax_dropout, lambda x: fd.dropout_backward(x, None)):
        with pytest.raises(TypeError, match=words):
            call(x)


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    for x in (sparse.csr_matrix(np.eye(3)), sparse.coo_array(np.eye(3))):
        with pytest.raises(TypeError, match=r"sparse.*toarray\(\).*x\.data"):
            fd.dropout(x)
    x = sparse.csr_matrix(np.eye(3))
    x.data = fd.dropout(x.data, 0.0)[0]
    np.testing.assert_array_equal(x.toarray(), np.eye(3))


def test_units_are_not_dropped_silently():
    pint = pytest.importorskip("pint")
    metres = pint.UnitRegistry().Quantity(np.ones(4), "m")
    with pytest.warns(pint.UnitStrippedWarning):
        fd.dropout(metres, rng=1)

    class Quantity(np.ndarray):
        """A Quantity as astropy defines it."""

    with pytest.raises(TypeError, match="Quantity"):
        fd.dropout(np.ones(4).view(Quantity))


def test_bfloat16_through_dlpack():
    torch = pytest.importorskip("torch")
    x = torch.arange(16, dtype=torch.bfloat16)
    for array in (x, x[::2], x.reshape(4, 4).T, x[:0]):
        taken = fd.from_dlpack(array)
        assert (taken.dtype, taken.shape) == (ml_dtypes.bfloat16, tuple(array.shape))
        np.testing.assert_array_equal(taken.astype(np.float32), array.float().numpy())
    fd.from_dlpack(x)[3] = 9
    assert x[3] == 9
    y, mask = fd.dropout(x, 0.5, rng=1)
    np.testing.assert_array_equal(y, mask(fd.from_dlpack(x)))
    assert y.dtype == ml_dtypes.bfloat16
    for other in (torch.ones(3, dtype=torch.float8_e4m3fn), torch.ones(3, requires_grad=True)):
        with pytest.raises(TypeError, match="cannot be read by DLPack"):
            fd.from_dlpack(other)


def test_an_overflow_is_inf_and_warns_nobody():
    x = np.full(100, 60000, np.float16)
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        y, mask = fd.dropout(x, 0.9, rng=1)
    assert np.isinf(y[np.asarray(mask)]).all()
    assert "numpy.errstate" in fd.dropout.__doc__


# --- printing


def test_layers_print_what_they_are():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5, rng=1), nn.Sequential(nn.Linear(4, 2)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(weight=(4, 3), bias=(4,))\n"
        "  (1): ReLU()\n"
        "  (2): Dropout(p=0.5)\n"
        "  (3): Sequential(\n"
        "    (0): Linear(weight=(2, 4), bias=(2,))\n"
        "  )\n"
        ")"
    )
    assert repr(nn.LSTM(2, 3)).startswith("LSTM(")
    assert "weight=(12, 2)" in repr(nn.LSTM(2, 3))


# --- importing


def test_an_import_from_the_source_says_what_to_do(tmp_path):
    """A source tree without compiled kernels hides an installed package, for example for `python -c` in a clone."""
    source = Path(fd.__file__).parent
    package = tmp_path / "fastdrop"
    package.mkdir()
    for entry in source.iterdir():
        if entry.name not in ("_kernels", "__pycache__"):
            (package / entry.name).symlink_to(entry)
    (package / "_kernels").mkdir()
    (package / "_kernels" / "__init__.py").symlink_to(source / "_kernels" / "__init__.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = f"import sys; sys.meta_path = [f for f in sys.meta_path if 'ditable' not in type(f).__name__ + str(f)]; sys.path.insert(0, {str(tmp_path)!r}); import fastdrop"  # noqa: E501
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "this is its source" in result.stderr
    assert "pip install -e ." in result.stderr


def test_importing_takes_nothing_that_is_optional(tmp_path):
    script = "import sys, fastdrop; print([m for m in ('cupy', 'torch', 'dask', 'pandas', 'PySide6', 'ml_dtypes') if m in sys.modules])"  # noqa: E501
    result = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
    assert importlib.util.find_spec("fastdrop")
