"""The model card: a checkpoint described for people, from the same numbers as its JSON files.

After Mitchell et al., "Model Cards for Model Reporting" (2019).
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from model.lstm import LSTMConfig
from model.metrics import number_text
from model.shop import Shop

_PARTS: Final = {
    "validation": "Validation (also chose the thresholds)",
    "test": "Test",
    "test_unseen_users": "Test, users of whom nothing was learnt",
}
_METRICS: Final = ("events", "positives", "base_rate", "roc_auc", "pr_auc", "log_loss", "brier", "ece", "f1")

_MONEY_METRICS: Final = ("mean", "ratio", "d2", "gain_10_percent")
_TENTH_METRICS: Final = ("events", "predicted", "actual")
_ITEM_METRICS: Final = ("recall_5", "recall_20", "mrr_20", "ndcg_20")
_HEAD_METRICS: Final = ("events", "top1", "at_hand_top1", "most_frequent_top1", "top5", "most_frequent_top5")

_USE: Final = """\
## Intended use

To rank a shop's visitors, and to act on the probability that they buy soon: what to show, whom to help, what to
prepare. Each event is scored from itself and its user's earlier events, by `cartcast worker` live and by
`cartcast score` offline, with the same numbers.

## Limits

- It is as good as the test part says on shoppers like those of the data, and not beyond: another shop, season, price
  level or event format needs training of its own.
- Probabilities are as the model learnt them, without a correction. Watch them live (the views of `cartcast migrate`
  compare scores with what happened) and train again when they drift.
- It learns what goes with buying, not what causes it: it does not say whom a discount would change.
- It must not decide what a person may have: price, credit, access.
"""


def model_card(
    version: str,
    config: LSTMConfig,
    calibration: Iterable[tuple[float, float]],
    training: dict[str, Any],
    metrics: dict[str, Any],
) -> str:
    """Return the card as Markdown; what `training` and `metrics` do not hold is left out."""
    sections = [f"# {version}", _USE, _predicted(config), _data(training), _split(training), _quality(config, metrics)]
    sections += [_decisions(config, calibration, training), _network(config), _making(training)]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def _predicted(config: LSTMConfig) -> str:
    """Return what the shop's own columns mean; empty for a model of purchases alone."""
    shop = config.shop
    rows = [f"- `{name}`: {shop.goal(name).words}" for name in config.horizons if name in shop.goals]
    if shop.money is not None:
        rows.append(f"- expected value of purchases: {shop.money.words}")
    if not rows:
        return ""
    return "\n".join(["## Goals and money", "", "After each event, beside purchases:", "", *rows])


def _data(training: dict[str, Any]) -> str:
    names = ("events", "users", "purchases", "duplicates", "bad_rows", "out_of_order")
    counts = [f"- {name.replace('_', ' ')}: {training[name]:,}" for name in names if name in training]
    span = [f"- from {training['first_event']} to {training['last_event']}"] if "first_event" in training else []
    return "\n".join(["## Data", "", *span, *counts]) if counts else ""


def _split(training: dict[str, Any]) -> str:
    if "test_from" not in training:
        return ""
    return f"""\
## How it was measured

By a forward chain: the recipe of this checkpoint was used on the events before {training["validation_from"]} and
measured on those until {training["test_from"]} (validation), then on the events before that and measured on those to
the end (test). In both, nothing was learnt of {training["hidden_users"]:,} users, a fifth, chosen by their ids. A label
counts where it is settled, so each horizon is purged by its own length; labels that reach past the end of the data are
unknown.

The model in this checkpoint is the same recipe on all data up to the last event. It cannot be measured on data that it
has learnt from; `earlier.safetensors` holds the model that was measured on the test part."""


def _quality(config: LSTMConfig, metrics: dict[str, Any]) -> str:
    tables = [
        f"### {title}\n\n{_table(_METRICS, config.horizons, metrics[part])}"
        for part, title in _PARTS.items()
        if part in metrics
    ]
    others = [*_money(metrics), *_heads(metrics), *_next_items(metrics)]
    return "\n\n".join(["## Quality", *_beside(config, metrics), *tables, *others]) if tables else ""


