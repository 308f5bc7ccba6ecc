"""A blind pairwise study: which of two unnamed results of a photo is better?"""

import csv
import io
import os
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from wxr_plugin.app.bradley_terry import Score, scores
from wxr_plugin.errors import WxrError

ANSWERS = "answers.jsonl"
"""File of a study's folder to which every answer is appended."""
SHARES = {"left": 1.0, "right": 0.0, "tie": 0.5}


class Question(NamedTuple):
    """Two results of one photo, in the order in which they are shown."""

    photo: str
    left: str
    """Method shown on the left; the page does not name it."""
    right: str


class Answer(msgspec.Struct):
    """A line of the answers' file: the question, the choice, who answered and when."""

    photo: str
    left: str
    right: str
    choice: Literal["left", "right", "tie"]
    person: str
    time: float
    """Seconds since 1970."""


class Study:
    """A study of two methods or more, of which the same photos lie in a folder each.

    Questions come in a random order that depends on the seed and the person, sides are drawn, and
    every answer is on the disk before the next question is asked.

    Args:
        folder: where the answers are kept; the same folder resumes.
        methods: name -> folder of its results.
        person: who answers; each person is asked everything.
        seed: of the order and the sides.

    Raises:
        WxrError: fewer than two methods, no photo that all of them have, or a damaged file.
    """

    def __init__(self, folder: Path, methods: dict[str, Path], person: str, seed: int = 0):
        if len(methods) < 2:
            raise WxrError("a study compares two methods or more: name two folders of results")
        if not person.strip():
            raise WxrError("name yourself, so that your answers are kept apart from others'")
        if seed < 0:
            raise WxrError(f"seed {seed}: take 0 or more")
        self.folder, self.methods, self.person = folder, methods, person.strip()
        self.files = {name: _results(path) for name, path in methods.items()}
        shared = set.intersection(*(set(files) for files in self.files.values()))
        if not shared:
            raise WxrError("no photo has a result in every folder; results need equal names")
        self.questions = self._drawn(sorted(shared), seed)

    def answers(self) -> list["Answer"]:
        """Return all answers of all persons, in the order in which they were given."""
        path = self.folder / ANSWERS
        if not path.is_file():
            return []
        answers = []
        lines = path.read_bytes().splitlines()
        for number, line in enumerate(lines, 1):
            try:
                answers.append(msgspec.json.decode(line, type=Answer))
            except msgspec.DecodeError as error:
                # A line that was cut by a crash is the last one; it was never confirmed.
                if number < len(lines):
                    raise WxrError(f"{path}:{number}: not an answer of this study") from error
        return answers

    def next(self) -> Question | None:
        """Return the first question that this person has not answered; None at the end."""
        answered = self._answered()
        for question in self.questions:
            if _asked(question) not in answered:
                return question
        return None

    def answer(self, question: Question, choice: str) -> None:
        """Append an answer, "left", "right" or "tie", and wait until it is on the disk.

        A second answer of the same person to a question, such as of a double click, is dropped.
        """
        if choice not in SHARES:
            raise WxrError(f"{choice}: answer left, right or tie")
        if _asked(question) in self._answered():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        row = Answer(*question, choice, self.person, time.time())
        path = self.folder / ANSWERS
        with path.open("ab+") as stream:
            # A line that a crash cut was never confirmed, and its question is asked again.
            whole = path.read_bytes().rpartition(b"\n")
            stream.truncate(len(whole[0]) + len(whole[1]))
            stream.write(msgspec.json.encode(row) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def progress(self) -> tuple[int, int]:
        """Return the number of questions that this person answered, and of all questions."""
        asked = {_asked(question) for question in self.questions}
        return len(self._answered() & asked), len(asked)

    def scores(self) -> list[Score]:
        """Return the methods' scores from the answers of all persons, best first."""
        methods = set(self.methods)
        choices = [
            (row.left, row.right, SHARES[row.choice])
            for row in self.answers()
            if {row.left, row.right} <= methods
        ]
        return scores(sorted(methods), choices)

    def csv(self) -> str:
        """Return the scores as CSV: wins, win rate, Bradley-Terry score with its 95 % interval."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["method", "wins", "comparisons", "win_rate", "score", "low", "high"])
        for row in self.scores():
            rate = row.wins / row.shown if row.shown else float("nan")
            bounds = [f"{value:.4f}" for value in (row.score, row.low, row.high)]
            writer.writerow([row.method, row.wins, row.shown, f"{rate:.4f}", *bounds])
        return stream.getvalue()

    def _answered(self) -> set[tuple[str, frozenset[str]]]:
        return {_asked(row) for row in self.answers() if row.person == self.person}

    def _drawn(self, photos: Sequence[str], seed: int) -> list[Question]:
        rng = np.random.default_rng([seed, *self.person.encode()])
        questions = []
        for photo in photos:
            for pair in combinations(sorted(self.methods), 2):
                left, right = pair if rng.random() < 0.5 else pair[::-1]
                questions.append(Question(photo, left, right))
        return [questions[place] for place in rng.permutation(len(questions))]


def _asked(question: Question | Answer) -> tuple[str, frozenset[str]]:
    """Return photo and methods of a question, whatever their sides."""
    return question.photo, frozenset((question.left, question.right))


def _results(folder: Path) -> dict[str, Path]:
    """Return name without suffix -> file of the results in a folder; links out are left out."""
    from wxr_plugin.data.images.io import SUFFIXES

    if not folder.is_dir():
        raise WxrError(f"{folder}: no such folder")
    root = folder.resolve()
    files = [
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.resolve().is_relative_to(root)
    ]
    return {str(file.relative_to(folder).with_suffix("")): file for file in files}
