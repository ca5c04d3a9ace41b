"""One file a command or command group; each parses options, composes the rooms, prints.

They are listed here, so that `cartcast --help` and completion need none of these files: `dead-letters` is what
`dead_letters.py` defines under the name `dead_letters`, or under the name `app` if it is a group.
"""

from typing import Final

COMMANDS: Final = {
    "demo": "Run the whole pipeline with simulated shoppers: Kafka, Faust worker, sink, ClickHouse engine, dashboard.",
    "up": "Run a real Kafka and the real ClickHouse engine on this machine until Ctrl-C.",
    "topics": "Kafka topics of the pipeline.",
    "migrate": "Create or update the ClickHouse table and views; safe to repeat.",
    "worker": "Score events until SIGTERM or Ctrl-C: consume, keep sequence states, score, publish.",
    "sink": "Write scores and dead letters to ClickHouse until SIGTERM or Ctrl-C; several sinks share the work.",
    "dashboard": "Serve the pages over the views in ClickHouse until SIGTERM or Ctrl-C.",
    "replay": "Send history from files to the events topic, keyed by shopper, and confirm every delivery.",
    "send": "Send one event to the events topic, keyed by its shopper, once it is known to be one.",
    "tail": "Print the last events, scores or dead letters, one a line, and with --follow those that arrive.",
    "dead-letters": "Records that are no events, and why.",
    "forget": "Have shoppers forgotten: their states, their rows in ClickHouse, and what they do from now on.",
    "items": "The shop's catalogue: what items are.",
    "simulate": "Write the events of simulated shoppers, one JSON object a line, in the order in which they arrive.",
    "train": "Train a model on history, measure how it does on later days and new shoppers, and write a checkpoint.",
    "retrain": "Train the serving checkpoint's recipe on the last days, and publish the result if it is better.",
    "level": "Shift the serving checkpoint's propensities to how many buy now, by what came of its latest scores.",
    "evaluate": "Say how good a checkpoint is, beside simpler models trained on the same split.",
    "score": "Score a history as the worker would have, one row an accepted event, in the order of the input.",
    "export": "Write features and labels of a history as Parquet, a row an accepted event, for models of your own.",
    "explain": "Show which of a shopper's events moved the probability that they buy: each is left out in turn.",
    "inspect": "Say what files hold before anyone trains on them: time, users, types, damage, sessions, base rates.",
    "sort": "Write the events of files in the order of their times, as canonical JSON lines, in bounded memory.",
    "size": "Say how many partitions, workers and sinks, and how much memory, disk and network, a shop needs.",
    "doctor": "Check settings, servers, topics, table and model, and whether workers and sink run and keep up.",
    "status": "Show who reads each partition, how far behind, and how old the table is, live until Ctrl-C.",
    "init": "Write a settings file with every setting, what it means and its default, all commented out.",
    "config": "Look at the settings.",
}
"""By name, the first line of each one's docstring."""

PANELS: Final = {
    "Run it": ("demo", "up", "init", "topics", "migrate", "worker", "sink", "dashboard"),
    "Data": ("replay", "send", "tail", "dead-letters", "forget", "items", "simulate", "inspect", "sort"),
    "Model": ("train", "retrain", "level", "evaluate", "score", "export"),
    "Look": ("explain", "size", "doctor", "status", "config"),
}
"""How the list of commands is grouped."""
