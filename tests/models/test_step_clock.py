"""Data time and compute time of an iteration."""

import time

from wxr_plugin.models.base.step_clock import StepClock


def test_data_and_compute_time_are_told_apart():
    clock = StepClock()
    time.sleep(0.05)
    clock.batch()
    time.sleep(0.15)
    clock.done()
    time.sleep(0.2)  # a validation
    clock.wait()
    clock.batch()
    clock.done()
    data, compute = clock.read()
    assert 0.025 <= data < 0.06 and 0.075 <= compute < 0.11 and clock.read() == (0, 0)
