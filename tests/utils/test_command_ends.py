"""Exit codes and messages of commands."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.commands import run_command, user_message


def raising(error):
    def job():
        raise error

    return job


def disk_full(path="out.png"):
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def torch_error_after(cause):
    """Return the error of torch.save, about positions, raised while `cause` is being handled."""
    error = RuntimeError("unexpected pos 19855808 vs 19855700")
    error.__context__ = cause
    return error


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_the_exit_code_is_that_of_the_job(result, code):
    assert run_command("wxr x", lambda: result) == code


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WxrError("a.png: broken"), "a.png: broken"),
        (
            FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "a.pth"),
            "a.pth: no such file or folder",
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), b"a.pth"),
            "a.pth: permission denied",
        ),
        (
            ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)),
            "connection refused",
        ),
        (
            disk_full(),
            "out.png: no space left on device; free some space and run the command again",
        ),
        (
            torch_error_after(disk_full("9.state")),
            "9.state: no space left on device; free some space",
        ),
    ],
)
def test_errors_that_a_user_can_fix_are_one_line_and_code_2(error, line, capsys):
    assert run_command("wxr x", raising(error)) == 2
    printed = capsys.readouterr().err
    assert (
        printed.startswith(f"wxr x: {line}") and printed.count("\n") == 1 and "Errno" not in printed
    )


def test_a_bug_keeps_its_traceback():
    assert user_message(RuntimeError("bug")) is None
    with pytest.raises(RuntimeError, match="bug"):
        run_command("wxr x", raising(RuntimeError("bug")))


def test_causes_that_refer_to_each_other_are_followed_once():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__context__, second.__context__ = second, first
    assert user_message(first) is None


def test_ctrl_c_gives_130(capsys):
    assert run_command("wxr x", raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "wxr x: stopped\n"


def test_sigterm_gives_143_and_what_was_open_is_closed(capsys):
    closed = []

    def job():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            closed.append(True)

    before = signal.getsignal(signal.SIGTERM)
    assert run_command("wxr x", job) == 143
    assert closed and capsys.readouterr().err == "wxr x: stopped by SIGTERM\n"
    assert signal.getsignal(signal.SIGTERM) is before


WITH_WORKER = """
import sys, time
from torch.utils.data import DataLoader
from wxr_plugin.utils.commands import run_command

class Slow:
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        time.sleep(0.05)
        return index

def job():
    for index, _ in enumerate(DataLoader(Slow(), num_workers=2)):
        if index == 2:
            print("ready", flush=True)

sys.exit(run_command("job", job))
"""


def test_sigterm_ends_the_data_workers_too():
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_WORKER], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"ready\n"
    workers = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert b"job: stopped by SIGTERM\n" in process.stderr.read()
    pids = workers.stdout.split()
    deadline = time.monotonic() + 60  # a worker in the middle of a batch ends after it
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(pids) >= 2 and not any(os.path.exists(f"/proc/{pid}") for pid in pids)
