"""A small token endpoint by HTTP or HTTPS, and tokens for a Kafka which checks no signature."""

import base64
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import trustme


class Endpoint:
    """Answers with a token, or as it is told; ``asked`` is what it was asked."""

    def __init__(self, certificate: trustme.LeafCert | None = None) -> None:
        self.asked: list[tuple[str, str, dict[str, list[str]]]] = []
        self.status = 200
        self.answer: object = None
        self.headers: dict[str, str] = {}
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                endpoint.asked.append((self.path, self.headers["Authorization"], parse_qs(body)))
                number = len(endpoint.asked)
                answer = endpoint.answer or {"access_token": f"token-{number}", "expires_in": 100}
                self.send_response(endpoint.status)
                for name, value in endpoint.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(
                    answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                )

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "https" if certificate else "http"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def unsigned_token(subject: str, seconds: float = 600.0) -> str:
    """Return a token for a user, as Kafka's validator for tests takes it."""
    now = time.time()
    claims = {"sub": subject, "iat": now, "exp": now + seconds}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
