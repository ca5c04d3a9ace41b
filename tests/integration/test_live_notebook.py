"""The notebook that reads scores live runs beside a worker and a sink."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.simulator import SimulationSettings, simulate
from tests.harness.pipeline import pipelines
from tests.harness.sink_process import SinkProcess, pipeline_settings
from tests.harness.sink_process import Stored as StoredBySink

pytestmark = pytest.mark.integration

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "live-scores.ipynb"


def test_it_shows_scores_a_shopper_and_the_table(kafka, database, topic_prefix, tmp_path):
    for pipeline in pipelines(kafka, topic_prefix, tmp_path):
        worker = pipeline.start_worker()
        events = list(simulate(SimulationSettings(events=300, users=20, seed=1)))
        pipeline.produce(events)
        settings = pipeline_settings(kafka, database.url, topic_prefix, database=database.database)
        with SinkProcess(settings):
            StoredBySink(settings).wait_for(290)
            shutil.copy(NOTEBOOK, tmp_path)
            environment = os.environ | {
                "CARTCAST_KAFKA__BOOTSTRAP_SERVERS": kafka,
                "CARTCAST_KAFKA__TOPIC_PREFIX": topic_prefix,
                "CARTCAST_DASHBOARD__WORKER_URL": worker.events("starting")[-1]["look_ups"],
                "CARTCAST_CLICKHOUSE__URL": database.url,
                "CARTCAST_CLICKHOUSE__DATABASE": database.database,
            }
            ended = subprocess.run(
                [Path(sys.executable).with_name("jupyter-execute"), "--inplace", tmp_path / NOTEBOOK.name],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, ended.stderr[-3000:]
    cells = json.loads((tmp_path / NOTEBOOK.name).read_text())["cells"]
    shown = ["".join(output["data"]["text/plain"]) for cell in cells for output in cell.get("outputs", [])]
    assert len(shown) == 5
    assert "propensity_session" in shown[0]
    assert "mean_propensity_24h" in shown[-1]
