"""Importing stakan does nothing: no network, no files, no threads, no output."""

import os
import subprocess
import sys

_PREAMBLE = """
import ctypes.util, os, socket, subprocess, sys, threading

def forbidden(name):
    def refuse(*arguments, **options):
        raise AssertionError(f"{name} was used while importing: {arguments}")
    return refuse

class NoSocket(socket.socket):
    def __init__(self, *arguments, **options):
        raise AssertionError(f"a socket was made while importing: {arguments}")

socket.socket = NoSocket
socket.create_connection = socket.getaddrinfo = forbidden("the network")
# A library under NiceGUI asks the linker where the C library is, which starts a process; the program itself has it.
ctypes.util.find_library = lambda name: None
subprocess.Popen = forbidden("a process")

written = []

def watch(event, arguments):
    # Numba tries whether compiled kernels may be kept beside their source; it writes none before one is called.
    if arguments and "__pycache__" in str(arguments[0]):
        return
    if event == "open":
        path, mode, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(path)
    elif event in {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}:
        written.append((event, arguments))
    elif event in {"socket.connect", "socket.bind", "socket.sendto"}:
        raise AssertionError(event)

sys.addaudithook(watch)
"""

_IMPORT_ALL = """
import importlib, pkgutil, stakan
names = ["stakan", *(found.name for found in pkgutil.walk_packages(stakan.__path__, "stakan."))]
before = threading.enumerate()
for name in names:
    importlib.import_module(name)
assert threading.enumerate() == before, threading.enumerate()
assert not written, written
assert len(names) > 100, len(names)
"""


def test_importing_every_module_does_nothing(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PREAMBLE + _IMPORT_ALL],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_the_watch_sees_what_an_import_must_not_do(tmp_path):
    """The test above would notice: each of these is caught by it."""
    for deed in ("import socket; socket.socket()", "open('x', 'w')", "import os; os.mkdir('y')"):
        code = f"{_PREAMBLE}\n{deed}\nassert not written, written\n"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "AssertionError" in done.stderr, deed
