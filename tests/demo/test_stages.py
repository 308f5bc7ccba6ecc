import pytest

from wxr_plugin.demo.stages import Stages


def run(folder, first, second, calls):
    stages = Stages(folder, say=lambda line: None)
    stages.run("first", lambda: calls.append("first"), value=first)
    stages.run("second", lambda: calls.append("second"), value=second)


def test_steps_run_once_until_their_inputs_or_an_earlier_step_change(tmp_path):
    calls = []
    run(tmp_path, 1, 1, calls)
    run(tmp_path, 1, 1, calls)
    assert calls == ["first", "second"]
    run(tmp_path, 1, 2, calls)
    assert calls == ["first", "second", "second"]
    run(tmp_path, 2, 2, calls)
    assert calls[3:] == ["first", "second"]


def test_a_step_that_failed_runs_again(tmp_path):
    def fail():
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        Stages(tmp_path, say=lambda line: None).run("only", fail)
    calls = []
    Stages(tmp_path, say=lambda line: None).run("only", lambda: calls.append(1))
    assert calls == [1]
