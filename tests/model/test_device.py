"""Which device a worker takes, on machines with any number of GPUs."""

import pytest
import torch

from model.inference import select_device
from service.errors import CheckpointError


def taken(instance_id: str | None, gpus: int) -> str:
    return str(select_device("auto", instance_id=instance_id, count_gpus=lambda: gpus))


def test_without_a_gpu_a_worker_runs_on_the_cpu():
    assert taken("worker-3", 0) == "cpu"


def test_workers_are_dealt_round_the_gpus_by_the_number_of_their_instance():
    assert [taken(f"worker-{number}", 3) for number in range(5)] == ["cuda:0", "cuda:1", "cuda:2", "cuda:0", "cuda:1"]


@pytest.mark.parametrize("instance_id", [None, "", "worker", "1-worker"])
def test_an_instance_without_a_number_takes_the_first_gpu(instance_id):
    assert taken(instance_id, 4) == "cuda:0"


def test_a_named_device_is_taken_whatever_the_instance():
    assert select_device("cpu", instance_id="worker-3", count_gpus=lambda: 4) == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cuda:-1", ""])
def test_a_device_that_is_not_there_is_refused_in_one_line(name):
    with pytest.raises(CheckpointError, match=r"is not usable here: choose auto or cpu \(--device, worker\.device\)"):
        select_device(name)
