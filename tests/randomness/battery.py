"""Statistical tests of draws: each takes the draws of an order of `fastdrop bits` and returns p-values by name.

If the draws are independent and have the probability that the mask says, every p-value is uniform on [0, 1], or larger
where counts are few. P-values are two-sided where too even is as wrong as too uneven. `bit_tests` takes the keep bits
themselves, `word_tests` the uniform 32-bit words that `fastdrop bits` makes of them, `normal_tests` normal numbers.
Tests whose approximation is poor for few or lopsided draws are skipped.
"""

import itertools

import numpy as np
import scipy.fft
from scipy import stats

LAGS = 4096
TILE = 2048
_WORD = 32
_BLOCK = 512
# The skewness of a sum of products of two centred draws, up to which it counts as normal beyond four deviations.
_LARGEST_SKEWNESS = 0.04


def two_sided(lower, upper):
    """The p-value of a statistic with these probabilities of being at most, and at least, its value."""
    return float(min(1.0, 2 * min(lower, upper)))


def of_z(z):
    return float(2 * stats.norm.sf(abs(z)))


def of_largest_z(z):
    """The p-value of the largest of many independent |z|."""
    z = np.asarray(z)
    return float(-np.expm1(z.size * np.log1p(-2 * stats.norm.sf(np.abs(z).max()))))


def of_squares(z):
    """The p-value of a sum of squares of independent z: too large as well as too small."""
    z = np.asarray(z)
    total, degrees = float((z * z).sum()), z.size
    return two_sided(stats.chi2.cdf(total, degrees), stats.chi2.sf(total, degrees))


def of_counts(counts, probabilities):
    """Pearson's chi-square of counts with known probabilities; cells that expect fewer than 10 are merged."""
    counts, expected = np.asarray(counts, float).ravel(), np.asarray(probabilities, float).ravel() * np.sum(counts)
    order = np.argsort(expected)
    counts, expected = counts[order], expected[order]
    group = np.floor(np.cumsum(expected) / 10).astype(int)
    small = expected < 10
    group = np.where(small, group, group[small].max(initial=0) + 1 + np.arange(group.size))
    group = np.unique(group, return_inverse=True)[1]
    counts, expected = np.bincount(group, counts), np.bincount(group, expected)
    if expected.size > 1 and expected[0] < 5:
        counts[1], expected[1] = counts[:2].sum(), expected[:2].sum()
        counts, expected = counts[1:], expected[1:]
    if expected.size < 2:
        return 1.0
    total = float(((counts - expected) ** 2 / expected).sum())
    return two_sided(stats.chi2.cdf(total, expected.size - 1), stats.chi2.sf(total, expected.size - 1))


def of_poisson(count, mean):
    return two_sided(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean))


def of_binomial(count, n, p):
    return two_sided(stats.binom.cdf(count, n, p), stats.binom.sf(count - 1, n, p))


def bit_tests(bits, q):
    """P-values of keep bits, an array of 0 and 1 that are 1 with probability q."""
    bits = np.asarray(bits, np.uint8)
    bits = bits[: bits.size // TILE * TILE]
    found = {"keep rate": of_binomial(int(bits.sum()), bits.size, q), "runs": _runs(bits)}
    found |= _patterns(bits, q)
    found["gaps"] = _gaps(bits, q)
    found["block frequency"] = _blocks(bits, q)
    found |= _frequency_domain(bits, q)
    found |= _positions(bits, q)
    found |= _weights(bits, q)
    return found


def _runs(bits):
    """Wald and Wolfowitz: the number of runs, given the number of ones."""
    ones, n = int(bits.sum()), bits.size
    both = 2.0 * ones * (n - ones)
    if both == 0:
        return 0.0
    runs = 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))
    return of_z((runs - both / n - 1) / np.sqrt(both * (both - n) / (n * n * (n - 1.0))))


def _patterns(bits, q):
    packed = np.packbits(bits)
    found = {}
    for name, values in (("patterns of 8", packed), ("patterns of 16", packed.view(">u2"))):
        width = 8 * values.itemsize
        ones = np.bitwise_count(np.arange(1 << width)).astype(int)
        probabilities = q**ones * (1 - q) ** (width - ones)
        found[name] = of_counts(np.bincount(values, minlength=1 << width), probabilities)
    return found


def _gaps(bits, q):
    """Distances between occurrences of the rarer value: geometric."""
    value, rate = (0, 1 - q) if q >= 0.5 else (1, q)
    gaps = np.diff(np.flatnonzero(bits == value)) - 1
    if gaps.size < 100:
        return 0.0  # with the counts used here, hundreds are expected
    longest = int(np.log(10 / gaps.size) / np.log1p(-rate)) + 1
    counts = np.bincount(np.minimum(gaps, longest), minlength=longest + 1)
    return of_counts(counts, [*stats.geom.pmf(np.arange(1, longest + 1), rate), (1 - rate) ** longest])


