#!/usr/bin/env python3
"""Writes hybrid_handshake.json from the text of docs/wire.md ("Hybrid handshake"), with no code of Sealway's:

    python3 -m venv v && v/bin/pip install cryptography==48.0.0 kyber-py==1.2.0
    v/bin/python vectors/make/hybrid_handshake.py > vectors/hybrid_handshake.json

X25519, Ed25519 and AES-256-GCM are those of `cryptography` (OpenSSL), ML-KEM-768 is that of `kyber-py`. All secrets are fixed:
the secret number n is the bytes 7n + i + 1 mod 256, as in the other vectors.
"""

import hashlib
import hmac
import json
import struct
import sys

import cryptography
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from kyber_py.ml_kem import ML_KEM_512, ML_KEM_768

NAME = b"Sealway_XXhfs_25519+MLKEM768_AESGCM_SHA256"
LABEL = b"sealway/channel/1"
SUITE = 0x0001
LISTENER = b"sealway_xx1"
CREATED = 1_700_000_000
NOW = CREATED + 100
TEN_YEARS, FIVE_YEARS = 315_360_000, 157_680_000
Q = 3329


def seed(n, length=32):
    return bytes((7 * n + i + 1) % 256 for i in range(length))


def sha256(data):
    return hashlib.sha256(data).digest()


def hkdf(ck, ikm):
    prk = hmac.new(ck, ikm, hashlib.sha256).digest()
    one = hmac.new(prk, b"\x01", hashlib.sha256).digest()
    return one, hmac.new(prk, one + b"\x02", hashlib.sha256).digest()


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(secret, peer):
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:  # a low-order point, which OpenSSL refuses: what a peer without that check would get
        return bytes(32)


# ---- CBOR, as far as it is needed ----

def head(major, n):
    for size, form in ((24, None), (1 << 8, ">B"), (1 << 16, ">H"), (1 << 32, ">I"), (1 << 64, ">Q")):
        if n < size:
            if form is None:
                return bytes([major << 5 | n])
            return bytes([major << 5 | 23 + (">B", ">H", ">I", ">Q").index(form) + 1]) + struct.pack(form, n)
    raise OverflowError(n)


class Encoded(bytes):
    """CBOR that stands as it is."""


def cbor(value):
    if isinstance(value, Encoded):
        return bytes(value)
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    return head(4, len(value)) + b"".join(map(cbor, value))


# ---- identities and attestations ----

class Identity:
    """An Ed25519 identity of one change, its static key, and an attestation of it under `variant`."""

    def __init__(self, signer, static, variant=3, attested=None):
        self.key, self.static = Ed25519PrivateKey.from_private_bytes(signer), static
        self.signer = signer
        verifying = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        data = cbor([None, [0, [verifying]], False, CREATED, CREATED + TEN_YEARS])
        wrapped = cbor([1, 1, data])
        self.hash = sha256(wrapped)
        self.history = cbor([[wrapped, [0, [self.key.sign(self.hash)]]]])
        named = [variant, [attested or public(static)]]
        if variant == 1:
            named = [1, [[0, [attested or public(static)]]]]
        data = cbor([self.hash, self.hash, named, CREATED, CREATED + FIVE_YEARS])
        wrapped = cbor([1, 2, data])
        self.attestation = cbor([wrapped, [0, [self.key.sign(sha256(wrapped))]]])

    def payload(self):
        return cbor([Encoded(self.history), Encoded(self.attestation), []])


# ---- XXhfs ----

def lp(data):
    return struct.pack(">I", len(data)) + data


def prologue(listener=LISTENER, suite=SUITE):
    return lp(LABEL) + struct.pack(">H", suite) + lp(listener)


class Noise:
    """SymmetricState, and one side's view of the keys."""

    def __init__(self, prologue, name=NAME):
        self.h = self.ck = sha256(name)
        self.k, self.n, self.states = None, 0, []
        self.mix_hash(prologue)
        self.note("initialized")

    def note(self, after):
        self.states.append({"after": after, "h": self.h.hex(), "ck": self.ck.hex(), "k": (self.k or bytes(32)).hex()})

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def mix_key(self, name, secret):
        self.ck, self.k = hkdf(self.ck, secret)
        self.n = 0
        self.note(name)

    def nonce(self):
        self.n += 1
        return bytes(4) + struct.pack(">Q", self.n - 1)

    def encrypt(self, plaintext):
        out = AESGCM(self.k).encrypt(self.nonce(), plaintext, self.h) if self.k else plaintext
        self.mix_hash(out)
        return out

    def decrypt(self, ciphertext):
        out = AESGCM(self.k).decrypt(self.nonce(), ciphertext, self.h) if self.k else ciphertext
        self.mix_hash(ciphertext)
        return out


