"""Asking a rater in another process: training never waits, the answers come when they come."""

from collections.abc import Sequence
from typing import Any

from basicsr.utils import get_root_logger

from wxr_plugin.models.asking import answered, unusable
from wxr_plugin.models.candidates import Question
from wxr_plugin.models.rater_process import Job, Rated, RaterProcess, Started


class ProcessAsker:
    """An Asker whose rater is a `RaterProcess`.

    A process that dies is started again, at most `restarts` times, and the questions that it had are forgotten; after
    that nothing is asked any more, and training goes on with the labels there are.

    Args:
        rater: options of the rater.
        device: where it rates, in place of the rater's own device.
        room: how many questions may be under way; further ones are not asked.
        restarts: how often the process is started again.
        plugins: packages that may register the rater.
    """

    def __init__(
        self, rater: dict[str, Any], device: str | None, room: int, restarts: int, plugins: Sequence[str] = ()
    ):
        self.options = {**rater, "device": device} if device else dict(rater)
        self.room, self.restarts, self.plugins = room, restarts, plugins
        self.rated, self.failures = 0, []
        self._asked: dict[int, Question] = {}
        self._landed: list[Question] = []
        self._number = 0
        self.process: RaterProcess | None = RaterProcess(self.options, plugins)
        self.provenance = self.process.wait().provenance

    def is_busy(self, key: str) -> bool:
        """Whether a question about `key` cannot be asked now: one is under way, or there is no room, or no process."""
        self._collect()
        full = self.process is None or len(self._asked) >= self.room
        return full or any(question.key == key for question in self._asked.values())

    def ask(self, questions: Sequence[Question]) -> list[Question]:
        """Hand over what there is room for, in this order; the answers that have come since the last call."""
        self._collect()
        for question in questions:
            if not self.is_busy(question.key):
                self._number += 1
                self._asked[self._number] = question
                self.process.send(Job(self._number, question.unrated()))
        landed, self._landed = self._landed, []
        return landed

    def close(self) -> None:
        """End the process; what is under way is given up."""
        if self.process:
            self.process.stop()
        self.process = None
        self._asked.clear()

    def _collect(self) -> None:
        try:
            for message in self.process.messages() if self.process else ():
                self._take(message)
        except (EOFError, OSError):
            self._restart()

    def _take(self, message: Started | Rated) -> None:
        if isinstance(message, Started):  # of a process that was started again
            if message.error:
                get_root_logger().warning(f"rating process: the rater does not start again: {message.error}")
            return
        questions = [self._asked.pop(number) for number in message.numbers]
        if message.ratings is None:
            self.failures += [message.error] * sum(len(question.unrated()) for question in questions)
            return
        self.failures += unusable(message.ratings)
        self.rated += len(message.ratings) - len(unusable(message.ratings))
        self._landed += answered(questions, message.ratings)

    def _restart(self) -> None:
        lost, pid = len(self._asked), self.process.pid
        self.close()
        said = f"rating process {pid} died with {lost} questions under way; the stored pseudo-labels stay"
        if not self.restarts:
            get_root_logger().error(
                f"{said}. It is not started again (train.rating.async.restarts): training goes on without ratings. The "
                "output tells why it died; not enough memory for the rater beside the training is the usual reason"
            )
            return
        self.restarts -= 1
        get_root_logger().warning(f"{said}. It is started again, {self.restarts} restarts are left")
        self.process = RaterProcess(self.options, self.plugins)
