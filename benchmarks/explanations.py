"""Are explanations faithful? Measured on simulated shoppers, with the checkpoint that ships.

`.venv/bin/python -m benchmarks.explanations`

Deletion: the k events with the largest attributions are removed together, and the change in log-odds is compared with
that of any k events, of the k with the smallest attributions, and of the k that integrated gradients (Sundararajan,
Taly and Yan, 2017) names. Known effects: what the simulated shop's process says of types and words, against what
explanations say of them. No number here depends on the machine, but for the time.
"""

import time
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from model.arrays import Runs
from model.batch import batch_of
from model.checkpoint import DEFAULT_CHECKPOINT, Checkpoint, load_checkpoint
from model.core.append import Source, append_events
from model.core.features import write_category_rates
from model.events import Event
from model.explain import Explainer, Explanation
from model.inference import Scorer
from model.lstm import PackedFeatures, Packing
from model.offline import OfflineScoring
from model.propensities import log_odds
from model.sequence import RING_EVENTS, new_sequences, stored_events
from model.simulator import SimulationSettings, simulate
from model.simulator.process import Mood, Symbol
from model.simulator.vocabulary import LANGUAGES, translations
from model.simulator.wording import PLACES
from model.states import replay_rings

EVENTS, USERS, SEED = 60_000, 1500, 99
HORIZON = 0  # the session
REMOVED = (1, 3, 5)
STEPS = 32
BUYING = (Mood.INTERESTED, Mood.COMPARING, Mood.UNDECIDED)
WRITTEN_OFTEN = 30

Ranking = npt.NDArray[np.int64]
"""Places of events, the most important first."""


def shoppers() -> list[list[Event]]:
    """Histories that fill the ring."""
    histories: defaultdict[str, list[Event]] = defaultdict(list)
    for event in simulate(SimulationSettings(events=EVENTS, users=USERS, seed=SEED)):
        histories[event.user_id].append(event)
    return [history for history in histories.values() if len(history) >= RING_EVENTS]


def sequence_of(history: list[Event]) -> tuple[npt.NDArray[np.void], list[Event]]:
    """Return the sequence state after a history, and the events that its ring holds."""
    sequence = new_sequences(1)
    source = Source(1, np.arange(len(history)))
    appended = append_events(sequence, np.zeros(len(history), np.int64), batch_of(history), source)
    return sequence, [history[row] for row in appended.rows[-RING_EVENTS:]]


