"""`cartcast worker`: the long-running process that scores the events topic."""

from pathlib import Path
from typing import Annotated

import typer

from cartcast.commands.shared.options import BootstrapServers, TopicPrefix, check_pseudonyms, given, settings_of


def worker(
    context: typer.Context,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint directory; default: the one that ships.", metavar="DIRECTORY")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    bootstrap_servers: BootstrapServers = None,
    topic_prefix: TopicPrefix = None,
    instance_id: Annotated[str | None, typer.Option(help="Kafka group.instance.id of this worker.")] = None,
) -> None:
    """Score events until SIGTERM or Ctrl-C: consume, keep sequence states, score, publish.

    Several workers share the partitions. Example: cartcast worker --device cpu
    """
    settings = settings_of(
        context,
        kafka=given(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix),
        worker=given(checkpoint=checkpoint, device=device, instance_id=instance_id),
    )
    from service.logging import configure_logging

    configure_logging(settings.log)  # first, so that a wrong setting takes no seconds to tell: torch and Faust do
    from model.checkpoint import DEFAULT_CHECKPOINT, load_checkpoint
    from model.inference import select_device
    from service.kafka import TopicIdentity
    from streams.recommendations import check_recommendations
    from streams.run import run_worker
    from streams.settings import StreamSettings
    from streams.topic_configs import lifetime_ms
    from streams.topics import check_topics

    check_pseudonyms(settings)
    loaded = load_checkpoint(settings.worker.checkpoint or DEFAULT_CHECKPOINT)
    check_recommendations(settings.recommendations, loaded)
    selected = select_device(settings.worker.device, instance_id=settings.worker.instance_id)
    client_config = settings.kafka.client_config()
    partitions = check_topics(
        client_config,
        settings.kafka.topics,
        settings.kafka.wanted_partitions,
        recommends=bool(settings.recommendations.types),
    )
    run_worker(
        StreamSettings(
            client_config=client_config,
            topics=settings.kafka.topics,
            partitions=partitions,
            source_identity=TopicIdentity(client_config, settings.kafka.topics.events)(),
            worker=settings.worker,
            trace=settings.trace,
            recommendations=settings.recommendations,
            events_retention_ms=lifetime_ms(client_config, settings.kafka.topics.events),
            signatures=settings.kafka.signatures,
            pseudonyms=settings.kafka.pseudonyms,
        ),
        loaded,
        selected,
    )
