"""How fast the simulated shop's time passes."""

from dataclasses import dataclass
from typing import Final

from model.simulator import SimulationSettings
from streams.replay import Schedule, at_once, at_rate, at_speed

_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class Pace:
    """As fast as it goes, at so many events a second (`rate`), or at `speed` times the pace of the clock."""

    rate: float | None = None
    speed: float | None = None
    history_hours: float = 0.0
    """With a speed: simulated hours that have passed when the clock starts; their events are sent at once."""
    opened_ms: int = 0
    """With a speed: the simulated time, epoch milliseconds, at which the clock starts."""

    @property
    def start_ms(self) -> int:
        """The time at which the simulation begins; without a speed always the same, so that a seed says it all."""
        if self.speed is None:
            return SimulationSettings.start_ms
        return self.opened_ms - round(self.history_hours * _HOUR_MS)

    def schedule(self) -> Schedule:
        """Return when each event is due."""
        if self.rate is not None:
            return at_rate(self.rate)
        return at_once if self.speed is None else at_speed(self.speed, since_ms=self.opened_ms)

    def __str__(self) -> str:
        if self.rate is not None:
            return f"{self.rate:,g} events a second"
        if self.speed is None:
            return "as fast as it goes"
        return f"an hour of the shop in {3600 / self.speed:,.3g} s, after a history of {self.history_hours:g} hours"
