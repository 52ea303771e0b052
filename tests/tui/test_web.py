"""The app through a browser: who has the key gets in, nobody else does."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

RECIPE = "train resnet18 on demo.age\n"


@contextmanager
def served(recipe: Path, port: int) -> Iterator[str]:
    """A server in a process of its own, and the address that it prints."""
    command = [sys.executable, "-m", "tlimb", "tui", "--web", "--port", str(port), str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if line.strip().startswith("http://"):
                yield line.strip()
                return
        raise AssertionError(told)
    finally:
        process.kill()
        process.communicate(timeout=20)


def running(recipe: Path) -> list[str]:
    """The processes of apps on a recipe, the server left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if str(recipe) in command and "--web" not in command:
            found.append(process.name)
    return found


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as made:
        yield made


async def test_the_key_opens_the_app_and_nothing_else_does(tmp_path: Path, port: int, session: aiohttp.ClientSession) -> None:
    file = tmp_path / "a.tlr"
    file.write_text(RECIPE)
    with served(file, port) as address:
        origin = address.partition("/?")[0]
        assert origin == f"http://127.0.0.1:{port}"
        for path in ("/", "/?key=wrong", "/static/js/textual.js"):
            async with session.get(origin + path) as answer:
                assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{origin}/ws", origin=origin)
        async with session.get(address) as answer:
            assert answer.status == 200
            assert "googleapis" not in answer.headers["Content-Security-Policy"]
            assert "SameSite=Strict" in answer.headers["Set-Cookie"]
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(f"{origin}/ws", origin="http://elsewhere.example")
        app = await session.ws_connect(f"{origin}/ws?width=100&height=30", origin=origin)
        seen = b""
        async with asyncio.timeout(60):
            while b"resnet18" not in seen:
                message = await app.receive()
                seen += message.data if isinstance(message.data, bytes) else b""
        assert running(file)
    for _ in range(100):
        if not running(file):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the app outlived its server")


def test_a_taken_port_is_told_with_a_way_out(tmp_path: Path, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        command = [sys.executable, "-m", "tlimb", "tui", "--web", "--port", str(port)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr
    assert f"--port {port + 1}" in done.stderr
