from service.backoff import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Backoff


def test_pauses_grow_up_to_a_limit_and_start_again_after_a_success():
    backoff = Backoff(lambda: 0.0)
    pauses = [backoff.failed() for _ in range(12)]
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    backoff.succeeded()
    assert not backoff.waiting
    assert backoff.failed() == FIRST_PAUSE_SECONDS


def test_the_next_attempt_may_be_made_when_the_pause_is_over():
    now = 10.0
    backoff = Backoff(lambda: now)
    pause = backoff.failed()
    assert backoff.seconds_left() == pause
    now += pause
    assert backoff.seconds_left() == 0.0
    assert backoff.waiting
