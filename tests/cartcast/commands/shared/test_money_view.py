import pytest

from cartcast.commands.shared.money_view import money_verdict


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ([0.01, 0.04], "better than"),
        ([-0.04, -0.01], "worse than"),
        ([-0.01, 0.04], "no better"),
        (None, "too few shoppers"),
    ],
)
def test_the_verdict_follows_from_the_interval_of_the_difference(interval, said):
    verdict = money_verdict({"differences": {"propensity_times_value": {"d2": 0.0, "d2_interval": interval}}})
    assert f": {said}" in verdict


def test_there_is_no_verdict_if_too_few_bought():
    assert "too few shoppers" in money_verdict({"differences": {}})
