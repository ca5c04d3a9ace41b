from cartcast.demo.watch import Meter


def test_a_meter_turns_counts_into_rates_over_half_a_second() -> None:
    meter = Meter()
    for count, seconds in ((0, 10.0), (40, 10.2), (100, 10.5), (100, 10.7), (400, 11.5)):
        meter.add(count, seconds)
    assert list(meter.rates) == [200.0, 300.0]
