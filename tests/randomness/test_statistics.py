"""The battery of `make statistics`, small: fastdrop's draws pass, every faulty rule fails in its order of draws.

All seeds are fixed, so that a test fails always or never. The faulty rules are marked `native`.
"""

import numpy as np
import pytest
from randomness import battery, cases, page, run
from randomness.faulty import FAULTS, Rule

from fastdrop.cli.bits import FAIR, ORDERS, Fastdrop

COUNTS = {"tails": 1 << 13, "gaussian": 1 << 20}
# Some 21 p-values in each of 17 cases, and 22 more: a perfect generator of another seed fails once in a thousand times.
BOUND = 1e-3 / 400


def p_values(source, order, p):
    return cases.p_values(source, order, p, 1, COUNTS.get(order, 1 << 19), cases.SMALL)


@pytest.mark.parametrize("order", ORDERS)
def test_the_draws_pass(order):
    found = p_values(Fastdrop(), order, 0.5 if order in FAIR else 0.3)
    assert len(found) >= 15
    assert min(found.values()) > BOUND, found


@pytest.mark.parametrize("p", [0.3, 0.5])
def test_more_elements_pass(p):
    """Every counter, word and position of a tile, all pairs of them, and all distances up to two tiles."""
    found = cases.p_values(Fastdrop(), "elements", p, 2024, 1 << 23)
    assert {"pairs of positions: largest", "positions: squares", "autocorrelation: largest"} <= found.keys()
    assert min(found.values()) > BOUND, found


@pytest.mark.native
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault):
    """The fault is significant in its order, where the true rule passes with the same seed."""
    rule, order, p = FAULTS[fault]
    assert min(p_values(rule, order, p).values()) < 1e-7
    found = p_values(Rule(), order, p)
    assert min(found.values()) > BOUND, found


@pytest.mark.parametrize("fault", ["a repeated counter", "children equal in pairs", "normal numbers of one radius"])
def test_some_faults_are_found_at_once(fault):
    rule, order, p = FAULTS[fault]
    assert min(p_values(rule, order, p).values()) < 1e-7


@pytest.mark.parametrize(
    "order", ["elements", "calls", "seeds", "children", "remainders", "planes", "tails", "gaussian"]
)
def test_the_reference_and_the_kernels_are_equal_sources(order):
    """So results for the faulty references hold for the kernels."""
    size = cases.Size(rows=16, elements=256)
    one, other = (next(cases.draws(source, order, 0.3, 5, size)) for source in (Rule(), Fastdrop()))
    np.testing.assert_array_equal(one, other)
    assert one.size


@pytest.mark.parametrize(("q", "count"), [(0.5, 1 << 17), (0.7, 1 << 17), (0.1, 1 << 17), (0.993, 1 << 19)])
def test_p_values_of_a_good_generator_are_uniform(q, count):
    """With NumPy's PCG64: in each test, few p-values are below 0.1, and none is below that of one in 100 runs."""
    found = {}
    for seed in range(30):
        rng = np.random.Generator(np.random.PCG64([seed, 7]))
        values = battery.bit_tests(rng.random(count) < q, q)
        if q == 0.5:
            values |= battery.word_tests(rng.integers(0, 1 << 32, 1 << 15, dtype=np.uint32))
            values |= battery.normal_tests(rng.standard_normal(1 << 15))
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    for name, values in found.items():
        assert np.count_nonzero(np.array(values) < 0.1) <= 11, (name, sorted(values))
        assert min(values) > 0.01 / 30 / len(found), (name, sorted(values))


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("keep rate", lambda rng: rng.random(1 << 18) < 0.51),
        ("runs", lambda rng: np.repeat(rng.random(1 << 17) < 0.5, 2)),
        ("patterns of 8", lambda rng: np.where(np.arange(1 << 18) % 8 == 7, 0, rng.random(1 << 18) < 0.5)),
        ("gaps", lambda rng: np.where(np.arange(1 << 18) % 20 == 0, 1, rng.random(1 << 18) < 0.5)),
        ("block frequency", lambda rng: np.sort((rng.random(1 << 18) < 0.5).reshape(-1, 1024), axis=0).ravel()),
        ("spectrum: largest", lambda rng: rng.random(1 << 18) < 0.5 + 0.05 * np.sin(np.arange(1 << 18))),
        ("positions: squares", lambda rng: rng.random((128, 2048)) < 0.5 + 0.1 * (np.arange(2048) % 3 - 1)),
        ("weights of words", lambda rng: np.tile((rng.random((4096, 1, 32)) < 0.5), (1, 2, 1))),
    ],
)
def test_each_test_finds_its_fault(name, bits):
    drawn = np.asarray(bits(np.random.default_rng(3)), np.uint8).ravel()
    assert battery.bit_tests(drawn, 0.5)[name] < 1e-7


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("words: rank of matrices", lambda w: np.where(np.arange(w.size) % 32 == 31, np.roll(w, 1), w)),
        ("words: birthday spacings", lambda w: w & np.uint32(0xFFFFFF00)),
        ("words: collisions", lambda w: w & np.uint32(0x7FFFFFFF)),
        ("words: permutations", lambda w: np.sort(w.reshape(-1, 2), axis=1).ravel()),
        ("words: halves", lambda w: w & np.uint32(0xFFFEFFFE)),
        ("words: lowest bytes", lambda w: np.repeat(w[::2], 2)),
        ("words: bits", lambda w: w | np.uint32(1) << np.uint32(9)),
    ],
)
def test_each_test_of_words_finds_its_fault(name, words):
    drawn = np.random.default_rng(3).integers(0, 1 << 32, 1 << 17, dtype=np.uint32)
    assert battery.word_tests(words(drawn))[name] < 1e-7


