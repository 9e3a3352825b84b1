import os
import signal
import subprocess
import sys
import time

SCRIPT = """
import sys
from spikeseq.tokenizers import SpacyTokenizer

if __name__ == "__main__":
    tokenizer = SpacyTokenizer("en")
    print("go", flush=True)
    try:
        tokenizer.tokenize_all(["Word after word, isn't it? " * 60] * 40_000, processes=2)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_ctrl_c_while_the_processes_start_ends_quietly(tmp_path):
    """A terminal sends it to every process of the group."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout.readline() == b"go\n"
    while process.poll() is None:  # one that comes in the moment of starting is not heard
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            continue
    _, errors = process.communicate()
    assert process.returncode == 130 and errors == b"", errors
