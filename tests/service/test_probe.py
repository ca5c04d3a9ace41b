import threading

from service.errors import UnavailableError
from service.probe import Probe


class Answers:
    """Answers when it is told, with what it is told."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.answer = True

    def __call__(self) -> None:
        self.asked.release()
        assert self.go_on.acquire()
        if not self.answer:
            raise UnavailableError("away")

    def next(self, answer: bool) -> None:
        """Answer the question that is being asked, and return when the next one is."""
        self.answer = answer
        self.go_on.release()
        assert self.asked.acquire()


def test_a_probe_knows_the_last_answer_and_since_when():
    now, answers = 100.0, Answers()
    probe = Probe(answers, seconds=0, clock=lambda: now)
    assert not probe.answers
    probe.start()
    assert answers.asked.acquire()
    answers.next(True)
    assert probe.answers
    assert probe.answered_since(100.0)
    now = 110.0
    assert not probe.answered_since(110.0)  # a question that was asked earlier says nothing of now
    answers.next(True)
    answers.next(True)
    assert probe.answered_since(110.0)
    answers.next(False)
    assert (probe.answers, probe.answered_since(0.0)) == (False, False)
    answers.next(True)
    now = 141.0  # the next question hangs
    assert not probe.answers
    probe.stop()
    answers.go_on.release()
