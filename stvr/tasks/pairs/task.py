"""Pairs as a task on the menu."""

from stvr.tasks import Task
from stvr.tasks.pairs.judge import evaluate
from stvr.tasks.pairs.training import PairDraws, PairExamples

PAIRS = Task(PairDraws, PairExamples, evaluate)
