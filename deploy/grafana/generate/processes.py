"""What only the processes know, from their Prometheus metrics: workers, sinks, and what sinks sample of ClickHouse."""

from panels import Json, Row, lines, promql, stat, states, steps

YES_NO = {0: ("no", "orange"), 1: ("yes", "green")}


def rows() -> list[Row]:
    """Return the rows of the pipeline's dashboard that ask Prometheus alone."""
    return [
        ("Workers (Prometheus)", 8, _scoring()),
        ("", 8, _committing()),
        ("", 8, _restoring()),
        ("", 8, _devices()),
        ("Sinks (Prometheus)", 8, _storing()),
        ("", 8, _blocks()),
        ("Disks and scores (Prometheus)", 8, _sampled()),
        ("Processes (Prometheus)", 7, _resources()),
    ]


def quantiles(metric: str, by: str = "") -> list[tuple[str, str]]:
    """Return queries of the median and the 99th percentile of a histogram, also for each value of a label."""
    labels, legend = (f"{by}, le", f"{{{{{by}}}}} ") if by else ("le", "")
    rate = f"sum by ({labels}) (rate({metric}_bucket[$__rate_interval]))"
    return [
        (f"histogram_quantile({share}, {rate})", f"{legend}{name}") for share, name in ((0.5, "p50"), (0.99, "p99"))
    ]


def _scoring() -> list[Json]:
    return [
        lines(
            "Event to score, by the workers",
            promql(*quantiles("cartcast_worker_event_to_score_seconds")),
            "From Kafka's time of the event to its score's confirmation, all workers together.",
            unit="s",
        ),
        lines(
            "Where the time goes",
            promql(
                ("sum by (stage) (rate(cartcast_worker_stage_seconds_sum[$__rate_interval]))", "{{stage}}"),
            ),
            "Seconds a second that workers spend in each stage; stages overlap, and waiting for Kafka is in them.",
            unit="s",
            stacked=True,
        ),
        lines(
            "Slowest stages, p99",
            promql(quantiles("cartcast_worker_stage_seconds", "stage")[1]),
            "How long a stage takes for one batch.",
            unit="s",
        ),
    ]


def _committing() -> list[Json]:
    return [
        lines(
            "Events scored together",
            promql(*quantiles("cartcast_worker_batch_events")),
            "Larger batches cost less an event; under load they grow by themselves.",
        ),
        lines(
            "Records behind, by the workers",
            promql(("sum by (topic, partition) (cartcast_worker_consumer_lag)", "{{topic}} {{partition}}")),
            "Between what a worker has fetched and the end of its partition.",
        ),
        lines(
            "Age of the last commit while records wait",
            promql(
                ("max by (instance) (cartcast_worker_commit_age_seconds)", "{{instance}}"),
                ("max by (instance, part) (cartcast_sink_commit_age_seconds)", "{{instance}} {{part}}"),
            ),
            "Rises while nothing is confirmed; alert NoCommits from 2 minutes on.",
            unit="s",
        ),
        lines(
            "Commits a second",
            promql(("sum by (instance) (rate(cartcast_worker_commits_total[$__rate_interval]))", "{{instance}}")),
            "About one a commit interval and worker, while events come.",
        ),
    ]


def _restoring() -> list[Json]:
    return [
        states(
            "Workers: ready?",
            promql(("max by (instance) (cartcast_worker_ready)", "{{instance}}")),
            "In the group, restored, model warm, broker there.",
            YES_NO,
        ),
        states(
            "Workers: restoring?",
            promql(("max by (instance) (cartcast_worker_restoring)", "{{instance}}")),
            "While states are read from the changelog, the events of their partitions wait.",
            {0: ("no", "green"), 1: ("restoring", "orange")},
        ),
        lines(
            "Restore: records to go, and a second",
            promql(
                ("sum by (instance) (cartcast_worker_restore_remaining_records)", "{{instance}}: to go"),
                (
                    "sum by (instance) (rate(cartcast_worker_restore_records_total[$__rate_interval]))",
                    "{{instance}}: a second",
                ),
            ),
            "What is to go over what is read a second is how long it will take.",
        ),
        lines(
            "Restore: how long",
            promql(("max by (instance) (cartcast_worker_restore_seconds)", "{{instance}}")),
            "Of the restore that goes on, or of the last one.",
            unit="s",
        ),
    ]


