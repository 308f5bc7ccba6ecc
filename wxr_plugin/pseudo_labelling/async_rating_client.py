"""Rating client whose rater runs in another process: training never waits for it."""

from collections.abc import Callable, Sequence

from basicsr.utils import get_root_logger

from wxr_plugin.pseudo_labelling.gate import RatingRequest, with_ratings
from wxr_plugin.pseudo_labelling.rater_process import Rated, RaterProcess, Started
from wxr_plugin.pseudo_labelling.rating_client import unusable_ratings


class AsyncRatingClient:
    """A RatingClient whose rater is a `RaterProcess`.

    It sends a batch whenever the process is idle: the requests with the best chance first, and of
    equal ones the crop that has waited longest. A new request for a crop that waits replaces the
    old one, and when too many wait the last are dropped. A process that dies is started again, at
    most `restarts` times, and its requests are dropped; after that nothing is sent, and training
    continues with the labels that exist.

    Args:
        start: starts a process; called again after its death.
        room: number of requests that may wait.
        batch: number of requests that are sent at a time.
        restarts: how often the process is started again.
    """

    def __init__(
        self, start: Callable[[], RaterProcess], room: int = 16, batch: int = 8, restarts: int = 3
    ):
        self.start = start
        self.room = room
        self.batch = batch
        self.restarts = restarts
        self.rated = 0
        self.failures: list[str] = []
        self.out_of_memory: list[str] = []
        # A request moves from waiting to under way to completed.
        self._waiting: dict[str, RatingRequest] = {}
        self._under_way: list[RatingRequest] = []
        self._completed: list[RatingRequest] = []
        self.process: RaterProcess | None = start()
        self.provenance = self.process.wait().provenance

    def is_busy(self, key: str) -> bool:
        """Return whether a request for `key` is under way, or no process is left."""
        self._collect()
        return self.process is None or any(request.key == key for request in self._under_way)

    def rate(self, requests: Sequence[RatingRequest]) -> list[RatingRequest]:
        """Queue `requests`, and return those that were rated since the last call."""
        self._collect()
        for request in requests:
            # A dict keeps the place of a key that is set again: the crop does not lose its turn.
            self._waiting[request.key] = request
        self._send()
        completed, self._completed = self._completed, []
        return completed

    def close(self) -> None:
        """End the process; requests that wait or are under way are dropped."""
        if self.process:
            self.process.stop()
        self.process = None
        self._waiting = {}
        self._under_way = []

    def _send(self) -> None:
        # Sorting is stable, so equal chances stay in the order of their waiting.
        queue = sorted(self._waiting.values(), key=lambda request: -request.chance)
        if self.process and queue and not self._under_way:
            self._under_way = queue[: self.batch]
            queue = queue[self.batch :]
            self.process.send([image for request in self._under_way for image in request.unrated()])
        remaining = {request.key for request in queue[: self.room]}
        self._waiting = {key: request for key, request in self._waiting.items() if key in remaining}

    def _collect(self) -> None:
        try:
            for message in self.process.messages() if self.process else ():
                self._take(message)
        except (EOFError, OSError):
            self._restart()

    def _take(self, message: Started | Rated) -> None:
        if isinstance(message, Started):  # of a process that was started again
            self._note_start(message)
            return
        requests, self._under_way = self._under_way, []
        if message.ratings is None:
            images = sum(len(request.unrated()) for request in requests)
            reasons = self.out_of_memory if message.out_of_memory else self.failures
            reasons += [message.error] * images
            return
        unusable = unusable_ratings(message.ratings)
        self.failures += unusable
        self.rated += len(message.ratings) - len(unusable)
        self._completed += with_ratings(requests, message.ratings)

    def _note_start(self, message: Started) -> None:
        if message.out_of_memory:
            self.out_of_memory.append(message.error)
        elif message.error:
            get_root_logger().warning(
                f"rating process: the rater does not start again: {message.error}"
            )

    def _restart(self) -> None:
        lost = len(self._under_way)
        pid = self.process.pid
        self.close()
        death = (
            f"rating process {pid} died with {lost} requests under way; the stored pseudo-labels "
            "stay"
        )
        if not self.restarts:
            get_root_logger().error(
                f"{death}. It is not started again (train.rating.async.restarts): training "
                "continues without ratings. Its output says why it died; too little memory for "
                "the rater next to the training is the usual reason"
            )
            return
        self.restarts -= 1
        get_root_logger().warning(
            f"{death}. It is started again, {self.restarts} restarts are left"
        )
        self.process = self.start()
