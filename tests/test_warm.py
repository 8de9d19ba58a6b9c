"""Commands that start in a process that has imported torch: nobody can tell but by the clock."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from m3ae.cli.warm import start
from m3ae.cli.warm.client import ADDRESS
from small_project import CHECKOUT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forking is safe on Linux alone")
TRIALS = CHECKOUT / "tests/warm_trials.py"


def wait_for(is_so, seconds=30):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.02)


def start_server(folder, *words):
    """A server and its address; it ends when its standard input does."""
    address = folder / "warm"
    process = subprocess.Popen([sys.executable, str(TRIALS), str(address), *words], stdin=subprocess.PIPE)
    wait_for(address.exists)
    return process, address


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    process, address = start_server(tmp_path_factory.mktemp("s"))
    yield address
    process.stdin.close()
    assert process.wait(10) == 0
    assert not address.exists()


def command(address, *words, **options):
    environment = {**os.environ, ADDRESS: str(address), **options.pop("env", {})}
    words = [sys.executable, "-m", "m3ae.cli", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        words, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True, **options
    )


def is_running(pid):
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_a_job_has_the_words_folder_variables_streams_and_threads_of_its_sender(address, tmp_path):
    env = {"TRIAL": "ümläut\udcff", "OMP_NUM_THREADS": "3"}
    output, errors = command(address, "show", "--x", cwd=tmp_path, env=env, umask=0o027).communicate(
        "hello\n"
    )
    facts = json.loads(output)
    assert facts["words"][1:] == ["show", "--x"]
    assert facts["folder"] == str(tmp_path)
    assert facts["threads"] == 3
    assert facts["umask"] == 0o027
    assert facts["trial"] == env["TRIAL"]
    assert facts["input"] == "hello\n"
    assert errors == "to the other stream\n"


def test_the_exit_code_comes_back(address):
    assert command(address, "fail").wait(30) == 3


def test_who_died_of_a_signal_is_seen_to(address):
    assert command(address, "crash").wait(30) == -signal.SIGSEGV


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGUSR1, 75)])
def test_a_signal_to_the_sender_reaches_the_job(address, number, code):
    sender = command(address, "wait")
    pid = int(sender.stdout.readline())
    sender.send_signal(number)
    assert sender.wait(30) == code
    assert not is_running(pid)


def test_a_job_dies_with_its_sender(address):
    sender = command(address, "wait")
    pid = int(sender.stdout.readline())
    sender.kill()
    wait_for(lambda: not is_running(pid))


def test_ctrl_c_reaches_the_job_once_and_leaves_the_server(address):
    sender = command(address, "wait")
    os.kill(int(sender.stdout.readline()), signal.SIGINT)  # the terminal sends it to every process
    sender.send_signal(signal.SIGINT)
    assert sender.stdout.read() == "stopped\n"
    assert "KeyboardInterrupt" in sender.stderr.read()
    assert sender.wait(30) == -signal.SIGINT
    assert command(address, "fail").wait(30) == 3


def test_a_server_ends_with_its_last_job_once_its_owner_is_gone(tmp_path):
    server, address = start_server(tmp_path)
    sender = command(address, "wait")
    pid = int(sender.stdout.readline())
    server.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        server.wait(0.3)
    assert is_running(pid)
    assert "m3ae, version" in command(address, "--version").communicate()[0]  # by itself
    sender.terminate()
    assert server.wait(30) == 0


def test_the_projects_commands_run_there(tmp_path):
    server, address = start_server(tmp_path, "commands")
    assert "m3ae, version" in command(address, "--version").communicate()[0]
    output, errors = command(address, "nothing").communicate()
    assert (output, "Usage: m3ae " in errors, "No such command 'nothing'" in errors) == ("", True, True)
    server.stdin.close()
    assert server.wait(30) == 0


def test_a_killed_server_takes_its_jobs_along(tmp_path):
    server, address = start_server(tmp_path)
    sender = command(address, "wait")
    pid = int(sender.stdout.readline())
    server.kill()
    assert sender.wait(30) == 1
    wait_for(lambda: not is_running(pid))
    assert sender.stderr.read() == "m3ae: error: the process that starts jobs was killed; run this again\n"


def test_a_sender_that_says_nothing_is_left(address):
    for said in (b"", b"\0\0"):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(address))
            silent.sendall(said)
    assert command(address, "fail").wait(30) == 3


@pytest.mark.parametrize(
    "env",
    [{}, {ADDRESS: ""}, {ADDRESS: "/nowhere/warm"}, {"RANK": "0", ADDRESS: "address"}],
    ids=["none", "empty", "gone", "a rank"],
)
def test_without_a_server_a_command_runs_by_itself(env, address):
    env = {name: str(address) if value == "address" else value for name, value in env.items()}
    environment = {name: value for name, value in os.environ.items() if name != ADDRESS} | env
    words = [sys.executable, "-m", "m3ae.cli", "--version"]
    assert "m3ae, version" in subprocess.run(words, env=environment, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("jobs", "platform"), [(start.WORTH_IT - 1, "linux"), (99, "darwin")])
def test_no_server_where_it_does_not_pay(jobs, platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(start.subprocess, "Popen", lambda *_, **__: pytest.fail("started one"))
    start.start_warm(jobs)
    assert ADDRESS not in os.environ


@pytest.mark.parametrize("name", ["absent", "long" * 30])
def test_no_server_where_no_socket_can_be(name, tmp_path, monkeypatch):
    if name != "absent":
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr(start.subprocess, "Popen", lambda *_, **__: pytest.fail("started one"))
    start.start_warm(99)
    assert ADDRESS not in os.environ
    assert not list(tmp_path.glob("*/*"))


def test_a_workflows_server_leaves_nothing(tmp_path):
    code = "import os, time; from m3ae.cli.warm.start import start_warm; start_warm(99)\n"
    code += "while not os.path.exists(os.environ['M3AE_WARM']): time.sleep(0.05)\n"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    wait_for(lambda: not list(tmp_path.iterdir()))
