"""Labels as a task on the menu."""

from stvr.tasks import Task
from stvr.tasks.labels.judge import evaluate
from stvr.tasks.labels.training import LabelDraws, LabelExamples

LABELS = Task(LabelDraws, LabelExamples, evaluate)
