"""Asking a rater in another process: training never waits, the answers come when they come."""

from collections.abc import Callable, Sequence

from basicsr.utils import get_root_logger

from wxr_plugin.pseudo_labelling.asking import answered, unusable
from wxr_plugin.pseudo_labelling.gate import Question
from wxr_plugin.pseudo_labelling.rater_process import Rated, RaterProcess, Started


class ProcessAsker:
    """An Asker whose rater is a `RaterProcess`.

    It hands over a batch whenever the process has nothing to do: the questions with the best chance
    first, and of equal ones the crop that has waited longest. A new question about a crop that
    waits takes the place of the old one, and when too many wait the last are forgotten. A process
    that dies is started again, at most `restarts` times, and its questions are forgotten; after
    that nothing is asked any more, and training goes on with the labels there are.

    Args:
        start: starts a process; called again after its death.
        room: how many questions may wait.
        batch: how many are handed over at a time.
        restarts: how often the process is started again.
    """

    def __init__(
        self, start: Callable[[], RaterProcess], room: int = 16, batch: int = 8, restarts: int = 3
    ):
        self.start, self.room, self.batch, self.restarts = start, room, batch, restarts
        self.rated, self.failures, self.out_of_memory = 0, [], []
        self._waiting: dict[str, Question] = {}
        self._under_way: list[Question] = []
        self._landed: list[Question] = []
        self.process: RaterProcess | None = start()
        self.provenance = self.process.wait().provenance

    def is_busy(self, key: str) -> bool:
        """Whether a question about `key` is under way, or nothing can be asked any more."""
        self._collect()
        return self.process is None or any(question.key == key for question in self._under_way)

    def ask(self, questions: Sequence[Question]) -> list[Question]:
        """Let `questions` wait for their turn; the answers that have come since the last call."""
        self._collect()
        for question in questions:
            self._waiting[question.key] = question  # in the place that the crop has in the line
        self._hand_over()
        landed, self._landed = self._landed, []
        return landed

    def close(self) -> None:
        """End the process; what waits or is under way is given up."""
        if self.process:
            self.process.stop()
        self.process, self._waiting, self._under_way = None, {}, []

    def _hand_over(self) -> None:
        order = sorted(self._waiting.values(), key=lambda question: -question.chance)
        if self.process and order and not self._under_way:
            self._under_way, order = order[: self.batch], order[self.batch :]
            self.process.send(
                [image for question in self._under_way for image in question.unrated()]
            )
        kept = {question.key for question in order[: self.room]}
        self._waiting = {key: question for key, question in self._waiting.items() if key in kept}

    def _collect(self) -> None:
        try:
            for message in self.process.messages() if self.process else ():
                self._take(message)
        except (EOFError, OSError):
            self._restart()

    def _take(self, message: Started | Rated) -> None:
        if isinstance(message, Started):  # of a process that was started again
            if message.out_of_memory:
                self.out_of_memory.append(message.error)
            elif message.error:
                get_root_logger().warning(
                    f"rating process: the rater does not start again: {message.error}"
                )
            return
        questions, self._under_way = self._under_way, []
        if message.ratings is None:
            lost = self.out_of_memory if message.out_of_memory else self.failures
            lost += [message.error] * sum(len(question.unrated()) for question in questions)
            return
        self.failures += unusable(message.ratings)
        self.rated += len(message.ratings) - len(unusable(message.ratings))
        self._landed += answered(questions, message.ratings)

    def _restart(self) -> None:
        lost, pid = len(self._under_way), self.process.pid
        self.close()
        said = f"rating process {pid} died with {lost} questions under way; the stored pseudo-labels stay"
        if not self.restarts:
            get_root_logger().error(
                f"{said}. It is not started again (train.rating.async.restarts): training goes on "
                f"without ratings. The "
                "output tells why it died; not enough memory for the rater beside the training is "
                "the usual reason"
            )
            return
        self.restarts -= 1
        get_root_logger().warning(f"{said}. It is started again, {self.restarts} restarts are left")
        self.process = self.start()