def _blocks(bits, q):
    ones = bits.reshape(-1, _BLOCK).sum(axis=1, dtype=np.int64)
    return of_counts(np.bincount(ones, minlength=_BLOCK + 1), stats.binom.pmf(np.arange(_BLOCK + 1), _BLOCK, q))


def _skewness(q, count):
    return (1 - 2 * q) ** 2 / (q * (1 - q)) / np.sqrt(count)


def _centred(bits, q):
    """Draws less their mean, over their root mean square: with the sample's, sums of squares of products have
    their expected values; another test checks the keep rate."""
    ones = np.count_nonzero(bits) / bits.size
    scale = np.sqrt(ones * (1 - q) ** 2 + (1 - ones) * q**2)
    return np.where(bits, np.float32((1 - q) / scale), np.float32(-q / scale))


def _frequency_domain(bits, q):
    """Circular autocorrelations at all lags up to LAGS, and the periodogram, whose ordinates are exponential."""
    n = bits.size
    transform = scipy.fft.rfft(_centred(bits, q), overwrite_x=True)
    power = transform.real**2 + transform.imag**2
    found = {}
    if _skewness(q, n) < _LARGEST_SKEWNESS:
        z = scipy.fft.irfft(power, n)[1 : LAGS + 1] / np.sqrt(n)
        found["autocorrelation: largest"] = of_largest_z(z)
        found["autocorrelation: squares"] = of_squares(z)
    ordinates = power[1 : (n + 1) // 2].astype(np.float64) / n
    found["spectrum: largest"] = float(-np.expm1(ordinates.size * np.log1p(-np.exp(-ordinates.max()))))
    cells = np.minimum(np.exp(-ordinates) * 64, 63).astype(np.int64)
    found["spectrum: distribution"] = of_counts(np.bincount(cells, minlength=64), np.full(64, 1 / 64))
    return found


def _positions(bits, q):
    """Rates at the positions of a tile, and correlations of all pairs: of its words, and of its positions."""
    table = bits.reshape(-1, TILE)
    z = (table.sum(axis=0, dtype=np.int64) - len(table) * q) / np.sqrt(len(table) * q * (1 - q))
    found = {"positions: squares": of_squares(z)}
    for name, width in (("words", TILE // _WORD), ("positions", TILE)):
        columns = bits.reshape(-1, width, TILE // width).transpose(1, 0, 2).reshape(width, -1)
        if _skewness(q, columns.shape[1]) > _LARGEST_SKEWNESS or columns.shape[1] < 1024:
            continue
        columns = _centred(columns, q)
        products = (columns @ columns.T)[np.triu_indices(width, 1)].astype(np.float64)
        z = products / np.sqrt(columns.shape[1])
        found[f"pairs of {name}: largest"] = of_largest_z(z)
        found[f"pairs of {name}: squares"] = of_squares(z)
    return found


def _weights(bits, q):
    """Numbers of ones in neighbouring words: below, at or above the most likely one."""
    ones = bits.reshape(-1, _WORD).sum(axis=1, dtype=np.int64)
    middle = int((_WORD + 1) * q)
    kind = np.sign(ones - middle) + 1
    probabilities = np.array([stats.binom.cdf(middle - 1, _WORD, q), stats.binom.pmf(middle, _WORD, q), 0])
    probabilities[2] = 1 - probabilities.sum()
    pairs = np.bincount(kind[0::2] * 3 + kind[1::2], minlength=9)
    return {"weights of words": of_counts(pairs, np.outer(probabilities, probabilities))}


def word_tests(words):
    """P-values of uniform 32-bit words."""
    words = np.asarray(words, np.uint32)
    found = {"words: rank of matrices": _ranks(words), "words: birthday spacings": _birthdays(words)}
    found["words: collisions"] = _collisions(words)
    found["words: permutations"] = _permutations(words)
    pairs = np.bincount(words & np.uint32(0xFFFF), minlength=1 << 16) + np.bincount(words >> 16, minlength=1 << 16)
    found["words: halves"] = of_counts(pairs, np.full(1 << 16, 2.0**-16))
    low = (words[: words.size // 2 * 2] & np.uint32(0xFF)).astype(np.int64).reshape(-1, 2) @ [256, 1]
    found["words: lowest bytes"] = of_counts(np.bincount(low, minlength=1 << 16), np.full(1 << 16, 2.0**-16))
    ones = np.array([np.count_nonzero(words >> np.uint32(bit) & np.uint32(1)) for bit in range(32)])
    found["words: bits"] = of_squares((ones - words.size / 2) / np.sqrt(words.size / 4))
    return found


def _ranks(words):
    """Ranks over GF(2) of matrices of 32 x 32 bits, by elimination in all of them at once."""
    rows = words[: words.size // 32 * 32].reshape(-1, 32).copy()
    count = len(rows)
    rank = np.zeros(count, np.int64)
    everyone = np.arange(count)
    for bit in range(32):
        has = (rows >> np.uint32(bit) & np.uint32(1)).astype(bool) & (np.arange(32) >= rank[:, None])
        found, pivot = has.any(axis=1), has.argmax(axis=1)
        target = np.minimum(rank, 31)
        pivot = np.where(found, pivot, target)
        chosen, moved = rows[everyone, pivot], rows[everyone, target]
        rows[everyone, target], rows[everyone, pivot] = chosen, np.where(pivot == target, chosen, moved)
        below = (rows >> np.uint32(bit) & np.uint32(1)).astype(bool) & (np.arange(32) > target[:, None])
        rows ^= np.where(below & found[:, None], chosen[:, None], np.uint32(0))
        rank += found
    probabilities = [_probability_of_rank(r) for r in (32, 31, 30)]
    counts = [np.count_nonzero(rank == r) for r in (32, 31, 30)]
    return of_counts([*counts, count - sum(counts)], [*probabilities, 1 - sum(probabilities)])


def _probability_of_rank(rank, size=32):
    """The probability of a random square matrix over GF(2) to have this rank."""
    probability = 2.0 ** (rank * (2 * size - rank) - size * size)
    for i in range(rank):
        probability *= (1 - 2.0 ** (i - size)) ** 2 / (1 - 2.0 ** (i - rank))
    return probability


def _birthdays(words, birthdays=4096):
    """Marsaglia's: equal spacings among sorted birthdays of a year of 2^32 days, 4 in the mean of each group."""
    days = np.sort(words[: words.size // birthdays * birthdays].reshape(-1, birthdays), axis=1)
    spacings = np.sort(np.diff(days, axis=1), axis=1)
    equal = np.count_nonzero(spacings[:, 1:] == spacings[:, :-1])
    return of_poisson(equal, len(days) * birthdays**3 / 2.0**34)


def _collisions(words, balls=1 << 14, cells=1 << 24):
    """Balls that fall into an occupied cell: the mean is exact, and Poisson's law close enough."""
    thrown = np.sort(words[: words.size // balls * balls].reshape(-1, balls) >> np.uint32(8), axis=1)
    hits = np.count_nonzero(thrown[:, 1:] == thrown[:, :-1])
    mean = balls - cells * -np.expm1(balls * np.log1p(-1 / cells))
    return of_poisson(hits, len(thrown) * mean)


def _permutations(words, length=5):
    """The orders of size of consecutive words."""
    order = np.argsort(words[: words.size // length * length].reshape(-1, length), axis=1)
    place = length ** np.arange(length)
    codes = np.array(list(itertools.permutations(range(length)))) @ place
    counts = np.bincount(order @ place, minlength=codes.max() + 1)[codes]
    return of_counts(counts, np.full(codes.size, 1 / codes.size))


def normal_tests(z):
    """P-values of standard normal numbers."""
    z = np.asarray(z, np.float64)
    n = z.size
    found = {
        "mean": of_z(z.mean() * np.sqrt(n)),
        "variance": two_sided(stats.chi2.cdf((z * z).sum(), n), stats.chi2.sf((z * z).sum(), n)),
        "skewness": of_z((z**3 - 3 * z).mean() / np.sqrt(6 / n)),  # Hermite's polynomials: uncorrelated
        "kurtosis": of_z((z**4 - 6 * z**2 + 3).mean() / np.sqrt(24 / n)),
        "Kolmogorov-Smirnov": float(stats.kstest(z[: 1 << 20], "norm").pvalue),
        "Cramér-von Mises": float(stats.cramervonmises(z[: 1 << 20], "norm").pvalue),
    }
    for bound in (2, 3, 4, 4.5, 5, 6):
        found[f"tail beyond -{bound}"] = of_binomial(np.count_nonzero(z < -bound), n, stats.norm.cdf(-bound))
        found[f"tail beyond {bound}"] = of_binomial(np.count_nonzero(z > bound), n, stats.norm.cdf(-bound))
    numbers, squares = (scipy.fft.rfft(x / np.sqrt((x * x).mean())) for x in (z, z * z - 1))
    for name, one, other in (
        ("numbers", numbers, numbers),
        ("squares", squares, squares),
        ("numbers with later squares", numbers, squares),
        ("squares with later numbers", squares, numbers),
    ):
        lags = scipy.fft.irfft(one.conj() * other, n)[1 : LAGS + 1] / np.sqrt(n)
        found[f"correlation of {name}: largest"] = of_largest_z(lags)
        found[f"correlation of {name}: squares"] = of_squares(lags)
    return found
