"""kill -9 of the relay or either node at random moments under transfer.

Each round starts downloads and uploads through inlet, relay and outlet, kills one of the three processes, each
in its turn, at a seeded moment, and looks at how each transfer ended. A transfer ends with the end of the stream and
nothing else, so that a stream cut short and ended cleanly would pass for a whole file: the strictest reading
of "never a silent end". Then the process is started again, and a new connection must work.

    complete   every byte arrived, equal, and then the end of the stream
    error      the reader saw a reset (or, for an upload, the sender no confirmation); an upload counts at both ends
    silent     the end of the stream before the last byte: the promise is broken
    unequal    other bytes than those sent: the promise is broken
    hung       neither end nor error within the time limit: the promise is broken
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

PIECE = 1 << 16
BASE = 1 << 22
LIMIT = 60.0  # seconds a transfer may take to end after the kill, and a new connection to work
BROKEN = ("silent", "unequal", "hung")


def content(seed):
    """4 MiB that repeat: every offset's bytes are known to both sides."""
    block = random.Random(seed).randbytes(BASE)
    return memoryview(block + block[:PIECE])


def exactly(sock, n):
    """Reads n bytes, or fewer when the stream ends."""
    got = b""
    while len(got) < n:
        more = sock.recv(n - len(got))
        if not more:
            break
        got += more
    return got


def send_content(sock, seed, size):
    data, at = content(seed), 0
    while at < size:
        start = at % BASE
        n = min(PIECE, size - at)
        sock.sendall(data[start : start + n])
        at += n


def read_content(sock, seed, size, count, until_end):
    """Reads `size` bytes (then the end of the stream) and says how it ended; count[0] follows."""
    data, buffer = content(seed), bytearray(PIECE)
    while True:
        if not until_end and count[0] == size:
            return "complete"
        n = sock.recv_into(buffer)
        if n == 0:
            return "complete" if count[0] == size else "silent"
        start = count[0] % BASE
        if count[0] + n > size or buffer[:n] != data[start : start + n]:
            return "unequal"
        count[0] += n


def ended(run):
    """How a transfer ended, with errors and time-outs named."""
    try:
        return run()
    except socket.timeout:
        return "hung"
    except OSError:
        return "error"


