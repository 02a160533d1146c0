"""`fastdrop bits`: the order of draws, uniform words from biased draws, and the pipe."""

import os
import pty
import subprocess
import sys

import numpy as np
import pytest

import fastdrop as fd
from fastdrop import reference
from fastdrop.cli import main as cli
from fastdrop.cli.bits import ORDERS, Fastdrop, Size, draws, run_bytes, stream_of_bytes, transposed, uniform

COMMAND = [sys.executable, "-m", "fastdrop.cli.main", "bits"]
SIZE = Size(rows=32, elements=2048)


def kept(key, call, p, count=SIZE.elements):
    stream = fd.Stream(key)
    for _ in range(call):
        fd.dropout(np.ones(1), rng=stream)
    return np.asarray(fd.dropout(np.ones(count), p, rng=stream)[1])


def second_chunk(order, p=0.3):
    chunks = draws(Fastdrop(), order, p, 9, SIZE)
    next(chunks)
    return np.unpackbits(next(chunks).reshape(-1), bitorder="little")


def test_elements_call_after_call():
    np.testing.assert_array_equal(second_chunk("elements"), kept(9, 1, 0.3, 32 * 2048))


@pytest.mark.parametrize(
    ("order", "masks"),
    [
        ("calls", lambda: [kept(9, 32 + row, 0.3) for row in range(32)]),
        ("seeds", lambda: [kept(9 + 32 + row, 0, 0.3) for row in range(32)]),
        ("children", lambda: [kept(s.key, 1, 0.3) for s in (fd.Stream(9), *fd.Stream(9).spawn(62)[31:])]),
    ],
)
def test_one_element_over_many_masks(order, masks):
    np.testing.assert_array_equal(second_chunk(order).reshape(2048, 32), np.stack(masks(), axis=1))


def test_remainders_follow_the_last_full_tile():
    expected = [kept(9, 32 + row, 0.3, 2048 + 1009)[2048:] for row in range(32)]
    np.testing.assert_array_equal(second_chunk("remainders"), np.concatenate(expected))


def test_planes_are_the_first_eight_bits():
    u = reference.uniform40(9, 1, np.arange(8 * SIZE.elements)) >> np.uint64(32)
    bytes_first_bit_lowest = np.packbits(second_chunk("planes").reshape(-1, 8), axis=1, bitorder="big").ravel()
    np.testing.assert_array_equal(bytes_first_bit_lowest, u)


