#!/usr/bin/env python3
"""Writes tickets.json from the text of docs/wire.md ("Tickets"), with nothing but Python's library: python3 vectors/make/tickets.py > vectors/tickets.json"""

import base64
import hashlib
import json
import struct


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if n < 1 << (8 * struct.calcsize(form)):
            return bytes([major << 5 | info]) + struct.pack(form, n)


def cbor(x):
    if x is None:
        return b"\xf6"
    if isinstance(x, int):
        return head(0, x)
    if isinstance(x, bytes):
        return head(2, len(x)) + x
    if isinstance(x, str):
        return head(3, len(x.encode())) + x.encode()
    if isinstance(x, list):
        return head(4, len(x)) + b"".join(map(cbor, x))
    return head(5, len(x)) + b"".join(cbor(k) + cbor(v) for k, v in x.items())


def uint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def string(text):
    return uint(len(text.encode())) + text.encode()


def tcp(ip, port):
    return uint(4) + bytes(ip) + uint(6) + struct.pack(">H", port)


def dns(name, port):
    return uint(56) + string(name) + uint(6) + struct.pack(">H", port)


def text(body, version="1"):
    checksum = hashlib.sha256(b"sealway/ticket/1" + body).digest()[:5]
    digits = base64.b32encode(body + checksum).decode().rstrip("=").lower()
    return "sealway" + version + digits


EXPOSER, CHANGE, RELAY, SECRET = (bytes([n]) * 32 for n in (0x11, 0x22, 0x33, 0x44))
DIRECT = {
    0: EXPOSER,
    2: [[0, tcp([192, 0, 2, 7], 4100)]],
    3: 1,
    4: "postgres",
    5: SECRET,
    6: 1_900_000_000,
    7: 1,
}


def changed(**fields):
    ticket = DIRECT | {int(k[1:]): v for k, v in fields.items()}
    return {k: ticket[k] for k in sorted(ticket) if ticket[k] != "absent"}


def relay(identifier):
    way = [1, dns("relay.example.com", 4100), "db"]
    return way if identifier is None else way + [identifier]


def good(name, ticket, ways):
    return {
        "name": name,
        "text": text(cbor(ticket)),
        "exposer": ticket[0].hex(),
        "minimum_change": ticket.get(1, ticket[0]).hex(),
        "routes": ways,
        "suite": ticket[3],
        "resource": ticket[4],
        "secret": ticket[5].hex(),
        "secret_hash": hashlib.sha256(b"sealway/ticket/secret/1" + ticket[5]).hexdigest(),
        "expires": ticket[6],
        "uses": ticket[7],
    }


NATIVE = hashlib.sha256(b"sealway/relay/1" + EXPOSER + b"db").hexdigest()
BY_RELAY = f"/dnsaddr/relay.example.com/tcp/4100/service/forward_to_{NATIVE}/secure/LISTENER"
BY_PORT = "/ip4/192.0.2.7/tcp/4100/secure/LISTENER"

tickets = [
    good("direct", DIRECT, [BY_PORT]),
    good("rotated exposer", changed(_1=CHANGE), [BY_PORT]),
    good("relay that the exposer has met", changed(_2=[relay(RELAY)]), [BY_RELAY]),
    good("two ways, ten uses, classical", changed(_2=[relay(None), DIRECT[2][0]], _3=0, _7=10), [BY_RELAY, BY_PORT]),
    good("a way of an unknown kind beside a known one", changed(_2=[[9, "?"], DIRECT[2][0]]), [BY_PORT]),
    good("an unknown transport beside a known one", changed(_2=[[0, tcp([192, 0, 2, 7], 80) + uint(477) + string("x")], DIRECT[2][0]]), [BY_PORT]),
    good("an optional field from a later release", changed(_128=[1, {2: b"x"}]), [BY_PORT]),
]

