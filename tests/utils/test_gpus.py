"""One GPU per process: several GPUs in one process are refused, and idle GPUs are logged."""

import pytest
import torch

from wxr_plugin.errors import OptionError
from wxr_plugin.utils.gpus import check_one_gpu, note_idle_gpus


def test_several_gpus_in_one_process_are_refused_with_the_command_that_uses_them():
    with pytest.raises(
        OptionError, match=r"torchrun --nproc_per_node 4 -m wxr_plugin.train -opt my.yml"
    ):
        check_one_gpu(4, distributed=False, file="my.yml")
    check_one_gpu(4, distributed=True)
    check_one_gpu(1, distributed=False)


@pytest.mark.parametrize(
    ("num_gpu", "distributed", "expected"),
    [(1, False, ["torchrun --nproc_per_node 4 -m wxr_plugin.test"]), (1, True, []), (0, False, [])],
)
def test_idle_gpus_are_named_in_the_log(monkeypatch, num_gpu, distributed, expected):
    lines = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(
        "basicsr.utils.get_root_logger", lambda: type("Log", (), {"info": lines.append})
    )
    note_idle_gpus({"num_gpu": num_gpu, "dist": distributed, "is_train": False})
    assert len(lines) == len(expected) and all(part in line for part, line in zip(expected, lines))