def test_tails_are_the_ninth_bits_of_ties():
    expected = []
    for j in range(256):
        u = reference.uniform40(9, 256 + j, np.arange(512))
        tied = u[u >> np.uint64(32) == j]
        expected.append((tied >> np.uint64(31) & np.uint64(1)) == 0)  # kept if the ninth bit is 0
    expected = np.concatenate(expected)
    np.testing.assert_array_equal(second_chunk("tails"), expected[: expected.size // 8 * 8])


def test_gaussian_is_the_distribution_function():
    from scipy.special import ndtr

    chunks = draws(Fastdrop(), "gaussian", 0.5, 9, SIZE)
    next(chunks)
    z = reference.normals(9, 1, np.arange(512))
    np.testing.assert_allclose(next(chunks).view("<u2") / 65536, ndtr(z.astype(float)), atol=2.0**-15)


def test_transposition():
    bits = np.random.default_rng(0).integers(0, 2, (24, 40), dtype=np.uint8)
    expected = np.packbits(bits.T, axis=1, bitorder="little")
    np.testing.assert_array_equal(transposed(np.packbits(bits, axis=1, bitorder="little")), expected)


@pytest.mark.parametrize("q", [0.7, 0.1, 0.9, 0.993, 179.4 / 256, 0.5])
def test_words_of_correct_draws_are_uniform(q):
    """Words have the order of runs, by the first byte first. At 0.993, one run in 40 is all ones and needs filling."""
    size, ones = run_bytes(q), np.bitwise_count(np.arange(256)).astype(float)
    assert size * 8 * -(q * np.log2(q) + (1 - q) * np.log2(1 - q)) <= 32
    probabilities = q**ones * (1 - q) ** (8 - ones)
    runs = np.random.default_rng(1).choice(256, (1 << 16, size), p=probabilities).astype(np.uint8)
    words = np.concatenate(list(uniform(iter([runs]), q, 0)), axis=None)
    if q == 0.5:
        np.testing.assert_array_equal(words, runs.ravel())
        return
    words = words.view("<u4")
    counts = np.bincount(words >> np.uint32(24), minlength=256)
    assert abs(((counts - 256) ** 2 / 256).sum() - 255) < 5 * np.sqrt(2 * 255)
    assert (np.diff(runs[np.argsort(words, kind="stable"), 0].astype(int)) >= 0).all()


def test_equal_pairs_and_a_wrong_rate_make_words_uneven():
    """Von Neumann's pairs would hide both faults."""
    rng = np.random.default_rng(2)
    for bits in (rng.random(1 << 20) < 0.74, np.repeat(rng.random(1 << 19) < 0.7, 2)):
        words = np.concatenate(list(uniform(iter([np.packbits(bits)]), 0.7, 0)))
        counts = np.bincount(words.view("<u4") >> np.uint32(24), minlength=256)
        expected = counts.sum() / 256
        assert ((counts - expected) ** 2 / expected).sum() > 255 + 20 * np.sqrt(2 * 255)


def run(*options, **more):
    return subprocess.run([*COMMAND, *options], capture_output=True, timeout=100, **more)


@pytest.mark.parametrize("options", [("--order", "calls", "--rate", "0.3", "--seed", "5"), ("--order", "planes")])
def test_the_command_writes_the_stream(options):
    order, p, seed = options[1], 0.3 if "--rate" in options else 0.5, 5 if "--seed" in options else 0
    done = run(*options, "--bytes", "10001")
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout) == 10001
    expected = next(stream_of_bytes(Fastdrop(), order, p, seed))
    assert done.stdout == expected.tobytes()[:10001]


def test_it_ends_without_an_error_when_the_reader_closes_the_pipe():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as bits:
        assert len(bits.stdout.read(3_000_000)) == 3_000_000  # more than one chunk
        bits.stdout.close()
        assert bits.wait(60) == 0
        assert bits.stderr.read() == b""


def test_zero_bytes_print_nothing():
    assert run("--bytes", "0").stdout == b""


def test_a_terminal_gets_no_bytes():
    terminal, end = pty.openpty()
    try:
        done = subprocess.run(COMMAND, stdout=end, stderr=subprocess.PIPE, timeout=100)
    finally:
        os.close(end)
        os.close(terminal)
    assert done.returncode == 2
    assert b"pipe it into a battery" in done.stderr
    assert b"fastdrop bits --order elements | dieharder -g 200 -a" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--rate", "1"), "p = 1 have nothing random"),
        (("--rate", "0"), "p = 0 have nothing random"),
        (("--rate", "nan"), "--rate is the probability of dropping"),
        (("--rate", "1.5"), "--rate is the probability of dropping"),
        (("--rate", "1e-13"), "have nothing random"),
        (("--order", "planes", "--rate", "0.3"), "--order planes takes no --rate"),
        (("--seed", "-1"), "--seed is an int from 0 to 2**64 - 1"),
        (("--seed", str(2**64)), "--seed is an int from 0 to 2**64 - 1"),
        (("--bytes", "-1"), "--bytes is not negative"),
    ],
)
def test_refused_options(options, said, capsys):
    assert cli.main(["bits", *options]) == 2
    assert said in capsys.readouterr().err


def test_every_order_is_in_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["bits", "--help"])
    printed = capsys.readouterr().out
    assert all(order in printed for order in ORDERS)


def test_the_largest_seed_has_neighbours():
    chunk = next(draws(Fastdrop(), "seeds", 0.5, 2**64 - 1, SIZE))
    rows = np.unpackbits(chunk, axis=1, bitorder="little").T
    np.testing.assert_array_equal(rows[1], kept(0, 0, 0.5))