class Service(threading.Thread):
    """The private service. Request: b"D" or b"U", seed u32, size u64. U is answered with b"K" once complete."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.uploads = {}

    def run(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def saw(self, seed):
        """How an upload ended here: waits for its end; "error" when the request itself never came."""
        end = time.monotonic() + LIMIT
        while self.uploads.get(seed) == "hung" and time.monotonic() < end:
            time.sleep(0.01)
        return self.uploads.get(seed, "error")

    def serve(self, sock):
        with sock:
            sock.settimeout(LIMIT * 2)
            try:
                head = exactly(sock, 13)
                if len(head) < 13:
                    return
                kind, seed, size = struct.unpack(">cIQ", head)
                if kind == b"D":
                    send_content(sock, seed, size)
                    return
                self.uploads[seed] = "hung"  # until it ends
                outcome = ended(lambda: read_content(sock, seed, size, [0], False))
                self.uploads[seed] = outcome
                if outcome == "complete":
                    sock.sendall(b"K")
            except OSError:
                pass


class Transfer(threading.Thread):
    """One download or upload through the inlet."""

    def __init__(self, port, kind, seed, size):
        super().__init__(daemon=True)
        self.port, self.kind, self.seed, self.size = port, kind, seed, size
        self.count, self.outcome, self.took = [0], None, 0.0
        self.started = threading.Event()

    def run(self):
        began = time.monotonic()
        self.outcome = ended(self.transfer)
        self.took = time.monotonic() - began
        self.started.set()

    def transfer(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT) as sock:
            sock.settimeout(LIMIT)
            sock.sendall(struct.pack(">cIQ", self.kind, self.seed, self.size))
            if self.kind == b"D":
                first = sock.recv(1, socket.MSG_PEEK)
                self.started.set()
                if not first:
                    return "silent"
                return read_content(sock, self.seed, self.size, self.count, True)
            self.started.set()
            send_content(sock, self.seed, self.size)
            # Without the confirmation the sender knows that something went wrong: that is its error.
            return "complete" if exactly(sock, 1) == b"K" else "error"


class Process:
    """One sealway process that can be killed and started again with the same arguments and address."""

    def __init__(self, rig, name, event):
        self.rig, self.name, self.event = rig, name, event
        self.argv, self.process, self.address, self.starts = [], None, None, 0

    def start(self):
        self.starts += 1
        out = os.path.join(self.rig.work, f"{self.name}-{self.starts}.out")
        err = os.path.join(self.rig.work, f"{self.name}.err")
        with open(out, "wb") as o, open(err, "ab") as e:
            self.process = subprocess.Popen(
                [self.rig.sealway, "--home", os.path.join(self.rig.work, self.name), *self.argv],
                stdin=subprocess.DEVNULL, stdout=o, stderr=e)
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            with open(out, "rb") as f:
                for line in f.read().split(b"\n")[:-1]:
                    event = json.loads(line)
                    if event.get("event") == self.event:
                        self.address = event.get("address")
                        return
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode} before it said {self.event}")
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not say {self.event} in {LIMIT:.0f} s")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Rig:
    """Service, relay, node with the outlet, inlet."""

    def __init__(self, sealway, work):
        self.sealway, self.work = sealway, work
        self.service = Service()
        self.service.start()
        self.relay = Process(self, "relay", "listening")
        self.node = Process(self, "node", "ready")
        self.inlet = Process(self, "inlet", "ready")

    def identity(self, name):
        done = subprocess.run(
            [self.sealway, "--home", os.path.join(self.work, name), "identity", "create", "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=30)
        at = done.stdout.index('"I')
        return done.stdout[at + 1 : at + 66]

    def start(self):
        node, inlet = self.identity("node"), self.identity("inlet")
        self.relay.argv = ["relay", "--listen", "127.0.0.1:0", "--json"]
        self.relay.start()
        address = self.relay.address
        port = address.rsplit(":", 1)[1]
        self.relay.argv[2] = address
        self.node.argv = ["node", "--via", address, "--alias", "kills", "--outlet", f"files=127.0.0.1:{self.service.port}",
                          "--trust", inlet, "--json"]
        self.node.start()
        to = f"/ip4/127.0.0.1/tcp/{port}/service/forward_to_kills/secure/sealway_xx1/service/files"
        self.inlet.argv = ["inlet", "--listen", "127.0.0.1:0", "--to", to, "--expect", node, "--json"]
        self.inlet.start()
        self.inlet.argv[2] = self.inlet.address
        self.port = int(self.inlet.address.rsplit(":", 1)[1])

    def fetch(self, seed, limit):
        """Small downloads until one is complete; seconds it took, or None."""
        began = time.monotonic()
        while time.monotonic() - began < limit:
            probe = Transfer(self.port, b"D", seed, 1 << 20)
            probe.run()
            if probe.outcome == "complete":
                return time.monotonic() - began
            time.sleep(0.02)
        return None

    def stop(self):
        for process in (self.inlet, self.node, self.relay):
            process.stop()


def one_round(rig, number, rng, size):
    """Kills one process under transfer. Returns (victim, moment, outcomes, worst wait, seconds to recovery)."""
    seed = number * 100
    transfers = [Transfer(rig.port, k, seed + i, size) for i, k in enumerate((b"D", b"U", b"D"))]
    for t in transfers:
        t.start()
    for t in transfers:
        t.started.wait(LIMIT)
    victim = (rig.relay, rig.node, rig.inlet)[number % 3]
    moment = rng.uniform(0, 0.4)
    time.sleep(moment)
    under_way = sum(t.is_alive() for t in transfers)
    victim.kill()
    killed = time.monotonic()
    victim.start()
    recovery = rig.fetch(seed + 50, LIMIT)
    for t in transfers:
        t.join(LIMIT * 2)
    outcomes = []
    for t in transfers:
        outcomes.append(t.outcome or "hung")
        if t.kind == b"U":
            outcomes.append(rig.service.saw(t.seed))
    waited = time.monotonic() - killed
    return victim.name, moment, under_way, outcomes, waited, recovery


def table(rows):
    print("| killed | kills | transfers under way | complete | error | silent | unequal | hung | back after p50 / max s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in ("relay", "node", "inlet"):
        mine = [r for r in rows if r[0] == name]
        if not mine:
            continue
        n = collections.Counter(o for r in mine for o in r[3])
        back = [r[5] for r in mine if r[5] is not None]
        times = f"{statistics.median(back):.2f} / {max(back):.2f}" if back else "never"
        print(f"| {name} | {len(mine)} | {sum(r[2] for r in mine)} | {n['complete']} | {n['error']} | {n['silent']} | "
              f"{n['unequal']} | {n['hung']} | {times} |")


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--sealway", required=True, help="the command under test")
    a.add_argument("--work", required=True, help="an empty directory")
    a.add_argument("--kills", type=int, default=50)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--size-mib", type=int, default=192, help="size of each transfer")
    a.add_argument("--logs", help="copy the processes' logs here")
    a = a.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rng, rows, began, trouble = random.Random(a.seed), [], time.monotonic(), None
    rig = Rig(a.sealway, a.work)
    try:
        rig.start()
        if rig.fetch(1, LIMIT) is None:
            raise RuntimeError("nothing could be fetched before the first kill")
        for number in range(1, a.kills + 1):
            row = one_round(rig, number, rng, a.size_mib << 20)
            rows.append(row)
            back = "never" if row[5] is None else f"{row[5]:.2f} s"
            print(f"kill {number}: {row[0]} after {row[1]:.2f} s, {row[2]} under way: {' '.join(row[3])}, all ended after {row[4]:.1f} s, "
                  f"new connections after {back}", file=sys.stderr, flush=True)
            if row[5] is None:
                raise RuntimeError(f"no new connection worked within {LIMIT:.0f} s of the kill of {row[0]}")
    except (RuntimeError, subprocess.SubprocessError, OSError, ValueError) as e:
        trouble = str(e)
    finally:
        rig.stop()
        if a.logs:
            for f in os.listdir(a.work):
                if f.endswith((".out", ".err")):
                    shutil.copy(os.path.join(a.work, f), a.logs)
    table(rows)
    n = collections.Counter(o for r in rows for o in r[3])
    bad = sum(n[k] for k in BROKEN)
    figures = f"{len(rows)} kills (seed {a.seed}): {n['complete']} complete and equal, {n['error']} errors seen, {bad} broken"
    if trouble or bad or len(rows) < a.kills:
        print(f"FAIL kills: {figures}{'; ' + trouble if trouble else ''}")
        return 1
    print(f"PASS kills: {figures} ({time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