def _devices() -> list[Json]:
    return [
        lines(
            "Device, share in use",
            promql(("max by (instance, device) (cartcast_worker_device_utilisation_ratio)", "{{instance}} {{device}}")),
            "Of the GPU, or of the processor's cores.",
            unit="percentunit",
        ),
        lines(
            "Device memory",
            promql(("max by (instance, device) (cartcast_worker_device_memory_bytes)", "{{instance}} {{device}}")),
            "Of the GPU, or of the process.",
            unit="bytes",
        ),
        lines(
            "Scores on their way to Kafka",
            promql(
                ("sum by (instance) (cartcast_worker_queue_messages)", "{{instance}}: messages"),
                ("sum by (instance) (cartcast_worker_queue_bytes)", "{{instance}}: bytes"),
            ),
            "In the producer's queue; they rise when Kafka is slow to confirm.",
        ),
        lines(
            "Shoppers and partitions",
            promql(
                ("sum by (instance) (cartcast_worker_shoppers)", "{{instance}}: shoppers"),
                ("sum by (instance) (cartcast_worker_assigned_partitions)", "{{instance}}: partitions"),
            ),
            "States that a worker holds, and the partitions that they are of.",
        ),
        lines(
            "Items",
            promql(
                ("max by (known_from) (cartcast_worker_items)", "known from {{known_from}}"),
                ("max by (reason) (cartcast_worker_items_refused_total)", "refused: {{reason}}"),
            ),
            "Of the items topic, and named by events alone; and records of the topic that are no items.",
        ),
        lines(
            "Recommendations and impressions a second",
            promql(
                ("sum(rate(cartcast_worker_impressions_total[$__rate_interval]))", "lists shown"),
                ("sum(rate(cartcast_worker_recommendations_total[$__rate_interval]))", "published"),
                ("sum(rate(cartcast_worker_without_items_total[$__rate_interval]))", "no item to recommend"),
            ),
            "On their topic, if recommendations.events names types of event; impressions say what was shown.",
        ),
        lines(
            "Forgotten, expired and left out a second",
            promql(
                ("sum(rate(cartcast_worker_forgotten_states_total[$__rate_interval]))", "states forgotten"),
                ("sum(rate(cartcast_worker_expired_states_total[$__rate_interval]))", "states expired"),
                ("sum(rate(cartcast_worker_without_consent_total[$__rate_interval]))", "events without consent"),
                ("sum by (part) (rate(cartcast_sink_forgotten_records_total[$__rate_interval]))", "{{part}}: no rows"),
                ("sum(cartcast_sink_forget_pending)", "requests whose rows wait"),
            ),
            "Who asked to be forgotten, was not seen for worker.state_days, or does not consent.",
        ),
        lines(
            "Joined ids a second",
            promql(
                ("sum(rate(cartcast_worker_claims_total[$__rate_interval]))", "claimed by users"),
                ("sum(rate(cartcast_worker_merges_total[$__rate_interval]))", "merged into them"),
                ("sum by (reason) (rate(cartcast_worker_claims_refused_total[$__rate_interval]))", "not: {{reason}}"),
            ),
            "Anonymous ids whose users logged in; what is claimed is merged, or not for a reason.",
        ),
        lines(
            "Log-in to merge",
            promql(*quantiles("cartcast_worker_log_in_to_merge_seconds")),
            "From Kafka's time of an event that claims an anonymous id to the merge of the states.",
            unit="s",
        ),
        lines(
            "Level correction",
            promql(("max by (horizon) (cartcast_worker_level_shift)", "{{horizon}}")),
            "How far the level correction moves the log-odds of events; empty without one.",
            unit="none",
        ),
    ]


