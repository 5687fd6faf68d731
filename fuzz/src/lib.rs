//! What the fuzz targets do: one function for each decoder and each state machine of
//! `sealway-core`. It takes any bytes, and panics where a promise does not hold.
//!
//! The targets in `fuzz_targets/` only hand bytes over, so that the same functions can be run on
//! the seeds by `cargo test`.

mod channel;
mod decoders;
mod handshake;
mod input;
mod portal;
mod relay;
mod streams;
mod ticket;

pub use channel::{channel, in_order};
pub use decoders::*;
pub use handshake::{handshake, hybrid_handshake};
pub use portal::portal_pair;
pub use relay::relay_table;
pub use streams::{native_message, native_pair};
pub use ticket::ticket;

/// A target's name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, by the names of their files and seeds.
pub const TARGETS: &[Target] = &[
    ("address_text", address_text),
    ("api_header", api_header),
    ("attestation", attestation),
    ("bare", bare),
    ("cbor", cbor),
    ("change_history", change_history),
    ("channel", channel),
    ("channel_plaintext", channel_plaintext),
    ("handshake", handshake),
    ("hybrid_handshake", hybrid_handshake),
    ("in_order", in_order),
    ("legacy_message", legacy_message),
    ("multiaddr_binary", multiaddr_binary),
    ("multiaddr_text", multiaddr_text),
    ("native_message", native_message),
    ("native_pair", native_pair),
    ("portal_message", portal_message),
    ("portal_pair", portal_pair),
    ("relay_registration", relay_registration),
    ("relay_table", relay_table),
    ("route_text", route_text),
    ("routing_message", routing_message),
    ("tcp_deframer", tcp_deframer),
    ("ticket", ticket),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
        entries
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect()
    }

    #[test]
    fn every_target_holds_on_its_seeds_and_on_damaged_ones() {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name} has no seeds");
            for seed in &seeds {
                target(seed);
                for cut in 0..seed.len().min(24) {
                    target(&seed[..cut]);
                    let mut damaged = seed.clone();
                    damaged[cut] ^= 0x81;
                    target(&damaged);
                }
            }
        }
    }

    #[test]
    fn every_target_has_its_file_and_its_entry() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        for (name, _) in TARGETS {
            let file = root.join("fuzz_targets").join(format!("{name}.rs"));
            let text = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{file:?}"));
            assert!(
                text.contains(&format!("sealway_fuzz::{name}(data)")),
                "{file:?}"
            );
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
        let files = fs::read_dir(root.join("fuzz_targets")).unwrap().count();
        assert_eq!(files, TARGETS.len());
    }
}