whole = text(cbor(DIRECT))
body = cbor(DIRECT)
refused = [
    ("nothing", "", "Prefix"),
    ("no ticket", "I" + "11" * 32, "Prefix"),
    ("prefix alone", "sealway", "Prefix"),
    ("nothing behind the version", "sealway1", "Checksum"),
    ("another version", text(body, "2"), "Version"),
    ("first character of the body changed", whole[:8] + ("a" if whole[8] != "a" else "b") + whole[9:], "Checksum"),
    ("last character changed", whole[:-1] + ("q" if whole[-1] != "q" else "a"), None),
    ("last character lost", whole[:-1], None),
    ("half of it", whole[: len(whole) // 2], None),
    ("a character that is no digit", whole[:20] + "1" + whole[21:], "Digits"),
    ("padding", whole + "=", "Digits"),
    ("checksum of another label", "sealway1" + base64.b32encode(body + hashlib.sha256(body).digest()[:5]).decode().rstrip("=").lower(), "Checksum"),
    ("a field that must be understood", text(cbor(changed(_8=b"mailbox"))), "UnknownField"),
    ("a suite of a later release", text(cbor(changed(_3=2))), "UnknownSuite"),
    ("no use", text(cbor(changed(_7=0))), "Field"),
    ("more uses than 32 bits", text(cbor(changed(_7=1 << 32))), "Field"),
    ("no way", text(cbor(changed(_2=[]))), "Field"),
    ("only ways of unknown kinds", text(cbor(changed(_2=[[9, "?"]]))), "UnknownWays"),
    ("nine ways, most of unknown kinds", text(cbor(changed(_2=DIRECT[2] + [[9, "?"]] * 8))), "Field"),
    ("a way to a local socket", text(cbor(changed(_2=[[0, uint(102600) + string("/run/x")]]))), "Field"),
    ("a way to a local worker", text(cbor(changed(_2=[[0, uint(62526) + string("x")]]))), "Field"),
    ("a way beyond a port", text(cbor(changed(_2=[[0, tcp([192, 0, 2, 7], 4100) + uint(62526) + string("x")]]))), "Field"),
    ("port 0", text(cbor(changed(_2=[[0, tcp([192, 0, 2, 7], 0)]]))), "Field"),
    ("an empty way", text(cbor(changed(_2=[[0, b""]]))), "Field"),
    ("nine ways", text(cbor(changed(_2=DIRECT[2] * 9))), "Field"),
    ("no resource", text(cbor(changed(_4=""))), "Field"),
    ("a resource that steers a terminal", text(cbor(changed(_4="db\x1b[2J"))), "Field"),
    ("a resource that turns the line", text(cbor(changed(_4="db\u202etxt"))), "Field"),
    ("a resource that stands for everything", text(cbor(changed(_4="*"))), "Field"),
    ("a resource of 129 bytes", text(cbor(changed(_4="r" * 129))), "Body"),
    ("a secret of 31 bytes", text(cbor(changed(_5=SECRET[1:]))), "Body"),
    ("an identifier of 33 bytes", text(cbor(changed(_0=EXPOSER + b"x"))), "Body"),
    ("fields out of order", text(cbor(dict(reversed(DIRECT.items())))), "Field"),
    ("a field twice", text(head(5, 8) + cbor(DIRECT)[1:] + cbor(7) + cbor(5)), "Field"),
    ("bytes behind the map", text(body + b"\0"), "Body"),
    ("a map that ends early", text(head(5, 8) + cbor(DIRECT)[1:]), "Body"),
    ("too long", text(cbor(changed(_128=b"x" * 2048))), "TooLong"),
] + [(f"without field {n}", text(cbor(changed(**{f"_{n}": "absent"}))), "Field") for n in (0, 2, 3, 4, 5, 6, 7)]

redemption = {
    "request": {"secret": SECRET.hex(), "payload": cbor([1, SECRET]).hex()},
    "answers": [
        {"granted": True, "payload": cbor([1, 0]).hex()},
        {"refused": "AlreadyRedeemed", "payload": cbor([1, 1]).hex()},
        {"refused": "Expired", "payload": cbor([1, 2]).hex()},
        {"refused": "Unknown", "payload": cbor([1, 3]).hex()},
    ],
    "refused": [
        {"name": name, "payload": payload.hex()}
        for name, payload in {
            "empty": b"",
            "version 2": cbor([2, SECRET]),
            "a short secret": cbor([1, SECRET[1:]]),
            "no secret": cbor([1]),
            "a map": cbor({0: SECRET}),
            "more than 1 KiB": cbor([1, SECRET, bytes(1024)]),
        }.items()
    ],
}

keys = ("name", "text", "error")
out = {"tickets": tickets, "refused": [dict(zip(keys, case)) for case in refused], "redemption": redemption}
print(json.dumps(out, indent=1))
