"""An agent with simulated cameras and tokens, held against its OpenAPI document: started by tests/run-schemathesis.sh.

Two of schemathesis' checks are left out. A value may fit its description and be refused for what it says: an instant in
the past, a mode that there is not. And who tries as many tokens as it does is locked out, with 429 instead of 401.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fakes.agent import RunningAgent, eventually
from tests.fakes.mosquitto import Mosquitto, free_port

TOKEN = "the-operators-own-token"
# What never ends, and what ends the agent.
LEFT_OUT = ["--exclude-path-regex", "^/(stream|video|api/live)", "--exclude-operation-id", "command_restart"]
USUAL = ["--max-examples", "10", "--rate-limit", "8/s", "--request-timeout", "40", "--suppress-health-check", "all"]
CHECKS = ["--exclude-checks", "positive_data_acceptance,ignored_auth"]
CONFIGURATION = """\
# Text stands for a command's object, and a label is any text: what is no JSON is still one.
[[operations]]
include-operation-id = ["command_unlock", "unlock_recordings"]
checks.negative_data_rejection.enabled = false
"""


def main(program: str, options: list[str]) -> int:
    """Run the program against an agent of its own; its exit code."""
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens"
        tokens.touch(mode=0o600)
        tokens.write_text(f"operator hand {TOKEN}\n")
        (Path(folder) / "schemathesis.toml").write_text(CONFIGURATION)
        port = free_port()
        broker_folder = Path(folder) / "broker"
        broker_folder.mkdir()
        with (
            Mosquitto(broker_folder) as broker,
            RunningAgent(Path(folder) / "agent", broker, web__port=port, web__tokens_file=tokens) as agent,
        ):
            agent.start()
            agent.do("start", "dual-640")
            eventually(lambda: agent.stored("cam1"), "a recording to ask for")
            agent.do("stop")
            url = f"http://127.0.0.1:{port}"
            allowed = ["-H", f"Authorization: Bearer {TOKEN}"]
            command = [program, "run", f"{url}/api/openapi.json", *allowed, *LEFT_OUT, *USUAL, *CHECKS, *options]
            return subprocess.run(command, check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
