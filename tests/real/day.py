"""What a day brings to a portal: long idle connections, a WebSocket, short requests, large transfers.

    day.py serve                     starts the services, prints {"http": PORT, "bytes": PORT} on one line, and stays
    day.py work --http PORT --bytes PORT [--requests N] [--idle N] [--idle-s S] [--mib N] [--soak-s S]

`work` goes through the given ports, does everything side by side, and prints one line of figures. It fails when a byte
differs, an answer is missing, or a connection that should last does not.

The service at "bytes" takes u8 kind and u64 length: "U" is answered with the SHA-256 of what came, "D" with the bytes and
then their SHA-256, "E" echoes lines. The one at "http" answers GET with its path, and upgrades /socket to a WebSocket
(RFC 6455) that echoes text frames.
"""

import argparse
import base64
import concurrent.futures
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time

PIECE = 1 << 16
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
PATIENCE = 60.0


def exactly(sock, n):
    got = bytearray()
    while len(got) < n:
        more = sock.recv(min(n - len(got), PIECE))
        if not more:
            raise EOFError(f"the stream ended after {len(got)} of {n} bytes")
        got += more
    return bytes(got)


def pieces(n):
    """n bytes that do not compress, the same each time."""
    block = hashlib.shake_256(b"day").digest(1 << 20)
    while n:
        yield block[: min(n, len(block))]
        n -= min(n, len(block))


def serve_bytes(sock):
    with sock:
        kind, n = struct.unpack(">cQ", exactly(sock, 9))
        digest = hashlib.sha256()
        if kind == b"U":
            while n:
                data = sock.recv(min(n, PIECE))
                if not data:
                    return
                digest.update(data)
                n -= len(data)
            sock.sendall(digest.digest())
        elif kind == b"D":
            for piece in pieces(n):
                digest.update(piece)
                sock.sendall(piece)
            sock.sendall(digest.digest())
        else:
            while data := sock.recv(PIECE):
                sock.sendall(data)


def frame(payload, mask=None):
    """A text frame of fewer than 126 bytes (RFC 6455, section 5.2)."""
    head = bytes([0x81, len(payload) | (0x80 if mask else 0)])
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def read_frame(sock):
    """The payload of a text frame; None for a Close."""
    first, length = exactly(sock, 2)
    mask = exactly(sock, 4) if length & 0x80 else None
    payload = exactly(sock, length & 0x7F)
    if first & 0x0F == 8:
        return None
    return bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key + MAGIC).digest())


def serve_http(sock):
    with sock:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(sock, 1)
        path = head.split(b" ", 2)[1]
        if path != b"/socket":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(path), path))
            return
        key = next(line.split(b": ", 1)[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_key(key))
        while (payload := read_frame(sock)) is not None:
            sock.sendall(frame(payload))


def listen(serve):
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def one(sock):
        try:
            serve(sock)
        except (OSError, EOFError):
            pass

    def accept():
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=one, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def connect(port, patience=PATIENCE):
    sock = socket.create_connection(("127.0.0.1", port), timeout=patience)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request(port, path):
    with connect(port) as sock:
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: day\r\nConnection: close\r\n\r\n" % path)
        answer = b""
        while data := sock.recv(PIECE):
            answer += data
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"\r\n\r\n" + path):
        raise ValueError(f"GET {path} was answered with {answer[:80]}")


def requests(port, n, workers=8):
    """Short requests, each over a connection of its own."""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda i: request(port, b"/%d" % i), range(n)):
            pass
    return f"{n} requests, {n / (time.monotonic() - began):.0f}/s"


def idle(port, n, seconds):
    """Connections that say nothing for a while, and then still work."""
    sockets = [connect(port) for _ in range(n)]
    for sock in sockets:
        sock.sendall(struct.pack(">cQ", b"E", 0))
    time.sleep(seconds)
    for i, sock in enumerate(sockets):
        word = b"connection %d\n" % i
        sock.sendall(word)
        if exactly(sock, len(word)) != word:
            raise ValueError(f"idle connection {i} came back with something else")
        sock.close()
    return f"{n} connections idle for {seconds} s"


def transfers(port, mib):
    """So many MiB up, then down, each with an equal SHA-256."""
    size, rates = mib << 20, []
    for kind in (b"U", b"D"):
        began, digest = time.monotonic(), hashlib.sha256()
        with connect(port) as sock:
            sock.sendall(struct.pack(">cQ", kind, size))
            if kind == b"U":
                for piece in pieces(size):
                    digest.update(piece)
                    sock.sendall(piece)
            else:
                left = size
                while left:
                    data = sock.recv(min(left, PIECE))
                    if not data:
                        raise EOFError(f"the download ended {left} bytes early")
                    digest.update(data)
                    left -= len(data)
            if exactly(sock, 32) != digest.digest():
                raise ValueError("the SHA-256 at the two ends differ")
        rates.append(f"{size / (time.monotonic() - began) / 1e6:.0f}")
    return f"{mib} MiB up {rates[0]}, down {rates[1]} MB/s, equal"


def websocket(port, seconds):
    """A WebSocket over which a message goes and comes back each second."""
    with connect(port) as sock:
        key = base64.b64encode(os.urandom(16))
        sock.sendall(b"GET /socket HTTP/1.1\r\nHost: day\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % key)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(sock, 1)
        if not head.startswith(b"HTTP/1.1 101") or accept_key(key) not in head:
            raise ValueError(f"no upgrade: {head[:60]}")
        end, said, worst = time.monotonic() + seconds, 0, 0.0
        while time.monotonic() < end:
            word, began = b"message %d" % said, time.monotonic()
            sock.sendall(frame(word, os.urandom(4)))
            if read_frame(sock) != word:
                raise ValueError(f"message {said} came back as something else")
            worst, said = max(worst, time.monotonic() - began), said + 1
            time.sleep(1)
    return f"WebSocket {seconds} s, {said} messages, slowest {worst * 1e3:.0f} ms"


def work(a):
    jobs = [
        lambda: websocket(a.http, a.soak_s),
        lambda: idle(a.bytes, a.idle, a.idle_s),
        lambda: requests(a.http, a.requests),
        lambda: transfers(a.bytes, a.mib),
    ]
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(job) for job in jobs]
        failed = [str(job.exception()) or repr(job.exception()) for job in running if job.exception()]
    if failed:
        print("; ".join(failed), file=sys.stderr)
        return 1
    print(", ".join(job.result() for job in running))
    return 0


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("what", choices=("serve", "work"))
    a.add_argument("--http", type=int)
    a.add_argument("--bytes", type=int)
    a.add_argument("--requests", type=int, default=5000)
    a.add_argument("--idle", type=int, default=50)
    a.add_argument("--idle-s", type=int, default=60)
    a.add_argument("--mib", type=int, default=1024)
    a.add_argument("--soak-s", type=int, default=60)
    a = a.parse_args()
    if a.what == "work":
        return work(a)
    print(json.dumps({"http": listen(serve_http), "bytes": listen(serve_bytes)}), flush=True)
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
