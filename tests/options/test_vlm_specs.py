"""Names of raters, describers and rewriters on the command line."""

import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.options.vlm_specs import panel_options, rater_options, spec_options


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("tiny", {"type": "TransformersRater", "model": "tiny"}),
        (
            "llava-1.5-7b:quality",
            {"type": "TransformersRater", "model": "llava-1.5-7b", "prompt": "quality"},
        ),
        (
            "Qwen/Qwen3-VL-8B-Instruct",
            {"type": "TransformersRater", "model": "Qwen/Qwen3-VL-8B-Instruct"},
        ),
        ("hf://me/rater@v1", {"type": "TransformersRater", "model": "hf://me/rater@v1"}),
        (
            "hf://me/rater:quality",
            {"type": "TransformersRater", "model": "hf://me/rater", "prompt": "quality"},
        ),
        ("pyiqa:clipiqa+", {"type": "PyiqaRater", "metric": "clipiqa+"}),
        (
            "http://host:8000/v1#llava",
            {"type": "ServerRater", "url": "http://host:8000/v1", "model": "llava"},
        ),
        ("https://host#a/b:7b", {"type": "ServerRater", "url": "https://host", "model": "a/b:7b"}),
    ],
)
def test_raters_by_one_word(spec, expected):
    assert rater_options(spec) == expected


def test_describers_and_rewriters_by_one_word():
    assert spec_options("describer", "tiny:describe")["type"] == "TransformersDescriber"
    assert spec_options("rewriter", "rules") == {"type": "RuleRewriter"}
    several = spec_options("rater", "http://a/v1,http://b:8000#m")
    assert several["url"] == ["http://a/v1", "http://b:8000"] and several["model"] == "m"
    assert spec_options("rewriter", "http://h/v1#m") == {
        "type": "ServerRewriter",
        "url": "http://h/v1",
        "model": "m",
    }
    assert spec_options("rewriter", "some/model") == {
        "type": "TransformersRewriter",
        "model": "some/model",
    }


def test_a_folder_with_a_colon_is_a_folder(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    assert rater_options(str(folder)) == {"type": "TransformersRater", "model": str(folder)}


def test_files_hold_a_block_or_a_list(tmp_path):
    one, many = tmp_path / "one.yml", tmp_path / "many.yaml"
    one.write_text("{model: tiny, batch_size: 2}")
    many.write_text("- {type: PyiqaRater, metric: piqe}\n- {model: tiny}")
    assert rater_options(str(one)) == {"model": "tiny", "batch_size": 2}
    assert panel_options("rater", [str(many), "tiny"]) == [
        {"type": "PyiqaRater", "metric": "piqe"},
        {"model": "tiny"},
        {"type": "TransformersRater", "model": "tiny"},
    ]
    with pytest.raises(WxrError, match="2 blocks, but one rater is needed"):
        rater_options(str(many))


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("rater", "http://host:8000/v1", r"models: http://host:8000/v1#MODEL"),
        ("rater", "tiny:", "write MODEL or MODEL:PROMPT"),
        ("describer", "pyiqa:musiq", "a metric of pyiqa can only rate"),
        (
            "rater",
            "nowhere.yml",
            "nowhere.yml: no such file or folder; name a file with the options of a rater",
        ),
    ],
)
def test_an_unknown_spec_is_one_line(kind, spec, message):
    with pytest.raises(WxrError, match=message) as caught:
        spec_options(kind, spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "tiny", "- tiny", "[]", "{a: [", "3"])
def test_files_without_options_are_refused(tmp_path, text):
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(WxrError, match=r"x\.yml: (not a block|cannot read)") as caught:
        rater_options(str(tmp_path / "x.yml"))
    assert "\n" not in str(caught.value)


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "rater.yml").write_bytes(bytes(range(256)))
    with pytest.raises(WxrError, match=r"rater\.yml: cannot read options of a rater"):
        rater_options(str(tmp_path / "rater.yml"))
