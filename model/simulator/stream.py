"""From the shoppers' actions to the stream of events: ids, words, prices, and some events late or repeated."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice, repeat
from typing import Final

import numpy as np
import numpy.typing as npt

from model.events import MAX_EVENT_TIME_MS, MIN_EVENT_TIME_MS, Event
from model.simulator.catalogue import FEWEST_ITEMS, ITEMS, Catalogue, Popularity
from model.simulator.feed import CatalogueLine, catalogue_lines
from model.simulator.impressions import with_impressions
from model.simulator.logins import with_logins
from model.simulator.next_view import NextView
from model.simulator.population import NO_ITEM, Happened, NoObserver, Population
from model.simulator.process import Symbol
from model.simulator.tastes import Tastes
from model.simulator.truth import Oracle
from model.simulator.vocabulary import LANGUAGE_SHARES, LANGUAGES
from model.simulator.wording import Phrasebook

LATE_SHARE: Final = 0.01
LATE_MEAN_SECONDS: Final = 60.0
REPEATED_SHARE: Final = 0.005
REPEATED_MEAN_SECONDS: Final = 20.0

NEXT_ITEMS: Final = 20
_EVENTS_AT_ONCE: Final = 1000

_TYPES: Final = {
    Symbol.VIEW_NEW: "view",
    Symbol.VIEW_AGAIN: "view",
    Symbol.SEARCH: "search",
    Symbol.FAVORITE: "favorite",
    Symbol.CART: "cart",
    Symbol.REMOVE: "remove_from_cart",
    Symbol.CHECKOUT: "checkout",
    Symbol.PURCHASE: "purchase",
    Symbol.REVIEW: "review",
    Symbol.REFUND: "refund",
    Symbol.OTHER: "other",
}
_DEVICES: Final = ("phone", "desktop", "tablet")
_CHANNELS: Final = ("direct", "search", "mail", "social")

_FIRST_WINDOW_MS: Final = 3_600_000
_WINDOW_EVENTS: Final = 100_000
_LONGEST_WINDOW_MS: Final = 7 * 86_400_000


@dataclass(frozen=True)
class SimulationSettings:
    """What to simulate; the same settings give the same events on every machine."""

    events: int | None = None
    """Number of events, repeated ones included; None for an endless stream."""
    users: int = 1000
    seed: int = 1
    start_ms: int = 1_767_571_200_000  # Monday 2026-01-05, 0:00 UTC
    with_truth: bool = False
    """Yield EventWithTruth."""
    truth_reads_words: bool = True
    """Whether the true propensities take the words into account; False measures what words are worth."""
    items: int = ITEMS
    """How many the shop has."""
    with_logins: bool = False
    """Whether visits begin under anonymous ids (`model.simulator.logins`)."""
    with_impressions: bool = False
    """Whether pages show lists (`model.simulator.impressions`)."""
    with_tastes: bool = False
    """Whether shoppers have tastes, and items arrive and sell out: which item of a shelf they look at; nothing else."""

    def __post_init__(self) -> None:
        if self.users < 1 or (self.events is not None and self.events < 1):
            raise ValueError("a simulation needs at least one shopper and one event")
        if self.items < FEWEST_ITEMS:
            raise ValueError(f"a simulated shop needs at least {FEWEST_ITEMS} items")
        if not MIN_EVENT_TIME_MS <= self.start_ms < MAX_EVENT_TIME_MS:
            raise ValueError("start_ms lies outside the years 2000 to 2100")


class EventWithTruth(Event, frozen=True, gc=False, omit_defaults=True):
    """An event with the probability that its shopper buys later, given everything observed so far."""

    true_session: float = 0.0
    true_1h: float = 0.0
    true_24h: float = 0.0
    true_next_items: list[str] | None = None
    """If shoppers have tastes: the items that are most likely viewed next, if one is on this visit, the likeliest
    first (`model.simulator.next_view`)."""


def simulate(settings: SimulationSettings) -> Iterator[Event]:
    """Yield events in the order in which they arrive: that of their times, but for the late ones."""
    return Simulation(settings).events()


class Simulation:
    """A shop and its shoppers, whose events can be drawn once."""

    def __init__(self, settings: SimulationSettings, *, keeps_hidden: bool = False) -> None:
        """With `keeps_hidden` what is hidden of the shoppers can be asked afterwards."""
        self._settings, users, start_ms = settings, settings.users, settings.start_ms
        self.catalogue = Catalogue.drawn(settings.items)
        self.tastes = (
            Tastes(self.catalogue, users, start_ms, np.random.default_rng([settings.seed, 2]))
            if settings.with_tastes
            else None
        )
        observer = (
            Oracle(users, start_ms, reads_words=settings.truth_reads_words) if settings.with_truth else NoObserver()
        )
        choice = self.tastes or Popularity(self.catalogue)
        self._population = Population(users, start_ms, choice, np.random.default_rng(settings.seed), observer)
        next_view = NextView(self.tastes) if self.tastes and settings.with_truth else None
        self._writer = _Writer(settings, self.catalogue, np.random.default_rng([settings.seed, 1]), next_view)
        self._writer.keeps_hidden = keeps_hidden

    def events(self) -> Iterator[Event]:
        """Yield them in the order in which they arrive."""
        settings = self._settings
        events = _arrivals(self._population, self._writer, settings.start_ms)
        if settings.with_logins:
            events = with_logins(events, settings.seed)
        if settings.with_impressions:
            events = with_impressions(events, self.catalogue.item_ids, settings.seed)
        return islice(events, settings.events)

    def catalogue_lines(self, until_ms: int) -> Iterator[CatalogueLine]:
        """Yield what a shop whose shoppers have tastes says of its items up to a time (`model.simulator.feed`)."""
        if self.tastes is None:
            raise ValueError("only a shop whose shoppers have tastes has a catalogue")
        return catalogue_lines(self.tastes, until_ms)

    def hidden(self, events: Sequence[Event]) -> npt.NDArray[np.void]:
        """Return what was hidden of the shoppers right after some events, which were drawn `(events,)`."""
        if len(self._writer.hidden) > 1:
            self._writer.hidden = [np.concatenate(self._writer.hidden)]
        return self._writer.hidden[0][[int(event.event_id.rpartition("-")[2], 16) - 1 for event in events]]


def _arrivals(population: Population, writer: "_Writer", start_ms: int) -> Iterator[Event]:
    """Simulate one window after the other, each of about _WINDOW_EVENTS events."""
    length_ms = _FIRST_WINDOW_MS
    while True:
        end_ms = start_ms + length_ms
        happened = population.advance(end_ms)
        yield from writer.events_before(end_ms, happened)
        growth = _WINDOW_EVENTS / max(len(happened.time_ms), 1)
        length_ms = int(min(length_ms * np.clip(growth, 0.1, 10.0), _LONGEST_WINDOW_MS))
        start_ms = end_ms


class _Writer:
    """Turns columns into events and keeps those that arrive later than the window in which they happened."""

    def __init__(
        self,
        settings: SimulationSettings,
        catalogue: Catalogue,
        random: np.random.Generator,
        next_view: NextView | None,
    ) -> None:
        self._catalogue = catalogue
        self._random = random
        self._id_prefix = f"{settings.seed:x}-"
        self._written = 0
        self._kind = EventWithTruth if settings.with_truth else Event
        self._user_ids = [f"shopper-{number:06d}" for number in range(settings.users)]
        self._phrasebooks = [Phrasebook(language) for language in range(len(LANGUAGES))]
        self._languages = random.choice(len(LANGUAGES), settings.users, p=LANGUAGE_SHARES)
        self._contexts = [
            {"device": device, "channel": channel, "language": language}
            for language in LANGUAGES
            for device in _DEVICES
            for channel in _CHANNELS
        ]
        kinds = len(_DEVICES) * len(_CHANNELS)
        self._context_of = self._languages * kinds + random.integers(0, kinds, settings.users)
        self._next_view = next_view
        self.keeps_hidden = False
        self.hidden: list[npt.NDArray[np.void]] = []
        """Of all events in the order of their ids, if it is kept."""
        self._waiting: list[Event] = []
        self._waiting_arrival_ms = np.empty(0, np.int64)

    def events_before(self, end_ms: int, happened: Happened) -> list[Event]:
        """Return what arrives before `end_ms`, in order of arrival; `happened` may hold more."""
        order = np.argsort(happened.time_ms, kind="stable")
        happened = Happened(*(getattr(happened, column.name)[order] for column in fields(Happened)))
        events = self._waiting + self._events(happened)
        if self.keeps_hidden:
            self.hidden.append(happened.hidden)
        arrival_ms = np.concatenate((self._waiting_arrival_ms, self._arrival_ms(happened.time_ms)))
        repeated = np.flatnonzero(self._random.random(len(events)) < REPEATED_SHARE)
        repeated = repeated[repeated >= len(self._waiting)]  # those waiting were considered before
        again_ms = arrival_ms[repeated] + self._delays_ms(len(repeated), REPEATED_MEAN_SECONDS)
        events += [events[position] for position in repeated]
        arrival_ms = np.concatenate((arrival_ms, again_ms))

        order = np.argsort(arrival_ms, kind="stable")
        arrived = int(np.searchsorted(arrival_ms[order], end_ms))
        self._waiting = [events[position] for position in order[arrived:]]
        self._waiting_arrival_ms = arrival_ms[order[arrived:]]
        return [events[position] for position in order[:arrived]]

    def _arrival_ms(self, time_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        late = self._random.random(len(time_ms)) < LATE_SHARE
        return time_ms + np.where(late, self._delays_ms(len(time_ms), LATE_MEAN_SECONDS), 0)

    def _delays_ms(self, count: int, mean_seconds: float) -> npt.NDArray[np.int64]:
        return np.asarray(self._random.exponential(mean_seconds * 1000, count), np.int64)

    def _events(self, happened: Happened) -> list[Event]:
        columns = zip(
            happened.shoppers.tolist(),
            happened.time_ms.tolist(),
            happened.symbols.tolist(),
            happened.items.tolist(),
            happened.categories.tolist(),
            happened.words.tolist(),
            happened.stars.tolist(),
            happened.truth.tolist(),
            self._next_items(happened),
            strict=True,
        )
        return [self._event(*row) for row in columns]

    def _next_items(self, happened: Happened) -> Iterable[list[str] | None]:
        """Yield the items that are most likely viewed next, of each event; None if that is not asked."""
        if self._next_view is None:
            yield from repeat(None, len(happened.time_ms))
            return
        for first in range(0, len(happened.time_ms), _EVENTS_AT_ONCE):
            part = slice(first, first + _EVENTS_AT_ONCE)
            likeliest = self._next_view.likeliest(happened.hidden[part], happened.time_ms[part], NEXT_ITEMS)
            yield from ([self._catalogue.item_ids[item] for item in row] for row in likeliest.tolist())

    def _event(  # noqa: PLR0913, PLR0917 - one column each
        self,
        shopper: int,
        time_ms: int,
        symbol: int,
        item: int,
        category: int,
        words: list[int],
        stars: int,
        truth: list[float],
        next_items: list[str] | None,
    ) -> Event:
        self._written += 1
        catalogue = self._catalogue
        return self._kind(
            f"{self._id_prefix}{self._written:x}",
            self._user_ids[shopper],
            _TYPES[symbol],  # type: ignore[index] # an IntEnum's members equal their numbers
            time_ms,
            None if item == NO_ITEM else catalogue.item_ids[item],
            catalogue.category_names[category],
            None if item == NO_ITEM else float(catalogue.prices[item]),
            1.0 if symbol == Symbol.PURCHASE else None,
            float(stars) if stars else None,
            self._phrasebooks[self._languages[shopper]].text(symbol, category, words),
            None,  # anonymous id
            self._contexts[self._context_of[shopper]],
            None,  # attributes
            None,  # and of impressions items, model version, placement
            None,
            None,
            *truth,
            *([] if next_items is None else [next_items]),
        )
