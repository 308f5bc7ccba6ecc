import pytest

from wxr_plugin.demo.stages import Stages


def run(folder, *names):
    calls = []
    stages = Stages(folder, say=lambda line: None)
    for name in names:
        stages.run(name, lambda name=name: calls.append(name))
    return calls


def test_steps_run_once(tmp_path):
    assert run(tmp_path, "first", "second") == ["first", "second"]
    assert run(tmp_path, "first", "second", "third") == ["third"]


def test_a_step_that_failed_runs_again(tmp_path):
    def fail():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        Stages(tmp_path, say=lambda line: None).run("only", fail)
    assert run(tmp_path, "only") == ["only"]
