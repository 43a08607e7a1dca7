"""What the READMEs promise: their examples run as they stand, and so does the demo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
READMES = ["README.md", "README_CN.md"]


def blocks(language, about):
    """The READMEs' examples in a language that are about something."""
    found = []
    for name in READMES:
        examples = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.S | re.M)
        examples = [example for example in examples if about in example]
        found += [pytest.param(example, id=f"{name}-{number}") for number, example in enumerate(examples)]
    assert found
    return found


def run(start, block, command, **options):
    """Runs an example as it stands, but for the port, and returns what it prints."""
    block = block.replace("http://localhost:3000", start(AUTH_KEY="token").url)
    done = subprocess.run([*command, block], capture_output=True, text=True, timeout=30, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", blocks("sh", "localhost:3000"))
def test_the_examples_for_curl(start, mock, block):
    assert "Hello from the mock provider" in run(start, block, ["sh", "-c"])
    assert mock.only()["status"] == 200


@pytest.mark.parametrize("block", blocks("python", "localhost:3000"))
def test_the_examples_for_python(start, mock, block):
    # A model that its SDK calls outdated fails here.
    said = run(start, block, [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c"])
    assert said.startswith("Hello from the mock provider")
    assert mock.only()["status"] == 200


@pytest.mark.parametrize("block", blocks("js", "localhost:3000"))
def test_the_examples_for_node(start, mock, block):
    where = Path(sys.prefix).parent / "node"
    said = run(start, block, ["node", "--input-type=module", "--eval"], cwd=where)
    assert said.startswith("Hello from the mock provider")
    assert mock.only()["status"] == 200


def test_the_readmes_say_the_same():
    """In two languages: the same chapters, examples and tables."""
    english, chinese = ((ROOT / name).read_text() for name in READMES)
    for what in [r"^```.*?^```", r"^##", r"^\|", r"^- "]:
        count = [len(re.findall(what, text, re.S | re.M)) for text in (english, chinese)]
        assert count[0] == count[1], (what, count)
    examples = [re.findall(r"^```(?:python|js|json|text|console)\n.*?^```", text, re.S | re.M) for text in (english, chinese)]
    assert examples[0] == examples[1]


def test_the_demo():
    environment = {**os.environ, "DEMO_ONCE": "1", "PORT": "0"}
    done = subprocess.run([ROOT / "scripts/demo.sh"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "What the clients got: " + "200 " * 13 + "400" in done.stdout
    assert re.search(r"14 requests took \d+ attempts: [23] failed with their first key", done.stdout)
    assert "key 1 (sk-key-1...gone): key_invalid. The provider said: Incorrect API key provided" in done.stdout
    assert "key 3 (sk-key-3...poor): key_exhausted. The provider said: You exceeded your current quota" in done.stdout
    assert re.search(r"key 1 \(sk-key-1\.\.\.gone\)  key_invalid  for good", done.stdout)
    assert re.search(r"key 3 \(sk-key-3\.\.\.poor\)  key_exhausted  until 20", done.stdout)
    assert re.search(r"key 4 \(sk-key-4\.\.\.busy\)  key_limited  until 20\S+  for the model demo-model alone", done.stdout)
    assert "4 of 6 keys take turns for every model" in done.stdout
    milliseconds = int(re.search(r"The first answer was there (\d+) ms", done.stdout)[1])
    assert milliseconds < 1000
