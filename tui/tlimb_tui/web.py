"""The app in a browser of this machine. The address holds a key: without it nobody, on this machine or on a web page, gets in."""

import errno
import hmac
import secrets
import shlex
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler
from textual_serve.server import Server

from tlimb.errors import InputError
from tlimb_tui.start import opened

HOST = "127.0.0.1"
DEFAULT = 8000
RESERVED = 1023
"""Ports up to this one are the administrator's."""
COOKIE = "tlimb"
POLICY = "default-src 'self' 'unsafe-inline' data: blob:; connect-src 'self' ws://{host}:{port}"
"""Nothing is fetched from elsewhere, fonts included."""


class GuardedServer(Server):
    """Textual's server, which would let in whoever reaches the port."""

    def __init__(self, command: str, port: int) -> None:
        super().__init__(command, host=HOST, port=port, title="tlimb")
        self.key = secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """What is to be opened in the browser."""
        return f"{self.public_url}/?key={self.key}"

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let pass who has the key: in the address, and from then on in a cookie that other sites cannot use."""
        given = request.query.get("key") if request.path == "/" else None
        if not hmac.compare_digest((given or request.cookies.get(COOKIE) or "").encode(), self.key.encode()):
            raise web.HTTPForbidden(text="Open the whole address that tlimb printed; it ends in ?key=…")
        if request.path == "/ws" and request.headers.get("Origin") != self.public_url:
            raise web.HTTPForbidden(text="Only the page of this server may connect.")
        response = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = POLICY.format(host=self.host, port=self.port)
            response.headers["Referrer-Policy"] = "no-referrer"
            if given:
                response.set_cookie(COOKIE, self.key, httponly=True, samesite="Strict")
        return response

    async def on_startup(self, app: web.Application) -> None:
        """Nothing: it is not served yet."""

    def serve(self, debug: bool = False) -> None:
        """Serve until interrupted."""
        web.run_app(self._make_app(), host=self.host, port=self.port, print=lambda *_: self.tell(), access_log=None)

    def tell(self) -> None:
        """Say where it is, and what that means."""
        print(f"tlimb is served at\n\n    {self.address}\n", flush=True)
        print("Whoever has this address and reaches the port can do on this machine what you can: keep it to yourself.")
        print(f"It is reachable from this machine only; from another one, through: ssh -L {self.port}:{self.host}:{self.port} HOST")
        print("Each browser tab is an app of its own. ctrl+c stops the server; runs go on.", flush=True)


def serve(
    path: Path | None,
    *,
    port: int,
    ascii_only: bool = False,
    trusted: bool = False,
    store: Path | None = None,
    datasets: Path | None = None,
) -> None:
    """Serve the app on loopback until interrupted; each browser tab gets a process of its own.

    Raises:
        InputError: the recipe cannot be read, or the port is taken.
    """
    opened(path, store, datasets)
    command = [sys.executable, "-m", "tlimb", "tui", *(["--ascii"] if ascii_only else []), *(["--trust"] if trusted else [])]
    for option, given in (("--store", store), ("--datasets", datasets)):
        if given is not None:
            command += [option, str(given)]
    command += ["--", str(path)] if path is not None else []
    try:
        GuardedServer(f"exec {shlex.join(command)}", port).serve()  # without a shell between, so that it sees when the server is gone
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        reason = "is taken" if error.errno == errno.EADDRINUSE else "may not be used by you"
        other = port + 1 if port > RESERVED else DEFAULT
        raise InputError(f"port {port} of {HOST} {reason}", f"name another one: tlimb tui --web --port {other}") from None