class Secrets:
    """What the two ends of a case know."""

    def __init__(self, n):
        self.initiator = Identity(seed(n), seed(n + 1))
        self.e_i, self.kem_seed = seed(n + 2), seed(n + 3, 64)
        self.responder = Identity(seed(n + 4), seed(n + 5))
        self.e_r, self.m = seed(n + 6), seed(n + 7)


def write1(noise, e, ek):
    noise.mix_hash(public(e))
    out = public(e) + noise.encrypt(ek)
    out += noise.encrypt(b"")
    noise.note("message1")
    return out


def write2(noise, e_i, ek, e_r, m, responder, *, ct=lambda ct: ct, ss=lambda ss: ss, static=None, kem=True):
    """Message 2. The keyword arguments are what a dishonest responder does otherwise."""
    noise.mix_hash(public(e_r))
    out = public(e_r)
    noise.mix_key("ee", dh(e_r, e_i))
    if kem:
        secret, ciphertext = ML_KEM_768._encaps_internal(ek, m)
        out += noise.encrypt(ct(ciphertext))
        if ss(secret) is not None:
            noise.mix_key("ekem1", ss(secret))
    out += noise.encrypt(static or public(responder.static))
    noise.mix_key("es", bytes(32) if static else dh(responder.static, e_i))
    out += noise.encrypt(responder.payload())
    noise.note("message2")
    return out


def read2(noise, message, e_i, kem_seed):
    """The initiator's reading, which knows nothing of the responder but message 2."""
    e_r, sealed_ct, sealed_s, sealed = message[:32], message[32:1136], message[1136:1184], message[1184:]
    noise.mix_hash(e_r)
    noise.mix_key("ee", dh(e_i, e_r))
    _, dk = ML_KEM_768.key_derive(kem_seed)
    noise.mix_key("ekem1", ML_KEM_768.decaps(dk, noise.decrypt(sealed_ct)))
    static = noise.decrypt(sealed_s)
    noise.mix_key("es", dh(e_i, static))
    payload = noise.decrypt(sealed)
    noise.note("message2")
    return e_r, payload


def write3(noise, e_r, initiator, *, static=None):
    out = noise.encrypt(static or public(initiator.static))
    noise.mix_key("se", bytes(32) if static else dh(initiator.static, e_r))
    out += noise.encrypt(initiator.payload())
    noise.note("message3")
    return out


def record(key, plaintext):
    return struct.pack(">Q", 0) + AESGCM(key).encrypt(bytes(12), plaintext, b"")


def whole(name, listener, secrets):
    """An honest run: the initiator reads what the responder wrote, each with a state of its own."""
    s = secrets
    ek, _ = ML_KEM_768.key_derive(s.kem_seed)
    a, b = Noise(prologue(listener)), Noise(prologue(listener))
    one, same = write1(a, s.e_i, ek), write1(b, s.e_i, ek)
    assert one == same
    two = write2(b, public(s.e_i), ek, s.e_r, s.m, s.responder)
    e_r, payload = read2(a, two, s.e_i, s.kem_seed)
    assert payload == s.responder.payload() and a.states == b.states
    three = write3(a, e_r, s.initiator)
    k1, k2 = hkdf(a.ck, b"")
    close = bytes.fromhex("8282028040")
    side = lambda one: {"identifier": "I" + one.hash.hex(), "identity_secret": one.signer.hex(), "static_secret": one.static.hex(),
                        "change_history": one.history.hex(), "attestation": one.attestation.hex(), "payload": one.payload().hex()}
    return {
        "name": name, "listener": listener.hex(), "prologue": prologue(listener).hex(),
        "initiator": side(s.initiator) | {"ephemeral_secret": s.e_i.hex(), "kem_seed": s.kem_seed.hex(), "encapsulation_key": ek.hex()},
        "responder": side(s.responder) | {"ephemeral_secret": s.e_r.hex(), "encapsulation_randomness": s.m.hex()},
        "message1": (struct.pack(">H", SUITE) + one).hex(), "message2": two.hex(), "message3": three.hex(),
        "symmetric_states": a.states, "final_h": a.h.hex(), "k1": k1.hex(), "k2": k2.hex(),
        "records": {"plaintext": close.hex(), "initiator": record(k1, close).hex(), "responder": record(k2, close).hex()},
    }


