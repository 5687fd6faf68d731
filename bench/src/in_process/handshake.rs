//! A whole handshake in this process, both sides, identities and attestations verified, against the sum of the
//! primitives that nobody can leave out, from aws-lc-rs: 2 ephemeral X25519 keys, 6 agreements (ee, es, se on each
//! side), 4 Ed25519 verifications (one change and one attestation on each side). The hybrid one adds an ML-KEM-768 key
//! pair, an encapsulation and a decapsulation.

use super::timing::{alone, batch, side_by_side};
use crate::report::Report;
use aws_lc_rs::agreement::{self, PrivateKey, X25519};
use aws_lc_rs::kem;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use getrandom::rand_core::{CryptoRng, UnwrapErr};
use sealway_core::UnixSeconds;
use sealway_core::channel::{Initiator, LocalParty, Responder, Suite, Trust};
use sealway_core::crypto::{DhSecret, KeyType, SigningKey};
use sealway_core::identity::{Attestation, Identity};
use sealway_core::wire::Address;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

/// Handshakes a second on one core, both sides of each, for `duration`.
pub(crate) fn measure(report: &mut Report, duration: Duration) {
    for suite in Suite::ALL {
        let name = match suite {
            Suite::Classical => "handshake/classical",
            Suite::Hybrid => "handshake/hybrid",
        };
        match handshakes(suite, duration) {
            Ok((ours, bare)) => report.add(name, "1/s", ours.recip(), Some(bare.recip())),
            Err(error) => report.failed(name, &error),
        }
    }
}

/// Seconds that the primitives of one handshake take, both sides, measured for `duration`.
pub(super) fn bare_seconds(suite: Suite, duration: Duration) -> io::Result<f64> {
    let primitives = Primitives::new()?;
    alone(duration, || batch(8, || primitives.of_one_handshake(suite)))
}

fn handshakes(suite: Suite, duration: Duration) -> io::Result<(f64, f64)> {
    let mut rng = UnwrapErr(getrandom::SysRng);
    let (one, other) = (party(suite, &mut rng)?, party(suite, &mut rng)?);
    let trusts_one = Trust::Identifier(*one.identifier());
    let trusts_other = Trust::Identifier(*other.identifier());
    let listener = Address::local("sealway_xx1");
    let primitives = Primitives::new()?;
    side_by_side(
        duration,
        || {
            batch(8, || {
                let (message1, initiator) = Initiator::start(&one, &listener, &mut rng);
                let responder = Responder::new(&other, &listener)
                    .read_message1(&message1)
                    .map_err(failed)?;
                let (message2, responder) = responder.write_message2(&mut rng).map_err(failed)?;
                let initiator = initiator
                    .read_message2(&message2, NOW, &trusts_other)
                    .map_err(failed)?;
                let (message3, ours) = initiator.write_message3().map_err(failed)?;
                let theirs = responder
                    .read_message3(&message3, NOW, &trusts_one)
                    .map_err(failed)?;
                match ours.handshake_hash == theirs.handshake_hash {
                    true => Ok(()),
                    false => Err(io::Error::other("two handshake hashes")),
                }
            })
        },
        || batch(8, || primitives.of_one_handshake(suite)),
    )
}

/// A new identity with its attested static key.
fn party(suite: Suite, rng: &mut impl CryptoRng) -> io::Result<Arc<LocalParty>> {
    let key = SigningKey::generate(KeyType::Ed25519, rng);
    let identity = Identity::create(&key, NOW);
    let static_key = DhSecret::generate(rng);
    let attestation = Attestation::issue(&key, &identity, suite.purpose(static_key.public()), NOW)
        .map_err(failed)?;
    LocalParty::new(&identity, &attestation, static_key, &[])
        .map(Arc::new)
        .map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// The primitives' keys and signed bytes.
struct Primitives {
    peer: agreement::PublicKey,
    verifying_key: Vec<u8>,
    signature: Vec<u8>,
}

/// What a change or an attestation has signed: a hash.
const SIGNED: [u8; 32] = [3; 32];

impl Primitives {
    fn new() -> io::Result<Self> {
        let peer = PrivateKey::generate(&X25519)
            .and_then(|key| key.compute_public_key())
            .map_err(io::Error::other)?;
        let pair = Ed25519KeyPair::generate().map_err(io::Error::other)?;
        Ok(Primitives {
            peer,
            verifying_key: pair.public_key().as_ref().to_vec(),
            signature: pair.sign(&SIGNED).as_ref().to_vec(),
        })
    }

    fn of_one_handshake(&self, suite: Suite) -> io::Result<()> {
        if suite == Suite::Hybrid {
            let key =
                kem::DecapsulationKey::generate(&kem::ML_KEM_768).map_err(io::Error::other)?;
            let public = key.encapsulation_key().map_err(io::Error::other)?;
            let (ciphertext, _) = public.encapsulate().map_err(io::Error::other)?;
            let shared = key.decapsulate(ciphertext).map_err(io::Error::other)?;
            std::hint::black_box(shared.as_ref());
        }
        for _ in 0..2 {
            let key = PrivateKey::generate(&X25519).map_err(io::Error::other)?;
            std::hint::black_box(key.compute_public_key().map_err(io::Error::other)?);
            for _ in 0..3 {
                let peer = agreement::UnparsedPublicKey::new(&X25519, self.peer.as_ref());
                agreement::agree(&key, peer, io::Error::other("no agreement"), |shared| {
                    std::hint::black_box(shared);
                    Ok(())
                })?;
            }
            for _ in 0..2 {
                let key = UnparsedPublicKey::new(&ED25519, &self.verifying_key);
                key.verify(&SIGNED, &self.signature)
                    .map_err(io::Error::other)?;
            }
        }
        Ok(())
    }
}
