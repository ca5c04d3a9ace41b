"""How a worker ends; in a process of its own, because Faust takes over signals and the event loop."""

import subprocess
import sys

CRASHES = """
from service.errors import RefusedError
from streams.run import _run_until_stopped
from streams.transport import BatchApp

class Crashing(BatchApp):
    async def on_first_start(self):
        await self.crash(RefusedError("topic t is gone: create it"))

app = Crashing("shop", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
try:
    _run_until_stopped(app)
except RefusedError as failure:
    print("one line:", failure)
"""


def test_a_failure_that_a_user_can_act_on_is_raised_without_a_traceback_wherever_it_happened():
    ended = subprocess.run([sys.executable, "-c", CRASHES], capture_output=True, text=True, check=False)
    assert ended.stdout == "one line: topic t is gone: create it\n"
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0