# ---- one defect each ----

def flip(data, at, bit=1):
    data = bytearray(data)
    data[at] ^= bit
    return bytes(data)


def coefficient(ek, index, value):
    """The encapsulation key with one of its 768 coefficients (12 bits, little-endian) replaced."""
    ek, at = bytearray(ek), index // 2 * 3
    both = int.from_bytes(ek[at:at + 3], "little")
    shift = 12 * (index % 2)
    both = both & ~(0xFFF << shift) | value << shift
    ek[at:at + 3] = both.to_bytes(3, "little")
    return bytes(ek)


# RFC 7748, section 7, and its like: u coordinates of points whose order divides 8, canonical and not.
LOW_ORDER = {
    "0": "00" * 32,
    "1": "01" + "00" * 31,
    "order_8": "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "order_8_other": "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "minus_1": "ec" + "ff" * 30 + "7f",
    "p": "ed" + "ff" * 30 + "7f",
}


def negative(s):
    """(name, message number, bytes, expected error): each against the honest end with the secrets of the first case."""
    ek, _ = ML_KEM_768.key_derive(s.kem_seed)
    e, suite = public(s.e_i), struct.pack(">H", SUITE)
    good1 = suite + e + ek
    one = []
    one.append(("message1_empty", b"", "Message1Length"))
    one.append(("message1_of_one_byte", b"\x00", "Message1Length"))
    one.append(("message1_with_e1_stripped", suite + e, "Message1Length"))
    one.append(("message1_with_e1_of_ml_kem_512", suite + e + ML_KEM_512.key_derive(s.kem_seed)[0], "Message1Length"))
    one.append(("message1_one_byte_short", good1[:-1], "Message1Length"))
    one.append(("message1_with_a_payload", good1 + b"x", "Message1Length"))
    one.append(("message1_of_the_classical_suite", e, "WrongSuite"))
    one.append(("message1_without_suite", e + ek, "WrongSuite"))
    for number in (0x0000, 0x0002, 0x0100, 0xFFFF):
        one.append((f"message1_of_suite_{number:04x}", struct.pack(">H", number) + e + ek, "WrongSuite"))
    for index, value in ((0, Q), (1, Q), (767, Q), (0, 4095), (400, 4095)):
        name = f"message1_with_coefficient_{index}_of_{value}"
        one.append((name, suite + e + coefficient(ek, index, value), "InvalidEncapsulationKey"))
    one.append(("message1_with_an_encapsulation_key_of_ones", suite + e + b"\xff" * 1184, "InvalidEncapsulationKey"))
    for name, point in LOW_ORDER.items():
        one.append((f"message1_with_low_order_e_{name}", suite + bytes.fromhex(point) + ek, "LowOrderPoint"))

    def two(listener=LISTENER, number=SUITE, answered=ek, to=e, responder=s.responder, name=NAME, **deviations):
        noise = Noise(prologue(listener, number), name)
        noise.mix_hash(e if to is None else to)
        noise.encrypt(answered)
        noise.encrypt(b"")
        return write2(noise, e, ek, s.e_r, s.m, responder, **deviations)

    other_ek, _ = ML_KEM_768.key_derive(seed(90, 64))
    good2 = two()
    second = []
    second.append(("message2_empty", b"", "TooShort"))
    second.append(("message2_cut_within_e", good2[:31], "TooShort"))
    second.append(("message2_cut_behind_e", good2[:32], "TooShort"))
    second.append(("message2_cut_within_ct", good2[:1135], "TooShort"))
    second.append(("message2_cut_within_s", good2[:1183], "TooShort"))
    second.append(("message2_cut_within_the_last_tag", good2[:1184 + 15], "TooShort"))
    second.append(("message2_one_byte_short", good2[:-1], "Forged"))
    second.append(("message2_one_byte_longer", good2 + b"\x00", "Forged"))
    for name, at in (("e", 31), ("ct", 32), ("ct_end", 1119), ("ct_tag", 1135), ("s", 1136), ("payload", 1184), ("tag", -1)):
        second.append((f"message2_with_a_flipped_bit_in_{name}", flip(good2, at), "Forged"))
    for name, point in LOW_ORDER.items():
        second.append((f"message2_with_low_order_e_{name}", bytes.fromhex(point) + good2[32:], "LowOrderPoint"))
        low = two(static=bytes.fromhex(point))
        second.append((f"message2_with_low_order_s_{name}", low, "LowOrderPoint"))
    # The responder itself seals another ciphertext: the tag on it verifies, implicit rejection makes the next one fail.
    second.append(("message2_with_ct_altered_by_the_responder", two(ct=lambda ct: flip(ct, 500)), "Forged"))
    second.append(("message2_with_ct_of_zeros", two(ct=lambda ct: bytes(1088)), "Forged"))
    second.append(("message2_with_ct_for_another_key", two(ct=lambda _: ML_KEM_768._encaps_internal(other_ek, s.m)[1]), "Forged"))
    second.append(("message2_without_the_secret_mixed", two(ss=lambda _: None), "Forged"))
    second.append(("message2_with_a_secret_of_zeros", two(ss=lambda _: bytes(32)), "Forged"))
    second.append(("message2_without_ct", two(kem=False), "TooShort"))
    second.append(("message2_to_another_e1", two(answered=other_ek), "Forged"))
    second.append(("message2_to_another_e", two(to=public(seed(91))), "Forged"))
    second.append(("message2_of_listener_api", two(listener=b"api"), "Forged"))
    second.append(("message2_of_no_listener", two(listener=b""), "Forged"))
    second.append(("message2_of_suite_0002", two(number=2), "Forged"))
    second.append(("message2_under_the_name_of_the_other_suite", two(name=NAME.replace(b"+MLKEM768", b"")), "Forged"))
    same = s.responder
    other = lambda variant, attested=None: Identity(same.signer, same.static, variant, attested)
    for name, responder, expected in (
        ("a_classical_attestation", other(0), "WrongKey"),
        ("a_credential_signing_key", other(1), "WrongKey"),
        ("a_key_of_no_known_purpose", other(4), "Attestation"),
        ("an_attestation_of_another_key", other(3, public(seed(92))), "WrongKey"),
    ):
        second.append((f"message2_with_{name}", two(responder=responder), expected))

    def three(initiator=s.initiator, m=s.m, **deviations):
        noise = Noise(prologue())
        write1(noise, s.e_i, ek)
        write2(noise, e, ek, s.e_r, m, s.responder)
        return write3(noise, public(s.e_r), initiator, **deviations)

    good3 = three()
    third = []
    third.append(("message3_empty", b"", "TooShort"))
    third.append(("message3_cut_within_s", good3[:47], "TooShort"))
    third.append(("message3_cut_within_the_last_tag", good3[:63], "TooShort"))
    third.append(("message3_one_byte_short", good3[:-1], "Forged"))
    third.append(("message3_one_byte_longer", good3 + b"\x00", "Forged"))
    for name, at in (("s", 0), ("payload", 48), ("tag", -1)):
        third.append((f"message3_with_a_flipped_bit_in_{name}", flip(good3, at), "Forged"))
    third.append(("message3_of_another_run", three(m=seed(93)), "Forged"))
    for name, point in LOW_ORDER.items():
        third.append((f"message3_with_low_order_s_{name}", three(static=bytes.fromhex(point)), "LowOrderPoint"))
    same3 = s.initiator
    for name, variant, expected in (("a_classical_attestation", 0, "WrongKey"), ("a_credential_signing_key", 1, "WrongKey"),
                                    ("a_key_of_no_known_purpose", 4, "Attestation")):
        dishonest = Identity(same3.signer, same3.static, variant)
        third.append((f"message3_with_{name}", three(initiator=dishonest), expected))

    return [{"name": name, "message": number, "bytes": data.hex(), "expected": expected}
            for number, cases in ((1, one), (2, second), (3, third)) for name, data, expected in cases]


def main():
    first = Secrets(20)
    json.dump({
        "about": "Hybrid handshakes with fixed secrets, and messages with one defect each against the ends of the first; see docs/wire.md",
        "origin": f"vectors/make/hybrid_handshake.py with cryptography {cryptography.__version__} and kyber-py 1.2.0, from the text of docs/wire.md",
        "protocol_name": NAME.decode(), "suite": SUITE, "now": NOW,
        "cases": [
            whole("own listener", LISTENER, first),
            whole("another listener", b"api", Secrets(40)),
            whole("listener of no bytes", b"", Secrets(60)),
            whole("listener of 300 bytes, not UTF-8", b"\xff" * 300, Secrets(80)),
        ],
        "negative": negative(first),
    }, sys.stdout, indent=1)
    print()


main()