def test_ranks_have_their_known_probabilities():
    """Large random matrices over GF(2) lack 0, 1 and 2 of full rank with probability 0.2888, 0.5776 and 0.1284."""
    assert [round(battery._probability_of_rank(rank), 4) for rank in (32, 31, 30)] == [0.2888, 0.5776, 0.1284]


class Pool:
    """Runs submitted work immediately."""

    def submit(self, function, *arguments):
        class Done:
            result = staticmethod(lambda: function(*arguments))

        return Done


def test_suspicious_p_values_are_measured_again(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(run, "measure", lambda *case: asked.append(case) or {"runs": 0.25})
    records = [
        {"tool": "battery", "order": "calls", "p": 0.3, "option": "", "test": "runs", "seed": 7, "factor": 1} | more
        for more in ({"p_value": 1e-5}, {"p_value": 1e-3})
    ]
    run.measure_again(Pool(), records)
    assert [record.get("second") for record in records] == [0.25, None]
    (case,) = asked
    assert case[-1] == 4
    assert case[-2] != 7
    assert "suspicious: battery calls p=0.3 runs: 1e-05, then 0.25" in capsys.readouterr().out


def test_the_false_alarm_rate_of_a_run():
    """First and second p-value together: at most FALSE_ALARM over all tests."""
    for count in (100, 1500, 10**6):
        assert count * run.SUSPICIOUS * run.second_bound(count) <= run.FALSE_ALARM * (1 + 1e-12)


@pytest.mark.parametrize(("second", "outcome"), [(0.5, "passed"), (1e-9, "failed: battery's runs (calls, p = 0.3)")])
def test_the_page_states_the_outcome(tmp_path, monkeypatch, second, outcome):
    monkeypatch.setattr(page, "DOCS", tmp_path)
    monkeypatch.setattr(page.dieharder, "version", lambda: "3.31.1")
    base = {"tool": "battery", "order": "calls", "p": 0.3, "option": "", "test": "runs", "seed": 7, "factor": 1}
    records = [base | {"p_value": 1e-5, "second": second}, base | {"tool": "dieharder", "test": "sums", "p_value": 0.5}]
    about = {"seed": 1, "rounds": 1, "minutes": 2.0, "bits": 1 << 23, "suspicious": 1e-4, "false_alarm": 1e-3}
    page.write(records, about | {"second_bound": 0.01})
    text = (tmp_path / "statistics.md").read_text(encoding="utf-8")
    assert f"**Outcome: {outcome}.** battery's runs (calls, p = 0.3) gave 1e-05, then" in text
    assert "| runs | 1e-05 |" in text
    assert "| sums | 0.5 |" in text
    assert (tmp_path / "statistics" / "p-values.png").stat().st_size > 5000
    assert (tmp_path / "statistics" / "figures.json").is_file()