def integrated_gradients(checkpoint: Checkpoint, sequence: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """Return each stored event's share of the logit after the last `(events,)`, along a straight line from zeros."""
    replayed = replay_rings(sequence)
    features, model = replayed.features, checkpoint.model
    write_category_rates(features.numeric, features.categories, model.category_rates.numpy())
    packing = Packing.of(Runs.of(replayed.users))
    packed: PackedFeatures = packing.pack(features, torch.device("cpu"))
    inputs = model.embedded(packed).detach()  # (events, inputs); numeric features come first
    numeric = packed.numeric.shape[1]
    scales = ((torch.arange(STEPS) + 0.5) / STEPS)[:, None, None]
    along = (inputs * scales).requires_grad_()  # (steps, events, inputs)
    output, _ = model.lstm(along.transpose(0, 1))
    logits = model.heads(torch.cat((output[-1], along[:, -1, :numeric]), dim=1))[:, HORIZON]
    (gradient,) = torch.autograd.grad(logits.sum(), along)
    return (gradient.mean(dim=0) * inputs).sum(dim=1).double().numpy()


def change(explainer: Explainer, sequence: npt.NDArray[np.void], removed: Iterable[Ranking]) -> list[float]:
    """Return how much the log-odds change, up or down, without each set of events."""
    (_, stored), sets = stored_events(sequence), list(removed)
    kept = np.ones((len(sets) + 1, len(stored)), np.bool_)
    for variant, places in enumerate(sets):
        kept[1 + variant, places] = False
    found = log_odds(explainer.propensities(stored, kept)[:, HORIZON])
    return [float(each) for each in np.abs(found[1:] - found[0])]


def published_after(checkpoint: Checkpoint, history: list[Event]) -> float:
    """Return what the worker publishes after the last event."""
    codec = checkpoint.codec
    *_, last = OfflineScoring(Scorer(checkpoint, torch.device("cpu")), codec).score(history)
    return float(last.propensities[-1, HORIZON])


def ranked(attributions: npt.NDArray[np.float64]) -> Ranking:
    return np.argsort(-np.abs(attributions))


def known_effects() -> dict[str, float]:
    """Return, for each English word of searches, how much likelier buyers write it, as a logarithm."""
    found = {}
    for place in PLACES[Symbol.SEARCH]:
        for number, word in enumerate(place.words):
            if word:
                found[word] = float(np.log(place.shares[BUYING, number].mean() / place.shares[Mood.IDLE, number]))
    return found


def word_of(text: str) -> list[str]:
    return [ENGLISH[written] for written in text.split() if written in ENGLISH]


ENGLISH = {
    written: word
    for language in range(len(LANGUAGES))
    for word, written in translations(language).items()
    if word and word in known_effects()
}


def rank_correlation(left: list[float], right: list[float]) -> float:
    """Spearman's."""
    return float(np.corrcoef(np.argsort(np.argsort(left)), np.argsort(np.argsort(right)))[0, 1])


def print_deletion(changes: dict[tuple[str, int], list[float]]) -> None:
    print("change in log-odds of a purchase in this session without k of 32 events, mean over shoppers")
    print("k    leave-one-out  integrated gradients  any k  smallest k")
    for count in REMOVED:
        row = [np.mean(changes[name, count]) for name in ("loo", "ig", "random", "bottom")]
        print(f"{count:<4} {row[0]:>13.2f} {row[1]:>21.2f} {row[2]:>6.2f} {row[3]:>11.2f}")


def print_effects(by_type: dict[str, list[float]], by_word: dict[str, list[float]]) -> None:
    print("mean attribution by type, log-odds")
    for kind, found in sorted(by_type.items(), key=lambda pair: -np.mean(pair[1])):
        print(f"{kind:<17} {np.mean(found):+.3f}  ({len(found):,} events)")
    known = known_effects()
    words = sorted((word for word in by_word if len(by_word[word]) >= WRITTEN_OFTEN), key=lambda word: known[word])
    print("searches by word, those of idlers first: known effect, mean attribution")
    for word in words:
        print(f"{word:<12} {known[word]:+.2f}  {np.mean(by_word[word]):+.3f}  ({len(by_word[word]):,} searches)")
    agreement = rank_correlation([known[word] for word in words], [float(np.mean(by_word[word])) for word in words])
    print(f"rank correlation of the two over {len(words)} words: {agreement:.2f}")


def main() -> None:
    torch.set_num_threads(1)
    checkpoint, random = load_checkpoint(DEFAULT_CHECKPOINT), np.random.default_rng(1)
    explainer, histories = Explainer(checkpoint), shoppers()
    changes: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    by_type: defaultdict[str, list[float]] = defaultdict(list)
    by_word: defaultdict[str, list[float]] = defaultdict(list)
    seconds, gaps = [], []
    for history in histories:
        sequence, stored = sequence_of(history)
        began = time.thread_time()
        explanation: Explanation = explainer.explain(sequence)
        seconds.append(time.thread_time() - began)
        gaps.append(abs(explanation.from_ring[HORIZON] - published_after(checkpoint, history)))
        attributions = explanation.log_odds[:, HORIZON]
        rankings = {
            "loo": ranked(attributions),
            "ig": ranked(integrated_gradients(checkpoint, sequence)),
            "random": random.permutation(len(stored)),
            "bottom": ranked(attributions)[::-1],
        }
        sets = [(name, count) for name in rankings for count in REMOVED]
        for key, found in zip(
            sets, change(explainer, sequence, [rankings[name][:count] for name, count in sets]), strict=True
        ):
            changes[key].append(found)
        for event, found in zip(stored, attributions, strict=True):
            by_type[event.type].append(float(found))
            for word in word_of(event.text or "") if event.type == "search" else []:
                by_word[word].append(float(found))
    print(f"{len(histories):,} shoppers with a full ring, model {checkpoint.version}")
    print(f"CPU an explanation of 32 events: {np.median(seconds) * 1000:.1f} ms (median)")
    print(f"|published - from the ring|: median {np.median(gaps):.3f}, 95th percentile {np.quantile(gaps, 0.95):.3f}")
    print_deletion(changes)
    print_effects(by_type, by_word)


if __name__ == "__main__":
    main()