def _beside(config: LSTMConfig, metrics: dict[str, Any]) -> list[str]:
    """Return what the chain says of the model beside a linear one and a constant, over both its parts."""
    if "chain" not in metrics:
        return []
    models, verdicts = metrics["chain"]["models"], metrics["verdicts"]
    titles = {"cartcast": "this recipe", "ridge": "ridge on the same numbers", "base_rate": "constant"}
    rows = ["| PR AUC / log loss | " + " | ".join(config.horizons) + " |", "|---" * (len(config.horizons) + 1) + "|"]
    for name, title in titles.items():
        cells = [
            f"{number_text(models[name][horizon]['pr_auc'])} / {number_text(models[name][horizon]['log_loss'])}"
            for horizon in config.horizons
        ]
        rows.append(f"| {title} | " + " | ".join(cells) + " |")
    rows.append("| beside the ridge | " + " | ".join(verdicts[horizon] for horizon in config.horizons) + " |")
    return ["### Validation and test together\n\n" + "\n".join(rows)]


def _money(metrics: dict[str, Any]) -> list[str]:
    """Return how true expected values are over both parts of the chain, beside models without that head."""
    if "money" not in metrics:
        return []
    measured = {name.replace("_", " "): found for name, found in metrics["money"]["chain"]["models"].items()}
    tenths = {str(place): found for place, found in enumerate(metrics["money"]["chain"]["deciles"], 1)}
    return [
        f"### Expected value, validation and test together\n\n{_table(_MONEY_METRICS, list(measured), measured)}",
        f"Tenths of the events, the lowest predictions first:\n\n{_table(_TENTH_METRICS, list(tenths), tenths)}",
    ]


def _heads(metrics: dict[str, Any]) -> list[str]:
    """Return the accuracy of the extra heads in the test part, beside guesses that need no model."""
    heads = metrics.get("test", {}).get("heads", {})
    return [f"### Extra heads, test\n\n{_table(_HEAD_METRICS, list(heads), heads)}"] if heads else []


def _next_items(metrics: dict[str, Any]) -> list[str]:
    """Return how the next item was predicted in the test part, beside simple methods, a table per goal."""
    tables = []
    for goal, found in metrics.get("next_items", {}).get("goals", {}).items():
        names = {name: model["title"] for name, model in found["models"].items()}
        measured = {
            title: {metric: of["value"] for metric, of in found["all"]["metrics"][name].items()}
            for name, title in names.items()
        }
        about = f"{found['transitions']:,} transitions, {metrics['next_items']['items']:,} candidates"
        tables.append(f"### Next {goal}, test: {about}\n\n{_table(_ITEM_METRICS, list(measured), measured)}")
    return tables


def _table(metrics: Sequence[str], columns: Sequence[str], measured: dict[str, Any]) -> str:
    """Return one row per metric, one column per entry of `measured`."""
    rows = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name in metrics:
        cells = " | ".join(number_text(measured[column].get(name)) for column in columns)
        rows.append(f"| {name.replace('_', ' ')} | {cells} |")
    return "\n".join(rows)


def _decisions(config: LSTMConfig, calibration: Iterable[tuple[float, float]], training: dict[str, Any]) -> str:
    rows = [
        "## Calibration and thresholds",
        "",
        "Slope 1 and intercept 0 leave the probabilities as they are.",
        "A threshold has the best F1 in the validation part.",
        "",
    ]
    rows += ["| horizon | slope | intercept | threshold |", "|---|---|---|---|"]
    for horizon, (slope, intercept) in zip(config.horizons, calibration, strict=True):
        threshold = number_text(training.get("thresholds", {}).get(horizon))
        rows.append(f"| {horizon} | {slope:.4f} | {intercept:.4f} | {threshold} |")
    return "\n".join(rows)


def _network(config: LSTMConfig) -> str:
    return f"""\
## Network and features

One LSTM of {config.hidden_size} units that carries its state from event to event, with the numbers of the event beside
it (wide and deep). It sees the event's type, hashed codes of its category ({config.category_buckets} buckets) and words
({config.token_buckets}), and {len(config.numeric_inputs)} numbers:
{", ".join(config.numeric_inputs)}.{_of_shop(config.shop)}"""


def _of_shop(shop: Shop) -> str:
    """Return a paragraph on what the shop defines of its own, nothing if it defines nothing."""
    own = {"types": shop.types, "categorical attributes": shop.categorical, "numeric attributes": shop.numeric}
    named = [f"- own {kind}: {', '.join(names)}" for kind, names in own.items() if names]
    return "\n".join(["", "", *named]) if named else ""


def _making(training: dict[str, Any]) -> str:
    rows = ["## Settings, versions, course", ""]
    for group in ("settings", "versions"):
        rows += [f"- {name}: {value}" for name, value in training.get(group, {}).items()]
    outcome = {"device": "device", "warm_start": "began with another model's weights"}
    rows += [f"- {title}: {training[name]}" for name, title in outcome.items() if name in training]
    return "\n".join(rows) if len(rows) > 2 else ""
