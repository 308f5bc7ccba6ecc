"""Option files as data: no code, order of keys, and numbers as BasicSR's users write them."""

import re

import pytest
import yaml
from PIL import Image

from wxr_plugin.cli import main as cli
from wxr_plugin.options import safe_yaml


def test_numbers_are_read_as_users_write_them():
    text = "a: 1e-4\nb: 2E5\nc: -.5e1\nd: 12\ne: '1e3'\nf: !!float 3e-4\ng: 1e5x\nh: 0.5"
    values = safe_yaml.parse(text)
    assert values == {
        "a": 1e-4,
        "b": 2e5,
        "c": -5.0,
        "d": 12,
        "e": "1e3",
        "f": 3e-4,
        "g": "1e5x",
        "h": 0.5,
    }
    assert isinstance(values["b"], float) and isinstance(values["d"], int)


def test_order_is_kept():
    assert list(safe_yaml.parse("z: 1\na: 2\nm: 3")) == ["z", "a", "m"]


@pytest.mark.parametrize(
    "value", ["!!python/name:os.system", "!!python/object/apply:os.system ['true']", "!mine 1"]
)
def test_tags_beyond_plain_yaml_are_refused(value):
    with pytest.raises(yaml.YAMLError, match="never runs code"):
        safe_yaml.parse(f"key: {value}")


def test_a_repeated_key_is_named_but_anchors_under_define_are_not():
    with pytest.warns(UserWarning, match="line 2: the key 'lr' is given twice"):
        assert safe_yaml.parse("lr: 1\nlr: 2") == {"lr": 2}
    assert safe_yaml.parse("define: &a {x: 1}\ndefine: &b {x: 2}\nuse: {<<: *a, y: 3}")["use"] == {
        "x": 1,
        "y": 3,
    }


LAUGHS = "\n".join(
    ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
)
MERGES = "\n".join(
    [
        "a0: &a0 {x: 1}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)),
    ]
)
HOSTILE = [
    "datasets: &a {train: *a}",
    "a: &a [1, [*a]]",
    "? &k {a: *k}\n: 1",
    LAUGHS,
    MERGES,
    "[" * 1000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_aliases_that_recur_or_multiply_are_an_error_at_once(text):
    with pytest.raises(
        yaml.YAMLError, match=r"refers to a block|aliases make .* values|nested too deeply"
    ):
        safe_yaml.parse(text)


@pytest.mark.parametrize("text", HOSTILE[:5])
def test_every_command_that_reads_such_a_file_ends_in_one_line(text, tmp_path, capsys):
    file = tmp_path / "file.yml"
    file.write_text(text)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/a.png")
    rate = [
        "label",
        "rate",
        str(tmp_path / "photos"),
        "-o",
        str(tmp_path / "store"),
        "--model",
        str(file),
    ]
    for words in (
        ["check", str(file)],
        ["train", "-opt", str(file)],
        ["benchmark", "-opt", str(file)],
        rate,
    ):
        assert cli.main(words) == 2
        assert re.search(
            r"refers to a block|aliases make", capsys.readouterr().err.splitlines()[-1]
        )


def test_ordinary_aliases_and_long_files_are_read(monkeypatch):
    text = "base: &base {x: [1, 2], y: {z: 3}}\nuses: [" + "*base, " * 50 + "{<<: *base, y: 4}]"
    assert safe_yaml.parse(text)["uses"][-1] == {"x": [1, 2], "y": 4}
    monkeypatch.setattr(safe_yaml, "MOST_NODES", 10)
    assert len(safe_yaml.parse("- 1\n" * 20)) == 20


def test_load_takes_a_path_a_file_name_or_text(tmp_path):
    file = tmp_path / "options.yml"
    file.write_text("name: x")
    assert (
        safe_yaml.load(file)
        == safe_yaml.load(str(file))
        == safe_yaml.load("name: x")
        == {"name": "x"}
    )
    with pytest.raises(FileNotFoundError):
        safe_yaml.load(str(tmp_path / "missing.yml"))


def test_override_sets_values_of_every_kind():
    options = {"name": "a", "train": {"lr": 1, "steps": [], "on": False, "resume": "x", "tmpl": ""}}
    entries = [
        "name=b=c",
        "train:lr=2e-4",
        "train:steps=[1, 2]",
        "train:on=true",
        "train:resume=none",
    ]
    safe_yaml.override(options, [*entries, "train:tmpl={}_lq", "+train:new=~"])
    assert options["name"] == "b=c"
    changed = {
        "lr": 2e-4,
        "steps": [1, 2],
        "on": True,
        "resume": None,
        "tmpl": "{}_lq",
        "new": None,
    }
    assert options["train"] == changed


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("train:total_itre=1", "did you mean train:total_iter"),
        ("trian:total_iter=1", "did you mean train"),
        ("name", "not of the form"),
        ("name:x=1", "name has no keys"),
        ("name=!!python/object/apply:os.system ['true']", "never runs code"),
    ],
)
def test_override_names_the_mismatch(entry, message):
    options = {"name": "a", "train": {"total_iter": 5}}
    with pytest.raises(ValueError, match=message):
        safe_yaml.override(options, [entry])
    assert options == {"name": "a", "train": {"total_iter": 5}}
