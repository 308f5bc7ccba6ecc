"""A blind pairwise study: which of two unnamed results of a photo is better?"""

import csv
import io
import json
import os
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

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

    def answers(self) -> list[dict]:
        """Return all answers of all persons, in the order in which they were given."""
        path = self.folder / ANSWERS
        if not path.is_file():
            return []
        rows = []
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                # A line that was cut by a crash is the last one; it was never confirmed.
                if number < len(lines):
                    raise WxrError(f"{path}:{number}: not an answer of this study") from error
        return rows

    def next(self) -> Question | None:
        """Return the first question that this person has not answered; None at the end."""
        done = {
            (row["photo"], frozenset((row["left"], row["right"])))
            for row in self.answers()
            if row["person"] == self.person
        }
        for question in self.questions:
            if (question.photo, frozenset(question[1:])) not in done:
                return question
        return None

    def answer(self, question: Question, choice: str) -> None:
        """Append an answer, "left", "right" or "tie", and wait until it is on the disk."""
        if choice not in SHARES:
            raise WxrError(f"{choice}: answer left, right or tie")
        self.folder.mkdir(parents=True, exist_ok=True)
        row = {**question._asdict(), "choice": choice, "person": self.person, "time": time.time()}
        path = self.folder / ANSWERS
        with path.open("a+", encoding="utf-8") as stream:
            # A line that a crash cut was never confirmed, and its question is asked again.
            whole = path.read_bytes().rpartition(b"\n")
            stream.truncate(len(whole[0]) + len(whole[1]))
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def progress(self) -> tuple[int, int]:
        """Return the number of questions that this person answered, and of all questions."""
        done = {
            (row["photo"], frozenset((row["left"], row["right"])))
            for row in self.answers()
            if row["person"] == self.person
        }
        asked = {(question.photo, frozenset(question[1:])) for question in self.questions}
        return len(done & asked), len(asked)

    def scores(self) -> list[Score]:
        """Return the methods' scores from the answers of all persons, best first."""
        known = set(self.methods)
        choices = [
            (row["left"], row["right"], SHARES[row["choice"]])
            for row in self.answers()
            if {row["left"], row["right"]} <= known
        ]
        return scores(sorted(known), choices)

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

    def _drawn(self, photos: Sequence[str], seed: int) -> list[Question]:
        rng = np.random.default_rng([seed, *self.person.encode()])
        questions = []
        for photo in photos:
            for pair in combinations(sorted(self.methods), 2):
                left, right = pair if rng.random() < 0.5 else pair[::-1]
                questions.append(Question(photo, left, right))
        return [questions[place] for place in rng.permutation(len(questions))]


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
