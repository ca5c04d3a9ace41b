"""`cartcast worker`: the long-running process that scores the events topic."""

from pathlib import Path
from typing import Annotated

import typer

from cartcast.settings import given, load_settings
from service.logging import configure_logging


def worker(
    context: typer.Context,
    checkpoint: Annotated[Path | None, typer.Option(help="Checkpoint directory; default: the one that ships.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="Kafka, HOST:PORT[,HOST:PORT].")] = None,
    topic_prefix: Annotated[str | None, typer.Option(help="Prefix of all topic names.")] = None,
    instance_id: Annotated[str | None, typer.Option(help="Kafka group.instance.id of this worker.")] = None,
) -> None:
    """Score events until SIGTERM or Ctrl-C: consume, keep sequence states, score, publish.

    Several workers share the partitions. Example: cartcast worker --device cpu
    """
    settings = load_settings(
        context.obj,
        kafka=given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        worker=given(checkpoint=checkpoint, device=device, instance_id=instance_id),
    )
    configure_logging(settings.log)
    # torch and Faust take seconds to import: only this command pays for them
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint  # noqa: PLC0415
    from model.inference import select_device  # noqa: PLC0415
    from service.kafka import TopicIdentity  # noqa: PLC0415
    from streams.run import run_worker  # noqa: PLC0415
    from streams.settings import StreamSettings  # noqa: PLC0415
    from streams.topics import check_topics  # noqa: PLC0415

    loaded = load_checkpoint(settings.worker.checkpoint or DEFAULT_CHECKPOINT)
    selected = select_device(settings.worker.device, instance_id=settings.worker.instance_id)
    client_config = settings.kafka.client_config()
    partitions = check_topics(client_config, settings.kafka.topics, settings.kafka.wanted_partitions)
    run_worker(
        StreamSettings(
            client_config=client_config,
            topics=settings.kafka.topics,
            partitions=partitions,
            source_identity=TopicIdentity(client_config, settings.kafka.topics.events)(),
            worker=settings.worker,
            trace=settings.trace,
        ),
        loaded,
        selected,
    )
