"""Hostile configurations, as TOML and as share codes, and hostile benchmarks: one clear, short error."""

import itertools
import json
import tomllib

import pytest
from fuzz.benchmarks import QUIET, RESULT, TIMING
from fuzz.mutations import VALUES

from fastdrop.cli import main as cli
from fastdrop.experiments import ConfigError, ExperimentConfig, load_experiment
from fastdrop.experiments.formats import config_toml


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rate=%", "rate cannot be '%'"),
        ("rate=nan", "rate cannot be 'nan'"),
        ("rate=1e999", "rate must be from 0 to 1"),
        ("rate=1_0e-1", "rate cannot be"),
        ("rate=٠.٥", "rate cannot be"),
        ("rate=0.5&rate=0.2", "'rate' is given twice"),
        ("rate=" + "0" * 5000, "rate cannot be"),
        ("epochs=" + "1" * 39, "epochs must be from 1 to 1000000"),
        ("epochs=" + "1" * 400, "epochs cannot be"),
        ("epochs=" + "1" * 5000, "epochs cannot be"),
        ("seed=1_0", "seed cannot be '1_0'"),
        ("seed=١٢", "seed cannot be"),
        ("seed=9223372036854775808", "seed must be from 0"),
        ("hidden=1_0,8", "hidden cannot be"),
        ("hidden=" + "8," * 5000, "hidden must have 1 to 16 entries"),
        ("dataset=file&data_file=%00", "data_file must be Unicode text without control characters"),
        ("dataset=file&data_file=a%00b.csv", "data_file must be Unicode text without control characters"),
        ("dataset=file&data_file=%1b[2J.csv", "data_file must be Unicode text without control characters"),
        ("dataset=file&data_file=" + "x" * 5000, "of at most 4096 characters"),
        ("dataset=file&data_file=%ED%A0%80", "data_file cannot be"),
        ("dataset=file&data_file=%FF", "data_file cannot be"),
        ("dataset=file&data_file=\ud800", "must be Unicode text"),
        ("dataset=file&data_file=a.csv&target=%00", "target must be Unicode text without control characters"),
        ("x" * 5000 + "=1", "unknown field"),
        ("\ud800=1", "unknown field"),
        ("rate=0.5&" * 20_000, "has at most 131,072 characters"),
    ],
)
def test_hostile_share_codes(line, message):
    with pytest.raises(ConfigError, match=message) as error:
        ExperimentConfig.from_share_code(f"fastdrop1?{line}")
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate = [[[[" + "[" * 5000, "nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", "nested too deeply"),
        ("rate = {a" + ".a" * 100_000 + " = 1}", "nested too deeply"),
        ("rate = " + "{a = " * 5000, "nested too deeply"),
        ("seed = " + "1" * 5000, "not TOML"),
        ("[" + "k" * 5000 + "]\n[" + "k" * 5000 + "]", "not TOML.* … .*at line "),
        ("seed = 0x" + "f" * 5000, "seed must be from 0 to"),
        ("epochs = " + "1" * 401, "epochs must be from 1 to 1000000"),
        ("rate = " + "1" * 401, "rate must be from 0 to 1; this number is too large"),
        ("hidden = [" + "1" * 401 + "]", "each entry of hidden must be from 1 to 4096"),
        (
            'layer_dropout = ["none", "none"]\nlayer_rates = [' + "1" * 401 + ", 0.5]",
            "layer_rates must be .* too large",
        ),
        ('layer_dropout = ["none", "none"]\nlayer_rates = [nan, 0.5]', "each entry of layer_rates must be from 0"),
        ("layer_dropout = {none = 1, alpha = 1}", "layer_dropout must be a list"),
        ("hidden = {a = 1}", "hidden must be a list"),
        ("rate = 1979-05-27", "rate must be a number"),
        ("rate = true", "rate must be a number"),
        ("learning_rate = nan", "learning_rate must be above 0"),
        ("noise = inf", "noise must be from 0 to 10"),
        ("network = '" + "x" * 4000 + "'", "network must be one of"),
        ('target = "\\u0000"', "target must be Unicode text without control characters"),
        ("'" + "x" * 5000 + "' = 1", "unknown field"),
        ("#" * 300_000, "too large"),
    ],
)
def test_hostile_toml(text, message, tmp_path):
    path = tmp_path / "given.toml"
    path.write_text(f"[fastdrop]\nformat = 1\n[experiment]\n{text}\n")
    with pytest.raises(ConfigError, match=rf"given\.toml: .*{message}") as error:
        load_experiment(path)
    assert len(str(error.value)) < 800 + len(str(path))


@pytest.mark.parametrize("version", ["true", "1.0", "[1]", "'" + "x" * 5000 + "'", "0x" + "f" * 5000])
def test_formats_that_are_no_number(version):
    with pytest.raises(ConfigError, match="cannot be read") as error:
        ExperimentConfig.from_toml(f"[fastdrop]\nformat = {version}\n[experiment]\n")
    assert len(str(error.value)) < 300


def test_dots_and_quotes_in_names_are_not_nesting():
    there = ExperimentConfig(dataset="file", data_file='a.b.c.d/e."f".g.h\'i.csv', target="x.y.z.w.v # u.t.s.r.q")
    assert ExperimentConfig.from_toml(there.to_toml()) == there
    assert ExperimentConfig.from_share_code(there.to_share_code()) == there


@pytest.mark.parametrize("rest", ['\\"', '"', "'", '""', "''", "\\", "'\"", '"\\', '#"', '"\n', '"""\\'])
def test_unterminated_strings_are_scanned_once(rest):
    """The scan is linear: it does not start again at each quote, which would take quadratic time."""
    begins = ('x = "', 'x = """', "x = '", "x = '''", 'x = """"', "x", "#", 'x = "a"\n')
    for begin, end in itertools.product(begins, ("", "\\", "\n")):
        text = begin + rest * 500 + end
        left = config_toml._STRINGS.sub("", text)
        assert not {'"', "'", "#"}.intersection(left), (begin, end)
        with pytest.raises(ConfigError):
            ExperimentConfig.from_toml(text)


@pytest.mark.parametrize(
    "string", ['""""a""""', '"""a"""""', "''''a''''", "'''a'''''", '"""\\""""""', '"\\\\"', "'\\'"]
)
def test_text_after_a_string_is_scanned(string):
    """Nesting cannot hide behind quotes."""
    tomllib.loads(f"x = {string}")
    with pytest.raises(ConfigError, match="nested too deeply"):
        ExperimentConfig.from_toml(f"[experiment]\nx = [{string}, {{{'a.' * 50_000}a = 1}}]")


# -- saved benchmarks


BENCH = {
    "format": "fastdrop bench", "version": 1, "plan": "quick", "complete": True, "machine": {"cores": 2},
    "missing peers": [], "results": [{**RESULT, "candidates": {"fastdrop": TIMING, "jax": {"error": "none"}}}],
}  # fmt: skip


def documents():
    """Each field of the format with each hostile value."""
    for name in BENCH:
        for value in VALUES:
            yield name, {**BENCH, name: value}
    for name in (*RESULT, "candidates"):
        for value in VALUES:
            yield name, {**BENCH, "results": [{**BENCH["results"][0], name: value}]}
    for name in TIMING:
        for value in VALUES:
            timing = {**TIMING, name: value}
            yield name, {**BENCH, "results": [{**RESULT, "candidates": {"fastdrop": timing}}]}
    for name in QUIET:
        for value in VALUES:
            yield name, {**BENCH, "version": 2, "results": [{**BENCH["results"][0], "quiet": {**QUIET, name: value}}]}
    for value in VALUES:
        yield "quiet", {**BENCH, "version": 2, "results": [{**BENCH["results"][0], "quiet": value}]}
        yield "machine", {**BENCH, "machine": {"caches": value, "cores": [value]}}
        yield "error", {**BENCH, "results": [{**RESULT, "candidates": {"fastdrop": {"error": value}}}]}


@pytest.mark.slow
def test_benchmarks_with_hostile_values(tmp_path, capsys):
    path, good = tmp_path / "given.json", tmp_path / "good.json"
    good.write_text(json.dumps(BENCH))
    assert cli.main(["bench", "compare", str(good), str(good)]) == 0
    capsys.readouterr()
    for name, document in documents():
        path.write_text(json.dumps(document))
        status = cli.main(["bench", "compare", str(path), str(good)])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err, name
        if status:
            assert status == 2
            assert printed.err.startswith("fastdrop: ")
            assert len(printed.err.splitlines()) == 1
            assert len(printed.err) < 800 + len(str(path)), name


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "1" * 5000, "{", "", "null", '{"format": ' * 5000, "\x00", "\ufeff{}"]
)
def test_files_that_are_no_benchmark(content, tmp_path, capsys):
    path = tmp_path / "given.json"
    path.write_text(content, "utf-8")
    assert cli.main(["bench", "compare", str(path), str(path)]) == 2
    printed = capsys.readouterr().err
    assert "given.json: " in printed
    assert len(printed.splitlines()) == 1
