//! Keys, hashes and AEAD.