def _storing() -> list[Json]:
    return [
        lines(
            "Sinks, records a second",
            promql(
                ("sum by (part) (rate(cartcast_sink_stored_total[$__rate_interval]))", "{{part}}: stored"),
                ("sum by (part) (rate(cartcast_sink_repeats_total[$__rate_interval]))", "{{part}}: repeats"),
                ("sum by (part) (rate(cartcast_sink_strangers_total[$__rate_interval]))", "{{part}}: of strangers"),
                (
                    "sum by (part) (rate(cartcast_sink_deleted_records_total[$__rate_interval]))",
                    "{{part}}: deleted before they were stored",
                ),
                ("sum by (part) (rate(cartcast_sink_dead_letters_total[$__rate_interval]))", "{{part}}: refused"),
            ),
            "All sinks together, by what they store.",
        ),
        states(
            "Sinks: do ClickHouse and Kafka answer?",
            promql(("max by (instance, part) (cartcast_sink_waiting)", "{{instance}} {{part}}")),
            "While one of them is away, a sink holds what it has and tries again.",
            {0: ("yes", "green"), 1: ("waiting", "orange")},
        ),
        stat(
            "Workers by model",
            promql(("count by (version) (cartcast_worker_model_info)", "{{version}}")),
            "More than one version for long: a worker missed a rollout.",
            color={"mode": "fixed", "fixedColor": "blue"},
        ),
    ]


def _blocks() -> list[Json]:
    return [
        lines(
            "Blocks a second, and retries",
            promql(
                ("sum by (part) (rate(cartcast_sink_blocks_total[$__rate_interval]))", "{{part}}: blocks"),
                ("sum by (part) (rate(cartcast_sink_retries_total[$__rate_interval]))", "{{part}}: retries"),
            ),
            "Many small blocks are much work for ClickHouse's merges.",
        ),
        lines(
            "Rows of a block",
            promql(*quantiles("cartcast_sink_block_rows", "part")),
            "Under load they grow, up to sink.block_rows.",
        ),
        lines(
            "Time of an insert",
            promql(*quantiles("cartcast_sink_insert_seconds", "part")),
            "Until ClickHouse has taken it.",
            unit="s",
        ),
    ]


def _sampled() -> list[Json]:
    return [
        lines(
            "ClickHouse's disks, free",
            promql(
                (
                    "min by (disk) (cartcast_clickhouse_disk_free_bytes / cartcast_clickhouse_disk_total_bytes)",
                    "{{disk}}",
                ),
            ),
            "Share of each disk; alert DiskFull below 15 %.",
            unit="percentunit",
            max=1,
        ),
        lines(
            "Drift of the scores",
            promql(("max by (model, horizon) (cartcast_score_psi)", "{{model}} {{horizon}}")),
            "Population stability index of the last 24 hours; above 0.25 the scores have shifted.",
            thresholds=steps("green", (0.1, "orange"), (0.25, "red")),
        ),
        lines(
            "Calibration error",
            promql(("max by (model, horizon) (cartcast_calibration_error)", "{{model}} {{horizon}}")),
            "Mean distance of probability and purchase rate, over the last 48 hours' scores whose horizon has passed.",
            thresholds=steps("green", (0.05, "red")),
        ),
        stat(
            "Scores behind it",
            promql(("max by (horizon) (cartcast_calibration_scores)", "{{horizon}}")),
            "So many scores the calibration error is made of.",
        ),
    ]


def _resources() -> list[Json]:
    return [
        lines(
            "CPU, cores",
            promql(('rate(process_cpu_seconds_total{job=~"cartcast-.+"}[$__rate_interval])', "{{job}} {{instance}}")),
            "A worker at one core is at its limit: start another one.",
        ),
        lines(
            "Resident memory",
            promql(('process_resident_memory_bytes{job=~"cartcast-.+"}', "{{job}} {{instance}}")),
            "A worker keeps the states of its partitions' shoppers in memory.",
            unit="bytes",
        ),
    ]
