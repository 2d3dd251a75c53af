"""People as a task on the menu."""

from stvr.tasks import Task
from stvr.tasks.people.judge import evaluate
from stvr.tasks.people.training import PeopleDraws, PeopleExamples

PEOPLE = Task(PeopleDraws, PeopleExamples, evaluate)
